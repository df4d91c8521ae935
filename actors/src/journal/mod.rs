//! The journal: every commit of all shards is one block, appended once and never changed. `docs/journal.md` specifies it.
//!
//! [`Journal::open`] answers what the shards need to go on ([`Recovery`]); [`Journal::append`] makes their batches durable;
//! a [`Reader`] finds executions in the blocks meanwhile. All of it is synchronous.

mod disk;
mod error;
pub mod format;
mod index;
mod list;
mod memory;
mod notes;
mod open;
mod reader;
pub mod recovery;
mod segment;
mod shared;
mod snapshot;
mod summary;
mod writer;

#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use trinity_engine::ids::ShardId;
use trinity_engine::time::Timestamp;

pub use disk::Storage;
pub use error::JournalError;
pub use list::{ExecutionSummary, ListQuery, Page};
pub use memory::MemoryDisk;
pub use open::Recovery;
pub use reader::{EachRecord, Place, Reader, StoredExecution};

use disk::DiskLock;
use format::{BODY_BYTES_MAX, BlockEncoder, FormatError};
use index::SegmentIndex;
use notes::BlockNotes;
use shared::{Active, Sealed, Shared};
use snapshot::{Snapshot, put_snapshot};
use writer::{Writer, Written};

/// What one batch of one shard makes durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardBatch {
    /// Whose.
    pub shard: ShardId,
    /// Its records, as [`trinity_engine::wire::record`] frames them.
    pub records: Vec<u8>,
    /// The shard's whole state right after this batch, now and then: recovery goes on from it.
    pub snapshot: Option<Vec<u8>>,
}

/// Proof that a commit is on the disk and visible to readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt {
    /// The number of its block: 1 is the journal's first, and there are no gaps.
    pub block: u64,
}

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The length of a segment file; longer for a block that is longer.
    pub segment_bytes: u64,
    /// The random number of a new journal, which seeds its checksums; by default from the operating system.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        Options { segment_bytes: 64 << 20, seed: None }
    }
}

/// The journal, open to append to. There is only one at a time.
#[derive(Debug)]
pub struct Journal {
    _lock: DiskLock,
    shared: Arc<Shared>,
    writer: Writer,
    encoder: BlockEncoder,
    /// The number of the next block.
    next: u64,
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

    fn new(lock: DiskLock, shared: Arc<Shared>, writer: Writer, next: u64) -> Journal {
        let encoder = BlockEncoder::new(shared.seed);
        Journal { _lock: lock, shared, writer, encoder, next }
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
        let frame = self.encoder.encode(block, block - 1, now, batches).map_err(|error| match error {
            FormatError::TooLong { bytes } => JournalError::TooLong { bytes, bytes_max: BODY_BYTES_MAX },
            FormatError::Short | FormatError::Damaged { .. } => unreachable!("these are errors of reading"),
        })?;
        let frame_bytes = u32::try_from(frame.len()).expect("a block is far shorter than 4 GiB");
        let written = self.writer.put(block, now, frame)?;
        self.next += 1;
        self.show(written, frame_bytes, now, notes);
        for batch in batches {
            if let Some(state) = &batch.snapshot {
                self.keep(Snapshot { shard: batch.shard, block, state: state.clone() });
            }
        }
        Ok(Receipt { block })
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

    /// Makes a block visible to readers.
    fn show(&self, written: Written, frame_bytes: u32, now: Timestamp, notes: BlockNotes) {
        let mut guard = self.shared.write();
        let state = &mut *guard;
        if let Some((number, bytes)) = written.new_segment {
            let fresh = Active { number, bytes, index: SegmentIndex::new(self.next - 1) };
            if let Some(full) = state.active.replace(fresh).filter(|full| !full.index.blocks.is_empty()) {
                Arc::make_mut(&mut state.sealed).push(Arc::new(Sealed::new(full.number, full.bytes, full.index)));
            }
        }
        let active = state.active.as_mut().expect("a block was put into it");
        active.index.add(&mut state.live, written.offset, frame_bytes, now, notes);
    }

    /// Stores a snapshot. Without it recovery only takes longer, so that it can't be stored is no error of the commit.
    fn keep(&self, snapshot: Snapshot) {
        if let Err(error) = put_snapshot(&self.shared.disk, self.shared.seed, &snapshot) {
            tracing::warn!(%error, shard = snapshot.shard.0, "could not store a snapshot");
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.writer.put_mark(self.next - 1);
    }
}
