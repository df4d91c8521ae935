//! The node of the simulation: the real shards, inboxes and journal, with the moves of the shell around them made one by one.

use std::collections::VecDeque;
use std::sync::Arc;

use trinity_actors::inbox::Inbox;
use trinity_actors::journal::{Journal, JournalError, MemoryDisk, Options, Recovery, ShardBatch, Storage};
use trinity_engine::definition::compile;
use trinity_engine::execution::RuntimeInfo;
use trinity_engine::expression::Limits;
use trinity_engine::ids::{DefinitionId, ShardId};
use trinity_engine::input::ShardInput;
use trinity_engine::shard::{
    Catalog, CatalogEntry, CommitReceipt, DefinitionState, Ready, Released, Settings, Shard, ShardEffect, TypePattern,
};
use trinity_engine::time::Timestamp;
use trinity_engine::value::Value;

pub const SHARDS: u16 = 4;
const SEGMENT_BYTES: u64 = 16 << 10;
/// As in the actor of a shard.
const STEPS_UNDER_WAY: usize = 2;

pub const READING: DefinitionId = DefinitionId(0);
pub const CALL: DefinitionId = DefinitionId(1);
pub const HEAR: DefinitionId = DefinitionId(2);
pub const PARENT: DefinitionId = DefinitionId(3);
pub const PAUSE: DefinitionId = DefinitionId(4);
pub const TELL: DefinitionId = DefinitionId(5);
pub const BOTH: DefinitionId = DefinitionId(6);

const DEFINITIONS: [(&str, &str); 7] = [
    ("reading", "schedule: {on: {one: {with: {type: reading}}}}\ndo:\n- take: {set: {n: '${ .[0].n }'}}\n"),
    (
        "call",
        "do:\n- attempt:\n    try:\n    - get: {call: http, with: {method: post, endpoint: 'http://callee.test/'}}\n    catch:\n      errors: {with: {status: 503}}\n      retry: {delay: {seconds: 1}, limit: {attempt: {count: 20}}}\n",
    ),
    (
        "hear",
        "do:\n- hear:\n    try:\n    - ear: {listen: {to: {one: {with: {type: answer}, correlate: {n: {from: .data.n, expect: '${ .n }'}}}}}, timeout: {after: {seconds: 60}}}\n    catch: {errors: {with: {status: 408}}, do: [{late: {set: {late: true}}}]}\n",
    ),
    ("parent", "do:\n- sub: {run: {workflow: {namespace: sim, name: pause, version: latest}}}\n"),
    ("pause", "do:\n- rest: {wait: {seconds: 2}}\n"),
    (
        "tell",
        "do:\n- a: {emit: {event: {with: {type: answer, subject: '${ .n | tostring }', data: {n: '${ .n }'}}}}}\n- b: {emit: {event: {with: {type: alert, data: 1}}}}\n",
    ),
    ("both", "schedule: {on: {all: [{with: {type: left}}, {with: {type: right}}]}}\ndo:\n- go: {set: {a: 1}}\n"),
];

pub fn catalog() -> Arc<Catalog> {
    let entries = DEFINITIONS.iter().zip(0..).map(|((name, rest), number)| {
        let text = format!("document: {{dsl: '1.0.0', namespace: sim, name: {name}, version: '1.0.0'}}\n{rest}");
        let (plan, _) = compile(&text).unwrap_or_else(|findings| panic!("{name}: {findings:?}"));
        CatalogEntry { id: DefinitionId(number), plan: Arc::new(plan), state: DefinitionState::Current }
    });
    Arc::new(Catalog::new(SHARDS, entries.collect(), Value::Null).with_sinks(vec![TypePattern::Exact("alert".into())]))
}

/// One part of a submission: the number of the submission.
pub type Part = u64;

pub struct Cell {
    pub shard: Shard,
    pub inbox: Inbox<Part>,
    pub under_way: usize,
}

/// A step on its way to the journal.
struct Commit {
    shard: ShardId,
    records: Vec<u8>,
    snapshot: Option<Vec<u8>>,
    ready: Ready,
    parts: Vec<Part>,
}

/// What a durable step lets go.
pub struct Freed {
    pub shard: ShardId,
    pub released: Released,
    pub parts: Vec<Part>,
}

pub struct Node {
    pub disk: MemoryDisk,
    pub journal: Journal,
    pub catalog: Arc<Catalog>,
    pub cells: Vec<Option<Cell>>,
    commits: VecDeque<Commit>,
}

fn settings() -> Settings {
    Settings { runtime: RuntimeInfo { name: "trinity".into(), version: "0".into() }, limits: Limits::default() }
}

impl Node {
    /// Opens what is on the disk.
    pub fn open(disk: MemoryDisk, catalog: Arc<Catalog>, now: Timestamp) -> Node {
        let options = Options { segment_bytes: SEGMENT_BYTES, seed: Some(7), ..Options::default() };
        let (journal, recovery) = Journal::open(Storage::Memory(disk.clone()), options).expect("the journal opens");
        let mut node = Node { disk, journal, catalog, cells: Vec::new(), commits: VecDeque::new() };
        for id in (0..SHARDS).map(ShardId) {
            node.cells.push(None);
            node.revive(id, &recovery, now);
        }
        node
    }

    fn revive(&mut self, id: ShardId, recovery: &Recovery, now: Timestamp) {
        let mut shard = match recovery.snapshot(id) {
            None => Shard::new(id, settings(), self.catalog.clone()),
            Some(bytes) => {
                Shard::from_snapshot(id, settings(), self.catalog.clone(), bytes).expect("a readable snapshot")
            }
        };
        let replayed = recovery.replay(|other, records: &[u8]| -> Result<(), JournalError> {
            if other == id {
                shard.replay(records).expect("readable records");
            }
            Ok(())
        });
        replayed.expect("a readable journal");
        let ready = shard.recovered(now);
        self.cells[usize::from(id.0)] = Some(Cell { shard, inbox: Inbox::default(), under_way: 0 });
        self.hand_over(id, ready, Vec::new(), false);
    }

    /// The shard fails: its memory is gone, what it had handed over is committed.
    pub fn fail(&mut self, id: ShardId) {
        self.cells[usize::from(id.0)] = None;
    }

    /// The node brings a failed shard back, once nothing of it is on its way.
    pub fn restart(&mut self, id: ShardId, now: Timestamp) {
        assert!(self.commits.is_empty(), "a shard is restarted behind a fence");
        let recovery = self.journal.reader().recovery().expect("a readable journal");
        self.revive(id, &recovery, now);
    }

    pub fn cell(&mut self, id: ShardId) -> Option<&mut Cell> {
        self.cells[usize::from(id.0)].as_mut()
    }

    /// Gives inputs to a shard; false when it is away.
    pub fn give(&mut self, id: ShardId, inputs: Vec<ShardInput>, part: Option<Part>) -> bool {
        let Some(cell) = self.cell(id) else { return false };
        cell.inbox.push(&cell.shard, inputs);
        if let Some(part) = part {
            cell.inbox.mark(part);
        }
        true
    }

    pub fn can_step(&self, id: ShardId, now: Timestamp) -> bool {
        let cell = self.cells[usize::from(id.0)].as_ref();
        cell.is_some_and(|cell| cell.under_way < STEPS_UNDER_WAY && cell.inbox.has_work(&cell.shard, now))
    }

    pub fn step(&mut self, id: ShardId, now: Timestamp, snapshot: bool) {
        let cell = self.cells[usize::from(id.0)].as_mut().expect("it is there");
        let (ready, parts) = cell.inbox.step(&mut cell.shard, now);
        self.hand_over(id, ready, parts, snapshot);
    }

    fn hand_over(&mut self, id: ShardId, mut ready: Ready, parts: Vec<Part>, snapshot: bool) {
        let cell = self.cells[usize::from(id.0)].as_mut().expect("it is there");
        cell.under_way += 1;
        let (records, snapshot) = (ready.take_records(), snapshot.then(|| cell.shard.snapshot()));
        self.commits.push_back(Commit { shard: id, records, snapshot, ready, parts });
    }

    pub fn has_commits(&self) -> bool {
        !self.commits.is_empty()
    }

    /// Drops the snapshots of what waits: the sync that a snapshot follows will not return.
    pub fn forget_snapshots(&mut self) {
        for commit in &mut self.commits {
            commit.snapshot = None;
        }
    }

    /// Commits up to `most` of the steps that wait as one block; what the disk had no room for waits on.
    pub fn commit(&mut self, most: usize, now: Timestamp) -> Result<Vec<Freed>, JournalError> {
        let mut batches: Vec<ShardBatch> = Vec::new();
        let mut count = 0;
        for commit in self.commits.iter().take(most) {
            if batches.iter().any(|batch| batch.shard == commit.shard && batch.snapshot.is_some()) {
                break;
            }
            count += 1;
            if !commit.records.is_empty() || commit.snapshot.is_some() {
                let (records, snapshot) = (commit.records.clone(), commit.snapshot.clone());
                batches.push(ShardBatch { shard: commit.shard, records, snapshot });
            }
        }
        if !batches.is_empty() {
            self.journal.append(now, &batches)?;
        }
        let freed = self.commits.drain(..count).map(|commit| Freed {
            shard: commit.shard,
            released: commit.ready.release(CommitReceipt { block: 0 }),
            parts: commit.parts,
        });
        let freed: Vec<Freed> = freed.collect();
        // A shard that failed meanwhile does not hear of it.
        let heard = freed.into_iter().filter(|freed| match &mut self.cells[usize::from(freed.shard.0)] {
            Some(cell) => {
                cell.under_way -= 1;
                true
            }
            None => false,
        });
        Ok(heard.collect())
    }

    /// Delivers among the shards; the effects for the outside are left.
    pub fn deliver(&mut self, from: ShardId, effects: Vec<ShardEffect>) -> Vec<ShardEffect> {
        let mut outside = Vec::new();
        for effect in effects {
            match effect {
                ShardEffect::Peer { to, sequence, message } => {
                    self.give(to, vec![ShardInput::Peer { from, sequence, message }], None);
                }
                ShardEffect::Note { to, note } => {
                    self.give(to, vec![ShardInput::Note { from, note }], None);
                }
                other => outside.push(other),
            }
        }
        outside
    }

    /// The earliest wake-up of all shards.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.cells.iter().flatten().filter_map(|cell| cell.shard.next_wake()).min()
    }
}
