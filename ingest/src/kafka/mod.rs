//! Kafka as a source: the group's committed offset of a partition follows what is durable, without a gap.
//!
//! Back-pressure: with too many unacknowledged messages, or no room at the pump, the partitions are paused; the consumer is
//! polled all the same, so that it stays in its group.
//!
//! What can't be decoded goes to the topic `<topic>.dlq`, and to the node only when that fails.

mod dead_letters;
mod tracker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::statistics::Statistics;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};
use trinity_engine::input::{Origin, SourceEvent};
use trinity_engine::time::Timestamp;

use dead_letters::DeadLetters;
use tracker::Tracker;

use crate::config::{ConfigError, From, KafkaConfig, SourceConfig};
use crate::dead_letter::DeadLetter;
use crate::mapping::{Decoder, Message};
use crate::source::{BATCH_BYTES_MAX, BATCH_MAX, Intake, Receipts, Rejected, Source, now};
use crate::status::Status;

/// How long a poll waits for the first message of a batch; receipts are looked at in between.
const POLL_WAIT: Duration = Duration::from_millis(50);
/// A shorter jam is waited out, for pausing throws away what was fetched ahead.
const PAUSE_AFTER: Duration = Duration::from_millis(250);
/// How long to wait before a client that has failed is replaced.
const REOPEN_AFTER: Duration = Duration::from_secs(2);
/// How long a stopping source waits for receipts.
const STOP_WAIT: Duration = Duration::from_secs(5);

/// Starts a source. The brokers need not answer yet.
///
/// # Errors
/// A setting can't be used.
pub fn start(config: &SourceConfig, intake: mpsc::Sender<Intake>) -> Result<Source, ConfigError> {
    config.validate()?;
    let Some(kafka) = config.kafka.clone() else {
        return Err(ConfigError::new(config.name.clone(), "not a Kafka source"));
    };
    let status = Arc::new(Status::default());
    let wrong = |error: KafkaError| ConfigError::new(format!("{}.kafka", config.name), error.to_string());
    let consumer = open(&kafka, Tracker::default(), &status).map_err(wrong)?;
    let (stop, stopped) = watch::channel(false);
    let (receipts, durable) = Receipts::channel();
    let mut worker = Worker {
        decoder: Decoder::new(config)?,
        dead_letters: DeadLetters::new(&kafka),
        batch: Batch::default(),
        paused: false,
        jammed_since: None,
        consumer,
        kafka,
        status: status.clone(),
        intake,
        receipts,
        durable,
        stopped,
    };
    Ok(Source::new(status, stop, tokio::task::spawn_blocking(move || worker.run())))
}

/// A consumer, subscribed.
fn open(kafka: &KafkaConfig, tracker: Tracker, status: &Arc<Status>) -> Result<BaseConsumer<Watcher>, KafkaError> {
    let tracker = Mutex::new(tracker);
    let watcher = Watcher { tracker, assigned: AtomicBool::new(false), status: status.clone() };
    let consumer: BaseConsumer<Watcher> = settings(kafka).create_with_context(watcher)?;
    let topics: Vec<&str> = kafka.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics)?;
    Ok(consumer)
}

fn settings(config: &KafkaConfig) -> ClientConfig {
    let mut settings = ClientConfig::new();
    let from = match config.from {
        From::Earliest => "earliest",
        From::Latest => "latest",
    };
    settings
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", &config.group)
        .set("client.id", "trinity")
        .set("auto.offset.reset", from)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1000")
        // What is stored is committed in the background; it is stored by `advance` only.
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("topic.metadata.refresh.interval.ms", "10000")
        // By itself the client fetches ahead up to 64 MiB and then not at all for a second, in which a fast reader runs dry:
        // less ahead, and looking again soon, gives twice to four times the rate.
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.queue.backoff.ms", "10")
        .set("statistics.interval.ms", "5000");
    for (name, value) in &config.settings {
        settings.set(name, value);
    }
    settings
}

/// What the client calls back, all from within `poll`, save for errors and statistics.
struct Watcher {
    tracker: Mutex<Tracker>,
    /// Partitions came since the worker last looked.
    assigned: AtomicBool,
    status: Arc<Status>,
}

impl Watcher {
    fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Watcher {
    fn error(&self, error: KafkaError, reason: &str) {
        self.status.failed(format!("{error}: {reason}"));
        if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::AllBrokersDown)
            && self.status.is_connected()
        {
            self.status.disconnected(reason.to_owned());
        }
        tracing::warn!(%error, %reason, "kafka consumer");
    }

    fn stats(&self, statistics: Statistics) {
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        self.status.set_lag(partitions.map(|partition| partition.consumer_lag.max(0)).sum());
    }
}

impl ConsumerContext for Watcher {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(_) => {
                self.status.connected();
                self.assigned.store(true, Ordering::Relaxed);
            }
            Rebalance::Revoke(partitions) => {
                let mut tracker = self.tracker();
                for partition in partitions.elements() {
                    tracker.revoke(partition.topic(), partition.partition());
                }
            }
            Rebalance::Error(error) => self.status.failed(error.to_string()),
        }
    }
}

#[derive(Default)]
struct Batch {
    events: Vec<SourceEvent>,
    dead_letters: Vec<Rejected>,
    /// Of the payloads.
    bytes: usize,
}

struct Worker {
    consumer: BaseConsumer<Watcher>,
    decoder: Decoder,
    dead_letters: DeadLetters,
    status: Arc<Status>,
    /// What the pump has not taken yet.
    batch: Batch,
    paused: bool,
    jammed_since: Option<Instant>,
    kafka: KafkaConfig,
    intake: mpsc::Sender<Intake>,
    receipts: Receipts,
    durable: mpsc::UnboundedReceiver<Vec<u64>>,
    stopped: watch::Receiver<bool>,
}

impl Worker {
    fn run(&mut self) {
        // An error of `has_changed` means that nobody holds the source any more.
        while !self.intake.is_closed() && self.stopped.has_changed().is_ok_and(|changed| !changed) {
            if let Some((_, reason)) = self.consumer.client().fatal_error() {
                self.replace(reason);
                continue;
            }
            self.advance();
            self.hand_on();
            let waiting = self.consumer.context().tracker().waiting();
            if self.batch.events.len() + self.batch.dead_letters.len() > 0 || waiting >= self.kafka.unacknowledged_max {
                self.wait_out();
            } else {
                self.read();
            }
        }
        self.wind_up();
        self.status.disconnected("stopped".into());
    }

    /// After a fatal error, such as being replaced by another of the same name in its group, a client is of no more use: what
    /// it has not acknowledged is read again by a new one.
    fn replace(&mut self, reason: String) {
        tracing::error!(source = %self.decoder.name(), reason, "the kafka consumer has failed; opening another");
        self.status.disconnected(reason);
        std::thread::sleep(REOPEN_AFTER);
        let tracker = self.consumer.context().tracker().successor();
        match open(&self.kafka, tracker, &self.status) {
            Ok(consumer) => {
                self.consumer = consumer;
                self.batch = Batch::default();
                (self.paused, self.jammed_since) = (false, None);
            }
            Err(error) => self.status.failed(error.to_string()),
        }
    }

    /// Reads a batch: waits for its first message, then takes what is there.
    fn read(&mut self) {
        self.jammed_since = None;
        if std::mem::take(&mut self.paused) {
            self.for_assignment(|consumer, partitions| consumer.resume(partitions));
        }
        let mut wait = POLL_WAIT;
        for _ in 0..BATCH_MAX {
            if !self.poll(wait) || self.batch.bytes >= BATCH_BYTES_MAX {
                return;
            }
            wait = Duration::ZERO;
        }
    }

    /// Stays in the group while there is no room.
    fn wait_out(&mut self) {
        let since = *self.jammed_since.get_or_insert_with(Instant::now);
        if since.elapsed() < PAUSE_AFTER {
            std::thread::sleep(Duration::from_millis(1));
            return;
        }
        let assigned = self.consumer.context().assigned.swap(false, Ordering::Relaxed);
        if assigned || !self.paused {
            self.paused = true;
            self.for_assignment(|consumer, partitions| consumer.pause(partitions));
        }
        self.poll(Duration::from_millis(5));
    }

    fn for_assignment(
        &self,
        act: impl Fn(&BaseConsumer<Watcher>, &rdkafka::TopicPartitionList) -> Result<(), KafkaError>,
    ) {
        let done = self.consumer.assignment().and_then(|partitions| act(&self.consumer, &partitions));
        if let Err(error) = done {
            self.status.failed(error.to_string());
        }
    }

    /// Takes one message, if one is there in time.
    fn poll(&mut self, wait: Duration) -> bool {
        match self.consumer.poll(wait) {
            None => false,
            Some(Err(error)) => {
                self.status.failed(error.to_string());
                false
            }
            Some(Ok(record)) => {
                let place = (record.partition(), record.offset());
                let mut tracker = self.consumer.context().tracker();
                let (token, partition) = tracker.take(self.decoder.name(), record.topic(), place.0, place.1);
                drop(tracker);
                let message = message(&record);
                self.batch.bytes += message.payload.as_ref().map_or(0, Bytes::len);
                let now = now();
                self.status.received.add(1);
                match self.decoder.event(&message, now) {
                    Ok(decoded) => {
                        let origin = Origin::Offset { partition, offset: u64::try_from(place.1).unwrap_or_default() };
                        self.batch.events.push(SourceEvent { event: Arc::new(decoded.event), origin, token });
                    }
                    Err(failure) => {
                        let letter = DeadLetter::new(self.decoder.name(), &message, now, failure);
                        self.status.dead_lettered.add(1);
                        self.batch.dead_letters.extend(self.dead_letters.send(Rejected { letter, token }));
                    }
                }
                true
            }
        }
    }

    /// Gives the batch to the pump, if that has room.
    fn hand_on(&mut self) {
        let Batch { events, dead_letters, bytes } = std::mem::take(&mut self.batch);
        if events.is_empty() && dead_letters.is_empty() {
            return;
        }
        let count = events.len();
        let source = self.decoder.name().clone();
        match self.intake.try_send(Intake { source, events, dead_letters, receipts: self.receipts.clone() }) {
            Ok(()) => self.status.accepted.add(count),
            Err(TrySendError::Full(intake) | TrySendError::Closed(intake)) => {
                self.batch = Batch { events: intake.events, dead_letters: intake.dead_letters, bytes };
            }
        }
    }

    /// Takes receipts and stores how far the partitions are done.
    fn advance(&mut self) {
        let (written, refused) = self.dead_letters.answered();
        self.batch.dead_letters.extend(refused);
        let mut tracker = self.consumer.context().tracker();
        while let Ok(tokens) = self.durable.try_recv() {
            tracker.durable(&tokens);
        }
        tracker.durable(&written);
        let (done, count) = tracker.advance();
        drop(tracker);
        for place in done {
            if let Err(error) = self.consumer.store_offset(&place.topic, place.partition, place.offset) {
                // Revoked meanwhile: its new owner reads it again and the engine drops it.
                tracing::debug!(%error, topic = place.topic, partition = place.partition, "offset not stored");
            }
        }
        self.status.acknowledged.add(count);
    }

    /// Before the end: waits for the receipts of what was handed on, and commits.
    fn wind_up(&mut self) {
        let end = Instant::now() + STOP_WAIT;
        let asked = *self.stopped.borrow();
        let unsent = |batch: &Batch| batch.events.len() + batch.dead_letters.len();
        while asked && self.consumer.context().tracker().waiting() > unsent(&self.batch) && Instant::now() < end {
            self.advance();
            std::thread::sleep(Duration::from_millis(2));
        }
        if asked {
            self.advance();
        }
        // Closing commits what is stored, and leaves the group.
        self.consumer.unsubscribe();
    }
}

fn message(record: &BorrowedMessage<'_>) -> Message {
    let headers = record.headers().map_or_else(Vec::new, |headers| {
        let pair = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default()))
        };
        headers.iter().map(pair).collect()
    });
    let millis = record.timestamp().to_millis().and_then(|millis| u64::try_from(millis).ok());
    Message {
        topic: record.topic().into(),
        key: record.key().map(Bytes::copy_from_slice),
        headers,
        payload: record.payload().map(Bytes::copy_from_slice),
        time: millis.map(Timestamp::from_millis),
        place: Some((record.partition(), record.offset())),
        mqtt: None,
    }
}
