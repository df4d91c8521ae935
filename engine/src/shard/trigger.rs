//! Starting an execution by one event (`schedule.on` with `one`, or `any` without `until`).

use std::borrow::Cow;
use std::cell::Cell;

use bytes::Bytes;
use ecow::EcoString;

use super::catalog::Catalog;
use super::starters::Starter;
use crate::error::{StandardError, WorkflowError};
use crate::event::CloudEvent;
use crate::execution::{self, RuntimeInfo};
use crate::expression::{Context, Expression, Limits};
use crate::plan::{EventRead, Plan, STANDARD_VARIABLES, Schedule};
use crate::time::Timestamp;
use crate::value::{Array, Map, Value};

/// What filters may see besides the event.
pub(super) struct Surroundings<'a> {
    pub catalog: &'a Catalog,
    pub runtime: &'a RuntimeInfo,
    pub limits: &'a Limits,
    pub now: Timestamp,
    /// The steps of all expressions of the shard's step so far.
    pub spent: &'a Cell<u64>,
}

impl Surroundings<'_> {
    /// The input of the execution that the event starts by this filter; `None` when it does not pass. A filter that fails
    /// does not pass: faults of scheduling stay invisible.
    pub fn input(&self, starter: Starter, plan: &Plan, event: &CloudEvent) -> Option<Value> {
        let Some(Schedule::On { strategy, read }) = &plan.schedule else { return None };
        if let Some(filter) = starter.filter {
            let filter = strategy.filters().get(usize::from(filter))?;
            let evaluate = |expression: &Expression, value: &Value| self.evaluate(expression, value, plan);
            let mut correlations: Vec<(EcoString, Value)> = Vec::new();
            for correlation in &filter.correlate {
                if let Some(expect) = &correlation.expect {
                    let variables = |index: usize| Cow::Owned(self.variable(index, plan));
                    let cx = self.context(&variables);
                    correlations.push((correlation.key.clone(), expect.evaluate(&Value::Null, &cx).ok()?));
                }
            }
            if !execution::matches(filter, event, &mut correlations, &evaluate).ok()? {
                return None;
            }
        }
        let mut events = Array::with_capacity(1);
        events.push(execution::read(event, *read));
        Some(Value::Array(events))
    }

    /// The text of the only element of that input, where it is at hand.
    pub fn element_text(&self, plan: &Plan, event: &CloudEvent) -> Option<Bytes> {
        match &plan.schedule {
            Some(Schedule::On { read: EventRead::Data, .. }) => event.data_text.clone(),
            _ => None,
        }
    }

    fn evaluate(&self, expression: &Expression, value: &Value, plan: &Plan) -> Result<Value, WorkflowError> {
        let variables = |index: usize| Cow::Owned(self.variable(index, plan));
        let cx = self.context(&variables);
        let failed = |message| WorkflowError::standard(StandardError::Expression, message);
        expression.evaluate(value, &cx).map_err(|error| failed(error.message()))
    }

    fn context<'c>(&'c self, variables: &'c dyn Fn(usize) -> Cow<'c, Value>) -> Context<'c> {
        Context { now: self.now, limits: self.limits, variables, spent: Some(self.spent) }
    }

    fn variable(&self, index: usize, plan: &Plan) -> Value {
        let mut map = Map::default();
        match STANDARD_VARIABLES.get(index).copied() {
            Some("secrets") => {
                for name in &plan.secrets {
                    if let Some(value) = self.catalog.secrets().get(name) {
                        map.insert(name.clone(), value.clone());
                    }
                }
            }
            Some("runtime") => {
                map.insert("name", Value::String(self.runtime.name.clone()));
                map.insert("version", Value::String(self.runtime.version.clone()));
                map.insert("metadata", Value::Object(Map::default()));
            }
            _ => return Value::Null,
        }
        Value::Object(map)
    }
}
