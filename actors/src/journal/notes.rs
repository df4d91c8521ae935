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
    /// Once it is [settled](Group::settle) each definition and phase once, ascending; only one read from a stored index may be
    /// in another order.
    pub counts: Vec<Count>,
}

impl Group {
    /// Takes one more; [`Group::settle`] follows the last.
    pub fn add(&mut self, id: ExecutionId, definition: DefinitionId, phase: Phase) {
        self.widen(id, id);
        match self.counts.last_mut() {
            Some(last) if (last.definition, last.phase) == (definition, phase) => last.count += 1,
            _ => self.counts.push(Count { definition, phase, count: 1 }),
        }
    }

    /// Takes another group; [`Group::settle`] follows the last.
    pub fn merge(&mut self, other: &Group) {
        if let Some((lowest, highest)) = other.ids {
            self.widen(lowest, highest);
        }
        self.counts.extend_from_slice(&other.counts);
    }

    /// Counts together what was added. There may be thousands of definitions: to look for each one's place at once would move
    /// the others again and again.
    pub fn settle(&mut self) {
        self.counts.sort_by_key(|count| (count.definition, count.phase));
        self.counts.dedup_by(|next, before| {
            let same = (next.definition, next.phase) == (before.definition, before.phase);
            before.count += if same { next.count } else { 0 };
            same
        });
        self.counts.shrink_to_fit();
    }

    fn widen(&mut self, lowest: ExecutionId, highest: ExecutionId) {
        self.ids = Some(self.ids.map_or((lowest, highest), |(low, high)| (low.min(lowest), high.max(highest))));
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
    /// Those that begin and end here; not settled.
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
        notes.short.settle();
        let run = |first, count| Run { shard: ShardId(2), first, count };
        assert_eq!(notes.runs, [run(4, 3), run(9, 1)]);
        assert_eq!(notes.short.counts.iter().map(|count| count.count).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(notes.short.ids.map(|ids| ids.0), Some(short));
        assert_eq!(notes.long.len(), 2);
        assert!(notes.long[&begun].begins && !notes.long[&ended].begins && !notes.long.contains_key(&ended_here));
    }

    #[test]
    fn a_group_counts_each_definition_and_phase_once() {
        let id = |number| ExecutionId::new(Timestamp::from_millis(5), ShardId(2), number);
        let mut group = Group::default();
        for number in 0..10 {
            group.add(id(number), DefinitionId(number as u32 % 3), Phase::Completed);
        }
        group.settle();
        let counts = |group: &Group| group.counts.iter().map(|own| (own.definition.0, own.count)).collect::<Vec<_>>();
        assert_eq!(counts(&group), [(0, 4), (1, 3), (2, 3)]);
        let mut all = group.clone();
        all.add(id(12), DefinitionId(1), Phase::Faulted);
        all.merge(&group);
        all.settle();
        assert_eq!(counts(&all), [(0, 8), (1, 1), (1, 6), (2, 6)]);
        assert_eq!(all.ids, Some((id(0), id(12))));
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
