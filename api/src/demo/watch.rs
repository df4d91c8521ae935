//! Looks at the node from time to time and shows what it sees: a live view on a terminal, else a line now and then.

use std::collections::{BTreeMap, VecDeque};
use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossterm::cursor::{MoveToColumn, MoveUp};
use crossterm::queue;
use crossterm::style::Print;
use crossterm::terminal::{Clear, ClearType};

use super::alerts::{Alert, Alerts};
use super::client::Client;
use super::devices::Progress;
use super::script::Script;
use super::service::Service;
use super::view::{self, Snapshot};

/// Over how long rates are taken.
const RATE_SPAN: Duration = Duration::from_secs(5);
const EVERY_ON_TERMINAL: Duration = Duration::from_millis(500);
const EVERY_IN_LOG: Duration = Duration::from_secs(5);

/// What is shown, and what was seen before.
pub(super) struct Watch {
    client: Client,
    /// Names and ids.
    workflows: Vec<(&'static str, String)>,
    progress: Arc<Progress>,
    snapshot: Snapshot,
    start: Instant,
    /// Time, messages and executions.
    seen: VecDeque<(Instant, u64, u64)>,
    terminal: bool,
    /// Lines on the terminal that the next view replaces.
    lines: u16,
}

impl Watch {
    pub(super) fn new(
        script: &Script,
        duration: Duration,
        client: Client,
        workflows: Vec<(&'static str, String)>,
        progress: Arc<Progress>,
    ) -> Watch {
        Watch {
            client,
            workflows,
            progress,
            snapshot: Snapshot { duration, devices: script.devices, ..Snapshot::default() },
            start: Instant::now(),
            seen: VecDeque::new(),
            terminal: std::io::stdout().is_terminal(),
            lines: 0,
        }
    }

    /// How often to look.
    pub(super) fn every(&self) -> Duration {
        if self.terminal { EVERY_ON_TERMINAL } else { EVERY_IN_LOG }
    }

    /// Looks and shows.
    pub(super) async fn look(&mut self, alerts: &Alerts, service: &Service) {
        let mut workflows = Vec::new();
        for (name, id) in &self.workflows {
            match self.client.performance(name, id).await {
                Ok(workflow) => workflows.push(workflow),
                Err(error) => {
                    tracing::warn!(%error, "no figures");
                    return;
                }
            }
        }
        let executed = workflows.iter().map(|workflow| workflow.completed).sum();
        let published = self.progress.count();
        self.rates(published, executed);
        let counts = service.counts();
        self.snapshot.elapsed = self.start.elapsed();
        self.snapshot.published = published;
        self.snapshot.workflows = workflows;
        self.snapshot.requests = (counts.requests, counts.failures);
        let seen = alerts.seen();
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for alert in &seen {
            *kinds.entry(short(&alert.kind)).or_default() += 1;
        }
        self.snapshot.alerts = kinds.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect();
        self.snapshot.latency = self.latency(&seen);
        self.snapshot.recent = seen.iter().rev().take(10).rev().map(describe).collect();
        if let Err(error) = self.show() {
            tracing::warn!(%error, "the view can't be shown");
        }
    }

    /// Median and 99th percentile of the time from a reading to its alert.
    fn latency(&self, alerts: &[Alert]) -> Option<(Duration, Duration)> {
        let windy = alerts.iter().filter(|alert| alert.kind == "com.example.wind.alert");
        let took = windy.filter_map(|alert| {
            let sent = self.progress.sent(&alert.subject, alert.data["time"].as_str()?)?;
            Some(alert.at.saturating_duration_since(sent))
        });
        let mut took: Vec<Duration> = took.collect();
        took.sort_unstable();
        let last = took.len().checked_sub(1)?;
        Some((took[last / 2], took[last * 99 / 100]))
    }

    fn rates(&mut self, published: u64, executed: u64) {
        let now = Instant::now();
        self.seen.push_back((now, published, executed));
        while self.seen.len() > 2 && now.duration_since(self.seen[1].0) >= RATE_SPAN {
            self.seen.pop_front();
        }
        if let Some((then, before, done)) = self.seen.front().copied()
            && now > then
        {
            let minutes = now.duration_since(then).as_secs_f64() / 60.0;
            #[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / minutes;
            self.snapshot.published_per_minute = rate(published, before);
            self.snapshot.executed_per_minute = rate(executed, done);
        }
    }

    fn show(&mut self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if !self.terminal {
            return writeln!(out, "{}", view::line(&self.snapshot));
        }
        let (width, height) = crossterm::terminal::size().unwrap_or((100, 40));
        let mut lines = view::live(&self.snapshot, usize::from(width.saturating_sub(1)));
        lines.truncate(usize::from(height.saturating_sub(1)));
        if self.lines > 0 {
            queue!(out, MoveUp(self.lines))?;
        }
        queue!(out, MoveToColumn(0), Clear(ClearType::FromCursorDown))?;
        for line in &lines {
            queue!(out, Print(line), Print("\r\n"))?;
        }
        self.lines = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        out.flush()
    }
}

/// A type without what all have in common.
fn short(kind: &str) -> &str {
    kind.strip_prefix("com.example.").unwrap_or(kind)
}

fn describe(alert: &Alert) -> String {
    match short(&alert.kind) {
        "wind.alert" => {
            format!("{}  wind of {} m/s, recorded at {}", alert.subject, alert.data["windSpeed"], time(alert))
        }
        "wind.clear" => format!("{}  calm again, recorded at {}", alert.subject, time(alert)),
        "device.silent" => format!("{}  no heartbeat for 3 s", alert.subject),
        other => format!("{}  {other}", alert.subject),
    }
}

/// Hours and minutes of the recording.
fn time(alert: &Alert) -> &str {
    alert.data["time"].as_str().and_then(|time| time.get(11..16)).unwrap_or("?")
}
