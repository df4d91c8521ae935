//! What workflows and the engine published, read out of the journal: emitted events, and between them the DSL's lifecycle.

mod lifecycle;
pub(crate) mod to_sinks;

use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;

use tokio::task::JoinError;
use trinity_actors::journal::{JournalError, Place, Reader};
use trinity_engine::value::Value;
use trinity_engine::wire;
use trinity_engine::wire::record::ExecutionHeader;

use crate::library::Library;
pub(crate) use lifecycle::{Filter, is_lifecycle};

/// Records that one scan looks at, so that a rare type costs many short scans and not one endless one.
const SCAN_MAX: usize = 50_000;

/// As the number of a record or event: behind all of them.
const ALL: u32 = u32::MAX;

/// The place of an event: a record of the journal, and the number of the event in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Position {
    place: Place,
    number: u32,
}

impl Position {
    /// Before everything: blocks count from 1.
    pub const BEGIN: Position = Position { place: Place { block: 0, index: 0 }, number: 0 };
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.place.block, self.place.index, self.number)
    }
}

/// The text is no position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoPosition;

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Position, NoPosition> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or(NoPosition);
        let (block, index, number) = (part()?, part()?, part()?);
        let small = |number| u32::try_from(number).map_err(|_| NoPosition);
        Ok(Position { place: Place { block, index: small(index)? }, number: small(number)? })
    }
}

/// What a scan found, and from where it goes on.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// With their positions.
    pub events: Vec<(Position, Value)>,
    /// Where the page after begins; `None` when there is nothing more.
    pub next: Option<Position>,
    /// The end of what was looked at.
    pub seen: Option<Position>,
}

/// Reads published events out of the journal.
pub(crate) struct Scan<'a> {
    pub reader: &'a Reader,
    pub library: &'a Library,
    pub filter: &'a Filter,
    pub limit: usize,
}

impl Scan<'_> {
    /// The events of one record.
    fn of_record(&self, place: Place, header: &ExecutionHeader, history: &[u8]) -> Vec<(Position, Value)> {
        let Some(definition) = self.library.definition(header.definition) else { return Vec::new() };
        let Ok(history) = wire::history::outline(history) else { return Vec::new() };
        let events = lifecycle::events(header.id, &history, definition, place, self.filter);
        events.into_iter().map(|(number, event)| (Position { place, number }, event)).collect()
    }

    /// Newest first, those before a position.
    pub fn back(&self, before: Option<Position>) -> Result<Found, JournalError> {
        let (mut found, mut scanned) = (Found::default(), 0);
        // The record of the position itself may have earlier events.
        let from = before.map(|position| Place { index: position.place.index + 1, ..position.place });
        self.reader.records_back(from, &mut |place, header, history| {
            scanned += 1;
            for (position, event) in self.of_record(place, &header, history).into_iter().rev() {
                if before.is_some_and(|before| position >= before) {
                    continue;
                }
                if found.events.len() == self.limit {
                    found.next = found.events.last().map(|(position, _)| *position);
                    return ControlFlow::Break(());
                }
                found.events.push((position, event));
            }
            if scanned == SCAN_MAX {
                found.next = Some(Position { place, number: 0 });
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Oldest first, those after a position.
    pub fn forward(&self, after: Option<Position>) -> Result<Found, JournalError> {
        let (mut found, mut scanned) = (Found::default(), 0);
        // Of the record of the position itself there may be later events; its place is found again one before it.
        let from = after.and_then(|position| match position.number {
            ALL => Some(position.place),
            _ => before_place(position.place),
        });
        self.reader.records_forward(from, &mut |place, header, history| {
            scanned += 1;
            found.seen = Some(Position { place, number: ALL });
            for (position, event) in self.of_record(place, &header, history) {
                if after.is_some_and(|after| position <= after) {
                    continue;
                }
                if found.events.len() == self.limit {
                    found.next = found.events.last().map(|(position, _)| *position);
                    return ControlFlow::Break(());
                }
                found.events.push((position, event));
            }
            if scanned == SCAN_MAX {
                found.next = found.seen;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if found.next.is_none()
            && let Some(Position { place, .. }) = &mut found.seen
        {
            // All of the last block: who goes on need not read it again.
            place.index = ALL;
        }
        Ok(found)
    }
}

/// As [`Scan::forward`], without holding up a thread that serves: at once when it is a matter of what was just committed, else
/// beside these threads.
pub(crate) async fn forward(
    reader: Reader,
    library: Arc<Library>,
    filter: Filter,
    limit: usize,
    after: Option<Position>,
) -> Result<Result<Found, JournalError>, JoinError> {
    let at_once = after.is_some_and(|after| reader.is_recent(after.place));
    let scan = move || Scan { reader: &reader, library: &library, filter: &filter, limit }.forward(after);
    if at_once { Ok(scan()) } else { tokio::task::spawn_blocking(scan).await }
}

/// A place right before another, `None` at the begin: [`Reader::records_forward`] goes on after a place.
fn before_place(place: Place) -> Option<Place> {
    match place.index.checked_sub(1) {
        Some(index) => Some(Place { index, ..place }),
        None => place.block.checked_sub(1).map(|block| Place { block, index: ALL }),
    }
}

/// The end of what is published now.
pub(crate) fn newest(reader: &Reader) -> Result<Option<Position>, JournalError> {
    let mut last = None;
    reader.records_back(None, &mut |place, _, _| {
        last = Some(Position { place, number: ALL });
        ControlFlow::Break(())
    })?;
    Ok(last)
}
