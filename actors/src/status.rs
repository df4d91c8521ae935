//! What a node says of itself: counters that any part may raise, and whether it can work.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use trinity_engine::ids::ShardId;

/// A number that is raised here and there and read now and then.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Raises it.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Sets it.
    pub fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }

    /// What it is.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The state of one shard.
#[derive(Debug, Default)]
pub struct ShardStatus {
    /// Executions that live.
    pub live: Counter,
    /// Inputs that wait for a step.
    pub queued: Counter,
    /// Messages to shards and events for sinks that have not arrived.
    pub outbox: Counter,
    /// What the events among them take in memory, in bytes.
    pub publications_bytes: Counter,
    /// Outside calls that run or wait for their turn.
    pub calls: Counter,
    /// How often the shard was restarted.
    pub restarts: Counter,
    /// Whether it takes inputs.
    pub open: AtomicBool,
}

/// The state of a node.
#[derive(Debug)]
pub struct NodeStatus {
    /// Events that were repetitions.
    pub duplicates: Counter,
    /// Events taken, repetitions included.
    pub events: Counter,
    /// Blocks appended to the journal.
    pub commits: Counter,
    /// Bytes of records in them.
    pub committed_bytes: Counter,
    /// Time spent appending, in microseconds.
    pub commit_micros: Counter,
    /// Executions faulted because a step of them panicked.
    pub panics: Counter,
    /// Live executions that were found without what should move them.
    pub lost_wakeups: Counter,
    /// By shard.
    pub shards: Vec<ShardStatus>,
    /// Above so many bytes of events that wait for sinks nothing is admitted.
    pub publications_max: u64,
    draining: AtomicBool,
    degraded: Mutex<Option<String>>,
}

impl NodeStatus {
    pub(crate) fn new(shards: u16, publications_max: u64) -> NodeStatus {
        NodeStatus {
            duplicates: Counter::default(),
            events: Counter::default(),
            commits: Counter::default(),
            committed_bytes: Counter::default(),
            commit_micros: Counter::default(),
            panics: Counter::default(),
            lost_wakeups: Counter::default(),
            shards: (0..shards).map(|_| ShardStatus::default()).collect(),
            publications_max,
            draining: AtomicBool::new(false),
            degraded: Mutex::new(None),
        }
    }

    /// Whether it takes new work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.is_draining() && self.unable().is_none() && self.shards.iter().all(|s| s.open.load(Ordering::Relaxed))
    }

    /// Whether it is on its way down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Why nothing can be committed at the moment.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        self.degraded.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Why nothing new is taken at the moment: nothing can be committed, or sinks are too far behind.
    #[must_use]
    pub fn unable(&self) -> Option<String> {
        self.degraded().or_else(|| {
            self.is_behind().then(|| {
                let (bytes, max) = (self.publications_bytes(), self.publications_max);
                format!("{bytes} bytes of events wait for sinks, and at most {max} may (engine.outbox_max)")
            })
        })
    }

    /// What the events that wait for sinks take in memory, in bytes.
    #[must_use]
    pub fn publications_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.publications_bytes.get()).sum()
    }

    /// Whether sinks are so far behind that nothing may start.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.publications_bytes() > self.publications_max
    }

    /// Executions that live on all shards.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.shards.iter().map(|shard| shard.live.get()).sum()
    }

    /// Outside calls of all shards that run or wait for their turn.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.shards.iter().map(|shard| shard.calls.get()).sum()
    }

    pub(crate) fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_degraded(&self, reason: Option<String>) {
        *self.degraded.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = reason;
    }

    pub(crate) fn shard(&self, id: ShardId) -> &ShardStatus {
        &self.shards[usize::from(id.0)]
    }
}
