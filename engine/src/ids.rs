//! Identifiers. Each is a newtype, so that one can't stand where another belongs.

use std::fmt;
use std::str::FromStr;

use ecow::EcoString;

use crate::time::Timestamp;

/// A shard: the unit of ownership of executions. At most 4,096, for it has 12 bits in an [`ExecutionId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The highest number of shards.
    pub const COUNT_MAX: u16 = 4096;

    /// The shard of a partition key (an event's subject or Kafka key): a stable hash, the same on every node and release.
    #[must_use]
    pub fn of_key(key: &[u8], shards: u16) -> ShardId {
        let hash = xxhash_rust::xxh3::xxh3_64(key);
        ShardId(u16::try_from(hash % u64::from(shards)).unwrap_or(0))
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One version of one workflow definition: a dense number given by the metadata store, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DefinitionId(pub u32);

/// A task of a plan: index into [`crate::plan::Plan::tasks`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TaskIx(pub u32);

/// A live task of an execution (one entry of a task); unique within the execution, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ActivationId(pub u32);

/// One durable execution. As text a UUID of version 8 (RFC 9562, section 5.8):
/// 48 bits start time in milliseconds, 12 bits shard, 62 bits sequence number of the shard; so ids sort by start time and
/// tell where to look.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId(u128);

impl ExecutionId {
    /// The id of the `sequence`-th execution of `shard`, started at `start`.
    #[must_use]
    pub fn new(start: Timestamp, shard: ShardId, sequence: u64) -> ExecutionId {
        let millis = u128::from(start.millis()) & 0xFFFF_FFFF_FFFF;
        let shard = u128::from(shard.0) & 0xFFF;
        let sequence = u128::from(sequence) & ((1 << 62) - 1);
        ExecutionId(millis << 80 | 0x8 << 76 | shard << 64 | 0b10 << 62 | sequence)
    }

    /// From its 128 bits, as stored.
    #[must_use]
    pub fn from_u128(bits: u128) -> ExecutionId {
        ExecutionId(bits)
    }

    /// Its 128 bits, to store.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0
    }

    /// When it was started, to the millisecond.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp::from_millis((self.0 >> 80) as u64)
    }

    /// The shard that owns it.
    #[must_use]
    pub fn shard(self) -> ShardId {
        ShardId((self.0 >> 64 & 0xFFF) as u16)
    }

    /// Its number in the shard, from 0.
    #[must_use]
    pub fn sequence(self) -> u64 {
        (self.0 & ((1 << 62) - 1)) as u64
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&uuid_text(self.0))
    }
}

/// 128 bits in the text form of a UUID (RFC 9562, section 4).
#[must_use]
pub fn uuid_text(h: u128) -> EcoString {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // By the general formatter it took a twentieth of an execution.
    let mut text = [b'-'; 36];
    let mut at = 0;
    for byte in h.to_be_bytes() {
        if matches!(at, 8 | 13 | 18 | 23) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 0xF)];
        at += 2;
    }
    std::str::from_utf8(&text).unwrap_or_default().into()
}

impl fmt::Debug for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an execution id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an execution id: expected a UUID of version 8 such as 019ab2f4-6d00-8003-8000-00000000002a")]
pub struct ExecutionIdError;

impl FromStr for ExecutionId {
    type Err = ExecutionIdError;

    fn from_str(text: &str) -> Result<ExecutionId, ExecutionIdError> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(ExecutionIdError);
        }
        let mut bits: u128 = 0;
        for (i, &b) in bytes.iter().enumerate() {
            if matches!(i, 8 | 13 | 18 | 23) {
                if b != b'-' {
                    return Err(ExecutionIdError);
                }
                continue;
            }
            let digit = (b as char).to_digit(16).ok_or(ExecutionIdError)?;
            bits = bits << 4 | u128::from(digit);
        }
        let versioned = bits >> 76 & 0xF == 8 && bits >> 62 & 0b11 == 0b10;
        versioned.then_some(ExecutionId(bits)).ok_or(ExecutionIdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_id_carries_start_shard_and_sequence_through_its_text() {
        let id = ExecutionId::new(Timestamp::from_millis(1_795_000_000_123), ShardId(7), 42);
        let back: ExecutionId = id.to_string().parse().expect("its own text parses");
        assert_eq!(back, id);
        assert_eq!(back.start().millis(), 1_795_000_000_123);
        assert_eq!(back.shard(), ShardId(7));
        assert_eq!(back.sequence(), 42);
    }

    #[test]
    fn other_uuids_are_refused() {
        assert_eq!("550e8400-e29b-41d4-a716-446655440000".parse::<ExecutionId>(), Err(ExecutionIdError));
        assert_eq!("".parse::<ExecutionId>(), Err(ExecutionIdError));
    }
}
