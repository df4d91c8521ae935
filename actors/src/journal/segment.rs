//! Segment files: their names, their header, and reading all blocks of one.
//!
//! Header, little-endian, 64 bytes: checksum `u64` of all that follows · magic `u32` · version `u8` · 3 zero bytes ·
//! seed `u64` · number of the segment `u64` · number of its first block `u64` · time of creation `u64` · 16 zero bytes.

use trinity_engine::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use super::error::JournalError;
use super::format::{u32_at, u64_at};

/// Bytes before the first block.
pub(super) const SEGMENT_HEADER_BYTES: usize = 64;

const MAGIC: u32 = u32::from_le_bytes(*b"TRJS");
/// A segment of version 1 has blocks of version 1 only.
const VERSION: u8 = 2;
const ENDING: &str = ".segment";

/// What a segment file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The random number of the journal, which seeds all other checksums.
    pub seed: u64,
    /// The number of the segment, as in its name.
    pub number: u64,
    /// The number of its first block.
    pub first: u64,
    /// When its first block was committed.
    pub created: Timestamp,
    /// Whether an earlier release wrote it. Nothing is appended to it: that release would cut what it can't read.
    pub earlier: bool,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[8..12].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[12] = VERSION;
        for (at, value) in [(16, self.seed), (24, self.number), (32, self.first), (40, self.created.micros())] {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let checksum = xxh3_64(&bytes[8..]);
        bytes[..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `Ok(None)` for a segment that was prepared and not yet used: zeros.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Option<SegmentHeader>, JournalError> {
        let damaged = |cause| JournalError::damaged(name, 0, cause);
        let head = bytes.first_chunk::<SEGMENT_HEADER_BYTES>().ok_or_else(|| damaged("the header ends too early"))?;
        if head.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if u64_at(head, 0) != xxh3_64(&head[8..]) || u32_at(head, 8) != MAGIC {
            return Err(damaged("the header has a wrong checksum"));
        }
        if !(1..=VERSION).contains(&head[12]) {
            return Err(JournalError::Version { file: name.to_owned(), version: head[12] });
        }
        let header = SegmentHeader {
            seed: u64_at(head, 16),
            number: u64_at(head, 24),
            first: u64_at(head, 32),
            created: Timestamp(u64_at(head, 40)),
            earlier: head[12] < VERSION,
        };
        if segment_name(header.number) != name || header.first == 0 {
            return Err(damaged("the header belongs to another segment"));
        }
        Ok(Some(header))
    }
}

/// The name of a segment's file.
pub(super) fn segment_name(number: u64) -> String {
    format!("{number:016x}{ENDING}")
}

/// The number of the segment with this file name.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(ENDING)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (segment_name(number) == name).then_some(number)
}
