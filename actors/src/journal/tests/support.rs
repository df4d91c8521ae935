//! Shards that make batches, and a plain model of what they stored.

use std::collections::BTreeMap;

use proptest::prelude::*;
use trinity_engine::history::{Fact, HistoryEvent, Phase};
use trinity_engine::ids::{DefinitionId, ExecutionId, ShardId, TaskIx};
use trinity_engine::time::Timestamp;
use trinity_engine::wire::history;
use trinity_engine::wire::record::{ExecutionHeader, write_execution, write_shard};

use super::super::*;

pub const SHARDS: u16 = 3;
const MOVED_BACK_MILLIS: u64 = 40;

/// What happens to one execution.
#[derive(Clone, Debug)]
pub enum Op {
    Begin {
        shard: u16,
        definition: u32,
        phase: Phase,
    },
    /// The live execution with this number, of those that are live, goes on.
    GoOn {
        which: prop::sample::Index,
        phase: Phase,
    },
    /// The shard stores something of its own.
    Own {
        shard: u16,
    },
}

/// What happens in one commit.
#[derive(Clone, Debug)]
pub struct Commit {
    pub ops: Vec<Op>,
    /// The clock goes on by so much; now and then it jumps back.
    pub millis: u64,
    pub back: bool,
    /// These shards add snapshots.
    pub snapshots: Vec<u16>,
}

/// Shards, and all that is stored when every commit so far was.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub now: u64,
    sequences: BTreeMap<u16, u64>,
    pub stored: BTreeMap<ExecutionId, StoredExecution>,
    /// Per shard all bytes of its batches, one after another: the state that its snapshots hold.
    pub shards: BTreeMap<ShardId, Vec<u8>>,
    /// Every record in order: whose, and its phase.
    pub records: Vec<(ExecutionId, Phase)>,
}

impl World {
    pub fn new() -> World {
        World { now: 1_795_000_000_000, ..World::default() }
    }

    pub fn time(&self) -> Timestamp {
        Timestamp(self.now * 1_000 + 7)
    }

    /// Makes the batches of a commit, and takes them as stored.
    pub fn commit(&mut self, commit: &Commit) -> Vec<ShardBatch> {
        self.now = if commit.back { self.now - MOVED_BACK_MILLIS } else { self.now + commit.millis };
        let mut batches: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
        let records_before = self.records.len();
        for op in &commit.ops {
            match op {
                Op::Begin { shard, definition, phase } => {
                    let sequence = self.sequences.entry(*shard).or_default();
                    let id = ExecutionId::new(Timestamp::from_millis(self.now), ShardId(*shard), *sequence);
                    *sequence += 1;
                    let out = batches.entry(*shard).or_default();
                    self.record(out, id, DefinitionId(*definition), *phase, true);
                }
                Op::GoOn { which, phase } => {
                    let live: Vec<_> = self.stored.values().filter(|stored| !stored.phase.is_terminal()).collect();
                    if live.is_empty() {
                        continue;
                    }
                    let (id, definition) = (which.get(&live).id, which.get(&live).definition);
                    let out = batches.entry(id.shard().0).or_default();
                    self.record(out, id, definition, *phase, false);
                }
                Op::Own { shard } => {
                    let now = self.now;
                    let out = batches.entry(*shard).or_default();
                    write_shard(out, 16, |o| o.extend_from_slice(&now.to_le_bytes()));
                }
            }
        }
        self.records[records_before..].sort_by_key(|(id, _)| id.shard());
        let mut made = Vec::new();
        for (shard, records) in batches {
            let state = self.shards.entry(ShardId(shard)).or_default();
            state.extend_from_slice(&records);
            let snapshot = commit.snapshots.contains(&shard).then(|| state.clone().into());
            made.push(ShardBatch { shard: ShardId(shard), records, snapshot });
        }
        made
    }

    fn record(&mut self, out: &mut Vec<u8>, id: ExecutionId, definition: DefinitionId, phase: Phase, begins: bool) {
        let (ends, time) = (phase.is_terminal(), self.time());
        let fact = Fact::Started { iteration: Some(u32::try_from(self.records.len()).expect("few")) };
        let event = HistoryEvent { time, task: Some(TaskIx(1)), fact };
        let tail = format!("the tail of {id} in {}", phase.as_str()).into_bytes();
        let header = ExecutionHeader { id, definition, phase, begins, ends, time };
        write_execution(out, &header, |o| history::append(o, &event), |o| o.extend_from_slice(&tail));
        self.records.push((id, phase));
        let created = id.start();
        let ended = ends.then_some(time);
        let fresh = StoredExecution { id, definition, phase, created, ended, history: Vec::new(), tail: Vec::new() };
        let stored = self.stored.entry(id).or_insert(fresh);
        (stored.phase, stored.ended, stored.tail) = (phase, ended, tail);
        stored.history.push(event);
    }

    /// Whether the reader finds exactly what is stored.
    pub fn check(&self, reader: &Reader) {
        for (id, stored) in &self.stored {
            assert_eq!(reader.execution(*id).expect("readable").as_ref(), Some(stored), "{id}");
            if let Some(recent) = reader.recent(*id).expect("readable") {
                assert_eq!(recent, *stored, "{id}");
            }
        }
        let all = reader.list(&ListQuery { limit: usize::MAX, ..ListQuery::default() }).expect("a list");
        assert_eq!((all.items, all.next), (self.list(&ListQuery { limit: usize::MAX, ..ListQuery::default() }), None));
        let mut phases = BTreeMap::new();
        for stored in self.stored.values().filter(|stored| stored.ended.is_none()) {
            *phases.entry(stored.phase).or_insert(0) += 1;
        }
        assert_eq!(reader.phases(), phases);
        let mut records = Vec::new();
        let mut each = |_: Place, header: ExecutionHeader, _: &[u8]| {
            records.push((header.id, header.phase));
            std::ops::ControlFlow::Continue(())
        };
        reader.records_forward(None, &mut each).expect("records");
        assert_eq!(records, self.records);
    }

    /// What a query answers, made by looking at everything.
    pub fn list(&self, query: &ListQuery) -> Vec<ExecutionSummary> {
        let fits = |stored: &&StoredExecution| {
            query.definitions.as_ref().is_none_or(|definitions| definitions.contains(&stored.definition))
                && query.phase.is_none_or(|phase| phase == stored.phase)
                && query.from.is_none_or(|from| stored.created >= from)
                && query.to.is_none_or(|to| stored.created < to)
                && query.before.is_none_or(|before| stored.id < before)
        };
        let summary = |stored: &StoredExecution| ExecutionSummary {
            id: stored.id,
            definition: stored.definition,
            phase: stored.phase,
            created: stored.created,
            ended: stored.ended,
        };
        self.stored.values().rev().filter(fits).take(query.limit).map(summary).collect()
    }

    /// Whether a recovery hands each shard all that it stored, and nothing else.
    pub fn check_recovery(&self, recovery: &Recovery) {
        let mut states: BTreeMap<ShardId, Vec<u8>> = BTreeMap::new();
        for shard in (0..SHARDS).map(ShardId) {
            states.extend(recovery.snapshot(shard).expect("readable").map(|state| (shard, state)));
        }
        let replayed = recovery.replay(|shard, records| {
            states.entry(shard).or_default().extend_from_slice(records);
            Ok::<(), JournalError>(())
        });
        replayed.expect("replayed");
        assert_eq!(states, self.shards);
    }
}

fn phase() -> impl Strategy<Value = Phase> {
    prop_oneof![3 => Just(Phase::Completed), 1 => Just(Phase::Faulted), 2 => Just(Phase::Running), 2 => Just(Phase::Waiting)]
}

pub fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..SHARDS, 0..4_u32, phase()).prop_map(|(shard, definition, phase)| Op::Begin { shard, definition, phase }),
        3 => (any::<prop::sample::Index>(), phase()).prop_map(|(which, phase)| Op::GoOn { which, phase }),
        1 => (0..SHARDS).prop_map(|shard| Op::Own { shard }),
    ]
}

pub fn commit() -> impl Strategy<Value = Commit> {
    let snapshots = prop::collection::vec(0..SHARDS, 0..2);
    (prop::collection::vec(op(), 0..8), 0..20_u64, prop::bool::weighted(0.1), snapshots)
        .prop_map(|(ops, millis, back, snapshots)| Commit { ops, millis, back, snapshots })
}

pub fn commits(most: usize) -> impl Strategy<Value = Vec<Commit>> {
    prop::collection::vec(commit(), 1..most)
}

/// Small segments, so that a few blocks fill several.
pub fn options() -> Options {
    Options { segment_bytes: 1_000, seed: Some(0x7431), ..Options::default() }
}

/// Opens a journal on it.
pub fn open(storage: &Storage) -> (Journal, Recovery) {
    Journal::open(storage.clone(), options()).expect("a journal")
}

/// Runs a test on each storage.
pub fn on_each_storage(test: impl Fn(Storage)) {
    let directory = tempfile::tempdir().expect("a directory");
    test(Storage::Directory(directory.path().join("journal")));
    test(Storage::Memory(MemoryDisk::new()));
}

/// A journal on a fresh disk in memory with these commits.
pub fn journal_with(commits: &[Commit]) -> (MemoryDisk, Journal, World) {
    let disk = MemoryDisk::new();
    let (mut journal, _) = open(&Storage::Memory(disk.clone()));
    let mut world = World::new();
    for commit in commits {
        let batches = world.commit(commit);
        journal.append(world.time(), &batches).expect("appended");
    }
    (disk, journal, world)
}
