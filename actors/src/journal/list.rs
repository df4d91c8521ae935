//! Lists of executions, newest first. The order is that of the ids, which begin with the time of creation, so a page ends
//! at an id and the next one begins below it, whatever was appended meanwhile and however clocks jumped.
//!
//! Segments, blocks and executions lie in one heap by the highest id that they can hold; the topmost is opened or answered.
//! So only those are read that may hold the next execution, and of these only the ones with a fitting definition and phase.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashSet;
use trinity_engine::history::Phase;
use trinity_engine::ids::{DefinitionId, ExecutionId};
use trinity_engine::time::Timestamp;
use trinity_engine::wire::record::{RecordRef, Records};

use super::error::JournalError;
use super::format::Block;
use super::index::SegmentIndex;
use super::notes::Group;
use super::reader::Reader;
use super::shared::Sealed;

/// How many live executions are looked at while an append waits.
const LIVE_AT_ONCE: usize = 4096;

/// Which executions to list.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Of these definitions; all when not given.
    pub definitions: Option<Vec<DefinitionId>>,
    /// In this phase now.
    pub phase: Option<Phase>,
    /// Created at this moment or later.
    pub from: Option<Timestamp>,
    /// Created before this moment.
    pub to: Option<Timestamp>,
    /// Behind this execution, the last one of the page before.
    pub before: Option<ExecutionId>,
    /// How many at most.
    pub limit: usize,
}

/// One execution of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionSummary {
    /// Which.
    pub id: ExecutionId,
    /// The version of the definition that it runs.
    pub definition: DefinitionId,
    /// Its phase now.
    pub phase: Phase,
    /// When it was created, to the millisecond.
    pub created: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Newest first.
    pub items: Vec<ExecutionSummary>,
    /// What the query for the next page gives as [`ListQuery::before`]; `None` when there is nothing more.
    pub next: Option<ExecutionId>,
}

/// A query, in the words of the index.
struct Filter<'a> {
    ids: Range<ExecutionId>,
    definitions: Option<&'a [DefinitionId]>,
    phase: Option<Phase>,
    /// No more than so many are needed.
    limit: usize,
}

impl Filter<'_> {
    /// `None` when nothing can fit.
    fn new(query: &ListQuery) -> Option<Filter<'_>> {
        let first_at = |time: Timestamp| ExecutionId::from_u128(u128::from(time.micros().div_ceil(1_000)) << 80);
        let end = query.to.map(first_at).into_iter().chain(query.before).min();
        let end = end.unwrap_or(ExecutionId::from_u128(u128::MAX));
        let ids = query.from.map_or(ExecutionId::from_u128(0), first_at)..end;
        let limit = query.limit.saturating_add(1);
        let filter = Filter { ids, definitions: query.definitions.as_deref(), phase: query.phase, limit };
        (!filter.ids.is_empty()).then_some(filter)
    }

    fn takes(&self, definition: DefinitionId, phase: Phase) -> bool {
        self.phase.is_none_or(|wanted| wanted == phase) && self.definitions.is_none_or(|d| d.contains(&definition))
    }

    /// The highest id that a group can hold for this query.
    fn top(&self, group: &Group) -> Option<ExecutionId> {
        let (low, high) = group.ids?;
        let last = ExecutionId::from_u128(self.ids.end.as_u128() - 1);
        let within = low <= last && high >= self.ids.start;
        let fits = within && group.counts.iter().any(|count| self.takes(count.definition, count.phase));
        fits.then_some(high.min(last))
    }
}

/// Something that holds executions, or one of them.
enum Source {
    /// The executions of a full segment that begin and end in one block.
    Blocks(Arc<Sealed>),
    /// The others that ended in it.
    Outlived(Arc<Sealed>),
    /// The block with this number.
    Block(u64),
    Execution(ExecutionSummary),
}

struct Ranked {
    top: ExecutionId,
    source: Source,
}

impl Ranked {
    /// What may hold the id goes before the execution with it, so that all that is known of it lies on top together; then
    /// what ended goes before what was live.
    fn rank(&self) -> (ExecutionId, bool, bool) {
        match &self.source {
            Source::Execution(item) => (self.top, false, item.ended.is_some()),
            _ => (self.top, true, false),
        }
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Ranked) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Ranked) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Ranked) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl Reader {
    /// A page of executions, newest first.
    ///
    /// # Errors
    /// When stored bytes are damaged, or the disk fails.
    pub fn list(&self, query: &ListQuery) -> Result<Page, JournalError> {
        let mut items: Vec<ExecutionSummary> = Vec::new();
        if let (Some(filter), 1..) = (Filter::new(query), query.limit) {
            let mut heap = self.sources(&filter);
            while items.len() < filter.limit
                && let Some(Ranked { source, .. }) = heap.pop()
            {
                match source {
                    Source::Blocks(sealed) => heap.extend(blocks(&filter, &*self.shared.index(&sealed)?)),
                    Source::Outlived(sealed) => {
                        let index = self.shared.index(&sealed)?;
                        heap.extend(outlived(&filter, &index, self.shared.read().first()));
                    }
                    Source::Block(number) => {
                        let found = self.shared.with_block(number, |block| short(&filter, block))?;
                        heap.extend(found.into_iter().flatten());
                    }
                    // One that ended between the look at the live ones and the look at the others is in both.
                    Source::Execution(item) if items.last().is_some_and(|last| last.id == item.id) => {}
                    Source::Execution(item) => items.push(item),
                }
            }
        }
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let next = items.last().filter(|_| more).map(|last| last.id);
        Ok(Page { items, next })
    }

    /// All that may hold something for the query. The live ones are looked at first: one that ends meanwhile is found
    /// among the others then.
    fn sources(&self, filter: &Filter<'_>) -> BinaryHeap<Ranked> {
        let mut heap = BinaryHeap::from(self.live(filter));
        let state = self.shared.read();
        if let Some(active) = &state.active {
            heap.extend(blocks(filter, &active.index));
            heap.extend(outlived(filter, &active.index, state.first()));
        }
        let sealed = state.sealed.clone();
        drop(state);
        for segment in sealed.iter() {
            let short = filter.top(&segment.summary.short);
            heap.extend(short.map(|top| Ranked { top, source: Source::Blocks(segment.clone()) }));
            let outlived = filter.top(&segment.summary.outlived);
            heap.extend(outlived.map(|top| Ranked { top, source: Source::Outlived(segment.clone()) }));
        }
        heap
    }

    fn live(&self, filter: &Filter<'_>) -> Vec<Ranked> {
        let mut found = Vec::new();
        let mut end = filter.ids.end;
        while filter.ids.start < end {
            let state = self.shared.read();
            if !state.live.counts().iter().any(|(&(d, phase), &count)| count > 0 && filter.takes(d, phase)) {
                break;
            }
            let mut lowest = None;
            for (&id, entry) in state.live.range(filter.ids.start..end).rev().take(LIVE_AT_ONCE) {
                lowest = Some(id);
                if filter.takes(entry.definition, entry.phase) {
                    found.push(execution(id, entry.definition, entry.phase, None));
                    if found.len() == filter.limit {
                        return found;
                    }
                }
            }
            match lowest {
                Some(lowest) => end = lowest,
                None => break,
            }
        }
        found
    }
}

fn execution(id: ExecutionId, definition: DefinitionId, phase: Phase, ended: Option<Timestamp>) -> Ranked {
    let summary = ExecutionSummary { id, definition, phase, created: id.start(), ended };
    Ranked { top: id, source: Source::Execution(summary) }
}

/// The blocks of a segment in which a fitting execution begins and ends.
fn blocks(filter: &Filter<'_>, index: &SegmentIndex) -> Vec<Ranked> {
    let numbered = (index.first..).zip(&index.blocks);
    let ranked = numbered
        .filter_map(|(number, block)| Some(Ranked { top: filter.top(&block.short)?, source: Source::Block(number) }));
    ranked.collect()
}

/// The fitting executions that ended in a segment and had begun in an earlier block that is still there.
fn outlived(filter: &Filter<'_>, index: &SegmentIndex, first_block: u64) -> Vec<Ranked> {
    let fits = index.outlived.range(filter.ids.clone()).rev().filter(|(_, entry)| {
        filter.takes(entry.definition, entry.phase) && entry.blocks.first().is_some_and(|&block| block >= first_block)
    });
    let newest = fits.take(filter.limit);
    newest.map(|(&id, entry)| execution(id, entry.definition, entry.phase, Some(entry.ended))).collect()
}

/// The fitting executions that begin and end in a block.
fn short(filter: &Filter<'_>, block: &Block<'_>) -> Result<Vec<Ranked>, String> {
    let mut found = Vec::new();
    let mut begun_here = FxHashSet::default();
    for (_, records) in block.batches() {
        for record in Records::new(records) {
            let RecordRef::Execution { header, .. } = record.map_err(|error| error.to_string())? else { continue };
            if header.begins && !header.ends {
                begun_here.insert(header.id);
            }
            let ends_short = header.ends && (header.begins || begun_here.contains(&header.id));
            if ends_short && filter.ids.contains(&header.id) && filter.takes(header.definition, header.phase) {
                found.push(execution(header.id, header.definition, header.phase, Some(header.time)));
            }
        }
    }
    Ok(found)
}
