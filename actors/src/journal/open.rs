//! Opening a journal: which segments count, how far their blocks are whole, and what of it the shards must replay.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use trinity_engine::ids::ShardId;

use super::disk::{Disk, Storage};
use super::error::JournalError;
use super::format::{Block, BlockEncoder, decode_mark};
use super::index::{Change, Live, SegmentIndex};
use super::keeper::Keeper;
use super::reader::Reader;
use super::recovery::{SegmentEnd, SegmentScan, scan_segment};
use super::scan::{read_segment, scan_whole};
use super::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, segment_name, segment_number};
use super::shared::{Active, Sealed, Shared, State};
use super::sidecar::{index_segment, live_next, load_changes, load_live, load_summary};
use super::snapshot::{load_snapshot, newest_snapshots};
use super::summary::Summary;
use super::writer::{Found, Writer};
use super::{Journal, Options};

/// How much of the last segment is read to see whether it begins with a block.
const FIRST_READ_BYTES: usize = 64 << 10;

/// What the shards need to go on where they were.
#[derive(Debug)]
pub struct Recovery {
    shared: Arc<Shared>,
    /// Per shard the block of its newest snapshot.
    snapshots: BTreeMap<ShardId, u64>,
    /// The block after the last one.
    next: u64,
}

impl Recovery {
    /// The newest stored state of a shard, as it was after one of its batches.
    ///
    /// # Errors
    /// It was damaged, or replaced by a newer one, since this recovery was begun; or the disk fails.
    pub fn snapshot(&self, shard: ShardId) -> Result<Option<Vec<u8>>, JournalError> {
        let Shared { disk, seed, .. } = &*self.shared;
        self.snapshots.get(&shard).map(|block| load_snapshot(disk, *seed, shard, *block)).transpose()
    }

    /// Whether nothing was ever stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.next == 1
    }

    /// The number of the last block; 0 when nothing was ever stored.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.next - 1
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
            scan_whole(&self.shared.disk, self.shared.seed, number, first, Some(before), |_, block| {
                for (shard, records) in block.batches() {
                    if outcome.is_ok() && self.snapshots.get(&shard).is_none_or(|last| *last < block.sequence) {
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
            let after = |(shard, &block): (&ShardId, &u64)| self.snapshots.get(shard).is_none_or(|last| *last < block);
            last_batches.iter().any(after)
        };
        let sealed = state.sealed.iter().map(|sealed| &sealed.summary);
        let sealed = sealed.filter(|s| needed(&s.last_batches)).map(|s| (s.number, s.first, s.next));
        let active = state.active.iter().filter(|active| needed(&active.index.last_batches));
        // What is appended while a shard replays is not part of it.
        sealed.chain(active.map(|active| (active.number, active.index.first, self.next))).collect()
    }
}

impl Reader {
    /// What a shard needs to go on where it was, from a journal that is in use: as of now.
    ///
    /// # Errors
    /// Stored bytes are damaged, or the disk fails.
    pub fn recovery(&self) -> Result<Recovery, JournalError> {
        let shared = self.shared.clone();
        let blocks = {
            let state = shared.read();
            state.first()..state.next()
        };
        let names = shared.disk.names().map_err(|error| JournalError::disk("list the directory", error))?;
        let snapshots = newest_snapshots(&shared.disk, shared.seed, &names, blocks.clone())?;
        Ok(Recovery { shared, snapshots, next: blocks.end })
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
    remove_strays(&disk, &names, &headers)?;
    let (state, found) = survey(&disk, seed, &names, &headers)?;
    let blocks = state.first()..state.next();
    let snapshots = newest_snapshots(&disk, seed, &names, blocks.clone())?;
    let numbers = names.iter().filter_map(|name| segment_number(name));
    let next_segment = numbers.max().map_or(1, |last| last + 1);
    let writer = Writer::new(disk.clone(), seed, &options, found, next_segment, blocks.end - 1);
    let shared = Arc::new(Shared::new(disk, seed, state));
    shared.snapshots().extend(&snapshots);
    let keeper = Keeper::new(shared.clone(), writer.unsynced())?;
    let recovery = Recovery { shared: shared.clone(), snapshots, next: blocks.end };
    let journal = Journal {
        encoder: BlockEncoder::new(seed),
        shared,
        writer,
        keeper,
        next: blocks.end,
        retention: options.retention,
        held_back: None,
        _lock: lock,
    };
    Ok((journal, recovery))
}

/// The headers of all segments that count, in order. Those that were never used, the last one when it never held a block,
/// and those whose first block is hidden by the next segment, are removed.
fn headers(disk: &Disk, names: &[String]) -> Result<Vec<SegmentHeader>, JournalError> {
    let mut all: Vec<SegmentHeader> = Vec::new();
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
        if let Some(last) = all.last()
            && (header.seed != last.seed || header.first < last.first)
        {
            return Err(JournalError::damaged(name, 0, "the segment belongs to another journal"));
        }
        all.push(header);
    }
    // Before any is hidden, so that a header without a block hides nothing: whether it is whole, torn or damaged since,
    // the same blocks count. The first segment stays, for it alone tells the number of the next block.
    while let [.., _, last] = all[..]
        && never_held(disk, &last)?
    {
        tracing::warn!(
            segment = segment_name(last.number),
            "removed a segment whose first block was not written whole"
        );
        remove(disk, &segment_name(last.number))?;
        all.pop();
    }
    let mut headers: Vec<SegmentHeader> = Vec::new();
    for header in all {
        if let Some(hidden) = headers.pop_if(|last| last.first == header.first) {
            remove(disk, &segment_name(hidden.number))?;
        }
        headers.push(header);
    }
    Ok(headers)
}

/// Whether no block of this segment, the last one, was ever written whole: nothing of it was acknowledged.
fn never_held(disk: &Disk, header: &SegmentHeader) -> Result<bool, JournalError> {
    let name = segment_name(header.number);
    let failed = |error| JournalError::disk(format!("read {name}"), error);
    let bytes = usize::try_from(disk.bytes(&name).map_err(failed)?).unwrap_or(usize::MAX);
    let begins_with_block = |start: &[u8]| {
        let first = Block::decode(header.seed, &start[SEGMENT_HEADER_BYTES..]);
        first.is_ok_and(|block| block.sequence == header.first)
    };
    // The whole file need not be read to see that it begins with a block, unless that is a long one.
    let start = disk.read(&name, 0, FIRST_READ_BYTES.min(bytes)).map_err(failed)?;
    if begins_with_block(&start) {
        return Ok(false);
    }
    let all = disk.read_all(&name).map_err(failed)?;
    let scan = scan_segment(header.seed, &all, SEGMENT_HEADER_BYTES, header.first, u64::MAX, |_, _| ());
    // Damage is told where the blocks are read.
    Ok(scan.next_sequence == header.first && !matches!(scan.outcome, SegmentEnd::Damaged { .. }))
}

/// Whether nothing but a part of the header was written.
fn torn_header(disk: &Disk, name: &str) -> Result<bool, JournalError> {
    let bytes = disk.read_all(name).map_err(|error| JournalError::disk(format!("read {name}"), error))?;
    Ok(bytes.iter().skip(SEGMENT_HEADER_BYTES).all(|&byte| byte == 0))
}

fn remove(disk: &Disk, name: &str) -> Result<(), JournalError> {
    disk.remove(name).map_err(|error| JournalError::disk(format!("remove {name}"), error))
}

/// Finds out what is in the segments, from their indexes as far as they are stored, and from the blocks.
fn survey(
    disk: &Disk,
    seed: u64,
    names: &[String],
    headers: &[SegmentHeader],
) -> Result<(State, Option<Found>), JournalError> {
    let Some((last, full)) = headers.split_last() else {
        return Ok((State { sealed: Arc::default(), active: None, live: Live::default() }, None));
    };
    let nexts = headers.iter().skip(1).map(|header| header.first);
    let full: Vec<(&SegmentHeader, u64)> = full.iter().zip(nexts).collect();
    let (mut sealed, mut live) = stored_live(disk, seed, names, &full);
    for &(header, next) in &full[sealed.len()..] {
        if let Some((summary, changes)) = stored_changes(disk, seed, header, next) {
            changes.iter().for_each(|change| drop(live.change(change)));
            sealed.push(Arc::new(Sealed::stored(summary)));
            continue;
        }
        let (index, _, bytes) = read_segment(disk, seed, header.number, header.first, Some(next), &mut live)?;
        let segment = Sealed::new(Summary::of(header.number, bytes.len() as u64, &index), index);
        if let Err(error) = segment.save(disk, seed) {
            tracing::warn!(%error, segment = header.number, "could not store an index");
        }
        sealed.push(Arc::new(segment));
    }
    let (index, scan, bytes) = read_segment(disk, seed, last.number, last.first, None, &mut live)?;
    let found = found(disk, last, &index, &scan, &bytes)?;
    let active = Active { number: last.number, bytes: found.bytes, index };
    let found = (!last.earlier).then_some(found);
    Ok((State { sealed: Arc::new(sealed), active: Some(active), live }, found))
}

/// The newest stored live executions, and the segments before them; none of both when a summary of these is not there.
fn stored_live(disk: &Disk, seed: u64, names: &[String], full: &[(&SegmentHeader, u64)]) -> (Vec<Arc<Sealed>>, Live) {
    for next in names.iter().rev().filter_map(|name| live_next(name)) {
        let Some(end) = full.iter().position(|&(_, end)| end == next) else { continue };
        let summaries = full[..=end].iter().map(|&(header, next)| stored_summary(disk, seed, header, next));
        let sealed: Option<Vec<_>> = summaries.map(|summary| Some(Arc::new(Sealed::stored(summary?)))).collect();
        match (sealed, load_live(disk, seed, next)) {
            (Some(sealed), Ok(live)) => return (sealed, live),
            (_, Err(error)) => tracing::warn!(%error, "passed over stored live executions"),
            (None, _) => {}
        }
    }
    (Vec::new(), Live::default())
}

fn stored_summary(disk: &Disk, seed: u64, header: &SegmentHeader, next: u64) -> Option<Summary> {
    let summary = load_summary(disk, seed, header.number)
        .inspect_err(|error| tracing::warn!(%error, "reads the blocks of a segment for its index"));
    summary.ok().filter(|summary| (summary.number, summary.first, summary.next) == (header.number, header.first, next))
}

fn stored_changes(disk: &Disk, seed: u64, header: &SegmentHeader, next: u64) -> Option<(Summary, Vec<Change>)> {
    let summary = stored_summary(disk, seed, header, next)?;
    Some((summary, load_changes(disk, seed, header.number).ok()?))
}

/// The last segment, to write to. What is torn behind its last whole block is overwritten with zeros, so that nothing of
/// it is ever taken for a block. And what may not be on the disk is written again and synced before anybody relies on it:
/// after a process was killed its blocks can be read although no sync was for them, or one that failed and that no later
/// one makes up for.
fn found(
    disk: &Disk,
    header: &SegmentHeader,
    index: &SegmentIndex,
    scan: &SegmentScan,
    bytes: &[u8],
) -> Result<Found, JournalError> {
    let name = segment_name(header.number);
    let file = disk.open_file(&name).map_err(|error| JournalError::disk(format!("open {name}"), error))?;
    let found = |file| Found { file, number: header.number, at: scan.end as u64, bytes: bytes.len() as u64 };
    if decode_mark(header.seed, &bytes[scan.end..]).is_some_and(|synced| synced + 1 == scan.next_sequence) {
        // It was closed in order. The next block takes the place of the mark.
        return Ok(found(file));
    }
    // A segment begins when all before it is on the disk, and with the first block of those that are not: then its header
    // may not be there either.
    let doubtful = index.block(scan.synced + 1).filter(|_| scan.synced + 1 > header.first);
    let start = doubtful.map_or(0, |block| usize::try_from(block.offset).expect("within what was read"));
    let mut again = bytes[start..scan.end].to_vec();
    if scan.outcome == SegmentEnd::Torn {
        let torn = bytes.iter().rposition(|&byte| byte != 0).map_or(scan.end, |last| last + 1);
        tracing::warn!(
            segment = name,
            offset = scan.end,
            bytes = torn - scan.end,
            "cut what a crash left half written"
        );
        again.resize(torn - start, 0);
    }
    let written = file.write(start as u64, &again).and_then(|()| file.sync());
    written.map_err(|error| JournalError::disk(format!("write {name}"), error))?;
    Ok(found(file))
}

/// Removes indexes of segments that were dropped.
fn remove_strays(disk: &Disk, names: &[String], headers: &[SegmentHeader]) -> Result<(), JournalError> {
    for name in names {
        if index_segment(name).is_some_and(|segment| headers.iter().all(|header| header.number != segment)) {
            remove(disk, name)?;
        }
    }
    Ok(())
}

/// A number that no other journal has: the standard library's hasher takes its keys from the operating system.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}
