//! The committer: joins what the shards have decided into one block, makes it durable, and gives each shard its receipt.
//!
//! It has a thread of its own, for an append blocks. While a block is on its way to the disk the shards decide what will be
//! in the next one; so a block holds little when there is little to do, and much when there is much. It waits a little for
//! steps that are on their way, see [`crate::expected`].

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ractor::{ActorId, ActorRef};
use rustc_hash::FxHashSet;
use tokio::sync::{oneshot, watch};
use trinity_engine::shard::CommitReceipt;

use crate::clock::SystemClock;
use crate::expected::Expected;
use crate::journal::{Journal, JournalError, ShardBatch};
use crate::pipeline::{Block, Step};
use crate::shard_actor::ShardMessage;
use crate::status::NodeStatus;

/// The first pause after a failed append, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// How long a block waits at most for steps that are expected.
const GATHER_WAIT: Duration = Duration::from_micros(500);
/// How often old segments are looked for.
const RETENTION_INTERVAL: Duration = Duration::from_secs(10);

/// A step, and whom its receipt goes to.
type Commit = (Step, ActorRef<ShardMessage>);

enum Order {
    Commit(Box<Commit>),
    /// Answer once everything before is durable.
    Fence(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// The way to the committer.
#[derive(Clone)]
pub(crate) struct Committer {
    orders: Sender<Order>,
    newest: watch::Receiver<u64>,
}

impl Committer {
    /// Starts the thread.
    pub fn start(
        journal: Journal,
        newest: u64,
        status: Arc<NodeStatus>,
        clock: SystemClock,
        expected: Arc<Expected>,
    ) -> std::io::Result<(Committer, JoinHandle<()>)> {
        let (orders, received) = channel();
        let (tell, newest) = watch::channel(newest);
        let failed = FxHashSet::default();
        let thread = Thread { journal, clock, status, expected, newest: tell, retained: None, failed };
        let thread = std::thread::Builder::new().name("committer".into()).spawn(move || thread.run(&received))?;
        Ok((Committer { orders, newest }, thread))
    }

    /// Hands over a step. After the committer has closed it goes nowhere, as after a crash.
    pub fn commit(&self, step: Step, from: ActorRef<ShardMessage>) {
        let _ = self.orders.send(Order::Commit(Box::new((step, from))));
    }

    /// Waits until everything handed over so far is durable.
    pub async fn fence(&self) {
        let (done, fenced) = oneshot::channel();
        let _ = self.orders.send(Order::Fence(done));
        let _ = fenced.await;
    }

    /// Commits what was handed over, closes the journal and ends.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        let _ = self.orders.send(Order::Close(done));
        let _ = closed.await;
    }

    /// The number of the newest block.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.clone()
    }
}

fn tell(block: Block<ActorRef<ShardMessage>>, number: u64) {
    let receipt = CommitReceipt { block: number };
    for (ready, from) in block.stored() {
        // A shard that is gone will recover from what is now durable.
        let _ = from.send_message(ShardMessage::Committed { ready, receipt });
    }
}

struct Thread {
    journal: Journal,
    clock: SystemClock,
    status: Arc<NodeStatus>,
    expected: Arc<Expected>,
    newest: watch::Sender<u64>,
    /// When old segments were last looked for: soon after a start, so that a node that is restarted often does it too.
    retained: Option<Instant>,
    /// Actors of shards with a step that can't be stored.
    failed: FxHashSet<ActorId>,
}

impl Thread {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut next: Option<Order> = None;
        loop {
            let order = match next.take() {
                Some(order) => order,
                None => match orders.recv() {
                    Ok(order) => order,
                    Err(_) => return,
                },
            };
            match order {
                Order::Commit(step) if self.failed.contains(&step.1.get_id()) => {}
                Order::Commit(first) => {
                    let block = gather(*first, orders, &self.expected, &mut next);
                    self.commit(block);
                }
                Order::Fence(done) => {
                    let _ = done.send(());
                }
                Order::Close(done) => {
                    drop(self.journal);
                    let _ = done.send(());
                    return;
                }
            }
            if self.retained.is_none_or(|at| at.elapsed() > RETENTION_INTERVAL) {
                self.retain();
            }
        }
    }

    fn commit(&mut self, block: Block<ActorRef<ShardMessage>>) {
        match self.append(&block.batches) {
            Some(number) => tell(block, number),
            None => self.one_by_one(block),
        }
    }

    /// One of these steps can never be stored. The others must not wait for it; its shard fails, and nothing of it that is
    /// still on its way here may be stored without it.
    fn one_by_one(&mut self, block: Block<ActorRef<ShardMessage>>) {
        for alone in block.divided() {
            let whom: Vec<ActorRef<ShardMessage>> = alone.waiting.iter().map(|(_, whom)| whom.clone()).collect();
            if whom.iter().any(|whom| self.failed.contains(&whom.get_id())) {
                continue;
            }
            match self.append(&alone.batches) {
                Some(number) => tell(alone, number),
                None => {
                    for whom in whom {
                        self.failed.insert(whom.get_id());
                        whom.kill();
                    }
                }
            }
        }
    }

    /// Appends until it succeeds: what can't be stored now is stored later, and nothing is released before. `None`: it never
    /// can be stored.
    fn append(&mut self, batches: &[ShardBatch]) -> Option<u64> {
        if batches.is_empty() {
            return Some(*self.newest.borrow());
        }
        let mut pause = RETRY.0;
        let begun = Instant::now();
        loop {
            match self.journal.append(self.clock.now(), batches) {
                Ok(receipt) => {
                    self.status.set_degraded(None);
                    self.status.commits.add(1);
                    self.status.committed_bytes.add(batches.iter().map(|batch| batch.records.len() as u64).sum());
                    self.status.commit_micros.add(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
                    self.newest.send_replace(receipt.block);
                    return Some(receipt.block);
                }
                Err(error @ (JournalError::TooLong { .. } | JournalError::Refused { .. })) => {
                    tracing::error!(%error, "a step can't be stored");
                    return None;
                }
                Err(error) => self.hold(&error, &mut pause),
            }
        }
    }

    fn retain(&mut self) {
        self.retained = Some(Instant::now());
        if let Err(error) = self.journal.retain(self.clock.now()) {
            tracing::warn!(%error, "old segments can't be dropped");
        }
    }

    fn hold(&mut self, error: &JournalError, pause: &mut Duration) {
        if self.status.degraded().is_none() {
            tracing::error!(%error, "nothing can be committed; trying again");
        }
        self.status.set_degraded(Some(error.to_string()));
        if matches!(error, JournalError::Full) {
            // Dropping what is past its retention may make the room that is missing.
            self.retain();
        }
        std::thread::sleep(*pause);
        *pause = (*pause * 2).min(RETRY.1);
    }
}

/// What is there already or expected soon, as far as one block takes it.
fn gather(
    first: Commit,
    orders: &Receiver<Order>,
    expected: &Expected,
    next: &mut Option<Order>,
) -> Block<ActorRef<ShardMessage>> {
    let until = Instant::now() + GATHER_WAIT;
    let mut block = Block::default();
    block.add(first.0, first.1);
    while block.has_room() {
        match orders.try_recv() {
            Ok(Order::Commit(commit)) if block.takes(&commit.0) => block.add(commit.0, commit.1),
            Ok(other) => {
                *next = Some(other);
                break;
            }
            Err(_) if expected.wait(until) => {}
            Err(_) => break,
        }
    }
    block
}
