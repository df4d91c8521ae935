//! Workflows: definitions in, resources out.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use ecow::EcoString;
use http::{HeaderMap, StatusCode};
use trinity_actors::clock::now;
use trinity_engine::definition;
use trinity_engine::plan::Plan;
use trinity_engine::value::Value;

use super::Shared;
use super::body::{self, Media};
use super::problem::Problem;
use super::query::{Query, cursor, wrong_cursor};
use super::respond::{Answer, object};
use crate::library::{Definition, Line};
use crate::metadata::MetadataError;
use crate::metadata::workflow::{ChangeError, Format, NewVersion, Status};

/// When to come back once the disk is full.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(10);

impl From<MetadataError> for Problem {
    fn from(error: MetadataError) -> Problem {
        if error.is_full() {
            return Problem::unavailable(
                "no space is left for definitions, secrets and dead letters",
                FULL_RETRY_AFTER,
            );
        }
        Problem::internal(&error)
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Problem {
        match error {
            ChangeError::VersionExists(version) => Problem::conflict(
                "version-exists",
                format!("version {version} of this workflow is there already: give /document/version a new one"),
            ),
            ChangeError::Unknown => unknown(),
            ChangeError::Retired => Problem::conflict(
                "retired",
                "the workflow was deleted: POST the definition to /api/v1/workflows to bring it back",
            ),
            ChangeError::OtherWorkflow { .. } => Problem::unprocessable("/document/name", error.to_string()),
            ChangeError::Store(error) => Problem::internal(&error),
        }
    }
}

fn unknown() -> Problem {
    Problem::not_found("there is no workflow with this id")
}

/// A definition of a request, compiled.
struct Given {
    text: String,
    format: Format,
    plan: Plan,
}

impl Given {
    async fn read(api: &Shared, headers: &HeaderMap, body: Body) -> Result<Given, Problem> {
        let media = body::media(headers)?;
        let bytes = body::read(&api.room, headers, body, api.body_max).await?;
        let text = String::from_utf8(bytes.to_vec())
            .map_err(|error| Problem::bad_request(format!("the body is not UTF-8: {error}")))?;
        // Compiling a hostile text may take a while, and others want to be served meanwhile.
        let compiled = tokio::task::spawn_blocking(move || {
            let compiled = definition::compile(&text);
            (text, compiled)
        });
        let (text, compiled) = compiled.await.map_err(|error| Problem::internal(&error))?;
        let format = if media == Some(Media::Json) { Format::Json } else { Format::Yaml };
        match compiled {
            Ok((plan, _)) => Ok(Given { text, format, plan }),
            Err(findings) => Err(Problem::definition(&findings)),
        }
    }

    fn version(&self, status: Status) -> NewVersion<'_> {
        NewVersion {
            namespace: &self.plan.namespace,
            name: &self.plan.name,
            version: &self.plan.version,
            status,
            format: self.format,
            text: &self.text,
        }
    }
}

fn wanted_status(query: &Query) -> Result<Status, Problem> {
    match query.get("status") {
        None | Some("active") => Ok(Status::Active),
        Some("draft") => Ok(Status::Draft),
        Some(other) => Err(Problem::query("status", format!("status must be active or draft, not \"{other}\""))),
    }
}

/// `POST /api/v1/workflows`
pub(super) async fn create(
    State(api): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Problem> {
    let status = wanted_status(&Query::read(query.as_deref(), &["status"])?)?;
    let given = Given::read(&api, &headers, body).await?;
    let number = api.definitions.create(&given.version(status), now(), |catalog| api.tell(catalog)).await?;
    let library = api.definitions.library();
    let definition = library.definition(number).ok_or_else(unknown)?;
    let location = format!("/api/v1/workflows/{}", definition.version.workflow);
    Ok(Answer::with(StatusCode::CREATED, resource(definition)).at(location))
}

/// `PUT /api/v1/workflows/{id}`
pub(super) async fn update(
    State(api): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Problem> {
    let status = wanted_status(&Query::read(query.as_deref(), &["status"])?)?;
    api.definitions.library().line(&id).ok_or_else(unknown)?;
    let given = Given::read(&api, &headers, body).await?;
    let number = api.definitions.update(&id, &given.version(status), now(), |catalog| api.tell(catalog)).await?;
    let library = api.definitions.library();
    Ok(Answer::ok(resource(library.definition(number).ok_or_else(unknown)?)))
}

/// `GET /api/v1/workflows`
pub(super) async fn list(State(api): State<Shared>, RawQuery(query): RawQuery) -> Result<Answer, Problem> {
    let query = Query::read(query.as_deref(), &["namespace", "name", "status", "limit", "cursor"])?;
    let limit = query.limit()?;
    let before = match query.cursor("w")? {
        Some(place) => place.parse().map_err(|_| wrong_cursor())?,
        None => u32::MAX,
    };
    let status = match query.get("status") {
        None => None,
        Some(name) => Some(Status::parse(name).ok_or_else(|| {
            Problem::query("status", format!("status must be draft, active or retired, not \"{name}\""))
        })?),
    };
    let wanted = |line: &Line| {
        let version = &line.shown.version;
        // What was deleted is shown to those who ask for it.
        status.map_or(version.status != Status::Retired, |status| version.status == status)
            && query.get("namespace").is_none_or(|namespace| version.namespace == namespace)
            && query.get("name").is_none_or(|name| version.name == name)
    };
    let library = api.definitions.library();
    let mut lines = library.lines().filter(|line| line.ordinal < before && wanted(line));
    let page: Vec<_> = lines.by_ref().take(limit).collect();
    let next = page.last().filter(|_| lines.next().is_some()).map(|line| cursor("w", line.ordinal));
    Ok(Answer::list(page.into_iter().map(|line| resource(&line.shown)).collect(), next))
}

/// `GET /api/v1/workflows/{id}`
pub(super) async fn get(
    State(api): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Answer, Problem> {
    let query = Query::read(query.as_deref(), &["version"])?;
    let library = api.definitions.library();
    let line = library.line(&id).ok_or_else(unknown)?;
    Ok(Answer::ok(resource(version_of(line, query.get("version"))?)))
}

/// `GET /api/v1/workflows/{id}/versions`
pub(super) async fn versions(
    State(api): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Answer, Problem> {
    let query = Query::read(query.as_deref(), &["limit", "cursor"])?;
    let limit = query.limit()?;
    let before = match query.cursor("v")? {
        Some(place) => place.parse().map_err(|_| wrong_cursor())?,
        None => u32::MAX,
    };
    let library = api.definitions.library();
    let line = library.line(&id).ok_or_else(unknown)?;
    let mut versions = line.versions.iter().rev().filter(|definition| definition.version.number.0 < before);
    let page: Vec<_> = versions.by_ref().take(limit).collect();
    let next = page.last().filter(|_| versions.next().is_some()).map(|d| cursor("v", d.version.number.0));
    Ok(Answer::list(page.into_iter().map(|definition| resource(definition)).collect(), next))
}

/// `DELETE /api/v1/workflows/{id}`
pub(super) async fn delete(
    State(api): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    Query::read(query.as_deref(), &[])?;
    api.definitions.library().line(&id).ok_or_else(unknown)?;
    // Deleting twice is deleting once.
    api.definitions.retire(&id, now(), |catalog| api.tell(catalog)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The version that is meant: the one that is named, else the one that stands for the workflow.
pub(super) fn version_of<'l>(line: &'l Line, version: Option<&str>) -> Result<&'l Definition, Problem> {
    let Some(version) = version else { return Ok(&line.shown) };
    // A version that came again after DELETE counts, not its predecessor.
    let found = line.versions.iter().rev().find(|definition| definition.version.version == version);
    found.map(AsRef::as_ref).ok_or_else(|| Problem::not_found(format!("the workflow has no version \"{version}\"")))
}

/// A version as the API shows it.
fn resource(definition: &Definition) -> Value {
    let version = &definition.version;
    object([
        ("id", Value::from(version.workflow.as_str())),
        ("namespace", Value::from(version.namespace.as_str())),
        ("name", Value::from(version.name.as_str())),
        ("version", Value::from(version.version.as_str())),
        ("status", Value::from(version.status.as_str())),
        ("specId", Value::Null),
        ("definition", definition.plan.definition.clone()),
        ("createdAt", Value::from(EcoString::from(version.created_at.to_rfc3339()))),
        ("updatedAt", Value::from(EcoString::from(version.updated_at.to_rfc3339()))),
    ])
}
