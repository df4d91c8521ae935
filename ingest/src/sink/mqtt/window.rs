//! The messages that have no outcome yet, oldest first, and which of them are under way on the present connection.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::publisher::Message;

/// A message and the number of its delivery.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub id: u64,
    pub message: Message,
    settled: bool,
}

/// Never more messages between the oldest without an answer and the newest than the broker allows under way: so a packet id,
/// which the client gives in turns, is free when its turn comes.
#[derive(Default)]
pub(super) struct Window {
    messages: VecDeque<Waiting>,
    /// Number of the oldest message.
    first: u64,
    /// How many from the oldest on were given to the client.
    given: usize,
    /// Number of the message that the client sends next.
    next_sent: u64,
    packet_ids: FxHashMap<u16, u64>,
    /// Given to the client and not answered.
    unanswered: usize,
}

impl Window {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether a new message could be given to the client at once.
    pub(super) fn has_room(&self, size: u16) -> bool {
        self.given == self.messages.len() && self.given < usize::from(size)
    }

    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    pub(super) fn push(&mut self, id: u64, message: Message) {
        self.messages.push_back(Waiting { id, message, settled: false });
    }

    /// The next message for the client, if `size` allows one more under way.
    pub(super) fn give(&mut self, size: u16) -> Option<&Waiting> {
        if self.given >= usize::from(size) {
            return None;
        }
        let waiting = self.messages.get(self.given)?;
        self.given += 1;
        self.unanswered += 1;
        Some(waiting)
    }

    /// The client sent its next message, under this packet id.
    pub(super) fn sent(&mut self, packet_id: u16) -> u64 {
        let number = self.next_sent;
        self.next_sent += 1;
        if packet_id != 0 {
            self.packet_ids.insert(packet_id, number);
        }
        number
    }

    /// The number of the message that was sent under a packet id; each is answered once.
    pub(super) fn answered(&mut self, packet_id: u16) -> Option<u64> {
        let number = self.packet_ids.remove(&packet_id)?;
        self.unanswered -= 1;
        Some(number)
    }

    /// The message has its outcome: gives the number of its delivery.
    pub(super) fn settle(&mut self, number: u64) -> Option<u64> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let waiting = self.messages.get_mut(place)?;
        waiting.settled = true;
        let id = waiting.id;
        while self.messages.pop_front_if(|waiting| waiting.settled).is_some() {
            self.first += 1;
            self.given -= 1;
        }
        Some(id)
    }

    /// A message of QoS 0 was sent: this is all the answer there is.
    pub(super) fn sent_for_good(&mut self) -> u64 {
        let number = self.sent(0);
        self.unanswered -= 1;
        number
    }

    /// The oldest message, given up between two connections: the number of its delivery.
    pub(super) fn drop_oldest(&mut self) -> Option<u64> {
        debug_assert_eq!(self.given, 0);
        Some(self.messages.pop_front()?.id)
    }

    /// The connection ended: what has no outcome is to be given to the next one, in its order.
    pub(super) fn reset(&mut self) {
        self.messages.retain(|waiting| !waiting.settled);
        self.next_sent = self.first;
        self.given = 0;
        self.unanswered = 0;
        self.packet_ids.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(count: u64) -> Window {
        let mut window = Window::default();
        for id in 1..=count {
            let message = Message {
                topic: "t".into(),
                qos: 1,
                retain: false,
                media_type: String::new(),
                properties: Vec::new(),
                payload: bytes::Bytes::new(),
            };
            window.push(id, message);
        }
        window
    }

    fn give_all(window: &mut Window, size: u16) -> Vec<u64> {
        std::iter::from_fn(|| window.give(size).map(|waiting| waiting.id)).collect()
    }

    fn answer(window: &mut Window, packet_id: u16) -> Option<u64> {
        let number = window.answered(packet_id)?;
        window.settle(number)
    }

    #[test]
    fn the_oldest_without_an_answer_holds_the_window() {
        let mut window = window(5);
        assert_eq!(give_all(&mut window, 3), [1, 2, 3]);
        for packet_id in 1..=3 {
            window.sent(packet_id);
        }
        assert_eq!(answer(&mut window, 2), Some(2));
        assert_eq!(answer(&mut window, 2), None, "answered once");
        assert!(give_all(&mut window, 3).is_empty(), "the first packet id is still in use");
        assert_eq!(answer(&mut window, 1), Some(1));
        assert_eq!(give_all(&mut window, 3), [4, 5]);
        assert_eq!(window.unanswered(), 3);
    }

    #[test]
    fn the_next_connection_gets_what_has_no_outcome_in_order() {
        let mut window = window(4);
        assert_eq!(give_all(&mut window, 4), [1, 2, 3, 4]);
        for packet_id in 1..=3 {
            window.sent(packet_id);
        }
        assert_eq!(answer(&mut window, 2), Some(2));
        window.reset();
        assert_eq!(answer(&mut window, 1), None, "an answer of the last connection means nothing");
        assert_eq!(give_all(&mut window, 9), [1, 3, 4]);
        for packet_id in 1..=3 {
            window.sent(packet_id);
        }
        assert_eq!([1, 2, 3].map(|packet_id| answer(&mut window, packet_id)), [Some(1), Some(3), Some(4)]);
        assert!(window.is_empty());
    }

    #[test]
    fn the_oldest_can_be_given_up() {
        let mut window = window(2);
        assert_eq!(give_all(&mut window, 1), [1]);
        window.sent(1);
        window.reset();
        assert_eq!(window.drop_oldest(), Some(1));
        assert_eq!(give_all(&mut window, 1), [2]);
        window.sent(1);
        assert_eq!(answer(&mut window, 1), Some(2));
        assert!(window.is_empty());
    }
}
