//! The wall clock, read once for each step.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use trinity_engine::time::Timestamp;

/// The time.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// How long it is from now until `at`; nothing when it has passed.
#[must_use]
pub fn until(at: Timestamp) -> Duration {
    Duration::from_micros(at.micros_since(now()))
}
