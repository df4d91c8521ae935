//! In which order deliveries are acknowledged: in the order they came (MQTT 5, section 4.6), whenever their receipts come.

use std::collections::VecDeque;

/// What is needed to acknowledge a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ack {
    pub qos: u8,
    pub packet_id: u16,
}

/// The deliveries of one connection that are not acknowledged yet, oldest first. Tokens go on across connections, so that
/// a late receipt of an earlier connection is known as such.
#[derive(Default)]
pub(super) struct AckQueue {
    /// Token of the oldest.
    first: u64,
    waiting: VecDeque<(Ack, bool)>,
}

impl AckQueue {
    /// Token of the next delivery.
    pub(super) fn next_token(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }

    /// Adds a delivery.
    pub(super) fn push(&mut self, ack: Ack) -> u64 {
        let token = self.next_token();
        self.waiting.push_back((ack, false));
        token
    }

    /// Its effects are durable.
    pub(super) fn durable(&mut self, token: u64) {
        let entry = token.checked_sub(self.first).and_then(|place| self.waiting.get_mut(usize::try_from(place).ok()?));
        if let Some((_, durable)) = entry {
            *durable = true;
        }
    }

    /// The oldest delivery, when it may be acknowledged now.
    pub(super) fn pop(&mut self) -> Option<Ack> {
        let (ack, _) = self.waiting.pop_front_if(|(_, durable)| *durable)?;
        self.first += 1;
        Some(ack)
    }

    /// The connection ended: the broker will deliver again what was not acknowledged.
    pub(super) fn reset(&mut self) {
        self.first = self.next_token();
        self.waiting.clear();
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(queue: &mut AckQueue) -> Vec<u16> {
        std::iter::from_fn(|| queue.pop()).map(|ack| ack.packet_id).collect()
    }

    #[test]
    fn acknowledged_in_order_of_arrival() {
        let mut queue = AckQueue::default();
        let tokens: Vec<u64> = (1..=4).map(|packet_id| queue.push(Ack { qos: 1, packet_id })).collect();
        queue.durable(tokens[2]);
        queue.durable(tokens[1]);
        assert!(ready(&mut queue).is_empty());
        queue.durable(tokens[0]);
        assert_eq!(ready(&mut queue), [1, 2, 3]);
        queue.durable(tokens[0]); // twice: no harm
        queue.durable(tokens[3]);
        assert_eq!(ready(&mut queue), [4]);
        assert!(queue.is_empty());
    }

    #[test]
    fn receipts_of_an_earlier_connection_are_ignored() {
        let mut queue = AckQueue::default();
        let old = queue.push(Ack { qos: 1, packet_id: 1 });
        queue.reset();
        let new = queue.push(Ack { qos: 1, packet_id: 1 });
        queue.durable(old);
        assert!(ready(&mut queue).is_empty());
        queue.durable(new);
        assert_eq!(ready(&mut queue), [1]);
    }
}
