//! Opening a journal: which segments count, how far their blocks are whole, and what of it the shards must replay.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use trinity_engine::ids::ShardId;

use super::disk::{Disk, Storage};
use super::error::JournalError;
use super::format::Block;
use super::index::{Live, SegmentIndex};
use super::notes::BlockNotes;
use super::recovery::{SegmentEnd, SegmentScan, scan_segment};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, segment_name, segment_number};
use super::shared::{Active, Sealed, Shared, State};
use super::snapshot::{Snapshot, newest_snapshots};
use super::writer::{ActiveFile, Writer};
use super::{Journal, Options};

/// What the shards need to go on where they were.
#[derive(Debug)]
pub struct Recovery {
    shared: Arc<Shared>,
    snapshots: BTreeMap<ShardId, Snapshot>,
    /// The block after the last one.
    next: u64,
}

impl Recovery {
    /// The newest stored state of a shard, as it was after one of its batches.
    #[must_use]
    pub fn snapshot(&self, shard: ShardId) -> Option<&[u8]> {
        self.snapshots.get(&shard).map(|snapshot| &snapshot.state[..])
    }

    /// Whether nothing was ever stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next == 1
    }

    /// Calls `each` with all batches that came after the snapshot of their shard, in the order of their commits.
    ///
    /// # Errors
    /// The first error of `each`; or when stored bytes are damaged, or the disk fails.
    pub fn replay<E: From<JournalError>>(
        &self,
        mut each: impl FnMut(ShardId, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for (number, first, before) in self.segments_to_replay() {
            let mut outcome = Ok(());
            scan_whole(&self.shared.disk, self.shared.seed, number, first, before, |_, block| {
                for (shard, records) in block.batches() {
                    if outcome.is_ok() && self.snapshots.get(&shard).is_none_or(|s| s.block < block.sequence) {
                        outcome = each(shard, records);
                    }
                }
            })?;
            outcome?;
        }
        Ok(())
    }

    /// Number, first block and the block behind the last one of each segment with a batch that must be replayed.
    fn segments_to_replay(&self) -> Vec<(u64, u64, u64)> {
        let state = self.shared.read();
        let needed = |last_batches: &BTreeMap<ShardId, u64>| {
            let after = |(shard, &block): (&ShardId, &u64)| self.snapshots.get(shard).is_none_or(|s| s.block < block);
            last_batches.iter().any(after)
        };
        let sealed = state.sealed.iter().map(|sealed| &sealed.summary);
        let sealed = sealed.filter(|s| needed(&s.last_batches)).map(|s| (s.number, s.first, s.next));
        let active = state.active.iter().filter(|active| needed(&active.index.last_batches));
        // What is appended while a shard replays is not part of it.
        sealed.chain(active.map(|active| (active.number, active.index.first, self.next))).collect()
    }
}

pub(super) fn open(storage: Storage, options: Options) -> Result<(Journal, Recovery), JournalError> {
    let place = match &storage {
        Storage::Directory(path) => path.display().to_string(),
        Storage::Memory(_) => "memory".to_owned(),
    };
    let opened = Disk::open(storage).map_err(|error| JournalError::disk(format!("open {place}"), error))?;
    let (disk, lock) = opened.ok_or(JournalError::InUse { place })?;
    let names = disk.names().map_err(|error| JournalError::disk("list the directory", error))?;
    let headers = headers(&disk, &names)?;
    let seed = headers.first().map_or_else(|| options.seed.unwrap_or_else(random), |header| header.seed);
    let (state, active) = scan(&disk, seed, &headers)?;
    let blocks = state.first()..state.next();
    let snapshots = newest_snapshots(&disk, seed, &names, blocks.clone())?;
    let numbers = names.iter().filter_map(|name| segment_number(name));
    let next_segment = numbers.max().map_or(1, |last| last + 1);
    let writer = Writer { disk: disk.clone(), seed, segment_bytes: options.segment_bytes, active, next_segment };
    let shared = Arc::new(Shared::new(disk, seed, state));
    let recovery = Recovery { shared: shared.clone(), snapshots, next: blocks.end };
    Ok((Journal::new(lock, shared, writer, blocks.end), recovery))
}

/// The headers of all segments that count, in order. Those that were never used, or whose first block is hidden by the
/// next segment, are removed.
fn headers(disk: &Disk, names: &[String]) -> Result<Vec<SegmentHeader>, JournalError> {
    let mut headers: Vec<SegmentHeader> = Vec::new();
    let segments: Vec<&String> = names.iter().filter(|name| segment_number(name).is_some()).collect();
    for (at, name) in segments.iter().enumerate() {
        let length = disk.bytes(name).map_err(|error| JournalError::disk(format!("read {name}"), error))?;
        let start = disk.read(name, 0, SEGMENT_HEADER_BYTES.min(usize::try_from(length).unwrap_or(usize::MAX)));
        let start = start.map_err(|error| JournalError::disk(format!("read {name}"), error))?;
        let header = match SegmentHeader::decode(name, &start) {
            Err(error @ JournalError::Damaged { .. }) if at + 1 < segments.len() || !torn_header(disk, name)? => {
                return Err(error);
            }
            Err(JournalError::Damaged { .. }) => None,
            header => header?,
        };
        let Some(header) = header else {
            remove(disk, name)?;
            continue;
        };
        if let Some(last) = headers.last() {
            if header.seed != last.seed || header.first < last.first {
                return Err(JournalError::damaged(name, 0, "the segment belongs to another journal"));
            }
            if header.first == last.first {
                remove(disk, &segment_name(last.number))?;
                headers.pop();
            }
        }
        headers.push(header);
    }
    Ok(headers)
}

/// Whether nothing but a part of the header was written.
fn torn_header(disk: &Disk, name: &str) -> Result<bool, JournalError> {
    let bytes = disk.read_all(name).map_err(|error| JournalError::disk(format!("read {name}"), error))?;
    Ok(bytes.iter().skip(SEGMENT_HEADER_BYTES).all(|&byte| byte == 0))
}

fn remove(disk: &Disk, name: &str) -> Result<(), JournalError> {
    disk.remove(name).map_err(|error| JournalError::disk(format!("remove {name}"), error))
}

/// Reads all blocks.
fn scan(disk: &Disk, seed: u64, headers: &[SegmentHeader]) -> Result<(State, Option<ActiveFile>), JournalError> {
    let mut live = Live::default();
    let mut sealed = Vec::new();
    let mut next = headers.first().map_or(1, |header| header.first);
    for (at, header) in headers.iter().enumerate() {
        let name = segment_name(header.number);
        if header.first != next {
            return Err(JournalError::damaged(&name, 0, format!("block {next} is missing before it")));
        }
        let before = headers.get(at + 1).map(|header| header.first);
        let mut index = SegmentIndex::new(header.first);
        let mut cause = None;
        let (scan, bytes) =
            scan_whole(disk, seed, header.number, header.first, before.unwrap_or(u64::MAX), |at, block| {
                if let Err(error) = note(&mut index, &mut live, at, block) {
                    cause.get_or_insert(JournalError::damaged(&name, at as u64, error));
                }
            })?;
        if let Some(cause) = cause {
            return Err(cause);
        }
        next = scan.next_sequence;
        if before.is_some() {
            sealed.push(Arc::new(Sealed::new(header.number, bytes.len() as u64, index)));
            continue;
        }
        let file = active_file(disk, header.number, &scan, &bytes)?;
        let active = Active { number: header.number, bytes: file.bytes, index };
        return Ok((State { sealed: Arc::new(sealed), active: Some(active), live }, Some(file)));
    }
    Ok((State { sealed: Arc::default(), active: None, live }, None))
}

/// Reads the blocks of a segment up to the one with number `before`, where the next segment begins; answers its bytes as
/// well. In the last segment they end earlier.
fn scan_whole(
    disk: &Disk,
    seed: u64,
    number: u64,
    first: u64,
    before: u64,
    each: impl FnMut(usize, &Block<'_>),
) -> Result<(SegmentScan, Vec<u8>), JournalError> {
    let name = segment_name(number);
    let bytes = disk.read_all(&name).map_err(|error| JournalError::disk(format!("read {name}"), error))?;
    if bytes.len() < SEGMENT_HEADER_BYTES {
        return Err(JournalError::damaged(&name, 0, "the file was cut"));
    }
    let scan = scan_segment(seed, &bytes, SEGMENT_HEADER_BYTES, first, before, each);
    if let SegmentEnd::Damaged { cause, .. } = &scan.outcome {
        return Err(JournalError::damaged(&name, scan.end as u64, cause));
    }
    if before != u64::MAX && scan.next_sequence < before {
        let cause = format!("block {} is missing, and the next segment begins with {before}", scan.next_sequence);
        return Err(JournalError::damaged(&name, scan.end as u64, cause));
    }
    Ok((scan, bytes))
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

/// The last segment, to write to: what is torn behind its last whole block is overwritten with zeros, so that nothing of
/// it is ever taken for a block.
fn active_file(disk: &Disk, number: u64, scan: &SegmentScan, bytes: &[u8]) -> Result<ActiveFile, JournalError> {
    let name = segment_name(number);
    let file = disk.open_file(&name).map_err(|error| JournalError::disk(format!("open {name}"), error))?;
    if scan.outcome == SegmentEnd::Torn {
        let torn = bytes.iter().rposition(|&byte| byte != 0).map_or(scan.end, |last| last + 1);
        tracing::warn!(
            segment = name,
            offset = scan.end,
            bytes = torn - scan.end,
            "cut what a crash left half written"
        );
        let zeros = vec![0; torn - scan.end];
        let cut = file.write(scan.end as u64, &zeros).and_then(|()| file.sync());
        cut.map_err(|error| JournalError::disk(format!("write {name}"), error))?;
    }
    Ok(ActiveFile { file, number, at: scan.end as u64, bytes: bytes.len() as u64 })
}

/// A number that no other journal has: the standard library's hasher takes its keys from the operating system.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}
