//! The flaky service of the demonstration: who is in charge of a device, and tickets. Every third request fails.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One request in so many fails.
const FAILS_EVERY: u64 = 3;

/// The running service.
pub(super) struct Service {
    pub address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
    worker: JoinHandle<()>,
}

/// What it has seen.
#[derive(Clone, Default, Debug)]
pub(super) struct Counts {
    pub requests: u64,
    pub failures: u64,
    /// Numbers of tickets by idempotency key.
    pub tickets: BTreeMap<String, usize>,
    /// Requests for a ticket that was open already.
    pub repetitions: u64,
}

impl Service {
    /// Starts it on a free port of loopback.
    pub(super) async fn start() -> std::io::Result<Service> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Mutex::new(Counts::default()));
        let router = Router::new()
            .route("/devices/{device}", get(keeper))
            .route("/tickets", post(open))
            .with_state(counts.clone());
        let worker = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the flaky service ended");
            }
        });
        Ok(Service { address, counts, worker })
    }

    pub(super) fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

fn lock(counts: &Mutex<Counts>) -> std::sync::MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts a request; says whether it is one that fails.
fn fails(counts: &mut Counts) -> bool {
    counts.requests += 1;
    let fails = counts.requests.is_multiple_of(FAILS_EVERY);
    counts.failures += u64::from(fails);
    fails
}

async fn keeper(
    State(counts): State<Arc<Mutex<Counts>>>,
    Path(device): Path<String>,
) -> Result<Json<Value>, StatusCode> {
    if fails(&mut lock(&counts)) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let keeper = ["Amal", "Bo", "Chidi", "Dana"][device.bytes().map(usize::from).sum::<usize>() % 4];
    Ok(Json(json!({"device": device, "keeper": keeper})))
}

async fn open(
    State(counts): State<Arc<Mutex<Counts>>>,
    headers: HeaderMap,
    Json(ticket): Json<Value>,
) -> Result<(StatusCode, Json<Value>), StatusCode> {
    let mut counts = lock(&counts);
    if fails(&mut counts) {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).ok_or(StatusCode::BAD_REQUEST)?;
    let number = match counts.tickets.get(key) {
        Some(number) => {
            let number = *number;
            counts.repetitions += 1;
            number
        }
        None => {
            let number = counts.tickets.len() + 1;
            counts.tickets.insert(key.to_owned(), number);
            number
        }
    };
    Ok((StatusCode::CREATED, Json(json!({"ticket": number, "for": ticket["keeper"]}))))
}
