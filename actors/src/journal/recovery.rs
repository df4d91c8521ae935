//! What a segment's bytes mean after a crash: how far they are whole, and whether their end is a torn tail, which is
//! cut, or damage in the middle, which is reported and never served.

use super::format::{Block, END_BYTES, FRAME_ALIGNMENT, FRAME_HEADER_BYTES, FormatError, block_end, decode_mark};

/// How the whole blocks of a segment end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentEnd {
    /// Nothing but zeros follows, or the next segment.
    Clean,
    /// What follows did not reach the disk whole, and nothing says that it ever was there: cut it.
    Torn,
    /// A block is unreadable although something behind it says that it was on the disk: acknowledged data is damaged.
    Damaged {
        /// Why the block at [`SegmentScan::end`] can't be read.
        cause: FormatError,
        /// Where that something is.
        proof: usize,
    },
}

/// The whole blocks at the start of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentScan {
    /// Where the last whole block ends: the place of the next append, unless the segment is damaged.
    pub end: usize,
    /// The sequence number of the next append.
    pub next_sequence: u64,
    /// The last block that was known to be on the disk when the last whole one was written; 0 without a whole one.
    pub synced: u64,
    /// What follows.
    pub outcome: SegmentEnd,
}

/// Reads a segment whose blocks begin at `start` with number `first_sequence`, up to the block before number `before`, where the
/// next segment begins; hands each whole block and its place to `each`.
pub fn scan_segment(
    seed: u64,
    bytes: &[u8],
    start: usize,
    first_sequence: u64,
    before: u64,
    mut each: impl FnMut(usize, &Block<'_>),
) -> SegmentScan {
    let (mut end, mut next_sequence, mut synced) = (start, first_sequence, 0);
    let cause = loop {
        if next_sequence == before {
            return SegmentScan { end, next_sequence, synced, outcome: SegmentEnd::Clean };
        }
        match block_with(seed, &bytes[end..], next_sequence) {
            Ok(block) => {
                each(end, &block);
                end += block.frame_bytes;
                next_sequence += 1;
                synced = block.synced;
            }
            Err(cause) => break cause,
        }
    };
    let outcome = if bytes[end..].iter().all(|&byte| byte == 0) {
        SegmentEnd::Clean
    } else {
        let proof = || proof_after(seed, bytes, end, next_sequence);
        match whole_end(seed, bytes, end, next_sequence).or_else(proof) {
            Some(proof) => SegmentEnd::Damaged { cause, proof },
            None => SegmentEnd::Torn,
        }
    };
    SegmentScan { end, next_sequence, synced, outcome }
}

fn block_with(seed: u64, bytes: &[u8], sequence: u64) -> Result<Block<'_>, FormatError> {
    let block = Block::decode(seed, bytes)?;
    if block.sequence == sequence { Ok(block) } else { Err(FormatError::Damaged { what: "wrong sequence number" }) }
}

/// The place behind `end` of a whole block, or a mark, that says that block `sequence` was on the disk.
fn proof_after(seed: u64, bytes: &[u8], end: usize, sequence: u64) -> Option<usize> {
    let mut places = (end..bytes.len()).step_by(FRAME_ALIGNMENT);
    places.find(|&at| {
        let synced = decode_mark(seed, &bytes[at..]).or_else(|| Some(Block::decode(seed, &bytes[at..]).ok()?.synced));
        synced.is_some_and(|synced| synced >= sequence)
    })
}

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// The end of the block `sequence` that begins at `start` and can't be read, when all of it was written: its end is there,
/// and no sector before it is still zeros.
fn whole_end(seed: u64, bytes: &[u8], start: usize, sequence: u64) -> Option<usize> {
    let wanted = block_end(seed, sequence);
    let mut places = (start + FRAME_HEADER_BYTES..bytes.len()).step_by(FRAME_ALIGNMENT);
    let end = places.find(|&at| bytes[at..].starts_with(&wanted))?;
    let is_written = |from: usize| {
        let sector = &bytes[from.max(start)..(from + SECTOR_BYTES).min(end + END_BYTES)];
        sector.iter().any(|&byte| byte != 0)
    };
    let first = start / SECTOR_BYTES * SECTOR_BYTES;
    (first..end + END_BYTES).step_by(SECTOR_BYTES).all(is_written).then_some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trinity_engine::ids::ShardId;
    use trinity_engine::time::Timestamp;

    use super::super::ShardBatch;
    use super::super::format::BlockEncoder;
    use super::*;

    const SEED: u64 = 0x7431;
    const START: usize = 64;
    const FIRST: u64 = 40;

    /// A segment with room behind its blocks, and where each block ends.
    fn segment(contents: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let mut bytes = vec![0; START];
        let mut encoder = BlockEncoder::new(SEED);
        let mut ends = Vec::new();
        for (number, content) in (FIRST..).zip(contents) {
            let batch = ShardBatch { shard: ShardId(1), records: content.clone(), snapshot: None };
            bytes.extend_from_slice(
                encoder.encode(number, number - 1, Timestamp(number), &[batch]).expect("short enough"),
            );
            ends.push(bytes.len());
        }
        bytes.resize(bytes.len() + 256, 0);
        (bytes, ends)
    }

    fn scan(bytes: &[u8]) -> (SegmentScan, Vec<u64>) {
        let mut seen = Vec::new();
        let scan = scan_segment(SEED, bytes, START, FIRST, u64::MAX, |_, block| seen.push(block.sequence));
        (scan, seen)
    }

    fn contents() -> impl Strategy<Value = Vec<Vec<u8>>> {
        proptest::collection::vec(proptest::collection::vec(1..=255_u8, 1..80), 1..6)
    }

    #[test]
    fn a_crash_at_any_byte_of_the_last_append_keeps_all_before_it() {
        let (whole, ends) = segment(&[b"first".to_vec(), b"second".to_vec(), b"the last record".to_vec()]);
        for cut in ends[1]..ends[2] {
            let mut bytes = whole.clone();
            bytes[cut..].fill(0);
            let (scan, seen) = scan(&bytes);
            if bytes[..ends[2] - END_BYTES] == whole[..ends[2] - END_BYTES] {
                // Only its end is torn, or padding: the block itself is whole.
                assert_eq!((scan.outcome, seen.len()), (SegmentEnd::Clean, 3));
                continue;
            }
            let outcome = if cut == ends[1] { SegmentEnd::Clean } else { SegmentEnd::Torn };
            let expected = SegmentScan { end: ends[1], next_sequence: FIRST + 2, synced: FIRST, outcome };
            assert_eq!((scan, seen), (expected, vec![FIRST, FIRST + 1]), "cut at {cut}");
        }
    }

    #[test]
    fn a_block_inside_a_torn_payload_is_not_taken_for_ours() {
        let batch = ShardBatch { shard: ShardId(1), records: b"forged".to_vec(), snapshot: None };
        let forged =
            BlockEncoder::new(SEED + 1).encode(FIRST + 9, FIRST + 8, Timestamp(1), &[batch]).expect("short").to_vec();
        let (mut bytes, ends) = segment(&[b"first".to_vec(), forged]);
        bytes[ends[0]] ^= 1;
        // Its end did not reach the disk.
        bytes[ends[1] - 1] ^= 1;
        let (scan, seen) = scan(&bytes);
        assert_eq!((scan.outcome, seen), (SegmentEnd::Torn, vec![FIRST]));
    }

    #[test]
    fn a_block_of_which_a_sector_was_not_written_is_torn_although_its_end_is_there() {
        let noise = |length: usize| (0..length).map(|at| (at * at * 31 % 251) as u8 | 1).collect::<Vec<u8>>();
        let (whole, ends) = segment(&[b"first".to_vec(), noise(3_000)]);
        for sector in ends[0] / SECTOR_BYTES..ends[1] / SECTOR_BYTES {
            let mut bytes = whole.clone();
            bytes[(sector * SECTOR_BYTES).max(ends[0])..(sector + 1) * SECTOR_BYTES].fill(0);
            let (scan, _) = scan(&bytes);
            assert_eq!((scan.end, scan.outcome), (ends[0], SegmentEnd::Torn), "sector {sector}");
        }
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_damage_with_its_place_in_the_last_block_too(
            contents in contents(), place: prop::sample::Index,
        ) {
            let (mut bytes, ends) = segment(&contents);
            let bits = (ends[ends.len() - 1] - START) * 8;
            let bit = START * 8 + place.index(bits);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let hit = ends.iter().position(|&end| bit / 8 < end).expect("within the blocks");
            let (scan, seen) = scan(&bytes);
            if bit / 8 >= ends[hit] - END_BYTES {
                // The end says nothing of its own: the block is whole.
                prop_assert_eq!((seen.len(), scan.outcome), (ends.len(), SegmentEnd::Clean));
                return Ok(());
            }
            prop_assert_eq!(seen.len(), hit, "the blocks before it, and no others, are served");
            prop_assert_eq!(scan.end, if hit == 0 { START } else { ends[hit - 1] });
            let found = matches!(scan.outcome, SegmentEnd::Damaged { proof, .. } if proof == ends[hit] - END_BYTES);
            prop_assert!(found, "{:?}", scan.outcome);
        }

        #[test]
        fn what_was_appended_is_found(contents in contents()) {
            let (bytes, ends) = segment(&contents);
            let (scan, seen) = scan(&bytes);
            prop_assert_eq!(seen.len(), contents.len());
            let last = *ends.last().expect("at least one");
            let next_sequence = FIRST + contents.len() as u64;
            let synced = next_sequence - 2;
            prop_assert_eq!(scan, SegmentScan { end: last, next_sequence, synced, outcome: SegmentEnd::Clean });
        }
    }
}
