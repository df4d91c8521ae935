//! What all calls have in common: who may ask, what is counted, how errors look, that a bug costs one request only.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::{HeaderMap, Method, Uri, header};
use trinity_engine::definition::nearest;

use super::problem::{Document, Problem};
use super::respond::{self, Form};
use super::{Api, routes};

/// Around every call.
pub(super) async fn around(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map(|matched| matched.as_str().to_owned());
    let method = request.method().clone();
    let form = respond::form(request.headers());
    let permitted = permit(&request, &api.host);
    let (response, form) = match (permitted, form) {
        (Err(problem), _) => (problem.into_response(), Form::Json),
        // What Prometheus and streams of events are has only one form.
        (Ok(()), Err(problem)) if !is_fixed(&path, request.headers()) => (problem.into_response(), Form::Json),
        (Ok(()), form) => {
            let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
            let response = answered.unwrap_or_else(|_| Problem::internal(&"a handler panicked").into_response());
            (as_problem(response), form.unwrap_or(Form::Json))
        }
    };
    tracing::debug!(%method, path, status = response.status().as_u16(), took = ?begun.elapsed(), "answered");
    api.metrics.request(&method, route.as_deref().unwrap_or("other"), response.status(), begun.elapsed());
    respond::finish(response, form, &path)
}

fn is_fixed(path: &str, headers: &HeaderMap) -> bool {
    let accepts = |kind: &str| {
        headers.get_all(header::ACCEPT).iter().any(|value| value.to_str().is_ok_and(|text| text.contains(kind)))
    };
    path == "/metrics" || (path == "/api/v1/events" && accepts("text/event-stream"))
}

/// What the router itself refuses becomes a problem like any other.
fn as_problem(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error())
        || response.extensions().get::<Document>().is_some()
        || !response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"))
    {
        return response;
    }
    let reason = status.canonical_reason().unwrap_or("the request is refused").to_lowercase();
    Problem::bad_request(reason).with_status(status).into_response()
}

/// A page of some website must not reach this node through the browser of its user: neither by a name of its own that it
/// lets point here (DNS rebinding), nor by a form that it sends here (cross-site request forgery).
fn permit(request: &Request, host: &str) -> Result<(), Problem> {
    let headers = request.headers();
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let named = authority.or_else(|| headers.get(header::HOST).and_then(|value| value.to_str().ok()));
    if let Some(named) = named
        && !is_own(named, host)
    {
        return Err(Problem::forbidden(format!("this node is not \"{named}\": ask it as localhost")));
    }
    if let Some(origin) = headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
        if !authority.is_some_and(|authority| is_own(&authority, host)) {
            return Err(Problem::forbidden(format!("pages of \"{origin}\" may not use this node")));
        }
    }
    Ok(())
}

/// Whether a name, perhaps with a port, is this machine's loopback or the host that the node listens on.
fn is_own(authority: &str, host: &str) -> bool {
    let name = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let lower = name.to_ascii_lowercase();
    lower == "localhost"
        || lower.ends_with(".localhost")
        || lower == host.to_ascii_lowercase()
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// No route has this path.
pub(super) async fn no_such_path(uri: Uri) -> Problem {
    let paths = routes().list;
    let path = uri.path();
    match nearest(path, paths.iter().map(|(_, known)| *known)) {
        Some(near) if near != path => Problem::not_found(format!("there is no {path}; did you mean {near}?")),
        _ => Problem::not_found(format!("there is no {path}; /openapi.json tells what there is")),
    }
}

/// The path has other methods.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::method_not_allowed(format!("{method} is not for {}; the header Allow names what is", uri.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for own in ["localhost", "localhost:8000", "127.0.0.1:1", "[::1]:80", "a.localhost", "NODE.example:8000"] {
            assert!(is_own(own, "node.example"), "{own}");
        }
        for other in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "10.0.0.1", ""] {
            assert!(!is_own(other, "127.0.0.1"), "{other}");
        }
    }
}
