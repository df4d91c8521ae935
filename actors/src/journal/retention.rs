//! Dropping what is old: whole segments, the oldest first, and none that is still needed.

use std::sync::Arc;
use std::time::Duration;

use trinity_engine::ids::{ExecutionId, ShardId};
use trinity_engine::time::Timestamp;

use super::Journal;
use super::error::JournalError;
use super::segment::segment_name;
use super::shared::Sealed;
use super::sidecar::index_name;
use super::summary::Summary;

/// What may be dropped; nothing by default. With both, what either allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Segments whose last block is older.
    pub age: Option<Duration>,
    /// The oldest segments, while all together are longer.
    pub bytes: Option<u64>,
}

/// What still needs a segment that could be dropped otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// This execution is live, and has records in it.
    Execution(ExecutionId),
    /// This shard has no stored snapshot that is newer.
    Shard(ShardId),
}

impl Journal {
    /// Drops the oldest segments as far as the options allow; answers how many. The owner calls it now and then. An
    /// execution is gone with the segment of its first record.
    ///
    /// # Errors
    /// When the disk fails. What was dropped before that stays dropped.
    pub fn retain(&mut self, now: Timestamp) -> Result<usize, JournalError> {
        let mut dropped = 0;
        self.held_back = None;
        while let Some(oldest) = self.due(now) {
            self.held_back = self.needs(&oldest.summary);
            if self.held_back.is_some() {
                break;
            }
            // Readers first: who looks from now on looks elsewhere. The segment before its index: an index without one is
            // removed when the journal is opened.
            Arc::make_mut(&mut self.shared.write().sealed).remove(0);
            let segment = oldest.summary.number;
            for name in [segment_name(segment), index_name(segment)] {
                let removed = self.shared.disk.remove(&name);
                removed.map_err(|error| JournalError::disk(format!("remove {name}"), error))?;
            }
            dropped += 1;
        }
        Ok(dropped)
    }

    /// Why the last [`Journal::retain`] kept a segment that the options would have let go.
    #[must_use]
    pub fn held_back(&self) -> Option<HeldBack> {
        self.held_back
    }

    /// The oldest full segment, if the options let it go.
    fn due(&self, now: Timestamp) -> Option<Arc<Sealed>> {
        let Retention { age, bytes } = self.retention;
        let total = self.reader().bytes();
        let oldest = self.shared.read().sealed.first().cloned()?;
        let spent = u128::from(now.micros_since(oldest.summary.times.1));
        let too_old = age.is_some_and(|age| spent > age.as_micros());
        let too_long = bytes.is_some_and(|bytes| total > bytes);
        (too_old || too_long).then_some(oldest)
    }

    fn needs(&self, summary: &Summary) -> Option<HeldBack> {
        if let Some(id) = self.shared.read().live.begun_before(summary.next) {
            return Some(HeldBack::Execution(id));
        }
        let snapshots = self.shared.snapshots();
        let newer = |(shard, last): &(&ShardId, &u64)| snapshots.get(*shard).is_some_and(|block| block >= *last);
        let shard = summary.last_batches.iter().find(|batch| !newer(batch));
        shard.map(|(&shard, _)| HeldBack::Shard(shard))
    }
}
