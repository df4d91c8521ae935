//! Executions that wait, by the million: what each costs in memory, how late their timers fire, how long a restart after
//! `kill -9` takes, and what an idle node costs. Each figure is taken in a child process of its own.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use trinity_actors::handle::Handle;
use trinity_actors::journal::Place;
use trinity_actors::node::{Node, NodeOptions, Outlets};
use trinity_engine::definition::compile;
use trinity_engine::event::CloudEvent;
use trinity_engine::history::{Fact, Phase};
use trinity_engine::ids::DefinitionId;
use trinity_engine::input::{Origin, SourceEvent};
use trinity_engine::shard::{Catalog, CatalogEntry, DefinitionState};
use trinity_engine::value::{ParseLimits, Value};
use trinity_engine::wire::history;
use trinity_engine::wire::record::ExecutionHeader;

use crate::in_process::SHARDS;
use crate::measure::cpu_of;

type Failure = Box<dyn std::error::Error>;

/// Events in one batch, and batches that may wait for their receipts.
const BATCH: usize = 1_024;
const BATCHES_UNDER_WAY: usize = 8;
/// Timers of the lateness run are due from so long after its start on, within a minute.
const TIMERS_AFTER: Duration = Duration::from_secs(45);

/// What the executions wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A timer, a day from now.
    Timer,
    /// An event with their device's id.
    Event,
    /// A timer that is due at a given moment.
    Due,
    /// An event, on an older version of the definition.
    Older,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Timer => "timer",
            Kind::Event => "event",
            Kind::Due => "due",
            Kind::Older => "older",
        }
    }

    fn parse(text: &str) -> Option<Kind> {
        [Kind::Timer, Kind::Event, Kind::Due, Kind::Older].into_iter().find(|kind| kind.name() == text)
    }
}

fn definition(kind: Kind, version: u32) -> String {
    let name = kind.name();
    let work = match kind {
        Kind::Timer => "- rest: {wait: P1D}".to_owned(),
        Kind::Due => "- rest: {wait: '${ {milliseconds: .wait} }'}".to_owned(),
        Kind::Event | Kind::Older => "- hear:
    listen:
      to: {one: {with: {type: bench.answer}, correlate: {device: {from: .data.id, expect: '${ .deviceId }'}}}}"
            .to_owned(),
    };
    format!(
        "
document: {{dsl: '1.0.0', namespace: bench, name: {name}, version: '{version}.0.0'}}
schedule: {{on: {{one: {{with: {{type: bench.{name}}}}}}}}}
input: {{from: '${{ .[0] }}'}}
do:
{work}
- tell: {{set: {{version: {version}}}}}
"
    )
}

/// Every kind in one version; with `update` the last is superseded by a second one.
fn catalog(update: bool) -> Arc<Catalog> {
    let kinds = [Kind::Timer, Kind::Event, Kind::Due, Kind::Older].map(|kind| (kind, 1));
    let second = update.then_some((Kind::Older, 2));
    let entries = kinds.into_iter().chain(second).zip(0..).map(|((kind, version), number)| {
        let superseded = update && kind == Kind::Older && version == 1;
        let state = if superseded { DefinitionState::Superseded } else { DefinitionState::Current };
        let plan = compile(&definition(kind, version)).expect("a valid definition").0;
        CatalogEntry { id: DefinitionId(number), plan: Arc::new(plan), state }
    });
    Arc::new(Catalog::new(SHARDS, entries.collect(), Value::Null))
}

async fn node(directory: &Path) -> Result<Node, Failure> {
    let (measurements, mut measured) = mpsc::channel(1_024);
    let (publications, _) = mpsc::unbounded_channel();
    tokio::spawn(async move { while measured.recv().await.is_some() {} });
    let options = NodeOptions { shards: SHARDS, ..NodeOptions::in_directory(directory.to_owned()) };
    let node = Node::start(options, catalog(false), Outlets { measurements, publications }).await?;
    while !node.handle().status().is_ready() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(node)
}

/// The `number`-th event of a kind: a payload of 150 bytes, as W1's, of a device of its own.
fn event(kind: Kind, number: u64, wait_ms: u64) -> SourceEvent {
    let start = format!(
        r#"{{"deviceId":"device-{number:07}","site":"plant-7/line-3","temperature":71.5,"humidity":41.5,"wait":{wait_ms}"#
    );
    let text = format!("{start},\"pad\":\"{}\"}}", "x".repeat(150_usize.saturating_sub(start.len() + 10)));
    let mut event = CloudEvent::new(number.to_string(), "/bench", format!("bench.{}", kind.name()));
    event.subject = Some(format!("device-{number:07}").into());
    event.data = Value::parse(text.as_bytes(), &ParseLimits::default()).ok();
    let origin = Origin::Offset { partition: format!("bench/{}", kind.name()).into(), offset: number };
    SourceEvent { event: Arc::new(event), origin, token: number }
}

fn answer(number: u64) -> SourceEvent {
    let mut event = CloudEvent::new(format!("a{number}"), "/bench", "bench.answer");
    event.subject = Some(format!("device-{number:07}").into());
    event.data = Value::parse(format!(r#"{{"id":"device-{number:07}"}}"#).as_bytes(), &ParseLimits::default()).ok();
    let origin = Origin::Offset { partition: "bench/answers".into(), offset: number };
    SourceEvent { event: Arc::new(event), origin, token: number }
}

/// Submits so many events; the latencies of batches, from submission to durable, in microseconds.
async fn submit(handle: &Handle, count: u64, make: impl Fn(u64) -> SourceEvent) -> Result<Histogram<u64>, Failure> {
    let lane = handle.lane();
    let mut latencies = Histogram::<u64>::new(3)?;
    let mut under_way = VecDeque::new();
    let mut next = 1;
    while next <= count || !under_way.is_empty() {
        if next <= count && under_way.len() < BATCHES_UNDER_WAY {
            let last = (next + BATCH as u64 - 1).min(count);
            let events = (next..=last).map(&make).collect();
            under_way.push_back((Instant::now(), lane.submit(events).await?));
            next = last + 1;
        } else if let Some((begun, admitted)) = under_way.pop_front() {
            admitted.durable().await?;
            latencies.record(u64::try_from(begun.elapsed().as_micros())?)?;
        }
    }
    Ok(latencies)
}

async fn until_live(handle: &Handle, wanted: u64) {
    while handle.status().live() != wanted {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn ms(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1_000.0
}

fn quantiles(latencies: &Histogram<u64>) -> String {
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| ms(latencies, quantile));
    format!("p50 {p50:.1}, p99 {p99:.1}, p99.9 {p999:.1}, max {:.1} ms", latencies.max() as f64 / 1_000.0)
}

/// Resident bytes of a process.
#[must_use]
pub fn resident(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}

/// The size of the files with this ending, of a journal.
fn stored(directory: &Path, ending: &str) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(ending));
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

const MIB: f64 = (1 << 20) as f64;

/// What a child does, in `directory`: it says what it found in lines, `ready` when it is, and ends with its input.
///
/// # Errors
/// The node failed.
pub async fn child(directory: &Path, what: &str, count: u64) -> Result<(), Failure> {
    let begun = Instant::now();
    let node = node(directory).await?;
    let handle = node.handle();
    match what {
        "open" => {
            let (wall, cpu) = (begun.elapsed(), cpu_of("self"));
            println!(
                "ready after {:.2} s ({:.2} s CPU) with {} live, {:.0} MiB resident",
                wall.as_secs_f64(),
                cpu.as_secs_f64(),
                handle.status().live(),
                resident("self") as f64 / MIB
            );
        }
        "due" => due(&handle, count).await?,
        "update" => update(&handle, count).await?,
        kind => fill(directory, &handle, Kind::parse(kind).ok_or("no such kind")?, count).await?,
    }
    println!("ready");
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    ended.await??;
    node.drain().await;
    Ok(())
}

async fn fill(directory: &Path, handle: &Handle, kind: Kind, count: u64) -> Result<(), Failure> {
    let (before, cpu, begun) = (resident("self"), cpu_of("self"), Instant::now());
    let live = handle.status().live();
    let latencies = submit(handle, count, |number| event(kind, number, 0)).await?;
    until_live(handle, live + count).await;
    let (took, cpu) = (begun.elapsed().as_secs_f64(), cpu_of("self") - cpu);
    // What a snapshot holds for a moment is given back.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let each = resident("self").saturating_sub(before) as f64 / count as f64;
    println!("{count} wait for a {}: {each:.0} bytes resident each", kind.name());
    println!(
        "  begun at {:.0}/s, {:.1} µs CPU each; a batch of {BATCH} durable: {}",
        count as f64 / took,
        cpu.as_secs_f64() * 1e6 / count as f64,
        quantiles(&latencies)
    );
    println!(
        "  on disk: segments {:.0} MiB, snapshots {:.0} MiB",
        stored(directory, ".segment") as f64 / MIB,
        stored(directory, ".snapshot") as f64 / MIB
    );
    Ok(())
}

/// Timers that are all due within a minute: how much later than that they fired.
async fn due(handle: &Handle, count: u64) -> Result<(), Failure> {
    let begun = Instant::now();
    let wait = |number: u64| {
        let due = TIMERS_AFTER + Duration::from_micros(number * 60_000_000 / count);
        u64::try_from(due.saturating_sub(begun.elapsed()).as_millis()).unwrap_or(0)
    };
    submit(handle, count, |number| event(Kind::Due, number, wait(number))).await?;
    let early = begun.elapsed() < TIMERS_AFTER;
    until_live(handle, count).await;
    println!("{count} timers set in {:.0} s{}", begun.elapsed().as_secs_f64(), if early { "" } else { ", too late" });
    tokio::time::sleep(TIMERS_AFTER.saturating_sub(begun.elapsed())).await;
    let (cpu, firing) = (cpu_of("self"), Instant::now());
    // Meanwhile others come and go: how long a single event takes to be durable.
    let mut probes = Histogram::<u64>::new(3)?;
    let mut number = 0;
    while handle.status().live() > 0 {
        number += 1;
        let sent = Instant::now();
        handle.submit(vec![answer(10_000_000 + number)]).await?;
        probes.record(u64::try_from(sent.elapsed().as_micros())?)?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (wall, cpu) = (firing.elapsed().as_secs_f64(), cpu_of("self") - cpu);
    let reader = handle.reader().clone();
    let late = tokio::task::spawn_blocking(move || {
        let mut late = Histogram::<u64>::new(3)?;
        let mut due = std::collections::HashMap::new();
        let mut each = |_: Place, header: ExecutionHeader, facts: &[u8]| {
            for event in history::decode(facts).unwrap_or_default() {
                if let Fact::Waiting { until: Some(until) } = event.fact {
                    due.insert(header.id, until);
                }
            }
            if header.phase == Phase::Completed
                && let Some(until) = due.remove(&header.id)
            {
                // A timer never fires early; if one did, it would stand out as the highest.
                let micros = header.time.micros().checked_sub(until.micros()).unwrap_or(3_600_000_000);
                let _ = late.record(micros);
            }
            ControlFlow::Continue(())
        };
        reader.records_forward(None, &mut each)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(late)
    });
    let late = late.await?.map_err(|error| error.to_string())?;
    println!(
        "  {} fired in {wall:.1} s, {:.1} µs CPU each; late by {}",
        late.len(),
        cpu.as_secs_f64() * 1e6 / count as f64,
        quantiles(&late)
    );
    println!("  an event meanwhile durable after {}", quantiles(&probes));
    Ok(())
}

/// Executions wait while their definition is updated: all must end on theirs.
async fn update(handle: &Handle, count: u64) -> Result<(), Failure> {
    submit(handle, count, |number| event(Kind::Older, number, 0)).await?;
    until_live(handle, count).await;
    let begun = Instant::now();
    handle.set_catalog(catalog(true));
    submit(handle, 1, |_| event(Kind::Older, count + 1, 0)).await?;
    println!(
        "{count} wait while their definition is updated; the next starts on the new one after {:.1} ms",
        begun.elapsed().as_secs_f64() * 1e3
    );
    submit(handle, count + 1, answer).await?;
    until_live(handle, 0).await;
    let reader = handle.reader().clone();
    let ends = tokio::task::spawn_blocking(move || {
        let mut ends = std::collections::BTreeMap::<(u32, String), u64>::new();
        let mut each = |_: Place, header: ExecutionHeader, facts: &[u8]| {
            for event in history::decode(facts).unwrap_or_default() {
                if let Fact::Completed { output: Some(output) } = event.fact
                    && event.task.is_none()
                {
                    *ends.entry((header.definition.0, output.to_json())).or_default() += 1;
                }
            }
            ControlFlow::Continue(())
        };
        reader.records_forward(None, &mut each).map(|()| ends)
    });
    for ((definition, output), ended) in ends.await?? {
        println!("  {ended} of definition {definition} ended with {output}");
    }
    Ok(())
}

/// A child and the lines it says.
pub struct Run {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Run {
    /// Starts one; prints what it says until it is ready.
    ///
    /// # Errors
    /// It can't be started, or ended before it was ready.
    pub fn start(directory: &Path, what: &str, count: u64) -> Result<Run, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("child").arg(directory).args([what, &count.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut run = Run { child, input, output };
        let mut line = String::new();
        while run.output.read_line(&mut line)? > 0 {
            if line == "ready\n" {
                return Ok(run);
            }
            print!("{line}");
            line.clear();
        }
        Err("a child ended too early".into())
    }

    /// Kills it, as `kill -9` does.
    ///
    /// # Errors
    /// It can't be killed.
    pub fn kill(mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Lets it stop in order.
    ///
    /// # Errors
    /// It ended with an error.
    pub fn stop(mut self) -> Result<(), Failure> {
        writeln!(self.input, "stop")?;
        if self.child.wait()?.success() { Ok(()) } else { Err("a child failed".into()) }
    }
}

/// An idle `trinity serve`: its size, how long its start takes, what it holds in memory.
///
/// # Errors
/// It can't be started.
pub fn idle(binary: &Path) -> Result<(), Failure> {
    println!("idle node: binary {:.1} MiB", std::fs::metadata(binary)?.len() as f64 / MIB);
    let directory = tempfile::tempdir()?;
    for start in ["first start", "second start"] {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let begun = Instant::now();
        let mut command = Command::new(binary);
        command
            .arg("serve")
            .env("TRINITY__ENGINE__DATA_DIR", directory.path())
            .env("TRINITY__SERVER__PORT", port.to_string());
        let mut child = command.env("TRINITY__LOGGING__LEVEL", "error").stdout(Stdio::null()).spawn()?;
        while !is_ready(port) {
            if begun.elapsed() > Duration::from_secs(30) || child.try_wait()?.is_some() {
                child.kill()?;
                return Err("the node does not become ready".into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let (took, id) = (begun.elapsed(), child.id().to_string());
        let cpu = cpu_of(&id);
        std::thread::sleep(Duration::from_secs(5));
        println!(
            "  {start}: ready after {:.0} ms ({:.0} ms CPU); after 5 s {:.1} MiB resident",
            took.as_secs_f64() * 1e3,
            cpu.as_secs_f64() * 1e3,
            resident(&id) as f64 / MIB
        );
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

fn is_ready(port: u16) -> bool {
    use std::io::Read as _;
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
    let asked = write!(stream, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.starts_with("HTTP/1.1 200")
}
