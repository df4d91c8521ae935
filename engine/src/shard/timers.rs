//! When executions must next be looked at.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::ids::ExecutionId;
use crate::time::Timestamp;

/// A heap of wake-ups. An entry counts only while its execution still wants that moment, so nothing is ever taken out of
/// the middle: what is stale is passed over when it comes up.
#[derive(Default, Debug)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Timestamp, ExecutionId)>>,
}

impl Timers {
    pub fn set(&mut self, at: Timestamp, execution: ExecutionId) {
        self.heap.push(Reverse((at, execution)));
    }

    /// The earliest entry.
    pub fn first(&self) -> Option<(Timestamp, ExecutionId)> {
        self.heap.peek().map(|Reverse(entry)| *entry)
    }

    /// Takes out the earliest entry if it is due.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<(Timestamp, ExecutionId)> {
        self.first().filter(|(at, _)| *at <= now)?;
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
