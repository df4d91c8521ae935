//! The whole way: measured, closed, kept, compacted, read again, answered.

mod answers;
mod files;
mod speed;

use std::path::Path;
use std::time::Duration;

use trinity_engine::history::{Measurement, MeasurementKind};
use trinity_engine::ids::{DefinitionId, TaskIx};
use trinity_engine::time::Timestamp;

use crate::performance::{Performance, Query};
use crate::{Analytics, Retention};

/// A whole hour, far from 1970.
const BEGIN: u64 = 1_795_046_400;
const HOUR: u64 = 3_600;

fn at(secs: u64) -> Timestamp {
    Timestamp((BEGIN + secs) * 1_000_000)
}

fn completed(secs: u64, duration_micros: u64) -> Measurement {
    Measurement {
        definition: DefinitionId(1),
        task: None,
        kind: MeasurementKind::Completed,
        time: at(secs),
        duration_micros,
        count: 1,
    }
}

fn query(from: u64, to: u64) -> Query<String> {
    Query { definitions: None, task: None, from: at(from), to: at(to), step: None }
}

fn step(secs: u64) -> Option<Duration> {
    Some(Duration::from_secs(secs))
}

fn named(definition: DefinitionId, task: TaskIx) -> Option<String> {
    Some(format!("{}/{}", definition.0, task.0))
}

fn ask(analytics: &Analytics, query: &Query<String>) -> Performance<String> {
    analytics.performance(query, named).expect("readable series")
}

fn on_disk(dir: &Path) -> Analytics {
    Analytics::open(Some(dir.to_owned()), Retention::default()).expect("a usable directory")
}

fn in_memory() -> Analytics {
    Analytics::open(None, Retention::default()).expect("memory")
}

/// Measures one execution of this duration at each of the seconds, with a tick at every tenth.
fn measure(analytics: &Analytics, secs: std::ops::Range<u64>, duration_micros: impl Fn(u64) -> u64) {
    let writer = analytics.writer();
    for second in secs.clone() {
        writer.record(&[completed(second, duration_micros(second))]);
        if second % 10 == 9 {
            analytics.tick(at(second + 1)).expect("a writable directory");
        }
    }
}
