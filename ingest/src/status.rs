//! State and counters of a source or sink, for metrics and readiness.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`: once per batch, not per message, where the rate is high.
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Its value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// State and counters of one source or sink. All are since the start of the process.
#[derive(Debug, Default)]
pub struct Status {
    /// Messages taken from a source, or deliveries taken by a sink.
    pub received: Counter,
    /// Messages that became events, or deliveries that arrived.
    pub accepted: Counter,
    /// Messages or deliveries that ended as dead letters.
    pub dead_lettered: Counter,
    /// Repetitions that the engine dropped; counted by the pump, for only the engine knows.
    pub duplicates: Counter,
    /// Messages acknowledged to the broker.
    pub acknowledged: Counter,
    /// Times the connection was lost or refused.
    pub disconnects: Counter,
    connected: AtomicBool,
    lag: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Status {
    /// Whether the broker answers.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Messages that wait in the source's Kafka partitions, as of the last few seconds.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.lag.load(Ordering::Relaxed)
    }

    /// What went wrong last; cleared by the next connection.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().ok()?.clone()
    }

    pub(crate) fn connected(&self) {
        self.connected.store(true, Ordering::Relaxed);
        self.set_error(None);
    }

    pub(crate) fn disconnected(&self, reason: String) {
        self.disconnects.add(1);
        self.connected.store(false, Ordering::Relaxed);
        self.set_error(Some(reason));
    }

    pub(crate) fn set_lag(&self, lag: i64) {
        self.lag.store(u64::try_from(lag).unwrap_or_default(), Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, reason: String) {
        self.set_error(Some(reason));
    }

    fn set_error(&self, reason: Option<String>) {
        if let Ok(mut last) = self.last_error.lock() {
            *last = reason;
        }
    }
}
