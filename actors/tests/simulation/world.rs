//! The run of one seed: what happens is drawn, until all comes to rest and the invariants are looked at.

use std::collections::BTreeMap;

use trinity_actors::journal::JournalError;
use trinity_engine::effect::HttpResponse;
use trinity_engine::history::{Trigger, TriggerKind};
use trinity_engine::ids::{DefinitionId, ExecutionId, ShardId};
use trinity_engine::input::{Control, ReplyToken, ShardInput};
use trinity_engine::shard::{Reply, ShardEffect};
use trinity_engine::time::Timestamp;
use trinity_engine::value::{ParseLimits, Value};

use crate::node::{CALL, Freed, HEAR, Node, PARENT, PAUSE, SHARDS, TELL, catalog};
use crate::outside::{Kind, Message, Running, Seen, Source, event};
use crate::random::Random;

/// How much happens before the calm.
const HAPPENINGS: u64 = 400;

/// What was seen over all seeds.
#[derive(Default, Clone, Debug)]
pub struct Totals {
    pub executions: u64,
    pub crashes: u64,
    pub shard_crashes: u64,
    pub full_disks: u64,
    pub lost_commits: u64,
    pub snapshots: u64,
    pub duplicates: u64,
    pub repeated_calls: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Totals) {
        self.executions += other.executions;
        self.crashes += other.crashes;
        self.shard_crashes += other.shard_crashes;
        self.full_disks += other.full_disks;
        self.lost_commits += other.lost_commits;
        self.snapshots += other.snapshots;
        self.duplicates += other.duplicates;
        self.repeated_calls += other.repeated_calls;
    }
}

pub struct World {
    pub random: Random,
    pub now: Timestamp,
    pub node: Node,
    pub sources: Vec<Source>,
    pub running: Vec<Running>,
    pub seen: Seen,
    pub totals: Totals,
    /// Whether what happens is printed.
    pub told: bool,
    /// Clients that wait for an answer: the key of an execute.
    asked: BTreeMap<ReplyToken, Option<u64>>,
    tokens: u64,
    submissions: u64,
    /// Parts left of each submission.
    parts: BTreeMap<u64, usize>,
    published: u64,
    /// Whether the disk has no room at the moment.
    full: bool,
    calm: bool,
}

impl World {
    pub fn new(seed: u64) -> World {
        let now = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").expect("a time");
        let node = Node::open(trinity_actors::journal::MemoryDisk::new(), catalog(), now);
        let kinds = [Kind::Log, Kind::Log, Kind::Session];
        World {
            random: Random::new(seed),
            now,
            node,
            sources: kinds.into_iter().enumerate().map(|(number, kind)| Source::new(kind, number)).collect(),
            running: Vec::new(),
            seen: Seen::default(),
            totals: Totals::default(),
            told: false,
            asked: BTreeMap::new(),
            tokens: 0,
            submissions: 0,
            parts: BTreeMap::new(),
            published: 0,
            full: false,
            calm: false,
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.told {
            println!("{} {}", self.now.to_rfc3339(), what());
        }
    }

    pub fn run(&mut self) {
        for _ in 0..HAPPENINGS {
            self.happen();
        }
        self.come_to_rest();
        self.check();
    }

    fn happen(&mut self) {
        match self.random.below(100) {
            0..20 => self.publish(),
            20..35 => self.read(),
            35..45 => self.client(),
            45..65 => self.step(),
            65..82 => self.commit(),
            82..88 => self.answer(),
            88..93 => self.pass(),
            93..95 => self.crash(),
            95..97 => self.fail_shard(),
            97 => self.jump_back(),
            98 => {
                self.full = !self.full;
                let capacity = self.full.then(|| self.node.disk.bytes_used() + self.random.below(2_000));
                self.node.disk.set_capacity(capacity);
                self.totals.full_disks += u64::from(self.full);
                let full = self.full;
                self.note(|| format!("disk full: {full}"));
            }
            _ => self.revive(),
        }
    }

    /// Somebody publishes to a broker.
    fn publish(&mut self) {
        self.published += 1;
        let number = self.published;
        let source = self.random.pick(self.sources.len());
        let kind = ["reading", "reading", "reading", "left", "right"][self.random.pick(5)];
        let subject = format!("device-{}", self.random.below(5));
        let event = event(kind, format!("{kind}-{number}"), subject, number);
        self.sources[source].log.push(Message { event, key: u128::from(number) });
    }

    /// A source hands messages to the node.
    fn read(&mut self) {
        let at = self.random.pick(self.sources.len());
        let most = 1 + self.random.pick(6);
        if self.node.cells.iter().any(Option::is_none) {
            return;
        }
        let taken = self.sources[at].take(most);
        if taken.is_empty() {
            return;
        }
        self.submissions += 1;
        let submission = self.submissions;
        let mut by_shard: BTreeMap<ShardId, Vec<ShardInput>> = BTreeMap::new();
        let mut numbers = Vec::new();
        for (number, event, origin) in taken {
            let shard = ShardId::of_key(event.partition_key().as_bytes(), SHARDS);
            by_shard.entry(shard).or_default().push(ShardInput::Event { event, origin });
            numbers.push(number);
        }
        self.note(|| format!("source {at} submits {numbers:?} as {submission}"));
        self.parts.insert(submission, by_shard.len());
        let session = self.sources[at].session;
        self.sources[at].under_way.push_back((submission, session, numbers));
        for (shard, inputs) in by_shard {
            assert!(self.node.give(shard, inputs, Some(submission)), "all shards are there");
        }
    }

    /// A client asks for something.
    fn client(&mut self) {
        self.tokens += 1;
        let reply = ReplyToken(self.tokens);
        if self.random.chance(25) {
            let live: Vec<ExecutionId> = self.seen.promised.iter().copied().collect();
            if live.is_empty() {
                return;
            }
            let execution = live[self.random.pick(live.len())];
            let control = [Control::Cancel, Control::Suspend, Control::Resume][self.random.pick(3)];
            self.note(|| format!("client: {control:?} {execution}"));
            self.node.give(execution.shard(), vec![ShardInput::Control { execution, control, reply }], None);
            return;
        }
        let definition = [CALL, HEAR, PARENT, PAUSE, TELL][self.random.pick(5)];
        let key = self.random.chance(50).then(|| self.random.below(30));
        let shard = match key {
            Some(key) => ShardId::of_key(key.to_string().as_bytes(), SHARDS),
            None => ShardId(u16::try_from(self.random.below(u64::from(SHARDS))).expect("few")),
        };
        self.note(|| format!("client: execute {definition:?} on {shard} with key {key:?}"));
        self.asked.insert(reply, key.map(|key| key * 10 + u64::from(definition.0)));
        self.node.give(shard, vec![self.execute(definition, key, reply)], None);
    }

    fn execute(&self, definition: DefinitionId, key: Option<u64>, reply: ReplyToken) -> ShardInput {
        let input = format!("{{\"n\": {}}}", self.published % 5);
        ShardInput::Execute {
            definition,
            input: Value::parse(input.as_bytes(), &ParseLimits::default()).expect("JSON"),
            trigger: Trigger { kind: TriggerKind::Api, event_id: None, source: None },
            idempotency_key: key.map(|key| key.to_string().into()),
            reply,
        }
    }

    fn step(&mut self) {
        let able = (0..SHARDS).map(ShardId).filter(|id| self.node.can_step(*id, self.now));
        let able: Vec<ShardId> = able.collect();
        if !able.is_empty() {
            let id = able[self.random.pick(able.len())];
            let snapshot = !self.calm && self.random.chance(8);
            self.totals.snapshots += u64::from(snapshot);
            self.node.step(id, self.now, snapshot);
        }
    }

    pub fn commit(&mut self) {
        if self.node.has_commits() {
            let most = 1 + self.random.pick(6);
            match self.node.commit(most, self.now) {
                Ok(freed) => self.release(freed),
                Err(JournalError::Full) => {}
                Err(error) => panic!("the journal fails: {error}"),
            }
        }
    }

    fn release(&mut self, freed: Vec<Freed>) {
        for Freed { shard, released, parts } in freed {
            self.totals.duplicates += released.duplicates;
            assert_eq!(released.panics, 0);
            for effect in self.node.deliver(shard, released.effects) {
                self.outside(shard, effect);
            }
            for (token, reply) in released.replies {
                if let (Reply::Started { execution, .. }, Some(key)) = (reply, self.asked.remove(&token)) {
                    self.told(execution, key);
                }
            }
            for part in parts {
                self.complete(part);
            }
        }
    }

    fn told(&mut self, execution: ExecutionId, key: Option<u64>) {
        self.note(|| format!("client is told of {execution}"));
        self.seen.promised.insert(execution);
        if let Some(key) = key {
            let first = *self.seen.requests.entry(key).or_insert(execution);
            assert_eq!(first, execution, "one key, two executions");
        }
    }

    fn complete(&mut self, submission: u64) {
        let Some(left) = self.parts.get_mut(&submission) else { return };
        *left -= 1;
        if *left > 0 {
            return;
        }
        self.parts.remove(&submission);
        for source in &mut self.sources {
            let found =
                source.under_way.iter().position(|(own, session, _)| *own == submission && *session == source.session);
            if let Some((_, _, numbers)) = found.and_then(|at| source.under_way.remove(at)) {
                source.acknowledged.extend(numbers);
            }
        }
    }

    fn outside(&mut self, shard: ShardId, effect: ShardEffect) {
        match effect {
            ShardEffect::Call { execution, activation, attempt, request } => {
                let stored = self.node.journal.reader().execution(execution).expect("readable");
                assert!(stored.is_some(), "effect before commit: a call of an execution that is not durable");
                let key = request.idempotency_key.to_string();
                let count = self.seen.calls.entry(key.clone()).or_default();
                *count += 1;
                self.totals.repeated_calls += u64::from(*count > 1);
                self.seen.keys.entry(execution).or_default().insert(key);
                let ends = Timestamp(self.now.micros() + self.random.below(3_000_000));
                self.running.push(Running { execution, activation, attempt, ends });
            }
            ShardEffect::CancelCall { execution, activation } => {
                self.running.retain(|call| (call.execution, call.activation) != (execution, activation));
            }
            ShardEffect::Publish { publication, event } => {
                *self.seen.delivered.entry(event.id.to_string()).or_default() += 1;
                if self.calm || self.random.chance(70) {
                    self.node.give(shard, vec![ShardInput::Delivered(vec![publication])], None);
                }
            }
            ShardEffect::Peer { .. } | ShardEffect::Note { .. } => unreachable!("delivered among the shards"),
        }
    }

    /// A call at the callee ends.
    fn answer(&mut self) {
        let due: Vec<usize> =
            (0..self.running.len()).filter(|at| self.calm || self.running[*at].ends <= self.now).collect();
        if due.is_empty() {
            return;
        }
        let at = due[self.random.pick(due.len())];
        let call = self.running.swap_remove(at);
        let status = if !self.calm && self.random.chance(40) { 503 } else { 200 };
        let result = Ok(HttpResponse { status, headers: Vec::new(), body: b"1".to_vec() });
        let Running { execution, activation, attempt, .. } = call;
        self.note(|| format!("callee answers {status} to {execution}"));
        let input = ShardInput::Call { execution, activation, attempt, result };
        self.node.give(execution.shard(), vec![input], None);
    }

    fn pass(&mut self) {
        self.now = Timestamp(self.now.micros() + self.random.below(2_000_000));
    }

    /// The clock is set back: nothing may wake early for it, nothing may hang.
    fn jump_back(&mut self) {
        self.now = Timestamp(self.now.micros() - self.random.below(1_000_000));
    }

    /// The node is killed, perhaps in the middle of a commit, perhaps with the power.
    fn crash(&mut self) {
        self.totals.crashes += 1;
        self.full = false;
        self.node.disk.set_capacity(None);
        if self.node.has_commits() && self.random.chance(60) {
            // The block is being written, its sync has not returned: nobody was told of it.
            self.totals.lost_commits += 1;
            self.node.disk.hold_syncs(true);
            self.node.forget_snapshots();
            let most = 1 + self.random.pick(6);
            let _ = self.node.commit(most, self.now);
        }
        let unsynced = self.node.disk.unsynced_bytes();
        let kept = self.random.pick(unsynced + 1);
        let disk = self.node.disk.crashed(kept);
        self.note(|| format!("crash: {kept} of {unsynced} unsynced bytes survive"));
        self.reopen(disk);
    }

    fn reopen(&mut self, disk: trinity_actors::journal::MemoryDisk) {
        self.node = Node::open(disk, self.node.catalog.clone(), self.now);
        self.running.clear();
        self.asked.clear();
        self.parts.clear();
        for source in &mut self.sources {
            source.reconnect();
        }
    }

    /// One shard fails. Who had submitted to it starts a new session.
    fn fail_shard(&mut self) {
        let id = ShardId(u16::try_from(self.random.below(u64::from(SHARDS))).expect("few"));
        if self.node.cell(id).is_none() {
            return;
        }
        self.totals.shard_crashes += 1;
        self.note(|| format!("shard {id} fails"));
        self.node.fail(id);
        self.running.retain(|call| call.execution.shard() != id);
        self.parts.clear();
        for source in &mut self.sources {
            source.reconnect();
        }
    }

    fn revive(&mut self) {
        if self.node.cells.iter().all(Option::is_some) || self.full {
            return;
        }
        while self.node.has_commits() {
            self.commit();
        }
        for id in (0..SHARDS).map(ShardId) {
            if self.node.cell(id).is_none() {
                self.note(|| format!("shard {id} restarts"));
                self.node.restart(id, self.now);
            }
            while self.node.has_commits() {
                self.commit();
            }
        }
    }

    /// No more faults: everything goes on to its end.
    fn come_to_rest(&mut self) {
        self.calm = true;
        self.full = false;
        self.node.disk.set_capacity(None);
        self.revive();
        // What sinks did not answer is handed out again with the next start only; and suspended executions must go on.
        self.rest();
        self.crash();
        let suspended = self.live();
        for execution in suspended {
            self.tokens += 1;
            let (control, reply) = (Control::Resume, ReplyToken(self.tokens));
            self.node.give(execution.shard(), vec![ShardInput::Control { execution, control, reply }], None);
        }
        self.rest();
    }

    pub fn rest(&mut self) {
        for _ in 0..100_000 {
            while self.node.has_commits() {
                self.commit();
            }
            if (0..SHARDS).any(|id| self.node.can_step(ShardId(id), self.now)) {
                self.step();
            } else if !self.running.is_empty() {
                self.answer();
            } else if self.sources.iter().any(|source| source.position < source.log.len()) {
                self.read();
            } else if let Some(at) = self.node.next_wake().filter(|_| !self.live().is_empty()) {
                self.now = self.now.max(at);
            } else {
                return;
            }
        }
        panic!("wedged: the world does not come to rest; {} live", self.live().len());
    }
}
