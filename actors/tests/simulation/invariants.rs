//! What must hold at the end of every run, each by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use trinity_engine::history::{Fact, HistoryEvent, Phase};
use trinity_engine::ids::ExecutionId;
use trinity_engine::shard::Shard;
use trinity_engine::wire::history;

use crate::node::{BOTH, CALL, PARENT, PAUSE, READING, TELL};
use crate::outside::Kind;
use crate::world::World;

struct Stored {
    definition: u32,
    phase: Phase,
    history: Vec<HistoryEvent>,
}

impl World {
    /// The executions that live, as the journal knows them.
    pub fn live(&self) -> Vec<ExecutionId> {
        let stored = self.stored();
        stored.into_iter().filter(|(_, stored)| !stored.phase.is_terminal()).map(|(id, _)| id).collect()
    }

    fn stored(&self) -> BTreeMap<ExecutionId, Stored> {
        let mut all: BTreeMap<ExecutionId, Stored> = BTreeMap::new();
        let read = self.node.journal.reader().records_forward(None, &mut |_, header, bytes| {
            let events = history::decode(bytes).expect("a readable history");
            let fresh = Stored { definition: header.definition.0, phase: header.phase, history: Vec::new() };
            let stored = all.entry(header.id).or_insert(fresh);
            // A terminal phase never changes, and nothing follows it.
            let first = stored.history.is_empty();
            assert!(first || !stored.phase.is_terminal(), "terminal phase changes: {}", header.id);
            assert_eq!(header.begins, first, "an execution begins twice or not at all: {}", header.id);
            stored.phase = header.phase;
            stored.history.extend(events);
            ControlFlow::Continue(())
        });
        read.expect("a readable journal");
        all
    }

    pub fn check(&mut self) {
        let stored = self.stored();
        self.totals.executions += stored.len() as u64;
        self.every_message_acts_once(&stored);
        self.keys_start_in_order(&stored);
        self.nothing_hangs(&stored);
        self.promises_are_kept(&stored);
        self.timers_are_not_early(&stored);
        self.calls_keep_their_key();
        self.emitted_events_arrive(&stored);
        self.only_calls_fail(&stored);
        self.the_fold_is_the_state();
    }

    fn every_message_acts_once(&self, stored: &BTreeMap<ExecutionId, Stored>) {
        assert!(self.sources.iter().all(|source| source.is_done()), "a message is never acknowledged");
        let mut acted: BTreeMap<&str, u32> = BTreeMap::new();
        for execution in stored.values().filter(|e| e.definition == READING.0) {
            if let Some(Fact::Created { trigger, .. }) = execution.history.first().map(|event| &event.fact) {
                *acted.entry(trigger.event_id.as_deref().expect("an event's id")).or_default() += 1;
            }
        }
        let (mut left, mut right) = (0, 0);
        for message in self.sources.iter().flat_map(|source| &source.log) {
            let count = acted.remove(message.event.id.as_str()).unwrap_or(0);
            match message.event.event_type.as_str() {
                "reading" => assert_eq!(count, 1, "message {} acts {count} times", message.event.id),
                "left" => left += 1,
                _ => right += 1,
            }
        }
        assert!(acted.is_empty(), "executions of messages that nobody published: {acted:?}");
        let both = stored.values().filter(|e| e.definition == BOTH.0).count();
        assert_eq!(both, left.min(right), "pairs of {left} left and {right} right events");
    }

    /// The readings of one key of one log start in the order they were published.
    fn keys_start_in_order(&self, stored: &BTreeMap<ExecutionId, Stored>) {
        let mut order: BTreeMap<&str, u64> = BTreeMap::new();
        for (id, execution) in stored {
            if let Some(Fact::Created { trigger, .. }) = execution.history.first().map(|event| &event.fact)
                && let Some(event) = &trigger.event_id
            {
                order.insert(event, id.sequence());
            }
        }
        for source in self.sources.iter().filter(|source| source.kind == Kind::Log) {
            let mut last: BTreeMap<&str, u64> = BTreeMap::new();
            for message in source.log.iter().filter(|message| message.event.event_type == "reading") {
                let sequence = order[message.event.id.as_str()];
                let before = last.insert(message.event.partition_key(), sequence);
                assert!(before.is_none_or(|before| before < sequence), "order of {}", message.event.id);
            }
        }
    }

    fn nothing_hangs(&self, stored: &BTreeMap<ExecutionId, Stored>) {
        assert!(self.node.cells.iter().flatten().all(|cell| cell.shard.is_open()), "a shard waits for the others");
        for (id, execution) in stored {
            assert!(execution.phase.is_terminal(), "{id} hangs as {:?}", execution.phase);
        }
    }

    fn promises_are_kept(&self, stored: &BTreeMap<ExecutionId, Stored>) {
        for id in &self.seen.promised {
            assert!(stored.contains_key(id), "a client was told of {id}, which is lost");
        }
    }

    fn timers_are_not_early(&self, stored: &BTreeMap<ExecutionId, Stored>) {
        for (id, execution) in stored.iter().filter(|(_, e)| e.definition == PAUSE.0 && e.phase == Phase::Completed) {
            let (first, last) = (execution.history.first(), execution.history.last());
            let slept = last.expect("an end").time.micros_since(first.expect("a beginning").time);
            assert!(slept >= 2_000_000, "{id} slept {slept} µs of 2 s");
        }
    }

    fn calls_keep_their_key(&self) {
        for (id, keys) in &self.seen.keys {
            // A retry is a new attempt of the same task in the same iteration: the same key.
            assert_eq!(keys.len(), 1, "the calls of {id} had several keys: {keys:?}");
        }
    }

    fn emitted_events_arrive(&self, stored: &BTreeMap<ExecutionId, Stored>) {
        let mut emitted = BTreeSet::new();
        let mut answers = BTreeSet::new();
        for event in stored.values().filter(|e| e.definition == TELL.0).flat_map(|e| &e.history) {
            if let Fact::Emitted { event } = &event.fact {
                let id = event.get("id").and_then(|id| id.as_str()).expect("an id").to_owned();
                let alert = event.get("type").and_then(|t| t.as_str()) == Some("alert");
                let list = if alert { &mut emitted } else { &mut answers };
                assert!(list.insert(id), "an event is emitted twice");
            }
        }
        let delivered: BTreeSet<String> = self.seen.delivered.keys().cloned().collect();
        assert_eq!(delivered, emitted, "events at the sink are those that were emitted");
    }

    /// Only calls may fail for good, and a parent whose child a client ended.
    fn only_calls_fail(&self, stored: &BTreeMap<ExecutionId, Stored>) {
        for (id, execution) in stored.iter().filter(|(_, e)| ![CALL.0, PARENT.0].contains(&e.definition)) {
            assert_ne!(execution.phase, Phase::Faulted, "{id} of definition {}", execution.definition);
        }
    }

    /// fold(records) = state: recovered from nothing but the records, every shard is what it is.
    fn the_fold_is_the_state(&mut self) {
        let state = |world: &World| -> Vec<Vec<u8>> {
            world.node.cells.iter().flatten().map(|cell| &cell.shard).map(Shard::snapshot).collect()
        };
        let before = state(self);
        for id in 0..crate::node::SHARDS {
            self.node.fail(trinity_engine::ids::ShardId(id));
        }
        for id in 0..crate::node::SHARDS {
            self.node.restart(trinity_engine::ids::ShardId(id), self.now);
            while self.node.has_commits() {
                self.commit();
            }
        }
        // What was sent again is dropped again, and what was asked is answered.
        self.rest();
        // But for the time of a step that recorded nothing, which stands behind the number of the next execution.
        let same = |a: &[u8], b: &[u8]| a.len() == b.len() && a[11..] == b[11..];
        let after = state(self);
        for (number, (a, b)) in before.iter().zip(&after).enumerate() {
            let place = a.iter().zip(b).skip(11).position(|(a, b)| a != b).map(|at| at + 11);
            let lengths = (a.len(), b.len());
            assert!(same(a, b), "shard {number} is not the fold of its records: {lengths:?}, differs at {place:?}");
        }
    }
}
