//! Bringing the shards back from the journal: each from its snapshot and the records after it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use trinity_engine::ids::ShardId;
use trinity_engine::shard::{Catalog, Settings, Shard};

use crate::journal::Recovery;
use crate::node::StartError;

/// Batches of records that may wait for a worker: the journal is read ahead of them, and never far.
const BATCHES_WAITING: usize = 4;

/// What shards begin with.
#[derive(Clone, Copy)]
pub(crate) struct Beginning<'a> {
    pub recovery: &'a Recovery,
    pub settings: &'a Settings,
    pub catalog: &'a Arc<Catalog>,
}

impl Beginning<'_> {
    /// A shard as of its snapshot.
    fn begin(&self, id: ShardId) -> Result<Shard, StartError> {
        let (settings, catalog) = (self.settings.clone(), self.catalog.clone());
        Ok(match self.recovery.snapshot(id)? {
            Some(bytes) => Shard::from_snapshot(id, settings, catalog, &bytes)?,
            None => Shard::new(id, settings, catalog),
        })
    }

    /// A shard as of the last commit.
    pub fn one(&self, id: ShardId) -> Result<Shard, StartError> {
        let mut shard = self.begin(id)?;
        self.recovery.replay(|other, records: &[u8]| -> Result<(), StartError> {
            if other == id { Ok(shard.replay(records)?) } else { Ok(()) }
        })?;
        Ok(shard)
    }

    /// All shards as of the last commit. One thread reads the journal, so many workers fold its records.
    pub fn all(&self, count: u16, workers: usize) -> Result<Vec<Shard>, StartError> {
        let mut shards = std::thread::scope(|scope| {
            let (mut lanes, mut running) = (Vec::new(), Vec::new());
            for worker in 0..workers {
                let (lane, batches) = sync_channel(BATCHES_WAITING);
                lanes.push(lane);
                let ids = (0..count).map(ShardId).skip(worker).step_by(workers);
                running.push(scope.spawn(move || self.some(ids, workers, &batches)));
            }
            let replayed = self.recovery.replay(|id: ShardId, records: &[u8]| -> Result<(), StartError> {
                if id.0 >= count {
                    return Err(StartError::OtherShards { stored: id.0 + 1, wanted: count });
                }
                // One that failed is gone; it says below why.
                let _ = lanes[usize::from(id.0) % workers].send((id, records.to_vec()));
                Ok(())
            });
            drop(lanes);
            let mut shards = Vec::with_capacity(usize::from(count));
            for worker in running {
                shards.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            replayed.map(|()| shards)
        })?;
        shards.sort_by_key(Shard::id);
        Ok(shards)
    }

    /// The shards of one worker: one of every so many.
    fn some(
        &self,
        ids: impl Iterator<Item = ShardId>,
        every: usize,
        batches: &Receiver<(ShardId, Vec<u8>)>,
    ) -> Result<Vec<Shard>, StartError> {
        let mut shards = ids.map(|id| self.begin(id)).collect::<Result<Vec<_>, _>>()?;
        for (id, records) in batches {
            shards[usize::from(id.0) / every].replay(&records)?;
        }
        Ok(shards)
    }

    /// As [`Beginning::all`], on this thread alone.
    pub fn all_here(&self, count: u16) -> Result<Vec<Shard>, StartError> {
        let mut shards = (0..count).map(|id| self.begin(ShardId(id))).collect::<Result<Vec<_>, _>>()?;
        self.recovery.replay(|id: ShardId, records: &[u8]| -> Result<(), StartError> {
            let found = shards.get_mut(usize::from(id.0));
            let shard = found.ok_or(StartError::OtherShards { stored: id.0 + 1, wanted: count })?;
            Ok(shard.replay(records)?)
        })?;
        Ok(shards)
    }
}
