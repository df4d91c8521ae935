//! Whether the node lives, and whether it can take work.

use axum::extract::State;
use http::StatusCode;
use trinity_engine::value::{Map, Value};

use super::Shared;
use super::respond::{Answer, object};

/// `GET /healthz`: the process answers.
pub(super) async fn live() -> Answer {
    Answer::ok(object([("status", Value::from("ok"))]))
}

/// `GET /readyz`: the node takes work. Sources that have lost their broker are told, and do not make it unready: the rest
/// works, and they come back by themselves.
pub(super) async fn ready(State(api): State<Shared>) -> Answer {
    let status = api.node.status();
    let (unable, stopping) = (status.unable(), status.is_draining() || api.stopping.is_cancelled());
    let ready = status.is_ready() && !stopping;
    let reason = match unable {
        Some(reason) => Value::from(reason),
        None if stopping => Value::from("the node is stopping"),
        None if !ready => Value::from("the node is starting"),
        None => Value::Null,
    };
    let endpoints: Map = api
        .endpoints
        .iter()
        .map(|endpoint| {
            let state = object([
                ("kind", Value::from(endpoint.kind)),
                ("connected", Value::from(endpoint.status.is_connected())),
                ("lastError", Value::from(endpoint.status.last_error())),
            ]);
            (endpoint.name.as_str(), state)
        })
        .collect();
    let value = object([
        ("status", Value::from(if ready { "ready" } else { "unavailable" })),
        ("reason", reason),
        ("endpoints", Value::Object(endpoints)),
    ]);
    Answer::with(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, value)
}
