//! A shard's whole state after a block, in a file of its own: recovery begins with it instead of the shard's earlier blocks.
//!
//! Little-endian: checksum `u64` of all that follows, seeded with the journal's number · magic `u32` · version `u8` · flags
//! `u8` · shard `u16` · number of the block `u64` · plain length `u64` · body, compressed or plain.

use std::collections::BTreeMap;

use trinity_engine::ids::ShardId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::disk::Disk;
use super::error::JournalError;
use super::format::{u32_at, u64_at};

const MAGIC: u32 = u32::from_le_bytes(*b"TRJP");
const VERSION: u8 = 1;
const FLAG_LZ4: u8 = 1;
const HEADER_BYTES: usize = 32;
const ENDING: &str = ".snapshot";

/// The state of a shard after a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub shard: ShardId,
    /// The number of the block.
    pub block: u64,
    pub state: Vec<u8>,
}

impl Snapshot {
    pub fn name(&self) -> String {
        snapshot_name(self.shard, self.block)
    }

    pub fn encode(&self, seed: u64) -> Vec<u8> {
        let packed = lz4_flex::block::compress(&self.state);
        let (flags, body) = match packed.len() < self.state.len() - self.state.len() / 8 {
            true => (FLAG_LZ4, &packed),
            false => (0, &self.state),
        };
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[8..12].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[12..14].copy_from_slice(&[VERSION, flags]);
        bytes[14..16].copy_from_slice(&self.shard.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.block.to_le_bytes());
        bytes[24..32].copy_from_slice(&(self.state.len() as u64).to_le_bytes());
        bytes.extend_from_slice(body);
        let checksum = xxh3_64_with_seed(&bytes[8..], seed);
        bytes[..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(name: &str, seed: u64, bytes: &[u8]) -> Result<Snapshot, JournalError> {
        let damaged = |cause| JournalError::damaged(name, 0, cause);
        let (head, body) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(|| damaged("the snapshot ends too early"))?;
        if xxh3_64_with_seed(&bytes[8..], seed) != u64_at(head, 0) || u32_at(head, 8) != MAGIC {
            return Err(damaged("the snapshot has a wrong checksum"));
        }
        if head[12] != VERSION {
            return Err(JournalError::Version { file: name.to_owned(), version: head[12] });
        }
        let plain = usize::try_from(u64_at(head, 24)).map_err(|_| damaged("the snapshot is too long"))?;
        let state = match head[13] {
            0 => body.to_vec(),
            FLAG_LZ4 => {
                lz4_flex::block::decompress(body, plain).map_err(|_| damaged("the snapshot is compressed wrongly"))?
            }
            _ => return Err(damaged("the snapshot has unknown flags")),
        };
        let snapshot =
            Snapshot { shard: ShardId(u16::from_le_bytes([head[14], head[15]])), block: u64_at(head, 16), state };
        let whole = snapshot.state.len() == plain && snapshot.name() == name;
        whole.then_some(snapshot).ok_or_else(|| damaged("the snapshot belongs to another file"))
    }
}

/// Stores a snapshot; when it is on the disk, the older ones of its shard go.
pub(super) fn put_snapshot(disk: &Disk, seed: u64, snapshot: &Snapshot) -> Result<(), JournalError> {
    let name = snapshot.name();
    disk.put(&name, &snapshot.encode(seed)).map_err(|error| JournalError::disk(format!("write {name}"), error))?;
    let names = disk.names().map_err(|error| JournalError::disk("list the directory", error))?;
    for old in names
        .iter()
        .filter(|old| snapshot_of(old).is_some_and(|(shard, block)| shard == snapshot.shard && block < snapshot.block))
    {
        disk.remove(old).map_err(|error| JournalError::disk(format!("remove {old}"), error))?;
    }
    Ok(())
}

/// The newest whole snapshot of each shard. One that is damaged is passed over for an older one, or for the blocks; when
/// those are no longer there either, its shard can't be recovered.
pub(super) fn newest_snapshots(
    disk: &Disk,
    seed: u64,
    names: &[String],
    blocks: std::ops::Range<u64>,
) -> Result<BTreeMap<ShardId, Snapshot>, JournalError> {
    let mut found: BTreeMap<ShardId, Snapshot> = BTreeMap::new();
    let mut damaged: BTreeMap<ShardId, JournalError> = BTreeMap::new();
    for name in names {
        let Some((shard, block)) = snapshot_of(name) else { continue };
        let bytes = disk.read_all(name).map_err(|error| JournalError::disk(format!("read {name}"), error))?;
        match Snapshot::decode(name, seed, &bytes) {
            Ok(snapshot) if block >= blocks.end => {
                let cause = format!("block {} is gone, of which {name} holds the state", snapshot.block);
                return Err(JournalError::damaged(name, 0, cause));
            }
            Ok(snapshot) if found.get(&shard).is_none_or(|other| other.block < block) => {
                found.insert(shard, snapshot);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "passed over a snapshot");
                damaged.insert(shard, error);
            }
        }
    }
    for (shard, error) in damaged {
        if found.get(&shard).map_or(1, |snapshot| snapshot.block + 1) < blocks.start {
            return Err(error);
        }
    }
    Ok(found)
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
