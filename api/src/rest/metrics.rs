//! Counters for Prometheus, in its text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use http::{Method, StatusCode, header};
use trinity_actors::status::ShardStatus;
use trinity_engine::history::{Measurement, MeasurementKind};

use super::Shared;
use super::problem::Problem;

/// Upper bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// What is counted here; other counters belong to those whom they count.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(String, String, u16), Times>>,
    executions: Mutex<Executions>,
    /// Publications that a sink gave up.
    pub undeliverable: AtomicU64,
}

/// Executions since the start of the process.
#[derive(Debug, Default, Clone)]
struct Executions {
    started: u64,
    completed: Times,
    faulted: Times,
    cancelled: Times,
}

/// How many, and how long they took.
#[derive(Debug, Default, Clone)]
struct Times {
    count: u64,
    seconds: f64,
    /// Those that took no longer than the bucket's bound and longer than that of the one before.
    buckets: [u64; BUCKETS.len()],
}

impl Times {
    fn add(&mut self, seconds: f64, count: u64) {
        self.count += count;
        self.seconds += seconds * count as f64;
        if let Some(at) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            self.buckets[at] += count;
        }
    }
}

impl Metrics {
    pub(super) fn request(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let Ok(mut requests) = self.requests.lock() else { return };
        let entry = requests.entry((method.to_string(), route.to_owned(), status.as_u16())).or_default();
        entry.add(took.as_secs_f64(), 1);
    }

    /// Counts what the shards measured of executions.
    pub(crate) fn measured(&self, batch: &[Measurement]) {
        let Ok(mut executions) = self.executions.lock() else { return };
        for measurement in batch.iter().filter(|measurement| measurement.task.is_none()) {
            let (seconds, count) = (measurement.duration_micros as f64 / 1e6, measurement.count);
            match measurement.kind {
                MeasurementKind::Started => executions.started += count,
                MeasurementKind::Completed => executions.completed.add(seconds, count),
                MeasurementKind::Faulted => executions.faulted.add(seconds, count),
                MeasurementKind::Cancelled => executions.cancelled.add(seconds, count),
                MeasurementKind::Retried => {}
            }
        }
    }
}

/// A text that grows family by family.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], times: &Times) {
        let mut sum = 0;
        for (bound, count) in BUCKETS.iter().zip(times.buckets) {
            sum += count;
            let bound = bound.to_string();
            self.sample(&format!("{name}_bucket"), &[labels, &[("le", &bound)]].concat(), sum);
        }
        self.sample(&format!("{name}_bucket"), &[labels, &[("le", "+Inf")]].concat(), times.count);
        self.sample(&format!("{name}_sum"), labels, times.seconds);
        self.sample(&format!("{name}_count"), labels, times.count);
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

/// `GET /metrics`
pub(super) async fn expose(State(api): State<Shared>) -> Result<impl IntoResponse, Problem> {
    let mut out = Exposition::default();
    out.family("trinity_build_info", "gauge", "The version that runs.");
    let version = [("version", env!("CARGO_PKG_VERSION")), ("node", api.node_name.as_str())];
    out.sample("trinity_build_info", &version, 1);
    node(&mut out, &api);
    let definitions = api.definitions.library().lines().count();
    out.one("trinity_workflows", "gauge", "Workflows, deleted ones included.", definitions);
    let waiting = api.definitions.metadata().dead_letters_waiting().await?;
    out.one("trinity_dead_letters", "gauge", "Dead letters that wait for a second try.", waiting);
    endpoints(&mut out, &api);
    executions(&mut out, &api.metrics);
    requests(&mut out, &api.metrics);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], out.0))
}

fn node(out: &mut Exposition, api: &Shared) {
    let status = api.node.status();
    out.one("trinity_ready", "gauge", "Whether the node takes work.", u8::from(status.is_ready()));
    let live = api.node.reader().phases();
    out.family("trinity_executions_live", "gauge", "Executions that have not ended, by phase.");
    for (phase, count) in live {
        out.sample("trinity_executions_live", &[("phase", phase.as_str())], count);
    }
    let bytes = api.node.reader().bytes();
    out.one("trinity_journal_bytes", "gauge", "Size of the journal on the disk.", bytes);
    for (name, help, value) in [
        ("trinity_events_total", "Events taken, repetitions included.", &status.events),
        ("trinity_events_duplicate_total", "Events that were repetitions.", &status.duplicates),
        ("trinity_commits_total", "Blocks appended to the journal.", &status.commits),
        ("trinity_committed_bytes_total", "Bytes of records in them.", &status.committed_bytes),
        ("trinity_commit_micros_total", "Microseconds spent appending.", &status.commit_micros),
        ("trinity_panics_total", "Executions that were faulted because a step of them panicked.", &status.panics),
        (
            "trinity_executions_without_wakeup_total",
            "Live executions that were found with nothing to move them, and mended where possible. Always 0 but for defects.",
            &status.lost_wakeups,
        ),
    ] {
        out.one(name, "counter", help, value.get());
    }
    out.one("trinity_calls", "gauge", "Outside calls that run or wait for their turn.", status.calls());
    type Read = fn(&ShardStatus) -> u64;
    let families: [(&str, &str, &str, Read); 4] = [
        ("trinity_shard_queued", "gauge", "Inputs that wait for a step.", |shard| shard.queued.get()),
        ("trinity_shard_outbox", "gauge", "Messages and events that have not arrived.", |shard| shard.outbox.get()),
        ("trinity_shard_outbox_bytes", "gauge", "What the events among them take in memory.", |shard| {
            shard.publications_bytes.get()
        }),
        ("trinity_shard_restarts_total", "counter", "How often the shard was restarted.", |shard| shard.restarts.get()),
    ];
    for (name, kind, help, read) in families {
        out.family(name, kind, help);
        for (shard, state) in status.shards.iter().enumerate() {
            out.sample(name, &[("shard", &shard.to_string())], read(state));
        }
    }
    let lost = api.metrics.undeliverable.load(Ordering::Relaxed);
    out.one("trinity_publications_undeliverable_total", "counter", "Events that a sink gave up.", lost);
}

fn endpoints(out: &mut Exposition, api: &Shared) {
    type Read = fn(&trinity_ingest::status::Status) -> u64;
    let families: [(&str, &str, &str, Read); 8] = [
        ("trinity_endpoint_connected", "gauge", "Whether the broker answers.", |s| u64::from(s.is_connected())),
        ("trinity_endpoint_received_total", "counter", "Messages taken.", |s| s.received.get()),
        ("trinity_endpoint_accepted_total", "counter", "Messages that became events, or were delivered.", |s| {
            s.accepted.get()
        }),
        ("trinity_endpoint_acknowledged_total", "counter", "Messages acknowledged to the broker.", |s| {
            s.acknowledged.get()
        }),
        ("trinity_endpoint_duplicates_total", "counter", "Repetitions dropped.", |s| s.duplicates.get()),
        ("trinity_endpoint_dead_lettered_total", "counter", "Messages that could not be processed.", |s| {
            s.dead_lettered.get()
        }),
        ("trinity_endpoint_disconnects_total", "counter", "Connections lost or refused.", |s| s.disconnects.get()),
        ("trinity_endpoint_lag", "gauge", "Messages that wait in Kafka.", |s| s.lag()),
    ];
    for (name, kind, help, read) in families {
        out.family(name, kind, help);
        for endpoint in &api.endpoints {
            out.sample(name, &[("name", &endpoint.name), ("kind", endpoint.kind)], read(&endpoint.status));
        }
    }
}

fn requests(out: &mut Exposition, metrics: &Metrics) {
    let Ok(requests) = metrics.requests.lock().map(|requests| requests.clone()) else { return };
    let name = "trinity_http_request_duration_seconds";
    out.family(name, "histogram", "Requests, by how long they took.");
    for ((method, route, status), entry) in &requests {
        let status = status.to_string();
        let labels = [("method", method.as_str()), ("route", route), ("status", &status)];
        out.histogram(name, &labels, entry);
    }
}

fn executions(out: &mut Exposition, metrics: &Metrics) {
    let Ok(executions) = metrics.executions.lock().map(|executions| executions.clone()) else { return };
    let started = executions.started;
    out.one("trinity_executions_started_total", "counter", "Executions that began.", started);
    let name = "trinity_execution_duration_seconds";
    out.family(name, "histogram", "Executions that ended, by how they did and how long they took.");
    let ends =
        [("completed", &executions.completed), ("faulted", &executions.faulted), ("cancelled", &executions.cancelled)];
    for (end, times) in ends {
        out.histogram(name, &[("status", end)], times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_labels_escaped() {
        let metrics = Metrics::default();
        for millis in [1, 3, 70_000] {
            metrics.request(&Method::GET, "/a\"b", StatusCode::OK, Duration::from_millis(millis));
        }
        let mut out = Exposition::default();
        requests(&mut out, &metrics);
        let labels = "{method=\"GET\",route=\"/a\\\"b\",status=\"200\"";
        let name = "trinity_http_request_duration_seconds";
        for (bound, count) in [("0.001", 1), ("0.0025", 1), ("0.005", 2), ("30", 2), ("+Inf", 3)] {
            let line = format!("{name}_bucket{labels},le=\"{bound}\"}} {count}\n");
            assert!(out.0.contains(&line), "{line} in {}", out.0);
        }
        assert!(out.0.contains(&format!("{name}_count{labels}}} 3\n")));
    }
}
