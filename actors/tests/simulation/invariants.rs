//! What must hold, each by its name. Most of it is looked at when the world has come to rest, some whenever something
//! leaves the node or becomes durable.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use trinity_engine::history::{Fact, HistoryEvent, Phase, Trigger, TriggerKind};
use trinity_engine::ids::{DefinitionId, ExecutionId};
use trinity_engine::time::Timestamp;
use trinity_engine::value::Value;
use trinity_engine::wire::history;
use trinity_engine::wire::record::ExecutionHeader;

use crate::neighbours::Kind;
use crate::workflows::{
    AFTER, BOTH, CALL, CRON, EACH, ECHO, HEAR, LIMIT, PARENT, READING, TELL, TICK, pause, pause_version,
};
use crate::world::World;

/// What must hold.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Invariant {
    /// What a source, a client or another shard was told of is still there after any crash.
    NothingAcknowledgedIsLost,
    /// Each message, request and emitted event starts what it starts once.
    NoInputActsTwice,
    /// No call, reply or acknowledgement leaves before what it stands for is on the disk.
    NothingLeavesBeforeItIsDurable,
    /// An execution begins once, ends once, and nothing follows.
    TerminalPhasesNeverChange,
    /// Without faults everything ends: whatever lives has a timer, a call, a subscription or a child that moves it.
    EverythingComesToRest,
    /// The check that is part of the node finds no live execution without a timer, a call, a subscription or a child.
    NothingLosesItsWakeUp,
    /// No timer fires before its time, whatever is done to the wall clock.
    TimersAreNeverEarly,
    /// … nor more than a second after it while nothing hinders the node.
    TimersAreInTime,
    /// Executions of one key of a log start in the order in which the log has them.
    KeysStartInOrder,
    /// The state of a shard is the fold of its records.
    TheFoldIsTheState,
    /// The phase is what the history says, and its times never go back.
    TheHistoryIsWhole,
    /// Who was said to listen hears of what is emitted after that, also over crashes.
    ListenersHear,
    /// A repeated call carries the same idempotency key, and no other call does.
    IdempotencyKeysAreStable,
    /// An emitted event reaches its sink at least once, always with the same id and content.
    EmittedEventsArrive,
    /// Each moment of a schedule starts one execution at most; an `after` waits for the end of the last.
    SchedulesFireOnce,
    /// An execution ends on the version of its definition with which it began.
    VersionsAreKept,
    /// Success never turns into failure: only what may fail does.
    NothingFailsForNoReason,
    /// The journal takes what shards decide, and opens after any crash.
    TheJournalTakesAndOpens,
    /// A flipped bit on the disk is found, or changes nothing of what is served.
    FlippedBitsAreFound,
    /// No step panics.
    NoStepPanics,
}

impl Invariant {
    pub const ALL: [Invariant; 20] = [
        Invariant::NothingAcknowledgedIsLost,
        Invariant::NoInputActsTwice,
        Invariant::NothingLeavesBeforeItIsDurable,
        Invariant::TerminalPhasesNeverChange,
        Invariant::EverythingComesToRest,
        Invariant::NothingLosesItsWakeUp,
        Invariant::TimersAreNeverEarly,
        Invariant::TimersAreInTime,
        Invariant::KeysStartInOrder,
        Invariant::TheFoldIsTheState,
        Invariant::TheHistoryIsWhole,
        Invariant::ListenersHear,
        Invariant::IdempotencyKeysAreStable,
        Invariant::EmittedEventsArrive,
        Invariant::SchedulesFireOnce,
        Invariant::VersionsAreKept,
        Invariant::NothingFailsForNoReason,
        Invariant::TheJournalTakesAndOpens,
        Invariant::FlippedBitsAreFound,
        Invariant::NoStepPanics,
    ];
}

/// An invariant does not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    pub invariant: Invariant,
    pub detail: String,
}

/// Ends the run.
pub fn violated(invariant: Invariant, detail: String) -> ! {
    std::panic::panic_any(Violation { invariant, detail })
}

fn require(holds: bool, invariant: Invariant, detail: impl FnOnce() -> String) {
    if !holds {
        violated(invariant, detail());
    }
}

struct Stored {
    definition: DefinitionId,
    phase: Phase,
    records: u32,
    history: Vec<HistoryEvent>,
}

impl Stored {
    fn created(&self) -> Option<(&Value, &Trigger)> {
        match &self.history.first()?.fact {
            Fact::Created { input, trigger } => Some((input, trigger)),
            _ => None,
        }
    }
}

type All = BTreeMap<ExecutionId, Stored>;

fn number(value: &Value, key: &str) -> Option<u64> {
    match value.get(key)? {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

impl World {
    /// All executions, read back from the journal, and from what was kept of it before old segments went.
    fn stored(&self) -> All {
        let mut all = All::new();
        let mut take = |header: &ExecutionHeader, bytes: &[u8]| {
            let events = history::decode(bytes).expect("a readable history");
            let fresh = Stored { definition: header.definition, phase: header.phase, records: 0, history: Vec::new() };
            let stored = all.entry(header.id).or_insert(fresh);
            stored.phase = header.phase;
            stored.records += 1;
            stored.history.extend(events);
        };
        self.archive.values().for_each(|(header, bytes)| take(header, bytes));
        let after = self.archive.last_key_value().map(|(place, _)| *place);
        let read = self.node.reader.records_forward(after, &mut |_, header, bytes| {
            take(&header, bytes);
            ControlFlow::Continue(())
        });
        read.unwrap_or_else(|error| violated(Invariant::TheJournalTakesAndOpens, error.to_string()));
        all
    }

    pub fn check(&mut self) {
        let all = self.stored();
        self.totals.executions += all.len() as u64;
        self.what_was_durable_is_there(&all);
        self.all_have_ended(&all);
        self.messages_act_once(&all);
        self.requests_act_once(&all);
        self.emitted_events_act_once(&all);
        self.children_begin_once(&all);
        self.keys_start_in_order(&all);
        self.histories_are_whole(&all);
        self.waits_are_not_early(&all);
        self.listeners_hear(&all);
        self.emitted_events_arrive(&all);
        self.schedules_fire_once(&all);
        self.versions_are_kept(&all);
        self.only_what_may_fail_fails(&all);
    }

    fn what_was_durable_is_there(&self, all: &All) {
        for (id, entry) in &self.ledger.executions {
            let found = all.get(id).map(|stored| (stored.phase, stored.records));
            let said = Some((entry.phase, entry.records));
            require(found == said, Invariant::NothingAcknowledgedIsLost, || format!("{id}: {said:?} became {found:?}"));
        }
        require(all.len() == self.ledger.executions.len(), Invariant::NoInputActsTwice, || {
            "the journal holds executions that were never committed".to_owned()
        });
    }

    fn all_have_ended(&self, all: &All) {
        let whole = self.node.is_whole();
        require(whole, Invariant::EverythingComesToRest, || "a shard waits for the others".to_owned());
        for (id, stored) in all {
            require(stored.phase.is_terminal(), Invariant::EverythingComesToRest, || {
                format!("{id} of {:?} hangs as {:?}", stored.definition, stored.phase)
            });
        }
        self.nothing_is_left();
        let done = self.sources.iter().all(super::neighbours::Source::is_done);
        require(done, Invariant::EverythingComesToRest, || "a message is never acknowledged".to_owned());
    }

    /// What was sent to other shards and to sinks has arrived.
    pub fn nothing_is_left(&self) {
        let left = self.node.cells.iter().flatten().map(|cell| cell.shard.outbox()).sum::<usize>();
        require(left == 0, Invariant::EverythingComesToRest, || format!("{left} messages never arrive"));
    }

    fn messages_act_once(&self, all: &All) {
        let mut acted: BTreeMap<&str, u32> = BTreeMap::new();
        for stored in all.values().filter(|stored| stored.definition == READING) {
            if let Some((_, trigger)) = stored.created() {
                *acted.entry(trigger.event_id.as_deref().unwrap_or_default()).or_default() += 1;
            }
        }
        let (mut left, mut right) = (0, 0);
        for event in self.sources.iter().flat_map(|source| &source.log) {
            match event.event_type.as_str() {
                "reading" => {
                    let count = acted.remove(event.id.as_str()).unwrap_or(0);
                    let id = &event.id;
                    require(count > 0, Invariant::NothingAcknowledgedIsLost, || format!("message {id}"));
                    require(count < 2, Invariant::NoInputActsTwice, || format!("message {id} acts {count} times"));
                }
                "left" => left += 1,
                _ => right += 1,
            }
        }
        require(acted.is_empty(), Invariant::NoInputActsTwice, || format!("nobody published {acted:?}"));
        let both = all.values().filter(|stored| stored.definition == BOTH).count();
        let pairs = || format!("{both} pairs of {left} left and {right} right");
        require(both >= left.min(right), Invariant::NothingAcknowledgedIsLost, pairs);
        require(both <= left.min(right), Invariant::NoInputActsTwice, pairs);
    }

    fn requests_act_once(&self, all: &All) {
        let mut keys = BTreeSet::new();
        for (id, stored) in all {
            let Some((input, trigger)) = stored.created() else { continue };
            if trigger.kind == TriggerKind::Api {
                let key = number(input, "key").expect("every request has one");
                require(keys.insert(key), Invariant::NoInputActsTwice, || format!("request {key} starts {id} as well"));
            }
        }
    }

    /// What executions emit starts other executions once.
    fn emitted_events_act_once(&self, all: &All) {
        let mut pings: BTreeMap<String, u32> = emitted(all, "ping").into_iter().map(|id| (id, 0)).collect();
        for stored in all.values().filter(|stored| stored.definition == ECHO) {
            let id = stored.created().and_then(|(_, trigger)| trigger.event_id.clone()).unwrap_or_default();
            match pings.get_mut(id.as_str()) {
                Some(count) => *count += 1,
                None => violated(Invariant::NoInputActsTwice, format!("nobody emitted {id}")),
            }
        }
        for (id, count) in pings {
            require(count > 0, Invariant::NothingAcknowledgedIsLost, || format!("event {id} was never heard"));
            require(count < 2, Invariant::NoInputActsTwice, || format!("event {id} acts {count} times"));
        }
    }

    fn children_begin_once(&self, all: &All) {
        let mut children: BTreeMap<String, u32> = BTreeMap::new();
        for stored in all.values() {
            if let Some((_, trigger)) = stored.created()
                && trigger.kind == TriggerKind::Workflow
            {
                *children.entry(trigger.event_id.clone().unwrap_or_default().to_string()).or_default() += 1;
            }
        }
        for (id, stored) in all.iter().filter(|(_, stored)| stored.definition == PARENT) {
            let count = children.remove(&id.to_string()).unwrap_or(0);
            require(count < 2, Invariant::NoInputActsTwice, || format!("{id} has {count} children"));
            let lost = stored.phase == Phase::Completed && count == 0;
            require(!lost, Invariant::NothingAcknowledgedIsLost, || format!("{id} completed without its child"));
        }
        require(children.is_empty(), Invariant::NoInputActsTwice, || format!("no parents of {children:?}"));
    }

    /// The readings of one key of one log start in the order they were published.
    fn keys_start_in_order(&self, all: &All) {
        let mut order: BTreeMap<&str, u64> = BTreeMap::new();
        for (id, stored) in all {
            if let Some((_, trigger)) = stored.created()
                && let Some(event) = &trigger.event_id
            {
                order.insert(event, id.sequence());
            }
        }
        for source in self.sources.iter().filter(|source| source.kind == Kind::Log) {
            let mut last: BTreeMap<&str, u64> = BTreeMap::new();
            for event in source.log.iter().filter(|event| event.event_type == "reading") {
                let sequence = order[event.id.as_str()];
                let before = last.insert(event.partition_key(), sequence);
                let ordered = before.is_none_or(|before| before < sequence);
                require(ordered, Invariant::KeysStartInOrder, || format!("{} starts too early", event.id));
            }
        }
    }

    fn histories_are_whole(&self, all: &All) {
        for (id, stored) in all {
            let require = |holds: bool, what: &str| {
                require(holds, Invariant::TheHistoryIsWhole, || format!("{id}: {what}"));
            };
            require(stored.created().is_some(), "it does not begin with its creation");
            let said = stored.history.last().filter(|event| event.task.is_none()).and_then(|event| match event.fact {
                Fact::Completed { .. } => Some(Phase::Completed),
                Fact::Faulted { .. } => Some(Phase::Faulted),
                Fact::Cancelled => Some(Phase::Cancelled),
                _ => None,
            });
            require(said == Some(stored.phase), "its last fact is not its phase");
            require(stored.history.is_sorted_by_key(|event| event.time), "its times go back");
            let ends = |event: &&HistoryEvent| {
                let ends = matches!(event.fact, Fact::Completed { .. } | Fact::Faulted { .. } | Fact::Cancelled);
                event.task.is_none() && ends
            };
            require(stored.history.iter().filter(ends).count() == 1, "it ends more than once");
        }
    }

    /// By the times of its history, an execution that waits two seconds takes two seconds.
    fn waits_are_not_early(&self, all: &All) {
        for (id, stored) in all {
            let waits = match (stored.definition, stored.phase) {
                (LIMIT, Phase::Faulted) => 3_000_000,
                (AFTER, Phase::Completed) => 500_000,
                (definition, Phase::Completed) if pause_version(definition).is_some() => 2_000_000,
                _ => continue,
            };
            let (first, last) = (stored.history.first(), stored.history.last());
            let slept = last.expect("an end").time.micros_since(first.expect("a beginning").time);
            require(slept >= waits, Invariant::TimersAreNeverEarly, || format!("{id} slept {slept} µs of {waits}"));
        }
    }

    /// A `hear` that a client was told of does not run into its limit of a minute when a `tell` of its number, asked for after
    /// that, emitted its answer within the first ten seconds.
    fn listeners_hear(&self, all: &All) {
        if self.time.now().forward > 5_000_000 {
            // A clock that is set forward by an hour ends the minute at once.
            return;
        }
        let of = |definition: DefinitionId| {
            let told = self.seen.told.iter().filter_map(|(id, told)| Some((id, told, all.get(id)?)));
            told.filter(move |(_, _, stored)| stored.definition == definition)
        };
        let n = |stored: &Stored| stored.created().and_then(|(input, _)| number(input, "n"));
        let tells: Vec<_> =
            of(TELL).map(|(_, (_, asked), stored)| (*asked, n(stored), stored.history[0].time)).collect();
        for (id, (told, _), stored) in of(HEAR) {
            let late = matches!(stored.history.last().map(|event| &event.fact),
                Some(Fact::Completed { output: Some(output) }) if output.get("late").is_some());
            let begun = stored.history[0].time;
            let answered = |(asked, other, time): &&(u64, Option<u64>, Timestamp)| {
                asked > told && *other == n(stored) && time.micros_since(begun) < 10_000_000
            };
            let answer = tells.iter().find(answered);
            require(!late || answer.is_none(), Invariant::ListenersHear, || format!("{id} did not hear {answer:?}"));
        }
    }

    fn emitted_events_arrive(&self, all: &All) {
        let emitted = emitted(all, "alert");
        let delivered: BTreeSet<String> = self.seen.delivered.keys().cloned().collect();
        require(delivered == emitted, Invariant::EmittedEventsArrive, || {
            format!("of {emitted:?} arrived {delivered:?}")
        });
    }

    fn schedules_fire_once(&self, all: &All) {
        let of = |definition: DefinitionId| {
            let executions = all.values().filter(move |stored| stored.definition == definition);
            let times = executions.map(|stored| {
                let time = |event: Option<&HistoryEvent>| event.expect("a history").time.micros();
                (time(stored.history.first()), time(stored.history.last()))
            });
            let mut times: Vec<(u64, u64)> = times.collect();
            times.sort_unstable();
            times
        };
        for (definition, beat) in [(TICK, 5_000_000), (CRON, 60_000_000)] {
            let beats: Vec<u64> = of(definition).iter().map(|(begun, _)| begun / beat).collect();
            let once = beats.is_sorted_by(|a, b| a < b);
            require(once, Invariant::SchedulesFireOnce, || format!("{definition:?} fires twice in a beat: {beats:?}"));
        }
        let pauses = of(AFTER).windows(2).all(|pair| pair[1].0 >= pair[0].1 + 3_000_000);
        require(pauses, Invariant::SchedulesFireOnce, || "an `after` begins before its pause is over".to_owned());
    }

    fn versions_are_kept(&self, all: &All) {
        for (id, stored) in all {
            let Some(version) = pause_version(stored.definition).filter(|_| stored.phase == Phase::Completed) else {
                continue;
            };
            let said = match stored.history.last().map(|event| &event.fact) {
                Some(Fact::Completed { output: Some(output) }) => number(output, "version"),
                _ => None,
            };
            require(said == Some(u64::from(version)), Invariant::VersionsAreKept, || {
                format!("{id} began on {:?} and ended on version {said:?}", pause(version))
            });
        }
    }

    /// Calls may fail for good, a parent whose child a client ended, and what has a limit.
    fn only_what_may_fail_fails(&self, all: &All) {
        let may = [CALL, EACH, PARENT, LIMIT];
        for (id, stored) in all.iter().filter(|(_, stored)| !may.contains(&stored.definition)) {
            require(stored.phase != Phase::Faulted, Invariant::NothingFailsForNoReason, || {
                format!("{id} of {:?}: {:?}", stored.definition, stored.history.last())
            });
        }
    }
}

/// The ids of the events of a type that were emitted.
fn emitted(all: &All, event_type: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for event in all.values().filter(|stored| stored.definition == TELL).flat_map(|stored| &stored.history) {
        if let Fact::Emitted { event } = &event.fact
            && event.get("type").and_then(|t| t.as_str()) == Some(event_type)
        {
            let id = event.get("id").and_then(|id| id.as_str()).unwrap_or_default().to_owned();
            require(ids.insert(id), Invariant::NoInputActsTwice, || "an event is emitted twice".to_owned());
        }
    }
    ids
}
