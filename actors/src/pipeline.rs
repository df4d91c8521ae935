//! What the shell decides between a shard and the journal: when a step is taken, how many are under way, when the shard's
//! whole state goes along, what shares a block, and what a receipt lets go.
//!
//! No actor, thread or clock is in here, so that the simulator runs the same code as the node.

use std::collections::VecDeque;

use trinity_engine::ids::{ActivationId, ExecutionId, ShardId};
use trinity_engine::input::ShardInput;
use trinity_engine::shard::{CommitReceipt, Ready, Released, Shard, ShardEffect, ShardSnapshot};
use trinity_engine::time::Timestamp;

use crate::inbox::Inbox;
use crate::journal::ShardBatch;

/// How many steps of a shard may wait for their receipts: one is computed while the other is written.
pub const STEPS_UNDER_WAY: usize = 2;
/// In how many turns all live executions are checked: once a second each, in a minute all.
pub const CHECK_TURNS: usize = 60;
/// Bytes of records after which a block takes no further batches.
const BLOCK_BYTES: usize = 24 << 20;

/// When a shard writes a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRule {
    /// After this many bytes of records, or four times the last snapshot if that is more: so writing snapshots costs at
    /// most a quarter of writing records.
    pub after_bytes: usize,
    /// … and after this many microseconds when anything was recorded.
    pub after_micros: u64,
}

impl Default for SnapshotRule {
    fn default() -> SnapshotRule {
        SnapshotRule { after_bytes: 16 << 20, after_micros: 300_000_000 }
    }
}

/// A step on its way to the journal.
#[derive(Debug)]
pub struct Step {
    /// Whose.
    pub shard: ShardId,
    /// What to make durable.
    pub records: Vec<u8>,
    /// The shard's whole state after these records.
    pub snapshot: Option<ShardSnapshot>,
    /// What it releases.
    pub ready: Ready,
}

/// The way of a shard's inputs to the journal and back. `P` stands for what is to be told once the inputs before it are
/// committed.
#[derive(Debug)]
pub struct Pipeline<P> {
    inbox: Inbox<P>,
    /// The parts that each step under way completes, oldest first.
    under_way: VecDeque<Vec<P>>,
    rule: SnapshotRule,
    unsnapped_bytes: usize,
    snapshot_bytes: usize,
    snapped: Timestamp,
}

impl<P> Pipeline<P> {
    /// One with nothing in it.
    #[must_use]
    pub fn new(rule: SnapshotRule, now: Timestamp) -> Pipeline<P> {
        let (inbox, under_way) = (Inbox::default(), VecDeque::new());
        Pipeline { inbox, under_way, rule, unsnapped_bytes: 0, snapshot_bytes: 0, snapped: now }
    }

    /// Queues inputs for `shard`.
    pub fn push(&mut self, shard: &Shard, inputs: impl IntoIterator<Item = ShardInput>) {
        self.inbox.push(shard, inputs);
    }

    /// Marks what was queued last as the end of a part.
    pub fn mark(&mut self, part: P) {
        self.inbox.mark(part);
    }

    /// How many inputs wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.inbox.len()
    }

    /// Queues a check of some of the live executions; in [`CHECK_TURNS`] turns all have been checked. There is never more
    /// than one waiting.
    pub fn check(&mut self, shard: &Shard) {
        let executions = shard.live().div_ceil(CHECK_TURNS);
        if executions > 0 && !self.inbox.any(|input| matches!(input, ShardInput::Check { .. })) {
            self.inbox.push(shard, [ShardInput::Check { executions }]);
        }
    }

    /// A call that neither runs nor has ended with its end on the way, although its execution waits for it. `runs`: whether
    /// it runs.
    #[must_use]
    pub fn lost_call(&self, shard: &Shard, call: (ExecutionId, ActivationId, u32), runs: bool) -> Option<ShardEffect> {
        let its_end = |input: &ShardInput| match input {
            ShardInput::Call { execution, activation, attempt, .. } => (*execution, *activation, *attempt) == call,
            _ => false,
        };
        if runs || self.inbox.any(its_end) { None } else { shard.call_again(call.0, call.1, call.2) }
    }

    /// How many steps wait for their receipts.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whether no input waits, and no step for its receipt.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty() && self.under_way.is_empty()
    }

    /// Whether a step may be taken, and would have something to do.
    #[must_use]
    pub fn may_step(&self, shard: &Shard, now: Timestamp) -> bool {
        self.under_way.len() < STEPS_UNDER_WAY && self.inbox.has_work(shard, now)
    }

    /// Takes a step.
    pub fn step(&mut self, shard: &mut Shard, now: Timestamp) -> Step {
        let (ready, parts) = self.inbox.step(shard, now);
        self.hand_over(shard, ready, parts, now)
    }

    /// The first step of a shard that was brought back.
    pub fn recovered(&mut self, shard: &mut Shard, now: Timestamp) -> Step {
        let ready = shard.recovered(now);
        self.hand_over(shard, ready, Vec::new(), now)
    }

    /// A last step that stores the shard's whole state; `None` when nothing was recorded since it last was.
    pub fn last(&mut self, shard: &Shard, now: Timestamp) -> Option<Step> {
        if self.unsnapped_bytes == 0 {
            return None;
        }
        let snapshot = Some(self.snapshot(shard, now));
        self.under_way.push_back(Vec::new());
        Some(Step { shard: shard.id(), records: Vec::new(), snapshot, ready: Ready::default() })
    }

    /// The oldest step under way is durable: what it lets go, and the parts that it completes.
    pub fn committed(&mut self, ready: Ready, receipt: CommitReceipt) -> (Released, Vec<P>) {
        (ready.release(receipt), self.under_way.pop_front().unwrap_or_default())
    }

    fn hand_over(&mut self, shard: &Shard, mut ready: Ready, parts: Vec<P>, now: Timestamp) -> Step {
        let records = ready.take_records();
        self.unsnapped_bytes += records.len();
        let snapshot = self.is_snapshot_due(now).then(|| self.snapshot(shard, now));
        self.under_way.push_back(parts);
        Step { shard: shard.id(), records, snapshot, ready }
    }

    fn is_snapshot_due(&self, now: Timestamp) -> bool {
        let enough = self.unsnapped_bytes > self.rule.after_bytes.max(4 * self.snapshot_bytes);
        enough || (self.unsnapped_bytes > 0 && now.micros_since(self.snapped) > self.rule.after_micros)
    }

    fn snapshot(&mut self, shard: &Shard, now: Timestamp) -> ShardSnapshot {
        let snapshot = shard.snapshot();
        self.snapshot_bytes = snapshot.bytes();
        self.unsnapped_bytes = 0;
        self.snapped = now;
        snapshot
    }
}

/// The steps that share a block. `T` stands for whom the receipt of each goes to.
#[derive(Debug)]
pub struct Block<T> {
    /// What is appended; nothing, when no step has anything to store.
    pub batches: Vec<ShardBatch>,
    /// What each step releases, in order.
    pub waiting: Vec<(Ready, T)>,
    /// The place in `waiting` of each batch's step.
    steps: Vec<usize>,
    bytes: usize,
}

impl<T> Default for Block<T> {
    fn default() -> Block<T> {
        Block { batches: Vec::new(), waiting: Vec::new(), steps: Vec::new(), bytes: 0 }
    }
}

impl<T> Block<T> {
    /// Whether it may take another step at all.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.bytes < BLOCK_BYTES
    }

    /// Whether it may take that step: a shard's snapshot comes with its last batch in a block.
    #[must_use]
    pub fn takes(&self, step: &Step) -> bool {
        !self.batches.iter().any(|batch| batch.shard == step.shard && batch.snapshot.is_some())
    }

    /// Takes a step.
    pub fn add(&mut self, step: Step, whom: T) {
        let Step { shard, records, snapshot, ready } = step;
        self.bytes += records.len();
        if !records.is_empty() || snapshot.is_some() {
            self.batches.push(ShardBatch { shard, records, snapshot });
            self.steps.push(self.waiting.len());
        }
        self.waiting.push((ready, whom));
    }

    /// Each step in a block of its own.
    pub fn divided(self) -> Vec<Block<T>> {
        let Block { batches, waiting, steps, .. } = self;
        let mut batches = steps.into_iter().zip(batches).peekable();
        let alone = |(at, step)| {
            let own = batches.next_if(|(step, _)| *step == at).map(|(_, batch)| batch);
            let steps = own.iter().map(|_| 0).collect();
            Block { batches: own.into_iter().collect(), waiting: vec![step], steps, bytes: 0 }
        };
        waiting.into_iter().enumerate().map(alone).collect()
    }

    /// It is stored: what each step releases, in order, with its records, which are of no further use but as a buffer.
    pub fn stored(self) -> Vec<(Ready, T)> {
        let Block { batches, mut waiting, steps, .. } = self;
        for (batch, at) in batches.into_iter().zip(steps) {
            waiting[at].0.give_back(batch.records);
        }
        waiting
    }
}
