//! Supervision: what fails comes back from the journal, and who had given it something hears of that.

use std::time::Duration;

use tokio::sync::mpsc;
use trinity_engine::definition::compile;
use trinity_engine::history::Phase;
use trinity_engine::ids::DefinitionId;
use trinity_engine::input::{Origin, SourceEvent};
use trinity_engine::shard::{CatalogEntry, DefinitionState};
use trinity_engine::value::Value;

use super::*;
use crate::handle::Refused;
use crate::journal::{ListQuery, MemoryDisk};

const DEFINITION: &str = "
document: {dsl: '1.0.0', namespace: test, name: take, version: '1.0.0'}
schedule: {on: {one: {with: {type: reading}}}}
do:
- rest: {wait: {milliseconds: 1}}
";

async fn start() -> Node {
    let (measurements, mut measured) = mpsc::channel(16);
    tokio::spawn(async move { while measured.recv().await.is_some() {} });
    let (publications, _) = mpsc::unbounded_channel();
    let plan = Arc::new(compile(DEFINITION).expect("a definition").0);
    let entry = CatalogEntry { id: DefinitionId(0), plan, state: DefinitionState::Current };
    let catalog = Arc::new(Catalog::new(2, vec![entry], Value::Null));
    let storage = Storage::Memory(MemoryDisk::new());
    let options = NodeOptions { storage, shards: 2, ..NodeOptions::in_directory(PathBuf::new()) };
    Node::start(options, catalog, Outlets { measurements, publications }).await.expect("a node")
}

fn readings(from: u64, count: u64) -> Vec<SourceEvent> {
    let reading = |number: u64| {
        let mut event = CloudEvent::new(number.to_string(), "/test", "reading");
        event.subject = Some(format!("device-{}", number % 7).into());
        let origin = Origin::Offset { partition: "p/0".into(), offset: number };
        SourceEvent { event: Arc::new(event), origin, token: number }
    };
    (from..from + count).map(reading).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_fails_under_load_comes_back_and_its_source_begins_anew() {
    let node = start().await;
    let handle = node.handle();
    let (mut next, mut failures, total) = (0, 0, 4_000);
    // As a source over a log does: on a loss it goes back to what was acknowledged last.
    'session: while next < total {
        let lane = handle.lane();
        let mut under_way = std::collections::VecDeque::new();
        let mut position = next;
        loop {
            while under_way.len() < 8 && position < total {
                match lane.submit(readings(position, 50)).await {
                    Ok(admitted) => under_way.push_back(admitted),
                    Err(Refused::Lost) => continue 'session,
                    Err(other) => panic!("{other}"),
                }
                position += 50;
                if position == 1_000 * (failures + 1) && failures < 3 {
                    failures += 1;
                    let shard = ShardId(u16::try_from(failures % 2).expect("small"));
                    node.directory.get(shard).expect("it is there").kill();
                }
            }
            let Some(oldest) = under_way.pop_front() else { break };
            if oldest.durable().await.is_err() {
                continue 'session;
            }
            next += 50;
        }
    }
    assert_eq!(handle.status().shards.iter().map(|shard| shard.restarts.get()).sum::<u64>(), failures);
    let done = || {
        let query = ListQuery { phase: Some(Phase::Completed), limit: 10_000, ..ListQuery::default() };
        handle.reader().list(&query).expect("a list").items.len() as u64
    };
    let begun = std::time::Instant::now();
    while done() < total && begun.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(done(), total, "each once");
    assert_eq!(handle.status().live(), 0);
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_takes_nothing_new() {
    let node = start().await;
    let handle = node.handle();
    handle.submit(readings(0, 10)).await.expect("taken");
    node.drain().await;
    assert_eq!(handle.submit(readings(10, 1)).await, Err(Refused::Draining));
    assert!(handle.status().is_draining());
}
