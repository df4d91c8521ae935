//! Reading executions while the journal is appended to.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use trinity_engine::history::{HistoryEvent, Phase};
use trinity_engine::ids::{DefinitionId, ExecutionId};
use trinity_engine::time::Timestamp;
use trinity_engine::wire::history;
use trinity_engine::wire::record::{ExecutionHeader, RecordRef, Records};

use super::error::JournalError;
use super::format::Block;
use super::shared::{Sealed, Shared};

/// Frames that are read beside other work take no more than this together.
const RECENT_BYTES_MAX: usize = 256 << 10;
/// The same where every record in them is looked at.
const FOLLOWED_BYTES_MAX: usize = 64 << 10;

/// Reads a journal that somebody else appends to. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) shared: Arc<Shared>,
}

/// All that is stored of one execution.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredExecution {
    /// Whose it is.
    pub id: ExecutionId,
    /// The version of the definition that it runs.
    pub definition: DefinitionId,
    /// The phase after its last record.
    pub phase: Phase,
    /// When it was created, to the millisecond.
    pub created: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// All facts, in order.
    pub history: Vec<HistoryEvent>,
    /// The tail of its last record: the live state, or nothing when it ended.
    pub tail: Vec<u8>,
}

/// The place of an execution's record: they sort in the order of commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The number of the block.
    pub block: u64,
    /// The number of the record among the executions' records of the block, from 0; [`u32::MAX`] is behind all of them.
    pub index: u32,
}

impl Place {
    /// The first block in which there may be something after it.
    fn first_block(self) -> u64 {
        self.block + u64::from(self.index == u32::MAX)
    }
}

/// What is done with each record.
pub type EachRecord<'a> = dyn FnMut(Place, ExecutionHeader, &[u8]) -> ControlFlow<()> + 'a;

impl Reader {
    /// The execution with this id; `None` when there is none, or its first record was dropped by retention.
    ///
    /// # Errors
    /// When stored bytes are damaged, or the disk fails.
    pub fn execution(&self, id: ExecutionId) -> Result<Option<StoredExecution>, JournalError> {
        let (known, sealed) = {
            let state = self.shared.read();
            (state.known_blocks(id), state.sealed.clone())
        };
        let blocks = match known {
            Some(blocks) => blocks,
            None => match self.blocks_of(id, &sealed)? {
                Some(blocks) => blocks,
                None => return Ok(None),
            },
        };
        self.collect(id, blocks)
    }

    /// The execution with this id when all that is stored of it was written lately and is not much: then it is read as
    /// fast as a thread is changed, for the system holds it in memory. `None` says nothing about others.
    ///
    /// # Errors
    /// When stored bytes are damaged, or the disk fails.
    pub fn recent(&self, id: ExecutionId) -> Result<Option<StoredExecution>, JournalError> {
        let blocks = {
            let state = self.shared.read();
            let (Some(blocks), Some(active)) = (state.known_blocks(id), &state.active) else { return Ok(None) };
            let bytes = |number: &u64| Some(active.index.block(*number)?.bytes as usize);
            let all: Option<usize> = blocks.iter().map(bytes).sum();
            if all.is_none_or(|bytes| bytes > RECENT_BYTES_MAX) {
                return Ok(None);
            }
            blocks
        };
        self.collect(id, blocks)
    }

    /// What these blocks hold of an execution; `None` when retention has dropped one.
    fn collect(&self, id: ExecutionId, blocks: Vec<u64>) -> Result<Option<StoredExecution>, JournalError> {
        let mut stored = None;
        for block in blocks {
            if self.shared.with_block(block, |block| collect(id, block, &mut stored))?.is_none() {
                return Ok(None);
            }
        }
        Ok(stored)
    }

    /// The blocks with records of an execution that ended in a full segment.
    fn blocks_of(&self, id: ExecutionId, sealed: &[Arc<Sealed>]) -> Result<Option<Vec<u64>>, JournalError> {
        for (at, segment) in sealed.iter().enumerate().filter(|(_, segment)| segment.summary.may_begin(id)) {
            let Some(beginning) = self.shared.index(segment)?.beginning(id) else { continue };
            for segment in sealed[at..].iter().filter(|segment| segment.summary.filter.may_contain(id)) {
                if let Some(outlived) = self.shared.index(segment)?.outlived.get(&id) {
                    return Ok(Some(outlived.blocks.to_vec()));
                }
            }
            return Ok(Some(vec![beginning]));
        }
        Ok(None)
    }

    /// Calls `each` for all executions' records before a place, or from the last one, back to the first, until it breaks.
    ///
    /// # Errors
    /// When stored bytes are damaged, or the disk fails.
    pub fn records_back(&self, before: Option<Place>, each: &mut EachRecord<'_>) -> Result<(), JournalError> {
        let (first, next) = self.bounds();
        let last = before.map_or(next, |before| (before.block + 1).min(next));
        for number in (first..last).rev() {
            let flow = self.shared.with_block(number, |block| {
                let records = records(block)?;
                let mut places = records.into_iter().rev().filter(|(place, ..)| before.is_none_or(|b| *place < b));
                Ok(places.try_for_each(|(place, header, history)| each(place, header, history)))
            })?;
            if flow != Some(ControlFlow::Continue(())) {
                break;
            }
        }
        Ok(())
    }

    /// Calls `each` for all executions' records after a place, or from the first one on, until it breaks.
    ///
    /// # Errors
    /// When stored bytes are damaged, or the disk fails.
    pub fn records_forward(&self, after: Option<Place>, each: &mut EachRecord<'_>) -> Result<(), JournalError> {
        let (first, next) = self.bounds();
        for number in after.map_or(first, |after| after.first_block().max(first))..next {
            let flow = self.shared.with_block(number, |block| {
                let records = records(block)?;
                let mut places = records.into_iter().filter(|(place, ..)| after.is_none_or(|a| *place > a));
                Ok(places.try_for_each(|(place, header, history)| each(place, header, history)))
            })?;
            if flow == Some(ControlFlow::Break(())) {
                break;
            }
        }
        Ok(())
    }

    /// Whether what comes after a place was all written lately and is not much: then [`Reader::records_forward`] takes no
    /// longer than changing to another thread.
    #[must_use]
    pub fn is_recent(&self, after: Place) -> bool {
        let state = self.shared.read();
        let Some(active) = &state.active else { return false };
        let mut bytes = 0;
        (after.first_block()..state.next()).all(|number| {
            active.index.block(number).is_some_and(|entry| {
                bytes += entry.bytes as usize;
                bytes <= FOLLOWED_BYTES_MAX
            })
        })
    }

    /// How many executions are live, by phase.
    #[must_use]
    pub fn phases(&self) -> BTreeMap<Phase, u64> {
        let mut phases = BTreeMap::new();
        for (&(_, phase), &count) in self.shared.read().live.counts() {
            *phases.entry(phase).or_default() += count;
        }
        phases.retain(|_, count| *count > 0);
        phases
    }

    /// The time of the newest block; the beginning of time when there is none.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        let state = self.shared.read();
        let active = state.active.as_ref().and_then(|active| active.index.blocks.last()).map(|block| block.time);
        active.or_else(|| state.sealed.last().map(|sealed| sealed.summary.times.1)).unwrap_or_default()
    }

    /// The bytes of all segment files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let state = self.shared.read();
        let sealed: u64 = state.sealed.iter().map(|sealed| sealed.summary.bytes).sum();
        sealed + state.active.as_ref().map_or(0, |active| active.bytes)
    }

    /// When the oldest block that is still there was committed.
    #[must_use]
    pub fn oldest(&self) -> Option<Timestamp> {
        let state = self.shared.read();
        let active = || Some(state.active.as_ref()?.index.blocks.first()?.time);
        state.sealed.first().map(|sealed| sealed.summary.times.0).or_else(active)
    }

    /// The numbers of the first block and of the one after the last.
    fn bounds(&self) -> (u64, u64) {
        let state = self.shared.read();
        (state.first(), state.next())
    }
}

/// An execution's record: place, header and history.
type PlacedRecord<'b> = (Place, ExecutionHeader, &'b [u8]);

/// Every executions' record of a block, in order.
fn records<'b>(block: &'b Block<'_>) -> Result<Vec<PlacedRecord<'b>>, String> {
    let mut found = Vec::new();
    for (_, records) in block.batches() {
        for record in Records::new(records) {
            if let RecordRef::Execution { header, history, .. } = record.map_err(|error| error.to_string())? {
                let index = u32::try_from(found.len()).map_err(|error| error.to_string())?;
                found.push((Place { block: block.sequence, index }, header, history));
            }
        }
    }
    Ok(found)
}

/// Adds to `stored` what a block holds of one execution.
fn collect(id: ExecutionId, block: &Block<'_>, stored: &mut Option<StoredExecution>) -> Result<(), String> {
    for (_, records) in block.batches().into_iter().filter(|(shard, _)| *shard == id.shard()) {
        for record in Records::new(records) {
            let RecordRef::Execution { header, history, tail } = record.map_err(|error| error.to_string())? else {
                continue;
            };
            if header.id != id {
                continue;
            }
            let all = stored.get_or_insert_with(|| StoredExecution {
                id,
                definition: header.definition,
                phase: header.phase,
                created: header.created(),
                ended: None,
                history: Vec::new(),
                tail: Vec::new(),
            });
            (all.definition, all.phase) = (header.definition, header.phase);
            all.ended = header.ends.then_some(header.time);
            all.history.extend(history::decode(history).map_err(|error| error.to_string())?);
            all.tail = tail.to_vec();
        }
    }
    Ok(())
}
