//! What an execution of W1 costs when much is stored, and when many workflows wait for events; and what it costs to look
//! something up then.

use std::time::Instant;

use hdrhistogram::Histogram;
use serde_json::json;
use trinity_actors::handle::Handle;
use trinity_actors::journal::{ExecutionSummary, ListQuery, Reader};
use trinity_actors::node::Node;
use trinity_engine::history::Phase;
use trinity_engine::ids::DefinitionId;
use trinity_engine::time::Timestamp;

use crate::feed::Feed;
use crate::in_process;
use crate::measure::{Stopwatch, resident};
use crate::w1;
use crate::waiting::Waiting;

/// Executions of one measurement.
const WINDOW: u64 = 50_000;
/// Measurements of one point; its figures are their medians.
const REPEATS: usize = 5;
/// Below so many stored executions each measurement has a node of its own, for the one before would move the point.
pub const OWN_NODE_BELOW: u64 = 1_000_000;
/// Executions of another workflow that lie below all others, to be looked for.
const RARE: u64 = 100;
/// How often each look-up is made.
const LOOKUPS: usize = 400;
/// Executions of a page.
const PAGE: usize = 50;

type Failure = Box<dyn std::error::Error>;

/// What the next executions cost at a point.
pub struct Cost {
    /// Executions stored before, or workflows that wait.
    pub at: u64,
    /// CPU time of the whole process for one execution, in microseconds.
    pub cpu_micros: f64,
    /// Executions a second.
    pub rate: f64,
    /// Resident memory of the process afterwards, in MiB.
    pub resident_mib: f64,
}

impl Cost {
    fn of(at: u64, watch: &Stopwatch, count: u64) -> Cost {
        Cost {
            at,
            cpu_micros: watch.cpu().as_secs_f64() * 1e6 / count.max(1) as f64,
            rate: count as f64 / watch.wall().as_secs_f64(),
            resident_mib: resident() as f64 / f64::from(1 << 20),
        }
    }

    /// Each figure's median.
    fn median(points: &[Cost]) -> Cost {
        let median = |figure: fn(&Cost) -> f64| {
            let mut figures: Vec<f64> = points.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
        };
        Cost {
            at: points.first().map_or(0, |point| point.at),
            cpu_micros: median(|point| point.cpu_micros),
            rate: median(|point| point.rate),
            resident_mib: median(|point| point.resident_mib),
        }
    }

    /// As a line of a table.
    #[must_use]
    pub fn line(&self, unit: &str) -> String {
        let Cost { at, cpu_micros, rate, resident_mib } = self;
        format!("  {at:>10} {unit:<9} {cpu_micros:>7.2} µs CPU each {rate:>10.0} /s {resident_mib:>7.0} MiB resident")
    }

    /// As it is kept.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        json!({"at": self.at, "cpuMicros": self.cpu_micros, "rate": self.rate, "residentMiB": self.resident_mib})
    }
}

async fn window(feed: &mut Feed, handle: &Handle, at: u64) -> Result<Cost, String> {
    let watch = Stopwatch::start();
    feed.pour(handle, WINDOW).await?;
    Ok(Cost::of(at, &watch, WINDOW))
}

/// The cost with more and more executions stored, up to so many; `each` hears every point as soon as it is known. The node is left
/// as it is then.
///
/// # Errors
/// The node failed.
pub async fn by_stored(
    directory: &std::path::Path,
    up_to: u64,
    mut each: impl FnMut(&Cost),
) -> Result<(Node, Vec<Cost>), Failure> {
    let mut points = Vec::new();
    let mut report = |point: Cost| {
        each(&point);
        points.push(point);
    };
    let at = |power: u32| Some(10_u64.pow(power)).filter(|&at| at <= up_to);
    for at in (4..).map_while(at).take_while(|&at| at < OWN_NODE_BELOW) {
        let mut windows = Vec::new();
        for _ in 0..REPEATS {
            let directory = tempfile::tempdir()?;
            let node = in_process::node(directory.path(), 1).await?;
            let mut feed = Feed::of_partitions(0);
            feed.pour(&node.handle(), at).await?;
            windows.push(window(&mut feed, &node.handle(), at).await?);
            node.drain().await;
        }
        report(Cost::median(&windows));
    }
    let node = in_process::node(directory, 1).await?;
    let handle = node.handle();
    let mut feed = Feed::of_partitions(0);
    feed.dress(|_, event| event.event_type = format!("{}.1", w1::EVENT_TYPE).into());
    feed.pour(&handle, RARE).await?;
    feed.dress(|_, _| ());
    let mut stored = RARE;
    for at in (4..).map_while(at).filter(|&at| at >= OWN_NODE_BELOW) {
        while stored < at {
            let part = (at - stored).min(OWN_NODE_BELOW);
            feed.pour(&handle, part).await?;
            stored += part;
            eprintln!("    {stored} stored");
        }
        let mut windows = Vec::new();
        for _ in 0..REPEATS {
            windows.push(window(&mut feed, &handle, at).await?);
            stored += WINDOW;
        }
        report(Cost::median(&windows));
    }
    Ok((node, points))
}

/// The cost with more and more workflows that wait, up to so many; all of them are started in turn.
///
/// # Errors
/// The node failed.
pub async fn by_workflows(waiting: Waiting, up_to: u32, mut each: impl FnMut(&Cost)) -> Result<Vec<Cost>, Failure> {
    let mut points = Vec::new();
    for workflows in (0..).map(|power| 10_u32.pow(power)).take_while(|&workflows| workflows <= up_to) {
        let directory = tempfile::tempdir()?;
        let node = in_process::node_of(directory.path(), waiting.catalog(in_process::SHARDS, workflows)).await?;
        let mut feed = Feed::of_partitions(0);
        feed.dress(move |number, event| waiting.address(event, number % u64::from(workflows)));
        feed.pour(&node.handle(), WINDOW).await?;
        let mut windows = Vec::new();
        for _ in 0..REPEATS {
            windows.push(window(&mut feed, &node.handle(), workflows.into()).await?);
        }
        let point = Cost::median(&windows);
        each(&point);
        points.push(point);
        node.drain().await;
    }
    Ok(points)
}

/// How long look-ups of one kind took.
pub struct Lookup {
    /// What was looked up.
    pub what: &'static str,
    /// Microseconds.
    pub micros: Histogram<u64>,
}

impl Lookup {
    fn timed(what: &'static str, mut look: impl FnMut(usize) -> Result<(), Failure>) -> Result<Lookup, Failure> {
        let mut micros = Histogram::<u64>::new(3)?;
        for number in 0..LOOKUPS {
            let begun = Instant::now();
            look(number)?;
            micros.record(u64::try_from(begun.elapsed().as_micros())?)?;
        }
        Ok(Lookup { what, micros })
    }

    /// As a line of a table.
    #[must_use]
    pub fn line(&self) -> String {
        let ms = |quantile| self.micros.value_at_quantile(quantile) as f64 / 1_000.0;
        format!("  {:<58} p50 {:>8.2} ms   p99 {:>8.2} ms", self.what, ms(0.5), ms(0.99))
    }

    /// As it is kept.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let at = |quantile| self.micros.value_at_quantile(quantile);
        json!({"what": self.what, "p50Micros": at(0.5), "p99Micros": at(0.99)})
    }
}

/// Looks executions up in a node that [`by_stored`] has filled with [`OWN_NODE_BELOW`] at least. Each answer is checked.
///
/// # Errors
/// The journal failed, or an answer is wrong.
pub fn lookups(reader: &Reader) -> Result<Vec<Lookup>, Failure> {
    let page = ListQuery { limit: PAGE, ..ListQuery::default() };
    let scattered = scattered(reader)?;
    let list = |query: &ListQuery, expected: usize| -> Result<(), Failure> {
        let found = reader.list(query)?.items.len();
        if found == expected { Ok(()) } else { Err(format!("{found} executions of {expected}: {query:?}").into()) }
    };
    let rare = ListQuery { definitions: Some(vec![DefinitionId(1)]), ..page.clone() };
    let completed =
        ListQuery { definitions: Some(vec![DefinitionId(0)]), phase: Some(Phase::Completed), ..page.clone() };
    let faulted = ListQuery { phase: Some(Phase::Faulted), ..page.clone() };
    Ok(vec![
        Lookup::timed("one by its id, ids from everywhere", |number| {
            let wanted = &scattered[number];
            let found = reader.execution(wanted.id)?.ok_or("an execution is not found")?;
            let is_right = found.id == wanted.id && found.phase == Phase::Completed && !found.history.is_empty();
            if is_right { Ok(()) } else { Err(format!("not what was stored: {found:?}").into()) }
        })?,
        Lookup::timed("the newest 50", |_| list(&page, PAGE))?,
        Lookup::timed("the newest 50 of a workflow that completed", |_| list(&completed, PAGE))?,
        Lookup::timed("50 from somewhere on, as deep pages are", |number| {
            list(&ListQuery { before: Some(scattered[number].id), ..page.clone() }, PAGE)
        })?,
        Lookup::timed("50 of a workflow with 100 executions, below all others", |_| list(&rare, PAGE))?,
        Lookup::timed("those that faulted, of which there are none", |_| list(&faulted, 0))?,
    ])
}

/// Executions from all times, in no order; each has at least a page of others below it.
fn scattered(reader: &Reader) -> Result<Vec<ExecutionSummary>, Failure> {
    let newest = reader.list(&ListQuery { limit: 1, ..ListQuery::default() })?;
    let last = newest.items.first().ok_or("nothing is stored")?.created;
    // Late enough that a page of others lies below.
    let first = reader.oldest().ok_or("nothing is stored")?.micros() + 100_000;
    let span = last.micros().saturating_sub(first).max(1);
    let mut found = Vec::new();
    for number in 0..LOOKUPS as u64 {
        // Steps by the golden ratio reach all parts of the span in no order.
        let part = (number as f64 * 0.618_033_988_75).fract();
        let to = Timestamp(first + (part * span as f64) as u64);
        let page = reader.list(&ListQuery { to: Some(to), limit: 1, ..ListQuery::default() })?;
        found.extend(page.items);
    }
    let enough = found.len() == LOOKUPS;
    if enough { Ok(found) } else { Err(format!("only {} of {LOOKUPS} moments have executions", found.len()).into()) }
}
