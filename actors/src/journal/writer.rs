//! Putting blocks into segment files, so that they are on the disk when that is said.

use trinity_engine::time::Timestamp;

use super::disk::{Disk, DiskFile};
use super::error::JournalError;
use super::format::{MARK_BYTES, encode_mark};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, segment_name};

#[derive(Debug)]
pub(super) struct Writer {
    pub disk: Disk,
    pub seed: u64,
    pub segment_bytes: u64,
    /// The segment that is written to; none at first, and after it failed.
    pub active: Option<ActiveFile>,
    /// The number of the next segment.
    pub next_segment: u64,
}

#[derive(Debug)]
pub(super) struct ActiveFile {
    pub file: DiskFile,
    pub number: u64,
    /// Where the next block goes.
    pub at: u64,
    pub bytes: u64,
}

/// Where a block was put.
#[derive(Debug)]
pub(super) struct Written {
    pub offset: u64,
    /// The number and length of the segment, when it is a new one.
    pub new_segment: Option<(u64, u64)>,
}

impl Writer {
    /// Puts a block behind the last one, or into a new segment when it has no room there.
    pub fn put(&mut self, block: u64, now: Timestamp, frame: &[u8]) -> Result<Written, JournalError> {
        if let Some(active) = &mut self.active
            && active.at + (frame.len() + MARK_BYTES) as u64 <= active.bytes
        {
            let name = segment_name(active.number);
            match active
                .file
                .write(active.at, frame)
                .map_err(|error| JournalError::disk(format!("write {name}"), error))
            {
                // What was half written is written over: the place of the next block stays.
                Err(JournalError::Full) => return Err(JournalError::Full),
                written => match written.and_then(|()| sync(&active.file, &name)) {
                    Ok(()) => {
                        let offset = active.at;
                        active.at += frame.len() as u64;
                        return Ok(Written { offset, new_segment: None });
                    }
                    // After a failed sync nobody knows what of the file is on the disk, and a second one would not tell:
                    // the block goes to a new segment, which begins with its number, so that what may be of it here is not read.
                    Err(error) => {
                        tracing::error!(%error, "left a segment");
                        self.active = None;
                    }
                },
            }
        }
        self.put_into_new(block, now, frame)
    }

    /// Says behind the last block that it is on the disk.
    pub fn put_mark(&mut self, last: u64) {
        let Some(active) = self.active.take() else { return };
        let mark = encode_mark(self.seed, last);
        if let Err(error) = active.file.write(active.at, &mark).and_then(|()| active.file.sync()) {
            // Without it all is there as well; only a damaged last block would pass for a torn one.
            tracing::warn!(%error, "closed the journal without a mark");
        }
    }

    fn put_into_new(&mut self, block: u64, now: Timestamp, frame: &[u8]) -> Result<Written, JournalError> {
        let number = self.next_segment;
        let name = segment_name(number);
        let bytes = self.segment_bytes.max((SEGMENT_HEADER_BYTES + frame.len() + MARK_BYTES) as u64);
        let created = self.disk.create(&name, bytes);
        let file = created.map_err(|error| JournalError::disk(format!("create {name}"), error))?;
        self.next_segment += 1;
        // Header and block in one write: a header alone says nothing.
        let header = SegmentHeader { seed: self.seed, number, first: block, created: now };
        let mut start = Vec::with_capacity(SEGMENT_HEADER_BYTES + frame.len());
        start.extend_from_slice(&header.encode());
        start.extend_from_slice(frame);
        let written = file.write(0, &start).map_err(|error| JournalError::disk(format!("write {name}"), error));
        if let Err(error) = written.and_then(|()| sync(&file, &name)) {
            // If the file can't be removed, the next segment begins with the same block and hides this one.
            let _ = self.disk.remove(&name);
            return Err(error);
        }
        self.active = Some(ActiveFile { file, number, at: start.len() as u64, bytes });
        Ok(Written { offset: SEGMENT_HEADER_BYTES as u64, new_segment: Some((number, bytes)) })
    }
}

fn sync(file: &DiskFile, name: &str) -> Result<(), JournalError> {
    file.sync().map_err(|error| JournalError::Disk { doing: format!("sync {name}"), source: error })
}
