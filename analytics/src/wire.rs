//! The stored form of a block: one window, or a part of one. `docs/analytics.md` specifies it.

use trinity_engine::ids::{DefinitionId, TaskIx};
use trinity_engine::time::Timestamp;
use trinity_engine::wire::codec::{CodecError, Reader, Writer};

use crate::histogram::Histogram;
use crate::rollup::{Cell, SeriesKey, Window};

/// The version of the form.
const VERSION: u8 = 1;

/// What a block is of, before its rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Where its window begins.
    pub start: Timestamp,
    /// Which part of the window it is, from 0: a block replaces an earlier one with the same start and number.
    pub part: u32,
    /// Of a compacted window: the digest of the finer blocks that it was made of.
    pub digest: u64,
}

/// A window as bytes, its series in ascending order: the same window always gives the same bytes.
#[must_use]
pub fn encode(header: Header, window: &Window) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer { out: &mut out };
    writer.u8(VERSION);
    writer.time(header.start);
    writer.count(u64::from(header.part));
    writer.count(header.digest);
    let mut cells: Vec<_> = window.cells().collect();
    cells.sort_unstable_by_key(|(key, _)| *key);
    let mut row = Vec::new();
    writer.list(cells.into_iter(), |writer, (key, cell)| {
        row.clear();
        encode_cell(&mut Writer { out: &mut row }, cell);
        writer.count(u64::from(key.definition.0));
        writer.count(key.task.map_or(0, |task| u64::from(task.0) + 1));
        writer.bytes(&row);
    });
    out
}

/// What a block is of.
pub fn decode_header(block: &[u8]) -> Result<Header, CodecError> {
    read_header(&mut Reader::new(block))
}

/// Hands each series of a block, with its cell still encoded, to `visit`, which passes it to [`add_cell`] if it wants it.
pub fn visit(
    block: &[u8],
    mut visit: impl FnMut(SeriesKey, &[u8]) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    let mut reader = Reader::new(block);
    read_header(&mut reader)?;
    for _ in 0..reader.count()? {
        let definition = DefinitionId(reader.count_u32()?);
        let task = match reader.count()? {
            0 => None,
            above => Some(u32::try_from(above - 1).map_err(|_| reader.invalid("task", above))?),
        };
        visit(SeriesKey { definition, task: task.map(TaskIx) }, reader.bytes()?)?;
    }
    Ok(())
}

/// Adds an encoded cell to `cell`.
pub fn add_cell(encoded: &[u8], cell: &mut Cell) -> Result<(), CodecError> {
    let mut reader = Reader::new(encoded);
    let counts = &mut cell.counts;
    for count in
        [&mut counts.started, &mut counts.completed, &mut counts.faulted, &mut counts.cancelled, &mut counts.retried]
    {
        *count = count.saturating_add(reader.count()?);
    }
    add_histogram(&mut reader, &mut cell.completed)?;
    add_histogram(&mut reader, &mut cell.faulted)
}

fn read_header(reader: &mut Reader<'_>) -> Result<Header, CodecError> {
    match reader.u8()? {
        VERSION => {}
        other => return Err(reader.invalid("block of version 1", other)),
    }
    Ok(Header { start: reader.time()?, part: reader.count_u32()?, digest: reader.count()? })
}

fn encode_cell(writer: &mut Writer<'_>, cell: &Cell) {
    let counts = &cell.counts;
    for count in [counts.started, counts.completed, counts.faulted, counts.cancelled, counts.retried] {
        writer.count(count);
    }
    encode_histogram(writer, &cell.completed);
    encode_histogram(writer, &cell.faulted);
}

/// The buckets in use: each as its distance from the one before it, and its count.
fn encode_histogram(writer: &mut Writer<'_>, histogram: &Histogram) {
    writer.count(histogram.buckets().count() as u64);
    let mut next = 0;
    for (bucket, count) in histogram.buckets() {
        writer.count(u64::from(bucket - next));
        writer.count(count);
        next = bucket + 1;
    }
    if next > 0 {
        writer.count(histogram.sum());
        writer.count(histogram.max());
    }
}

fn add_histogram(reader: &mut Reader<'_>, histogram: &mut Histogram) -> Result<(), CodecError> {
    let used = reader.count()?;
    let (mut next, mut total) = (0_u32, 0_u64);
    for _ in 0..used {
        let bucket = next.saturating_add(reader.count_u32()?);
        let count = reader.count()?;
        if !histogram.add_bucket(bucket, count) {
            return Err(reader.invalid("bucket", bucket));
        }
        next = bucket + 1;
        total = total.saturating_add(count);
    }
    if used > 0 {
        let (sum, max) = (reader.count()?, reader.count()?);
        histogram.add_totals(total, sum, max);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trinity_engine::history::{Measurement, MeasurementKind};

    use super::*;
    use crate::rollup::Rollup;

    const KINDS: [MeasurementKind; 5] = [
        MeasurementKind::Started,
        MeasurementKind::Completed,
        MeasurementKind::Faulted,
        MeasurementKind::Cancelled,
        MeasurementKind::Retried,
    ];

    fn window(measured: &[(u32, Option<u32>, usize, u64)]) -> Window {
        let mut rollup = Rollup::default();
        for &(definition, task, kind, duration_micros) in measured {
            rollup.record(&[Measurement {
                definition: DefinitionId(definition),
                task: task.map(TaskIx),
                kind: KINDS[kind],
                time: Timestamp(0),
                duration_micros,
                count: 1,
            }]);
        }
        rollup.close(Timestamp(u64::MAX), Timestamp(0)).pop().map(|(_, window)| window).unwrap_or_default()
    }

    fn decode(block: &[u8]) -> Result<Window, CodecError> {
        let mut window = Window::default();
        visit(block, |key, cell| add_cell(cell, window.cell(key)))?;
        Ok(window)
    }

    fn measured() -> impl Strategy<Value = Vec<(u32, Option<u32>, usize, u64)>> {
        let duration = (any::<u64>(), 0..64u32).prop_map(|(value, shift)| value >> shift);
        prop::collection::vec((any::<u32>(), prop::option::of(any::<u32>()), 0..KINDS.len(), duration), 0..60)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(measured in measured(), start: u64, part: u32, digest: u64) {
            let header = Header { start: Timestamp(start), part, digest };
            let block = encode(header, &window(&measured));
            prop_assert_eq!(decode_header(&block), Ok(header));
            let back = decode(&block).expect("our own block");
            prop_assert_eq!(encode(header, &back), block);
        }

        #[test]
        fn cut_blocks_are_errors(measured in measured(), cut: prop::sample::Index) {
            let block = encode(Header { start: Timestamp(1), part: 0, digest: 0 }, &window(&measured));
            prop_assert!(decode(&block[..cut.index(block.len())]).is_err());
        }

        #[test]
        fn hostile_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut block = encode(Header { start: Timestamp(1), part: 0, digest: 0 }, &Window::default());
            block.pop();
            block.extend(bytes);
            // Either answer will do; what counts is that there is one.
            let _ = decode(&block);
        }
    }
}
