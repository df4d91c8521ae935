//! Rollups: measurements counted by series and window, while the windows are open.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHashMap;
use trinity_engine::history::{Measurement, MeasurementKind};
use trinity_engine::ids::{DefinitionId, TaskIx};
use trinity_engine::time::Timestamp;

use crate::histogram::Histogram;
use crate::window::Resolution;

/// What is counted apart: the executions of a definition, or one of its tasks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SeriesKey {
    /// Of this definition.
    pub definition: DefinitionId,
    /// The task; `None`: the executions.
    pub task: Option<TaskIx>,
}

impl Hash for SeriesKey {
    /// In one piece, for this is done for every measurement.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let task = self.task.map_or(0, |task| task.0.wrapping_add(1));
        state.write_u64(u64::from(self.definition.0) << 32 | u64::from(task));
    }
}

/// How often each thing happened.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Begun; executions only.
    pub started: u64,
    /// Ended well.
    pub completed: u64,
    /// Ended by an error.
    pub faulted: u64,
    /// Ended from outside.
    pub cancelled: u64,
    /// Tried anew; tasks only.
    pub retried: u64,
}

impl Counts {
    /// All that ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.completed + self.faulted + self.cancelled
    }

    fn merge(&mut self, other: &Counts) {
        self.started += other.started;
        self.completed += other.completed;
        self.faulted += other.faulted;
        self.cancelled += other.cancelled;
        self.retried += other.retried;
    }
}

/// One series in one window. Durations are in microseconds; those of what was cancelled are not kept, for they tell when
/// somebody lost interest.
#[derive(Clone, Default, Debug)]
pub struct Cell {
    /// How often each thing happened.
    pub counts: Counts,
    /// The durations of what ended well.
    pub completed: Histogram,
    /// The durations of what ended by an error.
    pub faulted: Histogram,
}

impl Cell {
    #[inline]
    fn record(&mut self, measurement: &Measurement) {
        let Measurement { kind, duration_micros, count, .. } = *measurement;
        match kind {
            MeasurementKind::Started => self.counts.started += count,
            MeasurementKind::Completed => {
                self.counts.completed += count;
                self.completed.record(duration_micros, count);
            }
            MeasurementKind::Faulted => {
                self.counts.faulted += count;
                self.faulted.record(duration_micros, count);
            }
            MeasurementKind::Cancelled => self.counts.cancelled += count,
            MeasurementKind::Retried => self.counts.retried += count,
        }
    }

    /// Adds another.
    pub fn merge(&mut self, other: &Cell) {
        self.counts.merge(&other.counts);
        self.completed.merge(&other.completed);
        self.faulted.merge(&other.faulted);
    }
}

/// The series of one window, each in the place that its first measurement gave it.
#[derive(Clone, Default, Debug)]
pub struct Window {
    places: FxHashMap<SeriesKey, u32>,
    cells: Vec<(SeriesKey, Cell)>,
}

impl Window {
    /// A series' cell, made when it is the first to be asked for.
    #[inline]
    pub fn cell(&mut self, key: SeriesKey) -> &mut Cell {
        let place = *self.places.entry(key).or_insert_with(|| {
            self.cells.push((key, Cell::default()));
            (self.cells.len() - 1) as u32
        });
        &mut self.cells[place as usize].1
    }

    /// Its series, in no order that means something.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = (SeriesKey, &Cell)> {
        self.cells.iter().map(|(key, cell)| (*key, cell))
    }

    /// Adds another.
    pub fn merge(&mut self, other: &Window) {
        for (key, cell) in other.cells() {
            self.cell(key).merge(cell);
        }
    }
}

/// Open windows of one rollup at most; what lies beyond is counted in the one opened last. More than a few are open only when
/// clocks jump.
const OPEN_MAX: usize = 128;

/// The open windows of one writer. It has no clock: a window is open until [`Rollup::close`] says that it is over.
#[derive(Default, Debug)]
pub struct Rollup {
    /// The one that the last measurement fell into is last.
    open: Vec<(Timestamp, Window)>,
    /// What is older counts as of this moment: windows before it may have been compacted for good.
    floor: Timestamp,
}

impl Rollup {
    /// Counts measurements.
    pub fn record(&mut self, measurements: &[Measurement]) {
        for measurement in measurements {
            let key = SeriesKey { definition: measurement.definition, task: measurement.task };
            self.window(measurement.time).cell(key).record(measurement);
        }
    }

    /// The windows that ended before `now`, which are not open any more; what comes later for them opens them anew.
    pub fn close(&mut self, now: Timestamp, floor: Timestamp) -> Vec<(Timestamp, Window)> {
        self.floor = floor;
        self.open.extract_if(.., |(start, _)| Resolution::Seconds.end(*start) <= now).collect()
    }

    /// The windows that are open.
    pub fn open(&self) -> &[(Timestamp, Window)] {
        &self.open
    }

    #[inline]
    fn window(&mut self, time: Timestamp) -> &mut Window {
        let time = time.max(self.floor);
        let current = |(start, _): &(Timestamp, Window)| *start <= time && time < Resolution::Seconds.end(*start);
        if !self.open.last().is_some_and(current) {
            match self.open.iter().position(current) {
                Some(place) => {
                    let last = self.open.len() - 1;
                    self.open.swap(place, last);
                }
                None if self.open.len() < OPEN_MAX => {
                    self.open.push((Resolution::Seconds.floor(time), Window::default()));
                }
                None => {}
            }
        }
        let last = self.open.len() - 1;
        &mut self.open[last].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(time_secs: u64, duration_micros: u64) -> Measurement {
        Measurement {
            definition: DefinitionId(1),
            task: None,
            kind: MeasurementKind::Completed,
            time: Timestamp::from_millis(time_secs * 1_000),
            duration_micros,
            count: 1,
        }
    }

    fn totals(windows: &[(Timestamp, Window)]) -> Vec<(u64, u64)> {
        let total = |window: &Window| window.cells().map(|(_, cell)| cell.counts.completed).sum();
        let mut totals: Vec<_> =
            windows.iter().map(|(start, window)| (start.millis() / 1_000, total(window))).collect();
        totals.sort_unstable();
        totals
    }

    #[test]
    fn a_window_is_open_until_it_is_over() {
        let mut rollup = Rollup::default();
        rollup.record(&[completed(100, 1), completed(109, 2), completed(110, 3), completed(105, 4)]);
        assert_eq!(totals(rollup.open()), [(100, 3), (110, 1)]);
        let none = rollup.close(Timestamp::from_millis(109_999), Timestamp(0));
        assert!(none.is_empty());
        assert_eq!(totals(&rollup.close(Timestamp::from_millis(110_000), Timestamp(0))), [(100, 3)]);
        assert_eq!(totals(rollup.open()), [(110, 1)]);
    }

    #[test]
    fn what_comes_late_opens_its_window_anew_and_what_comes_too_late_counts_at_the_floor() {
        let mut rollup = Rollup::default();
        rollup.close(Timestamp::from_millis(200_000), Timestamp::from_millis(150_000));
        rollup.record(&[completed(170, 1), completed(20, 1)]);
        assert_eq!(totals(rollup.open()), [(150, 1), (170, 1)]);
    }

    #[test]
    fn jumping_clocks_open_no_end_of_windows_and_lose_nothing() {
        let mut rollup = Rollup::default();
        for jump in 0..1_000 {
            rollup.record(&[completed(jump * 1_000, 1)]);
        }
        assert_eq!(rollup.open().len(), OPEN_MAX);
        assert_eq!(totals(rollup.open()).iter().map(|(_, count)| count).sum::<u64>(), 1_000);
    }

    #[test]
    fn durations_of_the_cancelled_are_not_kept() {
        let mut rollup = Rollup::default();
        let kinds =
            [MeasurementKind::Started, MeasurementKind::Faulted, MeasurementKind::Cancelled, MeasurementKind::Retried];
        for kind in kinds {
            rollup.record(&[Measurement { kind, ..completed(1, 7) }]);
        }
        let (_, window) = &rollup.open()[0];
        let (_, cell) = window.cells().next().expect("one series");
        assert_eq!(cell.counts, Counts { started: 1, completed: 0, faulted: 1, cancelled: 1, retried: 1 });
        assert_eq!((cell.completed.count(), cell.faulted.count()), (0, 1));
    }
}
