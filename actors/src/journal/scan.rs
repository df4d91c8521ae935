//! Reading whole segment files.

use super::disk::Disk;
use super::error::JournalError;
use super::format::Block;
use super::index::{Live, SegmentIndex};
use super::notes::BlockNotes;
use super::recovery::{SegmentEnd, SegmentScan, scan_segment};
use super::segment::{SEGMENT_HEADER_BYTES, segment_name};

/// Reads the blocks of a segment up to the one with number `before`, where the next segment begins; in the last segment
/// they end as they end. Answers its bytes as well.
pub(super) fn scan_whole(
    disk: &Disk,
    seed: u64,
    number: u64,
    first: u64,
    before: Option<u64>,
    each: impl FnMut(usize, &Block<'_>),
) -> Result<(SegmentScan, Vec<u8>), JournalError> {
    let name = segment_name(number);
    let bytes = disk.read_all(&name).map_err(|error| JournalError::disk(format!("read {name}"), error))?;
    if bytes.len() < SEGMENT_HEADER_BYTES {
        return Err(JournalError::damaged(&name, 0, "the file was cut"));
    }
    let scan = scan_segment(seed, &bytes, SEGMENT_HEADER_BYTES, first, before.unwrap_or(u64::MAX), each);
    if let SegmentEnd::Damaged { cause, .. } = &scan.outcome {
        return Err(JournalError::damaged(&name, scan.end as u64, cause));
    }
    if let Some(before) = before.filter(|before| scan.next_sequence < *before) {
        let cause = format!("block {} is missing, and the next segment begins with {before}", scan.next_sequence);
        return Err(JournalError::damaged(&name, scan.end as u64, cause));
    }
    Ok((scan, bytes))
}

/// Makes the index of a segment from its blocks. `live` are the live executions before it, and those after it when it
/// returns.
pub(super) fn read_segment(
    disk: &Disk,
    seed: u64,
    number: u64,
    first: u64,
    before: Option<u64>,
    live: &mut Live,
) -> Result<(SegmentIndex, SegmentScan, Vec<u8>), JournalError> {
    let mut index = SegmentIndex::new(first);
    let mut cause = None;
    let (scan, bytes) = scan_whole(disk, seed, number, first, before, |at, block| {
        if let Err(error) = note(&mut index, live, at, block) {
            cause.get_or_insert(JournalError::damaged(&segment_name(number), at as u64, error));
        }
    })?;
    cause.map_or(Ok((index, scan, bytes)), Err)
}

fn note(index: &mut SegmentIndex, live: &mut Live, at: usize, block: &Block<'_>) -> Result<(), String> {
    let mut notes = BlockNotes::default();
    for (shard, records) in block.batches() {
        notes.read(shard, records).map_err(|error| error.to_string())?;
    }
    let bytes = u32::try_from(block.frame_bytes).map_err(|error| error.to_string())?;
    index.add(live, at as u64, bytes, block.time, notes);
    Ok(())
}
