//! Index files: what is known of a full segment, so that nobody has to read all of it; and the live executions, now and
//! then. Both only repeat what the blocks say: one that is missing or damaged is made anew from them.
//!
//! An index file is a header of 64 bytes and three parts. Header, little-endian: checksum `u64` of the rest of it · magic
//! `u32` · version `u8` · 3 zero bytes · per part its length `u64` and its checksum `u64`. The parts: the summary; the
//! blocks with the executions that outlived their first one; the changes to live executions. A file of live executions:
//! checksum `u64` of all that follows · magic `u32` · version `u8` · 3 zero bytes · number of the block behind the last that
//! counts `u64` · the executions. All checksums are seeded with the journal's number. The parts are written in the alphabet of
//! [`trinity_engine::wire::codec`].

use std::collections::BTreeMap;

use trinity_engine::history::Phase;
use trinity_engine::ids::{DefinitionId, ExecutionId, ShardId};
use trinity_engine::wire::codec::{CodecError, Reader, Writer};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::disk::Disk;
use super::error::JournalError;
use super::format::{u32_at, u64_at};
use super::index::{BlockEntry, Change, Live, LiveEntry, Outlived, SegmentIndex};
use super::notes::{Count, Group, Note, Run};
use super::summary::{IdFilter, ShardRange, Summary};

const INDEX_MAGIC: u32 = u32::from_le_bytes(*b"TRJI");
const LIVE_MAGIC: u32 = u32::from_le_bytes(*b"TRJL");
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 64;
const LIVE_HEADER_BYTES: usize = 24;
const INDEX_ENDING: &str = ".index";
const LIVE_ENDING: &str = ".live";

/// A part of an index file.
#[derive(Clone, Copy, Debug)]
enum Part {
    Summary,
    Table,
    Changes,
}

/// The name of the index file of a segment.
pub(super) fn index_name(segment: u64) -> String {
    format!("{segment:016x}{INDEX_ENDING}")
}

/// The segment of the index file with this name.
pub(super) fn index_segment(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(INDEX_ENDING)?, 16).ok().filter(|&number| index_name(number) == name)
}

pub(super) fn live_name(next: u64) -> String {
    format!("{next:016x}{LIVE_ENDING}")
}

/// The block behind the last one that counts in the file of live executions with this name.
pub(super) fn live_next(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(LIVE_ENDING)?, 16).ok().filter(|&next| live_name(next) == name)
}

/// Stores the index file of a segment.
pub(super) fn put_index(disk: &Disk, seed: u64, summary: &Summary, index: &SegmentIndex) -> Result<(), JournalError> {
    let mut parts = [Vec::new(), Vec::new(), Vec::new()];
    write_summary(&mut Writer { out: &mut parts[0] }, summary);
    write_table(&mut Writer { out: &mut parts[1] }, index);
    write_changes(&mut Writer { out: &mut parts[2] }, &index.changes);
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[8..12].copy_from_slice(&INDEX_MAGIC.to_le_bytes());
    bytes[12] = VERSION;
    for (part, content) in parts.iter().enumerate() {
        let at = 16 + part * 16;
        bytes[at..at + 8].copy_from_slice(&(content.len() as u64).to_le_bytes());
        bytes[at + 8..at + 16].copy_from_slice(&xxh3_64_with_seed(content, seed).to_le_bytes());
        bytes.extend_from_slice(content);
    }
    let checksum = xxh3_64_with_seed(&bytes[8..HEADER_BYTES], seed);
    bytes[..8].copy_from_slice(&checksum.to_le_bytes());
    let name = index_name(summary.number);
    disk.put(&name, &bytes).map_err(|error| JournalError::disk(format!("write {name}"), error))
}

/// The stored summary of a segment.
pub(super) fn load_summary(disk: &Disk, seed: u64, segment: u64) -> Result<Summary, JournalError> {
    load(disk, seed, segment, Part::Summary, read_summary)
}

/// The stored index of a segment, without the changes.
pub(super) fn load_index(disk: &Disk, seed: u64, segment: u64) -> Result<SegmentIndex, JournalError> {
    load(disk, seed, segment, Part::Table, read_table)
}

/// The stored changes to live executions in a segment.
pub(super) fn load_changes(disk: &Disk, seed: u64, segment: u64) -> Result<Vec<Change>, JournalError> {
    load(disk, seed, segment, Part::Changes, read_changes)
}

fn load<T>(
    disk: &Disk,
    seed: u64,
    segment: u64,
    part: Part,
    read: fn(&mut Reader<'_>) -> Result<T, CodecError>,
) -> Result<T, JournalError> {
    let name = index_name(segment);
    let damaged = |cause: &str| JournalError::damaged(&name, 0, cause);
    let failed = |error| JournalError::disk(format!("read {name}"), error);
    let head = disk.read(&name, 0, HEADER_BYTES).map_err(failed)?;
    if xxh3_64_with_seed(&head[8..], seed) != u64_at(&head, 0) || u32_at(&head, 8) != INDEX_MAGIC {
        return Err(damaged("the header has a wrong checksum"));
    }
    if head[12] != VERSION {
        return Err(JournalError::Version { file: name, version: head[12] });
    }
    let at = |part: usize| 16 + part * 16;
    let offset: u64 = HEADER_BYTES as u64 + (0..part as usize).map(|part| u64_at(&head, at(part))).sum::<u64>();
    let length = usize::try_from(u64_at(&head, at(part as usize))).map_err(|_| damaged("a part is too long"))?;
    let bytes = disk.read(&name, offset, length).map_err(failed)?;
    if xxh3_64_with_seed(&bytes, seed) != u64_at(&head, at(part as usize) + 8) {
        return Err(damaged("a part has a wrong checksum"));
    }
    read(&mut Reader::new(&bytes)).map_err(|error| JournalError::damaged(&name, offset, error))
}

/// Stores the live executions as they were before block `next`, and removes older such files.
pub(super) fn put_live(disk: &Disk, seed: u64, next: u64, live: &Live) -> Result<(), JournalError> {
    let mut bytes = vec![0; LIVE_HEADER_BYTES];
    bytes[8..12].copy_from_slice(&LIVE_MAGIC.to_le_bytes());
    bytes[12] = VERSION;
    bytes[16..24].copy_from_slice(&next.to_le_bytes());
    Writer { out: &mut bytes }.list(live.iter(), |w, (id, entry)| {
        w.u128(id.as_u128());
        w.count(u64::from(entry.definition.0));
        w.u8(entry.phase as u8);
        write_blocks(w, &entry.blocks);
    });
    let checksum = xxh3_64_with_seed(&bytes[8..], seed);
    bytes[..8].copy_from_slice(&checksum.to_le_bytes());
    let failed = |error| JournalError::disk("write the live executions", error);
    disk.put(&live_name(next), &bytes).map_err(failed)?;
    for name in disk.names().map_err(failed)? {
        if live_next(&name).is_some_and(|other| other < next) {
            disk.remove(&name).map_err(failed)?;
        }
    }
    Ok(())
}

/// The live executions as they were before block `next`.
pub(super) fn load_live(disk: &Disk, seed: u64, next: u64) -> Result<Live, JournalError> {
    let name = live_name(next);
    let damaged = |cause: &str| JournalError::damaged(&name, 0, cause);
    let bytes = disk.read_all(&name).map_err(|error| JournalError::disk(format!("read {name}"), error))?;
    let head = bytes.first_chunk::<LIVE_HEADER_BYTES>().ok_or_else(|| damaged("it ends too early"))?;
    if xxh3_64_with_seed(&bytes[8..], seed) != u64_at(head, 0) || u32_at(head, 8) != LIVE_MAGIC {
        return Err(damaged("wrong checksum"));
    }
    if head[12] != VERSION || u64_at(head, 16) != next {
        return Err(damaged("another version or place"));
    }
    let mut live = Live::default();
    let mut reader = Reader::new(&bytes[LIVE_HEADER_BYTES..]);
    let entries = reader.list(|r| {
        let id = ExecutionId::from_u128(r.u128()?);
        let (definition, phase) = (DefinitionId(r.count_u32()?), read_phase(r)?);
        Ok((id, LiveEntry { definition, phase, blocks: read_blocks(r)? }))
    });
    for (id, entry) in entries.map_err(|error| JournalError::damaged(&name, 0, error))? {
        live.begin(id, entry);
    }
    Ok(live)
}

fn write_summary(w: &mut Writer<'_>, summary: &Summary) {
    for number in [summary.number, summary.first, summary.next, summary.bytes] {
        w.count(number);
    }
    w.time(summary.times.0);
    w.time(summary.times.1);
    write_last_batches(w, &summary.last_batches);
    w.list(summary.shards.iter(), |w, range| {
        w.count(u64::from(range.shard.0));
        w.count(range.low);
        w.count(range.high);
    });
    write_group(w, &summary.short);
    write_group(w, &summary.outlived);
    w.list(summary.filter.words.iter(), |w, word| w.out.extend_from_slice(&word.to_le_bytes()));
}

fn read_summary(r: &mut Reader<'_>) -> Result<Summary, CodecError> {
    Ok(Summary {
        number: r.count()?,
        first: r.count()?,
        next: r.count()?,
        bytes: r.count()?,
        times: (r.time()?, r.time()?),
        last_batches: read_last_batches(r)?,
        shards: r.list(|r| Ok(ShardRange { shard: read_shard(r)?, low: r.count()?, high: r.count()? }))?,
        short: read_group(r)?,
        outlived: read_group(r)?,
        // A moment is 64 bits, as a word is.
        filter: IdFilter { words: r.list(|r| Ok(r.time()?.micros()))? },
    })
}

fn write_table(w: &mut Writer<'_>, index: &SegmentIndex) {
    w.count(index.first);
    w.list(index.blocks.iter(), |w, block| {
        w.count(block.offset);
        w.count(u64::from(block.bytes));
        w.time(block.time);
        w.list(block.runs.iter(), |w, run| {
            w.count(u64::from(run.shard.0));
            w.count(run.first);
            w.count(run.count);
        });
        write_group(w, &block.short);
    });
    write_last_batches(w, &index.last_batches);
    w.list(index.outlived.iter(), |w, (id, entry)| {
        w.u128(id.as_u128());
        w.count(u64::from(entry.definition.0));
        w.u8(entry.phase as u8);
        w.time(entry.ended);
        write_blocks(w, &entry.blocks);
    });
}

fn read_table(r: &mut Reader<'_>) -> Result<SegmentIndex, CodecError> {
    let mut index = SegmentIndex::new(r.count()?);
    let blocks = r.list(|r| {
        let (offset, bytes, time) = (r.count()?, r.count_u32()?, r.time()?);
        let runs = r.list(|r| Ok(Run { shard: read_shard(r)?, first: r.count()?, count: r.count()? }))?;
        Ok(BlockEntry { offset, bytes, time, runs: runs.into(), short: read_group(r)? })
    })?;
    blocks.into_iter().for_each(|block| index.push(block));
    index.last_batches = read_last_batches(r)?;
    let outlived = r.list(|r| {
        let id = ExecutionId::from_u128(r.u128()?);
        let (definition, phase, ended) = (DefinitionId(r.count_u32()?), read_phase(r)?, r.time()?);
        Ok((id, Outlived { definition, phase, ended, blocks: read_blocks(r)?.into() }))
    })?;
    index.outlived = outlived.into_iter().collect();
    Ok(index)
}

fn write_changes(w: &mut Writer<'_>, changes: &[Change]) {
    w.list(changes.iter(), |w, Change { block, id, note }| {
        w.count(*block);
        w.u128(id.as_u128());
        w.count(u64::from(note.definition.0));
        w.u8(note.phase as u8);
        w.u8(u8::from(note.begins));
        w.time(note.time);
    });
}

fn read_changes(r: &mut Reader<'_>) -> Result<Vec<Change>, CodecError> {
    r.list(|r| {
        let (block, id) = (r.count()?, ExecutionId::from_u128(r.u128()?));
        let (definition, phase, begins) = (DefinitionId(r.count_u32()?), read_phase(r)?, r.u8()? != 0);
        Ok(Change { block, id, note: Note { definition, phase, begins, time: r.time()? } })
    })
}

fn write_group(w: &mut Writer<'_>, group: &Group) {
    w.option(group.ids, |w, (low, high)| {
        w.u128(low.as_u128());
        w.u128(high.as_u128());
    });
    w.list(group.counts.iter(), |w, count| {
        w.count(u64::from(count.definition.0));
        w.u8(count.phase as u8);
        w.count(count.count);
    });
}

fn read_group(r: &mut Reader<'_>) -> Result<Group, CodecError> {
    let ids = r.option(|r| Ok((ExecutionId::from_u128(r.u128()?), ExecutionId::from_u128(r.u128()?))))?;
    let count = |r: &mut Reader<'_>| {
        Ok(Count { definition: DefinitionId(r.count_u32()?), phase: read_phase(r)?, count: r.count()? })
    };
    Ok(Group { ids, counts: r.list(count)? })
}

fn write_last_batches(w: &mut Writer<'_>, last_batches: &BTreeMap<ShardId, u64>) {
    w.list(last_batches.iter(), |w, (shard, block)| {
        w.count(u64::from(shard.0));
        w.count(*block);
    });
}

fn read_last_batches(r: &mut Reader<'_>) -> Result<BTreeMap<ShardId, u64>, CodecError> {
    Ok(r.list(|r| Ok((read_shard(r)?, r.count()?)))?.into_iter().collect())
}

/// Ascending numbers: the first, then the distances.
fn write_blocks(w: &mut Writer<'_>, blocks: &[u64]) {
    let mut before = 0;
    w.list(blocks.iter(), |w, &block| {
        w.count(block - before);
        before = block;
    });
}

fn read_blocks(r: &mut Reader<'_>) -> Result<Vec<u64>, CodecError> {
    let mut before: u64 = 0;
    r.list(|r| {
        before = before.saturating_add(r.count()?);
        Ok(before)
    })
}

fn read_phase(r: &mut Reader<'_>) -> Result<Phase, CodecError> {
    let number = r.u8()?;
    Phase::from_u8(number).ok_or_else(|| r.invalid("phase", number))
}

fn read_shard(r: &mut Reader<'_>) -> Result<ShardId, CodecError> {
    let number = r.count_u32()?;
    u16::try_from(number).map(ShardId).map_err(|_| r.invalid("shard", number))
}
