//! What the committer had better wait for: shards that were sent something of which it has not heard yet.
//!
//! A block costs a write and a sync, and a wake-up for each shard in it, however little it holds. What clients or a source send at once
//! goes to many shards, whose steps end a few microseconds apart: one block for all of them costs a fraction of several.
//! So the committer waits as long as steps are on their way, but never long: who is alone does not wait at all.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Instant;

use trinity_engine::ids::ShardId;

/// The shards of a node from which a step is expected. It may be wrong for a moment: then a block holds less than it
/// might, or is a little later.
#[derive(Debug)]
pub(crate) struct Expected {
    shards: Vec<AtomicBool>,
    /// How many of them are, and how many hold.
    count: AtomicUsize,
    /// Whether the committer waits for the count to become zero.
    is_awaited: AtomicBool,
    committer: OnceLock<Thread>,
}

impl Expected {
    pub fn new(shards: u16) -> Expected {
        Expected {
            shards: (0..shards).map(|_| AtomicBool::new(false)).collect(),
            count: AtomicUsize::new(0),
            is_awaited: AtomicBool::new(false),
            committer: OnceLock::new(),
        }
    }

    /// A shard is sent something.
    pub fn announce(&self, shard: ShardId) {
        if !self.shards[usize::from(shard.0)].swap(true, Ordering::AcqRel) {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Nothing more is to be expected of a shard for now: its step is handed over, or it takes none.
    pub fn settle(&self, shard: ShardId) {
        if self.shards[usize::from(shard.0)].swap(false, Ordering::AcqRel) {
            self.release();
        }
    }

    /// More will be announced as long as this is held.
    pub fn hold(&self) -> Hold<'_> {
        self.count.fetch_add(1, Ordering::SeqCst);
        Hold(self)
    }

    fn release(&self) {
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1
            && self.is_awaited.load(Ordering::SeqCst)
            && let Some(committer) = self.committer.get()
        {
            committer.unpark();
        }
    }

    /// Waits on the committer's thread until nothing is expected, or until then. Whether it waited at all.
    pub fn wait(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || self.count.load(Ordering::SeqCst) == 0 {
            return false;
        }
        self.committer.get_or_init(std::thread::current);
        self.is_awaited.store(true, Ordering::SeqCst);
        // Without this it could have become zero before the line above, and nobody would wake us.
        if self.count.load(Ordering::SeqCst) > 0 {
            std::thread::park_timeout(left);
        }
        self.is_awaited.store(false, Ordering::SeqCst);
        true
    }
}

/// See [`Expected::hold`].
pub(crate) struct Hold<'a>(&'a Expected);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(100);

    #[test]
    fn who_is_alone_does_not_wait() {
        let expected = Expected::new(2);
        assert!(!expected.wait(Instant::now() + LONG));
        expected.announce(ShardId(1));
        expected.announce(ShardId(1));
        expected.settle(ShardId(1));
        expected.settle(ShardId(1));
        drop(expected.hold());
        assert!(!expected.wait(Instant::now() + LONG));
    }

    #[test]
    fn the_wait_ends_with_the_last_that_was_expected() {
        let expected = Arc::new(Expected::new(3));
        let hold = expected.hold();
        (0..3).map(ShardId).for_each(|shard| expected.announce(shard));
        drop(hold);
        let begun = Instant::now();
        let others = {
            let expected = expected.clone();
            std::thread::spawn(move || (0..3).map(ShardId).for_each(|shard| expected.settle(shard)))
        };
        while expected.wait(begun + LONG) {}
        assert!(begun.elapsed() < LONG);
        others.join().expect("ends");
    }

    #[test]
    fn the_wait_has_an_end() {
        let expected = Expected::new(1);
        expected.announce(ShardId(0));
        let until = Instant::now() + Duration::from_millis(5);
        while expected.wait(until) {}
        assert!(Instant::now() >= until);
    }
}
