//! What the index needs to know of one block, read from its records: who begins, who goes on, who ends.

use rustc_hash::FxHashMap;
use trinity_engine::history::Phase;
use trinity_engine::ids::{DefinitionId, ExecutionId, ShardId};
use trinity_engine::time::Timestamp;
use trinity_engine::wire::codec::CodecError;
use trinity_engine::wire::record::{ExecutionHeader, RecordRef, Records};

/// Executions whose numbers within their shard follow each other without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub shard: ShardId,
    /// The first one's number.
    pub first: u64,
    pub count: u64,
}

impl Run {
    pub fn contains(&self, id: ExecutionId) -> bool {
        self.shard == id.shard() && (self.first..self.first + self.count).contains(&id.sequence())
    }
}

/// How many executions of one definition are in one phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub definition: DefinitionId,
    pub phase: Phase,
    pub count: u64,
}

/// Executions of which only this is known: the lowest and highest id, and how many there are by definition and phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    pub ids: Option<(ExecutionId, ExecutionId)>,
    /// Sorted by definition and phase, for there may be thousands; only one read from a stored index may be in another order.
    pub counts: Vec<Count>,
}

impl Group {
    pub fn add(&mut self, id: ExecutionId, definition: DefinitionId, phase: Phase) {
        self.widen(id, id);
        self.count(Count { definition, phase, count: 1 });
    }

    pub fn merge(&mut self, other: &Group) {
        if let Some((lowest, highest)) = other.ids {
            self.widen(lowest, highest);
        }
        other.counts.iter().for_each(|&count| self.count(count));
    }

    fn widen(&mut self, lowest: ExecutionId, highest: ExecutionId) {
        self.ids = Some(self.ids.map_or((lowest, highest), |(low, high)| (low.min(lowest), high.max(highest))));
    }

    fn count(&mut self, added: Count) {
        let key = |count: &Count| (count.definition, count.phase);
        match self.counts.binary_search_by_key(&key(&added), key) {
            Ok(at) => self.counts[at].count += added.count,
            Err(at) => self.counts.insert(at, added),
        }
    }
}

/// The last word of one block about an execution that did not begin and end in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub definition: DefinitionId,
    pub phase: Phase,
    /// Its first record is in this block.
    pub begins: bool,
    /// When it ended, with a final phase.
    pub time: Timestamp,
}

/// One block, as the index sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct BlockNotes {
    /// Whose batches these are.
    pub shards: Vec<ShardId>,
    /// All that begin here.
    pub runs: Vec<Run>,
    /// Those that begin and end here.
    pub short: Group,
    /// All others.
    pub long: FxHashMap<ExecutionId, Note>,
}

/// Why records can't be noted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoteError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("execution {0} belongs to another shard")]
    OtherShard(ExecutionId),
    #[error("execution {0} begins twice, or goes on after its end")]
    OutOfOrder(ExecutionId),
}

impl BlockNotes {
    /// Reads the records of one batch, after those of the batches before it.
    pub fn read(&mut self, shard: ShardId, records: &[u8]) -> Result<(), NoteError> {
        self.shards.push(shard);
        for record in Records::new(records) {
            if let RecordRef::Execution { header, .. } = record? {
                self.note(shard, &header)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, shard: ShardId, header: &ExecutionHeader) -> Result<(), NoteError> {
        let ExecutionHeader { id, definition, phase, begins, ends, time } = *header;
        if id.shard() != shard {
            return Err(NoteError::OtherShard(id));
        }
        if begins {
            self.begin(id);
        }
        if begins && ends {
            self.short.add(id, definition, phase);
            return Ok(());
        }
        let before = self.long.get(&id).copied();
        if before.is_some_and(|before| begins || before.phase.is_terminal()) {
            return Err(NoteError::OutOfOrder(id));
        }
        let begins = begins || before.is_some_and(|before| before.begins);
        if begins && ends {
            self.long.remove(&id);
            self.short.add(id, definition, phase);
        } else {
            self.long.insert(id, Note { definition, phase, begins, time });
        }
        Ok(())
    }

    fn begin(&mut self, id: ExecutionId) {
        let (shard, number) = (id.shard(), id.sequence());
        match self.runs.last_mut() {
            Some(run) if run.shard == shard && run.first + run.count == number => run.count += 1,
            _ => self.runs.push(Run { shard, first: number, count: 1 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use trinity_engine::wire::record::write_execution;

    use super::*;

    fn record(out: &mut Vec<u8>, number: u64, phase: Phase, begins: bool) -> ExecutionId {
        let id = ExecutionId::new(Timestamp::from_millis(5), ShardId(2), number);
        let (definition, ends) = (DefinitionId(1), phase.is_terminal());
        let header = ExecutionHeader { id, definition, phase, begins, ends, time: Timestamp(9) };
        write_execution(out, &header, |_| (), |_| ());
        id
    }

    #[test]
    fn runs_groups_and_long_ones_are_told_apart() {
        let mut records = Vec::new();
        let short = record(&mut records, 4, Phase::Completed, true);
        let begun = record(&mut records, 5, Phase::Running, true);
        let ended_here = record(&mut records, 6, Phase::Running, true);
        let ended = record(&mut records, 1, Phase::Faulted, false);
        record(&mut records, 6, Phase::Faulted, false);
        record(&mut records, 9, Phase::Completed, true);
        let mut notes = BlockNotes::default();
        notes.read(ShardId(2), &records).expect("records in order");
        let run = |first, count| Run { shard: ShardId(2), first, count };
        assert_eq!(notes.runs, [run(4, 3), run(9, 1)]);
        assert_eq!(notes.short.counts.iter().map(|count| count.count).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(notes.short.ids.map(|ids| ids.0), Some(short));
        assert_eq!(notes.long.len(), 2);
        assert!(notes.long[&begun].begins && !notes.long[&ended].begins && !notes.long.contains_key(&ended_here));
    }

    #[test]
    fn records_out_of_order_or_of_another_shard_are_refused() {
        for (phases, shard) in [([Phase::Running; 2], 2), ([Phase::Waiting; 2], 3)] {
            let mut records = Vec::new();
            record(&mut records, 4, phases[0], true);
            record(&mut records, 4, phases[1], true);
            assert!(BlockNotes::default().read(ShardId(shard), &records).is_err());
        }
    }
}
