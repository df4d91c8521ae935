//! Which steps a run takes: one, several rates in turn, or a search.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ends::{Steps, watch as watch_ends};
use crate::message::Naming;
use crate::options::{Common, Load, Rate};
use crate::progress::Progress;
use crate::report::{Report, StepReport, cpu_seconds, machine, now};
use crate::run::{Outcome, Runner};
use crate::schedule::Schedule;
use crate::search::Search;
use crate::set_up::{SetUp, set_up};
use crate::verdict::{Bounds, Kind};

/// Between two steps, for what the last one left behind.
const PAUSE: Duration = Duration::from_millis(500);

/// What a search came to.
struct Found {
    best: Option<f64>,
    why: String,
}

/// Makes the load.
pub(crate) async fn run(load: &Load, common: &Common) -> Result<Report, String> {
    let began = now();
    let naming = Arc::new(Naming { run: common.run.clone().unwrap_or_else(made_up), keys: keys(load, common.keys) });
    let SetUp { target, ends, server, workflow, server_version, measured, mut helpers } =
        set_up(load, common, &naming).await?;
    let steps = Arc::new(Steps::new(naming.clone()));
    let mut watcher = watch_ends(&ends, &server, &steps).await?;
    let (stops, stopper) = stops();
    let progress = Progress::new(common.quiet);
    progress.say(&format!("run {}, server {server_version}; latency: {measured}", naming.run));
    let checked = ends.are_checked();
    let mut runner = Runner {
        target,
        ends,
        server,
        steps,
        workflow,
        keys: naming.keys,
        patience: common.patience,
        bounds: bounds(common),
        progress,
        stops,
        begun: Instant::now(),
    };
    let (outcomes, found) = all_steps(&mut runner, common, &progress).await?;
    if !runner.progress.is_quiet() {
        progress.say("");
    }
    stopper.abort();
    helpers.abort_all();
    // It only ends by itself when it has lost its way for good.
    if let Some(ended) = watcher.try_join_next() {
        return Err(ended.unwrap_or_else(|error| error.to_string()));
    }
    let interrupted = outcomes.iter().any(|outcome| outcome.interrupted);
    let passed = match &found {
        Some(found) => found.best.is_some() && !outcomes.iter().any(|outcome| outcome.failed_by(Kind::Invariant)),
        None => outcomes.iter().all(Outcome::passed),
    };
    Ok(Report {
        version: env!("CARGO_PKG_VERSION").into(),
        server_version,
        command: std::env::args().collect::<Vec<_>>().join(" "),
        run: naming.run.clone(),
        began,
        machine: machine(),
        measured,
        bounds: runner.bounds,
        ends_checked: checked,
        generator_cpu_seconds: cpu_seconds(),
        steps: outcomes.iter().map(StepReport::of).collect(),
        best_rate: found.as_ref().and_then(|found| found.best),
        search_ended: found.map(|found| found.why),
        interrupted,
        passed,
    })
}

async fn all_steps(
    runner: &mut Runner,
    common: &Common,
    progress: &Progress,
) -> Result<(Vec<Outcome>, Option<Found>), String> {
    let (length, count) = (common.duration, common.count.unwrap_or(u64::MAX));
    let (rates, mut outcomes) = match &common.rate {
        Rate::Rising(low, high) if common.find_rate => {
            let (outcomes, found) = search(runner, common, (*low, *high), progress).await?;
            return Ok((outcomes, Some(found)));
        }
        Rate::Rising(from, to) => (vec![(*from, *to)], Vec::new()),
        Rate::Constant(rate) => (vec![(*rate, *rate)], Vec::new()),
        Rate::Steps(rates) => (rates.iter().map(|rate| (*rate, *rate)).collect(), Vec::new()),
    };
    for (from, to) in rates {
        if !outcomes.is_empty() {
            tokio::time::sleep(PAUSE).await;
        }
        let outcome = runner.step(Schedule::new(from, to, length, count), common.warmup(), false).await?;
        let interrupted = outcome.interrupted;
        outcomes.push(outcome);
        if interrupted {
            break;
        }
    }
    Ok((outcomes, None))
}

async fn search(
    runner: &mut Runner,
    common: &Common,
    (low, high): (f64, f64),
    progress: &Progress,
) -> Result<(Vec<Outcome>, Found), String> {
    let mut search = Search::new(low, high, f64::from(common.precision) / 100.0, common.tries);
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut why = format!("{high:.0}/s was the highest to try");
    while let Some(rate) = search.next() {
        tokio::time::sleep(PAUSE).await;
        let schedule = Schedule::new(rate, rate, common.duration, common.count.unwrap_or(u64::MAX));
        let outcome = runner.step(schedule, common.warmup(), true).await?;
        let texts: Vec<&str> = outcome.reasons.iter().map(|reason| reason.text.as_str()).collect();
        let verdict = if texts.is_empty() { "passed".into() } else { texts.join("; ") };
        progress.say(&format!("{rate:.0}/s: {verdict}"));
        search.told(rate, outcome.passed());
        if !outcome.passed() {
            why = format!("at {rate:.0}/s: {verdict}");
        }
        let is_over = outcome.interrupted || outcome.failed_by(Kind::Invariant) || outcome.failed_by(Kind::Broken);
        outcomes.push(outcome);
        if is_over {
            break;
        }
    }
    if search.best() == Some(high) {
        why = format!("{high:.0}/s was the highest to try");
    }
    Ok((outcomes, Found { best: search.best(), why }))
}

fn bounds(common: &Common) -> Bounds {
    let millis = |bound: Option<Duration>| bound.map(|bound| bound.as_secs_f64() * 1_000.0);
    Bounds { p50: millis(common.p50), p95: millis(common.p95), p99: millis(common.p99) }
}

/// A key's messages must go over one connection: as many keys as make that come out even.
fn keys(load: &Load, wanted: u64) -> u64 {
    match load {
        Load::Mqtt(load) => wanted.next_multiple_of(load.connections),
        Load::Events(load) => wanted.next_multiple_of(load.connections),
        _ => wanted,
    }
}

/// A name that no other run has.
fn made_up() -> String {
    let micros = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_micros());
    let mut rest = micros as u64 ^ (u64::from(std::process::id()) << 44);
    let mut name = String::from("r");
    while rest > 0 {
        name.extend(char::from_digit((rest % 36) as u32, 36));
        rest /= 36;
    }
    name
}

/// How often Ctrl-C was pressed.
fn stops() -> (watch::Receiver<u32>, JoinHandle<()>) {
    let (tell, stops) = watch::channel(0);
    let stopper = tokio::spawn(async move {
        // Without signals there is nothing to hear.
        while tokio::signal::ctrl_c().await.is_ok() {
            tell.send_modify(|count| *count += 1);
        }
    });
    (stops, stopper)
}
