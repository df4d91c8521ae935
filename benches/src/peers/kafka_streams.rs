//! Kafka Streams, exactly once: a topology in a JVM of its own, from Maven.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::Process;
use super::topics::{self, Progress};
use super::{Failure, Place, SAMPLES, Subject, System, Way, scratch};
use crate::kafka;

/// Threads of the topology: one for each core of the machine that the comparison is made for.
const THREADS: usize = 2;

/// As Kafka is, and with a broker that syncs.
#[must_use]
pub fn subjects() -> Vec<Subject> {
    vec![
        Subject {
            name: "Kafka Streams, exactly once",
            way: Way::Kafka,
            settings: "exactly_once_v2, commits every 100 ms (its default); the broker does not fsync (its default); 2 threads",
            start: |place| Ok(Box::new(KafkaStreams::start(place, false)?)),
        },
        Subject {
            name: "Kafka Streams, broker with fsync",
            way: Way::Kafka,
            settings: "the same; log.flush.interval.messages=1: the broker syncs each append before it answers",
            start: |place| Ok(Box::new(KafkaStreams::start(place, true)?)),
        },
    ]
}

/// A topology, and what it has committed.
struct KafkaStreams {
    running: Option<(Process, Progress)>,
    is_synced: bool,
    runtime: tokio::runtime::Handle,
    programs: PathBuf,
    source: PathBuf,
    directory: PathBuf,
    kafka: (String, u32),
    topic: (String, u64),
}

impl KafkaStreams {
    fn start(place: &Place, is_synced: bool) -> Result<KafkaStreams, Failure> {
        place.runtime.block_on(topics::sync_appends(&place.kafka.0, is_synced))?;
        Ok(KafkaStreams {
            running: None,
            is_synced,
            runtime: place.runtime.clone(),
            programs: place.installed("kafka-streams")?.join("jars"),
            source: place.sources.join("KafkaStreams.java"),
            directory: scratch(place, "kafka-streams")?,
            kafka: place.kafka.clone(),
            topic: place.topic.clone(),
        })
    }

    /// From a topic to a new one, whose name is answered, as an application of its own that begins with the first message.
    fn run(&mut self, from: &str) -> Result<String, Failure> {
        let application = format!("{from}-streams{}", if self.is_synced { "-synced" } else { "" });
        let to = format!("{application}-results");
        self.runtime.block_on(topics::make(&self.kafka.0, &to))?;
        let mut java = Command::new("java");
        java.arg("-Xmx512m").arg("-cp").arg(format!("{}/*", self.programs.display())).arg(&self.source);
        java.args([&self.kafka.0, &application, from, &to]).arg(&self.directory).arg(THREADS.to_string());
        let process = Process::start(java, &self.directory.join(format!("{application}.log")))?;
        self.running = Some((process, Progress::of(&self.kafka.0, &application, from)?));
        Ok(to)
    }
}

impl System for KafkaStreams {
    fn answers(&mut self) -> Result<Vec<Value>, Failure> {
        let topic = format!("{}-samples{}", self.topic.0, if self.is_synced { "-synced" } else { "" });
        self.runtime.block_on(kafka::fill(&self.kafka.0, &topic, SAMPLES)).map_err(|error| error.to_string())?;
        let to = self.run(&topic)?;
        let found = topics::read(&self.kafka.0, &to, SAMPLES);
        self.running = None;
        found
    }

    fn begin(&mut self, _: Duration) -> Result<(), Failure> {
        let topic = self.topic.0.clone();
        self.run(&topic).map(|_| ())
    }

    fn done(&mut self) -> Result<u64, Failure> {
        self.running.as_ref().map_or(Ok(0), |(_, progress)| progress.committed())
    }

    fn supply(&self) -> u64 {
        self.topic.1
    }

    fn processes(&self) -> Vec<u32> {
        self.running.iter().map(|(process, _)| process.id()).chain([self.kafka.1]).collect()
    }
}

impl Drop for KafkaStreams {
    fn drop(&mut self) {
        self.running = None;
        // The broker as it was, for those that come after; when it is gone there is nobody to come.
        let _ = self.runtime.block_on(topics::sync_appends(&self.kafka.0, false));
    }
}
