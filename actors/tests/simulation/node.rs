//! The node of the simulation: the real shards, pipelines, blocks and journal. Actors, their mailboxes and the committer's
//! thread are here queues of which one entry is taken at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use trinity_actors::admission::Part;
use trinity_actors::clock::Clock;
use trinity_actors::journal::{Durability, Journal, JournalError, MemoryDisk, Options, Reader, Retention, Storage};
use trinity_actors::node::{StartError, rebuild, recover};
use trinity_actors::pipeline::{Block, Pipeline, SnapshotRule, Step};
use trinity_engine::execution::RuntimeInfo;
use trinity_engine::expression::Limits;
use trinity_engine::ids::{ActivationId, ExecutionId, ShardId};
use trinity_engine::input::{Note, ShardInput};
use trinity_engine::shard::{Catalog, CommitReceipt, LostWakeUp, Ready, Reply, Settings, Shard, ShardEffect};
use trinity_engine::time::Timestamp;
use trinity_engine::wire::record::{ExecutionHeader, RecordRef, Records};

use crate::defects::{self, Defect};
use crate::time::Moment;

/// How a node is set up.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub shards: u16,
    pub segment_bytes: u64,
    /// Old segments go when the journal is longer than this.
    pub retained_bytes: Option<u64>,
    /// Commits are not synced: no loss of power, then.
    pub relaxed: bool,
    pub snapshots: SnapshotRule,
    pub defect: Option<Defect>,
}

/// What an actor of a shard takes, as in the node.
enum Mail {
    Events(Vec<ShardInput>, Part),
    Inputs(Vec<ShardInput>),
    Step,
    Committed { ready: Ready, receipt: CommitReceipt },
}

/// A shard's actor.
pub struct Cell {
    pub shard: Shard,
    pipeline: Pipeline<Part>,
    mailbox: VecDeque<Mail>,
    step_ordered: bool,
    /// Told apart from those of the same shard before it.
    pub incarnation: u64,
    /// By a defect it looks at its timers only when something else happens.
    forgets_timers: bool,
    /// Whether it has released something.
    released: bool,
    /// As it was before its last step, for a defect.
    pub before: Option<Vec<u8>>,
}

/// A step that was handed to the committer: whose, when, and which executions it records.
pub struct Decided {
    pub shard: ShardId,
    incarnation: u64,
    pub headers: Vec<ExecutionHeader>,
    pub moment: Moment,
}

impl Decided {
    /// For the log.
    pub fn told(&self) -> String {
        let mut text = format!("shard {} as of {:.6}", self.shard, self.moment.steady as f64 / 1e6);
        for header in &self.headers {
            let begins = if header.begins { "begins, " } else { "" };
            text.push_str(&format!("; {} of {} {begins}{}", header.id, header.definition.0, header.phase.as_str()));
        }
        text
    }
}

enum Order {
    Step(Box<Step>, Decided),
    /// The shard is brought back once everything before is durable.
    Fence(ShardId),
}

/// What a shard lets go to the outside.
pub struct Outgoing {
    pub shard: ShardId,
    pub effects: Vec<ShardEffect>,
    pub replies: Vec<(trinity_engine::input::ReplyToken, Reply)>,
    pub duplicates: u64,
    pub panics: u64,
    pub lost: Vec<(ExecutionId, LostWakeUp)>,
}

pub struct Node {
    pub disk: MemoryDisk,
    journal: Option<Journal>,
    pub reader: Reader,
    /// The number of the newest block that was said to be stored.
    pub newest: u64,
    pub setup: Setup,
    catalog: Arc<Catalog>,
    pub cells: Vec<Option<Cell>>,
    orders: VecDeque<Order>,
    /// The block that the committer tries to store.
    block: Option<Block<Decided>>,
    /// Shards whose fence has been passed.
    pub fenced: Vec<ShardId>,
    incarnations: u64,
    clock: Clock,
    /// What was released before it was durable, by a defect.
    pub early: Vec<Outgoing>,
}

fn settings() -> Settings {
    Settings { runtime: RuntimeInfo { name: "trinity".into(), version: "0".into() }, limits: Limits::default() }
}

impl Node {
    /// Opens what is on the disk.
    pub fn open(disk: MemoryDisk, setup: Setup, catalog: Arc<Catalog>, moment: Moment) -> Result<Node, StartError> {
        let options = Options {
            durability: if setup.relaxed { Durability::Relaxed } else { Durability::Sync },
            segment_bytes: setup.segment_bytes,
            retention: Retention { age: None, bytes: setup.retained_bytes },
            seed: Some(7),
        };
        let storage = Storage::Memory(disk.clone());
        // A world with this defect loses nothing else of what it syncs.
        disk.hold_syncs(setup.defect == Some(Defect::OpenedUnsynced));
        let recovered = recover(storage, options, setup.shards, &settings(), &catalog);
        disk.hold_syncs(false);
        let (journal, newest, shards) = recovered?;
        let time = shards.iter().map(Shard::time).fold(journal.reader().time(), Ord::max);
        let clock = Clock::new(time, moment.wall, moment.steady);
        let mut node = Node {
            clock,
            disk,
            reader: journal.reader(),
            journal: Some(journal),
            newest,
            setup,
            catalog,
            cells: (0..setup.shards).map(|_| None).collect(),
            orders: VecDeque::new(),
            block: None,
            fenced: Vec::new(),
            incarnations: 0,
            early: Vec::new(),
        };
        for shard in shards {
            node.begin(shard, moment);
        }
        Ok(node)
    }

    fn begin(&mut self, mut shard: Shard, moment: Moment) {
        let id = shard.id();
        if self.setup.defect == Some(Defect::EndForgotten) {
            let recovery = self.reader.recovery().expect("a readable journal");
            shard = defects::forgetful(&recovery, id, settings(), self.catalog.clone());
        }
        self.incarnations += 1;
        let shard_was_there = shard.time() > Timestamp(0);
        let now = self.now(moment);
        let mut cell = Cell {
            pipeline: Pipeline::new(self.setup.snapshots, shard.time()),
            shard,
            mailbox: VecDeque::new(),
            step_ordered: false,
            incarnation: self.incarnations,
            forgets_timers: self.setup.defect == Some(Defect::TimersForgotten) && shard_was_there,
            released: false,
            before: None,
        };
        let step = cell.pipeline.recovered(&mut cell.shard, now);
        self.cells[usize::from(id.0)] = Some(cell);
        self.hand_over(step, moment);
    }

    /// A shard's actor fails: its memory is gone, what it had handed over is committed. The node brings it back behind a
    /// fence.
    pub fn fail(&mut self, id: ShardId) {
        self.cells[usize::from(id.0)] = None;
        if self.setup.defect == Some(Defect::NoFence) {
            self.fenced.push(id);
        } else {
            self.orders.push_back(Order::Fence(id));
        }
    }

    /// Brings back a shard whose fence was passed.
    pub fn revive(&mut self, moment: Moment) -> Option<ShardId> {
        let id = self.fenced.pop()?;
        let recovery = self.reader.recovery().expect("a readable journal");
        let shard = rebuild(&recovery, id, &settings(), &self.catalog).expect("a readable journal");
        self.begin(shard, moment);
        self.mail(id, vec![ShardInput::Catalog(self.catalog.clone())]);
        Some(id)
    }

    /// The node's time.
    pub fn now(&mut self, moment: Moment) -> Timestamp {
        match self.setup.defect {
            Some(Defect::ClockFollowsBack) => moment.wall,
            _ => self.clock.read(moment.wall, moment.steady),
        }
    }

    pub fn is_whole(&self) -> bool {
        self.cells.iter().all(|cell| cell.as_ref().is_some_and(|cell| cell.shard.is_open()))
    }

    pub fn cell(&mut self, id: ShardId) -> Option<&mut Cell> {
        self.cells[usize::from(id.0)].as_mut()
    }

    pub fn incarnation(&self, id: ShardId) -> Option<u64> {
        self.cells[usize::from(id.0)].as_ref().map(|cell| cell.incarnation)
    }

    /// All definitions as they are from now on.
    pub fn set_catalog(&mut self, catalog: Arc<Catalog>) {
        self.catalog = catalog;
        for id in (0..self.setup.shards).map(ShardId) {
            self.mail(id, vec![ShardInput::Catalog(self.catalog.clone())]);
        }
    }

    /// Sends inputs to a shard; what is sent to one that is away is lost.
    pub fn mail(&mut self, id: ShardId, inputs: Vec<ShardInput>) -> bool {
        let Some(cell) = self.cell(id) else { return false };
        cell.mailbox.push_back(Mail::Inputs(inputs));
        true
    }

    /// Sends a part of a submission to a shard.
    pub fn mail_events(&mut self, id: ShardId, inputs: Vec<ShardInput>, part: Part) {
        if let Some(cell) = self.cell(id) {
            cell.mailbox.push_back(Mail::Events(inputs, part));
        }
    }

    /// Whether the shard's actor has something to do.
    pub fn can_act(&mut self, id: ShardId, moment: Moment) -> bool {
        let now = self.now(moment);
        self.cell(id).is_some_and(|cell| {
            let may_step = !cell.step_ordered && cell.pipeline.may_step(&cell.shard, now);
            !cell.mailbox.is_empty() || (may_step && !cell.forgets_timers)
        })
    }

    /// Lets the shard's actor take one message, or its timer when there is none.
    pub fn act(&mut self, id: ShardId, moment: Moment) -> Option<Outgoing> {
        let (defect, now) = (self.setup.defect, self.now(moment));
        let cell = self.cell(id)?;
        let mut outgoing = None;
        match cell.mailbox.pop_front() {
            None => self.step(id, moment),
            Some(Mail::Step) => {
                cell.step_ordered = false;
                self.step(id, moment);
            }
            Some(Mail::Events(_, part)) if part.is_broken() && defect != Some(Defect::GapTaken) => {}
            Some(Mail::Events(inputs, part)) => {
                cell.pipeline.push(&cell.shard, inputs);
                match defect {
                    Some(Defect::AcknowledgedOnArrival) => part.committed(),
                    _ => cell.pipeline.mark(part),
                }
            }
            Some(Mail::Inputs(inputs)) => cell.pipeline.push(&cell.shard, inputs),
            Some(Mail::Committed { ready, receipt }) => {
                let (released, parts) = cell.pipeline.committed(ready, receipt);
                outgoing = Some(self.release(id, released));
                parts.into_iter().for_each(Part::committed);
            }
        }
        let cell = self.cell(id)?;
        if !cell.step_ordered && cell.pipeline.may_step(&cell.shard, now) {
            cell.step_ordered = true;
            cell.mailbox.push_back(Mail::Step);
        }
        outgoing
    }

    fn step(&mut self, id: ShardId, moment: Moment) {
        let (defect, now) = (self.setup.defect, self.now(moment));
        let Some(cell) = self.cell(id) else { return };
        if cell.pipeline.may_step(&cell.shard, now) {
            let now = defects::time(defect, now, moment);
            let before = defects::wants_state_before(defect).then(|| cell.shard.snapshot().to_vec());
            // Far more often than once a second.
            cell.pipeline.check(&cell.shard);
            let step = cell.pipeline.step(&mut cell.shard, now);
            cell.before = before;
            self.hand_over(step, moment);
        }
    }

    fn hand_over(&mut self, mut step: Step, moment: Moment) {
        let id = step.shard;
        let incarnation = self.incarnation(id).expect("it has just decided");
        if let Some(defect) = self.setup.defect {
            let cell = self.cells[usize::from(id.0)].as_ref().expect("it has just decided");
            defects::on_step(defect, cell, &settings(), &self.catalog, &mut step);
            if defect == Defect::EffectsBeforeCommit {
                let ready = std::mem::take(&mut step.ready);
                let released = ready.release(CommitReceipt { block: 0 });
                let outgoing = self.release(id, released);
                self.early.push(outgoing);
            }
        }
        let headers = headers(&step.records);
        self.orders.push_back(Order::Step(Box::new(step), Decided { shard: id, incarnation, headers, moment }));
    }

    /// Posts what is for other shards; the rest is for the outside.
    fn release(&mut self, from: ShardId, released: trinity_engine::shard::Released) -> Outgoing {
        let first = self.cell(from).is_some_and(|cell| !std::mem::replace(&mut cell.released, true));
        let mut all = released.effects;
        defects::on_release(self.setup.defect, first, &mut all);
        let mut effects = Vec::new();
        for effect in all {
            match effect {
                ShardEffect::Peer { to, sequence, message } => {
                    self.mail(to, vec![ShardInput::Peer { from, sequence, message }]);
                }
                ShardEffect::Note { to, note } => {
                    self.mail(to, vec![ShardInput::Note { from, note }]);
                }
                other => effects.push(other),
            }
        }
        let (duplicates, panics, lost) = (released.duplicates, released.panics, released.lost);
        Outgoing { shard: from, effects, replies: released.replies, duplicates, panics, lost }
    }

    /// Whether a shard waits for a call that is not under way and whose end has not arrived.
    pub fn misses(&mut self, shard: ShardId, call: (ExecutionId, ActivationId, u32), runs: bool) -> bool {
        let Some(cell) = self.cell(shard) else { return false };
        let its_end = |input: &ShardInput| match input {
            ShardInput::Call { execution, activation, attempt, .. } => (*execution, *activation, *attempt) == call,
            _ => false,
        };
        let posted = |mail: &Mail| matches!(mail, Mail::Inputs(inputs) if inputs.iter().any(its_end));
        let runs = runs || cell.mailbox.iter().any(posted);
        cell.pipeline.lost_call(&cell.shard, call, runs).is_some()
    }

    /// Whether the committer has something to do.
    pub fn has_orders(&self) -> bool {
        self.block.is_some() || !self.orders.is_empty()
    }

    /// Lets the committer store a block of up to `most` steps, or try again with the one it has; what became durable.
    pub fn commit(&mut self, most: usize, moment: Moment) -> Result<Vec<Decided>, JournalError> {
        let now = self.now(moment);
        if self.block.is_none() {
            if let Some(Order::Fence(id)) = self.orders.front() {
                self.fenced.push(*id);
                self.orders.pop_front();
                return Ok(Vec::new());
            }
            self.block = self.gather(most);
        }
        let Some(block) = &self.block else { return Ok(Vec::new()) };
        if !block.batches.is_empty() {
            let batches = defects::on_append(self.setup.defect, &block.batches);
            let journal = self.journal.as_mut().expect("it is open");
            self.newest = journal.append(now, batches)?.block;
        }
        let Block { waiting, .. } = self.block.take().expect("it was just stored");
        let receipt = CommitReceipt { block: self.newest };
        let mut durable = Vec::with_capacity(waiting.len());
        for (ready, decided) in waiting {
            // A shard that is gone does not hear of it.
            let cell = self.cells[usize::from(decided.shard.0)].as_mut();
            if let Some(cell) = cell.filter(|cell| cell.incarnation == decided.incarnation) {
                cell.mailbox.push_back(Mail::Committed { ready, receipt });
            }
            durable.push(decided);
        }
        Ok(durable)
    }

    fn gather(&mut self, most: usize) -> Option<Block<Decided>> {
        let mut block = Block::default();
        while block.waiting.len() < most && block.has_room() {
            match self.orders.pop_front() {
                Some(Order::Step(step, decided)) if block.waiting.is_empty() || block.takes(&step) => {
                    block.add(*step, decided);
                }
                Some(other) => {
                    self.orders.push_front(other);
                    break;
                }
                None => break,
            }
        }
        (!block.waiting.is_empty()).then_some(block)
    }

    /// Stores the state of every shard, as a node does that is shut down in order; nothing may be under way.
    pub fn drain(&mut self, moment: Moment) {
        let now = self.now(moment);
        for id in (0..self.setup.shards).map(ShardId) {
            let Some(cell) = self.cell(id) else { continue };
            if let Some(step) = cell.pipeline.last(&cell.shard, now) {
                self.hand_over(step, moment);
            }
        }
    }

    /// What the node does now and then: old segments go; how many. With relaxed durability a sync.
    pub fn tidy(&mut self, moment: Moment) -> Result<usize, JournalError> {
        let now = self.now(moment);
        let journal = self.journal.as_mut().expect("it is open");
        if self.setup.relaxed {
            journal.sync()?;
        }
        journal.retain(now)
    }

    /// Closes the journal.
    pub fn close(&mut self) -> MemoryDisk {
        self.journal = None;
        self.disk.clone()
    }

    /// The shortest pause until a shard must be woken, in microseconds by its clock.
    pub fn pause(&mut self, moment: Moment) -> Option<u64> {
        let now = self.now(moment);
        let cells = self.cells.iter().flatten();
        let pauses = cells.filter_map(|cell| Some(cell.shard.next_wake()?.micros_since(now)));
        pauses.min()
    }

    /// How long the most urgent timer of all shards has been due, in microseconds.
    pub fn overdue(&mut self, moment: Moment) -> u64 {
        let now = self.now(moment);
        let cells = self.cells.iter().flatten();
        let overdue = cells.filter_map(|cell| Some(now.micros_since(cell.shard.next_wake()?)));
        overdue.max().unwrap_or(0)
    }

    /// The state of a shard, as it is and as what is durable gives it; `None` while steps of it are under way. What waits for
    /// other shards is left out: the shard hears without a record what of it has arrived.
    pub fn both_states(&mut self, id: ShardId, moment: Moment) -> Option<(Vec<u8>, Vec<u8>)> {
        let (catalog, shards) = (self.catalog.clone(), self.setup.shards);
        let now = self.now(moment);
        let cell = self.cell(id)?;
        if cell.pipeline.under_way() > 0 || !cell.shard.is_open() {
            return None;
        }
        let own = Shard::from_snapshot(id, settings(), catalog.clone(), &cell.shard.snapshot().to_vec());
        let own = own.expect("a readable snapshot");
        let recovery = self.reader.recovery().expect("a readable journal");
        let stored = rebuild(&recovery, id, &settings(), &catalog).expect("a readable journal");
        Some((settled(own, shards, now), settled(stored, shards, now)))
    }

    /// The state of each shard, as [`Node::both_states`] compares it.
    pub fn states(self) -> Vec<Vec<u8>> {
        let shards = self.setup.shards;
        self.cells.into_iter().flatten().map(|cell| settled(cell.shard, shards, Timestamp(0))).collect()
    }
}

/// The state of a shard when all it has sent to others has arrived.
fn settled(mut shard: Shard, shards: u16, now: Timestamp) -> Vec<u8> {
    let arrived = |from| ShardInput::Note { from: ShardId(from), note: Note::Absorbed { sequence: u64::MAX } };
    shard.step(&mut (0..shards).map(arrived).collect(), now);
    shard.snapshot().to_vec()
}

/// The executions that a batch records, in order.
pub fn headers(records: &[u8]) -> Vec<ExecutionHeader> {
    let header = |record| match record {
        Ok(RecordRef::Execution { header, .. }) => Some(header),
        _ => None,
    };
    Records::new(records).filter_map(header).collect()
}
