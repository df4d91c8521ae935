//! What the systems that read from Kafka need of the broker.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde_json::Value;

use super::Failure;

/// Partitions of each topic, as in [`crate::kafka`].
const PARTITIONS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(10);

fn admin(brokers: &str) -> Result<AdminClient<DefaultClientContext>, Failure> {
    Ok(ClientConfig::new().set("bootstrap.servers", brokers).create()?)
}

/// Makes an empty topic.
///
/// # Errors
/// The broker refuses.
pub async fn make(brokers: &str, topic: &str) -> Result<(), Failure> {
    let fresh = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    for made in admin(brokers)?.create_topics([&fresh], &AdminOptions::new()).await? {
        made.map_err(|(topic, error)| format!("{topic}: {error}"))?;
    }
    Ok(())
}

/// Whether the broker syncs each append to the disk before it answers, instead of leaving that to the operating system.
///
/// # Errors
/// The broker refuses.
pub async fn sync_appends(brokers: &str, is_wanted: bool) -> Result<(), Failure> {
    let config = AlterConfig::new(ResourceSpecifier::Broker(1));
    let config = if is_wanted { config.set("log.flush.interval.messages", "1") } else { config };
    for altered in admin(brokers)?.alter_configs([&config], &AdminOptions::new()).await? {
        altered.map_err(|(what, error)| format!("{what:?}: {error}"))?;
    }
    Ok(())
}

/// What a group has committed, and so processed, of a topic.
pub struct Progress {
    consumer: BaseConsumer,
    partitions: TopicPartitionList,
}

impl Progress {
    /// Of that group; it need not be there yet.
    ///
    /// # Errors
    /// The client can't be made.
    pub fn of(brokers: &str, group: &str, topic: &str) -> Result<Progress, Failure> {
        let consumer = ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", group).create()?;
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(topic, 0, PARTITIONS - 1);
        Ok(Progress { consumer, partitions })
    }

    /// How many messages.
    ///
    /// # Errors
    /// The broker does not answer.
    pub fn committed(&self) -> Result<u64, Failure> {
        let committed = self.consumer.committed_offsets(self.partitions.clone(), PATIENCE)?;
        let offsets = committed.elements().into_iter().map(|partition| match partition.offset() {
            Offset::Offset(offset) => u64::try_from(offset).unwrap_or(0),
            _ => 0,
        });
        Ok(offsets.sum())
    }
}

/// The first messages of a topic that are committed, as JSON; it waits for so many.
///
/// # Errors
/// They do not come.
pub fn read(brokers: &str, topic: &str, count: u64) -> Result<Vec<Value>, Failure> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "peers-samples").set("isolation.level", "read_committed");
    let consumer: BaseConsumer = config.create()?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        partitions.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&partitions)?;
    let begun = Instant::now();
    let mut found = Vec::new();
    while (found.len() as u64) < count {
        if begun.elapsed() > Duration::from_secs(60) {
            return Err(format!("only {} of {count} results are in {topic}", found.len()).into());
        }
        if let Some(message) = consumer.poll(Duration::from_millis(200)) {
            found.push(serde_json::from_slice(message?.payload().unwrap_or_default())?);
        }
    }
    Ok(found)
}
