//! What one step gathers.

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::codec::ShardRecord;
use super::ready::{Ready, Released};
use super::{EVENT_BYTES_MAX, EXPRESSION_STEPS_MAX, RECORDS_BYTES_MAX};
use crate::effect::ExecutionEffect;
use crate::event::CloudEvent;
use crate::execution::Scratch;
use crate::history::Measurement;
use crate::ids::{ActivationId, ExecutionId, ShardId};
use crate::input::ExecutionInput;
use crate::time::Timestamp;

/// An input for an execution of the same shard, to be applied within the step.
pub(super) struct Work {
    pub execution: ExecutionId,
    pub input: ExecutionInput,
}

/// Tasks that hear of an event.
type Hearers = Vec<(ExecutionId, ActivationId)>;

/// The results of a step so far, and its scratch buffers.
pub(super) struct Step {
    pub now: Timestamp,
    pub records: Vec<u8>,
    pub released: Released,
    pub work: VecDeque<Work>,
    /// Events, and the tasks that hear of them with a later step.
    pub put_off: Vec<(Arc<CloudEvent>, Hearers)>,
    /// Keys of events seen.
    pub seen: Vec<u128>,
    /// The highest offset of each source partition.
    pub absorbed: Vec<(Arc<str>, u64)>,
    /// Senders whose messages were absorbed.
    pub marked: BTreeSet<ShardId>,
    /// The history of the execution at hand.
    pub history: Vec<u8>,
    /// What the execution at hand asks for.
    pub effects: Vec<ExecutionEffect>,
    /// What it has measured.
    pub measured: Vec<Measurement>,
    /// What it may use.
    pub scratch: Scratch,
    /// The steps of all expressions so far.
    pub spent: Cell<u64>,
}

impl Step {
    /// A step that writes its records to `records`, which is empty.
    pub fn new(now: Timestamp, records: Vec<u8>) -> Step {
        Step {
            now,
            records,
            released: Released::default(),
            work: VecDeque::new(),
            put_off: Vec::new(),
            seen: Vec::new(),
            absorbed: Vec::new(),
            marked: BTreeSet::new(),
            history: Vec::new(),
            effects: Vec::new(),
            measured: Vec::new(),
            scratch: Scratch::default(),
            spent: Cell::new(0),
        }
    }

    /// Whether it may take another input or fire another timer.
    pub fn has_room(&self) -> bool {
        self.records.len() < RECORDS_BYTES_MAX && self.spent.get() < EXPRESSION_STEPS_MAX
    }

    /// Whether who else hears of an event should do so with a later step.
    pub fn is_long(&self) -> bool {
        self.records.len() > EVENT_BYTES_MAX || self.spent.get() >= EXPRESSION_STEPS_MAX
    }

    pub fn record(&mut self, record: &ShardRecord) {
        record.write(&mut self.records);
    }

    /// Lets a task hear of an event with a later step.
    pub fn put_off(&mut self, event: Arc<CloudEvent>, task: (ExecutionId, ActivationId)) {
        match self.put_off.last_mut() {
            Some((same, tasks)) if Arc::ptr_eq(same, &event) => tasks.push(task),
            _ => self.put_off.push((event, vec![task])),
        }
    }

    /// Notes an absorbed offset; the highest of each partition is recorded at the end.
    pub fn absorb(&mut self, partition: &Arc<str>, offset: u64) {
        match self.absorbed.iter_mut().find(|(name, _)| Arc::ptr_eq(name, partition) || name == partition) {
            Some((_, highest)) => *highest = offset,
            None => self.absorbed.push((partition.clone(), offset)),
        }
    }

    pub fn into_ready(self) -> Ready {
        Ready { records: self.records, released: self.released }
    }
}
