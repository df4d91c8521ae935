//! The body of a request, within its limits.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use futures::StreamExt as _;
use http::{HeaderMap, header};
use trinity_engine::definition::{self, yaml};
use trinity_engine::value::{ParseLimits, Value};

use super::problem::Problem;

/// How much of a body that is too large is read nevertheless, and for how long.
const DRAINED_MAX: usize = 64 * 1024 * 1024;
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// The media type of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Media {
    Json,
    Yaml,
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let mut stream = body.into_data_stream();
    if announced.is_some_and(|length: u64| length > limit as u64) {
        drain(&mut stream).await;
        return Err(Problem::too_large(limit));
    }
    let mut whole = Vec::new();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|error| Problem::bad_request(format!("the body ended early: {error}")))?;
        if whole.len() + part.len() > limit {
            drain(&mut stream).await;
            return Err(Problem::too_large(limit));
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole.into())
}

/// Reads on and forgets: a client that still sends when the connection is closed never sees the answer. Who sends for ever
/// is not listened to for ever.
async fn drain(stream: &mut BodyDataStream) {
    let mut left = DRAINED_MAX;
    let reading = async {
        while let Some(Ok(part)) = stream.next().await {
            left = left.saturating_sub(part.len());
            if left == 0 {
                return;
            }
        }
    };
    // Whether it came to its end makes no difference to the answer.
    let _ = tokio::time::timeout(DRAIN_PATIENCE, reading).await;
}

/// The media type of a request; `None` when it has none.
pub(super) fn media(headers: &HeaderMap) -> Result<Option<Media>, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" | "text/json" => Ok(Some(Media::Json)),
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => Ok(Some(Media::Yaml)),
        other if other.ends_with("+json") => Ok(Some(Media::Json)),
        other if other.ends_with("+yaml") => Ok(Some(Media::Yaml)),
        _ => Err(Problem::unsupported_media_type(format!(
            "\"{text}\" is not understood here; send application/json or application/yaml"
        ))),
    }
}

/// A body as a value, JSON unless it says otherwise; `None` when there is nothing in it.
pub(super) fn value(headers: &HeaderMap, bytes: &Bytes) -> Result<Option<Value>, Problem> {
    let media = media(headers)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    match media {
        Some(Media::Yaml) => {
            let limits = definition::Limits { bytes_max: usize::MAX, ..definition::Limits::default() };
            yaml::read(bytes, limits).map(Some).map_err(|found| {
                let detail = format!("the body is not valid YAML: {}", found.message);
                Problem::malformed(detail, found.place.line.into(), found.place.column.into())
            })
        }
        _ => Value::parse(bytes, &ParseLimits::default()).map(Some).map_err(|error| {
            let detail = format!("the body is not valid JSON: {}", error.message);
            Problem::malformed(detail, error.line as u64, error.column as u64)
        }),
    }
}
