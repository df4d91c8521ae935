//! Performance: counts and exact percentiles of any span of time.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use trinity_actors::clock::now;
use trinity_analytics::performance::Query as Span;
use trinity_engine::ids::{DefinitionId, TaskIx};
use trinity_engine::value::Value;

use super::Shared;
use super::problem::Problem;
use super::query::Query;
use super::respond::Answer;

/// The span that is answered for when none is asked for.
const WINDOW: Duration = Duration::from_secs(3600);

/// `GET /api/v1/analytics/performance`
pub(super) async fn get(State(api): State<Shared>, RawQuery(query): RawQuery) -> Result<Answer, Problem> {
    let query = Query::read(query.as_deref(), &["workflowId", "task", "from", "to", "step"])?;
    let to = query.time("to")?.unwrap_or_else(now);
    let from = match query.time("from")? {
        Some(from) => from,
        None => trinity_engine::time::Timestamp(to.0.saturating_sub(WINDOW.as_micros() as u64)),
    };
    if from >= to {
        return Err(Problem::query("from", "from must lie before to"));
    }
    let step = query.span("step")?;
    if step.is_some_and(|step| step.is_zero()) {
        return Err(Problem::query("step", "step must be longer than nothing"));
    }
    let library = api.definitions.library();
    let definitions: Option<BTreeSet<DefinitionId>> = match query.get("workflowId") {
        None => None,
        Some(id) => {
            let line = library.line(id).ok_or_else(|| Problem::query("workflowId", "there is no such workflow"))?;
            Some(line.versions.iter().map(|definition| definition.version.number).collect())
        }
    };
    // Of one workflow a task is its pointer; of all, the workflow's name stands before it.
    let alone = definitions.is_some();
    let task = query.get("task").map(str::to_owned);
    let span = Span { definitions, task, from, to, step };
    let analytics = api.analytics.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let name = |definition: DefinitionId, task: TaskIx| {
            let definition = library.definition(definition)?;
            let reference = &definition.plan.tasks.get(task.0 as usize)?.reference;
            let version = &definition.version;
            Some(if alone {
                reference.to_string()
            } else {
                format!("{}/{}#{reference}", version.namespace, version.name)
            })
        };
        analytics.performance(&span, name)
    });
    let performance = answer.await.map_err(|error| Problem::internal(&error))?.map_err(|e| Problem::internal(&e))?;
    let json = serde_json::to_value(&performance).map_err(|error| Problem::internal(&error))?;
    Ok(Answer::ok(Value::from(json)))
}
