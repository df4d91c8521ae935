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

/// An input of a shard.
#[derive(Clone, Debug)]
pub enum ShardInput {
    /// An event came in.
    Event {
        /// The event.
        event: Arc<CloudEvent>,
        /// What makes a repetition recognisable.
        origin: Origin,
    },
    /// A user wants an execution.
    Execute {
        /// Of this definition.
        definition: DefinitionId,
        /// The raw input.
        input: Value,
        /// What started it.
        trigger: Trigger,
        /// The same key for the same definition gives the first execution again, within the deduplication window. It
        /// decides the shard: [`ShardId::of_key`].
        idempotency_key: Option<EcoString>,
        /// Whom to tell [`crate::shard::Reply::Started`].
        reply: ReplyToken,
        /// Whom to tell [`crate::shard::Reply::NotLive`] once it has ended: as [`ShardInput::Await`], without its way here.
        ended: Option<ReplyToken>,
    },
    /// A user's command to an execution.
    Control {
        /// Which.
        execution: ExecutionId,
        /// How.
        control: Control,
        /// Whom to tell [`crate::shard::Reply::Done`] or [`crate::shard::Reply::NotLive`].
        reply: ReplyToken,
    },
    /// Somebody waits for the end of an execution.
    Await {
        /// Which.
        execution: ExecutionId,
        /// Whom to tell [`crate::shard::Reply::NotLive`], now or once it has ended.
        reply: ReplyToken,
    },
    /// An outside call ended.
    Call {
        /// Of this execution.
        execution: ExecutionId,
        /// Its task.
        activation: ActivationId,
        /// The attempt.
        attempt: u32,
        /// The response, whatever its status, or why there is none.
        result: Result<HttpResponse, WorkflowError>,
    },
    /// From another shard or itself, in order, each once.
    Peer {
        /// The sender.
        from: ShardId,
        /// Its number there, gapless from 1 for each receiver.
        sequence: u64,
        /// What it sends.
        message: PeerMessage,
    },
    /// From another shard or itself, not durable: what is lost with a crash is said anew.
    Note {
        /// The sender.
        from: ShardId,
        /// What it says.
        note: Note,
    },
    /// A sink is done with publications.
    Delivered(Vec<u64>),
    /// All definitions as they are from now on.
    Catalog(Arc<crate::shard::Catalog>),
    /// See that live executions have something that will move them.
    Check {
        /// How many; with the next input so many others, until all were checked and it begins anew.
        executions: usize,
    },
}

/// What a shard sends to another, or to itself; delivered in order, exactly once, through its outbox.
#[derive(Clone, PartialEq, Debug)]
pub enum PeerMessage {
    /// An execution emitted an event: as if it came in here.
    Event(Arc<CloudEvent>),
    /// An event for the listeners whose subscriptions are kept here.
    Listened(Arc<CloudEvent>),
    /// An event that may match what executions listen for.
    Candidates {
        /// Which executions, and which task of each.
        tasks: Vec<(ExecutionId, ActivationId)>,
        /// The event.
        event: Arc<CloudEvent>,
    },
    /// An event for definitions that are started by several events together.
    Gathered {
        /// Which definitions.
        definitions: Vec<DefinitionId>,
        /// The event.
        event: Arc<CloudEvent>,
    },
    /// An execution starts a child; parent and child share their shard.
    StartChild {
        /// The parent.
        parent: ExecutionId,
        /// Its task.
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
}

/// That a listening task wants to hear of some events. It lives on the shard that they concern.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Subscription {
    /// Stands for the events: a hash of type and correlation value, the same on every node and release.
    pub key: u64,
    /// Which execution.
    pub execution: ExecutionId,
    /// Which task of it.
    pub activation: ActivationId,
}

/// What a shard tells another without a record of it.
#[derive(Clone, PartialEq, Debug)]
pub enum Note {
    /// Executions listen: keep their subscriptions.
    Subscribe(Vec<Subscription>),
    /// They listen no more.
    Unsubscribe(Vec<Subscription>),
    /// As [`Note::Subscribe`], of subscriptions that should be there: one that is not was lost.
    Confirm(Vec<Subscription>),
    /// The receiver's messages up to this one are durable with the sender of this note.
    Absorbed {
        /// The highest.
        sequence: u64,
    },
    /// The sender has recovered and knows no subscriptions: tell them again, send what it has not absorbed, then say
    /// [`Note::Announced`].
    Announce,
    /// As [`Note::Announce`], which may have been lost: nothing is told again that was told since the receiver recovered.
    AnnounceAgain,
    /// All that [`Note::Announce`] asked for was sent.
    Announced,
}

/// The way back to who gave a command: the shell's number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReplyToken(pub u64);
