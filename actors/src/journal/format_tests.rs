//! Proofs of the block format.

use proptest::prelude::*;
use trinity_engine::ids::ShardId;
use trinity_engine::time::Timestamp;

use super::ShardBatch;
use super::format::{BODY_BYTES_MAX, Block, BlockEncoder, END_BYTES, FormatError};

const SEED: u64 = 0x7431;

fn batches() -> impl Strategy<Value = Vec<ShardBatch>> {
    let records = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        (any::<u8>(), 0..2_000_usize).prop_map(|(byte, length)| vec![byte; length]),
    ];
    let batch = (0..4096_u16, records).prop_map(|(shard, records)| ShardBatch {
        shard: ShardId(shard),
        records,
        snapshot: None,
    });
    proptest::collection::vec(batch, 0..5)
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(batches in batches(), sequence in 100_u64.., lag in 1..100_u64, time: u64, after in 0..20_usize) {
        let mut frame = BlockEncoder::new(SEED).encode(sequence, sequence - lag, Timestamp(time), &batches).expect("short enough").to_vec();
        let length = frame.len();
        prop_assert_eq!(length % 8, 0);
        frame.resize(length + after, 0xAA);
        let block = Block::decode(SEED, &frame).expect("a block");
        prop_assert_eq!((block.sequence, block.synced, block.time, block.frame_bytes), (sequence, sequence - lag, Timestamp(time), length));
        let read: Vec<_> = block.batches().into_iter().map(|(shard, records)| (shard, records.to_vec())).collect();
        let written: Vec<_> = batches.into_iter().map(|batch| (batch.shard, batch.records)).collect();
        prop_assert_eq!(read, written);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found(batches in batches(), place: prop::sample::Index) {
        let mut frame = BlockEncoder::new(SEED).encode(9, 8, Timestamp(1), &batches).expect("short enough").to_vec();
        let bit = place.index(frame.len() * 8);
        let is_end = bit / 8 >= frame.len() - END_BYTES;
        frame[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(Block::decode(SEED, &frame).is_ok(), is_end, "the end changes nothing");
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Block::decode(SEED, &bytes).is_err());
    }
}

fn one_batch() -> Vec<ShardBatch> {
    vec![ShardBatch { shard: ShardId(3), records: b"some records of a shard".to_vec(), snapshot: None }]
}

#[test]
fn a_block_cut_anywhere_or_torn_to_zeros_is_refused() {
    let frame = BlockEncoder::new(SEED).encode(9, 8, Timestamp(1), &one_batch()).expect("short enough").to_vec();
    // The last bytes are padding, zero when written whole, and the end: tearing them changes nothing.
    let meaning = 48 + 8 + one_batch()[0].records.len();
    for end in 0..frame.len() {
        assert!(Block::decode(SEED, &frame[..end]).is_err(), "cut at {end}");
        let mut torn = frame[..end].to_vec();
        torn.resize(frame.len(), 0);
        assert_eq!(Block::decode(SEED, &torn).is_ok(), end >= meaning, "torn at {end}");
    }
}

#[test]
fn a_block_of_another_journal_is_refused() {
    let frame = BlockEncoder::new(SEED + 1).encode(9, 8, Timestamp(1), &one_batch()).expect("short enough").to_vec();
    assert_eq!(Block::decode(SEED, &frame), Err(FormatError::Damaged { what: "wrong checksum" }));
}

#[test]
fn repeating_records_are_stored_compressed_and_buffers_are_reused() {
    let mut encoder = BlockEncoder::new(SEED);
    let long = vec![ShardBatch { shard: ShardId(0), records: b"the same words ".repeat(1_000), snapshot: None }];
    let frame = encoder.encode(1, 0, Timestamp(1), &long).expect("short enough");
    assert!(frame.len() < 1_000, "{} bytes", frame.len());
    let frame = encoder.encode(2, 1, Timestamp(2), &one_batch()).expect("short enough");
    assert_eq!(Block::decode(SEED, frame).expect("a block").batches(), [(ShardId(3), &one_batch()[0].records[..])]);
}

#[test]
fn a_commit_beyond_the_limit_is_refused() {
    let long = vec![ShardBatch { shard: ShardId(0), records: vec![0; BODY_BYTES_MAX], snapshot: None }];
    let error = BlockEncoder::new(SEED).encode(1, 0, Timestamp(1), &long).expect_err("too long");
    assert_eq!(error, FormatError::TooLong { bytes: BODY_BYTES_MAX + 8 });
}
