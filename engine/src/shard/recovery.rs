//! Back from the journal: the newest snapshot, the records after it, and what must be asked for again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::codec::ShardRecord;
use super::executions::caught;
use super::ready::{Ready, ShardEffect};
use super::step::Step;
use super::subscriptions::by_home;
use super::{Catalog, Settings, Shard};
use crate::effect::ExecutionEffect;
use crate::ids::{ExecutionId, ShardId};
use crate::input::{Note, Subscription};
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

/// A shard's whole state at a moment, in parts that it may share with the shard.
#[derive(Clone, Debug, Default)]
pub struct ShardSnapshot {
    parts: Vec<Arc<Vec<u8>>>,
}

impl ShardSnapshot {
    /// Its bytes, part by part.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| part.as_slice())
    }

    /// How many bytes it has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.parts().map(<[u8]>::len).sum()
    }

    /// Its bytes in one piece.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        self.parts().collect::<Vec<_>>().concat()
    }
}

impl From<Vec<u8>> for ShardSnapshot {
    fn from(bytes: Vec<u8>) -> ShardSnapshot {
        ShardSnapshot { parts: vec![Arc::new(bytes)] }
    }
}

impl PartialEq for ShardSnapshot {
    /// Whether the bytes are the same, however they are divided.
    fn eq(&self, other: &ShardSnapshot) -> bool {
        self.bytes() == other.bytes() && self.to_vec() == other.to_vec()
    }
}

impl Eq for ShardSnapshot {}

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
                    self.live.remove(header.id);
                } else {
                    self.live.insert(header.id, header.definition, tail)?;
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
        let waiting = self.live.iter().filter_map(|(id, live)| Some((live.wake?, id)));
        self.timers.fill(waiting);
        self.ask_again(&mut step);
        // Only what was given up leaves some.
        self.work(&mut step);
        for (publication, event) in self.publications.waiting() {
            let event = event.clone();
            step.released.effects.push(ShardEffect::Publish { publication, event });
        }
        // What others may not have: it may be durable and have never left. Who has it drops it, who is away asks for it.
        for (to, _, waiting) in self.outbox.iter() {
            let messages = waiting.iter().cloned();
            let sent = messages.map(|(sequence, message)| ShardEffect::Peer { to, sequence, message });
            step.released.effects.extend(sent);
        }
        self.set_catalog(self.catalog.0.clone(), &mut step);
        for other in (0..self.catalog.shards()).map(ShardId).filter(|other| *other != self.id) {
            self.awaited.insert(other);
            self.untold.entry(other).or_default();
            step.released.effects.push(ShardEffect::Note { to: other, note: Note::Announce });
        }
        self.close(&mut step);
        step.into_ready()
    }

    /// Asks again for what is outstanding. Who listens at other shards is told when they are there to hear it.
    fn ask_again(&mut self, step: &mut Step) {
        let (catalog, mut defects) = (self.catalog.clone(), Vec::new());
        for (id, live) in self.live.iter().filter(|(_, live)| live.asks) {
            let (Ok(execution), Some(entry)) = (live.execution(), catalog.entry(live.definition)) else { continue };
            let outstanding = match caught(|| execution.outstanding(&entry.plan)) {
                Ok(outstanding) => outstanding,
                Err(error) => {
                    defects.push((id, error));
                    continue;
                }
            };
            for effect in outstanding {
                match effect {
                    ExecutionEffect::Call { activation, attempt, request } => {
                        step.released.effects.push(ShardEffect::Call { execution: id, activation, attempt, request });
                    }
                    ExecutionEffect::Subscribe { activation, interests } => {
                        for (home, subscription) in by_home((id, activation), &interests, catalog.shards()) {
                            if home == self.id {
                                self.subscriptions.add(subscription);
                            } else {
                                self.untold.entry(home).or_default().push(subscription);
                            }
                        }
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
        for (id, error) in defects {
            step.released.panics += 1;
            self.give_up(id, error, step);
        }
    }

    /// Who listens at another shard.
    fn listening_at(&self, home: ShardId) -> Vec<Subscription> {
        let catalog = &self.catalog;
        let mut found = Vec::new();
        for (id, live) in self.live.iter().filter(|(_, live)| live.asks) {
            let (Ok(execution), Some(entry)) = (live.execution(), catalog.entry(live.definition)) else { continue };
            for (activation, interests) in execution.interests(&entry.plan) {
                let all = by_home((id, activation), &interests, catalog.shards());
                found.extend(all.into_iter().filter(|(own, _)| *own == home).map(|(_, subscription)| subscription));
            }
        }
        found
    }

    /// Another shard has told all that this one must know; now, at the latest, it is told in turn who listens there.
    pub(super) fn announced(&mut self, from: ShardId, step: &mut Step) {
        self.awaited.remove(&from);
        if let Some(told) = self.untold.remove(&from) {
            step.released.effects.push(ShardEffect::Note { to: from, note: Note::Subscribe(told) });
        }
    }

    /// Tells a shard that has recovered who listens there, and sends what it has not absorbed.
    pub(super) fn announce(&mut self, to: ShardId, step: &mut Step) {
        self.told.insert(to);
        let told = self.untold.remove(&to).unwrap_or_else(|| self.listening_at(to));
        step.released.effects.push(ShardEffect::Note { to, note: Note::Subscribe(told) });
        for (sequence, message) in self.outbox.waiting(to) {
            let (sequence, message) = (*sequence, message.clone());
            step.released.effects.push(ShardEffect::Peer { to, sequence, message });
        }
        step.released.effects.push(ShardEffect::Note { to, note: Note::Announced });
    }

    /// The whole state as of the last step, for [`Shard::from_snapshot`]. The live executions are shared, not copied.
    #[must_use]
    pub fn snapshot(&self) -> ShardSnapshot {
        let (mut head, mut rest) = (Vec::new(), Vec::new());
        let mut w = Writer { out: &mut head };
        w.u8(SNAPSHOT_VERSION);
        w.count(self.sequence);
        w.time(self.last);
        w.count(self.live.len() as u64);
        let mut w = Writer { out: &mut rest };
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
        let pages = self.live.pages().cloned();
        ShardSnapshot { parts: [Arc::new(head)].into_iter().chain(pages).chain([Arc::new(rest)]).collect() }
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
        self.live.read(&mut r)?;
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
