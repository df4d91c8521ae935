//! The stored form of what a shard knows besides its executions: its own records in the journal, and snapshots.

use std::sync::Arc;

use crate::event::CloudEvent;
use crate::execution::{Execution, read_event, write_event};
use crate::ids::{ActivationId, DefinitionId, ExecutionId, ShardId};
use crate::input::PeerMessage;
use crate::wire::codec::{CodecError, Reader, Writer};
use crate::wire::record::{KIND_SHARD_MIN, write_shard};

use super::schedule::Due;

const SEEN: u8 = KIND_SHARD_MIN;
const ABSORBED: u8 = KIND_SHARD_MIN + 1;
const OUTBOX: u8 = KIND_SHARD_MIN + 2;
const MARK: u8 = KIND_SHARD_MIN + 3;
const REQUEST: u8 = KIND_SHARD_MIN + 4;
const PUBLICATION: u8 = KIND_SHARD_MIN + 5;
const DELIVERED: u8 = KIND_SHARD_MIN + 6;
const SCHEDULE: u8 = KIND_SHARD_MIN + 7;
const GATHERED: u8 = KIND_SHARD_MIN + 8;

/// A change of a shard's own, as recorded.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum ShardRecord {
    /// These event keys were seen.
    Seen(Vec<u128>),
    /// A source partition was absorbed up to this offset.
    Absorbed(Arc<str>, u64),
    /// A message for a shard.
    Outbox(ShardId, u64, PeerMessage),
    /// The messages of a shard were absorbed up to this one.
    Mark(ShardId, u64),
    /// An idempotency key stands for an execution.
    Request(u128, ExecutionId),
    /// An event for the sinks.
    Publication(u64, Arc<CloudEvent>),
    /// Sinks are done with these.
    Delivered(Vec<u64>),
    /// What a schedule waits for; `None`: it is no more.
    Schedule(DefinitionId, Option<Due>),
    /// What was gathered for a definition.
    Gathered(DefinitionId, Vec<Execution>),
}

impl ShardRecord {
    /// Appends the record to a batch.
    pub fn write(&self, batch: &mut Vec<u8>) {
        let kind = match self {
            ShardRecord::Seen(_) => SEEN,
            ShardRecord::Absorbed(..) => ABSORBED,
            ShardRecord::Outbox(..) => OUTBOX,
            ShardRecord::Mark(..) => MARK,
            ShardRecord::Request(..) => REQUEST,
            ShardRecord::Publication(..) => PUBLICATION,
            ShardRecord::Delivered(_) => DELIVERED,
            ShardRecord::Schedule(..) => SCHEDULE,
            ShardRecord::Gathered(..) => GATHERED,
        };
        write_shard(batch, kind, |out| self.write_content(&mut Writer { out }));
    }

    fn write_content(&self, w: &mut Writer<'_>) {
        match self {
            ShardRecord::Seen(keys) => w.list(keys.iter(), |w, key| w.u128(*key)),
            ShardRecord::Absorbed(partition, offset) => {
                w.text(partition);
                w.count(*offset);
            }
            ShardRecord::Outbox(to, sequence, message) => {
                w.count(u64::from(to.0));
                w.count(*sequence);
                write_message(w, message);
            }
            ShardRecord::Mark(from, sequence) => {
                w.count(u64::from(from.0));
                w.count(*sequence);
            }
            ShardRecord::Request(key, execution) => {
                w.u128(*key);
                w.u128(execution.as_u128());
            }
            ShardRecord::Publication(number, event) => {
                w.count(*number);
                write_event(w, event);
            }
            ShardRecord::Delivered(numbers) => w.list(numbers.iter(), |w, number| w.count(*number)),
            ShardRecord::Schedule(definition, due) => {
                w.count(u64::from(definition.0));
                w.option(*due, write_due);
            }
            ShardRecord::Gathered(definition, open) => {
                w.count(u64::from(definition.0));
                w.list(open.iter(), |w, execution| {
                    let mut bytes = Vec::new();
                    execution.encode(&mut bytes);
                    w.bytes(&bytes);
                });
            }
        }
    }

    /// Reads a record's content.
    pub fn read(kind: u8, bytes: &[u8]) -> Result<ShardRecord, CodecError> {
        let mut r = Reader::new(bytes);
        let record = match kind {
            SEEN => ShardRecord::Seen(r.list(Reader::u128)?),
            ABSORBED => ShardRecord::Absorbed(r.text()?.as_str().into(), r.count()?),
            OUTBOX => ShardRecord::Outbox(read_shard(&mut r)?, r.count()?, read_message(&mut r)?),
            MARK => ShardRecord::Mark(read_shard(&mut r)?, r.count()?),
            REQUEST => ShardRecord::Request(r.u128()?, ExecutionId::from_u128(r.u128()?)),
            PUBLICATION => ShardRecord::Publication(r.count()?, Arc::new(read_event(&mut r)?)),
            DELIVERED => ShardRecord::Delivered(r.list(Reader::count)?),
            SCHEDULE => ShardRecord::Schedule(DefinitionId(r.count_u32()?), r.option(read_due)?),
            GATHERED => {
                let definition = DefinitionId(r.count_u32()?);
                ShardRecord::Gathered(definition, r.list(|r| Execution::decode(r.bytes()?))?)
            }
            other => return Err(r.invalid("record of a shard", other)),
        };
        if r.is_empty() { Ok(record) } else { Err(r.invalid("record's end", "more bytes")) }
    }
}

fn write_due(w: &mut Writer<'_>, due: Due) {
    match due {
        Due::At(at) => {
            w.u8(0);
            w.time(at);
        }
        Due::Ended(execution) => {
            w.u8(1);
            w.u128(execution.as_u128());
        }
    }
}

fn read_due(r: &mut Reader<'_>) -> Result<Due, CodecError> {
    match r.u8()? {
        0 => Ok(Due::At(r.time()?)),
        1 => Ok(Due::Ended(ExecutionId::from_u128(r.u128()?))),
        other => Err(r.invalid("schedule", other)),
    }
}

fn read_shard(r: &mut Reader<'_>) -> Result<ShardId, CodecError> {
    let number = r.count()?;
    u16::try_from(number).map(ShardId).map_err(|_| r.invalid("shard", number))
}

fn write_message(w: &mut Writer<'_>, message: &PeerMessage) {
    match message {
        PeerMessage::Event(event) => {
            w.u8(0);
            write_event(w, event);
        }
        PeerMessage::Listened(event) => {
            w.u8(1);
            write_event(w, event);
        }
        PeerMessage::Candidates { tasks, event } => {
            w.u8(5);
            w.list(tasks.iter(), |w, (execution, activation)| {
                w.u128(execution.as_u128());
                w.count(u64::from(activation.0));
            });
            write_event(w, event);
        }
        PeerMessage::Gathered { definitions, event } => {
            w.u8(6);
            w.list(definitions.iter(), |w, definition| w.count(u64::from(definition.0)));
            write_event(w, event);
        }
        PeerMessage::StartChild { parent, activation, namespace, name, version, input, wait } => {
            w.u8(4);
            w.u128(parent.as_u128());
            w.count(u64::from(activation.0));
            w.text(namespace);
            w.text(name);
            w.option(version.as_deref(), Writer::text);
            w.value(input);
            w.u8(u8::from(*wait));
        }
    }
}

fn read_message(r: &mut Reader<'_>) -> Result<PeerMessage, CodecError> {
    Ok(match r.u8()? {
        0 => PeerMessage::Event(Arc::new(read_event(r)?)),
        1 => PeerMessage::Listened(Arc::new(read_event(r)?)),
        // What version 0.1 wrote: one message for each task.
        2 => PeerMessage::Candidates { tasks: vec![read_task(r)?], event: Arc::new(read_event(r)?) },
        // … and for each definition.
        3 => PeerMessage::Gathered { definitions: vec![DefinitionId(r.count_u32()?)], event: Arc::new(read_event(r)?) },
        4 => PeerMessage::StartChild {
            parent: ExecutionId::from_u128(r.u128()?),
            activation: ActivationId(r.count_u32()?),
            namespace: r.text()?,
            name: r.text()?,
            version: r.option(Reader::text)?,
            input: r.value()?,
            wait: r.u8()? != 0,
        },
        5 => PeerMessage::Candidates { tasks: r.list(read_task)?, event: Arc::new(read_event(r)?) },
        6 => PeerMessage::Gathered {
            definitions: r.list(|r| r.count_u32().map(DefinitionId))?,
            event: Arc::new(read_event(r)?),
        },
        other => return Err(r.invalid("message between shards", other)),
    })
}

fn read_task(r: &mut Reader<'_>) -> Result<(ExecutionId, ActivationId), CodecError> {
    Ok((ExecutionId::from_u128(r.u128()?), ActivationId(r.count_u32()?)))
}
