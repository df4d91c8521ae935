//! Windows of time, and the three resolutions in which they are kept.

use std::time::Duration;

use trinity_engine::time::Timestamp;

/// How wide a window is. Each is a whole number of the one before it, and all begin at whole multiples of their width
/// since 1970, so that a wider window is exactly the union of narrower ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Resolution {
    /// 10 s: as measured.
    Seconds = 0,
    /// 1 min, from six of 10 s.
    Minute = 1,
    /// 1 h, from sixty of 1 min.
    Hour = 2,
}

impl Resolution {
    /// All of them, the finest first.
    pub const ALL: [Resolution; 3] = [Resolution::Seconds, Resolution::Minute, Resolution::Hour];

    /// The width of a window.
    #[must_use]
    pub const fn width(self) -> Duration {
        Duration::from_secs(match self {
            Resolution::Seconds => 10,
            Resolution::Minute => 60,
            Resolution::Hour => 3_600,
        })
    }

    /// The width in microseconds.
    pub(crate) const fn micros(self) -> u64 {
        self.width().as_micros() as u64
    }

    /// The start of the window that holds a moment.
    #[must_use]
    pub const fn floor(self, time: Timestamp) -> Timestamp {
        Timestamp(time.0 - time.0 % self.micros())
    }

    /// The first start of a window that is not before a moment.
    #[must_use]
    pub const fn ceil(self, time: Timestamp) -> Timestamp {
        self.floor(Timestamp(time.0.saturating_add(self.micros() - 1)))
    }

    /// Where the window that begins at `start` ends; the end is the next one's.
    pub(crate) const fn end(self, start: Timestamp) -> Timestamp {
        Timestamp(start.0.saturating_add(self.micros()))
    }

    /// The next finer one, of which its windows are made.
    pub(crate) const fn finer(self) -> Option<Resolution> {
        match self {
            Resolution::Seconds => None,
            Resolution::Minute => Some(Resolution::Seconds),
            Resolution::Hour => Some(Resolution::Minute),
        }
    }

    /// The next coarser one.
    pub(crate) const fn coarser(self) -> Option<Resolution> {
        match self {
            Resolution::Seconds => Some(Resolution::Minute),
            Resolution::Minute => Some(Resolution::Hour),
            Resolution::Hour => None,
        }
    }

    /// Its name in file names.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Resolution::Seconds => "10s",
            Resolution::Minute => "1m",
            Resolution::Hour => "1h",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_nest() {
        let time = Timestamp(1_795_000_123_456_789);
        for resolution in Resolution::ALL {
            let start = resolution.floor(time);
            assert!(start <= time && time < resolution.end(start));
            assert_eq!(resolution.ceil(time), resolution.end(start));
            assert_eq!(resolution.ceil(start), start);
            if let Some(finer) = resolution.finer() {
                assert_eq!(resolution.micros() % finer.micros(), 0);
                assert_eq!(finer.coarser(), Some(resolution));
            }
        }
    }
}
