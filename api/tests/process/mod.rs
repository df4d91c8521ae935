//! A node in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// `trinity serve` on a port of its own; killed when dropped.
pub struct Process {
    child: Child,
    pub base: String,
}

impl Process {
    /// Starts it, with what `set_up` adds, and waits until it listens.
    pub fn start(set_up: impl FnOnce(&mut Command)) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trinity"));
        command.arg("serve").env("TRINITY__SERVER__PORT", "0").stdout(Stdio::piped());
        set_up(&mut command);
        let mut child = command.spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("a pipe");
        let base = BufReader::new(stdout).lines().find_map(|line| {
            let line = line.expect("text");
            line.strip_prefix("trinity listens on ").map(str::to_owned)
        });
        Process { child, base: base.expect("it listens") }
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
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
        self.child.wait().expect("it ends").code().expect("an exit code")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already when this fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
