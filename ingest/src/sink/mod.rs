//! Sinks: events on their way out, at least once and with the same id each time, in order per subject.
//!
//! The engine keeps a delivery in its outbox until the sink gives its [`Outcome`]. Deliveries and outcomes travel over
//! bounded channels: a sink that is slow or down holds up what is meant for it, and nothing else.

mod http;
mod kafka;
mod mqtt;

use std::sync::Arc;

use tokio::sync::mpsc;
use trinity_engine::event::CloudEvent;

use crate::config::{ConfigError, SinkConfig};
use crate::status::Status;

/// Most deliveries of one sink on their way at the same time.
const UNDER_WAY_MAX: usize = 4096;

/// An event to deliver.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The event.
    pub event: Arc<CloudEvent>,
    /// The caller's number for it.
    pub id: u64,
}

/// How a delivery ended: it arrived, or it never will, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The number of the delivery.
    pub id: u64,
    /// Whether it arrived; an error is final, for what may pass is tried again and again.
    pub result: Result<(), String>,
}

/// A running sink. It ends when nobody sends deliveries any more and all have their outcome; dropped, it ends at once.
#[derive(Debug)]
pub struct Sink {
    status: Arc<Status>,
    worker: tokio::task::JoinHandle<()>,
}

impl Sink {
    /// Its state and counters.
    #[must_use]
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Waits for the outcomes of all deliveries, after their sender was dropped.
    pub async fn drained(mut self) {
        if let Err(error) = (&mut self.worker).await {
            tracing::error!(%error, "the worker of a sink failed");
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

/// Starts a sink. Whom it delivers to need not answer yet.
///
/// # Errors
/// A setting can't be used.
pub fn start(
    config: &SinkConfig,
    deliveries: mpsc::Receiver<Delivery>,
    outcomes: mpsc::Sender<Outcome>,
) -> Result<Sink, ConfigError> {
    config.validate()?;
    let status = Arc::new(Status::default());
    let outlet = Outlet { outcomes, status: status.clone() };
    let worker = match (&config.kafka, &config.mqtt, &config.http) {
        (Some(kafka), ..) => tokio::spawn(kafka::Kafka::new(kafka, status.clone())?.run(deliveries, outlet)),
        (None, Some(mqtt), _) => tokio::spawn(mqtt::Mqtt::new(mqtt)?.run(deliveries, outlet)),
        (None, None, Some(http)) => tokio::spawn(http::Http::new(http)?.run(deliveries, outlet)),
        (None, None, None) => return Err(ConfigError::new("sink", "names neither kafka, mqtt nor http")),
    };
    Ok(Sink { status, worker })
}

/// Where outcomes go, counted.
#[derive(Clone)]
struct Outlet {
    outcomes: mpsc::Sender<Outcome>,
    status: Arc<Status>,
}

impl Outlet {
    /// False when nobody wants outcomes any more.
    async fn put(&self, id: u64, result: Result<(), String>) -> bool {
        match &result {
            Ok(()) => self.status.accepted.add(1),
            Err(reason) => {
                self.status.dead_lettered.add(1);
                self.status.failed(reason.clone());
            }
        }
        self.outcomes.send(Outcome { id, result }).await.is_ok()
    }
}
