//! The time: the wall clock as it is, and the clock of a node, which goes on steadily when the wall clock is set back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use trinity_engine::time::Timestamp;

/// While a clock is ahead of the wall clock it runs slower by this part of the time that passes, so that the wall clock
/// catches up and a timer of some seconds is still in time.
const SLOWER_BY: u64 = 16;
/// A wall clock that is ahead by no more microseconds than this was not set, but is kept in step with others. A timer is early
/// by no more than that.
pub const IN_STEP: u64 = 20_000;
/// One that is ahead by more than this, a day, had not been set before.
const UNSET: u64 = 24 * 3600 * 1_000_000;

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

/// A clock that runs as fast as time passes, whatever is done to the wall clock: a timer is neither early nor late by it. It
/// keeps in step with a wall clock that was not set, and follows one that is ahead by more than [`UNSET`].
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What it showed, at these steady microseconds.
    shown: Timestamp,
    steady: u64,
}

impl Clock {
    /// One that shows `floor` at least, the time of what happened before it, at `steady` microseconds of a count that no
    /// setting of clocks changes. It begins with the wall clock.
    #[must_use]
    pub fn new(floor: Timestamp, wall: Timestamp, steady: u64) -> Clock {
        Clock { shown: floor.max(wall), steady }
    }

    /// What it shows at this time of the wall clock and this steady count.
    pub fn read(&mut self, wall: Timestamp, steady: u64) -> Timestamp {
        let passed = steady.saturating_sub(self.steady);
        let even = Timestamp(self.shown.micros().saturating_add(passed));
        let slow = Timestamp(even.micros() - passed / SLOWER_BY);
        let ahead = wall.micros_since(even);
        let now = match wall < even {
            // It is let catch up.
            true => slow.max(wall),
            false if ahead <= IN_STEP || ahead > UNSET => wall,
            false => even,
        };
        // A part of the pause that is too short to be counted is counted the next time.
        if now != slow || passed >= 1_000 * SLOWER_BY {
            (self.shown, self.steady) = (now, steady);
        }
        now
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
        SystemClock { clock: Arc::new(Mutex::new(Clock::new(floor, now(), 0))), begun: Instant::now() }
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

    const HOUR: u64 = 3600 * 1_000_000;

    #[test]
    fn set_back_it_goes_on_a_little_slower_until_the_wall_clock_has_caught_up() {
        let mut clock = Clock::new(Timestamp(5), Timestamp(1_000_000), 0);
        assert_eq!(clock.read(Timestamp(1_000_000), 0), Timestamp(1_000_000));
        // Half a second back: sixteen seconds later it would have gone on by fifteen.
        let back = |passed: u64| Timestamp(1_000_000 + passed - 500_000);
        assert_eq!(clock.read(back(1_600_000), 1_600_000), Timestamp(2_500_000));
        assert_eq!(clock.read(back(8_000_000), 8_000_000), Timestamp(8_500_000));
        assert_eq!(clock.read(back(9_000_000), 9_000_000), Timestamp(9_500_000), "caught up");
    }

    #[test]
    fn read_often_it_is_slower_all_the_same() {
        let mut clock = Clock::new(Timestamp(HOUR), Timestamp(0), 0);
        let last = (0..=1_600_000).step_by(7).map(|steady| clock.read(Timestamp(steady), steady)).last();
        let passed = last.expect("one").micros() - HOUR;
        assert!((1_499_000..1_502_000).contains(&passed), "{passed}");
    }

    #[test]
    fn set_ahead_it_goes_on_evenly_and_back_again_it_does_not_go_back() {
        let mut clock = Clock::new(Timestamp(0), Timestamp(HOUR), 0);
        assert_eq!(clock.read(Timestamp(2 * HOUR), 5), Timestamp(HOUR + 5));
        assert_eq!(clock.read(Timestamp(2 * HOUR + 1_000_000), 1_000_005), Timestamp(HOUR + 1_000_005));
        assert_eq!(clock.read(Timestamp(HOUR + 1_000_015), 1_000_015), Timestamp(HOUR + 1_000_015), "right again");
        assert_eq!(clock.read(Timestamp(0), 1_000_031), Timestamp(HOUR + 1_000_030));
        assert_eq!(clock.read(Timestamp(2 * HOUR), 1_000_031), Timestamp(HOUR + 1_000_031));
    }

    #[test]
    fn it_keeps_in_step_and_follows_a_clock_that_had_not_been_set() {
        let mut clock = Clock::new(Timestamp(7_000_000), Timestamp(3_000_000), 100);
        assert_eq!(
            clock.read(Timestamp(3_000_000), 1_600_100),
            Timestamp(8_500_000),
            "it begins where its predecessor ended"
        );
        let mut clock = Clock::new(Timestamp(0), Timestamp(0), 0);
        assert_eq!(clock.read(Timestamp(15_000), 5), Timestamp(15_000));
        assert_eq!(clock.read(Timestamp(25 * HOUR), 10), Timestamp(25 * HOUR));
    }
}
