//! What is known of the blocks of one segment, and of the executions that are live.

use std::collections::BTreeMap;
use std::ops::Range;

use rustc_hash::FxHashMap;
use trinity_engine::history::Phase;
use trinity_engine::ids::{DefinitionId, ExecutionId, ShardId};
use trinity_engine::time::Timestamp;

use super::notes::{BlockNotes, Group, Note, Run};

/// One block of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockEntry {
    /// Where its frame begins in the segment.
    pub offset: u64,
    /// The length of its frame.
    pub bytes: u32,
    /// When it was committed.
    pub time: Timestamp,
    /// Who begins in it.
    pub runs: Box<[Run]>,
    /// Who begins and ends in it.
    pub short: Group,
}

/// An execution that ended in this segment and had begun in an earlier block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outlived {
    pub definition: DefinitionId,
    /// Its final one.
    pub phase: Phase,
    pub ended: Timestamp,
    /// The numbers of all blocks with records of it, ascending.
    pub blocks: Box<[u64]>,
}

/// What a block says of an execution that did not begin and end in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// The number of the block.
    pub block: u64,
    pub id: ExecutionId,
    pub note: Note,
}

/// The blocks of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentIndex {
    /// The number of its first block.
    pub first: u64,
    pub blocks: Vec<BlockEntry>,
    /// Where the runs of [`BlockEntry::runs`] are.
    beginnings: Beginnings,
    /// The number of the last block with a batch of each shard.
    pub last_batches: BTreeMap<ShardId, u64>,
    pub outlived: BTreeMap<ExecutionId, Outlived>,
    /// From these the live executions are known again when the journal is opened; not there in what was read for a reader.
    pub changes: Vec<Change>,
}

/// Where the executions of each shard begin: the first of each run, ascending, and the number of its block. To look through
/// the runs of all blocks would take longer than to read one. A shard counts up, so that what is added goes to the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Beginnings(FxHashMap<ShardId, Vec<(u64, u64)>>);

impl Beginnings {
    fn add(&mut self, block: u64, runs: &[Run]) {
        for run in runs {
            let runs = self.0.entry(run.shard).or_default();
            let at = runs.iter().rposition(|(first, _)| *first <= run.first).map_or(0, |before| before + 1);
            runs.insert(at, (run.first, block));
        }
    }

    /// The block of the last run that does not begin behind `id`.
    fn last_before(&self, id: ExecutionId) -> Option<u64> {
        let runs = self.0.get(&id.shard())?;
        let behind = runs.partition_point(|(first, _)| *first <= id.sequence());
        Some(runs[behind.checked_sub(1)?].1)
    }

    fn forget_from(&mut self, block: u64) {
        self.0.values_mut().for_each(|runs| runs.retain(|(_, of)| *of < block));
    }
}

/// An execution that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LiveEntry {
    pub definition: DefinitionId,
    pub phase: Phase,
    /// The numbers of all blocks with records of it, ascending.
    pub blocks: Vec<u64>,
}

/// The executions that go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Live {
    entries: BTreeMap<ExecutionId, LiveEntry>,
    counts: FxHashMap<(DefinitionId, Phase), u64>,
    /// How many of them begin in each block.
    beginnings: BTreeMap<u64, u64>,
}

impl SegmentIndex {
    /// Of a segment whose first block has this number.
    pub fn new(first: u64) -> SegmentIndex {
        SegmentIndex {
            first,
            blocks: Vec::new(),
            beginnings: Beginnings::default(),
            last_batches: BTreeMap::new(),
            outlived: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    /// The number of the block after the last one.
    pub fn next(&self) -> u64 {
        self.first + self.blocks.len() as u64
    }

    /// The block with this number, if it is one of these.
    pub fn block(&self, number: u64) -> Option<&BlockEntry> {
        self.blocks.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The number of the block in which the execution begins, if it is one of these.
    pub fn beginning(&self, id: ExecutionId) -> Option<u64> {
        let number = self.beginnings.last_before(id)?;
        self.block(number)?.runs.iter().any(|run| run.contains(id)).then_some(number)
    }

    /// Takes the next block as it is.
    pub fn push(&mut self, block: BlockEntry) {
        self.beginnings.add(self.next(), &block.runs);
        self.blocks.push(block);
    }

    /// Takes the next block: those that go on become live, those that end leave the live ones.
    pub fn add(&mut self, live: &mut Live, offset: u64, bytes: u32, time: Timestamp, mut notes: BlockNotes) {
        notes.short.settle();
        let number = self.next();
        self.last_batches.extend(notes.shards.iter().map(|&shard| (shard, number)));
        for (id, note) in notes.long {
            let change = Change { block: number, id, note };
            if let Some(blocks) = live.change(&change) {
                let (definition, phase, ended) = (note.definition, note.phase, note.time);
                self.outlived.insert(id, Outlived { definition, phase, ended, blocks });
            }
            self.changes.push(change);
        }
        self.push(BlockEntry { offset, bytes, time, runs: notes.runs.into(), short: notes.short });
    }

    /// Takes away the blocks from this number on, which were put elsewhere: there they begin at these places.
    pub fn split_off(&mut self, first: u64, offsets: &[u64]) -> SegmentIndex {
        let mut rest = SegmentIndex::new(first);
        let stay = usize::try_from(first - self.first).unwrap_or(usize::MAX).min(self.blocks.len());
        for (block, &offset) in self.blocks.split_off(stay).into_iter().zip(offsets) {
            rest.push(BlockEntry { offset, ..block });
        }
        self.beginnings.forget_from(first);
        let moved = |last: u64| last >= first;
        rest.last_batches = self.last_batches.iter().filter(|(_, last)| moved(**last)).map(|(s, l)| (*s, *l)).collect();
        // Which of the blocks that stay was the last of these shards is not known any more: the last of all is not before it.
        for shard in rest.last_batches.keys() {
            self.last_batches.insert(*shard, first - 1);
        }
        rest.outlived =
            self.outlived.extract_if(.., |_, entry| entry.blocks.last().is_some_and(|&l| moved(l))).collect();
        rest.changes = self.changes.extract_if(.., |change| moved(change.block)).collect();
        rest
    }
}

impl Live {
    /// The entry of an execution.
    pub fn get(&self, id: ExecutionId) -> Option<&LiveEntry> {
        self.entries.get(&id)
    }

    /// All in the range, by id.
    pub fn range(&self, ids: Range<ExecutionId>) -> impl DoubleEndedIterator<Item = (&ExecutionId, &LiveEntry)> {
        self.entries.range(ids)
    }

    /// All, by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ExecutionId, &LiveEntry)> {
        self.entries.iter()
    }

    /// How many there are by definition and phase.
    pub fn counts(&self) -> &FxHashMap<(DefinitionId, Phase), u64> {
        &self.counts
    }

    /// One that begins in a block before this number.
    pub fn begun_before(&self, block: u64) -> Option<ExecutionId> {
        let (&first, _) = self.beginnings.first_key_value().filter(|(first, _)| **first < block)?;
        let mut entries = self.entries.iter();
        entries.find(|(_, entry)| entry.blocks.first() == Some(&first)).map(|(id, _)| *id)
    }

    /// Takes one that begins.
    pub fn begin(&mut self, id: ExecutionId, entry: LiveEntry) {
        *self.counts.entry((entry.definition, entry.phase)).or_default() += 1;
        *self.beginnings.entry(entry.blocks.first().copied().unwrap_or(0)).or_default() += 1;
        self.entries.insert(id, entry);
    }

    /// Takes what a block says of an execution; answers all its blocks when it ended, and then it is no longer here.
    /// Nothing happens when it goes on and is not here: its first record was dropped.
    pub fn change(&mut self, change: &Change) -> Option<Box<[u64]>> {
        let Change { block, id, note } = change;
        if note.begins {
            self.begin(*id, LiveEntry { definition: note.definition, phase: note.phase, blocks: vec![*block] });
            return None;
        }
        let entry = self.entries.get_mut(id)?;
        if let Some(count) = self.counts.get_mut(&(entry.definition, entry.phase)) {
            *count -= 1;
        }
        entry.blocks.push(*block);
        if note.phase.is_terminal() {
            return self.end(*id);
        }
        (entry.definition, entry.phase) = (note.definition, note.phase);
        *self.counts.entry((note.definition, note.phase)).or_default() += 1;
        None
    }

    fn end(&mut self, id: ExecutionId) -> Option<Box<[u64]>> {
        let entry = self.entries.remove(&id)?;
        let first = entry.blocks.first().copied().unwrap_or(0);
        if let Some(count) = self.beginnings.get_mut(&first) {
            *count -= 1;
            if *count == 0 {
                self.beginnings.remove(&first);
            }
        }
        Some(entry.blocks.into())
    }
}
