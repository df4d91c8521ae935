//! A whole node, on a journal in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use trinity_actors::handle::{ControlError, Handle};
use trinity_actors::journal::{ListQuery, MemoryDisk, Storage};
use trinity_actors::node::{Node, NodeOptions, Outlets, Publication};
use trinity_engine::definition::compile;
use trinity_engine::event::CloudEvent;
use trinity_engine::history::{Fact, Measurement, MeasurementKind, Phase, Trigger, TriggerKind};
use trinity_engine::ids::{DefinitionId, ExecutionId, ShardId};
use trinity_engine::input::{Control, Origin, SourceEvent};
use trinity_engine::shard::{Catalog, CatalogEntry, DefinitionState, TypePattern};
use trinity_engine::value::{ParseLimits, Value};

const SHARDS: u16 = 4;
const PATIENCE: Duration = Duration::from_secs(20);

fn catalog(definitions: &[&str]) -> Arc<Catalog> {
    let entries = definitions.iter().zip(0..).map(|(text, number)| {
        let (plan, _) = compile(text).unwrap_or_else(|findings| panic!("{findings:?}"));
        CatalogEntry { id: DefinitionId(number), plan: Arc::new(plan), state: DefinitionState::Current }
    });
    let sinks = vec![TypePattern::Exact("alert".into())];
    Arc::new(Catalog::new(SHARDS, entries.collect(), Value::Null).with_sinks(sinks))
}

fn workflow(name: &str, rest: &str) -> String {
    format!("document: {{dsl: '1.0.0', namespace: test, name: {name}, version: '1.0.0'}}\n{rest}")
}

struct World {
    node: Node,
    handle: Handle,
    measured: mpsc::Receiver<Vec<Measurement>>,
    published: mpsc::UnboundedReceiver<Publication>,
}

async fn start(disk: &MemoryDisk, catalog: Arc<Catalog>) -> World {
    let (measurements, measured) = mpsc::channel(10_000);
    let (publications, published) = mpsc::unbounded_channel();
    let options = NodeOptions {
        storage: Storage::Memory(disk.clone()),
        shards: SHARDS,
        ..NodeOptions::in_directory(std::path::PathBuf::new())
    };
    let node = Node::start(options, catalog, Outlets { measurements, publications }).await.expect("a node");
    let handle = node.handle();
    World { node, handle, measured, published }
}

fn reading(number: u64) -> SourceEvent {
    let mut event = CloudEvent::new(number.to_string(), "/test", "reading");
    event.subject = Some(format!("device-{}", number % 17).into());
    event.data = Some(json(&format!(r#"{{"f": {number}}}"#)));
    SourceEvent { event: Arc::new(event), origin: Origin::Id, token: number }
}

fn json(text: &str) -> Value {
    Value::parse(text.as_bytes(), &ParseLimits::default()).expect("JSON")
}

fn api() -> Trigger {
    Trigger { kind: TriggerKind::Api, event_id: None, source: None }
}

fn count(handle: &Handle, phase: Phase) -> usize {
    let query = ListQuery { phase: Some(phase), limit: 100_000, ..ListQuery::default() };
    handle.reader().list(&query).expect("a list").items.len()
}

async fn output(handle: &Handle, id: ExecutionId) -> Option<Value> {
    assert!(handle.ended(id, PATIENCE).await, "{id} does not end");
    let stored = handle.reader().execution(id).expect("readable").expect("there");
    match stored.history.into_iter().last().map(|event| event.fact) {
        Some(Fact::Completed { output }) => output,
        other => panic!("it ended with {other:?}"),
    }
}

const CONVERT: &str = "
schedule: {on: {one: {with: {type: reading}}}}
do:
- convert: {set: {celsius: '${ (.[0].f - 32) * 5 / 9 }'}}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_executed_once_through_a_restart() {
    let disk = MemoryDisk::default();
    let catalog = catalog(&[&workflow("convert", CONVERT)]);
    let mut world = start(&disk, catalog.clone()).await;
    let lane = world.handle.lane();
    let mut admitted = Vec::new();
    for batch in 0..20 {
        let events = (batch * 100..batch * 100 + 100).map(reading).collect();
        admitted.push(lane.submit(events).await.expect("admitted"));
    }
    for admitted in admitted {
        admitted.durable().await.expect("durable");
    }
    assert_eq!(count(&world.handle, Phase::Completed), 2_000);
    world.handle.submit(vec![reading(7), reading(3_000)]).await.expect("taken");
    assert_eq!(count(&world.handle, Phase::Completed), 2_001);
    assert_eq!(world.handle.status().duplicates.get(), 1);
    world.node.drain().await;
    let mut completed = 0;
    while let Ok(batch) = world.measured.try_recv() {
        let ends = batch.iter().filter(|m| m.task.is_none() && m.kind == MeasurementKind::Completed);
        completed += ends.map(|m| m.count).sum::<u64>();
    }
    assert_eq!(completed, 2_001);

    let world = start(&disk, catalog).await;
    assert_eq!(count(&world.handle, Phase::Completed), 2_001);
    world.handle.submit((0..100).map(reading).collect()).await.expect("taken");
    assert_eq!(world.handle.status().duplicates.get(), 100);
    assert_eq!(count(&world.handle, Phase::Completed), 2_001);
    world.node.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_starts_waits_and_controls() {
    let disk = MemoryDisk::default();
    let texts =
        [workflow("add", "do:\n- go: {set: '${ .n + 1 }'}\n"), workflow("rest", "do:\n- go: {wait: {hours: 1}}\n")];
    let world = start(&disk, catalog(&[&texts[0], &texts[1]])).await;
    let handle = &world.handle;
    let key = Some("k".into());
    let id = handle.execute(DefinitionId(0), json(r#"{"n": 1}"#), api(), key.clone()).await.expect("started");
    assert_eq!(output(handle, id).await, Some(json("2")));
    assert_eq!(handle.execute(DefinitionId(0), json(r#"{"n": 1}"#), api(), key).await, Ok(id));
    assert!(handle.execute(DefinitionId(9), Value::Null, api(), None).await.is_err());

    let waiting = handle.execute(DefinitionId(1), Value::Null, api(), None).await.expect("started");
    assert!(!handle.ended(waiting, Duration::from_millis(50)).await);
    handle.control(waiting, Control::Suspend).await.expect("suspended");
    assert_eq!(handle.reader().execution(waiting).expect("readable").expect("there").phase, Phase::Suspended);
    handle.control(waiting, Control::Cancel).await.expect("cancelled");
    assert!(handle.ended(waiting, PATIENCE).await);
    assert!(matches!(handle.control(waiting, Control::Cancel).await, Err(ControlError::Ended(Phase::Cancelled))));
    let nobody = ExecutionId::new(trinity_actors::clock::now(), ShardId(0), 1 << 40);
    assert!(matches!(handle.control(nobody, Control::Cancel).await, Err(ControlError::Unknown)));
    world.node.drain().await;
}

/// A server that answers every request with 200 and counts them, after a pause.
async fn callee(pause: Duration) -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}/", listener.local_addr().expect("an address"));
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(pause).await;
                let head =
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close";
                let _ = socket.write_all(format!("{head}\r\n\r\n42").as_bytes()).await;
            });
        }
    });
    (address, calls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_out_and_a_cancelled_one_is_dropped() {
    let disk = MemoryDisk::default();
    let (quick, quick_calls) = callee(Duration::ZERO).await;
    let (slow, slow_calls) = callee(Duration::from_secs(3_600)).await;
    let call = |uri: &str| format!("do:\n- get: {{call: http, with: {{method: get, endpoint: '{uri}'}}}}\n");
    let texts = [workflow("quick", &call(&quick)), workflow("slow", &call(&slow))];
    let world = start(&disk, catalog(&[&texts[0], &texts[1]])).await;
    let id = world.handle.execute(DefinitionId(0), Value::Null, api(), None).await.expect("started");
    assert_eq!(output(&world.handle, id).await, Some(json("42")));
    assert_eq!(quick_calls.load(Ordering::SeqCst), 1);
    let id = world.handle.execute(DefinitionId(1), Value::Null, api(), None).await.expect("started");
    while slow_calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    world.handle.control(id, Control::Cancel).await.expect("cancelled");
    assert!(world.handle.ended(id, PATIENCE).await);
    assert_eq!(world.handle.status().calls(), 0);
    world.node.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_children_and_sinks_meet_over_shards() {
    let disk = MemoryDisk::default();
    let texts = [
        workflow("hear", "do:\n- hear: {listen: {to: {one: {with: {type: answer}}}}}\n"),
        workflow("parent", "do:\n- sub: {run: {workflow: {namespace: test, name: tell, version: latest}}}\n"),
        workflow(
            "tell",
            "do:\n- a: {emit: {event: {with: {type: answer, data: 1}}}}\n- b: {emit: {event: {with: {type: alert}}}}\n",
        ),
    ];
    let mut world = start(&disk, catalog(&[&texts[0], &texts[1], &texts[2]])).await;
    let handle = &world.handle;
    let mut listening = Vec::new();
    for _ in 0..8 {
        listening.push(handle.execute(DefinitionId(0), Value::Null, api(), None).await.expect("started"));
    }
    let parent = handle.execute(DefinitionId(1), Value::Null, api(), None).await.expect("started");
    assert!(handle.ended(parent, PATIENCE).await);
    for id in listening {
        assert_eq!(output(handle, id).await, Some(json("[1]")));
    }
    let publication = world.published.recv().await.expect("published");
    assert_eq!(publication.event.event_type, "alert");
    handle.delivered(publication.shard, vec![publication.publication]);
    world.node.drain().await;
}

/// Two versions of a workflow that waits for its device to answer; with `update` the second is the current one.
fn versions(update: bool) -> Arc<Catalog> {
    let hear = "schedule: {on: {one: {with: {type: ask}}}}
do:
- hear:
    listen: {to: {one: {with: {type: answer}, correlate: {n: {from: .data.n, expect: '${ .[0].n }'}}}}}
";
    let versions = if update { 1..=2 } else { 1..=1 };
    let entries = versions.map(|version| {
        let text = workflow("hear", &format!("{hear}- tell: {{set: {{version: {version}}}}}\n"));
        let (plan, _) = compile(&text.replace("1.0.0'}\n", &format!("{version}.0.0'}}\n"))).expect("valid");
        let state = if update && version == 1 { DefinitionState::Superseded } else { DefinitionState::Current };
        CatalogEntry { id: DefinitionId(version), plan: Arc::new(plan), state }
    });
    Arc::new(Catalog::new(SHARDS, entries.collect(), Value::Null))
}

/// `make bench` does the same with 100,000 of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_end_on_the_definition_that_they_began_with() {
    const WAITING: u64 = 2_000;
    let event = |kind: &str, number: u64| {
        let mut event = CloudEvent::new(format!("{kind}{number}"), "/test", kind);
        event.subject = Some(format!("device-{number}").into());
        event.data = Some(json(&format!(r#"{{"n": {number}}}"#)));
        SourceEvent { event: Arc::new(event), origin: Origin::Id, token: number }
    };
    let disk = MemoryDisk::default();
    let world = start(&disk, versions(false)).await;
    world.handle.submit((0..WAITING).map(|n| event("ask", n)).collect()).await.expect("taken");
    assert_eq!(world.handle.status().live(), WAITING);
    world.handle.set_catalog(versions(true));
    world.handle.submit(vec![event("ask", WAITING)]).await.expect("taken");
    // Half of them end before a restart, the others after it.
    world.handle.submit((0..WAITING / 2).map(|n| event("answer", n)).collect()).await.expect("taken");
    world.node.drain().await;
    let world = start(&disk, versions(true)).await;
    world.handle.submit((WAITING / 2..=WAITING).map(|n| event("answer", n)).collect()).await.expect("taken");
    let query = ListQuery { limit: 100_000, ..ListQuery::default() };
    let all = world.handle.reader().list(&query).expect("a list").items;
    assert_eq!(all.len() as u64, WAITING + 1);
    for item in all {
        let version = item.definition.0;
        let expected = json(&format!(r#"{{"version": {version}}}"#));
        assert_eq!(output(&world.handle, item.id).await, Some(expected), "{}", item.id);
    }
    let of = |definition| ListQuery { definitions: Some(vec![DefinitionId(definition)]), ..query.clone() };
    assert_eq!(world.handle.reader().list(&of(2)).expect("a list").items.len(), 1);
    world.node.drain().await;
}
