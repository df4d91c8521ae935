//! The event log of a run: what happened, in order, and its hash.

use std::fmt::Write as _;

use xxhash_rust::xxh3::xxh3_64;

/// Written only when it is wanted: text costs more than what it tells.
#[derive(Default)]
pub struct Log {
    text: Option<String>,
}

impl Log {
    pub fn wanted() -> Log {
        Log { text: Some(String::new()) }
    }

    /// Notes what happened at this time, in microseconds since the run began.
    pub fn note(&mut self, micros: u64, what: impl FnOnce() -> String) {
        if let Some(text) = &mut self.text {
            writeln!(text, "{:>12.6} {}", micros as f64 / 1e6, what()).expect("a string takes it");
        }
    }

    pub fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    pub fn hash(&self) -> u64 {
        xxh3_64(self.text().as_bytes())
    }
}
