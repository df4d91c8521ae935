//! The journal: every commit of all shards is one block, appended once and never changed. `docs/journal.md` specifies it.
//!
//! [`Journal::open`] answers what the shards need to go on ([`Recovery`]); [`Journal::append`] makes their batches durable;
//! a [`Reader`] finds executions in the blocks meanwhile. All of it is synchronous.

mod disk;
mod error;
pub mod format;
mod index;
mod keeper;
mod list;
mod memory;
mod notes;
mod open;
mod reader;
pub mod recovery;
mod retention;
mod scan;
mod segment;
mod shared;
mod sidecar;
mod snapshot;
mod summary;
mod writer;

#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use trinity_engine::ids::ShardId;
use trinity_engine::shard::ShardSnapshot;
use trinity_engine::time::Timestamp;

pub use disk::Storage;
pub use error::JournalError;
pub use list::{ExecutionSummary, ListQuery, Page};
pub use memory::MemoryDisk;
pub use open::Recovery;
pub use reader::{EachRecord, Place, Reader, StoredExecution};
pub use retention::{HeldBack, Retention};

use disk::DiskLock;
use format::{BODY_BYTES_MAX, BlockEncoder, FormatError};
use index::SegmentIndex;
use keeper::Keeper;
use notes::BlockNotes;
use shared::{Active, Sealed, Shared, State};
use snapshot::Snapshot;
use writer::{NewSegment, Writer, Written};

/// What one batch of one shard makes durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardBatch {
    /// Whose.
    pub shard: ShardId,
    /// Its records, as [`trinity_engine::wire::record`] frames them.
    pub records: Vec<u8>,
    /// The shard's whole state right after this batch, now and then: recovery goes on from it.
    pub snapshot: Option<ShardSnapshot>,
}

/// Proof that a commit is on the disk and visible to readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt {
    /// The number of its block: 1 is the journal's first, and there are no gaps.
    pub block: u64,
}

/// When a commit counts as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the disk: every commit is synced.
    #[default]
    Sync,
    /// When the operating system has it: within 100 ms it is synced. A crash of the process loses nothing, a loss of power
    /// what came after the last sync. In memory only [`Journal::sync`] syncs.
    Relaxed,
}

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// When a commit counts as stored.
    pub durability: Durability,
    /// The length of a segment file; longer for a block that is longer.
    pub segment_bytes: u64,
    /// What [`Journal::retain`] may drop.
    pub retention: Retention,
    /// The random number of a new journal, which seeds its checksums; by default from the operating system.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            durability: Durability::default(),
            segment_bytes: 64 << 20,
            retention: Retention::default(),
            seed: None,
        }
    }
}

/// The journal, open to append to. There is only one at a time.
#[derive(Debug)]
pub struct Journal {
    encoder: BlockEncoder,
    shared: Arc<Shared>,
    writer: Writer,
    keeper: Keeper,
    /// The number of the next block.
    next: u64,
    retention: Retention,
    held_back: Option<HeldBack>,
    /// The last field: it ends when all else is done.
    _lock: DiskLock,
}

impl Journal {
    /// Opens the journal, or makes a new one.
    ///
    /// # Errors
    /// [`JournalError::InUse`] when somebody else has it open, [`JournalError::Damaged`] when stored bytes were changed, or
    /// when the disk fails.
    pub fn open(storage: Storage, options: Options) -> Result<(Journal, Recovery), JournalError> {
        open::open(storage, options)
    }

    /// Something to read it with, from any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { shared: self.shared.clone() }
    }

    /// Stores the batches of one commit as one block. When it returns, they are on the disk and visible to readers; after
    /// an error nothing of them is.
    ///
    /// # Errors
    /// [`JournalError::Full`] when no space is left: the same batches can be appended again later.
    /// [`JournalError::TooLong`] or [`JournalError::Refused`] when these batches never can. Others when the disk fails.
    pub fn append(&mut self, now: Timestamp, batches: &[ShardBatch]) -> Result<Receipt, JournalError> {
        let notes = self.check(batches)?;
        let block = self.next;
        let frame = self.encoder.encode(block, self.writer.synced(), now, batches).map_err(|error| match error {
            FormatError::TooLong { bytes } => JournalError::TooLong { bytes, bytes_max: BODY_BYTES_MAX },
            FormatError::Short | FormatError::Damaged { .. } => unreachable!("these are errors of reading"),
        })?;
        let frame_bytes = u32::try_from(frame.len()).expect("a block is far shorter than 4 GiB");
        if self.writer.must_sync(frame.len()) {
            // If that fails, the next line does what can be done.
            let _ = self.writer.sync();
        }
        if let Some(new) = self.writer.rescue(&self.keeper, now)? {
            begin_segment(&self.shared, &self.keeper, new);
        }
        let Written { offset, new_segment } = self.writer.put(&self.keeper, block, now, frame)?;
        self.next += 1;
        if let Some(new) = new_segment {
            begin_segment(&self.shared, &self.keeper, new);
        }
        let mut state = self.shared.write();
        let State { active, live, .. } = &mut *state;
        let active = active.as_mut().expect("a block was put into it");
        active.index.add(live, offset, frame_bytes, now, notes);
        drop(state);
        for batch in batches {
            if let Some(state) = &batch.snapshot {
                self.keeper.store(Snapshot { shard: batch.shard, block, state: state.clone() });
            }
        }
        Ok(Receipt { block })
    }

    /// Waits until all that was appended is on the disk: of use with [`Durability::Relaxed`].
    ///
    /// # Errors
    /// When the disk fails; the next append then stores again what was not synced.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.writer.sync()
    }

    /// Waits until the snapshots that were appended, and whatever else is done in the background, are stored.
    pub fn settle(&self) {
        self.keeper.settle();
    }

    /// Reads what is to be appended, and refuses what does not follow from what is stored.
    fn check(&self, batches: &[ShardBatch]) -> Result<BlockNotes, JournalError> {
        let mut notes = BlockNotes::default();
        for (at, batch) in batches.iter().enumerate() {
            let refused = |cause: String| JournalError::Refused { shard: batch.shard, cause };
            notes.read(batch.shard, &batch.records).map_err(|error| refused(error.to_string()))?;
            if batch.snapshot.is_some() && batches[at + 1..].iter().any(|later| later.shard == batch.shard) {
                return Err(refused("a snapshot comes with the last batch of its shard in a commit".to_owned()));
            }
        }
        let state = self.shared.read();
        match notes.long.iter().find(|(id, note)| note.begins == state.live.get(**id).is_some()) {
            None => Ok(notes),
            Some((id, note)) => {
                let what = if note.begins { "begins, and is live already" } else { "goes on, and is not live" };
                Err(JournalError::Refused { shard: id.shard(), cause: format!("execution {id} {what}") })
            }
        }
    }
}

/// Makes a new segment known: the one before it is full.
fn begin_segment(shared: &Shared, keeper: &Keeper, new: NewSegment) {
    let NewSegment { number, bytes, first, moved } = new;
    let mut index = SegmentIndex::new(first);
    // Nobody else changes it, so readers need not wait while it is summed up.
    let whole = |full: &&Active| full.index.next() == first;
    let summary = shared.read().active.as_ref().filter(whole).map(Active::summary);
    let mut state = shared.write();
    let mut full = state.active.take();
    if let Some(full) = full.as_mut().filter(|full| first < full.index.next()) {
        index = full.index.split_off(first, &moved);
    }
    let full = full.filter(|full| !full.index.blocks.is_empty());
    let sealed = full.map(|full| Arc::new(Sealed::new(summary.unwrap_or_else(|| full.summary()), full.index)));
    Arc::make_mut(&mut state.sealed).extend(sealed.clone());
    state.active = Some(Active { number, bytes, index });
    drop(state);
    sealed.into_iter().for_each(|sealed| keeper.save(sealed));
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.writer.close(self.next - 1);
    }
}
