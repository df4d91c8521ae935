//! What the writer and the readers of a journal share: where every visible block is.

use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::disk::Disk;
use super::error::JournalError;
use super::format::Block;
use super::index::{Live, SegmentIndex};
use super::segment::segment_name;
use super::summary::Summary;

#[derive(Debug)]
pub(super) struct Shared {
    pub disk: Disk,
    /// Seeds the checksums.
    pub seed: u64,
    state: RwLock<State>,
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

/// A full segment.
#[derive(Debug)]
pub(super) struct Sealed {
    pub summary: Summary,
    index: Arc<SegmentIndex>,
}

impl Sealed {
    pub fn new(number: u64, bytes: u64, index: SegmentIndex) -> Sealed {
        Sealed { summary: Summary::of(number, bytes, &index), index: Arc::new(index) }
    }
}

/// Where a block is.
struct Location {
    segment: u64,
    offset: u64,
    bytes: u32,
}

impl State {
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
        Shared { disk, seed, state: RwLock::new(state) }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of a full segment.
    pub fn index(&self, sealed: &Sealed) -> Result<Arc<SegmentIndex>, JournalError> {
        Ok(sealed.index.clone())
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
