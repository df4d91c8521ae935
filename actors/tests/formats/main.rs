//! Journals that earlier versions wrote are opened, replayed and finished. `fixtures/<format>-<end>` holds the files as they
//! were when the process was killed (`killed`) or had drained (`closed`); they are never changed. When a stored form
//! changes, write new ones before the change lands:
//!
//! `FORMAT=2 cargo test -p trinity-actors --test formats -- --ignored write`

mod definitions;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use definitions::*;
use tokio::sync::mpsc;
use trinity_actors::handle::Handle;
use trinity_actors::journal::{ListQuery, Options, Storage};
use trinity_actors::node::{Node, NodeOptions, Outlets, Publication};
use trinity_engine::event::CloudEvent;
use trinity_engine::history::{Fact, Phase, Trigger, TriggerKind};
use trinity_engine::ids::{DefinitionId, ExecutionId};
use trinity_engine::input::{Control, Origin, SourceEvent};
use trinity_engine::value::{ParseLimits, Value};

const PATIENCE: Duration = Duration::from_secs(20);

struct World {
    node: Node,
    handle: Handle,
    published: mpsc::UnboundedReceiver<Publication>,
}

async fn start(directory: &Path) -> World {
    let (measurements, mut measured) = mpsc::channel(1_000);
    tokio::spawn(async move { while measured.recv().await.is_some() {} });
    let (publications, published) = mpsc::unbounded_channel();
    let options = NodeOptions {
        storage: Storage::Directory(directory.to_owned()),
        // Small segments, so that there are full ones.
        journal: Options { segment_bytes: 1_500, ..Options::default() },
        shards: SHARDS,
        ..NodeOptions::in_directory(PathBuf::new())
    };
    let node = Node::start(options, catalog(), Outlets { measurements, publications }).await.expect("a node");
    World { handle: node.handle(), node, published }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/fixtures")
}

fn json(text: &str) -> Value {
    Value::parse(text.as_bytes(), &ParseLimits::default()).expect("JSON")
}

fn event(kind: &str, id: &str, data: &str, origin: Origin) -> SourceEvent {
    let mut event = CloudEvent::new(id, "/formats", kind);
    event.subject = Some(format!("subject of {id}").into());
    event.data = Some(json(data));
    SourceEvent { event: Arc::new(event), origin, token: 0 }
}

/// An event that a log held, and that is offered again by whoever reads on from its checkpoint.
fn from_log(number: u64) -> SourceEvent {
    let data = format!(r#"{{"n": {number}}}"#);
    event("part", &format!("part{number}"), &data, Origin::Offset { partition: "parts/0".into(), offset: number })
}

fn posted(kind: &str, id: &str, data: &str) -> SourceEvent {
    event(kind, id, data, Origin::Id)
}

impl World {
    async fn execute(&self, definition: DefinitionId, input: &str, key: Option<&str>) -> ExecutionId {
        let trigger = Trigger { kind: TriggerKind::Api, event_id: None, source: None };
        self.handle.execute(definition, json(input), trigger, key.map(Into::into)).await.expect("started")
    }

    async fn submit(&self, events: Vec<SourceEvent>) {
        self.handle.submit(events).await.expect("taken");
    }

    /// All executions of a definition, oldest first.
    fn all(&self, definition: DefinitionId) -> Vec<(ExecutionId, Phase)> {
        let query = ListQuery { definitions: Some(vec![definition]), limit: 1_000, ..ListQuery::default() };
        let page = self.handle.reader().list(&query).expect("a list");
        page.items.into_iter().rev().map(|item| (item.id, item.phase)).collect()
    }

    /// Waits for the ends of all executions of a definition; their outputs, or the title of the error.
    async fn ends(&self, definition: DefinitionId) -> Vec<String> {
        let mut ends = Vec::new();
        for (id, _) in self.all(definition) {
            assert!(self.handle.ended(id, PATIENCE).await, "{id} of definition {} does not end", definition.0);
            let stored = self.handle.reader().execution(id).expect("readable").expect("there");
            ends.push(match stored.history.into_iter().last().map(|event| event.fact) {
                Some(Fact::Completed { output }) => output.unwrap_or_default().to_json(),
                Some(Fact::Faulted { error }) => error.title.map_or_else(String::new, |title| title.to_string()),
                other => format!("{other:?}"),
            });
        }
        ends
    }

    /// Waits until so many executions of a definition are in a phase.
    async fn until(&self, definition: DefinitionId, phase: Phase, count: usize) {
        let until = tokio::time::Instant::now() + PATIENCE;
        while self.all(definition).iter().filter(|(_, own)| *own == phase).count() != count {
            assert!(tokio::time::Instant::now() < until, "definition {}: {:?}", definition.0, self.all(definition));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What the fixtures hold. One that is closed holds no call that never ends: closing would wait for it.
    async fn fill(&self, calls: usize) {
        for n in 0..8 {
            self.execute(WAIT, &format!(r#"{{"n": {n}}}"#), None).await;
            self.execute(HEAR, &format!(r#"{{"order": {n}}}"#), None).await;
            self.execute(FAIL, "{}", None).await;
            self.execute(TELL, &format!(r#"{{"n": {n}}}"#), None).await;
        }
        self.execute(COLLECT, "{}", Some("the key")).await;
        self.submit(vec![from_log(1), from_log(2)]).await;
        for _ in 0..calls {
            self.execute(CALL, r#"{"n": 1}"#, None).await;
        }
        self.execute(RETRY, "{}", None).await;
        self.execute(PARENT, r#"{"n": 21}"#, None).await;
        self.execute(BRANCH, r#"{"items": [1, 5]}"#, None).await;
        self.execute(HANDLE, "{}", None).await;
        self.submit(vec![posted("left", "left1", r#"{"side": "left"}"#)]).await;
        // One is stopped with an event waiting for it, one was ended, one has got its answer.
        let heard = self.all(HEAR);
        self.handle.control(heard[0].0, Control::Suspend).await.expect("suspended");
        self.submit(vec![answer(0), answer(2)]).await;
        self.handle.control(heard[1].0, Control::Cancel).await.expect("cancelled");
        self.until(HEAR, Phase::Completed, 1).await;
        self.until(CALL, Phase::Running, calls).await;
        self.until(PARENT, Phase::Running, 1).await;
        self.until(COLLECT, Phase::Waiting, 1).await;
    }

    /// Whether all that [`World::fill`] began is there, goes on, and ends as it should.
    async fn finish(&mut self, calls: usize) {
        // What had ended is as it was.
        assert_eq!(self.ends(FAIL).await, ["Bad"; 8]);
        assert_eq!(self.ends(TELL).await.len(), 8);
        let heard = self.all(HEAR);
        let phases: Vec<Phase> = heard.iter().map(|(_, phase)| *phase).collect();
        let waiting = [Phase::Waiting; 5];
        assert_eq!(phases, [&[Phase::Suspended, Phase::Cancelled, Phase::Completed][..], &waiting].concat());
        // What was seen is not taken twice: offsets, ids, keys.
        self.submit(vec![from_log(1), from_log(2), posted("left", "left1", r#"{"side": "left"}"#), answer(2)]).await;
        assert_eq!(self.handle.status().duplicates.get(), 4);
        assert_eq!(self.execute(COLLECT, "{}", Some("the key")).await, self.all(COLLECT)[0].0);
        // What waited goes on.
        self.submit(vec![from_log(3), posted("right", "right1", r#"{"side": "right"}"#)]).await;
        self.submit((3..8).map(answer).collect()).await;
        self.handle.control(heard[0].0, Control::Resume).await.expect("resumed");
        let mut hears: Vec<String> = (0..8).map(|n| format!(r#""answer {n}""#)).collect();
        hears[1] = "Some(Cancelled)".to_owned();
        assert_eq!(self.ends(HEAR).await, hears);
        assert_eq!(self.ends(COLLECT).await, [r#"[{"n":1},{"n":2},{"n":3}]"#]);
        assert_eq!(self.ends(GATHER).await, [r#"["left","right"]"#]);
        let waits: Vec<String> = (0..8).map(|n| format!(r#"{{"n":{n},"kept":{n}}}"#)).collect();
        assert_eq!(self.ends(WAIT).await, waits);
        // Made again, refused, and caught.
        assert_eq!(self.ends(CALL).await, vec![r#"{"caught":500}"#; calls]);
        assert_eq!(self.ends(RETRY).await, [""]);
        assert_eq!(self.ends(PARENT).await, ["42"]);
        assert_eq!(self.ends(BRANCH).await, ["[5,6]"]);
        assert_eq!(self.ends(HANDLE).await, [r#""Bad""#]);
        assert_eq!(self.handle.status().live(), 0);
        // What no sink has confirmed is published again.
        let mut published = std::collections::BTreeSet::new();
        while let Ok(Publication { event, .. }) = self.published.try_recv() {
            published.insert(event.data.as_ref().map(Value::to_json));
        }
        assert_eq!(published.len(), 8);
    }
}

fn answer(order: u64) -> SourceEvent {
    let data = format!(r#"{{"order": {order}, "text": "answer {order}"}}"#);
    posted("answer", &format!("answer{order}"), &data)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        if entry.file_name() != "lock" {
            std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_earlier_versions_wrote_is_finished() {
    let mut names: Vec<_> = std::fs::read_dir(fixtures()).expect("fixtures").map(|e| e.expect("one").path()).collect();
    names.sort();
    assert!(names.len() >= 2);
    for fixture in names {
        println!("{}", fixture.display());
        let directory = tempfile::tempdir().expect("a directory");
        copy(&fixture, directory.path());
        let mut world = start(directory.path()).await;
        let killed = fixture.to_string_lossy().ends_with("killed");
        world.finish(usize::from(killed)).await;
        world.node.drain().await;
        // And what this version has written to it is read again.
        let world = start(directory.path()).await;
        assert_eq!(world.ends(PARENT).await, ["42"]);
        assert_eq!(world.handle.status().live(), 0);
        world.node.drain().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes fixtures"]
async fn write() {
    let format = std::env::var("FORMAT").expect("FORMAT, the number of the format");
    let silent = std::net::TcpListener::bind(CALLEE).expect("the callee's address");
    for (calls, end) in [(1, "killed"), (0, "closed")] {
        let directory = tempfile::tempdir().expect("a directory");
        let world = start(directory.path()).await;
        world.fill(calls).await;
        let fixture = fixtures().join(format!("{format}-{end}"));
        if end == "closed" {
            world.node.drain().await;
            copy(directory.path(), &fixture);
        } else {
            // All is durable and nothing moves: as after a kill.
            copy(directory.path(), &fixture);
        }
    }
    drop(silent);
}
