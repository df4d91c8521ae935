//! The body of a request, within its limits.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use trinity_engine::definition::{self, yaml};
use trinity_engine::value::{ParseLimits, Value};

use super::problem::Problem;

/// How much of a body that is too large is read nevertheless, and for how long.
const DRAINED_MAX: usize = 64 * 1024 * 1024;
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// How much of bodies is in memory at once, in KiB, however many clients there are.
const ROOM_KIB: usize = 64 * 1024;
/// How long a request waits for room, and when its client should come back.
const ROOM_PATIENCE: Duration = Duration::from_secs(2);
/// How long a client may take to send a body.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// The room for bodies.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Room {
        Room(Arc::new(Semaphore::new(ROOM_KIB)))
    }
}

impl Room {
    /// Room for so many bytes, or a problem when there is none for a while.
    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let wanted = u32::try_from((1 + bytes / 1024).min(ROOM_KIB)).unwrap_or(u32::MAX);
        let taken = tokio::time::timeout(ROOM_PATIENCE, self.0.clone().acquire_many_owned(wanted)).await;
        let taken = taken.ok().and_then(Result::ok);
        taken.ok_or_else(|| {
            Problem::unavailable("too many bodies are on their way here: try again later", ROOM_PATIENCE)
        })
    }
}

/// A body, and the room that it takes for as long as it is there.
pub(super) struct Whole {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl std::ops::Deref for Whole {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// The media type of a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Media {
    Json,
    Yaml,
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(room: &Room, headers: &HeaderMap, body: Body, limit: usize) -> Result<Whole, Problem> {
    let announced: Option<u64> =
        headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let mut stream = body.into_data_stream();
    if announced.is_some_and(|length| length > limit as u64) {
        drain(&mut stream).await;
        return Err(Problem::too_large(limit));
    }
    let expected = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or(limit);
    let room = room.take(expected).await?;
    match tokio::time::timeout(BODY_PATIENCE, collect(&mut stream, limit)).await {
        Ok(whole) => Ok(Whole { bytes: whole?, _room: room }),
        Err(_) => {
            let detail = format!("the body did not come within {} s", BODY_PATIENCE.as_secs());
            Err(Problem::bad_request(detail).with_status(StatusCode::REQUEST_TIMEOUT))
        }
    }
}

async fn collect(stream: &mut BodyDataStream, limit: usize) -> Result<Bytes, Problem> {
    let mut whole = Vec::new();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|error| Problem::bad_request(format!("the body ended early: {error}")))?;
        if whole.len() + part.len() > limit {
            drain(stream).await;
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
