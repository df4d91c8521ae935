//! Servers and clients of others: started, watched, and ended with all their children.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::Failure;

/// How long one may take to end before it is killed.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// A process with a group of its own, which ends when this is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says goes to a file.
    ///
    /// # Errors
    /// There is no such program, or no place for the file.
    pub fn start(mut command: Command, log: &Path) -> Result<Process, Failure> {
        let file = std::fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        Ok(Process { child, log: log.to_owned() })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `is_ready` says so.
    ///
    /// # Errors
    /// The process ends, or the time is over.
    pub fn ready(&mut self, within: Duration, mut is_ready: impl FnMut() -> bool) -> Result<(), Failure> {
        let begun = Instant::now();
        while !is_ready() {
            if self.child.try_wait()?.is_some() {
                return Err(format!("it ended: {}", self.last_words()).into());
            }
            if begun.elapsed() > within {
                return Err(format!("not ready after {within:?}: {}", self.last_words()).into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let mut text = Vec::new();
        let _ = std::fs::File::open(&self.log).and_then(|mut file| file.read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else { return };
        // Both fail only when nothing of it is left.
        let _ = kill_process_group(group, Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < END_PATIENCE && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The CPU time of these processes and all that descend from them, those that have ended and were waited for included.
#[must_use]
pub fn cpu_of_trees(roots: &[u32]) -> Duration {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes: Vec<Stat> = entries.filter_map(|entry| Stat::read(&entry.path())).collect();
    let mut ids = roots.to_vec();
    let mut ticks = 0;
    let mut at = 0;
    while let Some(&id) = ids.get(at) {
        at += 1;
        ids.extend(
            processes.iter().filter(|process| process.parent == id && !roots.contains(&process.id)).map(|p| p.id),
        );
        ticks += processes.iter().find(|process| process.id == id).map_or(0, |process| process.ticks);
    }
    Duration::from_millis(ticks * 10)
}

/// What the system knows of a process.
struct Stat {
    id: u32,
    parent: u32,
    /// CPU time in hundredths of a second: user, system, and both of the children that were waited for.
    ticks: u64,
}

impl Stat {
    fn read(directory: &Path) -> Option<Stat> {
        let id = directory.file_name()?.to_str()?.parse().ok()?;
        let text = std::fs::read_to_string(directory.join("stat")).ok()?;
        // The name in parentheses may hold blanks: count from its end.
        let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
        let ticks = (11..15).filter_map(|at| fields.get(at)?.parse::<u64>().ok()).sum();
        Some(Stat { id, parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_works_is_counted_and_ends_with_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'while :; do :; done' & wait"]);
        let process = Process::start(command, &directory.path().join("log")).expect("sh");
        let (id, begun) = (process.id(), Instant::now());
        while cpu_of_trees(&[id]) < Duration::from_millis(100) {
            assert!(begun.elapsed() < Duration::from_secs(30), "the child's work is not seen");
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(process);
        assert_eq!(cpu_of_trees(&[id]), Duration::ZERO);
    }
}
