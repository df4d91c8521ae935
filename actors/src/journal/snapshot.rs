//! A shard's whole state after a block, in a file of its own: recovery begins with it instead of the shard's earlier blocks.
//!
//! Little-endian, header of 32 bytes: checksum `u64` of the rest of it, seeded with the journal's number · magic `u32` · version
//! `u8` · 0 `u8` · shard `u16` · number of the block `u64` · length of the state `u64`. Then the state in pieces, each: checksum
//! `u64` of the rest of the piece, seeded with the journal's number plus the piece's place in the state · stored length `u32` ·
//! plain length `u32` · content, an LZ4 block when it is shorter than plain. So neither writing nor verifying needs the
//! whole state in memory at once.
//!
//! Version 1 had the state in one piece: its header's checksum went over the whole file, and its flags said whether it was
//! compressed.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;

use trinity_engine::ids::ShardId;
use trinity_engine::shard::ShardSnapshot;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::disk::Disk;
use super::error::JournalError;
use super::format::{u32_at, u64_at};

const MAGIC: u32 = u32::from_le_bytes(*b"TRJP");
const VERSION: u8 = 2;
const HEADER_BYTES: usize = 32;
const PIECE_HEADER_BYTES: usize = 16;
/// Plain bytes of a piece; the last is shorter, and one that a part of the state does not fit into may be longer.
const PIECE_BYTES: usize = 1 << 20;
const ENDING: &str = ".snapshot";

/// The state of a shard after a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub shard: ShardId,
    /// The number of the block.
    pub block: u64,
    pub state: ShardSnapshot,
}

impl Snapshot {
    fn write(&self, seed: u64, file: &mut dyn Write) -> io::Result<()> {
        let mut head = [0; HEADER_BYTES];
        head[8..12].copy_from_slice(&MAGIC.to_le_bytes());
        head[12] = VERSION;
        head[14..16].copy_from_slice(&self.shard.0.to_le_bytes());
        head[16..24].copy_from_slice(&self.block.to_le_bytes());
        head[24..32].copy_from_slice(&(self.state.bytes() as u64).to_le_bytes());
        let checksum = xxh3_64_with_seed(&head[8..], seed);
        head[..8].copy_from_slice(&checksum.to_le_bytes());
        file.write_all(&head)?;
        let (mut piece, mut place) = (Vec::with_capacity(PIECE_BYTES), 0);
        for part in self.state.parts() {
            if !piece.is_empty() && piece.len() + part.len() > PIECE_BYTES {
                file.write_all(&encode_piece(seed, place, &piece))?;
                place += piece.len() as u64;
                piece.clear();
            }
            piece.extend_from_slice(part);
        }
        if piece.is_empty() { Ok(()) } else { file.write_all(&encode_piece(seed, place, &piece)) }
    }
}

fn encode_piece(seed: u64, place: u64, plain: &[u8]) -> Vec<u8> {
    let most = lz4_flex::block::get_maximum_output_size(plain.len());
    let mut bytes = vec![0; PIECE_HEADER_BYTES + most];
    let packed = lz4_flex::block::compress_into(plain, &mut bytes[PIECE_HEADER_BYTES..]);
    match packed {
        Ok(length) if length < plain.len() - plain.len() / 8 => bytes.truncate(PIECE_HEADER_BYTES + length),
        _ => {
            bytes.truncate(PIECE_HEADER_BYTES);
            bytes.extend_from_slice(plain);
        }
    }
    let stored = bytes.len() - PIECE_HEADER_BYTES;
    for (at, length) in [(8, stored), (12, plain.len())] {
        let length = u32::try_from(length).expect("a part of a state is shorter than 4 GiB");
        bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }
    let checksum = xxh3_64_with_seed(&bytes[8..], seed.wrapping_add(place));
    bytes[..8].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// A stored snapshot, verified, its content still as it is stored.
struct Stored {
    bytes: Vec<u8>,
    /// Length of the plain state.
    plain: usize,
    /// Where the pieces' contents are, and their plain lengths.
    pieces: Vec<(Range<usize>, usize)>,
}

impl Stored {
    fn read(disk: &Disk, seed: u64, name: &str) -> Result<Stored, JournalError> {
        let bytes = disk.read_all(name).map_err(|error| JournalError::disk(format!("read {name}"), error))?;
        let damaged = |cause| JournalError::damaged(name, 0, cause);
        let head = bytes.first_chunk::<HEADER_BYTES>().ok_or_else(|| damaged("the snapshot ends too early"))?;
        if u32_at(head, 8) != MAGIC {
            return Err(damaged("the snapshot has a wrong checksum"));
        }
        let whole = match head[12] {
            1 => &bytes[8..],
            VERSION => &head[8..],
            version => return Err(JournalError::Version { file: name.to_owned(), version }),
        };
        if xxh3_64_with_seed(whole, seed) != u64_at(head, 0) {
            return Err(damaged("the snapshot has a wrong checksum"));
        }
        let shard = ShardId(u16::from_le_bytes([head[14], head[15]]));
        if snapshot_name(shard, u64_at(head, 16)) != name {
            return Err(damaged("the snapshot belongs to another file"));
        }
        let plain = usize::try_from(u64_at(head, 24)).map_err(|_| damaged("the snapshot is too long"))?;
        let pieces = match head[12] {
            1 => vec![(HEADER_BYTES..bytes.len(), plain)],
            _ => pieces(name, seed, &bytes, plain)?,
        };
        Ok(Stored { bytes, plain, pieces })
    }

    fn state(&self, name: &str) -> Result<Vec<u8>, JournalError> {
        let mut state = vec![0; self.plain];
        let mut rest = &mut state[..];
        for (place, plain) in &self.pieces {
            let damaged = || JournalError::damaged(name, place.start as u64, "the snapshot is compressed wrongly");
            let stored = &self.bytes[place.clone()];
            let (piece, behind) = rest.split_at_mut_checked(*plain).ok_or_else(damaged)?;
            if stored.len() == *plain {
                piece.copy_from_slice(stored);
            } else if lz4_flex::block::decompress_into(stored, piece).ok() != Some(*plain) {
                return Err(damaged());
            }
            rest = behind;
        }
        Ok(state)
    }
}

fn pieces(name: &str, seed: u64, bytes: &[u8], plain: usize) -> Result<Vec<(Range<usize>, usize)>, JournalError> {
    let (mut pieces, mut at, mut place) = (Vec::new(), HEADER_BYTES, 0);
    while place < plain {
        let damaged = |cause| JournalError::damaged(name, at as u64, cause);
        let short = || damaged("the snapshot ends too early");
        let head = bytes[at..].first_chunk::<PIECE_HEADER_BYTES>().ok_or_else(short)?;
        let content = at + PIECE_HEADER_BYTES..at + PIECE_HEADER_BYTES + u32_at(head, 8) as usize;
        let whole = bytes.get(at + 8..content.end).ok_or_else(short)?;
        if xxh3_64_with_seed(whole, seed.wrapping_add(place as u64)) != u64_at(head, 0) {
            return Err(damaged("a piece of the snapshot has a wrong checksum"));
        }
        let length = u32_at(head, 12) as usize;
        at = content.end;
        place += length;
        pieces.push((content, length));
    }
    if at == bytes.len() && place == plain {
        Ok(pieces)
    } else {
        Err(JournalError::damaged(name, at as u64, "the snapshot has another length"))
    }
}

/// Stores a snapshot; when it is on the disk, the older ones of its shard go.
pub(super) fn put_snapshot(disk: &Disk, seed: u64, snapshot: &Snapshot) -> Result<(), JournalError> {
    let name = snapshot_name(snapshot.shard, snapshot.block);
    let stored = disk.put_written(&name, |file| snapshot.write(seed, file));
    stored.map_err(|error| JournalError::disk(format!("write {name}"), error))?;
    let names = disk.names().map_err(|error| JournalError::disk("list the directory", error))?;
    for old in names
        .iter()
        .filter(|old| snapshot_of(old).is_some_and(|(shard, block)| shard == snapshot.shard && block < snapshot.block))
    {
        disk.remove(old).map_err(|error| JournalError::disk(format!("remove {old}"), error))?;
    }
    Ok(())
}

/// The block of the newest whole snapshot of each shard. One that is damaged is passed over for an older one, or for the blocks;
/// when those are no longer there either, its shard can't be recovered.
pub(super) fn newest_snapshots(
    disk: &Disk,
    seed: u64,
    names: &[String],
    blocks: Range<u64>,
) -> Result<BTreeMap<ShardId, u64>, JournalError> {
    let mut found: BTreeMap<ShardId, u64> = BTreeMap::new();
    let mut damaged: BTreeMap<ShardId, JournalError> = BTreeMap::new();
    for name in names {
        let Some((shard, block)) = snapshot_of(name) else { continue };
        match Stored::read(disk, seed, name) {
            Ok(_) if block >= blocks.end => {
                let cause = format!("block {block} is gone, of which {name} holds the state");
                return Err(JournalError::damaged(name, 0, cause));
            }
            // In the order of their names the newest of a shard is the last.
            Ok(_) => drop(found.insert(shard, block)),
            Err(error @ JournalError::Damaged { .. }) => {
                tracing::warn!(%error, "passed over a snapshot");
                damaged.insert(shard, error);
            }
            Err(error) => return Err(error),
        }
    }
    for (shard, error) in damaged {
        if found.get(&shard).map_or(1, |block| block + 1) < blocks.start {
            return Err(error);
        }
    }
    Ok(found)
}

/// The state in the snapshot of a shard after a block.
pub(super) fn load_snapshot(disk: &Disk, seed: u64, shard: ShardId, block: u64) -> Result<Vec<u8>, JournalError> {
    let name = snapshot_name(shard, block);
    Stored::read(disk, seed, &name)?.state(&name)
}

fn snapshot_name(shard: ShardId, block: u64) -> String {
    format!("{:04x}-{block:016x}{ENDING}", shard.0)
}

/// Shard and block of the snapshot with this file name.
fn snapshot_of(name: &str) -> Option<(ShardId, u64)> {
    let (shard, block) = name.strip_suffix(ENDING)?.split_once('-')?;
    let shard = ShardId(u16::from_str_radix(shard, 16).ok()?);
    let block = u64::from_str_radix(block, 16).ok()?;
    (snapshot_name(shard, block) == name).then_some((shard, block))
}

#[cfg(test)]
mod tests {
    use super::super::disk::{Disk, Storage};
    use super::super::memory::MemoryDisk;
    use super::*;

    const SEED: u64 = 0x7431;

    /// More than a piece, in parts, some of which compress.
    fn state() -> Vec<u8> {
        let mut state: u32 = 1;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..2_600_000).map(|at| if at < 1_500_000 { noise() } else { 7 }).collect()
    }

    fn disk() -> (MemoryDisk, Disk) {
        let memory = MemoryDisk::new();
        let (disk, _lock) = Disk::open(Storage::Memory(memory.clone())).expect("opened").expect("free");
        (memory, disk)
    }

    #[test]
    fn a_state_of_many_parts_comes_back() {
        let (memory, disk) = disk();
        for length in [0, 1, 2_600_000] {
            let snapshot = Snapshot { shard: ShardId(3), block: 9, state: state()[..length].to_vec().into() };
            put_snapshot(&disk, SEED, &snapshot).expect("stored");
            let loaded = load_snapshot(&disk, SEED, ShardId(3), 9).expect("there");
            assert!(loaded == snapshot.state.to_vec(), "{length}");
        }
        assert!(memory.bytes_used() < 1_600_000);
    }

    #[test]
    fn a_changed_bit_anywhere_is_found() {
        let (memory, disk) = disk();
        let snapshot = Snapshot { shard: ShardId(3), block: 9, state: state().into() };
        put_snapshot(&disk, SEED, &snapshot).expect("stored");
        let name = snapshot_name(ShardId(3), 9);
        let bits = memory.bytes_used() as usize * 8;
        for bit in (0..400).chain((400..bits).step_by(bits / 150)).chain(bits - 8..bits) {
            memory.flip(&name, bit);
            assert!(load_snapshot(&disk, SEED, ShardId(3), 9).is_err(), "bit {bit}");
            memory.flip(&name, bit);
        }
        assert!(load_snapshot(&disk, SEED + 1, ShardId(3), 9).is_err(), "one of another journal");
    }

    /// As version 1 wrote it: all in one piece.
    #[test]
    fn version_1_is_read() {
        let (memory, disk) = disk();
        for flags in [0, 1] {
            let plain = b"the state of a shard, the state of a shard, the state of a shard".to_vec();
            let mut bytes = vec![0; HEADER_BYTES];
            bytes[8..12].copy_from_slice(b"TRJP");
            bytes[12..16].copy_from_slice(&[1, flags, 3, 0]);
            bytes[16..24].copy_from_slice(&9_u64.to_le_bytes());
            bytes[24..32].copy_from_slice(&(plain.len() as u64).to_le_bytes());
            match flags {
                0 => bytes.extend_from_slice(&plain),
                _ => bytes.extend_from_slice(&lz4_flex::block::compress(&plain)),
            }
            let checksum = xxh3_64_with_seed(&bytes[8..], SEED);
            bytes[..8].copy_from_slice(&checksum.to_le_bytes());
            memory.put(&snapshot_name(ShardId(3), 9), &bytes).expect("room");
            assert_eq!(load_snapshot(&disk, SEED, ShardId(3), 9).expect("readable"), plain);
        }
    }

    #[test]
    fn a_newer_version_is_an_error_of_its_own() {
        let (memory, disk) = disk();
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[8..12].copy_from_slice(b"TRJP");
        bytes[12] = VERSION + 1;
        memory.put(&snapshot_name(ShardId(3), 9), &bytes).expect("room");
        let found = newest_snapshots(&disk, SEED, &memory.names(), 1..10);
        assert!(matches!(found, Err(JournalError::Version { version: 3, .. })), "{found:?}");
    }
}
