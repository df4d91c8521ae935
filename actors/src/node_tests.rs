//! Supervision: what fails comes back from the journal, and who had given it something hears of that.

use std::time::Duration;

use tokio::sync::mpsc;
use trinity_engine::definition::compile;
use trinity_engine::history::{Phase, Trigger, TriggerKind};
use trinity_engine::ids::DefinitionId;
use trinity_engine::input::{Origin, SourceEvent};
use trinity_engine::shard::{CatalogEntry, DefinitionState, Ready};
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
    start_with(1).await
}

/// A node with so many definitions that are all started by a reading.
async fn start_with(definitions: u32) -> Node {
    let entry = |number: u32| {
        let text = DEFINITION.replace("name: take", &format!("name: take-{number}"));
        let plan = Arc::new(compile(&text).expect("a definition").0);
        CatalogEntry { id: DefinitionId(number), plan, state: DefinitionState::Current }
    };
    start_on(MemoryDisk::new(), (0..definitions).map(entry).collect()).await
}

async fn start_on(disk: MemoryDisk, definitions: Vec<CatalogEntry>) -> Node {
    let (measurements, mut measured) = mpsc::channel(16);
    tokio::spawn(async move { while measured.recv().await.is_some() {} });
    let (publications, _) = mpsc::unbounded_channel();
    let catalog = Arc::new(Catalog::new(2, definitions, Value::Null));
    let storage = Storage::Memory(disk);
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
    under_load(|node, shard| node.directory.get(shard).expect("it is there").kill()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_can_never_be_stored_fails_its_shard_alone() {
    under_load(|node, shard| {
        let records = b"no records at all".to_vec();
        let step = crate::pipeline::Step { shard, records, snapshot: None, ready: Ready::default() };
        node.committer.commit(step, node.directory.get(shard).expect("it is there"));
    })
    .await;
}

/// A load during which shards are made to fail three times: each event has to be executed once, and no shard may have failed
/// besides.
async fn under_load(fail: impl Fn(&Node, ShardId)) {
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
                    fail(&node, shard);
                }
            }
            let Some(oldest) = under_way.pop_front() else { break };
            if oldest.durable().await.is_err() {
                continue 'session;
            }
            next += 50;
        }
    }
    let restarts: Vec<u64> = handle.status().shards.iter().map(|shard| shard.restarts.get()).collect();
    assert_eq!(restarts, [1, 2]);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_starts_more_than_a_commit_takes_is_taken_and_fails_no_shard() {
    // Each of these keeps the event: together more than a commit may have.
    let node = start_with(80).await;
    let handle = node.handle();
    let event = |number: u64, subject: &str, bytes: usize| {
        let mut event = CloudEvent::new(number.to_string(), "/test", "reading");
        event.subject = Some(subject.into());
        event.data = Some(Value::from("x".repeat(bytes).as_str()));
        vec![SourceEvent { event: Arc::new(event), origin: Origin::Id, token: number }]
    };
    let shard = |subject: &str| ShardId::of_key(subject.as_bytes(), 2);
    let large = "a";
    let small = ["b", "c", "d", "e", "f"].into_iter().find(|s| shard(s) != shard(large)).expect("another shard");
    handle.submit(event(1, large, 1 << 20)).await.expect("taken");
    handle.submit(event(2, small, 100)).await.expect("the other shard goes on");
    handle.submit(event(3, large, 100)).await.expect("and so does that one");
    assert!(handle.status().shards.iter().all(|shard| shard.restarts.get() == 0));
    let query = ListQuery { phase: Some(Phase::Faulted), limit: 1_000, ..ListQuery::default() };
    let faulted = handle.reader().list(&query).expect("a list").items.len();
    assert!((10..80).contains(&faulted), "{faulted} of 80 had no room");
    node.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_faults_one_execution_and_the_node_goes_on_and_starts_again() {
    let listen = "document: {dsl: '1.0.0', namespace: test, name: hear, version: '1.0.0'}\ndo:\n- hear: {listen: {to: {one: {with: {type: t}}}}}\n";
    let entry = |number: u32, text: &str, spoil: bool| {
        let mut plan = compile(text).expect("a definition").0;
        if spoil {
            // Its lists name tasks that are not there: whoever walks it panics.
            plan.tasks.clear();
        }
        CatalogEntry { id: DefinitionId(number), plan: Arc::new(plan), state: DefinitionState::Current }
    };
    let disk = MemoryDisk::new();
    let node = start_on(disk.clone(), vec![entry(0, DEFINITION, false), entry(1, listen, false)]).await;
    let trigger = || Trigger { kind: TriggerKind::Api, event_id: None, source: None };
    let waits = node.handle().execute(DefinitionId(1), Value::Null, trigger(), None).await.expect("started");
    node.drain().await;

    // What it waits for is asked for again when the shard comes back, which panics now; and so does a new one.
    let node = start_on(disk.clone(), vec![entry(0, DEFINITION, false), entry(1, listen, true)]).await;
    let handle = node.handle();
    let fresh = handle.execute(DefinitionId(1), Value::Null, trigger(), None).await.expect("started");
    for id in [waits, fresh] {
        assert!(handle.ended(id, Duration::from_secs(10)).await);
        let found = handle.reader().execution(id).expect("readable").expect("it is there");
        assert_eq!(found.phase, Phase::Faulted);
    }
    assert_eq!(handle.status().panics.get(), 2);
    handle.submit(readings(0, 10)).await.expect("the others go on");
    assert!(handle.status().shards.iter().all(|shard| shard.restarts.get() == 0));
    node.drain().await;
    let node = start_on(disk, vec![entry(0, DEFINITION, false), entry(1, listen, true)]).await;
    let found = node.handle().reader().execution(waits).expect("readable").expect("it is there");
    assert_eq!(found.phase, Phase::Faulted, "and it stays so");
    node.drain().await;
}
