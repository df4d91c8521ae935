//! Ends that a sink writes to Kafka, in either mode of CloudEvents.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::Steps;

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A consumer of all partitions from their ends on. Blocks until that is so.
pub(super) fn assign(brokers: &str, topic: &str) -> Result<StreamConsumer, String> {
    let unreachable = |error: rdkafka::error::KafkaError| format!("no Kafka answers at {brokers} ({error})");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "trinity-load-ends").set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("fetch.wait.max.ms", "5").set("fetch.error.backoff.ms", "5");
    let consumer: StreamConsumer = config.create().map_err(unreachable)?;
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).map_err(unreachable)?;
    let partitions: Vec<i32> =
        metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|own| own.id()).collect();
    if partitions.is_empty() {
        return Err(format!("there is no topic {topic}"));
    }
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        let (_, end) = consumer.fetch_watermarks(topic, partition, PATIENCE).map_err(unreachable)?;
        assignment.add_partition_offset(topic, partition, Offset::Offset(end)).map_err(unreachable)?;
    }
    consumer.assign(&assignment).map_err(unreachable)?;
    Ok(consumer)
}

/// Takes ends for ever; what is wrong meanwhile passes, or shows as ends that are missing.
pub(super) async fn run(consumer: StreamConsumer, steps: Arc<Steps>) -> String {
    let mut messages = consumer.stream();
    while let Some(message) = messages.next().await {
        if let Ok(message) = message {
            take(&message, &steps);
        }
    }
    "the consumer of the ends has ended".into()
}

fn take(message: &BorrowedMessage<'_>, steps: &Steps) {
    let now = Instant::now();
    let Some(payload) = message.payload() else { return };
    let id = message.headers().and_then(|headers| headers.iter().find(|header| header.key == "ce_id")?.value);
    match id {
        Some(id) => steps.done_binary(&String::from_utf8_lossy(id), payload, now),
        None => steps.done(payload, now),
    }
}
