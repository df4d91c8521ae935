//! Waits between tries: longer each time, and not the same for everybody.

use std::time::Duration;

const MIN: Duration = Duration::from_millis(200);
const MAX: Duration = Duration::from_secs(20);

/// Waits that grow.
pub(crate) struct BackOff(Duration);

impl Default for BackOff {
    fn default() -> BackOff {
        BackOff(MIN)
    }
}

impl BackOff {
    /// The next wait: between half of the present one and all of it, so that many clients don't come back at once.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(MAX);
        let random = (uuid::Uuid::new_v4().as_u128() & 0xFFFF) as u32;
        wait / 2 + wait / 2 * random / 0x1_0000
    }

    /// All is well again.
    pub(crate) fn reset(&mut self) {
        self.0 = MIN;
    }
}
