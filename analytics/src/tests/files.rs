//! Files: what is kept, what a crash or a full disk leaves, what goes.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::AnalyticsError;

fn files(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    let ours = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    let mut files: Vec<_> = entries.filter(ours).collect();
    files.sort();
    files
}

fn hour(analytics: &Analytics) -> Performance<String> {
    ask(analytics, &Query { step: step(10), ..query(0, HOUR) })
}

#[test]
fn a_restart_keeps_everything_that_was_flushed() {
    let dir = tempfile::tempdir().expect("a directory");
    let analytics = on_disk(dir.path());
    measure(&analytics, 0..1_234, |second| second);
    analytics.flush().expect("a writable directory");
    let before = hour(&analytics);
    drop(analytics);
    let again = on_disk(dir.path());
    again.tick(at(1_240)).expect("a writable directory");
    let after = hour(&again);
    assert_eq!(before.executions.completed, 1_234);
    assert_eq!((before.series, before.duration_ms), (after.series, after.duration_ms));
    assert_eq!(after.executions.completed, 1_234);
}

#[test]
fn a_crash_loses_no_closed_window() {
    let dir = tempfile::tempdir().expect("a directory");
    let analytics = on_disk(dir.path());
    measure(&analytics, 0..100, |_| 1);
    analytics.writer().record(&[completed(100, 1)]);
    // No flush: the window of 90 s is in its grace, that of 100 s is open.
    drop(analytics);
    assert_eq!(hour(&on_disk(dir.path())).executions.completed, 90);
}

#[test]
fn blocks_written_twice_count_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let analytics = on_disk(dir.path());
    measure(&analytics, 0..600, |second| second);
    analytics.flush().expect("a writable directory");
    let before = hour(&analytics);
    drop(analytics);
    let mut frames = 0;
    for file in files(dir.path(), "1").iter().filter(|file| file.extension().is_some()) {
        let bytes = fs::read(file).expect("a file");
        fs::write(file, [&bytes[..], &bytes[8..]].concat()).expect("a writable file");
        frames += bytes.len() - 8;
    }
    assert!(frames > 0);
    let after = on_disk(dir.path());
    after.tick(at(700)).expect("a writable directory");
    let after = hour(&after);
    assert_eq!(before.executions.completed, after.executions.completed);
    assert_eq!(before.series, after.series);
}

#[test]
fn a_torn_tail_costs_only_what_was_torn_and_more_can_be_appended() {
    let dir = tempfile::tempdir().expect("a directory");
    let analytics = on_disk(dir.path());
    measure(&analytics, 0..100, |_| 1);
    drop(analytics);
    let [file] = &files(dir.path(), "10s-")[..] else { panic!("one file") };
    let whole = fs::read(file).expect("a file");
    for cut in 0..whole.len() {
        fs::write(file, &whole[..cut]).expect("a writable file");
        let torn = on_disk(dir.path());
        let left = hour(&torn).executions.completed;
        assert!(left < 90 && left.is_multiple_of(10), "{left} at {cut}");
        torn.writer().record(&[completed(500, 1)]);
        torn.flush().expect("a writable directory");
        drop(torn);
        assert_eq!(hour(&on_disk(dir.path())).executions.completed, left + 1, "at {cut}");
    }
}

#[test]
fn a_minute_is_made_anew_when_what_it_is_made_of_changed_before_a_crash() {
    let dir = tempfile::tempdir().expect("a directory");
    let analytics = on_disk(dir.path());
    measure(&analytics, 0..100, |_| 1);
    analytics.writer().record(&[completed(15, 1)]);
    // Kept as a part of its window of 10 s; its minute, made before, is not made anew.
    analytics.flush().expect("a writable directory");
    drop(analytics);
    let again = on_disk(dir.path());
    let minute = Query { step: step(60), ..query(0, 60) };
    assert_eq!(ask(&again, &minute).executions.completed, 61);
    again.tick(at(200)).expect("a writable directory");
    assert_eq!(ask(&again, &minute).executions.completed, 61);
}

#[test]
fn damage_is_told_with_its_place() {
    let dir = tempfile::tempdir().expect("a directory");
    let analytics = on_disk(dir.path());
    measure(&analytics, 0..40, |_| 1);
    let [file] = &files(dir.path(), "10s-")[..] else { panic!("one file") };
    let mut bytes = fs::read(file).expect("a file");
    bytes[8 + 12 + 3] ^= 1;
    fs::write(file, bytes).expect("a writable file");
    let error = analytics.performance(&query(0, 60), named).expect_err("damage");
    assert!(matches!(error, AnalyticsError::Damaged { at: 20, .. }), "{error}");
}

#[test]
fn a_directory_belongs_to_one_process() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = on_disk(dir.path());
    let second = Analytics::open(Some(dir.path().to_owned()), Retention::default());
    assert!(matches!(second, Err(AnalyticsError::InUse { .. })));
    drop(first);
    on_disk(dir.path());
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("10s-00000007.series");
    fs::write(&file, "a letter to my mother").expect("a writable directory");
    let opened = Analytics::open(Some(dir.path().to_owned()), Retention::default());
    assert!(matches!(opened, Err(AnalyticsError::Foreign { .. })));
    assert_eq!(fs::read_to_string(&file).expect("a file"), "a letter to my mother");
}

#[test]
fn a_disk_that_refuses_costs_nothing_when_it_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = dir.path().join("analytics");
    let analytics = on_disk(&place);
    fs::remove_dir_all(&place).expect("a directory to delete");
    analytics.writer().record(&[completed(5, 7_000)]);
    assert!(matches!(analytics.tick(at(20)), Err(AnalyticsError::File { .. })));
    assert_eq!(hour(&analytics).executions.completed, 1);
    fs::create_dir(&place).expect("a directory");
    analytics.tick(at(30)).expect("it is back");
    drop(analytics);
    assert_eq!(hour(&on_disk(&place)).executions.completed, 1);
}

#[test]
fn each_resolution_is_kept_for_its_time() {
    let retention =
        Retention { age: [2, 4, 1_000].map(|hours| Duration::from_secs(hours * HOUR)), ..Retention::default() };
    let analytics = Analytics::open(None, retention).expect("memory");
    let writer = analytics.writer();
    for minute in 0..8 * 60 {
        writer.record(&[completed(minute * 60 + 30, minute)]);
        analytics.tick(at(minute * 60 + 59)).expect("memory");
    }
    analytics.tick(at(8 * HOUR + 10)).expect("memory");
    let counted = |from, to, width| {
        let answer = ask(&analytics, &Query { step: step(width), ..query(from, to) });
        (answer.executions.completed, answer.window.to.0.saturating_sub(answer.window.from.0) / 1_000_000)
    };
    // The whole is in the hours; an old half-hour is answered by its hour, a younger one by minutes, a young one exactly.
    assert_eq!(counted(0, 8 * HOUR, 10), (480, 8 * HOUR));
    assert_eq!(counted(1_800, HOUR, 10), (60, HOUR));
    assert_eq!(counted(5 * HOUR + 1_795, 6 * HOUR, 10), (31, 1_860));
    assert_eq!(counted(8 * HOUR - 1_790, 8 * HOUR, 10), (30, 1_790));
}

/// Six hours with one window of 50 series a minute, in so many bytes: those on disk, and the executions of the last two
/// hours by 10 s and of all.
fn kept_within(bytes: u64) -> (u64, u64, u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let retention = Retention { bytes, ..Retention::default() };
    let analytics = Analytics::open(Some(dir.path().to_owned()), retention).expect("a usable directory");
    let writer = analytics.writer();
    let in_series = |definition| Measurement { definition: DefinitionId(definition), ..completed(0, 3_301) };
    let mut batch: Vec<_> = (0..50).map(in_series).collect();
    for minute in 0..6 * 60 {
        batch.iter_mut().for_each(|measurement| measurement.time = at(minute * 60));
        writer.record(&batch);
        analytics.tick(at(minute * 60 + 20)).expect("a writable directory");
    }
    analytics.tick(at(6 * HOUR + 20)).expect("a writable directory");
    let lengths = files(dir.path(), "1").into_iter().map(|file| fs::metadata(file).expect("a file").len());
    let recent = ask(&analytics, &Query { step: step(10), ..query(4 * HOUR + 60, 6 * HOUR) });
    assert_eq!(recent.series.iter().filter(|point| point.completed > 0).count(), 119);
    let whole = ask(&analytics, &query(0, 6 * HOUR));
    (lengths.sum(), recent.executions.completed / 50, whole.executions.completed / 50)
}

#[test]
fn beyond_the_bytes_the_oldest_of_the_finest_goes() {
    let (all, recent, whole) = kept_within(1 << 20);
    assert_eq!((recent, whole), (119, 360));
    let limit = all - all / 10;
    let (bytes, recent, whole) = kept_within(limit);
    assert!(bytes <= limit, "{bytes} of {limit}");
    // The hours still know of everything.
    assert_eq!((recent, whole), (119, 360));
}

#[test]
fn two_hours_are_kept_even_when_the_bytes_are_too_few() {
    let limit = 64 << 10;
    let (bytes, recent, whole) = kept_within(limit);
    assert!(bytes > limit && whole < 360, "{bytes} bytes, {whole} executions");
    assert_eq!(recent, 119);
}
