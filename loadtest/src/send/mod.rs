//! Who sends: each lane hands its messages over when they are due, whatever became of those before, and tells the step what
//! was acknowledged.

pub mod http;
pub mod kafka;
pub mod mqtt;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::pace::Due;
use crate::step::Step;

/// How long acknowledgements may fail to come before those that are missing are given up.
const ACK_PATIENCE: Duration = Duration::from_secs(15);

/// Where messages go.
pub enum Target {
    /// A topic of an MQTT broker.
    Mqtt(mqtt::Mqtt),
    /// A topic of Kafka.
    Kafka(kafka::Kafka),
    /// The node's API.
    Http(http::Http),
}

/// A connection that is ready to send.
pub enum Lane {
    /// To an MQTT broker.
    Mqtt(mqtt::Line),
    /// To Kafka.
    Kafka(kafka::Line),
    /// To the node.
    Http(http::Line),
}

impl Target {
    /// Opens the connections for a step.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn open(&self, step: &Arc<Step>) -> Result<Vec<Lane>, String> {
        match self {
            Target::Mqtt(mqtt) => Ok(mqtt.open(step).await?.into_iter().map(Lane::Mqtt).collect()),
            Target::Kafka(kafka) => Ok(vec![Lane::Kafka(kafka.open(step).await?)]),
            Target::Http(http) => Ok(http.open(step).into_iter().map(Lane::Http).collect()),
        }
    }
}

impl Lane {
    /// Sends all that becomes due, and waits for the acknowledgements.
    ///
    /// # Errors
    /// Nothing can be sent any more.
    pub async fn run(self, due: Due) -> Result<(), String> {
        match self {
            Lane::Mqtt(line) => line.run(due).await,
            Lane::Kafka(line) => line.run(due).await,
            Lane::Http(line) => line.run(due).await,
        }
    }
}

/// Waits until as many were answered as were sent, or nothing comes any more.
async fn answered(sent: u64, answered: &AtomicU64) {
    let (mut last, mut changed) = (0, Instant::now());
    loop {
        let now = answered.load(Ordering::Relaxed);
        if now >= sent || changed.elapsed() > ACK_PATIENCE {
            return;
        }
        if now != last {
            (last, changed) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
