//! What was said to be durable: the executions as the committed records tell of them.

use std::collections::BTreeMap;

use trinity_actors::clock::IN_STEP;
use trinity_engine::history::Phase;
use trinity_engine::ids::{DefinitionId, ExecutionId};
use trinity_engine::wire::record::ExecutionHeader;

use crate::invariants::{Invariant, violated};
use crate::node::Decided;
use crate::time::Moment;
use crate::workflows::{AFTER, LIMIT, RACE, pause_version};

pub struct Entry {
    pub definition: DefinitionId,
    pub phase: Phase,
    pub records: u32,
    /// When its first step was taken, if that is known.
    begun: Option<Moment>,
    /// It was suspended, or what happened to it can't be timed.
    untimed: bool,
}

#[derive(Default)]
pub struct Ledger {
    pub executions: BTreeMap<ExecutionId, Entry>,
    pub live: usize,
    /// What began before this steady microsecond can't be timed.
    pub timed_since: u64,
}

/// How late a timer may be.
const LATE_MAX_MICROS: u64 = 1_000_000;

impl Ledger {
    pub fn phase(&self, id: ExecutionId) -> Option<Phase> {
        self.executions.get(&id).map(|entry| entry.phase)
    }

    pub fn live(&self) -> impl Iterator<Item = ExecutionId> {
        self.executions.iter().filter(|(_, entry)| !entry.phase.is_terminal()).map(|(id, _)| *id)
    }

    /// Whether some execution lives that is not suspended.
    pub fn waits(&self) -> bool {
        let waits = |entry: &Entry| !entry.phase.is_terminal() && entry.phase != Phase::Suspended;
        self.live > 0 && self.executions.values().any(waits)
    }

    /// A step is durable.
    pub fn take(&mut self, decided: &Decided) {
        for header in &decided.headers {
            self.record(header, Some(decided.moment));
        }
    }

    /// A record is durable; of one that a crash left in doubt the moment is not known.
    pub fn record(&mut self, header: &ExecutionHeader, moment: Option<Moment>) {
        let ExecutionHeader { id, definition, phase, begins, .. } = *header;
        if begins {
            let entry = Entry { definition, phase, records: 1, begun: moment, untimed: moment.is_none() };
            if self.executions.insert(id, entry).is_some() {
                violated(Invariant::TerminalPhasesNeverChange, format!("{id} begins twice"));
            }
            self.live += usize::from(!phase.is_terminal());
        } else {
            let Some(entry) = self.executions.get_mut(&id) else {
                violated(Invariant::TerminalPhasesNeverChange, format!("{id} goes on and never began"));
            };
            if entry.phase.is_terminal() {
                violated(Invariant::TerminalPhasesNeverChange, format!("{id} goes on after it was {:?}", entry.phase));
            }
            entry.records += 1;
            entry.untimed |= moment.is_none() || entry.phase == Phase::Suspended;
            entry.phase = phase;
            self.live -= usize::from(phase.is_terminal());
        }
        if phase.is_terminal()
            && let Some(moment) = moment
        {
            self.check_time(id, moment);
        }
    }

    /// Timers are never early, and at most a second late while nothing hinders the node.
    fn check_time(&self, id: ExecutionId, ended: Moment) {
        let entry = &self.executions[&id];
        let Some(begun) = entry.begun else { return };
        let (micros, exact) = match (entry.definition, entry.phase) {
            (LIMIT, Phase::Faulted) => (3_000_000, true),
            (AFTER, Phase::Completed) => (500_000, true),
            (RACE, Phase::Completed) => (1_000_000, false),
            (definition, Phase::Completed) if pause_version(definition).is_some() => (2_000_000, true),
            _ => return,
        };
        let (slept, set_forward) = (ended.steady - begun.steady, ended.followed - begun.followed);
        // Only a clock that was set forward, to where the node's is or a little ahead of it, is one to keep in step with.
        let in_step = if ended.forward > 0 { IN_STEP } else { 0 };
        if exact && slept + set_forward + in_step < micros {
            violated(Invariant::TimersAreNeverEarly, format!("{id} slept {slept} µs of {micros}"));
        }
        // A clock that was set back is a little slow for a while.
        let due = (begun.steady + micros + micros / 8).max(ended.healthy_since);
        if !entry.untimed && begun.steady >= self.timed_since && ended.steady > due + LATE_MAX_MICROS {
            let late = ended.steady - due;
            violated(Invariant::TimersAreInTime, format!("{id} of {:?} was {late} µs late", entry.definition));
        }
    }
}
