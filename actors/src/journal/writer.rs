//! Putting blocks into segment files, so that they are on the disk when that is said.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trinity_engine::time::Timestamp;

use super::disk::{Disk, DiskFile};
use super::error::JournalError;
use super::format::{MARK_BYTES, encode_mark};
use super::keeper::Keeper;
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, segment_name};
use super::{Durability, Options};

/// When so much waits for a sync, the append itself waits for it.
const UNSYNCED_BYTES_MAX: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct Writer {
    disk: Disk,
    seed: u64,
    segment_bytes: u64,
    durability: Durability,
    /// The segment that is written to; none at first, and after it failed.
    active: Option<Active>,
    /// The number of the next segment.
    next_segment: u64,
    unsynced: Arc<Unsynced>,
    /// The frames of blocks of which it is not known that they are on the disk, by number.
    frames: VecDeque<(u64, Vec<u8>)>,
}

#[derive(Debug)]
struct Active {
    /// Where the next block goes.
    at: u64,
    bytes: u64,
    name: String,
    file: Arc<DiskFile>,
    /// The segment after it is being prepared.
    next_asked: bool,
}

/// How far the active segment is on the disk. A failed sync is never repeated: what was to be written may be lost although
/// the second says otherwise.
#[derive(Debug)]
pub(super) struct Unsynced {
    /// The last block that was written.
    written: AtomicU64,
    /// The last block that is on the disk.
    synced: AtomicU64,
    failed: AtomicBool,
    /// One sync at a time, for its error is told only once.
    file: Mutex<Option<Arc<DiskFile>>>,
}

/// Where a block was put.
#[derive(Debug)]
pub(super) struct Written {
    pub offset: u64,
    /// The segment, when it is a new one.
    pub new_segment: Option<NewSegment>,
}

/// A segment that was begun.
#[derive(Debug)]
pub(super) struct NewSegment {
    pub number: u64,
    pub bytes: u64,
    /// The number of its first block.
    pub first: u64,
    /// Where its blocks are that were in the segment before, whose sync failed.
    pub moved: Vec<u64>,
}

/// The end of the last segment, as it was found.
#[derive(Debug)]
pub(super) struct Found {
    pub number: u64,
    pub file: DiskFile,
    pub at: u64,
    pub bytes: u64,
}

impl Unsynced {
    fn new(file: Option<Arc<DiskFile>>, last: u64) -> Unsynced {
        let (written, synced) = (AtomicU64::new(last), AtomicU64::new(last));
        Unsynced { written, synced, failed: AtomicBool::new(false), file: Mutex::new(file) }
    }

    /// Waits until all that was written is on the disk.
    pub fn sync(&self) -> Result<(), JournalError> {
        let file = self.lock();
        let written = self.written.load(Ordering::SeqCst);
        let result = match &*file {
            _ if self.failed.load(Ordering::SeqCst) => Err(std::io::Error::other("an earlier sync failed")),
            Some(file) if written > self.synced.load(Ordering::SeqCst) => file.sync(),
            _ => Ok(()),
        };
        match &result {
            Ok(()) => self.synced.store(written, Ordering::SeqCst),
            Err(_) => self.failed.store(true, Ordering::SeqCst),
        }
        result.map_err(|source| JournalError::Disk { doing: "sync a segment".to_owned(), source })
    }

    /// Whether something was written after the last sync.
    pub fn is_behind(&self) -> bool {
        self.written.load(Ordering::SeqCst) > self.synced.load(Ordering::SeqCst)
    }

    /// From now on this file is synced; all up to `last` is on the disk.
    fn begin(&self, new: Arc<DiskFile>, last: u64) {
        let mut file = self.lock();
        *file = Some(new);
        self.written.store(last, Ordering::SeqCst);
        self.synced.store(last, Ordering::SeqCst);
        self.failed.store(false, Ordering::SeqCst);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<DiskFile>>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Goes on behind what was found; the last block is number `last`.
    pub fn new(disk: Disk, seed: u64, options: &Options, found: Option<Found>, next_segment: u64, last: u64) -> Writer {
        let active = found.map(|found| Active {
            at: found.at,
            bytes: found.bytes,
            name: segment_name(found.number),
            file: Arc::new(found.file),
            next_asked: false,
        });
        let unsynced = Arc::new(Unsynced::new(active.as_ref().map(|active| active.file.clone()), last));
        let (segment_bytes, durability) = (options.segment_bytes, options.durability);
        Writer { disk, seed, segment_bytes, durability, active, next_segment, unsynced, frames: VecDeque::new() }
    }

    pub fn unsynced(&self) -> Arc<Unsynced> {
        self.unsynced.clone()
    }

    /// The last block that is known to be on the disk.
    pub fn synced(&self) -> u64 {
        self.unsynced.synced.load(Ordering::SeqCst)
    }

    /// After a failed sync: puts the blocks that it was for into a new segment. That one begins with the number of the
    /// first of them, so that what may be of them in the old one is never read.
    pub fn rescue(&mut self, keeper: &Keeper, now: Timestamp) -> Result<Option<NewSegment>, JournalError> {
        self.forget_synced();
        if !self.unsynced.failed.load(Ordering::SeqCst) {
            return Ok(None);
        }
        self.active = None;
        let Some(&(first, _)) = self.frames.front() else { return Ok(None) };
        let last = self.frames.back().map_or(first, |(number, _)| *number);
        tracing::error!(first, last, "a sync failed: these blocks go to a new segment");
        let mut at = SEGMENT_HEADER_BYTES as u64;
        let mut moved = Vec::new();
        let mut content = Vec::new();
        for (_, frame) in &self.frames {
            moved.push(at);
            at += frame.len() as u64;
            content.extend_from_slice(frame);
        }
        let (number, bytes) = self.begin_segment(keeper, first, last, now, &content)?;
        self.frames.clear();
        Ok(Some(NewSegment { number, bytes, first, moved }))
    }

    /// Puts a block behind the last one, or into a new segment when it has no room there.
    pub fn put(&mut self, keeper: &Keeper, block: u64, now: Timestamp, frame: &[u8]) -> Result<Written, JournalError> {
        let fits = |active: &&mut Active| active.at + (frame.len() + MARK_BYTES) as u64 <= active.bytes;
        if let Some(active) = self.active.as_mut().filter(fits) {
            match active.file.write(active.at, frame).map_err(|error| JournalError::disk("write a segment", error)) {
                // What was half written is written over: the place of the next block stays.
                Err(JournalError::Full) => return Err(JournalError::Full),
                written => match written.and_then(|()| self.settle(keeper, block, frame)) {
                    Ok(offset) => return Ok(Written { offset, new_segment: None }),
                    // Blocks before it wait for a sync of this segment: they must be rescued first.
                    Err(error) if !self.frames.is_empty() => {
                        self.unsynced.failed.store(true, Ordering::SeqCst);
                        return Err(error);
                    }
                    Err(error) => {
                        tracing::error!(%error, "left a segment");
                        self.active = None;
                    }
                },
            }
        }
        let (number, bytes) = self.begin_segment(keeper, block, block, now, frame)?;
        let new_segment = Some(NewSegment { number, bytes, first: block, moved: Vec::new() });
        Ok(Written { offset: SEGMENT_HEADER_BYTES as u64, new_segment })
    }

    /// Makes a block that was written durable, as far as that is wanted; answers its place.
    fn settle(&mut self, keeper: &Keeper, block: u64, frame: &[u8]) -> Result<u64, JournalError> {
        let was_clean = self.unsynced.written.swap(block, Ordering::SeqCst) == self.synced();
        match self.durability {
            Durability::Sync => self.unsynced.sync()?,
            Durability::Relaxed => {
                self.frames.push_back((block, frame.to_vec()));
                if was_clean {
                    keeper.sync_soon();
                }
            }
        }
        let active = self.active.as_mut().expect("it was written to");
        let offset = active.at;
        active.at += frame.len() as u64;
        if active.at > active.bytes / 2 && !active.next_asked {
            active.next_asked = true;
            keeper.prepare(self.next_segment, self.segment_bytes);
        }
        Ok(offset)
    }

    /// Waits until all that was appended is on the disk. When that fails, the next append rescues it.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        let synced = self.unsynced.sync();
        self.forget_synced();
        synced
    }

    /// Whether a block of this length needs that what was appended before is synced: it begins a segment, or too much waits.
    pub fn must_sync(&self, frame_bytes: usize) -> bool {
        let waiting: usize = self.frames.iter().map(|(_, frame)| frame.len()).sum();
        let room = self.active.as_ref().is_none_or(|a| a.at + (frame_bytes + MARK_BYTES) as u64 <= a.bytes);
        !self.frames.is_empty() && (!room || waiting > UNSYNCED_BYTES_MAX)
    }

    fn forget_synced(&mut self) {
        let synced = self.synced();
        while self.frames.front().is_some_and(|(number, _)| *number <= synced) {
            self.frames.pop_front();
        }
    }

    /// Says behind the last block that it is on the disk.
    pub fn close(&mut self, last: u64) {
        if let Err(error) = self.sync() {
            tracing::error!(%error, "what was appended last may be lost");
            return;
        }
        let Some(active) = self.active.take() else { return };
        let mark = encode_mark(self.seed, last);
        if let Err(error) = active.file.write(active.at, &mark).and_then(|()| active.file.sync()) {
            // Without it all is there as well; only a damaged last block would pass for a torn one.
            tracing::warn!(%error, segment = active.name, "closed the journal without a mark");
        }
    }

    /// Begins a segment with these frames of the blocks `first` to `last`; answers its number and length.
    fn begin_segment(
        &mut self,
        keeper: &Keeper,
        first: u64,
        last: u64,
        now: Timestamp,
        frames: &[u8],
    ) -> Result<(u64, u64), JournalError> {
        let number = self.next_segment;
        let name = segment_name(number);
        let needed = (SEGMENT_HEADER_BYTES + frames.len() + MARK_BYTES) as u64;
        let (file, bytes) = match keeper.take_prepared(number, needed) {
            Some(prepared) => (prepared.file, prepared.bytes),
            None => {
                let bytes = self.segment_bytes.max(needed);
                let created = self.disk.create(&name, bytes);
                (created.map_err(|error| JournalError::disk(format!("create {name}"), error))?, bytes)
            }
        };
        self.next_segment += 1;
        // Header and blocks in one write: a header alone says nothing.
        let header = SegmentHeader { seed: self.seed, number, first, created: now, earlier: false };
        let mut start = Vec::with_capacity(SEGMENT_HEADER_BYTES + frames.len());
        start.extend_from_slice(&header.encode());
        start.extend_from_slice(frames);
        if let Err(error) = file.write(0, &start).and_then(|()| file.sync()) {
            // If the file can't be removed, the next segment begins with the same block and hides this one.
            let _ = self.disk.remove(&name);
            return Err(JournalError::disk(format!("write {name}"), error));
        }
        let file = Arc::new(file);
        self.unsynced.begin(file.clone(), last);
        self.active = Some(Active { file, name, at: start.len() as u64, bytes, next_asked: false });
        Ok((number, bytes))
    }
}
