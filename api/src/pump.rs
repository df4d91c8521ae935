//! From a source to the shards and back: events are handed over in order, dead letters stored, and only then the source
//! may acknowledge.

use std::collections::VecDeque;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use trinity_actors::handle::{Handle, Lane, Lost, Refused};
use trinity_engine::input::{Origin, SourceEvent};
use trinity_ingest::source::{Intake, Receipts, Rejected};

use crate::metadata::Metadata;

/// Batches that are on their way to a commit. How many events may be is the node's to say.
const UNDER_WAY_MAX: usize = 256;
/// While a batch is on its way, what comes is gathered until it is so many events. Every step, commit and sync has a price of
/// its own, and what comes meanwhile could not be durable before the commit after this one in any case (so TCP does it by
/// the algorithm of Nagle, RFC 896). Who comes alone never waits.
const GATHER_MAX: usize = 512;
/// And at most until they take so much memory: what is gathered has no permit yet.
const GATHER_BYTES_MAX: usize = 1 << 20;
/// Batches that are not full follow each other no faster than this. Where a sync takes 0.1 ms, 10,000 messages a second would
/// else be 4,400 commits, which take half as much CPU again and let the broker on the same machine wait for it.
const PACE: Duration = Duration::from_millis(1);
/// So many batches may follow each other at once after a pause: who sends now and then never waits.
const AT_ONCE: u32 = 4;
/// How long to wait before a second try, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Tells when all of a batch is durable.
type Durable = Pin<Box<dyn Future<Output = Result<(), Lost>> + Send>>;

/// What a batch needs until it is durable.
struct Batch {
    events: Vec<SourceEvent>,
    /// What they take in memory.
    bytes: usize,
    receipts: Receipts,
    /// Once it was submitted.
    durable: Option<Durable>,
}

impl Batch {
    /// Whether no more should be gathered to it.
    fn is_full(&self) -> bool {
        self.events.len() >= GATHER_MAX || self.bytes >= GATHER_BYTES_MAX
    }
}

/// When a batch that is not full may be submitted.
struct Pace {
    next: Instant,
}

impl Pace {
    fn new(now: Instant) -> Pace {
        Pace { next: now }
    }

    /// A batch goes. Full ones follow each other at once: however many they were, the next small one waits no longer than any.
    fn submitted(&mut self, now: Instant) {
        let earliest = now.checked_sub(AT_ONCE * PACE).unwrap_or(now);
        self.next = self.next.max(earliest).min(now) + PACE;
    }
}

/// Moves what one source hands over, until that ends or `stopped`.
pub(crate) struct Pump {
    name: Arc<str>,
    node: Handle,
    metadata: Arc<Metadata>,
    stopped: CancellationToken,
    lane: Lane,
    /// In the order in which they came; the last one may not be submitted yet.
    under_way: VecDeque<Batch>,
    pace: Pace,
}

impl Pump {
    pub fn new(name: &str, node: Handle, metadata: Arc<Metadata>, stopped: CancellationToken) -> Pump {
        let lane = node.lane();
        Pump {
            name: name.into(),
            node,
            metadata,
            stopped,
            lane,
            under_way: VecDeque::new(),
            pace: Pace::new(Instant::now()),
        }
    }

    /// Ends when the source has ended and all it handed over is durable, or when `stopped`: what is not acknowledged then,
    /// the broker delivers again.
    pub async fn run(mut self, mut intakes: mpsc::Receiver<Intake>) {
        let stopped = self.stopped.clone();
        tokio::select! {
            () = stopped.cancelled() => {}
            () = self.move_all(&mut intakes) => {}
        }
    }

    async fn move_all(&mut self, intakes: &mut mpsc::Receiver<Intake>) {
        let mut open = true;
        while open || !self.under_way.is_empty() {
            tokio::select! {
                // What is durable first: it frees the source.
                biased;
                durable = first_durable(&mut self.under_way) => self.settle(durable).await,
                () = tokio::time::sleep_until(self.pace.next), if self.waits_alone() => self.submit_from(0).await,
                intake = intakes.recv(), if open && self.under_way.len() < UNDER_WAY_MAX => match intake {
                    Some(intake) => self.take(intake).await,
                    None => open = false,
                },
            }
        }
    }

    async fn take(&mut self, intake: Intake) {
        if !intake.dead_letters.is_empty() {
            self.store(&intake.dead_letters, &intake.receipts).await;
        }
        if !intake.events.is_empty() {
            let bytes = intake.events.iter().map(|event| event.event.size()).sum::<usize>();
            let full = match self.under_way.back_mut().filter(|last| last.durable.is_none()) {
                Some(last) => {
                    last.events.extend(intake.events);
                    last.bytes += bytes;
                    last.is_full()
                }
                None => {
                    let batch = Batch { events: intake.events, bytes, receipts: intake.receipts, durable: None };
                    let full = batch.is_full();
                    self.under_way.push_back(batch);
                    full
                }
            };
            if full || self.may_submit_alone() {
                self.submit_from(self.under_way.len() - 1).await;
            }
        }
    }

    /// Whether there is a batch that waits for its time, and nothing else.
    fn waits_alone(&self) -> bool {
        self.under_way.front().is_some_and(|first| first.durable.is_none())
    }

    fn may_submit_alone(&self) -> bool {
        self.waits_alone() && self.pace.next <= Instant::now()
    }

    /// Stores dead letters, however long that takes: before it there is no receipt.
    async fn store(&mut self, rejected: &[Rejected], receipts: &Receipts) {
        let letters: Vec<_> = rejected.iter().map(|rejected| &rejected.letter).collect();
        let mut pause = PAUSE.0;
        while let Err(error) = self.metadata.keep_dead_letters(&letters).await {
            tracing::error!(source = %self.name, %error, "dead letters can't be stored; trying again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
        receipts.durable(rejected.iter().map(|rejected| rejected.token).collect());
    }

    /// Submits all batches from that one on, in order.
    async fn submit_from(&mut self, first: usize) {
        self.pace.submitted(Instant::now());
        let mut at = first;
        let mut pause = PAUSE.0;
        while at < self.under_way.len() {
            let batch = &mut self.under_way[at];
            match self.lane.submit(batch.events.clone()).await {
                Ok(admitted) => {
                    batch.durable = Some(Box::pin(admitted.durable()));
                    at += 1;
                    pause = PAUSE.0;
                }
                Err(refused) => {
                    if refused == Refused::Lost {
                        self.begin_again();
                        at = 0;
                    } else {
                        tracing::warn!(source = %self.name, %refused, "the node does not take events; trying again");
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// The first batch has its answer: it is durable and the source may acknowledge it, or it was lost.
    async fn settle(&mut self, durable: Result<(), Lost>) {
        match durable {
            Ok(()) => {
                if let Some(batch) = self.under_way.pop_front() {
                    batch.receipts.durable(batch.events.iter().map(|event| event.token).collect());
                }
                if self.may_submit_alone() {
                    self.submit_from(0).await;
                }
            }
            Err(Lost) => {
                self.begin_again();
                self.submit_from(0).await;
            }
        }
    }

    /// A part of what was submitted is lost: all that is not known to be durable has to go again, in the same order. The
    /// shards that have committed their part already recognise it.
    fn begin_again(&mut self) {
        tracing::warn!(source = %self.name, batches = self.under_way.len(), "a shard failed; handing its events over again");
        self.lane = self.node.lane();
        for batch in &mut self.under_way {
            batch.durable = None;
            for event in &mut batch.events {
                if let Origin::Key { redelivered, .. } = &mut event.origin {
                    *redelivered = true;
                }
            }
        }
    }
}

/// The answer of the first batch. Dropped before it came, it can be asked for again.
async fn first_durable(under_way: &mut VecDeque<Batch>) -> Result<(), Lost> {
    match under_way.front_mut().and_then(|batch| batch.durable.as_mut()) {
        Some(durable) => durable.await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_go_at_once_then_one_each_millisecond_and_no_number_of_full_batches_delays_the_next() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        now += Duration::from_secs(1);
        for _ in 0..AT_ONCE {
            pace.submitted(now);
        }
        assert!(pace.next <= now);
        for _ in 0..10 {
            pace.submitted(now);
            assert_eq!(pace.next, now + PACE);
            now = pace.next;
        }
        for _ in 0..100 {
            pace.submitted(now);
        }
        assert_eq!(pace.next, now + PACE);
    }
}
