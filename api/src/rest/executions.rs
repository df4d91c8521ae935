//! Executions: start them, look at them, control them.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use ecow::EcoString;
use http::{HeaderMap, StatusCode};
use trinity_actors::handle::{ControlError, Refused};
use trinity_actors::journal::{JournalError, ListQuery, StoredExecution};
use trinity_engine::history::{Fact, Phase, Trigger, TriggerKind};
use trinity_engine::ids::{DefinitionId, ExecutionId};
use trinity_engine::input::Control;
use trinity_engine::value::{Map, Value};

use super::problem::Problem;
use super::query::{Query, cursor, wrong_cursor};
use super::respond::Answer;
use super::{Shared, body, history, workflows};
use crate::metadata::workflow::Status;

/// The longest that a client may wait for an execution.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// The longest `Idempotency-Key`.
const KEY_MAX: usize = 255;

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        match refused {
            Refused::Busy { retry_after } => {
                Problem::unavailable("the node has as much to do as it can take: try again later", retry_after)
            }
            Refused::Draining => Problem::unavailable("the node is stopping", Duration::from_secs(5)),
            Refused::Degraded(reason) => {
                Problem::unavailable(format!("the node can't take anything now: {reason}"), Duration::from_secs(10))
            }
            Refused::Definition(reason) => Problem::conflict("not-startable", reason),
            Refused::Lost => {
                let detail = "a part of the node failed on the way, and whether it was done is not known; with an \
                              Idempotency-Key (or, of an event, its id) it can be sent again without doing it twice";
                Problem::unavailable(detail, Duration::from_secs(1))
            }
        }
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Problem {
        Problem::internal(&error)
    }
}

fn unknown() -> Problem {
    Problem::not_found("there is no execution with this id, or retention has dropped it")
}

fn execution_id(text: &str) -> Result<ExecutionId, Problem> {
    text.parse().map_err(|_| unknown())
}

/// Reads files, which may take a while, beside the threads that serve; what was written lately at once.
async fn stored(api: &Shared, id: ExecutionId) -> Result<StoredExecution, Problem> {
    let reader = api.node.reader().clone();
    if let Some(found) = reader.recent(id)? {
        return Ok(found);
    }
    let read = tokio::task::spawn_blocking(move || reader.execution(id));
    read.await.map_err(|error| Problem::internal(&error))??.ok_or_else(unknown)
}

/// The resource of an execution, and whether it has ended.
async fn resource(api: &Shared, id: ExecutionId) -> Result<(Value, bool), Problem> {
    let stored = stored(api, id).await?;
    let value = history::execution(&stored, &api.definitions.library(), &api.node_name);
    Ok((value, stored.phase.is_terminal()))
}

/// `POST /api/v1/workflows/{id}/execute`
pub(super) async fn execute(
    State(api): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Answer, Problem> {
    let query = Query::read(query.as_deref(), &["wait", "version"])?;
    let wait = query.span("wait")?.unwrap_or_default();
    if wait > WAIT_MAX {
        return Err(Problem::query("wait", format!("wait must be at most {} s", WAIT_MAX.as_secs())));
    }
    let key = idempotency_key(&headers)?;
    let library = api.definitions.library();
    let line = library.line(&id).ok_or_else(|| Problem::not_found("there is no workflow with this id"))?;
    let definition = workflows::version_of(line, query.get("version"))?;
    if definition.version.status == Status::Retired {
        return Err(Problem::conflict("retired", "the workflow was deleted: nothing may start it any more"));
    }
    let bytes = body::read(&api.room, &headers, body, api.body_max).await?;
    let input = body::value(&headers, &bytes)?.unwrap_or_else(|| Value::Object(Map::new()));
    let trigger = Trigger { kind: TriggerKind::Api, event_id: None, source: None };
    start(&api, definition.version.number, input, trigger, key, wait).await
}

async fn start(
    api: &Shared,
    definition: DefinitionId,
    input: Value,
    trigger: Trigger,
    key: Option<EcoString>,
    wait: Duration,
) -> Result<Answer, Problem> {
    let id = if wait.is_zero() {
        api.node.execute(definition, input, trigger, key).await?
    } else {
        let started = api.node.start(definition, input, trigger, key).await?;
        let id = started.execution;
        tokio::select! {
            _ = started.ended(wait) => {}
            // A node that stops answers who waits: the execution goes on after the next start.
            () = api.stopping.cancelled() => {}
        }
        id
    };
    let (value, ended) = resource(api, id).await?;
    let status = if ended { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    Ok(Answer::with(status, value).at(format!("/api/v1/executions/{id}")))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<EcoString>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= KEY_MAX => Ok(Some(key.into())),
        _ => Err(Problem::bad_request(format!("Idempotency-Key has 1 to {KEY_MAX} visible ASCII characters"))),
    }
}

/// `GET /api/v1/executions/{id}`
pub(super) async fn get(
    State(api): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Answer, Problem> {
    Query::read(query.as_deref(), &[])?;
    Ok(Answer::ok(resource(&api, execution_id(&id)?).await?.0))
}

/// `GET /api/v1/executions/{id}/history`
pub(super) async fn history(
    State(api): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Answer, Problem> {
    Query::read(query.as_deref(), &[])?;
    let stored = stored(&api, execution_id(&id)?).await?;
    let library = api.definitions.library();
    let plan = library.definition(stored.definition).map(|definition| definition.plan.as_ref());
    Ok(Answer::ok(Value::from(history::items(&stored.history, plan))))
}

/// `GET /api/v1/executions`
pub(super) async fn list(State(api): State<Shared>, RawQuery(query): RawQuery) -> Result<Answer, Problem> {
    let known = ["workflowId", "status", "from", "to", "search", "limit", "cursor"];
    let query = Query::read(query.as_deref(), &known)?;
    let before = match query.cursor("x")? {
        Some(place) => Some(place.parse().map_err(|_| wrong_cursor())?),
        None => None,
    };
    let phase = match query.get("status") {
        None => None,
        Some(name) => Some(Phase::parse(name).ok_or_else(|| {
            let known: Vec<_> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
            Problem::query("status", format!("status must be one of {}, not \"{name}\"", known.join(", ")))
        })?),
    };
    let (limit, from, to) = (query.limit()?, query.time("from")?, query.time("to")?);
    if let Some(id) = query.get("search").and_then(|text| text.parse::<ExecutionId>().ok()) {
        let found = resource(&api, id).await.ok().map(|(value, _)| value);
        return Ok(Answer::list(found.into_iter().collect(), None));
    }
    let definitions = wanted_definitions(&api, &query);
    if definitions.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Answer::list(Vec::new(), None));
    }
    let wanted = ListQuery { definitions, phase, from, to, before, limit };
    let reader = api.node.reader().clone();
    let (library, node) = (api.definitions.library(), api.node_name.clone());
    let read = tokio::task::spawn_blocking(move || -> Result<_, JournalError> {
        let page = reader.list(&wanted)?;
        let mut items = Vec::with_capacity(page.items.len());
        for summary in &page.items {
            if let Some(stored) = reader.execution(summary.id)? {
                items.push(history::execution(&stored, &library, &node));
            }
        }
        Ok((items, page.next))
    });
    let (items, next) = read.await.map_err(|error| Problem::internal(&error))??;
    Ok(Answer::list(items, next.map(|id| cursor("x", id))))
}

/// The definitions that `workflowId` and `search` leave; `None`: all.
fn wanted_definitions(api: &Shared, query: &Query) -> Option<Vec<DefinitionId>> {
    let (workflow, search) = (query.get("workflowId"), query.get("search").map(str::to_lowercase));
    if workflow.is_none() && search.is_none() {
        return None;
    }
    let library = api.definitions.library();
    let wanted = library.definitions().filter(|definition| {
        let version = &definition.version;
        let name = format!("{}/{}", version.namespace, version.name).to_lowercase();
        workflow.is_none_or(|id| version.workflow == id) && search.as_ref().is_none_or(|text| name.contains(text))
    });
    Some(wanted.map(|definition| definition.version.number).collect())
}

/// `POST /api/v1/executions/{id}/cancel`
pub(super) async fn cancel(state: State<Shared>, id: Path<String>, query: RawQuery) -> Result<Answer, Problem> {
    control(state, id, query, Control::Cancel).await
}

/// `POST /api/v1/executions/{id}/suspend`
pub(super) async fn suspend(state: State<Shared>, id: Path<String>, query: RawQuery) -> Result<Answer, Problem> {
    control(state, id, query, Control::Suspend).await
}

/// `POST /api/v1/executions/{id}/resume`
pub(super) async fn resume(state: State<Shared>, id: Path<String>, query: RawQuery) -> Result<Answer, Problem> {
    control(state, id, query, Control::Resume).await
}

async fn control(
    State(api): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    control: Control,
) -> Result<Answer, Problem> {
    Query::read(query.as_deref(), &[])?;
    let id = execution_id(&id)?;
    match api.node.control(id, control).await {
        Ok(()) => Ok(Answer::with(StatusCode::ACCEPTED, resource(&api, id).await?.0)),
        Err(ControlError::Unknown) => Err(unknown()),
        Err(ControlError::Ended(phase)) => {
            let detail = format!("the execution has ended: it is {}", phase.as_str());
            Err(Problem::conflict("ended", detail))
        }
        Err(ControlError::Refused(refused)) => Err(refused.into()),
        Err(ControlError::Journal(error)) => Err(error.into()),
    }
}

/// `POST /api/v1/executions/{id}/retry`: a new execution of the same definition with the same input.
pub(super) async fn retry(
    State(api): State<Shared>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Answer, Problem> {
    Query::read(query.as_deref(), &[])?;
    let id = execution_id(&id)?;
    let stored = stored(&api, id).await?;
    if !stored.phase.is_terminal() {
        return Err(Problem::conflict("not-ended", "the execution goes on: cancel it first"));
    }
    let input = stored.history.iter().find_map(|event| match &event.fact {
        Fact::Created { input, .. } => Some(input.clone()),
        _ => None,
    });
    let source = Some(EcoString::from(format!("/api/v1/executions/{id}")));
    let trigger = Trigger { kind: TriggerKind::Api, event_id: None, source };
    let answer = start(&api, stored.definition, input.unwrap_or_default(), trigger, None, Duration::ZERO).await?;
    Ok(answer.accepted())
}
