//! A node in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// `trinity serve` on a port of its own; killed when dropped.
pub struct Process {
    child: Child,
    pub base: String,
}

/// A node that may not listen yet.
pub struct Starting {
    process: Process,
    stdout: ChildStdout,
}

impl Process {
    /// Starts it, with what `set_up` adds, and waits until it listens.
    #[allow(dead_code, reason = "not every test does")]
    pub fn start(set_up: impl FnOnce(&mut Command)) -> Process {
        Process::spawn(set_up).listening()
    }

    /// Starts it, with what `set_up` adds. `TRINITY_BINARY` names another binary than the one that was built with the tests: a
    /// run of an hour must not meet the next build.
    pub fn spawn(set_up: impl FnOnce(&mut Command)) -> Starting {
        let binary = std::env::var_os("TRINITY_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_trinity").into());
        Process::spawn_as(Command::new(binary), set_up)
    }

    /// Starts it by a command that runs the binary.
    #[allow(dead_code, reason = "not every test does")]
    pub fn spawn_as(mut command: Command, set_up: impl FnOnce(&mut Command)) -> Starting {
        command.arg("serve").env("TRINITY__SERVER__PORT", "0").stdout(Stdio::piped());
        set_up(&mut command);
        let mut child = command.spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("a pipe");
        Starting { process: Process { child, base: String::new() }, stdout }
    }

    /// Its number.
    #[allow(dead_code, reason = "not every test asks")]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, such as `-TERM`.
    #[allow(dead_code, reason = "not every test does")]
    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
    }

    /// kill -9.
    #[allow(dead_code, reason = "not every test kills")]
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop; its exit code.
    #[allow(dead_code, reason = "not every test stops it")]
    pub fn terminate(mut self) -> i32 {
        self.signal("-TERM");
        self.child.wait().expect("it ends").code().expect("an exit code")
    }
}

impl Starting {
    /// Waits until it listens.
    pub fn listening(self) -> Process {
        self.listens().expect("it listens")
    }

    /// Waits until it listens, or has ended.
    pub fn listens(self) -> Option<Process> {
        let Starting { mut process, stdout } = self;
        let (told, base) = mpsc::channel();
        // Reads on to the end: a pipe that nobody reads any more would end who writes to it.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(base) = line.strip_prefix("trinity listens on ") {
                    let _ = told.send(base.to_owned());
                }
            }
        });
        process.base = base.recv_timeout(Duration::from_secs(120)).ok()?;
        Some(process)
    }

    /// kill -9.
    #[allow(dead_code, reason = "not every test kills")]
    pub fn kill(self) {
        self.process.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already when this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
