//! The time: the wall clock as it is, and the clock of a node, which goes on steadily when the wall clock is set back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trinity_engine::time::Timestamp;

/// While a clock is ahead of the wall clock it runs slower by this part of the time that passes, so that the wall clock
/// catches up and a timer of some seconds is still in time.
const SLOWER_BY: u64 = 16;

/// The time by the wall clock.
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

/// A clock that follows the wall clock forward and never back. When that is set back, this one goes on nearly as fast as
/// time passes: a timer is neither early for it nor late by it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What it showed when it was last in step with the wall clock, and the steady microseconds of then.
    shown: Timestamp,
    steady: u64,
}

impl Clock {
    /// One that shows `floor` at least, the time of what happened before it, at `steady` microseconds of a count that no
    /// setting of clocks changes.
    #[must_use]
    pub fn new(floor: Timestamp, steady: u64) -> Clock {
        Clock { shown: floor, steady }
    }

    /// What it shows at this time of the wall clock and this steady count.
    pub fn read(&mut self, wall: Timestamp, steady: u64) -> Timestamp {
        let passed = steady.saturating_sub(self.steady);
        let own = Timestamp(self.shown.micros().saturating_add(passed - passed / SLOWER_BY));
        if wall >= own {
            (self.shown, self.steady) = (wall, steady);
        }
        wall.max(own)
    }
}

/// A [`Clock`] on the clocks of this machine, one for a whole node: cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct SystemClock {
    clock: Arc<Mutex<Clock>>,
    begun: Instant,
}

impl SystemClock {
    /// One that shows `floor` at least.
    pub fn new(floor: Timestamp) -> SystemClock {
        SystemClock { clock: Arc::new(Mutex::new(Clock::new(floor, 0))), begun: Instant::now() }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        let steady = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).read(now(), steady)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_back_it_goes_on_a_little_slower_until_the_wall_clock_has_caught_up() {
        let mut clock = Clock::new(Timestamp(5), 0);
        assert_eq!(clock.read(Timestamp(1_000_000), 0), Timestamp(1_000_000));
        // An hour back: sixteen seconds later it has gone on by fifteen.
        let back = |passed: u64| Timestamp(1_000_000 + passed - 500_000);
        assert_eq!(clock.read(back(1_600_000), 1_600_000), Timestamp(2_500_000));
        assert_eq!(clock.read(back(8_000_000), 8_000_000), Timestamp(8_500_000));
        assert_eq!(clock.read(back(9_000_000), 9_000_000), Timestamp(9_500_000), "caught up");
    }

    #[test]
    fn it_follows_forward_and_begins_where_its_predecessor_ended() {
        let mut clock = Clock::new(Timestamp(7_000_000), 100);
        assert_eq!(clock.read(Timestamp(3_000_000), 1_600_100), Timestamp(8_500_000));
        assert_eq!(clock.read(Timestamp(60_000_000), 1_600_200), Timestamp(60_000_000));
    }
}
