//! What is kept in memory of a segment that is full: enough to know whether it has to be looked at.

use std::collections::BTreeMap;

use trinity_engine::ids::{ExecutionId, ShardId};
use trinity_engine::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::index::SegmentIndex;
use super::notes::Group;

/// The lowest and highest number of the executions of a shard that begin in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShardRange {
    pub shard: ShardId,
    pub low: u64,
    pub high: u64,
}

/// A full segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// The segment's number.
    pub number: u64,
    /// The number of its first block.
    pub first: u64,
    /// The number of the block after its last one.
    pub next: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// The times of its earliest and latest block.
    pub times: (Timestamp, Timestamp),
    /// The number of the last block with a batch of each shard.
    pub last_batches: BTreeMap<ShardId, u64>,
    /// Who begins in it.
    pub shards: Vec<ShardRange>,
    /// Who begins and ends in one of its blocks.
    pub short: Group,
    /// Who ended in it and had begun in an earlier block.
    pub outlived: Group,
    /// The ids of these.
    pub filter: IdFilter,
}

impl Summary {
    pub fn of(number: u64, bytes: u64, index: &SegmentIndex) -> Summary {
        let times = index.blocks.iter().map(|block| block.time);
        let (mut shards, mut short, mut outlived) = (Vec::new(), Group::default(), Group::default());
        for block in &index.blocks {
            short.merge(&block.short);
            for run in &block.runs {
                widen(&mut shards, run.shard, run.first, run.first + run.count - 1);
            }
        }
        let mut filter = IdFilter::new(index.outlived.len());
        for (&id, entry) in &index.outlived {
            outlived.add(id, entry.definition, entry.phase);
            filter.insert(id);
        }
        short.settle();
        outlived.settle();
        Summary {
            number,
            first: index.first,
            next: index.next(),
            bytes,
            times: (times.clone().min().unwrap_or_default(), times.max().unwrap_or_default()),
            last_batches: index.last_batches.clone(),
            shards,
            short,
            outlived,
            filter,
        }
    }

    /// Whether the execution may begin in it.
    pub fn may_begin(&self, id: ExecutionId) -> bool {
        let range = self.shards.binary_search_by_key(&id.shard(), |range| range.shard);
        range.is_ok_and(|at| (self.shards[at].low..=self.shards[at].high).contains(&id.sequence()))
    }
}

fn widen(shards: &mut Vec<ShardRange>, shard: ShardId, low: u64, high: u64) {
    match shards.binary_search_by_key(&shard, |range| range.shard) {
        Ok(at) => {
            shards[at].low = shards[at].low.min(low);
            shards[at].high = shards[at].high.max(high);
        }
        Err(at) => shards.insert(at, ShardRange { shard, low, high }),
    }
}

const BITS_PER_ID: usize = 10;
const PROBES: u32 = 4;

/// Tells of most ids that they are not in a set (a Bloom filter: about 12 in 1,000 others pass as well).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdFilter {
    pub words: Vec<u64>,
}

impl IdFilter {
    /// For so many ids.
    pub fn new(ids: usize) -> IdFilter {
        IdFilter { words: vec![0; (ids * BITS_PER_ID).div_ceil(64)] }
    }

    fn insert(&mut self, id: ExecutionId) {
        for bit in self.bits(id) {
            self.words[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// `false` when it was certainly not inserted.
    pub fn may_contain(&self, id: ExecutionId) -> bool {
        !self.words.is_empty() && self.bits(id).all(|bit| self.words[bit / 64] & 1 << (bit % 64) != 0)
    }

    fn bits(&self, id: ExecutionId) -> impl Iterator<Item = usize> + use<> {
        let (hash, bits) = (xxh3_64(&id.as_u128().to_le_bytes()), self.words.len() as u64 * 64);
        let (start, stride) = (hash, hash.rotate_left(32) | 1);
        (0..PROBES).map(move |probe| (start.wrapping_add(u64::from(probe).wrapping_mul(stride)) % bits) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_knows_what_was_inserted_and_little_else() {
        let id = |number| ExecutionId::new(Timestamp::from_millis(1_795_000_000_000), ShardId(3), number);
        let mut filter = IdFilter::new(1_000);
        (0..1_000).for_each(|number| filter.insert(id(number)));
        assert!((0..1_000).all(|number| filter.may_contain(id(number))));
        let wrong = (1_000..11_000).filter(|&number| filter.may_contain(id(number))).count();
        assert!(wrong < 300, "{wrong} of 10,000 others pass");
        assert!(!IdFilter::new(0).may_contain(id(1)));
    }
}
