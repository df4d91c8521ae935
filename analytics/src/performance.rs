//! What is answered about a span of time: counts, and percentiles of the merged histograms.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Serialize, Serializer};
use trinity_engine::ids::{DefinitionId, TaskIx};
use trinity_engine::time::Timestamp;

use crate::histogram::Histogram;
use crate::rollup::{Cell, SeriesKey};

/// Steps to choose from when none is asked for, in seconds.
const STEPS: [u64; 10] = [10, 30, 60, 300, 600, 1_800, 3_600, 21_600, 86_400, 604_800];
/// Points that a step chosen by ourselves leads to, at most.
const POINTS_CHOSEN_MAX: u64 = 120;
/// Points of an answer: a smaller step is made larger.
const POINTS_MAX: u64 = 2_000;
const SECOND: u64 = 1_000_000;

/// What is asked. Tasks are named by `K`: see [`crate::Analytics::performance`].
#[derive(Clone, Debug)]
pub struct Query<K> {
    /// Of these definitions; `None`: of all.
    pub definitions: Option<BTreeSet<DefinitionId>>,
    /// Durations and series of this task instead of the executions.
    pub task: Option<K>,
    /// From here.
    pub from: Timestamp,
    /// Up to there.
    pub to: Timestamp,
    /// Width of a point of the series; made a multiple of 10 s, and wider where the data are. `None`: at most 120 points.
    pub step: Option<Duration>,
}

/// The answer, as the API gives it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Performance<K> {
    /// The span that is answered for.
    pub window: Span,
    /// The executions.
    pub executions: Executions,
    /// How long they took: those that ended well or by an error. With a task in the query: how long that took.
    pub duration_ms: Durations,
    /// Each task, by name.
    pub tasks: Vec<TaskPerformance<K>>,
    /// The span step by step, without a gap.
    pub series: Vec<Point>,
}

/// A span of time: that of the query, widened to whole windows.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// Its begin.
    #[serde(serialize_with = "rfc3339")]
    pub from: Timestamp,
    /// Its end.
    #[serde(serialize_with = "rfc3339")]
    pub to: Timestamp,
    /// Width of a point of the series.
    pub step_seconds: u64,
}

/// Executions by what happened.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Executions {
    /// Begun.
    pub started: u64,
    /// Ended well.
    pub completed: u64,
    /// Ended by an error.
    pub faulted: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// All that ended, by the minutes of the span so far.
    pub per_minute: f64,
}

/// Milliseconds, to the microsecond; all absent when nothing ended.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Durations {
    /// Half took no longer.
    pub p50: Option<f64>,
    /// 90 % took no longer.
    pub p90: Option<f64>,
    /// 95 % took no longer.
    pub p95: Option<f64>,
    /// 99 % took no longer.
    pub p99: Option<f64>,
    /// 99.9 % took no longer.
    pub p999: Option<f64>,
    /// The longest, exact.
    pub max: Option<f64>,
    /// The mean, exact.
    pub mean: Option<f64>,
}

/// A task.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskPerformance<K> {
    /// Its name.
    pub task: K,
    /// Ended well.
    pub completed: u64,
    /// Ended by an error.
    pub faulted: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// How often a `try` began anew.
    pub retries: u64,
    /// How long it took.
    pub duration_ms: Durations,
}

/// A step of the series.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Where it begins.
    #[serde(serialize_with = "rfc3339")]
    pub time: Timestamp,
    /// Begun. Of tasks it is not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// Ended well.
    pub completed: u64,
    /// Ended by an error.
    pub faulted: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// How long those took.
    #[serde(flatten)]
    pub durations: Durations,
}

impl Durations {
    fn of(cell: &Cell) -> Durations {
        let mut all = cell.completed.clone();
        all.merge(&cell.faulted);
        Durations::of_histogram(&all)
    }

    fn of_histogram(histogram: &Histogram) -> Durations {
        let Some([p50, p90, p95, p99, p999]) = histogram.percentiles([500, 900, 950, 990, 999]) else {
            return Durations::default();
        };
        let millis = |micros: u64| Some(micros as f64 / 1_000.0);
        let mean = histogram.sum() / histogram.count();
        Durations {
            p50: millis(p50),
            p90: millis(p90),
            p95: millis(p95),
            p99: millis(p99),
            p999: millis(p999),
            max: millis(histogram.max()),
            mean: millis(mean),
        }
    }
}

fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

/// The width of a point in microseconds: what is asked for if the data have it, never finer than `finest`.
pub(crate) fn step_micros(span_micros: u64, wanted: Option<Duration>, finest: Duration) -> u64 {
    let span = span_micros.div_ceil(SECOND);
    let finest = finest.as_secs().max(10);
    let seconds = match wanted {
        Some(wanted) => wanted.as_secs().max(span.div_ceil(POINTS_MAX)),
        None => STEPS.into_iter().find(|step| span.div_ceil(*step) <= POINTS_CHOSEN_MAX).unwrap_or(span / 100),
    };
    seconds.max(1).div_ceil(finest).saturating_mul(finest).saturating_mul(SECOND)
}

/// Adds up cells to an answer.
pub(crate) struct Tally<'a, K, F> {
    query: &'a Query<K>,
    name: F,
    step_micros: u64,
    executions: Cell,
    tasks: BTreeMap<K, Cell>,
    points: BTreeMap<u64, Cell>,
    /// What [`Tally::wanted`] found.
    known: FxHashMap<SeriesKey, Option<Wanted<K>>>,
}

/// What a series counts for.
#[derive(Clone)]
enum Wanted<K> {
    Executions,
    Task(K),
}

impl<'a, K: Ord + Clone, F: FnMut(DefinitionId, TaskIx) -> Option<K>> Tally<'a, K, F> {
    pub fn new(query: &'a Query<K>, name: F, step_micros: u64) -> Tally<'a, K, F> {
        Tally {
            query,
            name,
            step_micros,
            executions: Cell::default(),
            tasks: BTreeMap::new(),
            points: BTreeMap::new(),
            known: FxHashMap::default(),
        }
    }

    /// Adds what `add` adds to a cell, for a series in the window that begins at `start`; does not call it when the series is
    /// not asked for.
    pub fn add<E>(
        &mut self,
        start: Timestamp,
        key: SeriesKey,
        mut add: impl FnMut(&mut Cell) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(wanted) = self.wanted(key) else { return Ok(()) };
        let point = start.max(self.query.from).0 / self.step_micros;
        let in_series = match wanted {
            Wanted::Executions => {
                // Without a task in the query the points hold them, and are added up in the end.
                if self.query.task.is_some() {
                    add(&mut self.executions)?;
                }
                self.query.task.is_none()
            }
            Wanted::Task(task) => {
                add(self.tasks.entry(task).or_default())?;
                self.query.task.is_some()
            }
        };
        if in_series { add(self.points.entry(point).or_default()) } else { Ok(()) }
    }

    fn wanted(&mut self, key: SeriesKey) -> Option<Wanted<K>> {
        let Tally { query, name, known, .. } = self;
        let find = || {
            if query.definitions.as_ref().is_some_and(|definitions| !definitions.contains(&key.definition)) {
                return None;
            }
            let Some(task) = key.task else { return Some(Wanted::Executions) };
            let task = name(key.definition, task)?;
            query.task.as_ref().is_none_or(|asked| *asked == task).then_some(Wanted::Task(task))
        };
        known.entry(key).or_insert_with(find).clone()
    }

    /// The answer for what was `covered`. `now` is the latest tick, 0 before the first: the span so far ends there.
    pub fn finish(mut self, covered: std::ops::Range<Timestamp>, now: Timestamp) -> Performance<K> {
        let mut of_series = Cell::default();
        for point in self.points.values() {
            of_series.merge(point);
        }
        if self.query.task.is_none() {
            self.executions = of_series.clone();
        }
        let counts = self.executions.counts;
        let end = if now == Timestamp(0) { covered.end } else { covered.end.min(now) };
        let so_far = end.micros_since(covered.start);
        let minutes = so_far as f64 / (60 * SECOND) as f64;
        let per_minute = if minutes > 0.0 { counts.ended() as f64 / minutes } else { 0.0 };
        Performance {
            executions: Executions {
                started: counts.started,
                completed: counts.completed,
                faulted: counts.faulted,
                cancelled: counts.cancelled,
                per_minute: (per_minute * 1_000.0).round() / 1_000.0,
            },
            duration_ms: Durations::of(&of_series),
            series: self.series(&covered),
            window: Span { from: covered.start, to: covered.end, step_seconds: self.step_micros / SECOND },
            tasks: self.tasks.into_iter().map(|(task, cell)| TaskPerformance::of(task, &cell)).collect(),
        }
    }

    fn series(&self, covered: &std::ops::Range<Timestamp>) -> Vec<Point> {
        let first = covered.start.max(self.query.from).0 / self.step_micros;
        let after = covered.end.0.div_ceil(self.step_micros).max(first);
        let empty = Cell::default();
        let point = |number: u64| {
            let cell = self.points.get(&number).unwrap_or(&empty);
            Point {
                time: Timestamp(number * self.step_micros),
                started: self.query.task.is_none().then_some(cell.counts.started),
                completed: cell.counts.completed,
                faulted: cell.counts.faulted,
                cancelled: cell.counts.cancelled,
                durations: Durations::of(cell),
            }
        };
        (first..after).map(point).collect()
    }
}

impl<K> TaskPerformance<K> {
    fn of(task: K, cell: &Cell) -> TaskPerformance<K> {
        TaskPerformance {
            task,
            completed: cell.counts.completed,
            faulted: cell.counts.faulted,
            cancelled: cell.counts.cancelled,
            retries: cell.counts.retried,
            duration_ms: Durations::of(cell),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(span: u64, wanted: Option<u64>, finest: u64) -> u64 {
        step_micros(span * SECOND, wanted.map(Duration::from_secs), Duration::from_secs(finest)) / SECOND
    }

    #[test]
    fn steps_are_whole_windows_and_never_too_many() {
        assert_eq!(seconds(3_600, None, 10), 30);
        assert_eq!(seconds(86_400, None, 10), 1_800);
        assert_eq!(seconds(10, None, 10), 10);
        assert_eq!(seconds(3_600, Some(15), 10), 20);
        assert_eq!(seconds(3_600, Some(0), 10), 10);
        assert_eq!(seconds(3_600, Some(10), 60), 60);
        assert_eq!(seconds(86_400 * 30, Some(1), 10), 1_300);
        assert_eq!(seconds(86_400 * 365_000, None, 3_600) % 3_600, 0);
    }
}
