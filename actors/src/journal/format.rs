//! A block: what one commit stores of all shards. `docs/journal.md` specifies it byte by byte.
//!
//! Frame, little-endian, its length a multiple of 8: checksum `u64` of all that follows · magic `u32` · version `u8` ·
//! flags `u8` · 2 zero bytes · sequence `u64` · time `u64` · stored length `u32` · plain length `u32` · batches `u32` ·
//! unsynced `u32` · body · zero bytes · end. The body, compressed or plain, holds per batch: shard `u16` · 2 zero bytes ·
//! length `u32` · records. The checksum does not go over the end: 8 bytes by which a block that was written whole and then
//! changed can be told from one that was never written whole. Version 1 had none.

use std::borrow::Cow;

use trinity_engine::ids::ShardId;
use trinity_engine::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::ShardBatch;

/// Bytes of a frame before its body.
pub const FRAME_HEADER_BYTES: usize = 48;
/// A frame begins only at multiples of it.
pub const FRAME_ALIGNMENT: usize = 8;
/// Bytes of the end of a block.
pub(super) const END_BYTES: usize = 8;
/// The longest plain body: a longer commit is refused before anything is written.
pub const BODY_BYTES_MAX: usize = 64 << 20;

const MAGIC: u32 = u32::from_le_bytes(*b"TRJB");
const VERSION: u8 = 2;
const MARK_VERSION: u8 = 1;
const FLAG_LZ4: u8 = 1;
const BATCH_HEADER_BYTES: usize = 8;

/// Why a block can't be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The batches are longer than [`BODY_BYTES_MAX`] together.
    #[error("a commit of {bytes} bytes is longer than a block may be ({BODY_BYTES_MAX})")]
    TooLong {
        /// Their length.
        bytes: usize,
    },
    /// The bytes end before the block does.
    #[error("the block ends too early")]
    Short,
    /// The bytes are no block of this journal, or were changed.
    #[error("not a block: {what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
}

/// Makes frames; keeps its buffers from one to the next.
#[derive(Debug)]
pub struct BlockEncoder {
    /// Seeds every checksum, so that blocks of another journal, or bytes of a payload, never pass for ours.
    seed: u64,
    body: Vec<u8>,
    frame: Vec<u8>,
}

impl BlockEncoder {
    /// For the journal with this random number.
    #[must_use]
    pub fn new(seed: u64) -> BlockEncoder {
        BlockEncoder { seed, body: Vec::new(), frame: Vec::new() }
    }

    /// The frame of one commit, valid until the next call. `synced` is the number of the last block that is known to be
    /// on the disk, below `sequence`.
    ///
    /// # Errors
    /// [`FormatError::TooLong`]; nothing was written then.
    pub fn encode(
        &mut self,
        sequence: u64,
        synced: u64,
        time: Timestamp,
        batches: &[ShardBatch],
    ) -> Result<&[u8], FormatError> {
        let plain: usize = batches.iter().map(|batch| BATCH_HEADER_BYTES + batch.records.len()).sum();
        if plain > BODY_BYTES_MAX {
            return Err(FormatError::TooLong { bytes: plain });
        }
        self.body.clear();
        for batch in batches {
            self.body.extend_from_slice(&batch.shard.0.to_le_bytes());
            self.body.extend_from_slice(&[0; 2]);
            self.body.extend_from_slice(&number(batch.records.len()));
            self.body.extend_from_slice(&batch.records);
        }
        let (stored, flags) = self.store_body();
        let head = &mut self.frame[..FRAME_HEADER_BYTES];
        head[8..12].copy_from_slice(&MAGIC.to_le_bytes());
        head[12..16].copy_from_slice(&[VERSION, flags, 0, 0]);
        head[16..24].copy_from_slice(&sequence.to_le_bytes());
        head[24..32].copy_from_slice(&time.micros().to_le_bytes());
        head[32..36].copy_from_slice(&number(stored));
        head[36..40].copy_from_slice(&number(plain));
        head[40..44].copy_from_slice(&number(batches.len()));
        let unsynced = u32::try_from(sequence - 1 - synced).expect("a sync comes after far fewer blocks");
        head[44..48].copy_from_slice(&unsynced.to_le_bytes());
        let frame = &mut self.frame[..frame_bytes(VERSION, stored)];
        let (content, end) = frame.split_at_mut(frame.len() - END_BYTES);
        content[FRAME_HEADER_BYTES + stored..].fill(0);
        let checksum = xxh3_64_with_seed(&content[8..], self.seed);
        content[..8].copy_from_slice(&checksum.to_le_bytes());
        end.copy_from_slice(&block_end(self.seed, sequence));
        Ok(frame)
    }

    /// Puts the body behind a free header, compressed when that saves an eighth; answers its length and the flags.
    fn store_body(&mut self) -> (usize, u8) {
        let plain = self.body.len();
        let room = FRAME_HEADER_BYTES
            + lz4_flex::block::get_maximum_output_size(plain).max(plain)
            + FRAME_ALIGNMENT
            + END_BYTES;
        if self.frame.len() < room {
            self.frame.resize(room, 0);
        }
        let place = &mut self.frame[FRAME_HEADER_BYTES..];
        match lz4_flex::block::compress_into(&self.body, place) {
            Ok(length) if length < plain - plain / 8 => (length, FLAG_LZ4),
            _ => {
                place[..plain].copy_from_slice(&self.body);
                (plain, 0)
            }
        }
    }
}

/// One block, its checksum verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its number, without gaps from the journal's first.
    pub sequence: u64,
    /// When it was committed.
    pub time: Timestamp,
    /// The number of the last block that was known to be on the disk when this one was written.
    pub synced: u64,
    /// Bytes of its frame: the next one begins so much further.
    pub frame_bytes: usize,
    body: Cow<'a, [u8]>,
}

impl<'a> Block<'a> {
    /// Reads the block that begins at the start of `bytes`.
    ///
    /// # Errors
    /// [`FormatError::Short`] or [`FormatError::Damaged`]; nothing of such a block may be used.
    pub fn decode(seed: u64, bytes: &'a [u8]) -> Result<Block<'a>, FormatError> {
        let head = bytes.first_chunk::<FRAME_HEADER_BYTES>().ok_or(FormatError::Short)?;
        if u32_at(head, 8) != MAGIC {
            return Err(damaged("no magic number"));
        }
        let (stored, plain) = (u32_at(head, 32) as usize, u32_at(head, 36) as usize);
        if plain > BODY_BYTES_MAX || stored > plain {
            return Err(damaged("impossible lengths"));
        }
        if !(1..=VERSION).contains(&head[12]) {
            return Err(damaged("unknown version"));
        }
        let frame_bytes = frame_bytes(head[12], stored);
        let frame = bytes.get(..frame_bytes).ok_or(FormatError::Short)?;
        if xxh3_64_with_seed(&frame[8..frame_bytes - end_bytes(head[12])], seed) != u64_at(head, 0) {
            return Err(damaged("wrong checksum"));
        }
        let stored = &frame[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + stored];
        let body = match head[13] {
            0 if stored.len() == plain => Cow::Borrowed(stored),
            FLAG_LZ4 => {
                let mut body = vec![0; plain];
                let length = lz4_flex::block::decompress_into(stored, &mut body);
                if !length.is_ok_and(|length| length == plain) {
                    return Err(damaged("wrong compression"));
                }
                Cow::Owned(body)
            }
            _ => return Err(damaged("unknown flags")),
        };
        let sequence = u64_at(head, 16);
        let synced = sequence.checked_sub(1 + u64::from(u32_at(head, 44))).ok_or(damaged("impossible numbers"))?;
        let block = Block { sequence, synced, time: Timestamp(u64_at(head, 24)), frame_bytes, body };
        if block.read_batches(|_, _| ()) != Some(u32_at(head, 40)) {
            return Err(damaged("wrong batches"));
        }
        Ok(block)
    }

    /// Its batches in order: shard and records.
    #[must_use]
    pub fn batches(&self) -> Vec<(ShardId, &[u8])> {
        let mut batches = Vec::new();
        self.read_batches(|shard, records| batches.push((shard, records)));
        batches
    }

    /// Calls `each` per batch; how many there were, `None` when the body is not made of whole batches.
    fn read_batches<'b>(&'b self, mut each: impl FnMut(ShardId, &'b [u8])) -> Option<u32> {
        let mut rest: &[u8] = &self.body;
        let mut count = 0;
        while let Some((head, after)) = rest.split_first_chunk::<BATCH_HEADER_BYTES>() {
            let (records, next) = after.split_at_checked(u32_at(head, 4) as usize)?;
            each(ShardId(u16::from_le_bytes([head[0], head[1]])), records);
            count += 1;
            rest = next;
        }
        rest.is_empty().then_some(count)
    }
}

/// Bytes of a mark.
pub(super) const MARK_BYTES: usize = 24;
const MARK_MAGIC: u32 = u32::from_le_bytes(*b"TRJM");

/// A mark behind the last block, written when the journal is closed: the blocks up to this number are on the disk.
/// Checksum `u64` of all that follows · magic `u32` · version `u8` · 3 zero bytes · number `u64`.
pub(super) fn encode_mark(seed: u64, synced: u64) -> [u8; MARK_BYTES] {
    let mut mark = [0; MARK_BYTES];
    mark[8..12].copy_from_slice(&MARK_MAGIC.to_le_bytes());
    mark[12] = MARK_VERSION;
    mark[16..].copy_from_slice(&synced.to_le_bytes());
    let checksum = xxh3_64_with_seed(&mark[8..], seed);
    mark[..8].copy_from_slice(&checksum.to_le_bytes());
    mark
}

/// The number in the mark at the start of `bytes`, if there is one.
pub(super) fn decode_mark(seed: u64, bytes: &[u8]) -> Option<u64> {
    let mark = bytes.first_chunk::<MARK_BYTES>()?;
    let whole = u32_at(mark, 8) == MARK_MAGIC
        && mark[12] == MARK_VERSION
        && xxh3_64_with_seed(&mark[8..], seed) == u64_at(mark, 0);
    whole.then(|| u64_at(mark, 16))
}

/// What stands at the end of the block with this number.
pub(super) fn block_end(seed: u64, sequence: u64) -> [u8; END_BYTES] {
    xxh3_64_with_seed(&sequence.to_le_bytes(), seed).to_le_bytes()
}

fn frame_bytes(version: u8, stored: usize) -> usize {
    (FRAME_HEADER_BYTES + stored).next_multiple_of(FRAME_ALIGNMENT) + end_bytes(version)
}

fn end_bytes(version: u8) -> usize {
    if version == 1 { 0 } else { END_BYTES }
}

fn damaged(what: &'static str) -> FormatError {
    FormatError::Damaged { what }
}

/// A length within [`BODY_BYTES_MAX`], as stored.
fn number(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("no longer than a body may be").to_le_bytes()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
