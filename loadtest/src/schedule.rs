//! When each message is due: a rate that is constant or rises evenly. The n-th message has a time of its own, whatever the
//! sender and the server do; latencies are measured from it.

use std::time::Duration;

/// A rate in messages a second that goes evenly from one value to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Rate at the begin.
    pub from: f64,
    /// Rate at the end.
    pub to: f64,
    /// How long it goes on.
    pub length: Duration,
    /// Messages at most.
    count_max: u64,
}

impl Schedule {
    /// A rate that goes from one value to another.
    #[must_use]
    pub fn new(from: f64, to: f64, length: Duration, count_max: u64) -> Schedule {
        Schedule { from, to, length, count_max }
    }

    /// A constant rate.
    #[cfg(test)]
    #[must_use]
    pub fn constant(rate: f64, length: Duration) -> Schedule {
        Schedule::new(rate, rate, length, u64::MAX)
    }

    /// How many messages there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        (self.before(self.length).ceil() as u64).min(self.count_max)
    }

    /// How many are due after so long.
    #[must_use]
    pub fn due(&self, after: Duration) -> u64 {
        if after >= self.length {
            return self.count();
        }
        (self.before(after).floor() as u64 + 1).min(self.count())
    }

    /// When the n-th is due, counted from 0.
    #[must_use]
    pub fn at(&self, n: u64) -> Duration {
        // The smaller root of slope t² + from t = n, in the form that does not cancel.
        let root = (self.from * self.from + 4.0 * self.slope() * n as f64).max(0.0).sqrt();
        let seconds = if n == 0 { 0.0 } else { 2.0 * n as f64 / (self.from + root) };
        Duration::from_secs_f64(seconds.min(self.length.as_secs_f64()))
    }

    /// The rate after so long.
    #[must_use]
    pub fn rate(&self, after: Duration) -> f64 {
        let part = (after.as_secs_f64() / self.length.as_secs_f64()).clamp(0.0, 1.0);
        self.from + (self.to - self.from) * part
    }

    /// Half of what the rate rises in a second.
    fn slope(&self) -> f64 {
        (self.to - self.from) / (2.0 * self.length.as_secs_f64())
    }

    /// Messages whose time is before `after`, as a real number.
    fn before(&self, after: Duration) -> f64 {
        let t = after.as_secs_f64();
        self.from * t + self.slope() * t * t
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(tenths: u64) -> Duration {
        Duration::from_millis(tenths * 100)
    }

    #[test]
    fn a_constant_rate_is_evenly_spaced() {
        let schedule = Schedule::constant(10.0, second(20));
        assert_eq!(schedule.count(), 20);
        assert_eq!(schedule.at(0), Duration::ZERO);
        assert_eq!(schedule.at(15), second(15));
        assert_eq!(schedule.due(Duration::ZERO), 1);
        assert_eq!(schedule.due(Duration::from_millis(199)), 2);
        assert_eq!(schedule.due(Duration::from_millis(201)), 3);
        assert_eq!(schedule.due(second(50)), 20);
    }

    #[test]
    fn a_rising_rate_sends_the_area_below_it() {
        let schedule = Schedule::new(100.0, 300.0, second(100), u64::MAX);
        assert_eq!(schedule.count(), 2_000);
        assert_eq!(schedule.rate(second(50)), 200.0);
        // 100 t + 10 t² = 750 at t = 5.
        assert!(schedule.at(750).abs_diff(second(50)) < Duration::from_micros(1));
        for n in [0, 1, 17, 750, 1_999] {
            let at = schedule.at(n);
            assert_eq!(schedule.due(at + Duration::from_nanos(100)), n + 1, "{n}");
            assert!(n == 0 || schedule.due(at.saturating_sub(Duration::from_micros(1))) <= n, "{n}");
        }
        let falling = Schedule::new(300.0, 100.0, second(100), u64::MAX);
        assert_eq!(falling.count(), 2_000);
        assert!(falling.at(1_250).abs_diff(second(50)) < Duration::from_micros(1));
    }

    #[test]
    fn the_count_is_bounded() {
        let schedule = Schedule::new(1_000.0, 1_000.0, second(100), 42);
        assert_eq!((schedule.count(), schedule.due(second(1)), schedule.due(second(99))), (42, 42, 42));
    }
}
