//! Effects: what an execution asks of the outside. They leave only after what caused them is durable, and each can be
//! asked for again after a crash ([`crate::execution::Execution::outstanding`]): the receiver must stand repetition,
//! helped by stable keys.

use ecow::EcoString;

use crate::event::CloudEvent;
use crate::ids::{ActivationId, ExecutionId};
use crate::value::Value;

/// What an execution asks for. Timers are none: the shard reads [`crate::execution::Execution::next_wake`] after each step.
#[derive(Clone, PartialEq, Debug)]
pub enum ExecutionEffect {
    /// Make an outside call; its completion comes back as [`crate::input::ExecutionInput::Call`].
    Call {
        /// The task that waits.
        activation: ActivationId,
        /// Number of the attempt within the activation, from 1: completions of earlier ones are stale.
        attempt: u32,
        /// The request.
        request: HttpRequest,
    },
    /// Stop an outside call whose result nobody waits for.
    CancelCall {
        /// The task that waited.
        activation: ActivationId,
    },
    /// Deliver events that may match to this task from now on.
    Subscribe {
        /// The task that listens.
        activation: ActivationId,
        /// Which events.
        interests: Vec<Interest>,
    },
    /// Deliver no more.
    Unsubscribe {
        /// The task that listened.
        activation: ActivationId,
    },
    /// Publish an event: to sinks, to triggers and listeners.
    Publish {
        /// The event; its id is stable.
        event: CloudEvent,
    },
    /// Start a child execution; its end comes back as [`crate::input::ExecutionInput::Child`] if `wait`.
    StartChild {
        /// The task that waits.
        activation: ActivationId,
        /// Which workflow.
        namespace: EcoString,
        /// Which workflow.
        name: EcoString,
        /// Which version; `None`: the newest.
        version: Option<EcoString>,
        /// The child's raw input.
        input: Value,
        /// Whether the parent waits.
        wait: bool,
    },
    /// Cancel the child of a task that waits no more.
    CancelChild {
        /// The child; one that was not yet created never will be.
        child: ExecutionId,
    },
}

impl ExecutionEffect {
    /// Bytes of the data that goes with it, roughly.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            ExecutionEffect::Call { request, .. } => request.body.as_ref().map_or(0, Vec::len),
            ExecutionEffect::Publish { event } => event.size(),
            ExecutionEffect::StartChild { input, .. } => input.size(),
            ExecutionEffect::CancelCall { .. }
            | ExecutionEffect::Subscribe { .. }
            | ExecutionEffect::Unsubscribe { .. }
            | ExecutionEffect::CancelChild { .. } => 0,
        }
    }
}

/// A coarse criterion of a listening task: what the router can decide without the execution. The execution decides the rest.
#[derive(Clone, PartialEq, Debug)]
pub struct Interest {
    /// The filter's index in the task's strategy, `until` filters after the others.
    pub filter: u16,
    /// The literal type; `None`: every event.
    pub event_type: Option<EcoString>,
    /// Source of the filter's first correlation and the value that it must have, where events can be told by it alone.
    pub correlation: Option<(EcoString, Value)>,
}

/// An HTTP request to make.
#[derive(Clone, PartialEq, Debug)]
pub struct HttpRequest {
    /// Sent as header `Idempotency-Key`; the same for each repetition of this (execution, task, iteration).
    pub idempotency_key: EcoString,
    /// In upper case.
    pub method: EcoString,
    /// Absolute, with its query.
    pub uri: EcoString,
    /// In order; names as written.
    pub headers: Vec<(EcoString, EcoString)>,
    /// The body's bytes as they go out, if any.
    pub body: Option<Vec<u8>>,
    /// Credentials that are not a header: digest needs a challenge first. Never shown.
    pub digest: Option<DigestCredentials>,
    /// Whether 3xx is a success (never followed).
    pub redirect: bool,
    /// Give up after this many microseconds.
    pub timeout_micros: u64,
}

/// User and password for HTTP Digest (RFC 7616).
#[derive(Clone, PartialEq, Eq)]
pub struct DigestCredentials {
    /// User name.
    pub username: EcoString,
    /// Password.
    pub password: EcoString,
}

impl std::fmt::Debug for DigestCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DigestCredentials(…)")
    }
}

/// What an HTTP request brought.
#[derive(Clone, PartialEq, Debug)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// In order; names in lower case.
    pub headers: Vec<(EcoString, EcoString)>,
    /// The body.
    pub body: Vec<u8>,
}
