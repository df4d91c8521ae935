//! Secrets: their values go in and never out.

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use http::{HeaderMap, StatusCode};
use trinity_actors::clock::now;
use trinity_engine::value::Value;

use super::problem::Problem;
use super::query::{Query, cursor};
use super::respond::{Answer, object};
use super::{Shared, body};
use crate::metadata::secret::SecretName;

/// Longest name.
const NAME_MAX: usize = 253;
/// Largest value, in bytes: all of them are in memory.
const VALUE_MAX: usize = 64 * 1024;

fn check_name(name: &str) -> Result<(), Problem> {
    if name.is_empty() || name.len() > NAME_MAX || name.chars().any(|c| c.is_control() || c == '/') {
        let detail = format!("a secret's name has 1 to {NAME_MAX} bytes, without / and control characters");
        return Err(Problem::bad_request(detail));
    }
    Ok(())
}

/// `PUT /api/v1/secrets/{name}`
pub(super) async fn put(
    State(api): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Problem> {
    Query::read(query.as_deref(), &[])?;
    check_name(&name)?;
    let bytes = body::read(&api.room, &headers, body, VALUE_MAX).await?;
    let value = body::value(&headers, &bytes)?
        .ok_or_else(|| Problem::bad_request("the body is the secret's value: any JSON, such as {\"token\": \"…\"}"))?;
    let time = now();
    let new = api.definitions.put_secret(&name, &value, time, |catalog| api.tell(catalog)).await?;
    let names = api.definitions.metadata().secret_names().await?;
    let shown = names.iter().find(|secret| secret.name == name).map(resource).unwrap_or_default();
    Ok(Answer::with(if new { StatusCode::CREATED } else { StatusCode::OK }, shown))
}

/// `DELETE /api/v1/secrets/{name}`
pub(super) async fn delete(
    State(api): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    Query::read(query.as_deref(), &[])?;
    if api.definitions.delete_secret(&name, |catalog| api.tell(catalog)).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found(format!("there is no secret \"{name}\"")))
    }
}

/// `GET /api/v1/secrets`
pub(super) async fn list(State(api): State<Shared>, RawQuery(query): RawQuery) -> Result<Answer, Problem> {
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let (limit, after) = (query.limit()?, query.cursor("s")?);
    let names = api.definitions.metadata().secret_names().await?;
    let mut rest = names.iter().filter(|secret| after.as_ref().is_none_or(|after| secret.name > *after));
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = page.last().filter(|_| rest.next().is_some()).map(|secret| cursor("s", &secret.name));
    Ok(Answer::list(page.into_iter().map(resource).collect(), next))
}

fn resource(secret: &SecretName) -> Value {
    object([
        ("name", Value::from(secret.name.as_str())),
        ("createdAt", Value::from(secret.created_at.to_rfc3339())),
        ("updatedAt", Value::from(secret.updated_at.to_rfc3339())),
    ])
}
