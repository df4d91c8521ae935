//! HTTP as a sink: one POST for each event, repeated with back-off until it is answered for good.

use std::hash::{BuildHasher as _, BuildHasherDefault};
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use rustc_hash::FxHasher;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use trinity_engine::event::CloudEvent;

use super::{Delivery, Outlet};
use crate::back_off::BackOff;
use crate::binding;
use crate::config::{ConfigError, HttpSinkConfig, Mode};

/// Deliveries that may wait in one lane.
const LANE_CAPACITY: usize = 64;
/// The longest that an answer's `Retry-After` is heeded.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

pub(super) struct Http {
    client: reqwest::Client,
    url: String,
    mode: Mode,
    lanes: usize,
}

/// What to do after a try.
enum Verdict {
    Arrived,
    Never(String),
    Again(String, Option<Duration>),
}

impl Http {
    pub(super) fn new(config: &HttpSinkConfig) -> Result<Http, ConfigError> {
        // Whoever comes first sets the process's default; all of Trinity uses this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(config.timeout_seconds.max(1)))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ConfigError::new("http", error.to_string()))?;
        Ok(Http { client, url: config.url.clone(), mode: config.mode, lanes: config.lanes })
    }

    /// Spreads deliveries over lanes by subject: a lane keeps its order.
    pub(super) async fn run(self, mut deliveries: mpsc::Receiver<Delivery>, outlet: Outlet) {
        let sink = Arc::new(self);
        let mut workers = JoinSet::new();
        let lanes: Vec<mpsc::Sender<Delivery>> = (0..sink.lanes)
            .map(|_| {
                let (sender, receiver) = mpsc::channel(LANE_CAPACITY);
                workers.spawn(lane(sink.clone(), receiver, outlet.clone()));
                sender
            })
            .collect();
        while let Some(delivery) = deliveries.recv().await {
            outlet.status.received.add(1);
            let hash = BuildHasherDefault::<FxHasher>::default().hash_one(delivery.event.partition_key());
            let lane = usize::try_from(hash % lanes.len() as u64).unwrap_or(0);
            if lanes[lane].send(delivery).await.is_err() {
                return;
            }
        }
        drop(lanes);
        while workers.join_next().await.is_some() {}
    }

    async fn post(&self, event: &CloudEvent) -> Verdict {
        let (headers, body) = match self.mode {
            Mode::Binary => binding::http::render_binary(event),
            Mode::Structured => binding::http::render_structured(event),
        };
        let mut request = self.client.post(&self.url).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        match request.send().await {
            Ok(answer) => {
                let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                verdict(answer.status(), seconds.map(Duration::from_secs))
            }
            Err(error) if error.is_builder() => Verdict::Never(format!("the request can't be made: {error}")),
            Err(error) => Verdict::Again(error.to_string(), None),
        }
    }
}

/// Answers that tell of the request are final, those that tell of the moment are not.
fn verdict(status: StatusCode, retry_after: Option<Duration>) -> Verdict {
    match status.as_u16() {
        200..=299 => Verdict::Arrived,
        408 | 425 | 429 | 500..=599 => {
            Verdict::Again(format!("answered {status}"), retry_after.map(|wait| wait.min(RETRY_AFTER_MAX)))
        }
        _ => Verdict::Never(format!("answered {status}")),
    }
}

async fn lane(sink: Arc<Http>, mut deliveries: mpsc::Receiver<Delivery>, outlet: Outlet) {
    while let Some(delivery) = deliveries.recv().await {
        let mut back_off = BackOff::default();
        let result = loop {
            match sink.post(&delivery.event).await {
                Verdict::Arrived => {
                    outlet.status.connected();
                    break Ok(());
                }
                Verdict::Never(reason) => break Err(reason),
                Verdict::Again(reason, wait) => {
                    outlet.status.disconnected(reason);
                    tokio::time::sleep(wait.unwrap_or_else(|| back_off.next())).await;
                }
            }
        };
        if !outlet.put(delivery.id, result).await {
            return;
        }
    }
}
