//! What a run came to: as JSON, as a page with plots, and in a few lines.

mod html;
pub mod plot;

use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use crate::latency::Summary;
use crate::ledger::Audit;
use crate::run::Outcome;
use crate::step::Second;
use crate::verdict::{Bounds, Reason};
use plot::{Axis, Line, Plot};

/// A whole run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Version of the generator.
    pub version: String,
    /// Version of the server.
    pub server_version: String,
    /// How it was called.
    pub command: String,
    /// Name of the run, as in the ids of its messages.
    pub run: String,
    /// When it began, RFC 3339.
    pub began: String,
    /// What it ran on.
    pub machine: String,
    /// What was measured, in words.
    pub measured: String,
    /// What percentiles had to keep below.
    pub bounds: Bounds,
    /// Whether each execution's end was looked for.
    pub ends_checked: bool,
    /// CPU that the generator itself took, in seconds.
    pub generator_cpu_seconds: f64,
    /// Step by step.
    pub steps: Vec<StepReport>,
    /// Of a search, the highest rate that passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_rate: Option<f64>,
    /// Of a search, why it ended there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_ended: Option<String>,
    /// Whether somebody stopped it.
    pub interrupted: bool,
    /// Whether it is as it should be.
    pub passed: bool,
}

/// A step.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// Rates at its begin and its end, in messages a second.
    pub rate: (f64, f64),
    /// How long messages were sent, in seconds.
    pub length_seconds: f64,
    /// Until the last end, in seconds.
    pub wall_seconds: f64,
    /// When it began, in seconds after the begin of the run.
    pub offset_seconds: f64,
    /// The ledger's word.
    pub audit: Audit,
    /// How late the sender was by its own fault, in milliseconds.
    pub lag: Summary,
    /// From when a message was due until it was acknowledged, in milliseconds.
    pub ack: Summary,
    /// From when a message was due until its end was seen, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Summary>,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// Pairs of 1 / (1 - quantile) and milliseconds.
    pub distribution: Vec<(f64, f64)>,
    /// Why it did not pass.
    pub reasons: Vec<Reason>,
    /// Whether it passed.
    pub passed: bool,
}

impl StepReport {
    /// What a step came to.
    #[must_use]
    pub fn of(outcome: &Outcome) -> StepReport {
        let seen = outcome.ends_are_seen;
        let primary = if seen { &outcome.measured.end } else { &outcome.measured.ack };
        StepReport {
            rate: (outcome.schedule.from, outcome.schedule.to),
            length_seconds: outcome.schedule.length.as_secs_f64(),
            wall_seconds: outcome.wall.as_secs_f64(),
            offset_seconds: outcome.offset.as_secs_f64(),
            audit: outcome.audit.clone(),
            lag: outcome.measured.lag.summary(),
            ack: outcome.measured.ack.summary(),
            end: seen.then(|| outcome.measured.end.summary()),
            seconds: outcome.measured.seconds.clone(),
            distribution: primary.distribution(),
            reasons: outcome.reasons.clone(),
            passed: outcome.passed(),
        }
    }

    /// The latency that bounds are about: of ends where they are seen, else of acknowledgements.
    #[must_use]
    pub fn latency(&self) -> &Summary {
        self.end.as_ref().unwrap_or(&self.ack)
    }

    /// Its rate in words.
    #[must_use]
    pub fn rate_text(&self) -> String {
        let (from, to) = self.rate;
        if from == to { format!("{from:.0}") } else { format!("{from:.0}..{to:.0}") }
    }

    /// Why it did not pass, in words.
    #[must_use]
    pub fn verdict(&self) -> String {
        if self.passed {
            return "passed".into();
        }
        self.reasons.iter().map(|reason| reason.text.as_str()).collect::<Vec<_>>().join("; ")
    }
}

impl Report {
    /// A few lines for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{:<14} {:>9} {:>9} {:>9}", "rate/s", "sent", "acked", "ended");
        out.push_str(&format!(
            " {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  verdict\n",
            "late p99", "p50 ms", "p95", "p99", "p99.9", "max"
        ));
        for step in &self.steps {
            let (audit, latency) = (&step.audit, step.latency());
            let ended = if self.ends_checked { audit.ended.to_string() } else { "-".into() };
            out.push_str(&format!("{:<14} {:>9} {:>9} {ended:>9}", step.rate_text(), audit.sent, audit.acknowledged));
            for value in [step.lag.p99, latency.p50, latency.p95, latency.p99, latency.p999, latency.max] {
                out.push_str(&format!(" {value:>9.2}"));
            }
            out.push_str(&format!("  {}\n", step.verdict()));
            for example in &step.audit.examples {
                out.push_str(&format!("    {example}\n"));
            }
        }
        out.push_str(&format!("latency: {}\n", self.measured));
        let checked = if self.ends_checked { "each executed once, keys in order" } else { "ends not looked for" };
        let holds = self.steps.iter().all(|step| step.audit.holds());
        out.push_str(&format!("checked: {}\n", if holds { checked } else { "BROKEN" }));
        if let (Some(best), Some(why)) = (self.best_rate, &self.search_ended) {
            out.push_str(&format!("highest rate that passed: {best:.0}/s ({why})\n"));
        } else if let Some(why) = &self.search_ended {
            out.push_str(&format!("no rate passed ({why})\n"));
        }
        if self.interrupted {
            out.push_str("stopped early: what was sent until then\n");
        }
        out
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> String {
        // Numbers and text only: it can't fail.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// As a page that needs nothing else.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// The plots, each with the name of its file.
    #[must_use]
    pub fn plots(&self) -> Vec<(&'static str, Plot)> {
        let mut plots = Vec::new();
        if self.steps.len() > 1 {
            plots.push(("latency-against-rate", self.against_rate()));
        }
        plots.push(("latency-over-time", self.over_time()));
        plots.push(("latency-distribution", self.distributions()));
        plots.push(("rates-over-time", self.rates()));
        plots
    }

    /// Writes each plot as a file into a folder.
    ///
    /// # Errors
    /// The files can't be written.
    pub fn write_plots(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for (name, plot) in self.plots() {
            std::fs::write(folder.join(format!("{name}.svg")), plot.svg())?;
        }
        Ok(())
    }

    fn against_rate(&self) -> Plot {
        let mut steps: Vec<&StepReport> = self.steps.iter().filter(|step| step.latency().count > 0).collect();
        steps.sort_by(|a, b| a.rate.1.total_cmp(&b.rate.1));
        let line = |name: &str| {
            let points = steps.iter().map(|step| (step.rate.1, step.latency().get(name))).collect();
            Line::new(name, points).marked()
        };
        let mut lines = vec![line("p50"), line("p95"), line("p99")];
        if let (Some(bound), Some(first), Some(last)) = (self.bounds.p99, steps.first(), steps.last()) {
            lines.push(Line::new("bound of p99", vec![(first.rate.1, bound), (last.rate.1, bound)]).dashed());
        }
        let title = "Latency against load".into();
        Plot { title, x: Axis::linear("messages a second"), y: Axis::logarithmic("ms"), lines }
    }

    fn timeline(&self, value: impl Fn(&Second) -> f64) -> Vec<(f64, f64)> {
        let of = |step: &StepReport| {
            let offset = step.offset_seconds;
            step.seconds.iter().map(|second| (offset + second.at, value(second))).collect::<Vec<_>>()
        };
        self.steps.iter().flat_map(of).collect()
    }

    fn over_time(&self) -> Plot {
        let ends = self.steps.iter().any(|step| step.end.is_some());
        let line = |name: &str| {
            let of = |second: &Second| if ends { second.end } else { second.ack };
            let value = |second: &Second| if of(second).count > 0 { of(second).get(name) } else { f64::NAN };
            Line::new(name, self.timeline(value))
        };
        let lines = ["p50", "p95", "p99", "max"].map(line).into();
        let title = "Latency of each second".into();
        Plot { title, x: Axis::linear("seconds"), y: Axis::logarithmic("ms"), lines }
    }

    fn distributions(&self) -> Plot {
        let line = |step: &StepReport| Line::new(format!("{}/s", step.rate_text()), step.distribution.clone());
        // More can't be told apart: the last ones, which of a search are about its result.
        let first = self.steps.len().saturating_sub(6);
        let lines = self.steps[first..].iter().map(line).collect();
        let x = Axis::logarithmic("one message of so many takes longer (10 = p90, 100 = p99, …)");
        Plot { title: "Distribution of latencies".into(), x, y: Axis::logarithmic("ms"), lines }
    }

    fn rates(&self) -> Plot {
        let mut lines = vec![
            Line::new("wanted", self.timeline(|second| second.target)).dashed(),
            Line::new("sent", self.timeline(|second| second.sent)),
            Line::new("acknowledged", self.timeline(|second| second.acked)),
        ];
        if self.steps.iter().any(|step| step.end.is_some()) {
            lines.push(Line::new("ended", self.timeline(|second| second.ended)));
        }
        let title = "Wanted and achieved rate".into();
        Plot { title, x: Axis::linear("seconds"), y: Axis::linear("messages a second"), lines }
    }
}

/// The time now, RFC 3339.
#[must_use]
pub fn now() -> String {
    chrono::DateTime::<chrono::Utc>::from(SystemTime::now()).to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// What it runs on.
#[must_use]
pub fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("?");
    format!("{cpus} cores, {}, load {load} at the begin", model.trim_start_matches([':', '\t', ' ']))
}

/// CPU that this process took so far, in seconds.
#[must_use]
pub fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold blanks: count from its end. 100 ticks a second, on every Linux.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
