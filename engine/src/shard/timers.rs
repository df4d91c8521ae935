//! When executions must next be looked at.

use std::collections::BTreeSet;

use crate::ids::ExecutionId;
use crate::time::Timestamp;

/// The wake-ups of the live executions, one each: 24 bytes and what the tree adds, about 40 in all.
#[derive(Default, Debug)]
pub(super) struct Timers {
    entries: BTreeSet<Entry>,
}

/// A moment and an execution, in halves: as one number its id would be aligned to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    at: Timestamp,
    id: [u64; 2],
}

impl Entry {
    fn new(at: Timestamp, execution: ExecutionId) -> Entry {
        let bits = execution.as_u128();
        Entry { at, id: [(bits >> 64) as u64, bits as u64] }
    }

    fn execution(&self) -> ExecutionId {
        ExecutionId::from_u128(u128::from(self.id[0]) << 64 | u128::from(self.id[1]))
    }
}

impl Timers {
    /// All anew.
    pub fn fill(&mut self, all: impl Iterator<Item = (Timestamp, ExecutionId)>) {
        self.entries = all.map(|(at, execution)| Entry::new(at, execution)).collect();
    }

    /// Moves the wake-up of an execution.
    pub fn change(&mut self, execution: ExecutionId, before: Option<Timestamp>, now: Option<Timestamp>) {
        if before == now {
            return;
        }
        if let Some(at) = before {
            self.entries.remove(&Entry::new(at, execution));
        }
        if let Some(at) = now {
            self.entries.insert(Entry::new(at, execution));
        }
    }

    /// Whether the execution will be looked at then.
    pub fn has(&self, at: Timestamp, execution: ExecutionId) -> bool {
        self.entries.contains(&Entry::new(at, execution))
    }

    /// When the earliest is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.entries.first().map(|entry| entry.at)
    }

    /// Takes out the earliest entry if it is due.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<ExecutionId> {
        self.next().filter(|at| *at <= now)?;
        self.entries.pop_first().map(|entry| entry.execution())
    }
}
