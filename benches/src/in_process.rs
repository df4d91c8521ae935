//! W1 from payload bytes to the durable end, in one process; and what its stages cost.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use trinity_actors::clock;
use trinity_actors::handle::Handle;
use trinity_actors::journal::{Journal, Options, ShardBatch, Storage};
use trinity_actors::node::{Node, NodeOptions, Outlets};
use trinity_engine::execution::RuntimeInfo;
use trinity_engine::expression::Limits;
use trinity_engine::ids::ShardId;
use trinity_engine::input::ShardInput;
use trinity_engine::shard::{Catalog, CommitReceipt, Settings, Shard};

use crate::measure::Stopwatch;
use crate::w1::{self, Messages};

/// Shards of the node.
pub const SHARDS: u16 = 8;
/// Messages in one batch of a source.
const BATCH: usize = 1_024;
/// Batches of one source that may wait for their receipts.
const BATCHES_UNDER_WAY: usize = 24;

/// Starts a node with W1 in `directory`.
///
/// # Errors
/// It can't start.
pub async fn node(directory: &Path, others: u32) -> Result<Node, Box<dyn std::error::Error>> {
    node_of(directory, w1::catalog(SHARDS, others)).await
}

/// Starts a node with these definitions in `directory`.
///
/// # Errors
/// It can't start.
pub async fn node_of(directory: &Path, catalog: Arc<Catalog>) -> Result<Node, Box<dyn std::error::Error>> {
    let (measurements, mut measured) = mpsc::channel(1_024);
    let (publications, _) = mpsc::unbounded_channel();
    tokio::spawn(async move { while measured.recv().await.is_some() {} });
    let options = NodeOptions { shards: SHARDS, ..NodeOptions::in_directory(directory.to_owned()) };
    Ok(Node::start(options, catalog, Outlets { measurements, publications }).await?)
}

/// Runs W1 for so long; how many executions were durable at the end, and the latencies of batches in microseconds.
///
/// # Errors
/// The node failed.
pub async fn run(handle: &Handle, length: Duration, first_partition: u64) -> Result<(u64, Histogram<u64>), String> {
    let mut sources = Vec::new();
    for partition in 0..2 {
        let lane = handle.lane();
        sources.push(tokio::spawn(async move {
            let mut messages = Messages::new(first_partition + partition);
            let mut latencies = Histogram::<u64>::new(3).map_err(|error| error.to_string())?;
            let mut under_way = VecDeque::new();
            let mut durable = 0_u64;
            let begun = std::time::Instant::now();
            while begun.elapsed() < length {
                let taken = std::time::Instant::now();
                let events = messages.take(BATCH, clock::now());
                let admitted = lane.submit(events).await.map_err(|error| error.to_string())?;
                under_way.push_back((taken, admitted));
                while under_way.len() > BATCHES_UNDER_WAY {
                    settle(&mut under_way, &mut durable, &mut latencies).await?;
                }
            }
            while !under_way.is_empty() {
                settle(&mut under_way, &mut durable, &mut latencies).await?;
            }
            Ok::<_, String>((durable, latencies))
        }));
    }
    let mut total = 0;
    let mut latencies = Histogram::<u64>::new(3).map_err(|error| error.to_string())?;
    for source in sources {
        let (durable, own) = source.await.map_err(|error| error.to_string())??;
        total += durable;
        latencies.add(own).map_err(|error| error.to_string())?;
    }
    Ok((total, latencies))
}

async fn settle(
    under_way: &mut VecDeque<(std::time::Instant, trinity_actors::handle::Admitted)>,
    durable: &mut u64,
    latencies: &mut Histogram<u64>,
) -> Result<(), String> {
    if let Some((taken, admitted)) = under_way.pop_front() {
        admitted.durable().await.map_err(|error| error.to_string())?;
        *durable += BATCH as u64;
        let micros = u64::try_from(taken.elapsed().as_micros()).unwrap_or(u64::MAX);
        latencies.record(micros).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// What the stages cost, one after the other on one thread: the lines to print.
///
/// # Errors
/// The journal failed.
pub fn stages(directory: &Path, length: Duration) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut lines = Vec::new();
    let mut messages = Messages::new(0);
    let (watch, mut count) = (Stopwatch::start(), 0);
    while watch.wall() < length {
        count += messages.take(BATCH, clock::now()).len() as u64;
    }
    lines.push(watch.line("  decode: payload to CloudEvent", count));

    let runtime = RuntimeInfo { name: "trinity".into(), version: "bench".into() };
    let settings = Settings { runtime, limits: Limits::default() };
    let mut shard = Shard::new(ShardId(0), settings, w1::catalog(1, 0));
    let _ = shard.recovered(clock::now()).release(CommitReceipt { block: 0 });
    let mut batches = Vec::new();
    let (watch, mut count, mut bytes) = (Stopwatch::start(), 0, 0);
    while watch.wall() < length {
        let events = messages.take(BATCH, clock::now());
        let inputs = events.into_iter().map(|e| ShardInput::Event { event: e.event, origin: e.origin });
        let mut ready = shard.step(&mut inputs.collect::<VecDeque<_>>(), clock::now());
        count += BATCH as u64;
        let records = ready.take_records();
        bytes += records.len() as u64;
        if batches.len() < 64 {
            batches.push(ShardBatch { shard: ShardId(0), records, snapshot: None });
        }
        let _ = ready.release(CommitReceipt { block: 0 });
    }
    lines.push(watch.line("  decode + step: trigger, W1, records", count));
    lines.push(format!("  bytes of records for an execution: {}", bytes / count.max(1)));

    let (mut journal, _) = Journal::open(Storage::Directory(directory.to_owned()), Options::default())?;
    let (watch, mut count) = (Stopwatch::start(), 0);
    // Each batch once: the journal takes an execution's beginning only once.
    for batch in &batches {
        journal.append(clock::now(), std::slice::from_ref(batch))?;
        count += BATCH as u64;
    }
    lines.push(watch.line("  append: compress, write, sync", count));
    Ok(lines)
}
