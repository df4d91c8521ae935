//! What an expression sees, and the way of data into and out of a task (DSL "Data Flow").

use std::borrow::Cow;

use ecow::EcoString;

use super::{Execution, StepContext};
use crate::definition::schema::Schema;
use crate::error::{StandardError, WorkflowError};
use crate::expression::{Context, EvaluateError, Expression, Template};
use crate::history::Phase;
use crate::ids::ActivationId;
use crate::plan::{Plan, STANDARD_VARIABLES, Task};
use crate::time::Timestamp;
use crate::value::{Map, Value};

/// Where an expression stands: the task, its place among the live ones, and the values that its variables show.
pub(crate) struct Scope<'a> {
    pub execution: &'a Execution,
    pub plan: &'a Plan,
    pub cx: &'a StepContext<'a>,
    /// The task; `None`: the workflow itself.
    pub task: Option<&'a Task>,
    /// The activation whose list the task is in.
    pub parent: Option<ActivationId>,
    /// When the task began.
    pub started: Timestamp,
    /// The raw input of the task.
    pub raw_input: &'a Value,
    /// `$input`.
    pub input: Option<&'a Value>,
    /// `$task.output`.
    pub raw_output: Option<&'a Value>,
    /// `$output`.
    pub output: Option<&'a Value>,
    /// `$authorization`.
    pub authorization: Option<&'a Value>,
    /// `$context`, where it is not that of the place.
    pub context: Option<&'a Value>,
    /// Variables of the task itself, such as the error of a `catch`, innermost.
    pub own: &'a [(EcoString, Value)],
}

/// How data leaves a task, or one round of it (DSL "Data Flow").
pub(crate) struct Leaving<'a> {
    pub output_as: Option<&'a Template>,
    pub output_schema: Option<&'a Schema>,
    pub export_as: Option<&'a Template>,
    pub export_schema: Option<&'a Schema>,
    /// What the output is called in an error.
    pub name: &'static str,
}

impl Scope<'_> {
    /// The result of an expression on `input`.
    pub fn evaluate(&self, expression: &Expression, input: &Value) -> Result<Value, WorkflowError> {
        let variables = |index: usize| self.variable(index);
        let context = self.context(&variables);
        expression.evaluate(input, &context).map_err(|error| self.error(&error, expression.source()))
    }

    fn context<'c>(&'c self, variables: &'c dyn Fn(usize) -> Cow<'c, Value>) -> Context<'c> {
        Context { now: self.cx.now, limits: self.cx.limits, variables, spent: Some(self.cx.spent) }
    }

    /// Whether an expression on `input` is true in the sense of jq.
    pub fn holds(&self, expression: &Expression, input: &Value) -> Result<bool, WorkflowError> {
        Ok(self.evaluate(expression, input)?.is_truthy())
    }

    /// The result of a template on `input`.
    pub fn fill(&self, template: &Template, input: &Value) -> Result<Value, WorkflowError> {
        if let Template::Constant(value) = template {
            return Ok(value.clone());
        }
        let variables = |index: usize| self.variable(index);
        let context = self.context(&variables);
        template.evaluate(input, &context).map_err(|error| self.error(&error, ""))
    }

    /// What leaves a task, or one round of it: `raw` transformed and checked, and the context that it exports. `plain`
    /// leaves where nothing transforms `raw`. The names are those of the checks' errors.
    pub fn leave(
        self,
        leaving: &Leaving<'_>,
        raw: &Value,
        plain: Value,
    ) -> Result<(Value, Option<Value>), WorkflowError> {
        let output = match leaving.output_as {
            Some(template) => self.fill(template, raw)?,
            None => plain,
        };
        check(leaving.output_schema, &output, leaving.name)?;
        let Some(export) = leaving.export_as else { return Ok((output, None)) };
        let context = Scope { output: Some(&output), ..self }.fill(export, &output)?;
        check(leaving.export_schema, &context, "exported context")?;
        Ok((output, Some(context)))
    }

    fn error(&self, error: &EvaluateError, source: &str) -> WorkflowError {
        let detail = if source.is_empty() { error.message() } else { format!("{}, in: {source}", error.message()) };
        let mut error = WorkflowError::standard(StandardError::Expression, detail);
        error.instance = self.task.map(|task| task.reference.clone());
        error
    }

    /// A runtime argument; what stands somewhere already is borrowed, the rest is made only for who asks.
    fn variable(&self, index: usize) -> Cow<'_, Value> {
        let made = match STANDARD_VARIABLES.get(index).copied() {
            Some("context") => return lent(self.context.or_else(|| Some(self.execution.context_at(self.parent)))),
            Some("input") => return lent(self.input),
            Some("output") => return lent(self.output),
            Some("secrets") => self.secrets(),
            Some("task") => self.task_descriptor(),
            Some("workflow") => self.workflow_descriptor(),
            Some("runtime") => object([
                ("name", Value::String(self.cx.runtime.name.clone())),
                ("version", Value::String(self.cx.runtime.version.clone())),
                ("metadata", Value::Object(Map::default())),
            ]),
            Some(_) => return lent(self.authorization),
            None => return lent(self.scoped(index - STANDARD_VARIABLES.len())),
        };
        Cow::Owned(made)
    }

    fn scoped(&self, index: usize) -> Option<&Value> {
        let outer = self.task.map_or(&[][..], |task| &task.scope);
        let Some(name) = outer.get(index) else {
            // The task's own variables follow those around it.
            return self.own.get(index - outer.len()).map(|(_, value)| value);
        };
        let own = self.own.iter().rev().find(|(own, _)| own == name);
        own.map(|(_, value)| value).or_else(|| self.execution.scoped_variable(self.parent, name))
    }

    /// Only the secrets that the definition declares.
    fn secrets(&self) -> Value {
        let declared = self.plan.secrets.iter().filter_map(|name| {
            let value = self.cx.secrets.get(name)?;
            Some((name.clone(), value.clone()))
        });
        Value::Object(declared.collect())
    }

    fn task_descriptor(&self) -> Value {
        let Some(task) = self.task else { return Value::Null };
        let mut descriptor = object([
            ("name", Value::String(task.name.clone())),
            ("reference", Value::String(task.reference.clone())),
            ("definition", task.definition.clone()),
            ("input", self.raw_input.clone()),
            ("output", self.raw_output.cloned().unwrap_or_default()),
            ("startedAt", moment(self.started)),
        ]);
        // The definition's own keys stand beside the descriptor's, for the DSL's examples use `$task.with`.
        if let (Value::Object(descriptor), Value::Object(definition)) = (&mut descriptor, &task.definition) {
            for (key, value) in definition.iter() {
                if descriptor.get(key).is_none() {
                    descriptor.insert(key.clone(), value.clone());
                }
            }
        }
        descriptor
    }

    fn workflow_descriptor(&self) -> Value {
        object([
            ("id", Value::from(self.execution.id.to_string().as_str())),
            ("definition", self.plan.definition.clone()),
            ("input", self.execution.input.clone()),
            ("startedAt", moment(self.execution.created)),
        ])
    }
}

impl Execution {
    /// The context that a task in the list of `parent` sees.
    pub(crate) fn context_at(&self, parent: Option<ActivationId>) -> &Value {
        let mut at = parent;
        while let Some(activation) = at.and_then(|id| self.activation(id)) {
            if let Some(context) = &activation.context {
                return context;
            }
            at = activation.parent;
        }
        &self.context
    }

    /// Replaces the context that a task in the list of `parent` sees.
    pub(crate) fn set_context(&mut self, parent: Option<ActivationId>, context: Value) {
        let mut at = parent;
        while let Some(id) = at {
            let Some(activation) = self.activation_mut(id) else { break };
            if activation.context.is_some() {
                activation.context = Some(context);
                return;
            }
            at = activation.parent;
        }
        self.context = context;
    }

    fn scoped_variable(&self, parent: Option<ActivationId>, name: &str) -> Option<&Value> {
        let mut at = parent;
        while let Some(activation) = at.and_then(|id| self.activation(id)) {
            if let Some((_, value)) = activation.variables.iter().rev().find(|(own, _)| own == name) {
                return Some(value);
            }
            at = activation.parent;
        }
        None
    }

    /// A scope of the workflow itself: its `input.from`, `output.as` and `timeout`.
    pub(crate) fn workflow_scope<'a>(&'a self, plan: &'a Plan, cx: &'a StepContext<'a>) -> Scope<'a> {
        Scope {
            execution: self,
            plan,
            cx,
            task: None,
            parent: None,
            started: self.created,
            raw_input: &self.input,
            input: None,
            raw_output: None,
            output: None,
            authorization: None,
            context: None,
            own: &[],
        }
    }

    /// A scope of a task that is about to begin in the list of `parent`.
    pub(crate) fn task_scope<'a>(
        &'a self,
        plan: &'a Plan,
        cx: &'a StepContext<'a>,
        task: &'a Task,
        parent: Option<ActivationId>,
        raw_input: &'a Value,
    ) -> Scope<'a> {
        Scope { task: Some(task), parent, raw_input, started: cx.now, ..self.workflow_scope(plan, cx) }
    }

    /// A scope of a live task.
    pub(crate) fn activation_scope<'a>(
        &'a self,
        plan: &'a Plan,
        cx: &'a StepContext<'a>,
        activation: &'a super::Activation,
    ) -> Scope<'a> {
        Scope {
            task: Some(plan.task(activation.task)),
            parent: activation.parent,
            raw_input: &activation.raw_input,
            input: Some(&activation.input),
            started: activation.started,
            own: &activation.variables,
            ..self.workflow_scope(plan, cx)
        }
    }

    /// Whether it can still be walked.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Cancelled | Phase::Faulted | Phase::Completed)
    }
}

/// Checks `value`; `what` names it in the error.
pub(crate) fn check(schema: Option<&Schema>, value: &Value, what: &str) -> Result<(), WorkflowError> {
    let Some(schema) = schema else { return Ok(()) };
    schema.validate(value).map_err(|violations| {
        let mut detail = format!("the {what} does not match its schema");
        for violation in violations.iter().take(5) {
            let place = if violation.instance.is_empty() { "/" } else { &violation.instance };
            detail.push_str(&format!("; at {place}: {}", violation.message));
        }
        WorkflowError::standard(StandardError::Validation, detail)
    })
}

/// A value that is there, or `null`.
fn lent(value: Option<&Value>) -> Cow<'_, Value> {
    value.map_or(Cow::Owned(Value::Null), Cow::Borrowed)
}

/// A moment as the DSL describes it: `{iso8601, epoch: {seconds, milliseconds}}`.
fn moment(at: Timestamp) -> Value {
    let millis = i64::try_from(at.millis()).unwrap_or(i64::MAX);
    object([
        ("iso8601", Value::from(at.to_rfc3339().as_str())),
        ("epoch", object([("seconds", Value::Int(millis / 1_000)), ("milliseconds", Value::Int(millis))])),
    ])
}

/// An object of these members.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(key, value)| (EcoString::from(key), value)).collect())
}

/// An error as data (RFC 9457), as `catch` and the API show it.
#[must_use]
pub fn error_value(error: &WorkflowError) -> Value {
    let mut map = Map::default();
    map.insert("type", Value::String(error.error_type.clone()));
    map.insert("status", Value::Int(i64::from(error.status)));
    for (key, text) in [("title", &error.title), ("detail", &error.detail), ("instance", &error.instance)] {
        if let Some(text) = text {
            map.insert(key, Value::String(text.clone()));
        }
    }
    Value::Object(map)
}
