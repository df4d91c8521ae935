//! The REST API under `/api/v1`, and what stands beside it on the same port.
//!
//! | file | holds |
//! | --- | --- |
//! | `workflows` `executions` `events` `secrets` `dead_letters` `performance` `health` `metrics` | the calls |
//! | `history` | executions and their facts as the API shows them |
//! | `query` `body` | what comes in |
//! | `respond` `problem` | what goes out |
//! | `guard` | what all calls have in common |

pub(crate) mod body;
mod dead_letters;
mod events;
mod executions;
mod guard;
mod health;
pub(crate) mod history;
pub mod metrics;
mod performance;
mod problem;
mod query;
pub(crate) mod respond;
mod secrets;
#[cfg(test)]
mod tests;
mod workflows;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::handler::Handler as AxumHandler;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{Method, header};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trinity_actors::handle::Handle;
use trinity_analytics::Analytics;
use trinity_engine::shard::Catalog;
use trinity_ingest::mapping::Decoder;
use trinity_ingest::status::Status;

use crate::library::Definitions;
use crate::outlet::SecondTry;

/// The description of the API in OpenAPI 3.0.
pub const OPENAPI: &str = include_str!("openapi.json");

/// A source or sink, for readiness and metrics.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its name.
    pub name: String,
    /// `source` or `sink`.
    pub kind: &'static str,
    /// Its state and counters.
    pub status: Arc<Status>,
}

/// What the calls work with.
pub struct Api {
    /// Definitions, secrets, dead letters.
    pub definitions: Arc<Definitions>,
    /// The way to the shards.
    pub node: Handle,
    /// Name of the node.
    pub node_name: String,
    /// Largest body of a request, in bytes.
    pub body_max: usize,
    /// Where bodies are held.
    pub room: body::Room,
    /// Whether lifecycle events are published.
    pub lifecycle_events: bool,
    /// What was measured.
    pub analytics: Arc<Analytics>,
    /// The way of events to their sink once more.
    pub(crate) second_tries: mpsc::Sender<SecondTry>,
    /// How the messages of each source are read, for a second try.
    pub decoders: BTreeMap<String, Decoder>,
    /// Sources and sinks.
    pub endpoints: Vec<Endpoint>,
    /// What is counted.
    pub metrics: Arc<metrics::Metrics>,
    /// Hosts, beside loopback, that requests may be meant for.
    pub host: String,
    /// Cancelled when the node begins to stop.
    pub stopping: CancellationToken,
}

/// Shared by all requests.
pub(crate) type Shared = Arc<Api>;

impl Api {
    /// Hands a changed catalog to the shards.
    fn tell(&self, catalog: Arc<Catalog>) {
        self.node.set_catalog(catalog);
    }
}

/// The calls, noted down as they are registered, so that a test can compare them with what OpenAPI says.
struct Routes {
    router: Router<Shared>,
    list: Vec<(Method, &'static str)>,
}

impl Routes {
    fn call<H, T>(self, method: Method, path: &'static str, handler: H) -> Routes
    where
        H: AxumHandler<T, Shared>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        self.add(method, path, on(filter, handler))
    }

    fn add(mut self, method: Method, path: &'static str, call: MethodRouter<Shared>) -> Routes {
        self.router = self.router.route(path, call);
        self.list.push((method, path));
        self
    }
}

fn routes() -> Routes {
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    Routes { router: Router::new(), list: Vec::new() }
        .call(get.clone(), "/api/v1/workflows", workflows::list)
        .call(post.clone(), "/api/v1/workflows", workflows::create)
        .call(get.clone(), "/api/v1/workflows/{id}", workflows::get)
        .call(put.clone(), "/api/v1/workflows/{id}", workflows::update)
        .call(delete.clone(), "/api/v1/workflows/{id}", workflows::delete)
        .call(get.clone(), "/api/v1/workflows/{id}/versions", workflows::versions)
        .call(post.clone(), "/api/v1/workflows/{id}/execute", executions::execute)
        .call(get.clone(), "/api/v1/executions", executions::list)
        .call(get.clone(), "/api/v1/executions/{id}", executions::get)
        .call(get.clone(), "/api/v1/executions/{id}/history", executions::history)
        .call(post.clone(), "/api/v1/executions/{id}/cancel", executions::cancel)
        .call(post.clone(), "/api/v1/executions/{id}/suspend", executions::suspend)
        .call(post.clone(), "/api/v1/executions/{id}/resume", executions::resume)
        .call(post.clone(), "/api/v1/executions/{id}/retry", executions::retry)
        .call(get.clone(), "/api/v1/events", events::list)
        .call(post.clone(), "/api/v1/events", events::publish)
        .call(get.clone(), "/api/v1/secrets", secrets::list)
        .call(put, "/api/v1/secrets/{name}", secrets::put)
        .call(delete, "/api/v1/secrets/{name}", secrets::delete)
        .call(get.clone(), "/api/v1/deadletters", dead_letters::list)
        .call(get.clone(), "/api/v1/deadletters/{id}", dead_letters::get)
        .call(post, "/api/v1/deadletters/{id}/redrive", dead_letters::redrive)
        .call(get.clone(), "/api/v1/analytics/performance", performance::get)
        .call(get.clone(), "/healthz", health::live)
        .call(get.clone(), "/readyz", health::ready)
        .call(get.clone(), "/metrics", metrics::expose)
        .call(get, "/openapi.json", openapi)
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, respond::JSON)], OPENAPI)
}

/// The service of the one port.
pub fn router(api: Arc<Api>) -> Router {
    routes()
        .router
        .fallback(guard::no_such_path)
        .method_not_allowed_fallback(guard::no_such_method)
        .layer(axum::middleware::from_fn_with_state(api.clone(), guard::around))
        .with_state(api)
}
