//! Lifecycle CloudEvents: a view of recorded history, with emitted events in between, in order of publication.

use trinity_actors::journal::Place;
use trinity_engine::execution::error_value;
use trinity_engine::history::{Fact, HistoryEvent};
use trinity_engine::ids::ExecutionId;
use trinity_engine::time::Timestamp;
use trinity_engine::value::{Map, Value};

use crate::library::Definition;
use crate::rest::history::task_pointer;
use crate::rest::respond::object;

/// Beginning of the types of lifecycle events.
pub(super) const PREFIX: &str = "io.serverlessworkflow.";

/// Whether a type is one of the engine's own events.
pub(crate) fn is_lifecycle(event_type: &str) -> bool {
    event_type.starts_with(PREFIX)
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// A type, or the beginning of one with `*` at its end.
    pub event_type: Option<String>,
    /// Those of the engine, about executions and tasks.
    pub lifecycle: bool,
    /// Those that workflows emit.
    pub emitted: bool,
}

impl Filter {
    fn accepts(&self, event_type: &str) -> bool {
        match self.event_type.as_deref() {
            None => true,
            Some(wanted) => match wanted.strip_suffix('*') {
                Some(prefix) => event_type.starts_with(prefix),
                None => event_type == wanted,
            },
        }
    }
}

/// The events that a record of one execution published, each with its number in the record. `place` makes ids of them: the
/// journal never changes, so they stay the same whenever they are read.
pub(super) fn events(
    execution: ExecutionId,
    history: &[HistoryEvent],
    definition: &Definition,
    place: Place,
    filter: &Filter,
) -> Vec<(u32, Value)> {
    let mut view = View { execution, definition, place, filter, number: 0, events: Vec::new() };
    for event in history {
        view.fact(event);
    }
    view.events
}

struct View<'a> {
    execution: ExecutionId,
    definition: &'a Definition,
    place: Place,
    filter: &'a Filter,
    number: u32,
    events: Vec<(u32, Value)>,
}

impl View<'_> {
    fn fact(&mut self, event: &HistoryEvent) {
        let at = event.time;
        match (&event.fact, event.task.is_none()) {
            (Fact::Created { .. }, _) => {
                self.workflow("io.serverlessworkflow.workflow.started.v1", at, "startedAt", |view| {
                    Some(("definition", view.identity()))
                });
            }
            (Fact::Started { .. }, _) => {
                self.task("io.serverlessworkflow.task.created.v1", event, "createdAt", |_| None);
                self.task("io.serverlessworkflow.task.started.v1", event, "startedAt", |_| None);
            }
            (Fact::Completed { .. }, true) => {
                let uri = |view: &Self| Value::from(format!("/api/v1/executions/{}", view.execution));
                self.workflow("io.serverlessworkflow.workflow.completed.v1", at, "completedAt", |view| {
                    Some(("outputUri", uri(view)))
                });
            }
            (Fact::Completed { .. }, false) => {
                let uri = |view: &Self| Value::from(format!("/api/v1/executions/{}/history", view.execution));
                self.task("io.serverlessworkflow.task.completed.v1", event, "completedAt", |view| {
                    Some(("outputUri", uri(view)))
                });
            }
            (Fact::Faulted { error }, true) => {
                self.workflow("io.serverlessworkflow.workflow.faulted.v1", at, "faultedAt", |_| {
                    Some(("error", error_value(error)))
                });
            }
            (Fact::Faulted { error }, false) => {
                self.task("io.serverlessworkflow.task.faulted.v1", event, "faultedAt", |_| {
                    Some(("error", error_value(error)))
                });
            }
            (Fact::Retried { .. }, _) => {
                self.task("io.serverlessworkflow.task.retried.v1", event, "retriedAt", |_| None)
            }
            (Fact::Cancelled, true) => {
                self.workflow("io.serverlessworkflow.workflow.cancelled.v1", at, "cancelledAt", |_| None)
            }
            (Fact::Cancelled, false) => {
                self.task("io.serverlessworkflow.task.cancelled.v1", event, "cancelledAt", |_| None)
            }
            (Fact::Suspended, true) => {
                self.workflow("io.serverlessworkflow.workflow.suspended.v1", at, "suspendedAt", |_| None)
            }
            (Fact::Suspended, false) => {
                self.task("io.serverlessworkflow.task.suspended.v1", event, "suspendedAt", |_| None)
            }
            (Fact::Resumed, true) => {
                self.workflow("io.serverlessworkflow.workflow.resumed.v1", at, "resumedAt", |_| None)
            }
            (Fact::Resumed, false) => self.task("io.serverlessworkflow.task.resumed.v1", event, "resumedAt", |_| None),
            (Fact::CorrelationStarted, _) => {
                self.workflow("io.serverlessworkflow.workflow.correlation-started.v1", at, "startedAt", |_| None)
            }
            (Fact::CorrelationCompleted { keys }, _) => {
                self.workflow("io.serverlessworkflow.workflow.correlation-completed.v1", at, "completedAt", |_| {
                    Some(("correlationKeys", keys.clone()))
                });
            }
            (Fact::Emitted { event }, _) => {
                let number = self.next();
                if self.filter.emitted
                    && self.filter.accepts(event.get("type").and_then(Value::as_str).unwrap_or_default())
                {
                    self.events.push((number, event.clone()));
                }
            }
            // The DSL has no event for them.
            (Fact::Waiting { .. } | Fact::Skipped, _) => {}
        }
    }

    fn next(&mut self) -> u32 {
        self.number += 1;
        self.number - 1
    }

    fn workflow(
        &mut self,
        event_type: &str,
        at: Timestamp,
        time_key: &str,
        more: impl FnOnce(&Self) -> Option<(&'static str, Value)>,
    ) {
        let more = |view: &Self| {
            let mut data = Map::new();
            data.insert("name", Value::from(view.qualified_name()));
            add(&mut data, more(view));
            data
        };
        self.publish(event_type, at, time_key, more);
    }

    fn task(
        &mut self,
        event_type: &str,
        event: &HistoryEvent,
        time_key: &str,
        more: impl FnOnce(&Self) -> Option<(&'static str, Value)>,
    ) {
        let data = |view: &Self| {
            let mut data = Map::new();
            data.insert("workflow", Value::from(view.qualified_name()));
            data.insert("task", Value::from(task_pointer(event, Some(&view.definition.plan))));
            add(&mut data, more(view));
            data
        };
        self.publish(event_type, event.time, time_key, data);
    }

    fn publish(&mut self, event_type: &str, at: Timestamp, time_key: &str, data: impl FnOnce(&Self) -> Map) {
        let number = self.next();
        if !self.filter.lifecycle || !self.filter.accepts(event_type) {
            return;
        }
        let mut data = data(self);
        data.insert(time_key, Value::from(at.to_rfc3339()));
        let version = &self.definition.version;
        let source = format!("/{}/{}/{}", version.namespace, version.name, version.version);
        let event = object([
            ("specversion", Value::from("1.0")),
            ("id", Value::from(format!("{}.{}.{number}", self.place.block, self.place.index))),
            ("source", Value::from(source)),
            ("type", Value::from(event_type)),
            ("subject", Value::from(self.execution.to_string())),
            ("time", Value::from(at.to_rfc3339())),
            ("datacontenttype", Value::from("application/json")),
            ("data", Value::Object(data)),
        ]);
        self.events.push((number, event));
    }

    /// `{name}-{id}.{namespace}`, as the DSL names instances.
    fn qualified_name(&self) -> String {
        let version = &self.definition.version;
        format!("{}-{}.{}", version.name, self.execution, version.namespace)
    }

    fn identity(&self) -> Value {
        let version = &self.definition.version;
        object([
            ("name", Value::from(version.name.as_str())),
            ("namespace", Value::from(version.namespace.as_str())),
            ("version", Value::from(version.version.as_str())),
        ])
    }
}

fn add(data: &mut Map, member: Option<(&'static str, Value)>) {
    if let Some((key, value)) = member {
        data.insert(key, value);
    }
}
