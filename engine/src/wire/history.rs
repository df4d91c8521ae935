//! The stored form of history: one fact after the other, each with its time, its task and a kind byte.

use crate::error::WorkflowError;
use crate::history::{Fact, HistoryEvent, Trigger, TriggerKind};
use crate::ids::TaskIx;
use crate::time::Timestamp;
use crate::value::Value;
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
/// Completed with the output that the last fact before it with an output of its own has, in the same piece of history.
const COMPLETED_AS_BEFORE: u8 = 13;

/// The input of a new execution, to be written.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A value.
    Value(&'a Value),
    /// A list of one element whose JSON text is at hand.
    ListOf(&'a [u8]),
}

/// The output of what completed, to be written.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a> {
    /// It is the input.
    Unchanged,
    /// It is the last [`Output::New`] that was appended to the same piece of history.
    AsBefore,
    /// A value.
    New(&'a Value),
}

fn begin<'a>(out: &'a mut Vec<u8>, time: Timestamp, task: Option<TaskIx>, kind: u8) -> Writer<'a> {
    let mut w = Writer { out };
    w.time(time);
    w.count(task.map_or(0, |task| u64::from(task.0) + 1));
    w.u8(kind);
    w
}

/// Appends [`Fact::Created`].
pub fn created(out: &mut Vec<u8>, time: Timestamp, input: Input<'_>, trigger: &Trigger) {
    let mut w = begin(out, time, None, CREATED);
    match input {
        Input::Value(value) => w.value(value),
        Input::ListOf(text) => w.json(&[b"[", text, b"]"]),
    }
    w.u8(trigger.kind as u8);
    w.option(trigger.event_id.as_deref(), Writer::text);
    w.option(trigger.source.as_deref(), Writer::text);
}

/// Appends [`Fact::Started`].
pub fn started(out: &mut Vec<u8>, time: Timestamp, task: TaskIx, iteration: Option<u32>) {
    let mut w = begin(out, time, Some(task), STARTED);
    w.option(iteration, |w, index| w.count(u64::from(index)));
}

/// Appends [`Fact::Completed`].
pub fn completed(out: &mut Vec<u8>, time: Timestamp, task: Option<TaskIx>, output: Output<'_>) {
    match output {
        Output::AsBefore => {
            begin(out, time, task, COMPLETED_AS_BEFORE);
        }
        Output::Unchanged => begin(out, time, task, COMPLETED).u8(0),
        Output::New(value) => begin(out, time, task, COMPLETED).option(Some(value), Writer::value),
    }
}

/// Appends a fact.
pub fn append(out: &mut Vec<u8>, event: &HistoryEvent) {
    let HistoryEvent { time, task, fact } = event;
    match fact {
        Fact::Created { input, trigger } => return created(out, *time, Input::Value(input), trigger),
        Fact::Completed { output } => {
            return completed(out, *time, *task, output.as_ref().map_or(Output::Unchanged, Output::New));
        }
        _ => {}
    }
    let mut w = Writer { out };
    w.time(*time);
    w.count(task.map_or(0, |task| u64::from(task.0) + 1));
    match fact {
        Fact::Created { .. } | Fact::Completed { .. } => unreachable!("appended above"),
        Fact::Started { iteration } => {
            w.u8(STARTED);
            w.option(*iteration, |w, index| w.count(u64::from(index)));
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

/// Reads all facts of one piece of history: that of one record.
///
/// # Errors
/// The bytes are no history.
pub fn decode(bytes: &[u8]) -> Result<Vec<HistoryEvent>, CodecError> {
    read(bytes, |r| r.value())
}

/// As [`decode`], but inputs and outputs are skipped, and null in what it gives: for who wants to know what happened, and not
/// with which data.
///
/// # Errors
/// The bytes are no history.
pub fn outline(bytes: &[u8]) -> Result<Vec<HistoryEvent>, CodecError> {
    read(bytes, |r| r.skip_value().map(|()| Value::Null))
}

/// Reads all facts; `data` reads inputs and outputs.
fn read(
    bytes: &[u8],
    data: impl Fn(&mut Reader<'_>) -> Result<Value, CodecError>,
) -> Result<Vec<HistoryEvent>, CodecError> {
    let mut r = Reader::new(bytes);
    let mut events = Vec::new();
    let mut last_output = None;
    while !r.is_empty() {
        let time = r.time()?;
        let task = r.count_u32()?.checked_sub(1).map(TaskIx);
        let fact = read_fact(&mut r, last_output.as_ref(), &data)?;
        if let Fact::Completed { output: Some(output) } = &fact {
            last_output = Some(output.clone());
        }
        events.push(HistoryEvent { time, task, fact });
    }
    Ok(events)
}

fn read_fact(
    r: &mut Reader<'_>,
    last_output: Option<&Value>,
    data: impl Fn(&mut Reader<'_>) -> Result<Value, CodecError>,
) -> Result<Fact, CodecError> {
    Ok(match r.u8()? {
        CREATED => {
            let input = data(r)?;
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
        COMPLETED => Fact::Completed { output: r.option(data)? },
        COMPLETED_AS_BEFORE => match last_output {
            Some(output) => Fact::Completed { output: Some(output.clone()) },
            None => return Err(r.invalid("output", "none before")),
        },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_like_the_one_before_is_written_once_and_read_twice() {
        let output = Value::from("a long output that is not written twice");
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        for (out, last) in [(&mut once, Output::AsBefore), (&mut twice, Output::New(&output))] {
            completed(out, Timestamp(7), Some(TaskIx(3)), Output::New(&output));
            completed(out, Timestamp(8), Some(TaskIx(4)), Output::Unchanged);
            completed(out, Timestamp(9), None, last);
        }
        assert_eq!(decode(&once), decode(&twice));
        let nothing = |fact| Fact::Completed { output: fact };
        let outlined: Vec<Fact> = outline(&once).expect("history").into_iter().map(|event| event.fact).collect();
        assert_eq!(outlined, [Some(Value::Null), None, Some(Value::Null)].map(nothing));
        assert!(once.len() + 30 < twice.len());
        let mut alone = Vec::new();
        completed(&mut alone, Timestamp(9), None, Output::AsBefore);
        assert!(decode(&alone).is_err());
    }

    #[test]
    fn an_input_whose_text_is_at_hand_reads_as_its_value() {
        let trigger = Trigger { kind: TriggerKind::Event, event_id: Some("1".into()), source: None };
        let (text, list) = (br#"{"a": [1.50], "b":"\u0041"}"#, br#"[{"a":[1.5],"b":"A"}]"#);
        let list = Value::parse(list, &crate::value::ParseLimits::default()).expect("JSON");
        let (mut by_text, mut by_value) = (Vec::new(), Vec::new());
        created(&mut by_text, Timestamp(1), Input::ListOf(text), &trigger);
        created(&mut by_value, Timestamp(1), Input::Value(&list), &trigger);
        assert_eq!(decode(&by_text), decode(&by_value));
    }
}
