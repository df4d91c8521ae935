//! The stored form of a live execution (version 1).

use std::collections::VecDeque;
use std::sync::Arc;

use ecow::EcoString;

use super::activation::{Activation, ForState, ForkState, ListenState, State, TryStage, TryState};
use super::{Execution, STEP_BYTES_MAX};
use crate::effect::{DigestCredentials, HttpRequest, HttpResponse};
use crate::event::CloudEvent;
use crate::history::Phase;
use crate::ids::{ActivationId, DefinitionId, ExecutionId, TaskIx};
use crate::input::{Control, ExecutionInput};
use crate::value::{Array, Value};
use crate::wire::codec::{CodecError, Reader, Writer};
use crate::wire::history::{read_error, write_error};

const VERSION: u8 = 1;

/// Why a stored execution can't be read.
pub type StateError = CodecError;

impl Execution {
    /// Appends the stored form of a live execution.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let mut w = Writer { out };
        w.u8(VERSION);
        w.u128(self.id.as_u128());
        w.count(u64::from(self.definition.0));
        w.u8(self.phase as u8);
        w.time(self.created);
        w.value(&self.input);
        w.value(&self.context);
        w.option(self.deadline, Writer::time);
        w.count(u64::from(self.facts));
        w.count(u64::from(self.activations_begun));
        w.option(self.parent, |w, (execution, activation)| {
            w.u128(execution.as_u128());
            w.count(u64::from(activation.0));
        });
        // What is longer is not kept, so it need not be whole.
        let is_short = |w: &Writer<'_>| w.out.len() - start <= STEP_BYTES_MAX;
        w.list(self.activations.iter(), |w, activation| {
            if is_short(w) {
                write_activation(w, activation);
            }
        });
        w.list(self.stash.iter(), |w, input| {
            if is_short(w) {
                write_input(w, input);
            }
        });
    }

    /// Whether the stored form is of a version that can be read.
    ///
    /// # Errors
    /// It is not.
    pub fn check_version(bytes: &[u8]) -> Result<(), StateError> {
        let mut r = Reader::new(bytes);
        match r.u8()? {
            VERSION => Ok(()),
            other => Err(r.invalid("execution of version 1", other)),
        }
    }

    /// Reads what [`Execution::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Execution, StateError> {
        let mut r = Reader::new(bytes);
        match r.u8()? {
            VERSION => {}
            other => return Err(r.invalid("execution of version 1", other)),
        }
        Ok(Execution {
            id: ExecutionId::from_u128(r.u128()?),
            definition: DefinitionId(r.count_u32()?),
            phase: read_phase(&mut r)?,
            created: r.time()?,
            input: r.value()?,
            context: r.value()?,
            deadline: r.option(Reader::time)?,
            facts: r.count_u32()?,
            activations_begun: r.count_u32()?,
            parent: r.option(|r| Ok((ExecutionId::from_u128(r.u128()?), ActivationId(r.count_u32()?))))?,
            activations: r.list(read_activation)?,
            stash: r.list(read_input)?,
            outcome: None,
        })
    }
}

fn read_phase(r: &mut Reader<'_>) -> Result<Phase, CodecError> {
    let number = r.u8()?;
    Phase::from_u8(number).ok_or_else(|| r.invalid("phase", number))
}

fn write_flag(w: &mut Writer<'_>, flag: bool) {
    w.u8(u8::from(flag));
}

fn read_flag(r: &mut Reader<'_>) -> Result<bool, CodecError> {
    Ok(r.u8()? != 0)
}

fn write_pair(w: &mut Writer<'_>, (name, value): &(EcoString, Value)) {
    w.text(name);
    w.value(value);
}

fn read_pair(r: &mut Reader<'_>) -> Result<(EcoString, Value), CodecError> {
    Ok((r.text()?, r.value()?))
}

fn write_texts(w: &mut Writer<'_>, (name, value): &(EcoString, EcoString)) {
    w.text(name);
    w.text(value);
}

fn read_texts(r: &mut Reader<'_>) -> Result<(EcoString, EcoString), CodecError> {
    Ok((r.text()?, r.text()?))
}

fn write_activation(w: &mut Writer<'_>, a: &Activation) {
    w.count(u64::from(a.id.0));
    w.count(u64::from(a.task.0));
    w.option(a.parent, |w, parent| w.count(u64::from(parent.0)));
    w.value(&a.raw_input);
    // The transformed input is most often the raw one.
    w.option((a.input != a.raw_input).then_some(&a.input), Writer::value);
    w.time(a.started);
    w.option(a.deadline, Writer::time);
    w.list(a.variables.iter(), write_pair);
    w.option(a.context.as_ref(), Writer::value);
    w.count(u64::from(a.passes));
    write_state(w, &a.state);
}

fn read_activation(r: &mut Reader<'_>) -> Result<Activation, CodecError> {
    let id = ActivationId(r.count_u32()?);
    let task = TaskIx(r.count_u32()?);
    let parent = r.option(Reader::count_u32)?.map(ActivationId);
    let raw_input = r.value()?;
    let input = r.option(Reader::value)?.unwrap_or_else(|| raw_input.clone());
    Ok(Activation {
        id,
        task,
        parent,
        raw_input,
        input,
        started: r.time()?,
        deadline: r.option(Reader::time)?,
        variables: r.list(read_pair)?,
        context: r.option(Reader::value)?,
        passes: r.count_u32()?,
        state: read_state(r)?,
    })
}

fn write_state(w: &mut Writer<'_>, state: &State) {
    match state {
        State::Do => w.u8(0),
        State::For(s) => {
            w.u8(1);
            w.value(&Value::Array(s.items.clone()));
            w.count(u64::from(s.index));
        }
        State::Fork(s) => {
            w.u8(2);
            w.list(s.done.iter(), |w, done| {
                w.option(done.as_ref(), |w, (output, context)| {
                    w.value(output);
                    w.value(context);
                });
            });
            w.count(u64::from(s.failed));
        }
        State::Try(s) => {
            w.u8(3);
            w.count(u64::from(s.retries));
            w.option(s.attempt_deadline, Writer::time);
            match &s.stage {
                TryStage::Body => w.u8(0),
                TryStage::Delay { until } => {
                    w.u8(1);
                    w.time(*until);
                }
                TryStage::Handler { error } => {
                    w.u8(2);
                    write_error(w, error);
                }
            }
        }
        State::Wait { until } => {
            w.u8(4);
            w.time(*until);
        }
        State::Call { attempt, request } => {
            w.u8(5);
            w.count(u64::from(*attempt));
            write_request(w, request);
        }
        State::Listen(s) => {
            w.u8(6);
            w.value(&Value::Array(s.consumed.clone()));
            w.list(s.matched.iter(), |w, value| w.option(value.as_ref(), Writer::value));
            w.list(s.until_matched.iter().copied(), write_flag);
            w.list(s.correlations.iter(), write_pair);
            w.list(s.queue.iter(), Writer::value);
            w.count(u64::from(s.index));
            write_flag(w, s.busy);
            write_flag(w, s.closed);
        }
        State::Child { child, input } => {
            w.u8(7);
            w.option(*child, |w, id| w.u128(id.as_u128()));
            w.value(input);
        }
    }
}

fn read_array(r: &mut Reader<'_>) -> Result<Array, CodecError> {
    match r.value()? {
        Value::Array(items) => Ok(items),
        other => Err(r.invalid("array", other.type_name())),
    }
}

fn read_state(r: &mut Reader<'_>) -> Result<State, CodecError> {
    Ok(match r.u8()? {
        0 => State::Do,
        1 => State::For(ForState { items: read_array(r)?, index: r.count_u32()? }),
        2 => State::Fork(ForkState {
            done: r.list(|r| r.option(|r| Ok((r.value()?, r.value()?))))?,
            failed: r.count_u32()?,
        }),
        3 => State::Try(TryState {
            retries: r.count_u32()?,
            attempt_deadline: r.option(Reader::time)?,
            stage: match r.u8()? {
                0 => TryStage::Body,
                1 => TryStage::Delay { until: r.time()? },
                2 => TryStage::Handler { error: read_error(r)? },
                other => return Err(r.invalid("stage of a try", other)),
            },
        }),
        4 => State::Wait { until: r.time()? },
        5 => State::Call { attempt: r.count_u32()?, request: read_request(r)? },
        6 => State::Listen(ListenState {
            consumed: read_array(r)?,
            matched: r.list(|r| r.option(Reader::value))?,
            until_matched: r.list(read_flag)?,
            correlations: r.list(read_pair)?,
            queue: VecDeque::from(r.list(Reader::value)?),
            index: r.count_u32()?,
            busy: read_flag(r)?,
            closed: read_flag(r)?,
        }),
        7 => State::Child { child: r.option(Reader::u128)?.map(ExecutionId::from_u128), input: r.value()? },
        other => return Err(r.invalid("state of a task", other)),
    })
}

fn write_request(w: &mut Writer<'_>, request: &HttpRequest) {
    w.text(&request.idempotency_key);
    w.text(&request.method);
    w.text(&request.uri);
    w.list(request.headers.iter(), write_texts);
    w.option(request.body.as_deref(), Writer::bytes);
    w.option(request.digest.as_ref(), |w, digest| {
        w.text(&digest.username);
        w.text(&digest.password);
    });
    write_flag(w, request.redirect);
    w.count(request.timeout_micros);
}

fn read_request(r: &mut Reader<'_>) -> Result<HttpRequest, CodecError> {
    Ok(HttpRequest {
        idempotency_key: r.text()?,
        method: r.text()?,
        uri: r.text()?,
        headers: r.list(read_texts)?,
        body: r.option(|r| r.bytes().map(<[u8]>::to_vec))?,
        digest: r.option(|r| Ok(DigestCredentials { username: r.text()?, password: r.text()? }))?,
        redirect: read_flag(r)?,
        timeout_micros: r.count()?,
    })
}

fn write_input(w: &mut Writer<'_>, input: &ExecutionInput) {
    match input {
        ExecutionInput::Timers => w.u8(0),
        ExecutionInput::Call { activation, attempt, result } => {
            w.u8(1);
            w.count(u64::from(activation.0));
            w.count(u64::from(*attempt));
            match result {
                Ok(response) => {
                    w.u8(1);
                    w.count(u64::from(response.status));
                    w.list(response.headers.iter(), write_texts);
                    w.bytes(&response.body);
                }
                Err(error) => {
                    w.u8(0);
                    write_error(w, error);
                }
            }
        }
        ExecutionInput::Event { activation, event } => {
            w.u8(2);
            w.count(u64::from(activation.0));
            write_event(w, event);
        }
        ExecutionInput::ChildStarted { activation, child } => {
            w.u8(3);
            w.count(u64::from(activation.0));
            w.u128(child.as_u128());
        }
        ExecutionInput::Child { activation, result } => {
            w.u8(4);
            w.count(u64::from(activation.0));
            match result {
                Ok(output) => {
                    w.u8(1);
                    w.value(output);
                }
                Err(error) => {
                    w.u8(0);
                    write_error(w, error);
                }
            }
        }
        ExecutionInput::Control(control) => {
            w.u8(5);
            w.u8(*control as u8);
        }
    }
}

fn read_input(r: &mut Reader<'_>) -> Result<ExecutionInput, CodecError> {
    Ok(match r.u8()? {
        0 => ExecutionInput::Timers,
        1 => ExecutionInput::Call {
            activation: ActivationId(r.count_u32()?),
            attempt: r.count_u32()?,
            result: if read_flag(r)? {
                let status = r.count()?;
                Ok(HttpResponse {
                    status: u16::try_from(status).map_err(|_| r.invalid("status", status))?,
                    headers: r.list(read_texts)?,
                    body: r.bytes()?.to_vec(),
                })
            } else {
                Err(read_error(r)?)
            },
        },
        2 => ExecutionInput::Event { activation: ActivationId(r.count_u32()?), event: Arc::new(read_event(r)?) },
        3 => ExecutionInput::ChildStarted {
            activation: ActivationId(r.count_u32()?),
            child: ExecutionId::from_u128(r.u128()?),
        },
        4 => ExecutionInput::Child {
            activation: ActivationId(r.count_u32()?),
            result: if read_flag(r)? { Ok(r.value()?) } else { Err(read_error(r)?) },
        },
        5 => ExecutionInput::Control(match r.u8()? {
            0 => Control::Cancel,
            1 => Control::Suspend,
            2 => Control::Resume,
            other => return Err(r.invalid("control", other)),
        }),
        other => return Err(r.invalid("input of an execution", other)),
    })
}

/// Writes an event.
pub(crate) fn write_event(w: &mut Writer<'_>, event: &CloudEvent) {
    w.text(&event.id);
    w.text(&event.source);
    w.text(&event.event_type);
    w.option(event.subject.as_deref(), Writer::text);
    w.option(event.time, Writer::time);
    w.option(event.data_content_type.as_deref(), Writer::text);
    w.option(event.data_schema.as_deref(), Writer::text);
    w.list(event.extensions.iter(), write_pair);
    w.option(event.data.as_ref(), Writer::value);
    write_flag(w, event.binary);
}

/// Reads an event.
pub(crate) fn read_event(r: &mut Reader<'_>) -> Result<CloudEvent, CodecError> {
    Ok(CloudEvent {
        id: r.text()?,
        source: r.text()?,
        event_type: r.text()?,
        subject: r.option(Reader::text)?,
        time: r.option(Reader::time)?,
        data_content_type: r.option(Reader::text)?,
        data_schema: r.option(Reader::text)?,
        extensions: r.list(read_pair)?,
        data: r.option(Reader::value)?,
        data_text: None,
        binary: read_flag(r)?,
    })
}
