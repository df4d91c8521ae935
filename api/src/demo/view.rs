//! What the terminal shows: pure functions from what is known to text.

use std::fmt::Write as _;
use std::time::Duration;

use super::proof::Row;

/// Alerts that are shown.
const ALERTS_SHOWN: usize = 6;
const BAR: usize = 40;

/// What is known at a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub elapsed: Duration,
    pub duration: Duration,
    pub devices: usize,
    /// Messages published so far.
    pub published: u64,
    /// Messages a minute, over the last few seconds.
    pub published_per_minute: f64,
    /// Executions a minute, over the last few seconds.
    pub executed_per_minute: f64,
    pub workflows: Vec<Workflow>,
    /// Kinds of alerts and how many there were.
    pub alerts: Vec<(String, usize)>,
    /// The newest alerts last.
    pub recent: Vec<String>,
    /// Median and 99th percentile of the time from a reading to its alert, through broker, node and disk.
    pub latency: Option<(Duration, Duration)>,
    /// Requests to the flaky service, and how many of them failed.
    pub requests: (u64, u64),
}

/// Counts of one workflow.
#[derive(Clone, Debug, Default)]
pub(super) struct Workflow {
    pub name: String,
    pub started: u64,
    pub completed: u64,
    pub faulted: u64,
    /// Milliseconds, once there are any.
    pub p50: Option<f64>,
    pub p99: Option<f64>,
}

/// The live view of a terminal: lines without an end, no longer than `width`.
pub(super) fn live(snapshot: &Snapshot, width: usize) -> Vec<String> {
    let mut lines = vec![
        format!("Trinity  {} devices replay a recorded day over MQTT", snapshot.devices),
        String::new(),
        format!("{} {}", bar(snapshot), clock(snapshot)),
        String::new(),
        format!(
            "published  {:>9} messages   {:>9} a minute",
            grouped(snapshot.published),
            grouped(rounded(snapshot.published_per_minute))
        ),
        format!(
            "executed   {:>9} executions {:>9} a minute",
            grouped(snapshot.workflows.iter().map(|workflow| workflow.completed).sum()),
            grouped(rounded(snapshot.executed_per_minute))
        ),
        String::new(),
        format!(
            "{:<10} {:>9} {:>9} {:>8} {:>7} {:>11} {:>11}",
            "workflow", "started", "completed", "running", "faulted", "p50", "p99"
        ),
    ];
    for workflow in &snapshot.workflows {
        lines.push(format!(
            "{:<10} {:>9} {:>9} {:>8} {:>7} {:>11} {:>11}",
            workflow.name,
            grouped(workflow.started),
            grouped(workflow.completed),
            grouped(workflow.started.saturating_sub(workflow.completed + workflow.faulted)),
            grouped(workflow.faulted),
            time(workflow.p50),
            time(workflow.p99)
        ));
    }
    let (requests, failures) = snapshot.requests;
    lines.push(String::new());
    lines.push(format!(
        "flaky service  {} requests, {} of them failed and were tried again",
        grouped(requests),
        grouped(failures)
    ));
    let (p50, p99) = latency(snapshot);
    lines.push(format!("from a reading to its alert, through broker, node and disk: p50 {p50}, p99 {p99}"));
    lines.push(format!("alerts  {}", alerts(snapshot)));
    lines.extend(snapshot.recent.iter().rev().take(ALERTS_SHOWN).rev().map(|line| format!("  {line}")));
    lines.iter().map(|line| line.chars().take(width).collect()).collect()
}

/// The same in one line, for a log.
pub(super) fn line(snapshot: &Snapshot) -> String {
    let (p50, p99) = latency(snapshot);
    format!(
        "{} published {} ({}/min) executed {} ({}/min) reading to alert p50 {p50} p99 {p99} alerts {}",
        clock(snapshot),
        snapshot.published,
        rounded(snapshot.published_per_minute),
        snapshot.workflows.iter().map(|workflow| workflow.completed).sum::<u64>(),
        rounded(snapshot.executed_per_minute),
        alerts(snapshot)
    )
}

/// The proof at the end.
pub(super) fn proof(rows: &[Row]) -> String {
    let mut text = format!("{:<10} {:>11} {:>11} {:>11}\n", "workflow", "published", "executed", "completed");
    for row in rows {
        let mark = if row.holds() { "= each id once" } else { "DIFFERS" };
        // A string takes whatever is written to it.
        let _ = writeln!(
            text,
            "{:<10} {:>11} {:>11} {:>11}  {mark}",
            row.workflow,
            grouped(row.published as u64),
            grouped(row.executed as u64),
            grouped(row.completed as u64)
        );
    }
    for problem in rows.iter().flat_map(Row::problems) {
        let _ = writeln!(text, "  {problem}");
    }
    text
}

fn bar(snapshot: &Snapshot) -> String {
    let part = snapshot.elapsed.as_secs_f64() / snapshot.duration.as_secs_f64().max(0.001);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "0 to BAR"
    )]
    let full = (part.clamp(0.0, 1.0) * BAR as f64) as usize;
    format!("[{}{}]", "█".repeat(full), "·".repeat(BAR - full))
}

fn clock(snapshot: &Snapshot) -> String {
    format!("{:>3} s of {} s", snapshot.elapsed.as_secs().min(snapshot.duration.as_secs()), snapshot.duration.as_secs())
}

fn alerts(snapshot: &Snapshot) -> String {
    if snapshot.alerts.is_empty() {
        return "none yet".into();
    }
    let kinds: Vec<String> = snapshot.alerts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    kinds.join(", ")
}

/// Text of the median and the 99th percentile.
fn latency(snapshot: &Snapshot) -> (String, String) {
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    let (p50, p99) = snapshot.latency.unzip();
    (time(p50.map(millis)), time(p99.map(millis)))
}

fn rounded(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of not too many")]
    let whole = number.max(0.0).round() as u64;
    whole
}

/// A number with spaces between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A duration in milliseconds, in a unit that suits it.
fn time(millis: Option<f64>) -> String {
    match millis {
        None => "-".into(),
        // All of it happened in one step of its shard, at one time.
        Some(millis) if millis <= 0.0 => "one step".into(),
        Some(millis) if millis < 1.0 => format!("{:.0} µs", millis * 1_000.0),
        Some(millis) if millis < 1_000.0 => format!("{millis:.1} ms"),
        Some(millis) => format!("{:.2} s", millis / 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn snapshot() -> Snapshot {
        Snapshot {
            elapsed: Duration::from_millis(15_300),
            duration: Duration::from_secs(60),
            devices: 40,
            published: 3_456,
            published_per_minute: 14_401.6,
            executed_per_minute: 14_399.5,
            workflows: vec![
                Workflow {
                    name: "reading".into(),
                    started: 3_000,
                    completed: 2_999,
                    faulted: 0,
                    p50: Some(0.81),
                    p99: Some(4.25),
                },
                Workflow {
                    name: "heartbeat".into(),
                    started: 600,
                    completed: 560,
                    p50: Some(1_000.4),
                    ..Workflow::default()
                },
            ],
            alerts: vec![("wind.alert".into(), 12), ("device.silent".into(), 1)],
            recent: (1..=8).map(|number| format!("d00{number} wind of 2.6 m/s")).collect(),
            latency: Some((Duration::from_micros(3_200), Duration::from_micros(8_950))),
            requests: (40, 13),
        }
    }

    #[test]
    fn the_live_view() {
        expect![[r#"
            Trinity  40 devices replay a recorded day over MQTT

            [██████████······························]  15 s of 60 s

            published      3 456 messages      14 402 a minute
            executed       3 559 executions    14 400 a minute

            workflow     started completed  running faulted         p50         p99
            reading        3 000     2 999        1       0      810 µs      4.2 ms
            heartbeat        600       560       40       0      1.00 s           -

            flaky service  40 requests, 13 of them failed and were tried again
            from a reading to its alert, through broker, node and disk: p50 3.2 ms, p99 8.9 ms
            alerts  wind.alert 12, device.silent 1
              d003 wind of 2.6 m/s
              d004 wind of 2.6 m/s
              d005 wind of 2.6 m/s
              d006 wind of 2.6 m/s
              d007 wind of 2.6 m/s
              d008 wind of 2.6 m/s"#]]
        .assert_eq(&live(&snapshot(), 100).join("\n"));
        assert!(live(&snapshot(), 20).iter().all(|line| line.chars().count() <= 20));
        // Nothing is known yet.
        assert!(live(&Snapshot::default(), 80).iter().any(|line| line.contains("none yet")));
    }

    #[test]
    fn one_line_for_a_log() {
        expect![" 15 s of 60 s published 3456 (14402/min) executed 3559 (14400/min) reading to alert p50 3.2 ms p99 8.9 ms alerts wind.alert 12, device.silent 1"]
            .assert_eq(&line(&snapshot()));
    }

    #[test]
    fn the_proof_names_what_is_wrong() {
        let rows = [
            Row {
                workflow: "reading".into(),
                published: 12_000,
                executed: 12_000,
                completed: 12_000,
                ..Row::default()
            },
            Row {
                workflow: "wind".into(),
                published: 40,
                executed: 39,
                completed: 39,
                missing: vec!["d001-online-0".into()],
                ..Row::default()
            },
        ];
        expect![[r#"
            workflow     published    executed   completed
            reading         12 000      12 000      12 000  = each id once
            wind                40          39          39  DIFFERS
              wind: 1 without an execution: d001-online-0
        "#]]
        .assert_eq(&proof(&rows));
    }
}
