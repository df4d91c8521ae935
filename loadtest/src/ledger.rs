//! The ledger of one step: which messages were sent, acknowledged and seen at their end, and whether each was executed once
//! and those of a key in order.

use std::collections::BTreeMap;

use serde::Serialize;

/// Examples that are kept of each kind of breach.
const EXAMPLES_MAX: usize = 5;

/// A bit for each message.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Sets a bit; whether it was set before.
    fn set(&mut self, n: u64) -> bool {
        let (at, mask) = ((n / 64) as usize, 1 << (n % 64));
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        let was = self.0[at] & mask != 0;
        self.0[at] |= mask;
        was
    }

    fn get(&self, n: u64) -> bool {
        self.0.get((n / 64) as usize).is_some_and(|bits| bits & (1 << (n % 64)) != 0)
    }
}

/// What came of a message when its end was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// For the first time.
    First,
    /// The very same end came once more, over a way that may repeat itself.
    Repeated,
    /// It was executed once more.
    Doubled,
    /// It was never sent.
    Stranger,
}

/// Messages by number, and what is known of each.
#[derive(Debug)]
pub struct Ledger {
    keys: u64,
    sent: u64,
    acked: Bits,
    acked_count: u64,
    refused: BTreeMap<String, u64>,
    /// The fingerprint of what told its end, 0 before it was told.
    ends: Vec<u64>,
    ended: u64,
    /// One above the number that was seen last, by key.
    newest: Vec<u64>,
    doubled: u64,
    repeated: u64,
    disordered: u64,
    strangers: u64,
    examples: Vec<String>,
}

/// What the ledger says in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// Handed over for sending.
    pub sent: u64,
    /// Acknowledged by whom they were sent to.
    pub acknowledged: u64,
    /// Refused for good, or nobody knows what became of them.
    pub unacknowledged: u64,
    /// Whose end was seen.
    pub ended: u64,
    /// Acknowledged, and the end never came.
    pub lost: u64,
    /// Executed more than once.
    pub doubled: u64,
    /// Ended before an earlier one of the same key.
    pub disordered: u64,
    /// Ends that were never sent.
    pub strangers: u64,
    /// The same end told twice, which the way of telling may do.
    pub repeated: u64,
    /// Why messages were refused, and how many.
    pub refused: BTreeMap<String, u64>,
    /// Some of those that are not as they should be.
    pub examples: Vec<String>,
}

impl Audit {
    /// Whether each message was executed once, and those of a key in order.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.disordered == 0 && self.strangers == 0
    }

    /// What is broken, in words; nothing when all holds.
    #[must_use]
    pub fn breaches(&self) -> Vec<String> {
        let all = [
            (self.lost, "acknowledged and never ended"),
            (self.doubled, "executed more than once"),
            (self.disordered, "out of order within their key"),
            (self.strangers, "executed and never sent"),
        ];
        all.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }
}

impl Ledger {
    /// An empty one for messages of so many keys.
    #[must_use]
    pub fn new(keys: u64) -> Ledger {
        Ledger {
            keys,
            sent: 0,
            acked: Bits::default(),
            acked_count: 0,
            refused: BTreeMap::new(),
            ends: Vec::new(),
            ended: 0,
            newest: Vec::new(),
            doubled: 0,
            repeated: 0,
            disordered: 0,
            strangers: 0,
            examples: Vec::new(),
        }
    }

    /// One more was handed over for sending. Lanes send theirs in their own order, so only the count tells.
    pub fn sent(&mut self) {
        self.sent += 1;
    }

    /// A message was acknowledged; whether for the first time.
    pub fn acked(&mut self, n: u64) -> bool {
        let first = !self.acked.set(n);
        self.acked_count += u64::from(first);
        first
    }

    /// A message was refused.
    pub fn refused(&mut self, reason: &str) {
        *self.refused.entry(reason.to_owned()).or_default() += 1;
    }

    /// The end of a message was seen; `fingerprint` tells one end from another and is not 0. `count` is how many the
    /// schedule has.
    pub fn ended(&mut self, n: u64, fingerprint: u64, count: u64) -> Seen {
        if n >= count {
            self.strangers += 1;
            self.example(format!("number {n} ended and was never sent"));
            return Seen::Stranger;
        }
        let at = n as usize;
        if self.ends.len() <= at {
            self.ends.resize(at + 1, 0);
        }
        if self.ends[at] == fingerprint {
            self.repeated += 1;
            return Seen::Repeated;
        }
        if self.ends[at] != 0 {
            self.doubled += 1;
            self.example(format!("number {n} was executed twice"));
            return Seen::Doubled;
        }
        self.ends[at] = fingerprint;
        self.ended += 1;
        self.order(n);
        Seen::First
    }

    /// Whether this very end was seen already.
    #[must_use]
    pub fn knows(&self, n: u64, fingerprint: u64) -> bool {
        self.ends.get(n as usize) == Some(&fingerprint)
    }

    fn order(&mut self, n: u64) {
        let key = (n % self.keys) as usize;
        if self.newest.len() <= key {
            self.newest.resize(key + 1, 0);
        }
        let newest = self.newest[key];
        if n < newest {
            self.disordered += 1;
            self.example(format!("number {n} ended after number {} of the same key", newest - 1));
        } else {
            self.newest[key] = n + 1;
        }
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text);
        }
    }

    /// Messages that were handed over.
    #[must_use]
    pub fn sent_count(&self) -> u64 {
        self.sent
    }

    /// Messages that were acknowledged.
    #[must_use]
    pub fn acked_count(&self) -> u64 {
        self.acked_count
    }

    /// Messages whose end was seen.
    #[must_use]
    pub fn ended_count(&self) -> u64 {
        self.ended
    }

    /// Messages that were refused.
    #[must_use]
    pub fn refused_count(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Acknowledged messages whose end was not seen, lowest first.
    fn missing(&self) -> impl Iterator<Item = u64> {
        let acked = (self.acked.0.len() * 64) as u64;
        (0..acked).filter(|n| self.acked.get(*n) && self.ends.get(*n as usize).is_none_or(|end| *end == 0))
    }

    /// How many acknowledged messages have not ended.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.missing().count() as u64
    }

    /// What it says in the end; ends are only asked for when they were looked at.
    #[must_use]
    pub fn audit(&self, ends_are_seen: bool) -> Audit {
        let lost: Vec<u64> = if ends_are_seen { self.missing().collect() } else { Vec::new() };
        let mut examples = self.examples.clone();
        examples.extend(lost.iter().take(EXAMPLES_MAX).map(|n| format!("number {n} was acknowledged and never ended")));
        Audit {
            sent: self.sent,
            acknowledged: self.acked_count,
            unacknowledged: self.sent - self.acked_count.min(self.sent),
            ended: self.ended,
            lost: lost.len() as u64,
            doubled: self.doubled,
            disordered: self.disordered,
            strangers: self.strangers,
            repeated: self.repeated,
            refused: self.refused.clone(),
            examples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger of 200 messages of 10 keys, all sent and acknowledged, with these ends: number and fingerprint.
    fn audit(ends: impl IntoIterator<Item = (u64, u64)>) -> Audit {
        let mut ledger = Ledger::new(10);
        for n in 0..200 {
            ledger.sent();
            ledger.acked(n);
        }
        for (n, fingerprint) in ends {
            ledger.ended(n, fingerprint, 200);
        }
        ledger.audit(true)
    }

    fn all() -> Vec<(u64, u64)> {
        (0..200).map(|n| (n, n + 1)).collect()
    }

    #[test]
    fn each_once_and_in_order_holds() {
        let found = audit(all());
        assert!(found.holds() && found.breaches().is_empty());
        assert_eq!((found.sent, found.acknowledged, found.ended, found.unacknowledged), (200, 200, 200, 0));
        // Keys are independent: all of one, then all of the next.
        let by_key = (0..10).flat_map(|key| (0..20).map(move |k| (k * 10 + key, 1)));
        assert!(audit(by_key).holds());
    }

    #[test]
    fn what_is_lost_doubled_disordered_or_strange_is_told() {
        let lost = audit(all().into_iter().filter(|(n, _)| *n != 130));
        assert_eq!((lost.lost, lost.holds()), (1, false));
        assert_eq!(lost.examples, ["number 130 was acknowledged and never ended"]);

        let doubled = audit(all().into_iter().chain([(7, 999)]));
        assert_eq!((doubled.doubled, doubled.repeated, doubled.holds()), (1, 0, false));

        let mut swapped = all();
        swapped.swap(25, 35);
        let swapped = audit(swapped);
        assert_eq!((swapped.disordered, swapped.holds()), (1, false));
        assert_eq!(swapped.examples, ["number 25 ended after number 35 of the same key"]);

        let strange = audit(all().into_iter().chain([(200, 1)]));
        assert_eq!((strange.strangers, strange.holds()), (1, false));
    }

    #[test]
    fn the_same_end_told_again_is_no_second_execution() {
        let found = audit(all().into_iter().chain([(7, 8), (7, 8)]));
        assert_eq!((found.repeated, found.doubled, found.holds()), (2, 0, true));
    }

    #[test]
    fn what_nobody_acknowledged_may_end_or_not() {
        let mut ledger = Ledger::new(1);
        for _ in 0..3 {
            ledger.sent();
        }
        ledger.acked(0);
        ledger.refused("503");
        ledger.ended(0, 1, 3);
        ledger.ended(2, 1, 3);
        let found = ledger.audit(true);
        assert_eq!((found.lost, found.unacknowledged, found.ended, found.holds()), (0, 2, 2, true));
    }
}
