//! Dead letters: what could not be processed, and a second try.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use tokio::sync::oneshot;
use trinity_actors::clock::now;
use trinity_engine::value::{Map, Value};
use trinity_ingest::binding;
use trinity_ingest::decode::{Failure, Limits, Stage};

use super::Shared;
use super::problem::Problem;
use super::query::{Query, cursor, wrong_cursor};
use super::respond::{Answer, object};
use crate::metadata::dead_letter::StoredLetter;
use crate::outlet::SecondTry;

/// Bytes of a payload that a list shows; a letter alone is shown whole.
const PREVIEW: usize = 4096;
/// How long a client waits for a sink; it is tried on after that.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(20);

/// `GET /api/v1/deadletters`
pub(super) async fn list(State(api): State<Shared>, RawQuery(query): RawQuery) -> Result<Answer, Problem> {
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let limit = query.limit()?;
    let before = match query.cursor("d")? {
        Some(place) => Some(place.parse().map_err(|_| wrong_cursor())?),
        None => None,
    };
    let wanted = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let mut letters = api.definitions.metadata().dead_letters(before, wanted).await?;
    let more = letters.len() > limit;
    letters.truncate(limit);
    let next = letters.last().filter(|_| more).map(|letter| cursor("d", letter.id));
    Ok(Answer::list(letters.iter().map(|letter| resource(letter, PREVIEW)).collect(), next))
}

/// `GET /api/v1/deadletters/{id}`
pub(super) async fn get(
    State(api): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Answer, Problem> {
    Query::read(query.as_deref(), &[])?;
    Ok(Answer::ok(resource(&letter(&api, &id).await?, usize::MAX)))
}

async fn letter(api: &Shared, id: &str) -> Result<StoredLetter, Problem> {
    let unknown = || Problem::not_found("there is no dead letter with this id");
    let number = id.parse().map_err(|_| unknown())?;
    api.definitions.metadata().dead_letter(number).await?.ok_or_else(unknown)
}

/// `POST /api/v1/deadletters/{id}/redrive`
pub(super) async fn redrive(
    State(api): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Answer, Problem> {
    Query::read(query.as_deref(), &[])?;
    let stored = letter(&api, &id).await?;
    if stored.redriven_at.is_some() {
        return Err(Problem::conflict("redriven", "this dead letter was redriven already"));
    }
    if stored.letter.stage == Stage::Delivery {
        deliver_again(&api, &stored).await?;
    } else {
        submit_again(&api, &stored).await?;
    }
    // A crash before the mark lets it be redriven again: the event's id is the same, and the repetition is recognised.
    api.definitions.metadata().note_redrive(stored.id, Ok(()), now()).await?;
    Ok(Answer::with(StatusCode::ACCEPTED, resource(&letter(&api, &id).await?, PREVIEW)))
}

/// The message of a source, read as the source's settings say now.
async fn submit_again(api: &Shared, stored: &StoredLetter) -> Result<(), Problem> {
    let source = &stored.letter.source;
    let decoder = api.decoders.get(source.as_ref()).ok_or_else(|| {
        let detail =
            format!("the source \"{source}\" is not configured any more, so nothing says how to read the message");
        Problem::conflict("no-source", detail)
    })?;
    match stored.letter.redrive(decoder, now(), 0) {
        Ok(event) => Ok(api.node.submit(vec![event]).await?),
        Err(failure) => still_failing(api, stored, failure).await,
    }
}

/// The event that a sink refused, to the sink of that name.
async fn deliver_again(api: &Shared, stored: &StoredLetter) -> Result<(), Problem> {
    let sink = stored.letter.source.to_string();
    let gone = || Problem::conflict("no-source", format!("there is no sink \"{sink}\" any more"));
    let payload = stored.letter.payload.as_deref().unwrap_or_default();
    let event = binding::json::parse(payload, &Limits { payload_max: usize::MAX, ..Limits::default() })
        .map_err(|failure| Problem::internal(&failure))?;
    let (outcome, told) = oneshot::channel();
    let again = SecondTry { sink: sink.clone(), event: Arc::new(event), outcome };
    api.second_tries.send(again).await.map_err(|_| gone())?;
    match tokio::time::timeout(DELIVERY_PATIENCE, told).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(reason))) => still_failing(api, stored, Failure { stage: Stage::Delivery, reason }).await,
        Ok(Err(_)) => Err(gone()),
        Err(_) => Err(Problem::unavailable("the sink is tried still: it does not answer", DELIVERY_PATIENCE)),
    }
}

async fn still_failing(api: &Shared, stored: &StoredLetter, failure: Failure) -> Result<(), Problem> {
    let noted = Err((failure.stage, failure.reason.as_str()));
    api.definitions.metadata().note_redrive(stored.id, noted, now()).await?;
    Err(Problem::unprocessable("", format!("it still can't be processed: {failure}")))
}

fn resource(stored: &StoredLetter, preview: usize) -> Value {
    let letter = &stored.letter;
    let bytes = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from(STANDARD.encode(bytes)),
    };
    let headers: Map = letter.headers.iter().map(|(name, value)| (name.as_str(), bytes(value))).collect();
    let payload = letter.payload.as_deref().map(|payload| &payload[..payload.len().min(preview)]);
    // A preview may end within a character.
    let text = payload.map(|payload| match std::str::from_utf8(payload) {
        Ok(text) => Ok(text),
        Err(error) if error.error_len().is_none() && payload.len() == preview => {
            std::str::from_utf8(&payload[..error.valid_up_to()]).map_err(|_| payload)
        }
        Err(_) => Err(payload),
    });
    let (shown, encoding) = match text {
        None => (Value::Null, Value::Null),
        Some(Ok(text)) => (Value::from(text), Value::from("utf-8")),
        Some(Err(payload)) => (Value::from(STANDARD.encode(payload)), Value::from("base64")),
    };
    let size = letter.payload.as_ref().map(|payload| payload.len());
    object([
        ("id", Value::from(stored.id.to_string())),
        ("source", Value::from(letter.source.as_ref())),
        ("topic", Value::from(letter.topic.as_str())),
        ("partition", Value::from(letter.place.map(|(partition, _)| partition))),
        ("offset", Value::from(letter.place.map(|(_, offset)| offset))),
        ("key", letter.key.as_deref().map_or(Value::Null, bytes)),
        ("headers", Value::Object(headers)),
        ("payload", shown),
        ("payloadEncoding", encoding),
        ("payloadSize", Value::from(size)),
        ("truncated", Value::from(size.is_some_and(|size| size > preview))),
        ("stage", Value::from(letter.stage.name())),
        ("reason", Value::from(letter.reason.as_str())),
        ("status", Value::from(if stored.redriven_at.is_some() { "redriven" } else { "waiting" })),
        ("attempts", Value::from(stored.attempts)),
        ("receivedAt", Value::from(letter.received_at.to_rfc3339())),
        ("redrivenAt", Value::from(stored.redriven_at.map(|time| time.to_rfc3339()))),
    ])
}
