//! A shard: the single writer of its executions, and of all that starts and moves them.
//!
//! [`Shard::step`] takes inputs and the time, decides, and answers with [`Ready`]: records to make durable in one atomic
//! commit, and what is released once they are. It never waits and never fails; the same state, inputs and times give
//! the same records. [`Shard::replay`] folds records back into the state they were written from.
//!
//! | file | holds |
//! | --- | --- |
//! | `mod` | the state, the step, its inputs |
//! | `step` | what one step gathers |
//! | `executions` | starting and moving executions, and what they ask for |
//! | `events` | the way of an event to triggers, gatherers and listeners |
//! | `recovery` | replay, snapshots, what is asked for again after a crash |
//! | `check` | finds live executions that nothing would move |
//! | `ready` | what a step decided |
//! | `catalog` | all definitions, indexed |
//! | `trigger`, `gather`, `schedule` | what starts executions: one event, several together, time |
//! | `live`, `timers`, `subscriptions`, `dedup`, `outbox` | the tables |
//! | `codec` | the stored form of the tables |

mod catalog;
mod check;
mod codec;
mod dedup;
mod events;
mod executions;
mod gather;
mod live;
mod outbox;
mod ready;
mod recovery;
mod schedule;
mod starters;
mod step;
mod subscriptions;
#[cfg(test)]
mod tests;
mod timers;
mod trigger;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use catalog::{Catalog, CatalogEntry, DefinitionState, TypePattern};
pub use check::LostWakeUp;
pub use dedup::WINDOW as DEDUPLICATION_WINDOW;
pub use gather::GATHERERS_MAX;
pub use ready::{CommitReceipt, Ready, Released, Reply, ShardEffect};
pub use recovery::{ReplayError, ShardSnapshot};

use crate::execution::RuntimeInfo;
use crate::expression::Limits;
use crate::history::{Trigger, TriggerKind};
use crate::ids::{ExecutionId, ShardId};
use crate::input::{ExecutionInput, Note, PeerMessage, ReplyToken, ShardInput, Subscription};
use crate::time::Timestamp;
use crate::value::{Map, Value};
use codec::ShardRecord;
use executions::{Beginning, Owner};
use schedule::Due;
use step::{Step, Work};

/// A step takes no further inputs once its records are this long, so that a commit stays within a block.
pub const RECORDS_BYTES_MAX: usize = 8 << 20;
/// Once the records of a step are this long, who else listens to an event hears of it with the next step.
pub const EVENT_BYTES_MAX: usize = 16 << 20;
/// No step of an execution may make the records of a commit longer than this: what is refused by it is small, and still fits a
/// block of 64 MiB.
pub const COMMIT_BYTES_MAX: usize = 56 << 20;
/// Most inputs that one step takes: the others of a long queue need not wait for all of it to be durable.
pub const INPUTS_PER_STEP_MAX: usize = 4_096;
/// A step takes no further inputs and fires no further timers once its expressions have taken so many steps (see
/// [`Limits::steps_max`]), which takes tens of milliseconds: other shards wait for the thread that it runs on.
pub const EXPRESSION_STEPS_MAX: u64 = 500_000;
/// Most timers that one step fires; the rest follows in the next.
pub const TIMERS_PER_STEP_MAX: usize = 10_000;

/// How many buffers of records a shard keeps, and how long one may be.
const SPARE_MAX: usize = 2;
const SPARE_BYTES_MAX: usize = 4 << 20;

/// What a shard needs to know of its node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `$runtime`.
    pub runtime: RuntimeInfo,
    /// Budgets of each expression.
    pub limits: Limits,
}

/// The shared catalog behind a reference of the shard's own: a step takes another one of it for each execution, and counting
/// references where all shards count would cost more than the rest of the look-up.
#[derive(Debug)]
struct OwnCatalog(Arc<Catalog>);

impl std::ops::Deref for OwnCatalog {
    type Target = Catalog;

    fn deref(&self) -> &Catalog {
        &self.0
    }
}

/// A shard.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    settings: Settings,
    catalog: Arc<OwnCatalog>,
    /// The number of the next execution.
    sequence: u64,
    /// The time of the last step: steps never go back.
    last: Timestamp,
    live: live::LiveTable,
    timers: timers::Timers,
    /// The execution that was checked last.
    checked: Option<ExecutionId>,
    seen: dedup::Seen,
    requests: dedup::Requests,
    absorbed: dedup::Absorbed,
    outbox: outbox::Outbox,
    publications: outbox::Publications,
    /// While publications take more bytes than this, no schedule starts anything.
    publications_max: usize,
    schedules: schedule::Schedules,
    gatherers: gather::Gatherers,
    subscriptions: subscriptions::Subscriptions,
    /// Who listens at shards that have not said yet that they are there, after a recovery.
    untold: BTreeMap<ShardId, Vec<Subscription>>,
    /// The shards whose [`Note::Announce`] was answered since this one has recovered.
    told: BTreeSet<ShardId>,
    watchers: FxHashMap<ExecutionId, Vec<ReplyToken>>,
    /// The shards that have yet to announce who listens here: until then only notes are taken.
    awaited: BTreeSet<ShardId>,
    /// Room for the records of steps to come.
    spare: Vec<Vec<u8>>,
}

impl Shard {
    /// A shard without any history.
    #[must_use]
    pub fn new(id: ShardId, settings: Settings, catalog: Arc<Catalog>) -> Shard {
        Shard {
            id,
            settings,
            catalog: Arc::new(OwnCatalog(catalog)),
            sequence: 0,
            last: Timestamp(0),
            live: live::LiveTable::default(),
            timers: timers::Timers::default(),
            checked: None,
            seen: dedup::Seen::default(),
            requests: dedup::Requests::default(),
            absorbed: dedup::Absorbed::default(),
            outbox: outbox::Outbox::default(),
            publications: outbox::Publications::default(),
            publications_max: usize::MAX,
            schedules: schedule::Schedules::default(),
            gatherers: gather::Gatherers::default(),
            subscriptions: subscriptions::Subscriptions::default(),
            untold: BTreeMap::new(),
            told: BTreeSet::new(),
            watchers: FxHashMap::default(),
            awaited: BTreeSet::new(),
            spare: Vec::new(),
        }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The time of its last step: it never takes one at an earlier time.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.last
    }

    /// How many executions live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// Whether it may take inputs: all shards have announced who listens here.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.awaited.is_empty()
    }

    /// How many messages to shards and events for sinks have left and not yet arrived.
    #[must_use]
    pub fn outbox(&self) -> usize {
        self.outbox.len() + self.publications.waiting().len()
    }

    /// What the events that wait for sinks take in memory, in bytes, roughly.
    #[must_use]
    pub fn publications_bytes(&self) -> usize {
        self.publications.bytes()
    }

    /// While the events that wait for sinks take more bytes than this, no schedule starts anything. Who gives inputs sees
    /// to the rest.
    pub fn hold_schedules_above(&mut self, publications_bytes: usize) {
        self.publications_max = publications_bytes;
    }

    fn may_schedule(&self) -> bool {
        self.publications.bytes() <= self.publications_max
    }

    /// When [`Shard::step`] must next be called even without an input.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        if !self.is_open() {
            return None;
        }
        let schedule = if self.may_schedule() { self.schedules.next() } else { None };
        [self.timers.next(), schedule].into_iter().flatten().min()
    }

    /// Takes back the records of a step that are durable: the next ones are written where they were, for new memory costs
    /// more than what is written there.
    pub fn recycle(&mut self, mut records: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && (1..=SPARE_BYTES_MAX).contains(&records.capacity()) {
            records.clear();
            self.spare.push(records);
        }
    }

    /// Takes inputs, as many as fit a commit, and fires what is due. What is left in `inputs` waits for the next step.
    pub fn step(&mut self, inputs: &mut VecDeque<ShardInput>, now: Timestamp) -> Ready {
        self.last = self.last.max(now);
        let mut step = Step::new(self.last, self.spare.pop().unwrap_or_default());
        if !self.is_open() {
            self.take_notes(inputs, &mut step);
        }
        if self.is_open() {
            let mut taken = 0;
            while taken < INPUTS_PER_STEP_MAX
                && step.has_room()
                && let Some(input) = inputs.pop_front()
            {
                taken += 1;
                self.take(input, &mut step);
                self.work(&mut step);
            }
            self.fire(&mut step);
        }
        self.close(&mut step);
        step.into_ready()
    }

    fn take_notes(&mut self, inputs: &mut VecDeque<ShardInput>, step: &mut Step) {
        let mut others = VecDeque::with_capacity(inputs.len());
        for input in inputs.drain(..) {
            match input {
                ShardInput::Note { from, note } => self.note(from, note, step),
                other => others.push_back(other),
            }
        }
        *inputs = others;
    }

    fn take(&mut self, input: ShardInput, step: &mut Step) {
        match input {
            ShardInput::Event { event, origin } => self.event_in(&event, &origin, step),
            ShardInput::Execute { definition, input, trigger, idempotency_key, reply, ended } => {
                let outcome = self.execute(definition, input, trigger, idempotency_key.as_deref(), step);
                match (&outcome, ended) {
                    (Reply::Started { execution, .. }, Some(ended)) => self.watch(*execution, ended, step),
                    (_, Some(ended)) => step.released.replies.push((ended, Reply::NotLive)),
                    (_, None) => {}
                }
                step.released.replies.push((reply, outcome));
            }
            ShardInput::Control { execution, control, reply } => {
                let outcome = if self.live.contains(execution) { Reply::Done } else { Reply::NotLive };
                step.released.replies.push((reply, outcome));
                step.work.push_back(Work { execution, input: ExecutionInput::Control(control) });
            }
            ShardInput::Await { execution, reply } => self.watch(execution, reply, step),
            ShardInput::Call { execution, activation, attempt, result } => {
                let input = ExecutionInput::Call { activation, attempt, result };
                step.work.push_back(Work { execution, input });
            }
            ShardInput::Peer { from, sequence, message } => {
                if self.outbox.absorb(from, sequence) {
                    step.marked.insert(from);
                    self.message(message, step);
                } else if sequence <= self.outbox.mark(from) {
                    // It came before: its sender has not heard that.
                    step.marked.insert(from);
                }
            }
            ShardInput::Note { from, note } => self.note(from, note, step),
            ShardInput::Delivered(numbers) => {
                let known = numbers.into_iter().filter(|number| self.publications.delivered(*number));
                let known: Vec<u64> = known.collect();
                if !known.is_empty() {
                    step.record(&ShardRecord::Delivered(known));
                }
            }
            ShardInput::Catalog(catalog) => self.set_catalog(catalog, step),
            ShardInput::Check { executions } => self.check(executions, step),
        }
    }

    /// Tells of the end of an execution, at once when it does not live.
    fn watch(&mut self, execution: ExecutionId, reply: ReplyToken, step: &mut Step) {
        if self.live.contains(execution) {
            self.watchers.entry(execution).or_default().push(reply);
        } else {
            step.released.replies.push((reply, Reply::NotLive));
        }
    }

    fn execute(
        &mut self,
        definition: crate::ids::DefinitionId,
        input: Value,
        trigger: Trigger,
        key: Option<&str>,
        step: &mut Step,
    ) -> Reply {
        let key = key.map(|key| dedup::request_key(definition, key));
        if let Some(execution) = key.and_then(|key| self.requests.get(key)) {
            return Reply::Started { execution, repeated: true };
        }
        match self.begin(Beginning::new(definition, input, trigger), step) {
            Some(execution) => {
                if let Some(key) = key {
                    self.requests.insert(key, execution);
                    step.record(&ShardRecord::Request(key, execution));
                }
                Reply::Started { execution, repeated: false }
            }
            None => Reply::Refused("the definition is not known to this node".into()),
        }
    }

    fn message(&mut self, message: PeerMessage, step: &mut Step) {
        match message {
            PeerMessage::Event(event) => self.event(&event, step),
            PeerMessage::Listened(event) => self.listened(&event, step),
            PeerMessage::Candidates { tasks, event } => {
                let work = |(execution, activation)| {
                    let event = event.clone();
                    Work { execution, input: ExecutionInput::Event { activation, event } }
                };
                step.work.extend(tasks.into_iter().map(work));
            }
            PeerMessage::Gathered { definitions, event } => self.gather_all(&definitions, &event, step),
            PeerMessage::StartChild { parent, activation, namespace, name, version, input, wait } => {
                let target = (namespace, name, version);
                self.begin_child((parent, activation), target, input, wait, step);
            }
        }
    }

    fn note(&mut self, from: ShardId, note: Note, step: &mut Step) {
        match note {
            Note::Subscribe(all) => {
                for subscription in all {
                    self.subscriptions.add(subscription);
                }
            }
            Note::Unsubscribe(all) => all.into_iter().for_each(|one| self.subscriptions.remove(one)),
            Note::Confirm(all) => self.confirm(all, step),
            Note::Absorbed { sequence } => self.outbox.trim(from, sequence),
            Note::Announce => {
                self.announce(from, step);
                // It was away when it was asked, or it would not ask itself now: ask again.
                if self.awaited.contains(&from) {
                    step.released.effects.push(ShardEffect::Note { to: from, note: Note::AnnounceAgain });
                }
            }
            Note::AnnounceAgain if self.told.contains(&from) => {}
            Note::AnnounceAgain => self.announce(from, step),
            Note::Announced => self.announced(from, step),
        }
    }

    /// Moves executions of this shard until nothing is left to do for them. When very many hear of one event, the commit
    /// takes as many as it should and the others hear of it with a next one.
    fn work(&mut self, step: &mut Step) {
        while let Some(Work { execution, input }) = step.work.pop_front() {
            match input {
                ExecutionInput::Event { activation, event } if step.is_long() => {
                    step.put_off(event, (execution, activation));
                }
                input => self.advance(execution, input, step),
            }
        }
    }

    /// Fires the timers and schedules that are due.
    fn fire(&mut self, step: &mut Step) {
        let mut fired = 0;
        while fired < TIMERS_PER_STEP_MAX
            && step.has_room()
            && let Some(execution) = self.timers.pop_due(step.now)
        {
            fired += 1;
            self.advance(execution, ExecutionInput::Timers, step);
            self.work(step);
        }
        let due = if self.may_schedule() { self.schedules.due(step.now) } else { Vec::new() };
        for definition in due {
            self.start_scheduled(definition, step);
            self.work(step);
        }
    }

    fn start_scheduled(&mut self, definition: crate::ids::DefinitionId, step: &mut Step) {
        let Some(Due::At(at)) = self.schedules.get(definition) else { return };
        let Some(entry) = self.catalog.entry(definition) else { return };
        let plan = entry.plan.clone();
        let Some(schedule) = &plan.schedule else { return };
        let next = schedule::next(schedule, at, step.now);
        // `after` waits for the end of what it starts now, which may come within this very step.
        self.set_schedule(definition, next.map(Due::At), step);
        let trigger = Trigger { kind: TriggerKind::Schedule, event_id: None, source: None };
        let owner = if next.is_none() { Owner::Schedule } else { Owner::Nobody };
        let input = Value::Object(Map::default());
        self.begin(Beginning { owner, ..Beginning::new(definition, input, trigger) }, step);
    }

    fn set_schedule(&mut self, definition: crate::ids::DefinitionId, due: Option<Due>, step: &mut Step) {
        self.schedules.set(definition, due);
        step.record(&ShardRecord::Schedule(definition, due));
    }

    /// Takes over a catalog: schedules of what became current begin, those of what is no longer current end.
    fn set_catalog(&mut self, catalog: Arc<Catalog>, step: &mut Step) {
        self.catalog = Arc::new(OwnCatalog(catalog));
        let catalog = self.catalog.clone();
        let is_current = |id| catalog.entry(id).is_some_and(|entry| entry.state == DefinitionState::Current);
        let ended: Vec<_> = self.schedules.iter().map(|(id, _)| id).filter(|id| !is_current(*id)).collect();
        for id in ended {
            self.set_schedule(id, None, step);
        }
        for id in self.gatherers.retain(is_current) {
            step.record(&ShardRecord::Gathered(id, Vec::new()));
        }
        let mut fresh: Vec<_> = catalog.entries().filter(|entry| is_current(entry.id)).collect();
        fresh.sort_by_key(|entry| entry.id);
        for entry in fresh {
            if let Some(schedule) = &entry.plan.schedule
                && self.schedules.get(entry.id).is_none()
                && catalog::home_of_name(&entry.plan, catalog.shards()) == self.id
                && let Some(at) = schedule::first(schedule, step.now)
            {
                self.set_schedule(entry.id, Some(Due::At(at)), step);
            }
        }
    }

    /// Records what the whole step has changed at once.
    fn close(&mut self, step: &mut Step) {
        for (event, tasks) in std::mem::take(&mut step.put_off) {
            self.send(self.id, PeerMessage::Candidates { tasks, event }, step);
        }
        if !step.seen.is_empty() {
            let seen = std::mem::take(&mut step.seen);
            step.record(&ShardRecord::Seen(seen));
        }
        for (partition, offset) in std::mem::take(&mut step.absorbed) {
            step.record(&ShardRecord::Absorbed(partition, offset));
        }
        for from in std::mem::take(&mut step.marked) {
            let sequence = self.outbox.mark(from);
            step.record(&ShardRecord::Mark(from, sequence));
            step.released.effects.push(ShardEffect::Note { to: from, note: Note::Absorbed { sequence } });
        }
    }
}
