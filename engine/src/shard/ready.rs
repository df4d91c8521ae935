//! What a step decided: records to make durable, and what is released once they are.

use std::sync::Arc;

use ecow::EcoString;

use super::check::LostWakeUp;
use crate::effect::HttpRequest;
use crate::event::CloudEvent;
use crate::history::Measurement;
use crate::ids::{ActivationId, ExecutionId, ShardId};
use crate::input::{Note, PeerMessage, ReplyToken};

/// Proof that the records of a [`Ready`] are durable. The committer makes it from what the journal answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitReceipt {
    /// The block that holds them; of a step without records the newest one before it.
    pub block: u64,
}

/// The decisions of one step. What they cause is released only against a receipt.
#[derive(Debug, Default)]
pub struct Ready {
    pub(super) records: Vec<u8>,
    pub(super) released: Released,
}

impl Ready {
    /// The records, framed as [`crate::wire::record`] says; empty when nothing has to become durable.
    #[must_use]
    pub fn records(&self) -> &[u8] {
        &self.records
    }

    /// Takes the records out, to hand them to the committer.
    #[must_use]
    pub fn take_records(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.records)
    }

    /// Puts back the records that were taken out, once they are stored.
    pub fn give_back(&mut self, records: Vec<u8>) {
        self.records = records;
    }

    /// What the step releases.
    #[must_use]
    pub fn release(self, _receipt: CommitReceipt) -> Released {
        self.released
    }
}

/// What leaves a shard after a commit, in order.
#[derive(Debug, Default)]
pub struct Released {
    /// To do.
    pub effects: Vec<ShardEffect>,
    /// To whom asked.
    pub replies: Vec<(ReplyToken, Reply)>,
    /// For the analytics.
    pub measurements: Vec<Measurement>,
    /// How many events were repetitions.
    pub duplicates: u64,
    /// How many executions panicked and were faulted for it.
    pub panics: u64,
    /// Live executions that were found without what should move them.
    pub lost: Vec<(ExecutionId, LostWakeUp)>,
}

/// What the shell must do for a shard.
#[derive(Clone, PartialEq, Debug)]
pub enum ShardEffect {
    /// Make an outside call; its end comes back as [`crate::input::ShardInput::Call`].
    Call {
        /// For this execution.
        execution: ExecutionId,
        /// Its task.
        activation: ActivationId,
        /// The attempt.
        attempt: u32,
        /// The request.
        request: HttpRequest,
    },
    /// See that an outside call runs, or has ended and its end is on the way back. Otherwise it was lost, and
    /// [`super::Shard::call_again`] says whether it is still wanted.
    ConfirmCall {
        /// Of this execution.
        execution: ExecutionId,
        /// Its task.
        activation: ActivationId,
        /// The attempt.
        attempt: u32,
    },
    /// Stop an outside call whose result nobody waits for.
    CancelCall {
        /// Of this execution.
        execution: ExecutionId,
        /// Its task.
        activation: ActivationId,
    },
    /// Give a message to a shard, perhaps to the same one.
    Peer {
        /// The receiver.
        to: ShardId,
        /// Its number, gapless from 1 for each receiver.
        sequence: u64,
        /// The message.
        message: PeerMessage,
    },
    /// Tell a shard something.
    Note {
        /// The receiver.
        to: ShardId,
        /// What.
        note: Note,
    },
    /// Hand an event to the sinks, until [`crate::input::ShardInput::Delivered`] names it.
    Publish {
        /// Its number on this shard.
        publication: u64,
        /// The event.
        event: Arc<CloudEvent>,
    },
}

/// The answer to a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// The execution exists; `repeated`: it was started by an earlier request with the same key.
    Started {
        /// Its id.
        execution: ExecutionId,
        /// Whether an earlier request started it.
        repeated: bool,
    },
    /// The definition is not known here, or nothing may start it.
    Refused(EcoString),
    /// The command was carried out.
    Done,
    /// The execution does not live: it has ended, or never was.
    NotLive,
}
