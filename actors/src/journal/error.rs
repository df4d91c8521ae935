//! What can go wrong with the journal.

use std::io;

use trinity_engine::ids::ShardId;

/// Why the journal can't do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Somebody else has it open.
    #[error("the journal at {place} is in use by another process")]
    InUse {
        /// Where it is.
        place: String,
    },
    /// No space is left. Nothing was stored; the same batches can be appended later.
    #[error("no space is left for the journal")]
    Full,
    /// Stored bytes were changed or are gone. Nothing of them is served.
    #[error("the journal is damaged in {segment} at byte {offset}: {cause}")]
    Damaged {
        /// The file.
        segment: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        cause: String,
    },
    /// A file was written by a newer release.
    #[error("{file} has version {version} of the format, which this release can't read")]
    Version {
        /// The file.
        file: String,
        /// Its version.
        version: u8,
    },
    /// The batches of one commit are longer than a block may be.
    #[error("a commit of {bytes} bytes is longer than a block may be ({bytes_max})")]
    TooLong {
        /// Their length.
        bytes: usize,
        /// The longest.
        bytes_max: usize,
    },
    /// A batch contradicts itself or what is stored. Nothing was stored.
    #[error("a batch of shard {shard} is refused: {cause}")]
    Refused {
        /// Whose batch.
        shard: ShardId,
        /// What is wrong with it.
        cause: String,
    },
    /// The disk failed in another way.
    #[error("the journal can't {doing}: {source}")]
    Disk {
        /// What was tried.
        doing: String,
        /// What the operating system says.
        source: io::Error,
    },
}

impl JournalError {
    pub(super) fn damaged(segment: &str, offset: u64, cause: impl ToString) -> JournalError {
        JournalError::Damaged { segment: segment.to_owned(), offset, cause: cause.to_string() }
    }

    /// An error of the disk; [`JournalError::Full`] when that is what it says.
    pub(super) fn disk(doing: impl Into<String>, source: io::Error) -> JournalError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => JournalError::Full,
            _ => JournalError::Disk { doing: doing.into(), source },
        }
    }
}
