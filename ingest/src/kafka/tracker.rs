//! How far each partition may be acknowledged: never past a message whose effects are not durable.

use std::collections::VecDeque;
use std::sync::Arc;

/// The unacknowledged messages of the assigned partitions.
///
/// A token is made of the number of an assignment (24 bits) and of the message in it (40 bits), so a receipt of a partition
/// that has been revoked meanwhile, even if it came back, is known as late.
#[derive(Default)]
pub(super) struct Tracker {
    assignments: Vec<Assignment>,
    next_assignment: u64,
    waiting: usize,
}

struct Assignment {
    number: u64,
    topic: String,
    partition: i32,
    /// Name for deduplication.
    name: Arc<str>,
    /// Number of the oldest waiting message.
    first: u64,
    waiting: VecDeque<(i64, bool)>,
}

const MESSAGE_BITS: u32 = 40;

/// A place up to which a partition is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Done {
    pub topic: String,
    pub partition: i32,
    /// The last offset that is done.
    pub offset: i64,
}

impl Tracker {
    /// One for another consumer, which knows receipts of this one as late.
    pub(super) fn successor(&self) -> Tracker {
        Tracker { next_assignment: self.next_assignment, ..Tracker::default() }
    }

    /// Notes a message; gives its token and the name of its partition.
    pub(super) fn take(&mut self, source: &str, topic: &str, partition: i32, offset: i64) -> (u64, Arc<str>) {
        let known = self.assignments.iter().position(|a| a.partition == partition && a.topic == topic);
        let at = known.unwrap_or_else(|| self.assign(source, topic, partition));
        let assignment = &mut self.assignments[at];
        let message = assignment.first + assignment.waiting.len() as u64;
        assignment.waiting.push_back((offset, false));
        self.waiting += 1;
        (assignment.number << MESSAGE_BITS | message, assignment.name.clone())
    }

    fn assign(&mut self, source: &str, topic: &str, partition: i32) -> usize {
        self.assignments.push(Assignment {
            number: self.next_assignment,
            topic: topic.to_owned(),
            partition,
            name: format!("{source}/{topic}/{partition}").into(),
            first: 0,
            waiting: VecDeque::new(),
        });
        self.next_assignment = (self.next_assignment + 1) % (1 << (64 - MESSAGE_BITS));
        self.assignments.len() - 1
    }

    /// The partition is no longer ours: its new owner reads what is not acknowledged.
    pub(super) fn revoke(&mut self, topic: &str, partition: i32) {
        self.assignments.retain(|a| a.partition != partition || a.topic != topic);
        self.waiting = self.assignments.iter().map(|a| a.waiting.len()).sum();
    }

    /// The effects of these messages are durable.
    pub(super) fn durable(&mut self, tokens: &[u64]) {
        for token in tokens {
            let (number, message) = (token >> MESSAGE_BITS, token & ((1 << MESSAGE_BITS) - 1));
            let Some(assignment) = self.assignments.iter_mut().find(|a| a.number == number) else { continue };
            let place = message.checked_sub(assignment.first).and_then(|place| usize::try_from(place).ok());
            if let Some((_, durable)) = place.and_then(|place| assignment.waiting.get_mut(place)) {
                *durable = true;
            }
        }
    }

    /// What has become done since the last call, and how many messages that are.
    pub(super) fn advance(&mut self) -> (Vec<Done>, usize) {
        let before = self.waiting;
        let mut done = Vec::new();
        for assignment in &mut self.assignments {
            let mut last = None;
            while let Some((offset, _)) = assignment.waiting.pop_front_if(|(_, durable)| *durable) {
                assignment.first += 1;
                self.waiting -= 1;
                last = Some(offset);
            }
            if let Some(offset) = last {
                done.push(Done { topic: assignment.topic.clone(), partition: assignment.partition, offset });
            }
        }
        (done, before - self.waiting)
    }

    /// How many messages are not done.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(tracker: &mut Tracker) -> Vec<(i32, i64)> {
        tracker.advance().0.into_iter().map(|done| (done.partition, done.offset)).collect()
    }

    #[test]
    fn never_past_a_message_that_is_not_durable() {
        let mut tracker = Tracker::default();
        let tokens: Vec<u64> = [10, 11, 15].map(|offset| tracker.take("s", "t", 0, offset).0).into();
        let other = tracker.take("s", "t", 1, 7).0;
        tracker.durable(&[tokens[1], other]);
        assert_eq!(done(&mut tracker), [(1, 7)]);
        tracker.durable(&[tokens[0]]);
        assert_eq!(done(&mut tracker), [(0, 11)]);
        assert_eq!(tracker.waiting(), 1);
        tracker.durable(&[tokens[0], tokens[2]]);
        assert_eq!(done(&mut tracker), [(0, 15)]);
        assert_eq!(tracker.advance(), (Vec::new(), 0));
    }

    #[test]
    fn receipts_of_another_consumer_move_nothing() {
        let mut tracker = Tracker::default();
        let (old, _) = tracker.take("s", "t", 0, 10);
        let mut next = tracker.successor();
        let (again, _) = next.take("s", "t", 0, 10);
        next.durable(&[old]);
        assert!(done(&mut next).is_empty());
        next.durable(&[again]);
        assert_eq!(done(&mut next), [(0, 10)]);
    }

    #[test]
    fn receipts_after_a_revocation_move_nothing() {
        let mut tracker = Tracker::default();
        let (old, name) = tracker.take("s", "t", 0, 10);
        assert_eq!(&*name, "s/t/0");
        tracker.revoke("t", 0);
        assert_eq!(tracker.waiting(), 0);
        let (again, _) = tracker.take("s", "t", 0, 10);
        tracker.durable(&[old]);
        assert!(done(&mut tracker).is_empty());
        tracker.durable(&[again]);
        assert_eq!(done(&mut tracker), [(0, 10)]);
    }
}
