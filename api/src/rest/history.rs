//! Executions and their history as the API shows them.

use trinity_actors::journal::StoredExecution;
use trinity_engine::execution::error_value;
use trinity_engine::history::{Fact, HistoryEvent, Phase, Trigger};
use trinity_engine::plan::Plan;
use trinity_engine::time::Timestamp;
use trinity_engine::value::{Map, Value};

use super::respond::object;
use crate::library::Library;

/// What stands for the execution itself where a task's pointer is wanted.
const ROOT: &str = "/";

/// An execution.
pub(super) fn execution(stored: &StoredExecution, library: &Library, node: &str) -> Value {
    let (mut input, mut trigger, mut output, mut error) = (Value::Null, Value::Null, Value::Null, Value::Null);
    let mut created = stored.created;
    let mut started = None;
    for event in stored.history.iter() {
        match (&event.task, &event.fact) {
            (None, Fact::Created { input: given, trigger: by }) => {
                (input, trigger, created) = (given.clone(), trigger_value(by), event.time);
            }
            (None, Fact::Completed { output: gives }) => output = gives.clone().unwrap_or_default(),
            (None, Fact::Faulted { error: is }) => error = error_value(is),
            (Some(_), Fact::Started { .. } | Fact::Skipped) => {
                started.get_or_insert(event.time);
            }
            _ => {}
        }
    }
    let started = started.or((stored.phase != Phase::Pending).then_some(created));
    let duration = stored.ended.map(|ended| ended.micros_since(created) as f64 / 1000.0);
    let definition = library.definition(stored.definition);
    let workflow = definition.map(|definition| {
        object([
            ("namespace", Value::from(definition.version.namespace.as_str())),
            ("name", Value::from(definition.version.name.as_str())),
            ("version", Value::from(definition.version.version.as_str())),
        ])
    });
    object([
        ("id", Value::from(stored.id.to_string())),
        ("workflowId", Value::from(definition.map(|definition| definition.version.workflow.as_str()))),
        ("workflow", Value::from(workflow)),
        ("status", Value::from(stored.phase.as_str())),
        ("input", input),
        ("output", output),
        ("error", error),
        ("trigger", trigger),
        ("createdAt", time(created)),
        ("startedAt", Value::from(started.map(time))),
        ("endedAt", Value::from(stored.ended.map(time))),
        ("durationMs", Value::from(duration)),
        ("shard", Value::from(stored.id.shard().0)),
        ("node", Value::from(node)),
    ])
}

fn time(time: Timestamp) -> Value {
    Value::from(time.to_rfc3339())
}

fn trigger_value(trigger: &Trigger) -> Value {
    object([
        ("kind", Value::from(trigger.kind.as_str())),
        ("eventId", Value::from(trigger.event_id.clone())),
        ("source", Value::from(trigger.source.clone())),
    ])
}

/// The history: facts by number. Numbers of what is told elsewhere (emitted events, correlations) are left out.
pub(super) fn items(history: &[HistoryEvent], plan: Option<&Plan>) -> Vec<Value> {
    history.iter().enumerate().filter_map(|(seq, event)| item(seq, event, plan)).collect()
}

fn item(seq: usize, event: &HistoryEvent, plan: Option<&Plan>) -> Option<Value> {
    let (kind, data) = describe(&event.fact)?;
    let mut map = Map::new();
    map.insert("seq", Value::from(seq));
    map.insert("time", time(event.time));
    map.insert("task", Value::from(task_pointer(event, plan)));
    map.insert("type", Value::from(kind));
    // Where clients of other runtimes look for them.
    for key in ["output", "error"] {
        if let Some(value) = data.get(key) {
            map.insert(key, value.clone());
        }
    }
    map.insert("data", data);
    Some(Value::Object(map))
}

/// The JSON Pointer of the task.
pub(crate) fn task_pointer(event: &HistoryEvent, plan: Option<&Plan>) -> String {
    match event.task {
        None => ROOT.to_owned(),
        Some(ix) => match plan.and_then(|plan| plan.tasks.get(ix.0 as usize)) {
            Some(task) => task.reference.to_string(),
            // The definition can't be read by this version; its number is all that is known.
            None => format!("#{}", ix.0),
        },
    }
}

fn describe(fact: &Fact) -> Option<(&'static str, Value)> {
    let none = || Value::Object(Map::new());
    Some(match fact {
        Fact::Created { input, trigger } => {
            ("created", object([("input", input.clone()), ("trigger", trigger_value(trigger))]))
        }
        Fact::Started { iteration: Some(index) } => ("started", object([("iteration", Value::from(*index))])),
        Fact::Started { iteration: None } => ("started", none()),
        Fact::Completed { output: Some(output) } => ("completed", object([("output", output.clone())])),
        // Its output is its input, unchanged.
        Fact::Completed { output: None } => ("completed", none()),
        Fact::Faulted { error } => ("faulted", object([("error", error_value(error))])),
        Fact::Retried { attempt, error, at } => {
            let attempt = Value::from(*attempt);
            ("retried", object([("attempt", attempt), ("error", error_value(error)), ("at", time(*at))]))
        }
        Fact::Cancelled => ("cancelled", none()),
        Fact::Suspended => ("suspended", none()),
        Fact::Resumed => ("resumed", none()),
        Fact::Waiting { until: Some(until) } => ("waiting", object([("until", time(*until))])),
        Fact::Waiting { until: None } => ("waiting", none()),
        Fact::Skipped => ("skipped", none()),
        Fact::Emitted { .. } | Fact::CorrelationStarted | Fact::CorrelationCompleted { .. } => return None,
    })
}
