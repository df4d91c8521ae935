//! What is known of the blocks of one segment, and of the executions that are live.

use std::collections::BTreeMap;
use std::ops::Range;

use rustc_hash::FxHashMap;
use trinity_engine::history::Phase;
use trinity_engine::ids::{DefinitionId, ExecutionId, ShardId};
use trinity_engine::time::Timestamp;

use super::notes::{BlockNotes, Group, Run};

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

/// The blocks of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentIndex {
    /// The number of its first block.
    pub first: u64,
    pub blocks: Vec<BlockEntry>,
    /// The number of the last block with a batch of each shard.
    pub last_batches: BTreeMap<ShardId, u64>,
    pub outlived: BTreeMap<ExecutionId, Outlived>,
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
}

impl SegmentIndex {
    /// Of a segment whose first block has this number.
    pub fn new(first: u64) -> SegmentIndex {
        SegmentIndex { first, blocks: Vec::new(), last_batches: BTreeMap::new(), outlived: BTreeMap::new() }
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
        let at = self.blocks.iter().position(|block| block.runs.iter().any(|run| run.contains(id)))?;
        Some(self.first + at as u64)
    }

    /// Takes the next block: those that go on become live, those that end leave the live ones.
    pub fn add(&mut self, live: &mut Live, offset: u64, bytes: u32, time: Timestamp, notes: BlockNotes) {
        let number = self.next();
        self.last_batches.extend(notes.shards.iter().map(|&shard| (shard, number)));
        for (id, note) in notes.long {
            if note.begins {
                live.begin(id, LiveEntry { definition: note.definition, phase: note.phase, blocks: vec![number] });
            } else if let Some(blocks) = live.go_on(id, note.definition, note.phase, number) {
                let (definition, phase, ended) = (note.definition, note.phase, note.time);
                self.outlived.insert(id, Outlived { definition, phase, ended, blocks });
            }
        }
        self.blocks.push(BlockEntry { offset, bytes, time, runs: notes.runs.into(), short: notes.short });
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

    /// How many there are by definition and phase.
    pub fn counts(&self) -> &FxHashMap<(DefinitionId, Phase), u64> {
        &self.counts
    }

    /// Takes one that begins.
    pub fn begin(&mut self, id: ExecutionId, entry: LiveEntry) {
        *self.counts.entry((entry.definition, entry.phase)).or_default() += 1;
        self.entries.insert(id, entry);
    }

    /// Notes that there is a record of it in this block; its blocks when it ended, and then it is no longer here. Nothing
    /// happens when it is not here: its first record was dropped.
    fn go_on(&mut self, id: ExecutionId, definition: DefinitionId, phase: Phase, block: u64) -> Option<Box<[u64]>> {
        let entry = self.entries.get_mut(&id)?;
        if let Some(count) = self.counts.get_mut(&(entry.definition, entry.phase)) {
            *count -= 1;
        }
        entry.blocks.push(block);
        if phase.is_terminal() {
            return self.entries.remove(&id).map(|entry| entry.blocks.into());
        }
        (entry.definition, entry.phase) = (definition, phase);
        *self.counts.entry((definition, phase)).or_default() += 1;
        None
    }
}
