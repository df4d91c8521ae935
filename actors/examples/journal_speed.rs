//! How fast the journal is on this machine: commits and records a second, and what a record costs the appending thread.
//!
//! `cargo run --release -p trinity-actors --example journal_speed [directory]`; without a directory in memory.

use std::error::Error;
use std::time::{Duration, Instant};

use trinity_actors::journal::format::BlockEncoder;
use trinity_actors::journal::{Durability, Journal, ListQuery, MemoryDisk, Options, ShardBatch, Storage};
use trinity_engine::history::{Fact, HistoryEvent, Phase, Trigger, TriggerKind};
use trinity_engine::ids::{DefinitionId, ExecutionId, ShardId, TaskIx};
use trinity_engine::time::Timestamp;
use trinity_engine::value::{ParseLimits, Value};
use trinity_engine::wire::history;
use trinity_engine::wire::record::{ExecutionHeader, write_execution};

const SHARDS: u16 = 2;
const MEASURED: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1);
    println!("durability  records/commit  commits/s  records/s  CPU ns/record  bytes/record  stored  p50 ms  p99 ms");
    for durability in [Durability::Sync, Durability::Relaxed] {
        for batch in [1, 100, 1_000, 5_000] {
            let place = directory.as_ref().map(tempfile::tempdir_in).transpose()?;
            let storage = place.as_ref().map_or_else(
                || Storage::Memory(MemoryDisk::new()),
                |place| Storage::Directory(place.path().to_owned()),
            );
            measure(storage, durability, batch)?;
        }
    }
    Ok(())
}

fn measure(storage: Storage, durability: Durability, batch: usize) -> Result<(), Box<dyn Error>> {
    let in_memory = matches!(storage, Storage::Memory(_));
    let (mut journal, _) = Journal::open(storage, Options { durability, ..Options::default() })?;
    // Made before, so that only the journal is measured; each commit has ids of its own all the same.
    let mut sequence = 0;
    let mut commits: Vec<Vec<ShardBatch>> = Vec::new();
    let enough = if in_memory { 200_000 } else { 1_000_000 };
    while commits.len() * batch < enough && commits.len() < 20_000 {
        commits.push(commit(batch, &mut sequence)?);
    }
    let plain: usize = commits.iter().flatten().map(|batch| batch.records.len()).sum();
    let mut took = Vec::new();
    let (start, cpu) = (Instant::now(), thread_cpu()?);
    for commit in &commits {
        let before = Instant::now();
        journal.append(Timestamp::from_millis(1_795_000_000_000), commit)?;
        took.push(before.elapsed());
        if start.elapsed() > MEASURED {
            break;
        }
    }
    let (wall, cpu) = (start.elapsed().as_secs_f64(), thread_cpu()? - cpu);
    took.sort_unstable();
    let (done, records) = (took.len() as f64, (took.len() * batch) as f64);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let stored = BlockEncoder::new(1).encode(1, 0, Timestamp(0), &commits[0])?.len();
    let plain = plain as f64 / (commits.len() * batch) as f64;
    println!(
        "{durability:>10?}  {batch:>14}  {:>9.0}  {:>9.0}  {:>13.0}  {plain:>12.0}  {:>6.0}  {:>6.2}  {:>6.2}",
        done / wall,
        records / wall,
        cpu as f64 / records,
        stored as f64 / batch as f64,
        at(0.5),
        at(0.99),
    );
    let page = journal.reader().list(&ListQuery { limit: 20, ..ListQuery::default() })?;
    let found = journal.reader().execution(page.items[0].id)?;
    assert!(found.is_some_and(|found| found.history.len() == 3));
    Ok(())
}

/// A commit of so many executions that begin and end in it, each about 400 bytes.
fn commit(records: usize, sequence: &mut u64) -> Result<Vec<ShardBatch>, Box<dyn Error>> {
    let now = Timestamp::from_millis(1_795_000_000_000);
    let empty = |shard| ShardBatch { shard: ShardId(shard), records: Vec::new(), snapshot: None };
    let mut batches: Vec<ShardBatch> = (0..SHARDS).map(empty).collect();
    for at in 0..records {
        let batch = &mut batches[at % usize::from(SHARDS)];
        let number = *sequence / u64::from(SHARDS);
        *sequence += 1;
        let noise = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let input = format!(
            r#"{{"id":"{noise:016x}","type":"org.acme.reading","source":"/plant/{}/line/{}","subject":"sensor-{:05}","data":{{"temperature":{}.{},"humidity":{},"battery":{},"at":"2026-11-18T12:{:02}:{:02}.{:03}Z"}}}}"#,
            noise >> 7 & 7,
            noise >> 11 & 31,
            noise >> 16 & 0xFFFF,
            20 + (noise >> 20 & 63),
            noise >> 26 & 1023,
            noise >> 36 & 127,
            noise >> 43 & 127,
            noise >> 50 & 31,
            noise >> 55 & 31,
            noise >> 40 & 511,
        );
        let output = format!(r#"{{"level":"warm","mean":{}.{}}}"#, noise >> 30 & 63, noise >> 41 & 0xFFFF);
        let limits = ParseLimits { depth_max: 32 };
        let (input, output) = (Value::parse(input.as_bytes(), &limits)?, Value::parse(output.as_bytes(), &limits)?);
        let trigger = Trigger { kind: TriggerKind::Event, event_id: None, source: None };
        let facts = [
            (None, Fact::Created { input, trigger }),
            (Some(TaskIx(0)), Fact::Completed { output: Some(output.clone()) }),
            (None, Fact::Completed { output: None }),
        ];
        let id = ExecutionId::new(now, batch.shard, number);
        let (definition, phase) = (DefinitionId((number % 7) as u32), Phase::Completed);
        let header = ExecutionHeader { id, definition, phase, begins: true, ends: true, time: now };
        write_execution(
            &mut batch.records,
            &header,
            |out| {
                facts.into_iter().for_each(|(task, fact)| history::append(out, &HistoryEvent { time: now, task, fact }))
            },
            |out| output.write_json(out),
        );
    }
    Ok(batches)
}

/// Nanoseconds of CPU that this thread has used.
fn thread_cpu() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().ok_or("no number in schedstat")?.parse()?)
}
