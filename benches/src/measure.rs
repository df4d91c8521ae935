//! Clocks of a measurement: wall time and the CPU time of this process, and the machine it was taken on.

use std::time::{Duration, Instant};

/// Ticks of `/proc/*/stat` in a second, the same on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// A running measurement.
pub struct Stopwatch {
    begun: Instant,
    cpu: Duration,
}

impl Stopwatch {
    /// Starts.
    #[must_use]
    pub fn start() -> Stopwatch {
        Stopwatch { begun: Instant::now(), cpu: cpu_of("self") }
    }

    /// Wall time so far.
    #[must_use]
    pub fn wall(&self) -> Duration {
        self.begun.elapsed()
    }

    /// CPU time of this process so far.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        cpu_of("self").saturating_sub(self.cpu)
    }

    /// A line: how many a second, and what CPU each took.
    #[must_use]
    pub fn line(&self, what: &str, count: u64) -> String {
        let (wall, cpu) = (self.wall().as_secs_f64(), self.cpu().as_secs_f64());
        let (rate, each) = (count as f64 / wall, cpu * 1e6 / count.max(1) as f64);
        format!("{what:<44} {rate:>10.0} /s   {each:>7.2} µs CPU each   {count} in {wall:.1} s")
    }
}

/// The CPU time a process has used, user and system; nothing when it is gone.
#[must_use]
pub fn cpu_of(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in parentheses may hold blanks: count from its end.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 1_000 / TICKS_PER_SECOND)
}

/// The resident memory of this process in bytes; nothing when the system does not tell.
#[must_use]
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0) << 10
}

/// What the figures were taken on.
#[must_use]
pub fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("")
        .trim_start_matches([':', '\t', ' ']);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    format!("{cpus} cores, {model}, load {load} at the start")
}
