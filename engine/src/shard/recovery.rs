//! Back from the journal: the newest snapshot, the records after it, and what must be asked for again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::codec::ShardRecord;
use super::live::Live;
use super::ready::{Ready, ShardEffect};
use super::step::Step;
use super::{Catalog, Settings, Shard};
use crate::effect::ExecutionEffect;
use crate::ids::{DefinitionId, ExecutionId, ShardId};
use crate::input::Note;
use crate::time::Timestamp;
use crate::wire::codec::{CodecError, Reader, Writer};
use crate::wire::record::{RecordRef, Records};

const SNAPSHOT_VERSION: u8 = 1;

/// A snapshot or a record that can't be read: what was written must be readable, so this ends the recovery.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("shard {shard} can't be recovered: {cause}")]
pub struct ReplayError {
    /// Whose.
    pub shard: u16,
    /// Why.
    pub cause: CodecError,
}

impl Shard {
    /// The state that a snapshot holds.
    ///
    /// # Errors
    /// It can't be read.
    pub fn from_snapshot(
        id: ShardId,
        settings: Settings,
        catalog: Arc<Catalog>,
        bytes: &[u8],
    ) -> Result<Shard, ReplayError> {
        let mut shard = Shard::new(id, settings, catalog);
        shard.read_snapshot(bytes).map_err(|cause| ReplayError { shard: id.0, cause })?;
        Ok(shard)
    }

    /// Folds the records of one commit back into the state.
    ///
    /// # Errors
    /// They can't be read.
    pub fn replay(&mut self, records: &[u8]) -> Result<(), ReplayError> {
        let shard = self.id.0;
        for record in Records::new(records) {
            record.and_then(|record| self.fold(record)).map_err(|cause| ReplayError { shard, cause })?;
        }
        Ok(())
    }

    fn fold(&mut self, record: RecordRef<'_>) -> Result<(), CodecError> {
        match record {
            RecordRef::Execution { header, tail, .. } => {
                self.last = self.last.max(header.time);
                if header.begins {
                    self.sequence = self.sequence.max(header.id.sequence() + 1);
                }
                if header.ends {
                    self.live.remove(&header.id);
                } else {
                    self.live.insert(header.id, Live::read(header.definition, tail)?);
                }
            }
            RecordRef::Shard { kind, bytes } => self.fold_own(ShardRecord::read(kind, bytes)?),
        }
        Ok(())
    }

    fn fold_own(&mut self, record: ShardRecord) {
        match record {
            ShardRecord::Seen(keys) => {
                for key in keys {
                    self.seen.insert(key);
                }
            }
            ShardRecord::Absorbed(partition, offset) => {
                self.absorbed.advance(&partition, offset);
            }
            ShardRecord::Outbox(to, sequence, message) => self.outbox.restore(to, sequence, Some(message)),
            ShardRecord::Mark(from, sequence) => self.outbox.set_mark(from, sequence),
            ShardRecord::Request(key, execution) => self.requests.insert(key, execution),
            ShardRecord::Publication(number, event) => self.publications.restore(number, Some(event)),
            ShardRecord::Delivered(numbers) => {
                for number in numbers {
                    self.publications.delivered(number);
                }
            }
            ShardRecord::Schedule(definition, due) => self.schedules.set(definition, due),
            ShardRecord::Gathered(definition, open) => self.gatherers.restore(definition, open),
        }
    }

    /// Ends the recovery: sets the timers, takes the node's catalog, asks again for what is outstanding, and asks all
    /// shards who listens here. Until they have answered, only notes are taken. To be called once, before the first step.
    pub fn recovered(&mut self, now: Timestamp) -> Ready {
        self.last = self.last.max(now);
        let mut step = Step::new(self.last, Vec::new());
        for (id, live) in &self.live {
            if let Some(at) = live.wake {
                self.timers.set(at, *id);
            }
        }
        self.ask_again(&mut step);
        for (publication, event) in self.publications.waiting() {
            let event = event.clone();
            step.released.effects.push(ShardEffect::Publish { publication, event });
        }
        let own: Vec<_> = self.outbox.waiting(self.id).cloned().collect();
        for (sequence, message) in own {
            step.released.effects.push(ShardEffect::Peer { to: self.id, sequence, message });
        }
        self.set_catalog(self.catalog.0.clone(), &mut step);
        for other in (0..self.catalog.shards()).map(ShardId).filter(|other| *other != self.id) {
            self.awaited.insert(other);
            step.released.effects.push(ShardEffect::Note { to: other, note: Note::Announce });
        }
        self.close(&mut step);
        step.into_ready()
    }

    fn ask_again(&mut self, step: &mut Step) {
        let catalog = self.catalog.clone();
        let mut asking: Vec<ExecutionId> = self.live.iter().filter(|(_, live)| live.asks).map(|(id, _)| *id).collect();
        asking.sort_unstable();
        for id in asking {
            let live = &self.live[&id];
            let (Ok(execution), Some(entry)) = (live.execution(), catalog.entry(live.definition)) else { continue };
            for effect in execution.outstanding(&entry.plan) {
                match effect {
                    ExecutionEffect::Call { activation, attempt, request } => {
                        step.released.effects.push(ShardEffect::Call { execution: id, activation, attempt, request });
                    }
                    ExecutionEffect::Subscribe { activation, interests } => {
                        self.subscribe(id, activation, &interests, step);
                    }
                    // A start of a child is durable in the outbox.
                    ExecutionEffect::StartChild { .. }
                    | ExecutionEffect::CancelCall { .. }
                    | ExecutionEffect::Unsubscribe { .. }
                    | ExecutionEffect::Publish { .. }
                    | ExecutionEffect::CancelChild { .. } => {}
                }
            }
        }
    }

    /// Tells a shard that has recovered who listens there, and sends what it has not absorbed.
    pub(super) fn announce(&mut self, to: ShardId, step: &mut Step) {
        let shards = self.catalog.shards();
        let mut told = Vec::new();
        for ((execution, activation), wanted) in self.listening.iter() {
            for (home, wanted) in super::subscriptions::by_home(wanted, shards) {
                if home == to {
                    told.push(Note::Subscribe { execution, activation, wanted });
                }
            }
        }
        step.released.effects.extend(told.into_iter().map(|note| ShardEffect::Note { to, note }));
        for (sequence, message) in self.outbox.waiting(to) {
            let (sequence, message) = (*sequence, message.clone());
            step.released.effects.push(ShardEffect::Peer { to, sequence, message });
        }
        step.released.effects.push(ShardEffect::Note { to, note: Note::Announced });
    }

    /// The whole state as of the last step, for [`Shard::from_snapshot`].
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let states: usize = self.live.values().map(|live| live.state.len() + 40).sum();
        let mut out = Vec::with_capacity(states + (1 << 16));
        let mut w = Writer { out: &mut out };
        w.u8(SNAPSHOT_VERSION);
        w.count(self.sequence);
        w.time(self.last);
        w.count(self.live.len() as u64);
        let mut ids: Vec<_> = self.live.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let live = &self.live[&id];
            w.u128(id.as_u128());
            w.count(u64::from(live.definition.0));
            let mut bytes = Vec::with_capacity(live.state.len() + 16);
            live.write(&mut bytes);
            w.bytes(&bytes);
        }
        w.list(self.requests.iter(), |w, (key, execution)| {
            w.u128(key);
            w.u128(execution.as_u128());
        });
        w.count(self.publications.last());
        w.list(self.outbox.iter(), |w, (to, last, _)| {
            w.count(u64::from(to.0));
            w.count(last);
        });
        self.write_records(&mut w);
        out
    }

    /// What is stored in the form of records, one after the other, to the end.
    fn write_records(&self, w: &mut Writer<'_>) {
        let mut records: VecDeque<ShardRecord> = VecDeque::new();
        records.push_back(ShardRecord::Seen(self.seen.iter().collect()));
        for (partition, offset) in self.absorbed.iter() {
            records.push_back(ShardRecord::Absorbed(partition.clone(), offset));
        }
        for (to, _, waiting) in self.outbox.iter() {
            for (sequence, message) in waiting {
                records.push_back(ShardRecord::Outbox(to, *sequence, message.clone()));
            }
        }
        for (from, sequence) in self.outbox.marks() {
            records.push_back(ShardRecord::Mark(from, sequence));
        }
        for (number, event) in self.publications.waiting() {
            records.push_back(ShardRecord::Publication(number, event.clone()));
        }
        for (definition, due) in self.schedules.iter() {
            records.push_back(ShardRecord::Schedule(definition, Some(due)));
        }
        for (definition, open) in self.gatherers.iter() {
            records.push_back(ShardRecord::Gathered(definition, open.to_vec()));
        }
        for record in records {
            record.write(w.out);
        }
    }

    fn read_snapshot(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        let mut r = Reader::new(bytes);
        match r.u8()? {
            SNAPSHOT_VERSION => {}
            other => return Err(r.invalid("snapshot of version 1", other)),
        }
        self.sequence = r.count()?;
        self.last = r.time()?;
        for _ in 0..r.count()? {
            let id = ExecutionId::from_u128(r.u128()?);
            let definition = DefinitionId(r.count_u32()?);
            self.live.insert(id, Live::read(definition, r.bytes()?)?);
        }
        for (key, execution) in r.list(|r| Ok((r.u128()?, ExecutionId::from_u128(r.u128()?))))? {
            self.requests.insert(key, execution);
        }
        self.publications.restore(r.count()?, None);
        for (to, last) in r.list(|r| Ok((r.count()?, r.count()?)))? {
            let to = u16::try_from(to).map_err(|_| r.invalid("shard", to))?;
            self.outbox.restore(ShardId(to), last, None);
        }
        for record in Records::new(r.rest()) {
            self.fold(record?)?;
        }
        Ok(())
    }
}
