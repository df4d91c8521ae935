//! The report as a page: no script, no network, plots inside.

use std::fmt::Write as _;

use super::plot::escape;
use super::{Report, StepReport};

const STYLE: &str = "
:root{--ink:#222;--soft:#667;--rule:#ddd;--paper:#fff;--good:#1c7c46;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#ddd;--soft:#99a;--rule:#3a3a3a;--paper:#161616;--good:#5cc98a;--bad:#ff8a80}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .5rem;border-bottom:1px solid var(--rule);text-align:right;font-size:.9rem}
th{color:var(--soft);font-weight:500}td:last-child,th:last-child,.facts td,.facts th{text-align:left}
.good{color:var(--good)}.bad{color:var(--bad)}.soft{color:var(--soft)}.verdict{font-size:1.1rem;font-weight:600}
svg{width:100%;height:auto;margin:.8rem 0}code{font-size:.9em;overflow-wrap:anywhere}.scroll{overflow-x:auto}
";

/// The page of a report.
pub(super) fn page(report: &Report) -> String {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>Load test {run}</title><style>{STYLE}</style></head><body>\n<h1>Load test</h1>\n{verdict}{facts}",
        run = escape(&report.run),
        verdict = verdict(report),
        facts = facts(report),
    );
    out.push_str(&table(report));
    for (_, plot) in report.plots() {
        out.push_str(&plot.svg());
    }
    out.push_str("</body></html>\n");
    out
}

fn verdict(report: &Report) -> String {
    let (class, text) = if report.passed { ("good", "passed") } else { ("bad", "not passed") };
    let mut out = format!("<p class=\"verdict {class}\">{text}");
    if let Some(best) = report.best_rate {
        let _ = write!(out, ": {best:.0} messages a second is the highest rate within the bounds");
    }
    if report.interrupted {
        out.push_str(" (stopped early)");
    }
    out.push_str("</p>\n");
    if let Some(why) = &report.search_ended {
        let _ = writeln!(out, "<p class=\"soft\">{}</p>", escape(why));
    }
    out
}

fn facts(report: &Report) -> String {
    let bounds = [("p50", report.bounds.p50), ("p95", report.bounds.p95), ("p99", report.bounds.p99)];
    let bounds: Vec<String> =
        bounds.iter().filter_map(|(name, bound)| bound.map(|bound| format!("{name} ≤ {bound} ms"))).collect();
    let checked = if report.ends_checked {
        "each message executed once, those of a key in order"
    } else {
        "ends were not looked for"
    };
    let rows = [
        ("called", format!("<code>{}</code>", escape(&report.command))),
        ("measured", escape(&report.measured)),
        ("bounds", if bounds.is_empty() { "none".into() } else { bounds.join(", ") }),
        ("checked", checked.into()),
        ("began", escape(&report.began)),
        ("machine", escape(&report.machine)),
        ("versions", format!("generator {}, server {}", escape(&report.version), escape(&report.server_version))),
        ("generator", format!("{:.1} s of CPU", report.generator_cpu_seconds)),
    ];
    let rows: Vec<String> =
        rows.iter().map(|(name, value)| format!("<tr><th>{name}</th><td>{value}</td></tr>")).collect();
    format!("<table class=\"facts\">{}</table>\n", rows.join("\n"))
}

fn table(report: &Report) -> String {
    let mut out = String::from(
        "<h2>Steps</h2>\n<div class=\"scroll\"><table><tr><th>rate/s</th><th>s</th><th>sent</th><th>acked</th><th>ended</th>\
         <th>lost</th><th>doubled</th><th>disordered</th><th>sender late p99</th><th>p50 ms</th><th>p95</th><th>p99</th>\
         <th>p99.9</th><th>max</th><th>verdict</th></tr>\n",
    );
    for step in &report.steps {
        out.push_str(&row(step, report.ends_checked));
    }
    out.push_str("</table></div>\n");
    let examples: Vec<String> = report
        .steps
        .iter()
        .flat_map(|step| &step.audit.examples)
        .map(|text| format!("<li>{}</li>", escape(text)))
        .collect();
    if !examples.is_empty() {
        let _ = writeln!(out, "<ul class=\"bad\">{}</ul>", examples.join(""));
    }
    out
}

fn row(step: &StepReport, ends_checked: bool) -> String {
    let (audit, latency) = (&step.audit, step.latency());
    let known = |count: u64| if ends_checked { count.to_string() } else { "–".into() };
    let mut cells = vec![
        step.rate_text(),
        format!("{:.0}", step.length_seconds),
        audit.sent.to_string(),
        audit.acknowledged.to_string(),
        known(audit.ended),
        known(audit.lost),
        known(audit.doubled),
        known(audit.disordered),
        format!("{:.2}", step.lag.p99),
    ];
    cells.extend([latency.p50, latency.p95, latency.p99, latency.p999, latency.max].map(|value| format!("{value:.2}")));
    let cells: Vec<String> = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    let class = if step.passed { "good" } else { "bad" };
    format!("<tr>{}<td class=\"{class}\">{}</td></tr>\n", cells.join(""), escape(&step.verdict()))
}
