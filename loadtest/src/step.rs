//! One step: messages of one schedule, their ledger and their latencies, filled by who sends and who sees the ends.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::latency::{Latencies, Summary};
use crate::ledger::{Audit, Ledger, Seen};
use crate::schedule::Schedule;

/// Seconds of which intermediate values are kept; those of longer runs are thinned out.
const SECONDS_MAX: usize = 7_200;

/// A step that runs or has run.
#[derive(Debug)]
pub struct Step {
    /// Its number.
    pub number: usize,
    /// When its messages are due.
    pub schedule: Schedule,
    /// Until then after the start nothing counts as latency.
    pub warmup: Duration,
    /// The start, once it was set.
    begun: std::sync::OnceLock<Instant>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    ledger: Ledger,
    /// How late messages were handed over for a reason of the sender's own.
    lag: Latencies,
    acked: Latencies,
    ended: Latencies,
    /// Of the present second.
    now: (Latencies, Latencies),
    before: (u64, u64, u64),
    seconds: VecDeque<Second>,
}

/// One second of a step.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// Seconds since the start of the step.
    pub at: f64,
    /// The rate that was wanted, in messages a second.
    pub target: f64,
    /// The rate of messages handed over.
    pub sent: f64,
    /// The rate of acknowledgements.
    pub acked: f64,
    /// The rate of ends seen.
    pub ended: f64,
    /// Sent and not acknowledged or, where ends are seen, not ended.
    pub open: u64,
    /// Latencies to the acknowledgement, of those that came in this second.
    pub ack: Summary,
    /// Latencies to the end.
    pub end: Summary,
}

/// What a step measured, whole.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Who was late, the sender: how much.
    pub lag: Latencies,
    /// Due to acknowledged.
    pub ack: Latencies,
    /// Due to end seen.
    pub end: Latencies,
    /// Second by second.
    pub seconds: Vec<Second>,
}

impl Step {
    /// A step that has not begun.
    #[must_use]
    pub fn new(number: usize, schedule: Schedule, warmup: Duration, keys: u64) -> Step {
        let inner = Inner {
            ledger: Ledger::new(keys),
            lag: Latencies::default(),
            acked: Latencies::default(),
            ended: Latencies::default(),
            now: Default::default(),
            before: (0, 0, 0),
            seconds: VecDeque::new(),
        };
        Step { number, schedule, warmup, begun: std::sync::OnceLock::new(), inner: Mutex::new(inner) }
    }

    /// Sets the start, once.
    pub fn begin(&self, at: Instant) {
        let _ = self.begun.set(at);
    }

    /// How long it runs; nothing before its start.
    #[must_use]
    pub fn elapsed(&self, now: Instant) -> Duration {
        self.begun.get().map_or(Duration::ZERO, |begun| now.saturating_duration_since(*begun))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When a message is due.
    #[must_use]
    pub fn due(&self, n: u64) -> Instant {
        self.begun.get().copied().unwrap_or_else(Instant::now) + self.schedule.at(n)
    }

    fn counts(&self, n: u64) -> bool {
        self.schedule.at(n) >= self.warmup
    }

    /// A message was handed over just now by a sender that had been free since `free`: what it is late beyond that is the
    /// sender's own fault.
    pub fn sent(&self, n: u64, free: Instant, now: Instant) {
        let lag = now.saturating_duration_since(self.due(n).max(free));
        let mut inner = self.inner();
        inner.ledger.sent();
        inner.lag.record(lag);
    }

    /// A message was acknowledged.
    pub fn acked(&self, n: u64, now: Instant) {
        let latency = now.saturating_duration_since(self.due(n));
        let mut inner = self.inner();
        if inner.ledger.acked(n) && self.counts(n) {
            inner.acked.record(latency);
            inner.now.0.record(latency);
        }
    }

    /// A message was refused.
    pub fn refused(&self, reason: &str) {
        self.inner().ledger.refused(reason);
    }

    /// The end of a message was seen; `what` tells this end from another of the same message.
    pub fn ended(&self, n: u64, what: &str, now: Instant) -> Seen {
        let latency = now.saturating_duration_since(self.due(n));
        let mut inner = self.inner();
        let seen = inner.ledger.ended(n, fingerprint(what), self.schedule.count());
        if seen == Seen::First && self.counts(n) {
            inner.ended.record(latency);
            inner.now.1.record(latency);
        }
        seen
    }

    /// As [`Step::ended`], for an end that is looked up afterwards, perhaps more than once: it has no latency.
    pub fn found(&self, n: u64, what: &str) {
        let (mut inner, what) = (self.inner(), fingerprint(what));
        if !inner.ledger.knows(n, what) {
            inner.ledger.ended(n, what, self.schedule.count());
        }
    }

    /// Closes a second that took so long.
    pub fn tick(&self, now: Instant, took: Duration, ends_are_seen: bool) -> Second {
        let elapsed = self.elapsed(now);
        let inner = &mut *self.inner();
        let counts = (inner.ledger.sent_count(), inner.ledger.acked_count(), inner.ledger.ended_count());
        let rate = |now: u64, before: u64| (now - before) as f64 / took.as_secs_f64();
        let middle = elapsed.saturating_sub(took / 2);
        let answered = if ends_are_seen { counts.2 } else { counts.1 + inner.ledger.refused_count() };
        let second = Second {
            at: elapsed.as_secs_f64(),
            target: if middle < self.schedule.length { self.schedule.rate(middle) } else { 0.0 },
            sent: rate(counts.0, inner.before.0),
            acked: rate(counts.1, inner.before.1),
            ended: rate(counts.2, inner.before.2),
            open: counts.0.saturating_sub(answered),
            ack: inner.now.0.summary(),
            end: inner.now.1.summary(),
        };
        inner.before = counts;
        inner.now.0.reset();
        inner.now.1.reset();
        if inner.seconds.len() < SECONDS_MAX {
            inner.seconds.push_back(second);
        }
        second
    }

    /// Messages sent, acknowledged, ended.
    #[must_use]
    pub fn counts_so_far(&self) -> (u64, u64, u64) {
        let inner = self.inner();
        (inner.ledger.sent_count(), inner.ledger.acked_count(), inner.ledger.ended_count())
    }

    /// Whether all that was acknowledged has ended.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.inner().ledger.waiting() == 0
    }

    /// So far: latencies to the acknowledgement, or the end.
    #[must_use]
    pub fn so_far(&self, ends_are_seen: bool) -> Summary {
        let inner = self.inner();
        if ends_are_seen { inner.ended.summary() } else { inner.acked.summary() }
    }

    /// What the ledger says.
    #[must_use]
    pub fn audit(&self, ends_are_seen: bool) -> Audit {
        self.inner().ledger.audit(ends_are_seen)
    }

    /// What was measured.
    #[must_use]
    pub fn measured(&self) -> Measured {
        let inner = self.inner();
        Measured {
            lag: inner.lag.clone(),
            ack: inner.acked.clone(),
            end: inner.ended.clone(),
            seconds: inner.seconds.iter().copied().collect(),
        }
    }
}

/// FNV-1a, never 0.
fn fingerprint(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_counts_from_when_a_message_was_due_and_not_from_when_it_was_sent() {
        let step = Step::new(0, Schedule::constant(10.0, Duration::from_secs(2)), Duration::from_secs(1), 1);
        let begun = Instant::now();
        step.begin(begun);
        let at = |millis| begun + Duration::from_millis(millis);
        // The server held the sender up until 1.4 s: what was due at 1.1 s goes out at 1.45 s and is answered at 1.5 s.
        step.sent(11, at(1_400), at(1_450));
        step.acked(11, at(1_500));
        // In the warm-up: not counted.
        step.sent(3, at(0), at(300));
        step.acked(3, at(900));
        let measured = step.measured();
        assert_eq!(measured.ack.count(), 1);
        assert!((measured.ack.quantile(1.0) - 400.0).abs() < 1.0);
        assert!((measured.lag.quantile(1.0) - 50.0).abs() < 1.0, "{}", measured.lag.quantile(1.0));
        assert_eq!(step.counts_so_far(), (2, 2, 0));
        assert!(!step.is_settled());
        assert_eq!(step.ended(11, "a", at(1_600)), Seen::First);
        assert_eq!(step.ended(11, "a", at(1_600)), Seen::Repeated);
        assert_eq!(step.ended(11, "b", at(1_600)), Seen::Doubled);
    }

    #[test]
    fn a_second_has_the_rates_of_its_own() {
        let step = Step::new(0, Schedule::constant(4.0, Duration::from_secs(2)), Duration::ZERO, 1);
        let begun = Instant::now();
        step.begin(begun);
        for n in 0..4 {
            step.sent(n, begun, begun);
            step.acked(n, begun + Duration::from_millis(800));
        }
        let first = step.tick(begun + Duration::from_secs(1), Duration::from_secs(1), true);
        assert_eq!((first.target, first.sent, first.acked, first.open, first.ack.count), (4.0, 4.0, 4.0, 4, 4));
        let second = step.tick(begun + Duration::from_secs(2), Duration::from_secs(1), true);
        assert_eq!((second.sent, second.acked, second.ack.count), (0.0, 0.0, 0));
    }
}
