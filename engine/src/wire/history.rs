//! The stored form of history: one fact after the other, each with its time, its task and a kind byte.

use crate::error::WorkflowError;
use crate::history::{Fact, HistoryEvent, Trigger, TriggerKind};
use crate::ids::TaskIx;
use crate::wire::codec::{CodecError, Reader, Writer};

const CREATED: u8 = 0;
const STARTED: u8 = 1;
const COMPLETED: u8 = 2;
const FAULTED: u8 = 3;
const RETRIED: u8 = 4;
const CANCELLED: u8 = 5;
const SUSPENDED: u8 = 6;
const RESUMED: u8 = 7;
const WAITING: u8 = 8;
const SKIPPED: u8 = 9;
const EMITTED: u8 = 10;
const CORRELATION_STARTED: u8 = 11;
const CORRELATION_COMPLETED: u8 = 12;

/// Appends a fact.
pub fn append(out: &mut Vec<u8>, event: &HistoryEvent) {
    let mut w = Writer { out };
    w.time(event.time);
    w.count(event.task.map_or(0, |task| u64::from(task.0) + 1));
    match &event.fact {
        Fact::Created { input, trigger } => {
            w.u8(CREATED);
            w.value(input);
            w.u8(trigger.kind as u8);
            w.option(trigger.event_id.as_deref(), Writer::text);
            w.option(trigger.source.as_deref(), Writer::text);
        }
        Fact::Started { iteration } => {
            w.u8(STARTED);
            w.option(*iteration, |w, index| w.count(u64::from(index)));
        }
        Fact::Completed { output } => {
            w.u8(COMPLETED);
            w.option(output.as_ref(), Writer::value);
        }
        Fact::Faulted { error } => {
            w.u8(FAULTED);
            write_error(&mut w, error);
        }
        Fact::Retried { attempt, error, at } => {
            w.u8(RETRIED);
            w.count(u64::from(*attempt));
            write_error(&mut w, error);
            w.time(*at);
        }
        Fact::Cancelled => w.u8(CANCELLED),
        Fact::Suspended => w.u8(SUSPENDED),
        Fact::Resumed => w.u8(RESUMED),
        Fact::Waiting { until } => {
            w.u8(WAITING);
            w.option(*until, Writer::time);
        }
        Fact::Skipped => w.u8(SKIPPED),
        Fact::Emitted { event } => {
            w.u8(EMITTED);
            w.value(event);
        }
        Fact::CorrelationStarted => w.u8(CORRELATION_STARTED),
        Fact::CorrelationCompleted { keys } => {
            w.u8(CORRELATION_COMPLETED);
            w.value(keys);
        }
    }
}

/// Reads all facts of `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Vec<HistoryEvent>, CodecError> {
    let mut r = Reader::new(bytes);
    let mut events = Vec::new();
    while !r.is_empty() {
        let time = r.time()?;
        let task = r.count_u32()?.checked_sub(1).map(TaskIx);
        let fact = read_fact(&mut r)?;
        events.push(HistoryEvent { time, task, fact });
    }
    Ok(events)
}

fn read_fact(r: &mut Reader<'_>) -> Result<Fact, CodecError> {
    Ok(match r.u8()? {
        CREATED => {
            let input = r.value()?;
            let kind = match r.u8()? {
                0 => TriggerKind::Api,
                1 => TriggerKind::Event,
                2 => TriggerKind::Schedule,
                3 => TriggerKind::Workflow,
                other => return Err(r.invalid("kind of trigger", other)),
            };
            let trigger = Trigger { kind, event_id: r.option(Reader::text)?, source: r.option(Reader::text)? };
            Fact::Created { input, trigger }
        }
        STARTED => Fact::Started { iteration: r.option(Reader::count_u32)? },
        COMPLETED => Fact::Completed { output: r.option(Reader::value)? },
        FAULTED => Fact::Faulted { error: read_error(r)? },
        RETRIED => Fact::Retried { attempt: r.count_u32()?, error: read_error(r)?, at: r.time()? },
        CANCELLED => Fact::Cancelled,
        SUSPENDED => Fact::Suspended,
        RESUMED => Fact::Resumed,
        WAITING => Fact::Waiting { until: r.option(Reader::time)? },
        SKIPPED => Fact::Skipped,
        EMITTED => Fact::Emitted { event: r.value()? },
        CORRELATION_STARTED => Fact::CorrelationStarted,
        CORRELATION_COMPLETED => Fact::CorrelationCompleted { keys: r.value()? },
        other => return Err(r.invalid("kind of fact", other)),
    })
}

/// Writes an error.
pub fn write_error(w: &mut Writer<'_>, error: &WorkflowError) {
    w.text(&error.error_type);
    w.count(u64::from(error.status));
    for text in [&error.title, &error.detail, &error.instance] {
        w.option(text.as_deref(), Writer::text);
    }
}

/// Reads an error.
pub fn read_error(r: &mut Reader<'_>) -> Result<WorkflowError, CodecError> {
    let error_type = r.text()?;
    let status = r.count()?;
    let status = u16::try_from(status).map_err(|_| r.invalid("status", status))?;
    Ok(WorkflowError {
        error_type,
        status,
        title: r.option(Reader::text)?,
        detail: r.option(Reader::text)?,
        instance: r.option(Reader::text)?,
    })
}
