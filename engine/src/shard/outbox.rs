//! What has left a shard and is not yet known to have arrived: messages to shards, events for sinks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::event::CloudEvent;
use crate::ids::ShardId;
use crate::input::PeerMessage;

/// The messages to one shard, in order of their numbers, and the marks of what came from the others.
#[derive(Default, Debug)]
pub(super) struct Outbox {
    rows: BTreeMap<ShardId, Lane>,
    /// The highest number absorbed of each sender.
    marks: BTreeMap<ShardId, u64>,
}

#[derive(Default, Debug)]
struct Lane {
    last: u64,
    waiting: VecDeque<(u64, PeerMessage)>,
}

impl Outbox {
    /// Adds a message; its number.
    pub fn push(&mut self, to: ShardId, message: PeerMessage) -> u64 {
        let lane = self.rows.entry(to).or_default();
        lane.last += 1;
        lane.waiting.push_back((lane.last, message));
        lane.last
    }

    /// Puts back what was stored: a message, or only the number up to which there were some.
    pub fn restore(&mut self, to: ShardId, sequence: u64, message: Option<PeerMessage>) {
        let lane = self.rows.entry(to).or_default();
        lane.last = lane.last.max(sequence);
        if let Some(message) = message {
            lane.waiting.push_back((sequence, message));
        }
    }

    /// Forgets what the receiver has absorbed.
    pub fn trim(&mut self, to: ShardId, absorbed: u64) {
        if let Some(lane) = self.rows.get_mut(&to) {
            while lane.waiting.front().is_some_and(|(sequence, _)| *sequence <= absorbed) {
                lane.waiting.pop_front();
            }
        }
    }

    /// The messages that a receiver has not absorbed, as far as is known.
    pub fn waiting(&self, to: ShardId) -> impl Iterator<Item = &(u64, PeerMessage)> {
        self.rows.get(&to).into_iter().flat_map(|lane| &lane.waiting)
    }

    /// Each receiver with its last number and what waits.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ShardId, u64, &VecDeque<(u64, PeerMessage)>)> {
        self.rows.iter().map(|(to, lane)| (*to, lane.last, &lane.waiting))
    }

    /// Whether a message is the next of its sender; then it is absorbed. One that came before is a repetition, one that
    /// comes too early will be sent again.
    pub fn absorb(&mut self, from: ShardId, sequence: u64) -> bool {
        let next = sequence == self.mark(from) + 1;
        if next {
            self.marks.insert(from, sequence);
        }
        next
    }

    pub fn mark(&self, from: ShardId) -> u64 {
        self.marks.get(&from).copied().unwrap_or_default()
    }

    pub fn set_mark(&mut self, from: ShardId, sequence: u64) {
        self.marks.insert(from, sequence);
    }

    pub fn marks(&self) -> impl ExactSizeIterator<Item = (ShardId, u64)> {
        self.marks.iter().map(|(from, sequence)| (*from, *sequence))
    }

    pub fn len(&self) -> usize {
        self.rows.values().map(|lane| lane.waiting.len()).sum()
    }
}

/// Events that sinks have yet to deliver.
#[derive(Default, Debug)]
pub(super) struct Publications {
    last: u64,
    waiting: BTreeMap<u64, Arc<CloudEvent>>,
    /// What those that wait take in memory.
    bytes: usize,
}

impl Publications {
    pub fn push(&mut self, event: Arc<CloudEvent>) -> u64 {
        self.last += 1;
        self.bytes += event.size();
        self.waiting.insert(self.last, event);
        self.last
    }

    /// Puts back what was stored: an event, or only the highest number.
    pub fn restore(&mut self, number: u64, event: Option<Arc<CloudEvent>>) {
        self.last = self.last.max(number);
        if let Some(event) = event {
            self.bytes += event.size();
            self.waiting.insert(number, event);
        }
    }

    /// Whether it was waiting.
    pub fn delivered(&mut self, number: u64) -> bool {
        let waiting = self.waiting.remove(&number);
        self.bytes -= waiting.as_ref().map_or(0, |event| event.size());
        waiting.is_some()
    }

    /// What those that wait take in memory, in bytes, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    pub fn waiting(&self) -> impl ExactSizeIterator<Item = (u64, &Arc<CloudEvent>)> {
        self.waiting.iter().map(|(number, event)| (*number, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It must not stand in a snapshot: the fold of the records does not know of it.
    #[test]
    fn a_message_that_comes_too_early_leaves_no_trace() {
        let mut outbox = Outbox::default();
        assert!(!outbox.absorb(ShardId(3), 2));
        assert_eq!(outbox.marks().len(), 0);
        assert!(outbox.absorb(ShardId(3), 1) && outbox.absorb(ShardId(3), 2));
        assert_eq!(outbox.marks().collect::<Vec<_>>(), [(ShardId(3), 2)]);
    }
}
