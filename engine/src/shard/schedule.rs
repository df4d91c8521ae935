//! Starting executions by time: `every`, `cron`, `after`. Times are UTC.

use std::collections::BTreeMap;

use croner::parser::{CronParser, Seconds};

use crate::ids::{DefinitionId, ExecutionId};
use crate::plan::Schedule;
use crate::time::Timestamp;

/// What a schedule waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// A moment.
    At(Timestamp),
    /// The end of the execution it started (`after`).
    Ended(ExecutionId),
}

/// The schedules of the definitions whose home is one shard.
#[derive(Default, Debug)]
pub(super) struct Schedules {
    due: BTreeMap<DefinitionId, Due>,
}

impl Schedules {
    pub fn get(&self, definition: DefinitionId) -> Option<Due> {
        self.due.get(&definition).copied()
    }

    pub fn set(&mut self, definition: DefinitionId, due: Option<Due>) {
        match due {
            Some(due) => self.due.insert(definition, due),
            None => self.due.remove(&definition),
        };
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (DefinitionId, Due)> {
        self.due.iter().map(|(definition, due)| (*definition, *due))
    }

    /// The next moment at which one is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.due.values().filter_map(|due| if let Due::At(at) = due { Some(*at) } else { None }).min()
    }

    /// Those that are due.
    pub fn due(&self, now: Timestamp) -> Vec<DefinitionId> {
        let due = self.due.iter().filter(|(_, due)| matches!(due, Due::At(at) if *at <= now));
        due.map(|(definition, _)| *definition).collect()
    }
}

/// When a schedule that becomes active at `now` first starts an execution. `after` begins at once.
pub(super) fn first(schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    match schedule {
        Schedule::Every(interval) => Some(interval.after(now)),
        Schedule::Cron(text) => next_by_cron(text, now),
        Schedule::After(_) => Some(now),
        Schedule::On { .. } => None,
    }
}

/// When it starts the next one after the one that was due at `at`. Starts that were missed are made up by a single one.
pub(super) fn next(schedule: &Schedule, at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    match schedule {
        Schedule::Every(interval) if interval.months == 0 && interval.micros > 0 => {
            let missed = now.micros_since(at) / interval.micros;
            Some(Timestamp(at.micros().saturating_add((missed + 1).saturating_mul(interval.micros))))
        }
        Schedule::Every(interval) => {
            let mut next = interval.after(at);
            while next <= now {
                next = interval.after(next);
            }
            Some(next)
        }
        Schedule::Cron(text) => next_by_cron(text, now),
        Schedule::After(_) | Schedule::On { .. } => None,
    }
}

fn next_by_cron(text: &str, now: Timestamp) -> Option<Timestamp> {
    let cron = CronParser::builder().seconds(Seconds::Disallowed).build().parse(text).ok()?;
    let next = cron.find_next_occurrence(&now.to_datetime(), false).ok()?;
    u64::try_from(next.timestamp_micros()).ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("a time")
    }

    #[test]
    fn an_interval_keeps_its_beat_and_makes_up_for_missed_starts_once() {
        let every = Schedule::Every(Duration::from_millis(60_000));
        let due = at("2026-01-01T00:01:00Z");
        assert_eq!(next(&every, due, at("2026-01-01T00:01:00.2Z")), Some(at("2026-01-01T00:02:00Z")));
        assert_eq!(next(&every, due, at("2026-01-01T00:10:30Z")), Some(at("2026-01-01T00:11:00Z")));
        let monthly = Schedule::Every(Duration { months: 1, micros: 0 });
        assert_eq!(next(&monthly, due, at("2026-03-15T00:00:00Z")), Some(at("2026-04-01T00:01:00Z")));
    }

    #[test]
    fn cron_is_read_in_utc() {
        let cron = Schedule::Cron("0 9 * * 1-5".into());
        assert_eq!(first(&cron, at("2026-11-20T09:00:00Z")), Some(at("2026-11-23T09:00:00Z")));
    }
}
