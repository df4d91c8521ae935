//! Events: in from clients, and out what workflows and the engine published.

use std::convert::Infallible;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, StatusCode, header};
use tokio::sync::watch;
use trinity_engine::input::{Origin, SourceEvent};
use trinity_engine::value::Value;
use trinity_ingest::binding;
use trinity_ingest::decode::{Limits, Stage};

use super::problem::Problem;
use super::query::{Query, cursor, wrong_cursor};
use super::respond::{Answer, object};
use super::{Shared, body};
use crate::published::{self, Filter, Found, Position, Scan};

/// Events that a stream reads at once.
const STREAM_BATCH: usize = 500;
/// How often a silent stream says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `POST /api/v1/events`
pub(super) async fn publish(
    State(api): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Problem> {
    Query::read(query.as_deref(), &[])?;
    let bytes = body::read(&api.room, &headers, body, api.body_max).await?;
    let text = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let limits = Limits { payload_max: api.body_max, ..Limits::default() };
    let events = binding::http::parse(text, &bytes, &limits).map_err(|failure| match failure.stage {
        Stage::Size => Problem::too_large(api.body_max),
        Stage::Binding if !is_event(&headers) => Problem::unsupported_media_type(failure.reason),
        _ => Problem::bad_request(failure.reason),
    })?;
    let accepted = events.len();
    let numbered = events.into_iter().zip(0..);
    let events: Vec<SourceEvent> =
        numbered.map(|(event, token)| SourceEvent { event: Arc::new(event), origin: Origin::Id, token }).collect();
    if !events.is_empty() {
        api.node.submit(events).await?;
    }
    Ok(Answer::with(StatusCode::ACCEPTED, object([("accepted", Value::from(accepted))])))
}

/// Whether the headers say that it is a CloudEvent, however wrong.
fn is_event(headers: &HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    headers.contains_key("ce-specversion")
        || content_type.is_some_and(|text| {
            let text = text.to_ascii_lowercase();
            text.starts_with(binding::STRUCTURED) || text.starts_with(binding::BATCH)
        })
}

/// `GET /api/v1/events`
pub(super) async fn list(
    State(api): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::read(query.as_deref(), &["type", "limit", "cursor", "follow"])?;
    let event_type = query.get("type").map(str::to_owned);
    let filter = Filter { event_type, lifecycle: api.lifecycle_events, emitted: true };
    let follow = query.flag("follow")?;
    if follow == Some(true) {
        return stream_events(&api, &query, &headers, filter).await;
    }
    // In order of publication when asked for it, else newest first: a cursor goes on in its own direction.
    let (list, forward) = if follow == Some(false) { ("f", true) } else { ("e", false) };
    let position = query.cursor(list)?.map(|text| text.parse().map_err(|_| wrong_cursor())).transpose()?;
    let limit = query.limit()?;
    let found = scan(&api, filter, limit, position, forward).await?;
    let items = found.events.into_iter().map(|(_, event)| event).collect();
    Ok(Answer::list(items, found.next.map(|position| cursor(list, position))).into_response())
}

/// Without holding up a thread that serves.
async fn scan(
    api: &Shared,
    filter: Filter,
    limit: usize,
    position: Option<Position>,
    forward: bool,
) -> Result<Found, Problem> {
    let (reader, library) = (api.node.reader().clone(), api.definitions.library());
    let found = if forward {
        published::forward(reader, library, filter, limit, position).await
    } else {
        let scan = move || Scan { reader: &reader, library: &library, filter: &filter, limit }.back(position);
        tokio::task::spawn_blocking(scan).await
    };
    Ok(found.map_err(|error| Problem::internal(&error))??)
}

/// A client that follows.
struct Follower {
    api: Shared,
    filter: Filter,
    /// The end of what it got, or of what was not for it.
    position: Option<Position>,
    commits: watch::Receiver<u64>,
}

/// New events as they are published. `Last-Event-ID`, or a cursor, goes on after an event that the client has.
async fn stream_events(api: &Shared, query: &Query, headers: &HeaderMap, filter: Filter) -> Result<Response, Problem> {
    let mut commits = api.node.commits();
    commits.mark_unchanged();
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let position = match last.or(query.cursor("f")?) {
        Some(text) => Some(text.parse().map_err(|_| wrong_cursor())?),
        None => newest(api).await?,
    };
    let follower = Follower { api: api.clone(), filter, position, commits };
    let pieces = stream::unfold(follower, |mut follower| async move {
        let piece = follower.next().await?;
        Some((Ok::<_, Infallible>(piece), follower))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// The end of what is published now.
async fn newest(api: &Shared) -> Result<Option<Position>, Problem> {
    let reader = api.node.reader().clone();
    let read = tokio::task::spawn_blocking(move || published::newest(&reader));
    Ok(read.await.map_err(|error| Problem::internal(&error))??)
}

impl Follower {
    /// The next events as one piece of the stream, however long they take, or a sign of life; `None` when the node stops.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let found = scan(&self.api, self.filter.clone(), STREAM_BATCH, self.position, true).await.ok()?;
            self.position = found.next.or(found.seen).or(self.position);
            if !found.events.is_empty() {
                return Some(piece(&found.events));
            }
            if found.next.is_some() {
                continue;
            }
            // What was committed between the scan and here is seen: the receiver was marked before it.
            tokio::select! {
                changed = self.commits.changed() => changed.ok()?,
                () = self.api.stopping.cancelled() => return None,
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(Bytes::from_static(b":\n\n")),
            }
        }
    }
}

/// Server-sent events: <https://html.spec.whatwg.org/multipage/server-sent-events.html>, section 9.2.6. JSON has no line ends.
fn piece(events: &[(Position, Value)]) -> Bytes {
    let mut text = Vec::new();
    for (position, event) in events {
        // Writing to memory can't fail.
        let _ = write!(text, "id: {position}\ndata: ");
        event.write_json(&mut text);
        text.extend_from_slice(b"\n\n");
    }
    text.into()
}
