//! What a source hands on, and how it learns what has become durable.
//!
//! A source sends [`Intake`]s over a bounded channel and stops reading when it is full or when too many of its messages
//! wait for a receipt: this is the whole back-pressure. It acknowledges a message to where it came from only after
//! [`Receipts::durable`] was called with its token.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use trinity_engine::input::SourceEvent;
use trinity_engine::time::Timestamp;

use crate::dead_letter::DeadLetter;
use crate::status::Status;

/// How many intakes may wait for the pump; each holds at most [`BATCH_MAX`] messages.
pub const CHANNEL_CAPACITY: usize = 16;

/// Most messages in one intake.
pub const BATCH_MAX: usize = 1024;

/// An intake takes no further message once its payloads have so many bytes.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// A batch of messages of one source. Every message is either an event or a dead letter, and every one needs its receipt.
#[derive(Debug)]
pub struct Intake {
    /// Name of the source.
    pub source: Arc<str>,
    /// What could be decoded, in the order it came.
    pub events: Vec<SourceEvent>,
    /// What could not: to be stored by the node before its receipt.
    pub dead_letters: Vec<Rejected>,
    /// The way back for the tokens of both.
    pub receipts: Receipts,
}

/// A dead letter that waits to be stored.
#[derive(Debug)]
pub struct Rejected {
    /// The message with the reason.
    pub letter: DeadLetter,
    /// To be handed back once it is stored.
    pub token: u64,
}

/// The way back to a source.
///
/// Its channel has no bound of its own: it can't hold more tokens than the source has unacknowledged messages.
#[derive(Clone, Debug)]
pub struct Receipts {
    sender: mpsc::UnboundedSender<Vec<u64>>,
}

impl Receipts {
    /// A pair: what the pump calls, and what the source reads.
    #[must_use]
    pub fn channel() -> (Receipts, mpsc::UnboundedReceiver<Vec<u64>>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Receipts { sender }, receiver)
    }

    /// Everything that the messages of these tokens caused is durable, in whatever order. A source that has ended needs no receipt.
    pub fn durable(&self, tokens: Vec<u64>) {
        let _ = self.sender.send(tokens);
    }
}

/// A running source.
#[derive(Debug)]
pub struct Source {
    status: Arc<Status>,
    stop: watch::Sender<bool>,
    worker: tokio::task::JoinHandle<()>,
}

impl Source {
    pub(crate) fn new(status: Arc<Status>, stop: watch::Sender<bool>, worker: tokio::task::JoinHandle<()>) -> Source {
        Source { status, stop, worker }
    }

    /// Its state and counters.
    #[must_use]
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Reads no more, waits for the receipts of what was handed on (at most a few seconds), acknowledges and disconnects.
    /// The pump must go on meanwhile.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        if let Err(error) = (&mut self.worker).await {
            tracing::error!(%error, "the worker of a source failed");
        }
    }
}

impl Drop for Source {
    /// Ends it at once, without acknowledging anything more: the broker delivers again.
    fn drop(&mut self) {
        self.worker.abort();
    }
}

/// The time, for events whose broker gives none.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
