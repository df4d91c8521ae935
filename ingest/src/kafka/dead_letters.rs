//! Dead letters of a Kafka source: to the topic `<topic>.dlq`, whole, with the reason in headers.
//!
//! The source's offset passes such a message only when the cluster has acknowledged its letter. What can't be written there
//! is given back, for the node to keep.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use crate::config::KafkaConfig;
use crate::dead_letter::DeadLetter;
use crate::source::Rejected;

const SUFFIX: &str = ".dlq";
/// After this time without an acknowledgement the node keeps the letter.
const TIMEOUT_MS: &str = "30000";
/// The cluster decides what is too large, not the client.
const MESSAGE_MAX: &str = "1000000000";

/// The way of dead letters to their topics. It connects when the first one comes.
pub(super) struct DeadLetters {
    settings: ClientConfig,
    producer: Option<BaseProducer<Answers>>,
}

/// Letters with an answer: why they were not written, or that they were.
#[derive(Default)]
struct Answers(Mutex<Vec<(Rejected, Option<KafkaError>)>>);

impl ClientContext for Answers {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, %reason, "kafka producer of dead letters");
    }
}

impl ProducerContext for Answers {
    type DeliveryOpaque = Box<Rejected>;

    fn delivery(&self, result: &DeliveryResult<'_>, letter: Box<Rejected>) {
        let error = result.as_ref().err().map(|(error, _)| error.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((*letter, error));
    }
}

impl DeadLetters {
    pub(super) fn new(config: &KafkaConfig) -> DeadLetters {
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", &config.brokers)
            .set("client.id", "trinity")
            .set("enable.idempotence", "true")
            .set("message.max.bytes", MESSAGE_MAX)
            .set("message.timeout.ms", TIMEOUT_MS);
        for (name, value) in &config.settings {
            settings.set(name, value);
        }
        DeadLetters { settings, producer: None }
    }

    /// Sends a letter; gives it back when that can't be.
    pub(super) fn send(&mut self, rejected: Rejected) -> Option<Rejected> {
        let letter = &rejected.letter;
        // A pattern may subscribe to dead letters too: they must not breed topic after topic.
        if letter.topic.ends_with(SUFFIX) {
            return Some(rejected);
        }
        if self.producer.is_none() {
            match self.settings.create_with_context(Answers::default()) {
                Ok(producer) => self.producer = Some(producer),
                Err(error) => {
                    tracing::error!(%error, "no producer of dead letters");
                    return Some(rejected);
                }
            }
        }
        let Some(producer) = &self.producer else { return Some(rejected) };
        let topic = format!("{}{SUFFIX}", letter.topic);
        let (key, payload, headers) = (letter.key.clone(), letter.payload.clone(), headers(letter));
        let mut record: BaseRecord<'_, [u8], [u8], Box<Rejected>> =
            BaseRecord::with_opaque_to(&topic, Box::new(rejected)).headers(headers);
        record.key = key.as_deref();
        record.payload = payload.as_deref();
        match producer.send(record) {
            Ok(()) => None,
            Err((error, record)) => {
                tracing::warn!(%error, topic, "a dead letter could not be sent; the node keeps it");
                Some(*record.delivery_opaque)
            }
        }
    }

    /// What was answered since the last call: tokens of letters that are written, and letters that could not be.
    pub(super) fn answered(&mut self) -> (Vec<u64>, Vec<Rejected>) {
        let (mut written, mut refused) = (Vec::new(), Vec::new());
        let Some(producer) = &self.producer else { return (written, refused) };
        producer.poll(Duration::ZERO);
        let answers = std::mem::take(&mut *producer.context().0.lock().unwrap_or_else(PoisonError::into_inner));
        for (rejected, error) in answers {
            match error {
                None => written.push(rejected.token),
                Some(error) => {
                    let topic = &rejected.letter.topic;
                    tracing::warn!(%error, "no dead letter in {topic}{SUFFIX}; the node keeps it");
                    refused.push(rejected);
                }
            }
        }
        (written, refused)
    }
}

/// The message's own headers, then where it was and what is wrong with it.
fn headers(letter: &DeadLetter) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(letter.headers.len() + 7);
    for (name, value) in &letter.headers {
        headers = headers.insert(Header { key: name, value: Some(&value[..]) });
    }
    let (partition, offset) = letter.place.unwrap_or_default();
    for (name, value) in [
        ("trinity-source", letter.source.to_string()),
        ("trinity-topic", letter.topic.clone()),
        ("trinity-partition", partition.to_string()),
        ("trinity-offset", offset.to_string()),
        ("trinity-received-at", letter.received_at.to_rfc3339()),
        ("trinity-stage", letter.stage.name().to_owned()),
        ("trinity-reason", letter.reason.clone()),
    ] {
        headers = headers.insert(Header { key: name, value: Some(value.as_bytes()) });
    }
    headers
}
