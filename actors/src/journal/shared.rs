//! What the writer and the readers of a journal share: where every visible block is.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use trinity_engine::ids::{ExecutionId, ShardId};

use super::disk::Disk;
use super::error::JournalError;
use super::format::Block;
use super::index::{Live, SegmentIndex};
use super::scan::read_segment;
use super::segment::segment_name;
use super::sidecar::{load_index, put_index};
use super::summary::Summary;

/// How many indexes of full segments are kept in memory.
const INDEXES_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Shared {
    pub disk: Disk,
    /// Seeds the checksums.
    pub seed: u64,
    state: RwLock<State>,
    /// The indexes of full segments that were used last, the newest use last.
    indexes: Mutex<Vec<(u64, Arc<SegmentIndex>)>>,
    /// Per shard the block of its newest stored snapshot.
    snapshots: Mutex<BTreeMap<ShardId, u64>>,
}

/// Changed only by the writer, and only to what is durable.
#[derive(Debug)]
pub(super) struct State {
    /// The full segments, oldest first.
    pub sealed: Arc<Vec<Arc<Sealed>>>,
    /// The one that is written to.
    pub active: Option<Active>,
    pub live: Live,
}

#[derive(Debug)]
pub(super) struct Active {
    pub number: u64,
    /// Bytes of its file.
    pub bytes: u64,
    pub index: SegmentIndex,
}

impl Active {
    pub fn summary(&self) -> Summary {
        Summary::of(self.number, self.bytes, &self.index)
    }
}

/// A full segment.
#[derive(Debug)]
pub(super) struct Sealed {
    pub summary: Summary,
    /// Its index, as long as that is not stored.
    unsaved: Mutex<Option<Arc<SegmentIndex>>>,
    /// Held by who reads the stored index, so that all who need it at once read it once.
    reading: Mutex<()>,
}

impl Sealed {
    /// One whose index is not stored.
    pub fn new(summary: Summary, index: SegmentIndex) -> Sealed {
        Sealed { summary, unsaved: Mutex::new(Some(Arc::new(index))), reading: Mutex::default() }
    }

    /// One whose index is stored.
    pub fn stored(summary: Summary) -> Sealed {
        Sealed { summary, unsaved: Mutex::default(), reading: Mutex::default() }
    }

    /// Stores the index, if it is not.
    pub fn save(&self, disk: &Disk, seed: u64) -> Result<(), JournalError> {
        let Some(index) = self.unsaved() else { return Ok(()) };
        put_index(disk, seed, &self.summary, &index)?;
        *self.unsaved.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn unsaved(&self) -> Option<Arc<SegmentIndex>> {
        self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Where a block is.
struct Location {
    segment: u64,
    offset: u64,
    bytes: u32,
}

impl State {
    /// The blocks with records of an execution that is live or has ended in the segment that is written to.
    pub fn known_blocks(&self, id: ExecutionId) -> Option<Vec<u64>> {
        let active = self.active.as_ref().map(|active| &active.index);
        let live = || self.live.get(id).map(|entry| entry.blocks.clone());
        let outlived = || Some(active?.outlived.get(&id)?.blocks.to_vec());
        let beginning = || Some(vec![active?.beginning(id)?]);
        live().or_else(outlived).or_else(beginning)
    }

    /// The number of the block after the last visible one.
    pub fn next(&self) -> u64 {
        let sealed = self.sealed.last().map(|sealed| sealed.summary.next);
        self.active.as_ref().map(|active| active.index.next()).or(sealed).unwrap_or(1)
    }

    /// The number of the first block.
    pub fn first(&self) -> u64 {
        let active = self.active.as_ref().map(|active| active.index.first);
        self.sealed.first().map(|sealed| sealed.summary.first).or(active).unwrap_or(1)
    }
}

impl Shared {
    pub fn new(disk: Disk, seed: u64, state: State) -> Shared {
        Shared { disk, seed, state: RwLock::new(state), indexes: Mutex::default(), snapshots: Mutex::default() }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Per shard the block of its newest stored snapshot.
    pub fn snapshots(&self) -> MutexGuard<'_, BTreeMap<ShardId, u64>> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of a full segment: from memory, from its file, or made anew from the blocks.
    pub fn index(&self, sealed: &Sealed) -> Result<Arc<SegmentIndex>, JournalError> {
        if let Some(index) = sealed.unsaved() {
            return Ok(index);
        }
        let number = sealed.summary.number;
        if let Some(index) = self.remembered(number) {
            return Ok(index);
        }
        let _reading = sealed.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = self.remembered(number) {
            return Ok(index);
        }
        let index = match load_index(&self.disk, self.seed, number) {
            Ok(index) => index,
            Err(error) => {
                tracing::warn!(%error, "reads all blocks for the index of a segment");
                self.rebuild(sealed)?
            }
        };
        let index = Arc::new(index);
        self.remember(number, index.clone());
        Ok(index)
    }

    /// Keeps an index that will be used.
    pub fn remember(&self, number: u64, index: Arc<SegmentIndex>) {
        let mut indexes = self.indexes();
        indexes.retain(|(of, _)| *of != number);
        if indexes.len() == INDEXES_MAX {
            indexes.remove(0);
        }
        indexes.push((number, index));
    }

    fn remembered(&self, number: u64) -> Option<Arc<SegmentIndex>> {
        let mut indexes = self.indexes();
        let at = indexes.iter().position(|(of, _)| *of == number)?;
        indexes[at..].rotate_left(1);
        indexes.last().map(|(_, index)| index.clone())
    }

    fn indexes(&self) -> MutexGuard<'_, Vec<(u64, Arc<SegmentIndex>)>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the index of a segment anew. Which blocks an execution has that ended in it is known only when all before it
    /// were read.
    fn rebuild(&self, sealed: &Sealed) -> Result<SegmentIndex, JournalError> {
        let (segments, mut live) = (self.read().sealed.clone(), Live::default());
        for segment in segments.iter() {
            let Summary { number, first, next, .. } = segment.summary;
            let (index, ..) = read_segment(&self.disk, self.seed, number, first, Some(next), &mut live)?;
            if number == sealed.summary.number {
                put_index(&self.disk, self.seed, &sealed.summary, &index)?;
                return Ok(index);
            }
        }
        Ok(SegmentIndex::new(sealed.summary.first))
    }

    fn locate(&self, number: u64) -> Result<Option<Location>, JournalError> {
        let state = self.read();
        if let Some(active) = &state.active
            && let Some(entry) = active.index.block(number)
        {
            return Ok(Some(Location { segment: active.number, offset: entry.offset, bytes: entry.bytes }));
        }
        let at = state.sealed.partition_point(|sealed| sealed.summary.next <= number);
        let sealed = state.sealed.get(at).filter(|sealed| sealed.summary.first <= number).cloned();
        drop(state);
        let Some(sealed) = sealed else { return Ok(None) };
        let index = self.index(&sealed)?;
        let location = |segment| index.block(number).map(|e| Location { segment, offset: e.offset, bytes: e.bytes });
        Ok(location(sealed.summary.number))
    }

    /// Reads the block with this number, verified; `None` when there is none, or no longer.
    pub fn with_block<R>(
        &self,
        number: u64,
        read: impl FnOnce(&Block<'_>) -> Result<R, String>,
    ) -> Result<Option<R>, JournalError> {
        let Some(Location { segment, offset, bytes }) = self.locate(number)? else { return Ok(None) };
        let name = segment_name(segment);
        let frame = match self.disk.read(&name, offset, bytes as usize) {
            Ok(frame) => frame,
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.read().first() > number => return Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
                return Err(JournalError::damaged(&name, offset, error));
            }
            Err(error) => return Err(JournalError::disk(format!("read {name}"), error)),
        };
        let damaged = |cause: String| JournalError::damaged(&name, offset, cause);
        let block = Block::decode(self.seed, &frame).map_err(|error| damaged(error.to_string()))?;
        if block.sequence != number {
            return Err(damaged(format!("block {} where {number} was", block.sequence)));
        }
        read(&block).map(Some).map_err(damaged)
    }
}
