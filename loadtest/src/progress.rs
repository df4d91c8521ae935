//! What is shown while it runs: a line a second, or on a terminal one that changes.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::ends::Ends;
use crate::step::{Second, Step};

/// Where lines go.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    quiet: bool,
    terminal: bool,
}

impl Progress {
    /// To stderr, unless `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Progress {
        Progress { quiet, terminal: std::io::stderr().is_terminal() }
    }

    /// Whether nothing is shown.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Says something.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            self.write(&format!("{text}\n"));
        }
    }

    /// Closes a second of a step and shows it.
    pub fn tick(&self, step: &Step, now: Instant, took: Duration, ends: &Ends) -> Second {
        let second = step.tick(now, took, ends.are_seen());
        if !self.quiet {
            let line = line(&second, step, ends.are_seen());
            let end = if self.terminal { "" } else { "\n" };
            self.write(&format!("{line}{end}"));
        }
        second
    }

    fn write(&self, text: &str) {
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        let mut out = std::io::stderr().lock();
        // Whoever closed stderr does not want to see it.
        let _ = write!(out, "{clear}{text}").and_then(|()| out.flush());
    }
}

fn line(second: &Second, step: &Step, ends_are_seen: bool) -> String {
    let so_far = step.so_far(ends_are_seen);
    let ended = if ends_are_seen { format!("  ended {:>7.0}", second.ended) } else { String::new() };
    let part = (second.at / step.schedule.length.as_secs_f64()).clamp(0.0, 1.0);
    format!(
        "{:>5.0} s {:>3.0} %  target {:>7.0}/s  sent {:>7.0}  acked {:>7.0}{ended}  open {:>6}  p50 {:>7.2}  p99 {:>7.2} ms",
        second.at,
        part * 100.0,
        second.target,
        second.sent,
        second.acked,
        second.open,
        so_far.p50,
        so_far.p99,
    )
}
