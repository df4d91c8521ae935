//! Inputs: everything that is fed to the core.

use std::sync::Arc;

use ecow::EcoString;

use crate::effect::HttpResponse;
use crate::error::WorkflowError;
use crate::event::CloudEvent;
use crate::history::Trigger;
use crate::ids::{ActivationId, DefinitionId, ExecutionId, ShardId};
use crate::value::Value;

/// An input of one execution.
#[derive(Clone, PartialEq, Debug)]
pub enum ExecutionInput {
    /// Look at the timers: those due at the step's time fire.
    Timers,
    /// An outside call ended.
    Call {
        /// The task that waits; ignored when it waits no more.
        activation: ActivationId,
        /// The attempt that it belongs to; ignored when it is not the current one.
        attempt: u32,
        /// The response, whatever its status, or why there is none.
        result: Result<HttpResponse, WorkflowError>,
    },
    /// An event that may match.
    Event {
        /// The task that listens; ignored when it listens no more.
        activation: ActivationId,
        /// The event.
        event: Arc<CloudEvent>,
    },
    /// A child execution was created.
    ChildStarted {
        /// The task that asked.
        activation: ActivationId,
        /// The child.
        child: ExecutionId,
    },
    /// A child execution ended.
    Child {
        /// The task that waits.
        activation: ActivationId,
        /// Its output, or its error.
        result: Result<Value, WorkflowError>,
    },
    /// A user's command.
    Control(Control),
}

/// A user's command to an execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
    /// End it.
    Cancel,
    /// Stop it until resumed.
    Suspend,
    /// Let it go on.
    Resume,
}

/// An event as ingested.
#[derive(Clone, Debug)]
pub struct SourceEvent {
    /// The event.
    pub event: Arc<CloudEvent>,
    /// What makes a repetition recognisable.
    pub origin: Origin,
    /// The source's number for it, handed back once everything it caused is durable.
    pub token: u64,
}

/// Where an event came from, for deduplication.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A place in a log: dropped unless above the highest absorbed offset of the partition on its shard.
    Offset {
        /// Name of the source partition, such as `orders/3`, shared by its events.
        partition: Arc<str>,
        /// Its offset there.
        offset: u64,
    },
    /// Dropped when the same (source, id) was seen in the deduplication window.
    Id,
    /// As [`Origin::Id`] by another key: what identifies a redelivery on this source. Checked only when `redelivered`.
    Key {
        /// The key.
        key: u128,
        /// Whether the broker says that it is a redelivery.
        redelivered: bool,
    },
    /// Never a repetition (an event that the engine itself routes).
    Internal,
}

/// A command to a shard.
#[derive(Clone, Debug)]
pub enum Command {
    /// Start an execution.
    Start {
        /// Of this definition.
        definition: DefinitionId,
        /// The raw input.
        input: Value,
        /// What started it.
        trigger: Trigger,
        /// The same key for the same workflow gives the first execution again, within the deduplication window.
        idempotency_key: Option<EcoString>,
    },
    /// Control an execution.
    Control {
        /// Which.
        execution: ExecutionId,
        /// How.
        control: Control,
    },
    /// Start anew what ended: a new execution of the same definition with the same input.
    Describe {
        /// Which.
        execution: ExecutionId,
    },
}

/// What a shard sends to another; delivered in order, exactly once, through its outbox.
#[derive(Clone, PartialEq, Debug)]
pub enum PeerMessage {
    /// An event for triggers and listeners that live there.
    Event {
        /// The event.
        event: Arc<CloudEvent>,
        /// Whether the triggers that start an execution on the event's own shard are meant (emitted events), too.
        start: bool,
    },
    /// An execution listens.
    Subscribe {
        /// Which execution.
        execution: ExecutionId,
        /// Which task of it.
        activation: ActivationId,
        /// Its definition.
        definition: DefinitionId,
        /// The task.
        task: crate::ids::TaskIx,
        /// To what.
        interests: Vec<crate::effect::Interest>,
    },
    /// It listens no more.
    Unsubscribe {
        /// Which execution.
        execution: ExecutionId,
        /// Which task of it.
        activation: ActivationId,
    },
    /// An event that may match what an execution listens for.
    Candidate {
        /// Which execution.
        execution: ExecutionId,
        /// Which task of it.
        activation: ActivationId,
        /// The event.
        event: Arc<CloudEvent>,
    },
}

/// The way back to who gave a command: the shell's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReplyToken(pub u64);

/// Names the peer of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerSequence {
    /// The sender.
    pub from: ShardId,
    /// Its number there, gapless from 1 for each receiver.
    pub sequence: u64,
}
