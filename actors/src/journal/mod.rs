//! The journal: every commit of all shards is one block, appended once and never changed.

pub mod format;
pub mod recovery;

#[cfg(test)]
mod format_tests;

use trinity_engine::ids::ShardId;

/// What one batch of one shard makes durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardBatch {
    /// Whose.
    pub shard: ShardId,
    /// Its records, as [`trinity_engine::wire::record`] frames them.
    pub records: Vec<u8>,
}
