//! What can go wrong with the files of the time series. Measuring itself can't fail.

use std::io;
use std::path::{Path, PathBuf};

use trinity_engine::wire::codec::CodecError;

/// Why the time series can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// The system refused.
    #[error("{} can't be {action}: {error}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What was tried: read, written…
        action: &'static str,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// Another process has it open.
    #[error("the time series in {} are in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Not ours, or of a later release.
    #[error("{} holds no time series of this version of trinity: move it away, or use the release that wrote it", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The bytes are not those that were written.
    #[error("{} is damaged at byte {at}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damaged block begins.
        at: u64,
    },
    /// A block with a right checksum can't be decoded.
    #[error("a block of the time series can't be decoded: {0}")]
    Block(#[from] CodecError),
}

impl AnalyticsError {
    pub(crate) fn file(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> AnalyticsError {
        move |error| AnalyticsError::File { path: path.to_owned(), action, error }
    }
}
