//! What happens to the node.

use trinity_actors::journal::{JournalError, MemoryDisk};
use trinity_actors::node::StartError;
use trinity_engine::history::{Trigger, TriggerKind};
use trinity_engine::ids::{DefinitionId, ExecutionId, ShardId};
use trinity_engine::input::{Control, ReplyToken, ShardInput};

use crate::defects::Defect;
use crate::invariants::{Invariant, violated};
use crate::neighbours::{Ask, event, json};
use crate::node::Node;
use crate::workflows::{CALL, EACH, HEAR, LIMIT, PARENT, PAUSE_VERSIONS, RACE, TELL, catalog, confused_catalog, pause};
use crate::world::World;

/// What clients start, by the bits of the world.
const STARTED: [DefinitionId; 8] = [DefinitionId(u32::MAX), TELL, HEAR, CALL, PARENT, EACH, RACE, LIMIT];

/// What a journal serves: the executions' records of each block, and the state of each shard.
type Content = (Vec<Vec<u8>>, Vec<Vec<u8>>);

impl World {
    /// An actor of a shard takes a message or two.
    pub fn act(&mut self) {
        let moment = self.time.now();
        let able: Vec<ShardId> =
            (0..self.node.setup.shards).map(ShardId).filter(|id| self.node.can_act(*id, moment)).collect();
        if able.is_empty() {
            return;
        }
        let id = self.choices.of(&able);
        for _ in 0..=self.choices.below(6) {
            if self.node.can_act(id, moment) {
                self.act_of(id);
            }
        }
    }

    pub fn act_of(&mut self, id: ShardId) {
        let moment = self.time.now();
        if let Some(outgoing) = self.node.act(id, moment) {
            self.go_out(outgoing);
        }
        for outgoing in std::mem::take(&mut self.node.early) {
            self.go_out(outgoing);
        }
    }

    /// The committer stores a block.
    pub fn commit(&mut self) {
        if !self.node.has_orders() {
            return;
        }
        let most = if self.calm { 8 } else { 1 + self.choices.pick(6) };
        if self.node.setup.defect == Some(Defect::LostSync) && !self.calm {
            let lost = self.choices.chance(20);
            self.node.disk.hold_syncs(lost);
        }
        match self.node.commit(most, self.time.now()) {
            Ok(durable) => {
                let block = self.node.newest;
                for decided in durable {
                    self.log.note(self.time.now().steady, || format!("block {block}: {}", decided.told()));
                    self.ledger.take(&decided);
                }
            }
            Err(JournalError::Full) if self.full => {}
            Err(JournalError::Disk { .. }) if self.node.disk.has_failed() => self.crash(),
            Err(JournalError::Disk { .. }) if !self.calm => self.time.hinder(),
            Err(error) => violated(Invariant::TheJournalTakesAndOpens, error.to_string()),
        }
    }

    pub fn commit_all(&mut self) {
        while self.node.has_orders() {
            self.commit();
        }
    }

    /// Time passes, at most until something is due.
    pub fn pass(&mut self) {
        let moment = self.time.now();
        let busy =
            self.node.has_orders() || (0..self.node.setup.shards).any(|id| self.node.can_act(ShardId(id), moment));
        let most = match self.node.pause(moment) {
            // A healthy machine lets nobody starve.
            _ if busy && self.node.overdue(moment) > 200_000 => return,
            _ if busy => 10_000,
            pause => {
                let arrives = self.running.iter().map(|call| call.arrives.saturating_sub(moment.steady)).min();
                [pause, arrives].into_iter().flatten().min().unwrap_or(u64::MAX).clamp(100, 3_000_000)
            }
        };
        let passed = most - self.choices.below(most);
        self.time.pass(passed);
    }

    /// Somebody publishes to a broker.
    pub fn publish(&mut self) {
        self.messages += 1;
        let number = self.messages;
        let source = self.choices.pick(self.sources.len());
        let kind = self.choices.of(&["reading", "reading", "reading", "left", "right"]);
        let subject = format!("device-{}", self.choices.below(5));
        self.note(|| format!("source {source}: {kind}-{number} of {subject}"));
        self.sources[source].log.push(event(kind, format!("{kind}-{number}"), subject, number));
    }

    /// A source hands messages to the node.
    pub fn read(&mut self) {
        let source = self.choices.pick(self.sources.len());
        let most = 1 + self.choices.pick(6);
        self.read_from(source, most);
    }

    /// Sources hear what is durable, and tell their brokers.
    pub fn acknowledge(&mut self) {
        let source = self.choices.pick(self.sources.len());
        self.hear(source);
        if self.choices.chance(70) {
            self.sources[source].acknowledge();
        }
    }

    pub fn acknowledge_all(&mut self) -> bool {
        let mut moved = false;
        for source in 0..self.sources.len() {
            moved |= self.hear(source);
            moved |= self.sources[source].acknowledge();
        }
        moved
    }

    /// A source's connection is lost, or its partition went away and came back.
    pub fn reconnect(&mut self) {
        let source = self.choices.pick(self.sources.len());
        self.note(|| format!("source {source} reconnects"));
        self.totals.reconnections += 1;
        self.sources[source].reconnect();
    }

    /// A client asks for something.
    pub fn ask(&mut self) {
        if self.choices.chance(30) && !self.seen.promised.is_empty() {
            let execution = self.choices.of(&self.seen.promised);
            let ask = match self.choices.below(5) {
                0 => Ask::Await(execution),
                1 | 2 => Ask::Control(execution, Control::Suspend),
                3 => Ask::Control(execution, Control::Resume),
                _ => Ask::Control(execution, Control::Cancel),
            };
            return self.ask_for(ask);
        }
        if !self.again.is_empty() {
            let ask = self.again.remove(0);
            return self.ask_for(ask);
        }
        let may = |at: &usize| *at == 0 || self.workflows & (1 << at) != 0;
        let may: Vec<usize> = (0..STARTED.len()).filter(may).collect();
        let definition = match self.choices.of(&may) {
            0 => pause(self.stage.newest_pause),
            at => STARTED[at],
        };
        let (key, n) = match self.choices.chance(40) {
            // The same key is always used for the same request.
            true => {
                let key = self.choices.below(40);
                (Some(key * 100 + u64::from(definition.0)), key % 5)
            }
            false => (None, self.choices.below(5)),
        };
        self.ask_for(Ask::Execute { definition, key, n, number: self.tokens + 1 });
    }

    pub fn ask_for(&mut self, ask: Ask) {
        self.tokens += 1;
        let reply = ReplyToken(self.tokens);
        let (shard, input) = match ask {
            Ask::Control(execution, control) => (execution.shard(), ShardInput::Control { execution, control, reply }),
            Ask::Await(execution) => (execution.shard(), ShardInput::Await { execution, reply }),
            Ask::Execute { definition, key, n, number } => {
                if let Some(key) = key {
                    self.seen.first_asked.entry(key).or_insert(number);
                }
                let shards = self.node.setup.shards;
                let shard = match key {
                    Some(key) => ShardId::of_key(key.to_string().as_bytes(), shards),
                    None => ShardId(u16::try_from(self.tokens % u64::from(shards)).expect("few")),
                };
                let key_of_input = key.unwrap_or(1_000_000 + self.tokens);
                let input = ShardInput::Execute {
                    definition,
                    input: json(&format!("{{\"n\": {n}, \"key\": {key_of_input}}}")),
                    trigger: Trigger { kind: TriggerKind::Api, event_id: None, source: None },
                    idempotency_key: key.map(|key| key.to_string().into()),
                    reply,
                    ended: None,
                };
                (shard, input)
            }
        };
        self.note(|| format!("client asks shard {shard}: {ask:?}"));
        match self.node.incarnation(shard) {
            Some(incarnation) => {
                self.node.mail(shard, vec![input]);
                self.asked.insert(reply, (shard, incarnation, ask));
            }
            None => self.ask_again(ask),
        }
    }

    /// Nobody knows whether it was done: with a key it can be asked again.
    fn ask_again(&mut self, ask: Ask) {
        if let Ask::Execute { key: Some(_), .. } = ask {
            self.again.push(ask);
        }
    }

    /// Forgets questions that no shard will answer any more.
    fn lose_questions(&mut self, lost: impl Fn(ShardId) -> bool) {
        let asked = std::mem::take(&mut self.asked);
        for (token, (shard, incarnation, ask)) in asked {
            if lost(shard) {
                self.ask_again(ask);
            } else {
                self.asked.insert(token, (shard, incarnation, ask));
            }
        }
    }

    pub fn set_clock(&mut self) {
        let micros = self.choices.of(&[300_000, 500_000, 5_000_000, 3_600_000_000]);
        let forward = self.choices.chance(40);
        self.note(|| format!("the clock is set {} by {micros} µs", if forward { "forward" } else { "back" }));
        self.totals.clock_settings += 1;
        self.time.set(forward, micros);
    }

    /// The disk is full, or has room again, or a sync fails.
    pub fn harm_disk(&mut self) {
        if self.choices.chance(50) {
            let count = 1 + self.choices.below(3);
            self.totals.failed_syncs += 1;
            let kept = self.choices.of(&[0, 60, 200, usize::MAX]);
            self.note(|| format!("{count} syncs will fail; {kept} bytes of each get there"));
            return self.node.disk.fail_syncs(u32::try_from(count).expect("few"), kept);
        }
        self.full = !self.full;
        let capacity = self.full.then(|| self.node.disk.bytes_used() + self.choices.below(6_000));
        self.node.disk.set_capacity(capacity);
        self.totals.full_disks += u64::from(self.full);
        let full = self.full;
        self.note(|| format!("disk full: {full}"));
    }

    /// The definitions change while executions wait.
    pub fn update(&mut self) {
        self.stage.newest_pause = (self.stage.newest_pause + 1).min(PAUSE_VERSIONS - 1);
        self.totals.updates += 1;
        self.set_stage();
    }

    pub fn set_stage(&mut self) {
        let stage = self.stage;
        self.note(|| format!("definitions: {stage:?}"));
        self.node.set_catalog(self.present_catalog());
    }

    /// One shard fails.
    pub fn fail_shard(&mut self) {
        let id = ShardId(u16::try_from(self.choices.below(u64::from(self.node.setup.shards))).expect("few"));
        if self.node.incarnation(id).is_none() {
            return;
        }
        self.note(|| format!("shard {id} fails"));
        self.totals.shard_failures += 1;
        self.node.fail(id);
        self.time.hinder();
        self.note_untimed();
        self.running.retain(|call| call.execution.shard() != id);
        self.lose_questions(|shard| shard == id);
    }

    pub fn revive(&mut self) {
        self.revive_one();
    }

    pub fn revive_one(&mut self) -> bool {
        let moment = self.time.now();
        let Some(id) = self.node.revive(moment) else { return false };
        self.note(|| format!("shard {id} is back"));
        self.note_untimed();
        true
    }

    /// Who comes back with a wall clock that is behind the node's time can't tell how long it was away.
    fn note_untimed(&mut self) {
        let moment = self.time.now();
        if self.node.now(moment) > moment.wall {
            self.ledger.timed_since = moment.steady;
        }
    }

    /// The node is killed, or the machine loses its power, at any point.
    pub fn crash(&mut self) {
        let relaxed = self.node.setup.relaxed;
        if !self.calm && !relaxed && !self.node.disk.has_failed() && self.choices.chance(50) {
            // In the midst of one of the next changes to the disk.
            let at = 1 + self.choices.below(8);
            self.note(|| format!("the power will fail with change {at}"));
            return self.node.disk.fail_at(at);
        }
        let mut disk = self.after_crash();
        for _ in 0..3 {
            if !self.choices.chance(15) {
                break;
            }
            // It crashes again while it recovers.
            let at = 1 + self.choices.below(6);
            disk.fail_at(at);
            let moment = self.time.now();
            let opened = Node::open(disk.clone(), self.node.setup, self.present_catalog(), moment);
            let unsynced = disk.unsynced_bytes();
            let kept = self.choices.pick(unsynced + 1);
            self.totals.crashes_in_recovery += u64::from(opened.is_err());
            self.note(|| format!("again in recovery, with change {at}; {kept} of {unsynced} bytes survive"));
            drop(opened);
            // What nobody synced may go with the power only where commits are synced.
            disk = if self.node.setup.relaxed { disk.killed() } else { disk.crashed(kept) };
        }
        self.flip_a_bit(&disk);
        self.reopen(disk);
    }

    /// What is on the disk after a crash now.
    fn after_crash(&mut self) -> MemoryDisk {
        // Who is killed in the midst of a change to the disk leaves what it had written; the power may fail later.
        let lost = if self.node.disk.has_failed() { 70 } else { 50 };
        if self.node.setup.relaxed || !self.choices.chance(lost) {
            self.note(|| "killed".to_owned());
            self.totals.kills += 1;
            return self.node.disk.killed();
        }
        let unsynced = self.node.disk.unsynced_bytes();
        let kept = self.choices.pick(unsynced + 1);
        self.note(|| format!("power lost: {kept} of {unsynced} unsynced bytes survive"));
        self.totals.power_losses += 1;
        self.node.disk.crashed(kept)
    }

    fn present_catalog(&self) -> std::sync::Arc<trinity_engine::shard::Catalog> {
        match self.node.setup.defect {
            Some(Defect::NewestVersion) => confused_catalog(self.node.setup.shards, self.stage),
            _ => catalog(self.node.setup.shards, self.stage),
        }
    }

    pub fn reopen(&mut self, disk: MemoryDisk) {
        disk.set_capacity(None);
        self.full = false;
        self.time.follow();
        // By the clock of the node that was: the next begins with the wall clock.
        self.note_untimed();
        let (said, moment) = (self.node.newest, self.time.now());
        let opened = Node::open(disk, self.node.setup, self.present_catalog(), moment);
        self.node = opened.unwrap_or_else(|error| {
            let error: StartError = error;
            violated(Invariant::TheJournalTakesAndOpens, error.to_string())
        });
        if self.node.newest < said {
            let newest = self.node.newest;
            violated(Invariant::NothingAcknowledgedIsLost, format!("{said} blocks were stored, {newest} are there"));
        }
        self.take_doubtful(said);
        self.time.hinder();
        self.running.clear();
        self.published.clear();
        self.lose_questions(|_| true);
        for source in &mut self.sources {
            source.reconnect();
        }
    }

    /// Blocks that were on their way when the node crashed may be there or not.
    fn take_doubtful(&mut self, said: u64) {
        let after = trinity_actors::journal::Place { block: said, index: u32::MAX };
        let mut doubtful = Vec::new();
        let read = self.node.reader.records_forward(Some(after), &mut |_, header, _| {
            doubtful.push(header);
            std::ops::ControlFlow::Continue(())
        });
        read.unwrap_or_else(|error| violated(Invariant::TheJournalTakesAndOpens, error.to_string()));
        for header in &doubtful {
            self.ledger.record(header, None);
        }
    }

    /// The node is shut down in order and started again.
    pub fn restart(&mut self) {
        if self.full || self.node.disk.will_fail() {
            return;
        }
        self.node.disk.fail_syncs(0, 0);
        self.note(|| "restart in order".to_owned());
        self.totals.restarts += 1;
        self.commit_all();
        self.node.drain(self.time.now());
        self.commit_all();
        let disk = self.node.close();
        self.reopen(disk);
    }

    /// Old segments go, but none that a live execution or a shard needs.
    pub fn tidy(&mut self) {
        if self.node.setup.retained_bytes.is_some() {
            let after = self.archive.last_key_value().map(|(place, _)| *place);
            let archive = &mut self.archive;
            let read = self.node.reader.records_forward(after, &mut |place, header, history| {
                archive.insert(place, (header, history.to_vec()));
                std::ops::ControlFlow::Continue(())
            });
            read.unwrap_or_else(|error| violated(Invariant::TheJournalTakesAndOpens, error.to_string()));
        }
        let dropped = self.node.tidy(self.time.now());
        self.note(|| format!("dropped segments: {dropped:?}"));
        match dropped {
            Ok(dropped) => self.totals.dropped_segments += dropped as u64,
            Err(JournalError::Disk { .. }) if self.node.disk.has_failed() => return self.crash(),
            Err(JournalError::Disk { .. }) => self.time.hinder(),
            Err(error) => violated(Invariant::TheJournalTakesAndOpens, error.to_string()),
        }
        for execution in self.ledger.live() {
            let found = self.node.reader.execution(execution).ok().flatten().map(|stored| stored.phase);
            if found != self.ledger.phase(execution) {
                violated(Invariant::NothingAcknowledgedIsLost, format!("the live {execution} is {found:?}"));
            }
        }
    }

    /// Only the id of an execution that somebody was told of.
    pub fn promise(&mut self, execution: ExecutionId) {
        if !self.seen.promised.contains(&execution) {
            self.seen.promised.push(execution);
        }
    }

    /// A flipped bit on the disk is found, or changes nothing.
    fn flip_a_bit(&mut self, disk: &MemoryDisk) {
        // Without syncs many blocks pass for torn ones.
        if self.blind || self.node.setup.relaxed || !self.choices.chance(10) {
            return;
        }
        let names = disk.names();
        let name = &names[self.choices.pick(names.len())];
        let bits = disk.content(name).map_or(0, |content| content.len() * 8);
        let flipped = disk.copy();
        let bit = self.choices.pick(bits);
        if bits == 0 || !flipped.flip(name, bit) {
            return;
        }
        self.totals.flipped_bits += 1;
        self.note(|| format!("bit {bit} of {name} is flipped in a copy"));
        let Some((blocks, states)) = self.content(disk.copy()) else {
            violated(Invariant::TheJournalTakesAndOpens, "it does not open after a crash".to_owned());
        };
        // An error is what we want. What is served must be what was written, but for a last block that passes for torn.
        let Some((served, served_states)) = self.content(flipped) else { return };
        let whole = served == blocks && served_states == states;
        if !whole && (served.len() + 1 != blocks.len() || served[..] != blocks[..served.len()]) {
            violated(Invariant::FlippedBitsAreFound, format!("bit {bit} of {name} changes what is served"));
        }
    }

    fn content(&self, disk: MemoryDisk) -> Option<Content> {
        let node = Node::open(disk, self.node.setup, self.present_catalog(), self.time.now()).ok()?;
        let mut blocks: Vec<Vec<u8>> = vec![Vec::new(); usize::try_from(node.newest).expect("few")];
        let read = node.reader.records_forward(None, &mut |place, header, history| {
            let block = &mut blocks[usize::try_from(place.block - 1).expect("few")];
            block.extend_from_slice(format!("{header:?}").as_bytes());
            block.extend_from_slice(history);
            std::ops::ControlFlow::Continue(())
        });
        read.ok()?;
        Some((blocks, node.states()))
    }
}
