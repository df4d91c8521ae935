//! What could not be processed, whole and with the reason, so that nothing is lost and a second try is possible.

use std::sync::Arc;

use bytes::Bytes;
use trinity_engine::input::{Origin, SourceEvent};
use trinity_engine::time::Timestamp;

use crate::decode::{Failure, Stage};
use crate::mapping::{Decoder, Message};

/// A message that could not be processed.
#[derive(Clone, PartialEq, Debug)]
pub struct DeadLetter {
    /// Name of its source.
    pub source: Arc<str>,
    /// When it was received.
    pub received_at: Timestamp,
    /// Topic it was published to.
    pub topic: String,
    /// Kafka partition and offset.
    pub place: Option<(i32, i64)>,
    /// Kafka key.
    pub key: Option<Bytes>,
    /// Headers or user properties, in order.
    pub headers: Vec<(String, Bytes)>,
    /// The message, whole; `None` for a Kafka tombstone.
    pub payload: Option<Bytes>,
    /// Where processing failed.
    pub stage: Stage,
    /// Why.
    pub reason: String,
}

impl DeadLetter {
    /// The letter of a message that failed.
    #[must_use]
    pub fn new(source: &Arc<str>, message: &Message, received_at: Timestamp, failure: Failure) -> DeadLetter {
        DeadLetter {
            source: source.clone(),
            received_at,
            topic: message.topic.to_string(),
            place: message.place,
            key: message.key.clone(),
            headers: message.headers.clone(),
            payload: message.payload.clone(),
            stage: failure.stage,
            reason: failure.reason,
        }
    }

    /// The message as it came.
    #[must_use]
    pub fn to_message(&self) -> Message {
        Message {
            topic: self.topic.as_str().into(),
            key: self.key.clone(),
            headers: self.headers.clone(),
            payload: self.payload.clone(),
            time: Some(self.received_at),
            place: self.place,
            mqtt: None,
        }
    }

    /// A second try with the source's present settings: the event to submit once more. It is not taken for a repetition of
    /// the first try, which never became an event; the same letter redriven twice is (by its event's id, which is stable).
    ///
    /// # Errors
    /// It still can't be processed: the reason of now.
    pub fn redrive(&self, decoder: &Decoder, now: Timestamp, token: u64) -> Result<SourceEvent, Failure> {
        let event = decoder.event(&self.to_message(), now)?;
        Ok(SourceEvent { event: Arc::new(event.event), origin: Origin::Id, token })
    }
}
