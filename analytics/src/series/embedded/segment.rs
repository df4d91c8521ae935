//! One file of blocks of one resolution: appended to, never changed, deleted whole.
//!
//! An eight-byte mark, then frames: the block's length (4 bytes), its xxh3-64 (8 bytes), the block; little-endian.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use trinity_engine::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::AnalyticsError;
use crate::window::Resolution;
use crate::wire::{self, Header};

const MARK: &[u8; 8] = b"TRISER\x01\n";
const FRAME_LEN: usize = 12;
const EXTENSION: &str = "series";

/// A frame found in a file.
pub struct Found {
    pub header: Header,
    pub checksum: u64,
    /// Where the block begins, behind its frame.
    pub at: u64,
    pub length: u32,
}

/// An open file.
pub struct Segment {
    pub number: u64,
    path: PathBuf,
    file: File,
    /// Up to here it is whole; the next frame goes here.
    pub length: u64,
    /// The end of the latest window in it.
    pub end: Timestamp,
    unsynced: bool,
}

/// The number in a file's name, when it is a segment of this resolution.
pub fn number_in(name: &str, resolution: Resolution) -> Option<u64> {
    let stem = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    stem.strip_prefix(resolution.name())?.strip_prefix('-')?.parse().ok()
}

fn path_of(dir: &Path, resolution: Resolution, number: u64) -> PathBuf {
    dir.join(format!("{}-{number:08}.{EXTENSION}", resolution.name()))
}

impl Segment {
    /// A new, empty one.
    pub fn create(dir: &Path, resolution: Resolution, number: u64) -> Result<Segment, AnalyticsError> {
        let path = path_of(dir, resolution, number);
        let create = || -> io::Result<File> {
            // One that could not even be begun, by an earlier try, is begun again: no other process writes here.
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
            file.write_all_at(MARK, 0)?;
            file.sync_data()?;
            File::open(dir)?.sync_all()?;
            Ok(file)
        };
        let file = create().map_err(AnalyticsError::file(&path, "created"))?;
        Ok(Segment { number, path, file, length: MARK.len() as u64, end: Timestamp(0), unsynced: false })
    }

    /// An existing one, and its blocks in the order of their writing, up to the first that is torn or damaged.
    pub fn open(dir: &Path, resolution: Resolution, number: u64) -> Result<(Segment, Vec<Found>), AnalyticsError> {
        let path = path_of(dir, resolution, number);
        let file = OpenOptions::new().read(true).write(true).open(&path);
        let file = file.map_err(AnalyticsError::file(&path, "opened"))?;
        let bytes = std::fs::read(&path).map_err(AnalyticsError::file(&path, "read"))?;
        if !bytes.starts_with(MARK) && !MARK.starts_with(&bytes) {
            return Err(AnalyticsError::Foreign { path });
        }
        let mut segment = Segment { number, path, file, length: MARK.len() as u64, end: Timestamp(0), unsynced: false };
        let mut found = Vec::new();
        while let Some(block) = bytes.get(segment.length as usize..).and_then(next_block) {
            let at = segment.length + FRAME_LEN as u64;
            let header = match wire::decode_header(block) {
                Ok(header) => header,
                // The checksum is right: whoever wrote it is newer than we are.
                Err(_) => return Err(AnalyticsError::Foreign { path: segment.path }),
            };
            found.push(Found { header, checksum: xxh3_64(block), at, length: block.len() as u32 });
            segment.end = segment.end.max(resolution.end(header.start));
            segment.length = at + block.len() as u64;
        }
        Ok((segment, found))
    }

    /// Whether the file ends with its last whole block.
    pub fn is_whole(&self) -> Result<bool, AnalyticsError> {
        let metadata = self.file.metadata().map_err(AnalyticsError::file(&self.path, "read"))?;
        Ok(metadata.len() == self.length)
    }

    /// Cuts off what is torn, and completes the mark when that is: more can be appended then.
    pub fn repair(&self) -> Result<(), AnalyticsError> {
        let cut = || self.file.write_all_at(MARK, 0).and_then(|()| self.file.set_len(self.length));
        cut().map_err(AnalyticsError::file(&self.path, "repaired"))
    }

    /// Appends a block whose window ends at `end`; tells where it begins. When it fails, the file is as before.
    pub fn append(&mut self, block: &[u8], checksum: u64, end: Timestamp) -> Result<u64, AnalyticsError> {
        let mut frame = Vec::with_capacity(FRAME_LEN + block.len());
        frame.extend_from_slice(&(block.len() as u32).to_le_bytes());
        frame.extend_from_slice(&checksum.to_le_bytes());
        frame.extend_from_slice(block);
        if let Err(error) = self.file.write_all_at(&frame, self.length) {
            // What a later frame does not overwrite is torn, and found so: it may stay when it can't be cut off either.
            let _ = self.file.set_len(self.length);
            return Err(AnalyticsError::file(&self.path, "written")(error));
        }
        let at = self.length + FRAME_LEN as u64;
        self.length += frame.len() as u64;
        self.end = self.end.max(end);
        self.unsynced = true;
        Ok(at)
    }

    /// A block's bytes, checked.
    pub fn read(&self, at: u64, length: u32, checksum: u64) -> Result<Vec<u8>, AnalyticsError> {
        let mut block = vec![0; length as usize];
        self.file.read_exact_at(&mut block, at).map_err(AnalyticsError::file(&self.path, "read"))?;
        if xxh3_64(&block) != checksum {
            return Err(AnalyticsError::Damaged { path: self.path.clone(), at });
        }
        Ok(block)
    }

    /// Waits until what was appended is on disk.
    pub fn sync(&mut self) -> Result<(), AnalyticsError> {
        if self.unsynced {
            self.file.sync_data().map_err(AnalyticsError::file(&self.path, "synced"))?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Deletes the file.
    pub fn delete(&self) -> Result<(), AnalyticsError> {
        std::fs::remove_file(&self.path).map_err(AnalyticsError::file(&self.path, "deleted"))
    }
}

/// The block of the frame at the start of `bytes`, if it is whole.
fn next_block(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let block = rest.get(..u32::from_le_bytes(*length) as usize)?;
    (xxh3_64(block) == u64::from_le_bytes(*checksum)).then_some(block)
}
