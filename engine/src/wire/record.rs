//! The records a shard hands to the journal: what one batch changed, framed and put one after another.
//!
//! All numbers are little-endian. Every record begins with 8 bytes: length of the whole record `u32`, kind `u8`,
//! flags `u8`, version `u8`, phase `u8` (0 for a shard's own record). A shard's own record goes on with its bytes, which
//! only the shard understands. An execution's record goes on with definition `u32`, length of the history `u32`,
//! execution id `u128`, time `u64` (microseconds), the history, and up to the record's end the tail.

use crate::history::Phase;
use crate::ids::{DefinitionId, ExecutionId};
use crate::time::Timestamp;
use crate::wire::codec::CodecError;

/// The version written; every version up to it can be read.
pub const RECORD_VERSION: u8 = 1;
/// The kind of an execution's record.
pub const KIND_EXECUTION: u8 = 1;
/// The lowest kind of a shard's own record; those from here on belong to the shard's code.
pub const KIND_SHARD_MIN: u8 = 16;
/// Flag: the execution's first record.
pub const FLAG_BEGINS: u8 = 1;
/// Flag: the execution's last record; its tail is empty, for the last fact of its history says how it ended.
pub const FLAG_ENDS: u8 = 2;

/// Bytes that every record begins with.
pub const HEADER_BYTES: usize = 8;
/// Bytes before the history of an execution's record.
pub const EXECUTION_HEADER_BYTES: usize = 40;

/// What the journal itself reads of an execution's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutionHeader {
    /// Whose it is.
    pub id: ExecutionId,
    /// The version of the definition it runs.
    pub definition: DefinitionId,
    /// The phase after this record.
    pub phase: Phase,
    /// Its first record.
    pub begins: bool,
    /// Its last record; always the same as [`Phase::is_terminal`] of `phase`.
    pub ends: bool,
    /// When this happened: with `ends` the end.
    pub time: Timestamp,
}

impl ExecutionHeader {
    /// When the execution was created, to the millisecond: its id holds it.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.id.start()
    }
}

/// One record, borrowed from the bytes it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordRef<'a> {
    /// What happened to one execution.
    Execution {
        /// What the journal reads.
        header: ExecutionHeader,
        /// Encoded history events.
        history: &'a [u8],
        /// The encoded live state when it goes on, nothing when it ended.
        tail: &'a [u8],
    },
    /// A change of the shard itself.
    Shard {
        /// Which, [`KIND_SHARD_MIN`] or above.
        kind: u8,
        /// Its content.
        bytes: &'a [u8],
    },
}

/// Appends an execution's record to `out`. `history` and `tail` append their bytes to the same buffer: nothing is copied.
///
/// # Panics
/// When `ends` and the phase contradict each other, or the record would be longer than 4 GiB; the limits of an execution's
/// state lie far below.
pub fn write_execution(
    out: &mut Vec<u8>,
    header: &ExecutionHeader,
    history: impl FnOnce(&mut Vec<u8>),
    tail: impl FnOnce(&mut Vec<u8>),
) {
    assert_eq!(
        header.ends,
        header.phase.is_terminal(),
        "execution {} ends in a final phase and in no other",
        header.id
    );
    let start = out.len();
    let flags = u8::from(header.begins) * FLAG_BEGINS + u8::from(header.ends) * FLAG_ENDS;
    out.extend_from_slice(&[0, 0, 0, 0, KIND_EXECUTION, flags, RECORD_VERSION, header.phase as u8]);
    out.extend_from_slice(&header.definition.0.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.id.as_u128().to_le_bytes());
    out.extend_from_slice(&header.time.micros().to_le_bytes());
    history(out);
    let history_bytes = length_u32(out.len() - start - EXECUTION_HEADER_BYTES);
    out[start + 12..start + 16].copy_from_slice(&history_bytes.to_le_bytes());
    tail(out);
    close(out, start);
}

/// Appends a shard's own record to `out`; `content` appends its bytes to the same buffer.
///
/// # Panics
/// When `kind` lies below [`KIND_SHARD_MIN`], or the record would be longer than 4 GiB.
pub fn write_shard(out: &mut Vec<u8>, kind: u8, content: impl FnOnce(&mut Vec<u8>)) {
    assert!(kind >= KIND_SHARD_MIN, "kind {kind} is not one of a shard's own records");
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind, 0, RECORD_VERSION, 0]);
    content(out);
    close(out, start);
}

fn close(out: &mut [u8], start: usize) {
    let length = length_u32(out.len() - start);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

fn length_u32(length: usize) -> u32 {
    u32::try_from(length).expect("a record is shorter than 4 GiB")
}

/// The records of a batch, first to last. Ends after the first error: what follows has no known start.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    /// The records in `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Records<'a> {
        Records { bytes, at: 0 }
    }

    /// Where the next record begins: before [`Iterator::next`] the place of what it will answer.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    fn read(&mut self) -> Result<RecordRef<'a>, CodecError> {
        let at = self.at;
        let rest = &self.bytes[at..];
        let length = rest.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes) as usize);
        let length = length.ok_or(CodecError::Short { at: self.bytes.len() })?;
        if length < HEADER_BYTES {
            return Err(invalid("record", format!("a length of {length}"), at));
        }
        let record = rest.get(..length).ok_or(CodecError::Short { at: self.bytes.len() })?;
        self.at += length;
        read_one(record, at)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordRef<'a>, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.bytes.len() {
            return None;
        }
        let record = self.read();
        if record.is_err() {
            self.at = self.bytes.len();
        }
        Some(record)
    }
}

fn read_one(record: &[u8], at: usize) -> Result<RecordRef<'_>, CodecError> {
    let (kind, flags, version, phase) = (record[4], record[5], record[6], record[7]);
    if version != RECORD_VERSION {
        return Err(invalid("record of a known version", format!("version {version}"), at));
    }
    match kind {
        KIND_EXECUTION => read_execution(record, flags, phase, at),
        KIND_SHARD_MIN.. if flags == 0 && phase == 0 => Ok(RecordRef::Shard { kind, bytes: &record[HEADER_BYTES..] }),
        _ => Err(invalid("record", format!("kind {kind} with flags {flags} and phase {phase}"), at)),
    }
}

fn read_execution(record: &[u8], flags: u8, phase: u8, at: usize) -> Result<RecordRef<'_>, CodecError> {
    let short = || invalid("record of an execution", format!("only {} bytes", record.len()), at);
    let (head, body) = record.split_first_chunk::<EXECUTION_HEADER_BYTES>().ok_or_else(short)?;
    if flags & !(FLAG_BEGINS | FLAG_ENDS) != 0 {
        return Err(invalid("record of an execution", format!("flags {flags}"), at));
    }
    let phase = Phase::from_u8(phase).ok_or_else(|| invalid("phase", phase.to_string(), at))?;
    if (flags & FLAG_ENDS != 0) != phase.is_terminal() {
        return Err(invalid("record of an execution", format!("flags {flags} with the phase {}", phase.as_str()), at));
    }
    let history_bytes = u32::from_le_bytes(part(head, 12)) as usize;
    let (history, tail) = body.split_at_checked(history_bytes).ok_or_else(short)?;
    let header = ExecutionHeader {
        id: ExecutionId::from_u128(u128::from_le_bytes(part(head, 16))),
        definition: DefinitionId(u32::from_le_bytes(part(head, 8))),
        phase,
        begins: flags & FLAG_BEGINS != 0,
        ends: flags & FLAG_ENDS != 0,
        time: Timestamp(u64::from_le_bytes(part(head, 32))),
    };
    Ok(RecordRef::Execution { header, history, tail })
}

fn part<const N: usize>(head: &[u8; EXECUTION_HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&head[at..at + N]);
    bytes
}

fn invalid(what: &'static str, found: String, at: usize) -> CodecError {
    CodecError::Invalid { what, found, at }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::ShardId;

    fn header() -> ExecutionHeader {
        ExecutionHeader {
            id: ExecutionId::new(Timestamp::from_millis(1_795_000_000_123), ShardId(7), 42),
            definition: DefinitionId(3),
            phase: Phase::Faulted,
            begins: true,
            ends: true,
            time: Timestamp(1_795_000_000_123_456),
        }
    }

    fn sample() -> Vec<u8> {
        let mut out = Vec::new();
        write_execution(&mut out, &header(), |o| o.extend_from_slice(b"history"), |o| o.extend_from_slice(b"tail"));
        write_shard(&mut out, 17, |o| o.extend_from_slice(b"mark"));
        out
    }

    #[test]
    fn what_is_written_is_read_in_order() {
        let out = sample();
        let records: Vec<_> = Records::new(&out).map(|record| record.expect("a record")).collect();
        assert_eq!(
            records,
            [
                RecordRef::Execution { header: header(), history: b"history", tail: b"tail" },
                RecordRef::Shard { kind: 17, bytes: b"mark" },
            ]
        );
    }

    /// The bytes of version 1, written down once: they stay readable for ever.
    #[test]
    fn the_bytes_of_version_1_do_not_change() {
        let out = sample();
        assert_eq!(out[..16], [51, 0, 0, 0, 1, 3, 1, 5, 3, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(out[16..32], header().id.as_u128().to_le_bytes());
        assert_eq!(out[32..40], 1_795_000_000_123_456_u64.to_le_bytes());
        assert_eq!(&out[40..51], b"historytail");
        assert_eq!(&out[51..], [12, 0, 0, 0, 17, 0, 1, 0, b'm', b'a', b'r', b'k']);
    }

    #[test]
    fn a_cut_batch_is_an_error_unless_cut_between_records() {
        let out = sample();
        for end in 1..out.len() {
            let last = Records::new(&out[..end]).last().expect("something");
            assert_eq!(last.is_ok(), end == 51, "cut at {end}");
        }
    }

    #[test]
    fn a_history_longer_than_its_record_unknown_numbers_and_an_end_in_no_final_phase_are_errors() {
        for (at, byte) in [(12, 12), (4, 2), (5, 4), (5, 1), (6, 2), (7, 7), (7, 1)] {
            let mut out = sample();
            out[at] = byte;
            assert!(Records::new(&out).next().expect("something").is_err(), "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let count = Records::new(&bytes).count();
            prop_assert!(count <= bytes.len() / HEADER_BYTES + 1);
        }
    }
}
