//! Performance, measured by itself: what the shards measure becomes rollups by series and window, and windows become time
//! series that can be asked for counts and percentiles of any span.
//!
//! Measurements go to a [`Writer`], one per shard or thread; [`Analytics::tick`] closes the windows that are over, joins
//! those of all writers and keeps them in [`series::embedded`]; [`Analytics::performance`] answers from the open and the
//! closed ones. Nothing here reads a clock: time comes with the measurements and with the tick.
#![warn(missing_docs)]

mod error;
pub mod histogram;
pub mod performance;
pub mod rollup;
pub mod series;
#[cfg(test)]
mod tests;
mod window;
mod wire;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use trinity_engine::history::Measurement;
use trinity_engine::ids::{DefinitionId, TaskIx};
use trinity_engine::time::Timestamp;

pub use crate::error::AnalyticsError;
use crate::performance::{Performance, Query, Tally};
use crate::rollup::{Rollup, Window};
pub use crate::series::embedded::Retention;
use crate::series::embedded::{Series, Span};
pub use crate::window::Resolution;

/// A window stays open so long after its end, for measurements on their way. Later ones are not lost: they become a further
/// part of their window.
const GRACE: Duration = Duration::from_secs(2);
/// What is older than this counts as of so long ago: windows before that are compacted for good.
const LATE_MAX: Duration = Duration::from_secs(600);

/// Measures, keeps and answers. Shared by all threads.
pub struct Analytics {
    /// Taken before a rollup's lock by whoever takes both.
    series: RwLock<Series>,
    rollups: Mutex<Vec<Arc<Mutex<Rollup>>>>,
    retention: Retention,
    /// The latest tick.
    now: AtomicU64,
}

/// Where one shard or thread puts what it measures.
///
/// Its lock is taken once per batch, and by others only when a window closes or somebody asks.
#[derive(Clone)]
pub struct Writer {
    rollup: Arc<Mutex<Rollup>>,
}

impl Writer {
    /// Counts measurements.
    pub fn record(&self, measurements: &[Measurement]) {
        lock(&self.rollup).record(measurements);
    }
}

impl Analytics {
    /// With the time series that the directory holds, which is made if needed; `None`: in memory only. Only one process can
    /// have a directory open.
    pub fn open(dir: Option<PathBuf>, retention: Retention) -> Result<Analytics, AnalyticsError> {
        Ok(Analytics {
            series: RwLock::new(Series::open(dir.as_deref(), retention)?),
            rollups: Mutex::default(),
            retention,
            now: AtomicU64::new(0),
        })
    }

    /// One more writer. It is never given up: ask for one per shard or thread, and keep it.
    #[must_use]
    pub fn writer(&self) -> Writer {
        let rollup = Arc::<Mutex<Rollup>>::default();
        lock(&self.rollups).push(rollup.clone());
        Writer { rollup }
    }

    /// Closes the windows that are over at `now`, keeps them on disk, makes coarser ones, and drops what is too old. To be
    /// called every second or so, from a thread that may wait for the disk. After an error everything is still in memory,
    /// and the next tick tries again.
    pub fn tick(&self, now: Timestamp) -> Result<(), AnalyticsError> {
        self.now.store(now.0, Ordering::Relaxed);
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let floor = Resolution::Seconds.floor(earlier(now, LATE_MAX));
        self.close(&mut series, earlier(now, GRACE), floor)?;
        series.sync()?;
        series.compact(earlier(now, GRACE))?;
        series.retire(now)?;
        series.sync()
    }

    /// Keeps what was measured so far on disk, open windows as parts: before the process ends.
    pub fn flush(&self) -> Result<(), AnalyticsError> {
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        self.close(&mut series, Timestamp(u64::MAX), Timestamp(0))?;
        series.sync()
    }

    /// Counts and percentiles of a span, with what is not closed yet.
    ///
    /// `name` gives a task its name; tasks of the same name count together, such as those of several versions of a workflow,
    /// and a task without one (`None`) is left out. It is called once per task.
    pub fn performance<K: Ord + Clone>(
        &self,
        query: &Query<K>,
        name: impl FnMut(DefinitionId, TaskIx) -> Option<K>,
    ) -> Result<Performance<K>, AnalyticsError> {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let now = Timestamp(self.now.load(Ordering::Relaxed));
        let finest = self.finest(query.from, now);
        let step_micros = performance::step_micros(query.to.micros_since(query.from), query.step, finest.width());
        let mut tally = Tally::new(query, name, step_micros);
        let span = Span { range: query.from..query.to, step_micros };
        let covered = series.cover(&span, |start, block| -> Result<(), AnalyticsError> {
            wire::visit(block, |key, cell| tally.add(start, key, |sum| wire::add_cell(cell, sum)))?;
            Ok(())
        })?;
        let rollups = lock(&self.rollups).clone();
        for rollup in rollups {
            for (start, window) in lock(&rollup).open() {
                if !covered.contains(start) {
                    continue;
                }
                for (key, cell) in window.cells() {
                    let add = |sum: &mut rollup::Cell| -> Result<(), AnalyticsError> {
                        sum.merge(cell);
                        Ok(())
                    };
                    tally.add(*start, key, add)?;
                }
            }
        }
        Ok(tally.finish(covered, now))
    }

    /// The finest resolution that reaches back so far.
    fn finest(&self, from: Timestamp, now: Timestamp) -> Resolution {
        let reaches = |resolution: &Resolution| earlier(now, self.retention.age[*resolution as usize]) <= from;
        Resolution::ALL.into_iter().find(reaches).unwrap_or(Resolution::Hour)
    }

    /// Joins the windows of all writers that ended before `end`, and hands them to the series; all of them, even after an
    /// error.
    fn close(&self, series: &mut Series, end: Timestamp, floor: Timestamp) -> Result<(), AnalyticsError> {
        let mut closed = BTreeMap::<Timestamp, Window>::new();
        for rollup in &*lock(&self.rollups) {
            for (start, window) in lock(rollup).close(end, floor) {
                match closed.entry(start) {
                    Entry::Vacant(first) => {
                        first.insert(window);
                    }
                    Entry::Occupied(mut all) => all.get_mut().merge(&window),
                }
            }
        }
        let mut result = Ok(());
        for (start, window) in closed {
            result = result.and(series.append(start, &window));
        }
        result
    }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp(time.0.saturating_sub(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
}

/// A panic of another thread leaves counts as they are: at worst one measurement short.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
