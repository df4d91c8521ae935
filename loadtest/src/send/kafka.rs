//! To Kafka, by one idempotent producer: all replicas acknowledge, a key's messages keep their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use super::answered;
use crate::message::Naming;
use crate::pace::Due;
use crate::step::Step;

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two tries to hand a message to a producer that is full.
const PAUSE: Duration = Duration::from_millis(1);

/// A topic of Kafka.
pub struct Kafka {
    brokers: String,
    topic: String,
    linger: Duration,
    naming: Arc<Naming>,
}

/// A producer.
pub struct Line {
    producer: ThreadedProducer<Deliveries>,
    answered: Arc<AtomicU64>,
    step: Arc<Step>,
    naming: Arc<Naming>,
    topic: String,
}

/// Hears what became of messages.
struct Deliveries {
    step: Arc<Step>,
    answered: Arc<AtomicU64>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, n: usize) {
        match result {
            Ok(_) => self.step.acked(n as u64, Instant::now()),
            Err((error, _)) => self.step.refused(&error.to_string()),
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes a topic unless it is there.
///
/// # Errors
/// Nobody answers, or refuses.
pub async fn ensure_topic(brokers: &str, topic: &str, partitions: i32) -> Result<(), String> {
    let unreachable = |error: KafkaError| format!("no Kafka answers at {brokers} ({error})");
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", brokers).create().map_err(unreachable)?;
    let fresh = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let made = admin.create_topics([&fresh], &options).await.map_err(unreachable)?;
    match made.into_iter().next() {
        Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
            Err(format!("no topic {topic}: {code}"))
        }
        _ => Ok(()),
    }
}

impl Kafka {
    /// Messages go to this topic; the producer gathers for `linger`.
    #[must_use]
    pub fn new(brokers: &str, topic: &str, linger: Duration, naming: Arc<Naming>) -> Kafka {
        Kafka { brokers: brokers.to_owned(), topic: topic.to_owned(), linger, naming }
    }

    pub(super) async fn open(&self, step: &Arc<Step>) -> Result<Line, String> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("enable.idempotence", "true").set("acks", "all");
        config.set("linger.ms", format!("{}", self.linger.as_secs_f64() * 1_000.0));
        config.set("queue.buffering.max.messages", "500000").set("message.timeout.ms", "60000");
        let answered = Arc::new(AtomicU64::new(0));
        let context = Deliveries { step: step.clone(), answered: answered.clone() };
        let producer: ThreadedProducer<Deliveries> =
            config.create_with_context(context).map_err(|error| error.to_string())?;
        // The first message must not wait for the broker's answer to this.
        let (producer, topic) = (producer, self.topic.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let known = producer.client().fetch_metadata(Some(&topic), PATIENCE).map(|_| ());
            (producer, topic, known)
        });
        let (producer, topic, known) = asked.await.map_err(|error| error.to_string())?;
        known.map_err(|error| format!("no Kafka answers at {} ({error})", self.brokers))?;
        Ok(Line { producer, answered, step: step.clone(), naming: self.naming.clone(), topic })
    }
}

impl Line {
    pub(super) async fn run(self, mut due: Due) -> Result<(), String> {
        let (mut next, mut free) = (0, Instant::now());
        loop {
            let (open, until) = (due.changed().await.is_ok(), *due.borrow_and_update());
            while next < until {
                let (key, payload) = (self.naming.key(next), self.naming.payload(self.step.number, next));
                let opaque = usize::try_from(next).map_err(|error| error.to_string())?;
                let mut record = BaseRecord::with_opaque_to(&self.topic, opaque).key(&key).payload(&payload);
                while let Err((error, back)) = self.producer.send(record) {
                    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(format!("nothing can be produced: {error}"));
                    }
                    tokio::time::sleep(PAUSE).await;
                    (record, free) = (back, Instant::now());
                }
                self.step.sent(next, free, Instant::now());
                next += 1;
            }
            if !open {
                break;
            }
        }
        answered(next, &self.answered).await;
        Ok(())
    }
}
