//! W1 from Kafka, beside a bare pipeline that consumes, parses and appends the payloads.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use tokio::sync::mpsc;
use trinity_actors::clock;
use trinity_actors::handle::Handle;
use trinity_actors::journal::{Journal, Options, ShardBatch, Storage};
use trinity_engine::ids::ShardId;
use trinity_engine::wire::record::{KIND_SHARD_MIN, write_shard};
use trinity_ingest::source::{CHANNEL_CAPACITY, Intake};

use crate::measure::Stopwatch;
use crate::w1;

/// Partitions of the topic.
const PARTITIONS: i32 = 4;

/// Makes a topic with `count` messages.
///
/// # Errors
/// The broker refuses.
pub async fn fill(brokers: &str, topic: &str, count: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("linger.ms", "20").set("queue.buffering.max.messages", "500000");
    let admin: AdminClient<_> = config.create()?;
    let fresh = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    admin.create_topics([&fresh], &AdminOptions::new()).await?;
    let producer: ThreadedProducer<_> = config.create()?;
    for number in 0..count {
        let (key, payload) = (w1::key(number), w1::payload(number));
        let mut record = BaseRecord::to(topic).key(&key).payload(&payload);
        while let Err((error, back)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            record = back;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(producer.flush(Duration::from_secs(120))?)
}

/// Executes all messages of the topic; the line to print.
///
/// # Errors
/// The source or the node failed.
pub async fn execute(handle: &Handle, brokers: &str, topic: &str, count: u64) -> Result<(String, f64), String> {
    let (intakes, mut received) = mpsc::channel::<Intake>(CHANNEL_CAPACITY);
    let config = w1::source(Some((brokers, topic, &format!("{topic}-trinity"))));
    let source = trinity_ingest::kafka::start(&config, intakes).map_err(|error| error.to_string())?;
    let lane = handle.lane();
    let (done, mut is_done) = mpsc::unbounded_channel();
    let first = received.recv().await.ok_or("no source")?;
    let watch = Stopwatch::start();
    let mut next = Some(first);
    let mut submitted = 0;
    while submitted < count {
        let intake = match next.take() {
            Some(intake) => intake,
            None => received.recv().await.ok_or("the source ended")?,
        };
        let size = intake.events.len() as u64;
        let tokens: Vec<u64> = intake.events.iter().map(|event| event.token).collect();
        let admitted = lane.submit(intake.events).await.map_err(|error| error.to_string())?;
        let done = done.clone();
        tokio::spawn(async move {
            let durable = admitted.durable().await.is_ok();
            intake.receipts.durable(tokens);
            let _ = done.send((size, durable));
        });
        submitted += size;
    }
    let mut durable = 0;
    while durable < count {
        match is_done.recv().await {
            Some((size, true)) => durable += size,
            _ => return Err("a shard failed".to_owned()),
        }
    }
    let line = watch.line("W1 from Kafka", durable);
    let rate = durable as f64 / watch.wall().as_secs_f64();
    source.stop().await;
    Ok((line, rate))
}

/// The bare pipeline: the same source, payloads parsed, events appended as they are, one sync for each intake.
///
/// # Errors
/// The source or the journal failed.
pub async fn bare(
    directory: &std::path::Path,
    brokers: &str,
    topic: &str,
    count: u64,
) -> Result<(String, f64), Box<dyn std::error::Error>> {
    let (intakes, mut received) = mpsc::channel::<Intake>(CHANNEL_CAPACITY);
    let config = w1::source(Some((brokers, topic, &format!("{topic}-bare"))));
    let source = trinity_ingest::kafka::start(&config, intakes)?;
    let (mut journal, _) = Journal::open(Storage::Directory(directory.to_owned()), Options::default())?;
    let mut next = Some(received.recv().await.ok_or("no source")?);
    let watch = Stopwatch::start();
    let mut appended = 0;
    let begun = Instant::now();
    while appended < count && begun.elapsed() < Duration::from_secs(600) {
        let mut batch = vec![match next.take() {
            Some(intake) => intake,
            None => received.recv().await.ok_or("the source ended")?,
        }];
        while let Ok(more) = received.try_recv() {
            batch.push(more);
        }
        let mut records = Vec::new();
        for event in batch.iter().flat_map(|intake| &intake.events) {
            write_shard(&mut records, KIND_SHARD_MIN, |out| {
                if let Some(data) = &event.event.data {
                    data.write_json(out);
                }
            });
            appended += 1;
        }
        let batches = [ShardBatch { shard: ShardId(0), records, snapshot: None }];
        journal =
            tokio::task::spawn_blocking(move || journal.append(clock::now(), &batches).map(|_| journal)).await??;
        for intake in batch {
            intake.receipts.durable(intake.events.iter().map(|event| event.token).collect());
        }
    }
    let line = watch.line("bare: consume, parse, append", appended);
    let rate = appended as f64 / watch.wall().as_secs_f64();
    source.stop().await;
    Ok((line, rate))
}
