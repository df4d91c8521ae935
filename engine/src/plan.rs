//! A plan: a definition compiled once, ready to walk. Tasks lie in one arena and name each other by index; expressions,
//! schemas and durations are compiled; the JSON Pointer of each task is written out.
//!
//! Semantics are in `docs/language.md`. [`crate::definition`] makes plans, [`crate::execution`] walks them.

use std::sync::Arc;

use ecow::EcoString;

use crate::definition::schema::Schema;
use crate::expression::{Expression, Template};
use crate::ids::TaskIx;
use crate::time::Duration;
use crate::value::Value;

/// The standard runtime arguments: the first variables of every expression, in this order. Scoped variables (`for.each`,
/// `catch.as`, …) follow from index `STANDARD_VARIABLES.len()` on, outermost first: [`Task::scope`].
pub const STANDARD_VARIABLES: [&str; 8] =
    ["context", "input", "output", "secrets", "task", "workflow", "runtime", "authorization"];

/// A compiled definition.
#[derive(Debug)]
pub struct Plan {
    /// `document.namespace`.
    pub namespace: EcoString,
    /// `document.name`.
    pub name: EcoString,
    /// `document.version`.
    pub version: EcoString,
    /// The definition as data: `$workflow.definition`.
    pub definition: Value,
    /// `input.schema`, checked on the raw input.
    pub input_schema: Option<Schema>,
    /// `input.from`.
    pub input_from: Option<Template>,
    /// `output.as`.
    pub output_as: Option<Template>,
    /// `output.schema`.
    pub output_schema: Option<Schema>,
    /// `timeout`.
    pub timeout: Option<DurationSpec>,
    /// What starts it besides the API.
    pub schedule: Option<Schedule>,
    /// Names of `use.secrets`.
    pub secrets: Vec<EcoString>,
    /// All tasks, function bodies included.
    pub tasks: Vec<Task>,
    /// All task lists; a list is the scope of flow directives.
    pub lists: Vec<TaskList>,
    /// The main `do`.
    pub root: ListIx,
}

impl Plan {
    /// The task at `ix`.
    #[must_use]
    pub fn task(&self, ix: TaskIx) -> &Task {
        &self.tasks[ix.0 as usize]
    }

    /// Whether several filters of its schedule may pass the same event.
    pub(crate) fn has_several_filters(&self) -> bool {
        matches!(&self.schedule, Some(Schedule::On { strategy, .. }) if strategy.filters().len() > 1)
    }

    /// The list at `ix`.
    #[must_use]
    pub fn list(&self, ix: ListIx) -> &TaskList {
        &self.lists[ix.0 as usize]
    }
}

/// A task list: index into [`Plan::lists`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ListIx(pub u32);

/// Tasks in declaration order.
#[derive(Debug, Default)]
pub struct TaskList {
    /// Its tasks.
    pub tasks: Vec<TaskIx>,
}

/// Where to go after a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// The next in declaration order.
    Continue,
    /// Complete the list the task is in.
    Exit,
    /// Complete the workflow.
    End,
    /// The task at this position of the same list.
    Goto(u32),
}

/// A task: what all kinds have in common.
#[derive(Debug)]
pub struct Task {
    /// Its key in the list.
    pub name: EcoString,
    /// JSON Pointer of its node, such as `/do/0/convert`.
    pub reference: EcoString,
    /// The list it is in.
    pub list: ListIx,
    /// Its position there.
    pub position: u32,
    /// Its node as data: `$task.definition`.
    pub definition: Value,
    /// Names of the scoped variables that its expressions may use, outermost first.
    pub scope: Arc<[EcoString]>,
    /// `if`, on the raw input.
    pub condition: Option<Expression>,
    /// `input.schema`.
    pub input_schema: Option<Schema>,
    /// `input.from`.
    pub input_from: Option<Template>,
    /// `output.as`.
    pub output_as: Option<Template>,
    /// `output.schema`.
    pub output_schema: Option<Schema>,
    /// `export.as`.
    pub export_as: Option<Template>,
    /// `export.schema`.
    pub export_schema: Option<Schema>,
    /// `timeout`.
    pub timeout: Option<DurationSpec>,
    /// `then`.
    pub then: Flow,
    /// What it does.
    pub kind: TaskKind,
}

/// What a task does.
#[derive(Debug)]
pub enum TaskKind {
    /// `do`: subtasks in order.
    Do(ListIx),
    /// `set`: the value (a map is an object template, a string one expression).
    Set(Template),
    /// `switch`.
    Switch(Vec<Case>),
    /// `for`.
    For(ForEach),
    /// `fork`.
    Fork {
        /// A list with one task for each branch.
        branches: ListIx,
        /// Whether the first branch to complete wins.
        compete: bool,
    },
    /// `try`.
    Try {
        /// The tried tasks.
        body: ListIx,
        /// What happens when they fail.
        catch: Catch,
    },
    /// `raise`.
    Raise(ErrorTemplate),
    /// `wait`.
    Wait(DurationSpec),
    /// `emit`.
    Emit(EventTemplate),
    /// `listen`.
    Listen(Listen),
    /// `call: http`.
    CallHttp(Box<HttpCall>),
    /// `call` of a function: its body, in a list of one task, runs with the arguments as input.
    CallFunction {
        /// `with`.
        arguments: Template,
        /// The function's task.
        body: ListIx,
    },
    /// `run: workflow`.
    RunWorkflow(RunWorkflow),
}

/// A case of a `switch`; the default case has no condition and is tried last.
#[derive(Debug)]
pub struct Case {
    /// Its key.
    pub name: EcoString,
    /// `when`.
    pub when: Option<Expression>,
    /// `then`.
    pub then: Flow,
}

/// `for`.
#[derive(Debug)]
pub struct ForEach {
    /// Variable of the item, `item` by default.
    pub each: EcoString,
    /// Variable of the index, `index` by default.
    pub at: EcoString,
    /// `in`: gives an array; evaluated once.
    pub items: Template,
    /// `while`, before every iteration on the output of the previous one. Its scope has `each` and `at`.
    pub condition: Option<Expression>,
    /// `do`.
    pub body: ListIx,
}

/// `catch`.
#[derive(Debug)]
pub struct Catch {
    /// `errors.with`: members that must be equal.
    pub filter: ErrorFilter,
    /// `as`: variable of the error, `error` by default.
    pub variable: EcoString,
    /// `when`, on the error.
    pub when: Option<Expression>,
    /// `exceptWhen`, on the error.
    pub except_when: Option<Expression>,
    /// `retry`.
    pub retry: Option<RetryPolicy>,
    /// `do`.
    pub handler: Option<ListIx>,
    /// `then`, after the error path.
    pub then: Option<Flow>,
}

/// `catch.errors.with`.
#[derive(Debug, Default, Clone)]
pub struct ErrorFilter {
    /// `type`, compared with [`crate::error::same_type`].
    pub error_type: Option<EcoString>,
    /// `status`.
    pub status: Option<u16>,
    /// `title`.
    pub title: Option<EcoString>,
    /// `detail` (`details` in old definitions).
    pub detail: Option<EcoString>,
    /// `instance`.
    pub instance: Option<EcoString>,
}

/// `retry`. Expressions see the error as `.` and as the catch variable.
#[derive(Debug)]
pub struct RetryPolicy {
    /// `when`.
    pub when: Option<Expression>,
    /// `exceptWhen`.
    pub except_when: Option<Expression>,
    /// `delay`; none: at once.
    pub delay: Option<DurationSpec>,
    /// `backoff`.
    pub backoff: Backoff,
    /// `jitter`: from, to.
    pub jitter: Option<(DurationSpec, DurationSpec)>,
    /// `limit.attempt.count`: retries after the first attempt.
    pub attempts_max: Option<u32>,
    /// `limit.attempt.duration`: limit of one attempt.
    pub attempt_duration: Option<DurationSpec>,
    /// `limit.duration`: limit over all.
    pub duration: Option<DurationSpec>,
}

/// How the delay grows with the number n ≥ 1 of the retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// `delay`.
    Constant,
    /// `delay × n`.
    Linear,
    /// `delay × 2^(n−1)`.
    Exponential,
}

/// An error to raise.
#[derive(Debug)]
pub struct ErrorTemplate {
    /// `type`.
    pub error_type: Template,
    /// `status`.
    pub status: Template,
    /// `title`.
    pub title: Option<Template>,
    /// `detail`.
    pub detail: Option<Template>,
    /// `instance`: overrides the task's pointer.
    pub instance: Option<Template>,
}

/// A duration that is known or is computed (an ISO 8601 string or a duration object).
#[derive(Debug)]
pub enum DurationSpec {
    /// Written out.
    Constant(Duration),
    /// `${ … }`.
    Computed(Expression),
}

/// `emit.event.with`.
#[derive(Debug)]
pub struct EventTemplate {
    /// All attributes by name: `type` is always there; `id`, `source`, `time` and `specversion` are generated when absent.
    pub attributes: Vec<(EcoString, Template)>,
}

/// `listen`.
#[derive(Debug)]
pub struct Listen {
    /// `to`.
    pub to: EventStrategy,
    /// `read`.
    pub read: EventRead,
    /// `foreach`.
    pub foreach: Option<ForEachEvent>,
}

impl Listen {
    /// All filters in the order of their numbers: those of `to`, then those of its `until`.
    pub fn filters(&self) -> impl Iterator<Item = &EventFilter> {
        let end = match &self.to {
            EventStrategy::Any { until: Some(Until::Events(end)), .. } => end.filters(),
            _ => &[],
        };
        self.to.filters().iter().chain(end)
    }

    /// The correlation by whose value alone a router can tell the events of a type that concern one execution from all
    /// others of that type. `None`: it can't.
    #[must_use]
    pub fn router_correlation(&self, event_type: &str) -> Option<&Correlation> {
        // `any: []` is every event.
        if self.to.filters().is_empty() {
            return None;
        }
        // An event must reach a task on one way only, so there must be one filter of the type, and none of any type.
        let mut of_type = None;
        for filter in self.filters() {
            match filter.event_type() {
                None => return None,
                Some(own) if own == event_type && of_type.is_some() => return None,
                Some(own) if own == event_type => of_type = Some(filter),
                Some(_) => {}
            }
        }
        let correlation = of_type?.correlate.first()?;
        (correlation.expect.is_some() && correlation.from.is_of_input_alone()).then_some(correlation)
    }
}

/// What of an event is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventRead {
    /// Its data.
    Data,
    /// The event as a JSON object.
    Envelope,
    /// Its data as text, unparsed.
    Raw,
}

/// `foreach` of a `listen`.
#[derive(Debug)]
pub struct ForEachEvent {
    /// Variable of the event, `item` by default.
    pub each: EcoString,
    /// Variable of the index, `index` by default.
    pub at: EcoString,
    /// `do`.
    pub body: ListIx,
    /// `output.as`: the element of the task's output; without it the event as read.
    pub output_as: Option<Template>,
    /// `output.schema`.
    pub output_schema: Option<Schema>,
    /// `export.as`.
    pub export_as: Option<Template>,
    /// `export.schema`.
    pub export_schema: Option<Schema>,
}

/// An event consumption strategy.
#[derive(Debug)]
pub enum EventStrategy {
    /// The first event that matches.
    One(EventFilter),
    /// The first event that matches any of them (none given: every event), or with `until` all until it holds.
    Any {
        /// The filters.
        filters: Vec<EventFilter>,
        /// `until`.
        until: Option<Until>,
    },
    /// One event for each filter.
    All(Vec<EventFilter>),
}

impl EventStrategy {
    /// Its filters, those of an `until` not among them.
    #[must_use]
    pub fn filters(&self) -> &[EventFilter] {
        match self {
            EventStrategy::One(filter) => std::slice::from_ref(filter),
            EventStrategy::Any { filters, .. } | EventStrategy::All(filters) => filters,
        }
    }
}

/// What ends an `any`.
#[derive(Debug)]
pub enum Until {
    /// A condition on the array of what was consumed.
    Condition(Expression),
    /// Other events, which are not part of the output.
    Events(Box<EventStrategy>),
}

/// An event filter.
#[derive(Debug)]
pub struct EventFilter {
    /// Attributes that must be equal to a literal; `type` is often the first.
    pub literals: Vec<(EcoString, Value)>,
    /// Attributes with an expression: a boolean result decides, any other must equal the attribute. `.` is the attribute's value.
    pub predicates: Vec<(EcoString, Expression)>,
    /// `correlate`.
    pub correlate: Vec<Correlation>,
}

impl EventFilter {
    /// The type it demands, if it is a literal.
    #[must_use]
    pub fn event_type(&self) -> Option<&str> {
        let (_, value) = self.literals.iter().find(|(name, _)| name == "type")?;
        value.as_str()
    }
}

/// One key of `correlate`.
#[derive(Debug)]
pub struct Correlation {
    /// Its name.
    pub key: EcoString,
    /// `from`, on the event's envelope.
    pub from: Expression,
    /// `expect`; none: the first value fixes it.
    pub expect: Option<Template>,
}

/// `call: http`.
#[derive(Debug)]
pub struct HttpCall {
    /// `method`, in upper case.
    pub method: EcoString,
    /// `endpoint`.
    pub endpoint: Endpoint,
    /// `headers`: gives an object.
    pub headers: Option<Template>,
    /// `query`: gives an object.
    pub query: Option<Template>,
    /// `body`.
    pub body: Option<Template>,
    /// `output`.
    pub output: HttpOutput,
    /// `redirect`: whether 3xx counts as success.
    pub redirect: bool,
}

/// `endpoint`.
#[derive(Debug)]
pub struct Endpoint {
    /// A literal RFC 6570 template (a constant) or an expression that gives a URI.
    pub uri: EndpointUri,
    /// `authentication`.
    pub authentication: Option<Authentication>,
}

/// The URI of an endpoint.
#[derive(Debug)]
pub enum EndpointUri {
    /// An RFC 6570 template, filled from the task's input.
    Template(EcoString),
    /// `${ … }`, taken as it is.
    Computed(Expression),
}

/// How a call authenticates. Values are templates: they may use `$secrets`.
#[derive(Debug)]
pub enum Authentication {
    /// HTTP Basic (RFC 7617).
    Basic {
        /// User name.
        username: Template,
        /// Password.
        password: Template,
    },
    /// A bearer token (RFC 6750).
    Bearer {
        /// The token.
        token: Template,
    },
    /// HTTP Digest (RFC 7616).
    Digest {
        /// User name.
        username: Template,
        /// Password.
        password: Template,
    },
    /// The properties come from a secret: `basic: { use: name }` and its like.
    Secret {
        /// The scheme.
        scheme: SecretScheme,
        /// Name of the secret.
        secret: EcoString,
    },
}

/// A scheme whose properties are in a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretScheme {
    /// `username`, `password`.
    Basic,
    /// `token`.
    Bearer,
    /// `username`, `password`.
    Digest,
}

/// What a call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpOutput {
    /// The body as base64 text.
    Raw,
    /// The body, parsed when it is JSON.
    Content,
    /// Request, status, headers and content.
    Response,
}

/// `run: workflow`.
#[derive(Debug)]
pub struct RunWorkflow {
    /// `namespace`.
    pub namespace: EcoString,
    /// `name`.
    pub name: EcoString,
    /// `version`; `None` is `latest`.
    pub version: Option<EcoString>,
    /// `input`: the child's raw input; without it the task's input.
    pub input: Option<Template>,
    /// `await`.
    pub wait: bool,
    /// `return: none` drops the child's output.
    pub discard_output: bool,
}

/// `schedule`.
#[derive(Debug)]
pub enum Schedule {
    /// An interval.
    Every(Duration),
    /// A five-field cron expression, in UTC, validated.
    Cron(EcoString),
    /// That long after each completion; the first run starts when the workflow is activated.
    After(Duration),
    /// Events.
    On {
        /// Which.
        strategy: EventStrategy,
        /// What of them is the input.
        read: EventRead,
    },
}
