//! The outside of a node: a service that workflows call and a sink for what they emit. It counts everything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

/// What was counted.
#[derive(Default)]
pub struct Ledger {
    /// By the id in the body of a call: its keys and how often each came.
    pub calls: Mutex<HashMap<String, HashMap<String, u32>>>,
    /// By the subject of an event: the ids of events and how often each came.
    pub events: Mutex<HashMap<String, HashMap<String, u32>>>,
    /// How many subjects there are.
    pub booked: AtomicU64,
    asked: AtomicU64,
    /// The sink answers 503.
    pub sink_is_down: AtomicBool,
    /// Every so many-th call is answered 503, or late.
    trouble: u64,
}

/// A ledger that answers on a port of its own.
pub struct Outside {
    pub ledger: Arc<Ledger>,
    pub url: String,
    server: tokio::task::JoinHandle<()>,
}

impl Outside {
    /// `trouble`: of as many calls one fails and one is slow; 0 is none.
    pub async fn start(trouble: u64) -> Outside {
        let ledger = Arc::new(Ledger { trouble, ..Ledger::default() });
        let router = Router::new()
            .route("/work", post(work))
            .route("/slow", post(slow))
            .route("/sink", post(sink))
            .with_state(ledger.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Outside { ledger, url, server }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Answer = (StatusCode, [(&'static str, &'static str); 1], Bytes);

fn answer(status: StatusCode, body: Bytes) -> Answer {
    (status, [("content-type", "application/json")], body)
}

/// Notes the call and says back what came.
async fn work(State(ledger): State<Arc<Ledger>>, headers: HeaderMap, body: Bytes) -> Answer {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or("none").to_owned();
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    let id = value["id"].as_str().unwrap_or("none").to_owned();
    *ledger.calls.lock().expect("no panic").entry(id).or_default().entry(key).or_default() += 1;
    let number = ledger.asked.fetch_add(1, Ordering::Relaxed);
    if ledger.trouble > 0 && number % ledger.trouble == 3 {
        return answer(StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
    }
    if ledger.trouble > 0 && number % ledger.trouble == 7 {
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    answer(StatusCode::OK, body)
}

/// As [`work`], after as many milliseconds as the body says.
async fn slow(State(ledger): State<Arc<Ledger>>, headers: HeaderMap, body: Bytes) -> Answer {
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(value["millis"].as_u64().unwrap_or_default())).await;
    work(State(ledger), headers, body).await
}

/// Takes a CloudEvent in structured mode.
async fn sink(State(ledger): State<Arc<Ledger>>, body: Bytes) -> StatusCode {
    if ledger.sink_is_down.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let event: Value = serde_json::from_slice(&body).expect("a CloudEvent");
    let text = |name: &str| event[name].as_str().unwrap_or("none").to_owned();
    let mut events = ledger.events.lock().expect("no panic");
    let ids = events.entry(text("subject")).or_default();
    *ids.entry(text("id")).or_default() += 1;
    ledger.booked.store(events.len() as u64, Ordering::Relaxed);
    StatusCode::OK
}

/// What a run led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Ids of inputs without an event.
    pub lost: Vec<String>,
    /// Inputs with more than one event, which is more than one execution.
    pub doubled: Vec<String>,
    /// Inputs whose calls had more than one key.
    pub two_keys: Vec<String>,
    /// Calls that were made again, with the same key.
    pub calls_again: u64,
    /// Deliveries to the sink that came again, with the same id.
    pub events_again: u64,
}

impl Ledger {
    /// Compares what came with what was published.
    pub fn judge(&self, published: impl Iterator<Item = String>) -> Verdict {
        let (calls, events) = (self.calls.lock().expect("no panic"), self.events.lock().expect("no panic"));
        let again = |counts: &HashMap<String, u32>| counts.values().map(|count| u64::from(count - 1)).sum::<u64>();
        let many = |map: &HashMap<String, HashMap<String, u32>>| -> Vec<String> {
            map.iter().filter(|(_, keys)| keys.len() > 1).map(|(id, _)| id.clone()).collect()
        };
        Verdict {
            lost: published.filter(|id| !events.contains_key(id)).collect(),
            doubled: many(&events),
            // One that was retried by its user is another execution.
            two_keys: many(&calls).into_iter().filter(|id| !id.starts_with('r')).collect(),
            calls_again: calls.values().map(again).sum(),
            events_again: events.values().map(again).sum(),
        }
    }
}
