//! Errors as the API tells them: RFC 9457 problem documents.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use trinity_engine::definition::Diagnostic;
use trinity_engine::value::{Map, Value};

use super::respond;

/// A problem document to be. Its `type` is `urn:trinity:problem:` and the code.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<Value>,
    retry_after: Option<Duration>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, code, title, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// The request is malformed.
    pub fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", "Bad Request", detail)
    }

    /// A key or value of the query is wrong.
    pub fn query(key: &str, detail: impl Into<String>) -> Problem {
        let detail = detail.into();
        let mut error = Map::new();
        error.insert("parameter", Value::from(key));
        error.insert("detail", Value::from(detail.as_str()));
        let mut problem = Problem::new(StatusCode::BAD_REQUEST, "query", "Invalid Query", detail);
        problem.errors.push(Value::Object(error));
        problem
    }

    /// The body is not what its content type says.
    pub fn malformed(detail: impl Into<String>, line: u64, column: u64) -> Problem {
        let detail = detail.into();
        let mut error = Map::new();
        error.insert("pointer", Value::from(""));
        error.insert("line", Value::from(line));
        error.insert("column", Value::from(column));
        error.insert("detail", Value::from(detail.as_str()));
        let mut problem = Problem::new(StatusCode::BAD_REQUEST, "malformed-body", "Malformed Body", detail);
        problem.errors.push(Value::Object(error));
        problem
    }

    /// A definition is refused: each finding is an error.
    pub fn definition(findings: &[Diagnostic]) -> Problem {
        let detail = match findings.first() {
            Some(first) => format!("{} at line {}, column {}", first.message, first.place.line, first.place.column),
            None => "the definition is refused".to_owned(),
        };
        let title = "Invalid Definition";
        let mut problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-definition", title, detail);
        problem.errors = findings.iter().map(|finding| Value::from(finding.to_json())).collect();
        problem
    }

    /// What is asked for can be read, but not done.
    pub fn unprocessable(pointer: &str, detail: impl Into<String>) -> Problem {
        let detail = detail.into();
        let mut error = Map::new();
        error.insert("pointer", Value::from(pointer));
        error.insert("detail", Value::from(detail.as_str()));
        let mut problem =
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", "Unprocessable Content", detail);
        problem.errors.push(Value::Object(error));
        problem
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not-found", "Not Found", detail)
    }

    /// The path takes other methods.
    pub fn method_not_allowed(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method Not Allowed", detail)
    }

    /// No form that the client takes can be given.
    pub fn not_acceptable(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", "Not Acceptable", detail)
    }

    /// It contradicts what is there.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::CONFLICT, code, "Conflict", detail)
    }

    /// The body is too large.
    pub fn too_large(limit: usize) -> Problem {
        let detail = format!("the body is larger than {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Content Too Large", detail)
    }

    /// The content type is none that is understood here.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unsupported Media Type", detail)
    }

    /// Not for whoever asks.
    pub fn forbidden(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    /// Not now.
    pub fn unavailable(detail: impl Into<String>, retry_after: Duration) -> Problem {
        let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Service Unavailable", detail);
        problem.retry_after = Some(retry_after);
        problem
    }

    /// Our fault. What happened goes to the log, not to the client.
    pub fn internal(error: &dyn std::fmt::Display) -> Problem {
        tracing::error!(%error, "a request failed");
        let detail = "the server failed; its log tells more";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal Server Error", detail)
    }

    /// The same with another status, such as the router's.
    pub fn with_status(mut self, status: StatusCode) -> Problem {
        self.status = status;
        self
    }

    fn document(&self) -> Value {
        let mut map = Map::new();
        map.insert("type", Value::from(format!("urn:trinity:problem:{}", self.code)));
        map.insert("title", Value::from(self.title));
        map.insert("status", Value::from(self.status.as_u16()));
        map.insert("detail", Value::from(self.detail.as_str()));
        if !self.errors.is_empty() {
            map.insert("errors", Value::from(self.errors.clone()));
        }
        Value::Object(map)
    }
}

/// What the outermost layer reads to put the request's path in: a handler does not know it.
#[derive(Clone, Debug)]
pub(super) struct Document(pub Value);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = self.document();
        let mut response = respond::body(self.status, respond::PROBLEM, &document);
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response.extensions_mut().insert(Document(document));
        response
    }
}
