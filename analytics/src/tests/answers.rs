//! Answers are right, whatever was closed, compacted or still open.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::histogram::PRECISION;
use crate::performance::Durations;

fn percentile(sorted: &[u64], per_mille: usize) -> f64 {
    let place = (sorted.len() * per_mille).div_ceil(1_000).max(1);
    sorted[place - 1] as f64 / 1_000.0
}

fn check(found: Option<f64>, exact: f64) {
    let found = found.expect("something was measured");
    assert!(exact <= found && found <= exact * (1.0 + PRECISION), "{found} for {exact}");
}

/// The percentiles are those of all the values together.
fn check_durations(found: &Durations, mut values: Vec<u64>) {
    if values.is_empty() {
        assert_eq!(*found, Durations::default());
        return;
    }
    values.sort_unstable();
    check(found.p50, percentile(&values, 500));
    check(found.p90, percentile(&values, 900));
    check(found.p95, percentile(&values, 950));
    check(found.p99, percentile(&values, 990));
    check(found.p999, percentile(&values, 999));
    assert_eq!(found.max, values.last().map(|max| *max as f64 / 1_000.0));
    let mean = values.iter().sum::<u64>() / values.len() as u64;
    assert_eq!(found.mean, Some(mean as f64 / 1_000.0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Two writers, random times over three hours, ticks and restarts in between: any span and step gives what a list of all
    /// measurements gives.
    #[test]
    fn any_span_and_step_gives_the_percentiles_of_the_measurements_in_it(
        measured in prop::collection::vec((0..3 * HOUR, 0..5_000_000_u64, 0..2_usize), 1..300),
        ticks in prop::collection::btree_set(0..300_usize, 0..20),
        restarts in prop::collection::btree_set(0..300_usize, 0..4),
        from in 0..3 * HOUR,
        length in 1..3 * HOUR,
        wanted in 1..2_000_u64,
    ) {
        let mut measured = measured;
        measured.sort_unstable();
        let dir = tempfile::tempdir().expect("a directory");
        let mut analytics = on_disk(dir.path());
        let mut writers = [analytics.writer(), analytics.writer()];
        for (place, (second, duration, writer)) in measured.iter().enumerate() {
            writers[*writer].record(&[completed(*second, *duration)]);
            // Now and then, for only so many windows can be open.
            if ticks.contains(&place) || place % 100 == 99 {
                analytics.tick(at(*second)).expect("a writable directory");
            }
            if restarts.contains(&place) {
                analytics.flush().expect("a writable directory");
                drop(analytics);
                analytics = on_disk(dir.path());
                writers = [analytics.writer(), analytics.writer()];
            }
        }
        // Windows at the edges count whole.
        let to = (from + length).div_ceil(10) * 10;
        let in_span = |second: u64| (from / 10 * 10..to).contains(&second);
        let answer = ask(&analytics, &Query { step: step(wanted), ..query(from, from + length) });
        let values: Vec<_> = measured.iter().filter(|(second, ..)| in_span(*second)).collect();
        prop_assert_eq!(answer.executions.completed, values.len() as u64);
        prop_assert_eq!((answer.window.from, answer.window.to), (at(from / 10 * 10), at(to)));
        check_durations(&answer.duration_ms, values.iter().map(|(_, duration, _)| *duration).collect());
        prop_assert_eq!(answer.series.iter().map(|point| point.completed).sum::<u64>(), values.len() as u64);
        let width = answer.window.step_seconds;
        for (number, point) in answer.series.iter().enumerate() {
            prop_assert_eq!(point.time.0, answer.series[0].time.0 + number as u64 * width * 1_000_000);
            let end = Timestamp(point.time.0 + width * 1_000_000);
            let within = values.iter().filter(|(second, ..)| {
                // The window at the left edge may begin before the span; it counts as of the span's begin.
                let counted = at(*second / 10 * 10).max(at(from));
                point.time <= counted && counted < end
            });
            check_durations(&point.durations, within.map(|(_, duration, _)| *duration).collect());
        }
    }
}

#[test]
fn compacted_hours_answer_as_the_ten_seconds_did() {
    let (fine, compacted) = (in_memory(), in_memory());
    measure(&compacted, 0..3 * HOUR, |second| second * 37 % 90_000);
    let writer = fine.writer();
    for second in 0..3 * HOUR {
        writer.record(&[completed(second, second * 37 % 90_000)]);
        if second % 600 == 0 {
            // Without a tick there is no compaction.
            fine.flush().expect("memory");
        }
    }
    compacted.tick(at(3 * HOUR + 10)).expect("memory");
    let span = Query { step: step(HOUR), ..query(0, 3 * HOUR) };
    let (one, other) = (ask(&fine, &span), ask(&compacted, &span));
    assert_eq!(one.series, other.series);
    assert_eq!(one.duration_ms, other.duration_ms);
    assert_eq!(other.series.len(), 3);
}

#[test]
fn what_is_still_open_is_in_the_answer() {
    let analytics = in_memory();
    analytics.writer().record(&[completed(5, 2_000)]);
    let answer = ask(&analytics, &query(0, 60));
    assert_eq!(answer.executions.completed, 1);
    assert_eq!(answer.duration_ms.max, Some(2.0));
}

#[test]
fn what_comes_after_its_window_was_closed_and_compacted_is_counted_in_it() {
    let analytics = in_memory();
    measure(&analytics, 0..HOUR, |_| 1_000);
    analytics.tick(at(HOUR + 10)).expect("memory");
    analytics.writer().record(&[completed(HOUR - 300, 9_000)]);
    analytics.tick(at(HOUR + 20)).expect("memory");
    let answer = ask(&analytics, &Query { step: step(60), ..query(0, HOUR) });
    assert_eq!(answer.executions.completed, HOUR + 1);
    let point = answer.series.iter().find(|point| point.time == at(HOUR - 300)).expect("its minute");
    assert_eq!((point.completed, point.durations.max), (61, Some(9.0)));
}

#[test]
fn rate_is_over_the_span_so_far() {
    let analytics = in_memory();
    measure(&analytics, 0..120, |_| 1);
    let per_minute = |to| ask(&analytics, &query(0, to)).executions.per_minute;
    assert_eq!(per_minute(60), 60.0);
    // The last tick was at 120 s.
    assert_eq!(per_minute(HOUR), 60.0);
    assert_eq!(ask(&analytics, &query(HOUR, 2 * HOUR)).executions.per_minute, 0.0);
}

/// Two versions of a workflow with a task each, and another workflow.
fn with_tasks() -> Analytics {
    let analytics = in_memory();
    let writer = analytics.writer();
    for (definition, duration) in [(1, 10), (2, 30), (3, 500)] {
        let ended = |task, kind, duration_micros| Measurement {
            definition: DefinitionId(definition),
            task,
            kind,
            time: at(1),
            duration_micros,
            count: 1,
        };
        let task = Some(TaskIx(definition));
        writer.record(&[
            ended(None, MeasurementKind::Started, 0),
            ended(task, MeasurementKind::Retried, 0),
            ended(task, MeasurementKind::Completed, duration * 1_000),
            ended(Some(TaskIx(99)), MeasurementKind::Completed, 1),
            ended(None, MeasurementKind::Faulted, duration * 2_000),
            ended(None, MeasurementKind::Cancelled, 77_000_000),
        ]);
    }
    analytics
}

/// Names that versions share; task 99 has none.
fn by_workflow(_: DefinitionId, task: TaskIx) -> Option<&'static str> {
    match task.0 {
        1 | 2 => Some("/do/0/convert"),
        3 => Some("/do/0/other"),
        _ => None,
    }
}

fn of_workflow(task: Option<&'static str>) -> Query<&'static str> {
    let definitions = Some(BTreeSet::from([DefinitionId(1), DefinitionId(2)]));
    Query { definitions, task, from: at(0), to: at(10), step: None }
}

#[test]
fn tasks_of_the_same_name_count_together_and_other_workflows_do_not() {
    let answer = with_tasks().performance(&of_workflow(None), by_workflow).expect("memory");
    assert_eq!((answer.executions.started, answer.executions.faulted, answer.executions.cancelled), (2, 2, 2));
    assert_eq!(answer.duration_ms.max, Some(60.0));
    let [task] = &answer.tasks[..] else { panic!("one task: {:?}", answer.tasks) };
    assert_eq!((task.task, task.completed, task.retries), ("/do/0/convert", 2, 2));
    assert_eq!((task.duration_ms.mean, task.duration_ms.max), (Some(20.0), Some(30.0)));
}

#[test]
fn durations_and_series_are_of_the_task_that_is_asked_for() {
    let answer = with_tasks().performance(&of_workflow(Some("/do/0/convert")), by_workflow).expect("memory");
    assert_eq!(answer.executions.started, 2);
    assert_eq!(answer.duration_ms.max, Some(30.0));
    assert_eq!((answer.series[0].completed, answer.series[0].started), (2, None));
}

#[test]
fn the_answer_has_the_names_of_the_contract() {
    let query = Query { task: None, ..of_workflow(None) };
    let answer = with_tasks().performance(&query, by_workflow).expect("memory");
    let json = serde_json::to_value(&answer).expect("JSON");
    assert_eq!(json["window"]["from"], at(0).to_rfc3339());
    assert_eq!(json["executions"]["perMinute"], 24.0);
    assert_eq!(json["durationMs"]["max"], 60.0);
    assert!(json["durationMs"]["p999"].is_number());
    assert_eq!(json["tasks"][0]["retries"], 2);
    assert_eq!(json["series"][0]["time"], at(0).to_rfc3339());
    assert_eq!(json["series"][0]["started"], 2);
    assert!(json["series"][0]["p99"].is_number());
}

#[test]
fn nothing_measured_is_an_answer_too() {
    let answer = ask(&in_memory(), &Query { from: Timestamp(0), to: Timestamp(u64::MAX), ..query(0, 0) });
    assert_eq!(answer.executions, Default::default());
    assert_eq!(answer.duration_ms, Durations::default());
    let backwards = ask(&in_memory(), &query(100, 50));
    assert_eq!(backwards.executions.completed, 0);
}
