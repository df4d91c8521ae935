//! Executions: the state machine that walks a [`Plan`].
//!
//! An execution is advanced by [`Execution::start`] and [`Execution::apply`], which never wait: what they need of the
//! outside they ask for as [`ExecutionEffect`]s, what happened they record as history. The same state, input and step
//! time give the same result, so a replay repeats what was.
//!
//! | file | holds |
//! | --- | --- |
//! | `mod` | the state, the step, the commands of users |
//! | `activation` | a live task and what it waits for |
//! | `flow` | entering tasks, flow directives, the end of lists, faults on their way up |
//! | `scope` | what an expression sees; input, output and export of tasks |
//! | `try_catch` | catching and retrying |
//! | `loops`, `fork`, `listen`, `call`, `emit`, `child` | the task kinds with a life of their own |
//! | `codec` | the stored form |

mod activation;
mod call;
mod child;
mod codec;
mod emit;
mod flow;
mod fork;
mod listen;
mod loops;
mod scope;
#[cfg(test)]
mod tests;
mod try_catch;

use std::cell::Cell;

use bytes::Bytes;
use ecow::EcoString;

use crate::effect::{ExecutionEffect, Interest};
use crate::error::{StandardError, WorkflowError};
use crate::expression;
use crate::history::{Fact, HistoryEvent, Measurement, MeasurementKind, Phase, Trigger};
use crate::ids::{ActivationId, DefinitionId, ExecutionId, TaskIx};
use crate::input::{Control, ExecutionInput};
use crate::plan::{DurationSpec, Plan};
use crate::time::{Duration, Timestamp};
use crate::value::Value;
use crate::wire;

pub use activation::{Activation, State};
pub use codec::StateError;
pub(crate) use codec::{read_event, write_event};
pub(crate) use listen::{matches, read};
pub use scope::error_value;

/// How many facts the history of one execution may have; the next faults it. A loop without end meets it.
pub const HISTORY_FACTS_MAX: u32 = 100_000;
/// How many bytes one step of an execution may record and ask for, and its live state may have; what is more faults it.
/// A commit of several such steps still fits a block.
pub const STEP_BYTES_MAX: usize = 16 << 20;

/// How many steps all expressions of one step of an execution may take together (see [`expression::Limits::steps_max`]), as
/// many as twenty that reach their own limit: a second of work. An execution that computes on and on faults by it.
pub const STEP_EXPRESSIONS_MAX: u64 = 10_000_000;

/// What a step that reaches [`STEP_EXPRESSIONS_MAX`] faults by.
pub(crate) fn step_too_much() -> WorkflowError {
    let detail = format!(
        "the expressions of one step may take {STEP_EXPRESSIONS_MAX} steps together, and these take more: is there a loop without \
         an end? A wait, a call or a listen between them begins a new step"
    );
    WorkflowError::standard(StandardError::Runtime, detail)
}

/// What a step that reaches [`STEP_BYTES_MAX`] faults by.
pub(crate) fn step_too_long() -> WorkflowError {
    let detail = format!("a step may record and keep {STEP_BYTES_MAX} bytes, and this one is longer: use smaller data");
    WorkflowError::standard(StandardError::Runtime, detail)
}

/// What an execution faults by for whose step a commit has no room left beside the others.
pub(crate) fn commit_too_long() -> WorkflowError {
    let detail = "what one event sets off at a time is too long to be stored together, and this execution had no room left: \
                  use smaller data, or let fewer workflows begin with the same event";
    WorkflowError::standard(StandardError::Runtime, detail)
}

/// What the runtime says of itself in `$runtime`.
#[derive(Clone, Debug)]
pub struct RuntimeInfo {
    /// `$runtime.name`.
    pub name: EcoString,
    /// `$runtime.version`.
    pub version: EcoString,
}

/// What a step may use and where it leaves its results.
pub struct StepContext<'a> {
    /// The step's time.
    pub now: Timestamp,
    /// The values of secrets: an object by name.
    pub secrets: &'a Value,
    /// `$runtime`.
    pub runtime: &'a RuntimeInfo,
    /// Budgets of each expression.
    pub limits: &'a expression::Limits,
    /// Encoded facts ([`wire::history`]) are appended here.
    pub history: &'a mut Vec<u8>,
    /// What the outside must do once the step is durable.
    pub effects: &'a mut Vec<ExecutionEffect>,
    /// Measured facts for the analytics, each of this step alone.
    pub measurements: &'a mut Vec<Measurement>,
    /// Buffers that are kept from one step to the next.
    pub scratch: &'a mut Scratch,
    /// The steps of all expressions of the shard's step so far.
    pub spent: &'a Cell<u64>,
}

/// What a step needs for a while, kept so that the next one need not make it anew.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Of the walk.
    moves: Vec<flow::Move>,
    /// The output that was recorded last in this step.
    last_output: Option<Value>,
}

impl Scratch {
    /// To be called before each step of an execution: what refers to its history ends with it.
    pub(crate) fn clear(&mut self) {
        self.last_output = None;
    }
}

/// How an execution ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// With this output.
    Completed(Value),
    /// By this error.
    Faulted(WorkflowError),
    /// By a user or its parent.
    Cancelled,
}

/// The live state of an execution.
#[derive(Clone, PartialEq, Debug)]
pub struct Execution {
    pub(crate) id: ExecutionId,
    pub(crate) definition: DefinitionId,
    pub(crate) phase: Phase,
    pub(crate) created: Timestamp,
    /// The raw input: `$workflow.input`.
    pub(crate) input: Value,
    pub(crate) context: Value,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) facts: u32,
    pub(crate) activations_begun: u32,
    /// Live tasks, parents before their children.
    pub(crate) activations: Vec<Activation>,
    /// What came while it was suspended.
    pub(crate) stash: Vec<ExecutionInput>,
    pub(crate) outcome: Option<Outcome>,
    /// The execution and task that wait for this one's end.
    pub(crate) parent: Option<(ExecutionId, ActivationId)>,
}

/// What a new execution is.
#[derive(Clone, Debug)]
pub struct Start {
    /// Its id.
    pub id: ExecutionId,
    /// Its definition; the plan given beside it is that definition's.
    pub definition: DefinitionId,
    /// Its raw input.
    pub input: Value,
    /// What started it.
    pub trigger: Trigger,
    /// The execution and task that wait for its end.
    pub parent: Option<(ExecutionId, ActivationId)>,
    /// The JSON text of the only element of `input`, where that is at hand.
    pub element_text: Option<Bytes>,
}

impl Execution {
    /// Starts an execution and walks it as far as it goes without the outside.
    pub fn start(start: &Start, plan: &Plan, cx: &mut StepContext<'_>) -> Execution {
        let mut execution = Execution::new(start, cx.now);
        execution.begin(start, plan, cx);
        execution
    }

    /// One that has not begun.
    pub(crate) fn new(start: &Start, now: Timestamp) -> Execution {
        Execution {
            id: start.id,
            definition: start.definition,
            phase: Phase::Running,
            created: now,
            input: start.input.clone(),
            context: Value::Object(crate::value::Map::default()),
            deadline: None,
            facts: 0,
            activations_begun: 0,
            activations: Vec::new(),
            stash: Vec::new(),
            outcome: None,
            parent: start.parent,
        }
    }

    /// Begins what is new, and walks it as far as it goes without the outside.
    pub(crate) fn begin(&mut self, start: &Start, plan: &Plan, cx: &mut StepContext<'_>) {
        self.record_created(start, cx);
        self.walk_from_start(plan, cx);
        self.settle();
    }

    /// Ends what is new by `error` before it begins: its first step failed in a way that must not be tried again.
    pub(crate) fn begin_faulted(&mut self, start: &Start, error: WorkflowError, cx: &mut StepContext<'_>) {
        self.record_created(start, cx);
        self.fault_workflow(error, cx);
    }

    fn record_created(&mut self, start: &Start, cx: &mut StepContext<'_>) {
        let input = match &start.element_text {
            Some(text) => wire::history::Input::ListOf(text),
            None => wire::history::Input::Value(&start.input),
        };
        self.facts += 1;
        wire::history::created(cx.history, cx.now, input, &start.trigger);
        self.measure(None, MeasurementKind::Started, cx.now, cx);
    }

    /// Ends a live execution by `error`, whatever it is at.
    pub(crate) fn abandon(&mut self, error: WorkflowError, cx: &mut StepContext<'_>) {
        self.cancel_all(cx);
        self.fault_workflow(error, cx);
    }

    /// Feeds one input and walks on as far as it goes. An input that nobody waits for changes nothing.
    pub fn apply(&mut self, input: ExecutionInput, plan: &Plan, cx: &mut StepContext<'_>) {
        if self.phase.is_terminal() {
            return;
        }
        match input {
            ExecutionInput::Control(control) => self.control(control, plan, cx),
            other if self.phase == Phase::Suspended => {
                if other != ExecutionInput::Timers {
                    self.stash.push(other);
                }
            }
            other => self.dispatch(other, plan, cx),
        }
        self.settle();
    }

    fn dispatch(&mut self, input: ExecutionInput, plan: &Plan, cx: &mut StepContext<'_>) {
        match input {
            ExecutionInput::Timers => self.fire_timers(plan, cx),
            ExecutionInput::Call { activation, attempt, result } => {
                self.call_ended(activation, attempt, result, plan, cx);
            }
            ExecutionInput::Event { activation, event } => self.event_came(activation, event, plan, cx),
            ExecutionInput::ChildStarted { activation, child } => self.child_started(activation, child),
            ExecutionInput::Child { activation, result } => self.child_ended(activation, result, plan, cx),
            ExecutionInput::Control(control) => self.control(control, plan, cx),
        }
    }

    fn control(&mut self, control: Control, plan: &Plan, cx: &mut StepContext<'_>) {
        match control {
            Control::Cancel => {
                self.cancel_all(cx);
                self.end(Outcome::Cancelled, cx);
            }
            Control::Suspend if self.phase != Phase::Suspended => {
                self.phase = Phase::Suspended;
                self.record(None, Fact::Suspended, cx);
            }
            Control::Resume if self.phase == Phase::Suspended => {
                self.phase = Phase::Running;
                self.record(None, Fact::Resumed, cx);
                for input in std::mem::take(&mut self.stash) {
                    if !self.phase.is_terminal() {
                        self.dispatch(input, plan, cx);
                    }
                }
                if !self.phase.is_terminal() {
                    self.fire_timers(plan, cx);
                }
            }
            Control::Suspend | Control::Resume => {}
        }
    }

    /// Runs every timer that is due, earliest first.
    fn fire_timers(&mut self, plan: &Plan, cx: &mut StepContext<'_>) {
        while !self.phase.is_terminal() {
            let workflow = self.deadline.filter(|&at| at <= cx.now);
            let task = self
                .activations
                .iter()
                .filter_map(|a| a.next_wake().map(|at| (at, a.id)))
                .filter(|&(at, _)| at <= cx.now)
                .min();
            match (workflow, task) {
                (Some(limit), Some((at, id))) if at < limit => self.task_due(id, plan, cx),
                (None, Some((_, id))) => self.task_due(id, plan, cx),
                (Some(_), _) => {
                    let error = WorkflowError::standard(StandardError::Timeout, "the workflow's timeout was reached");
                    self.cancel_all(cx);
                    self.fault_workflow(error, cx);
                }
                (None, None) => return,
            }
        }
    }

    fn task_due(&mut self, id: ActivationId, plan: &Plan, cx: &mut StepContext<'_>) {
        let Some(activation) = self.activation(id) else { return };
        if activation.deadline.is_some_and(|at| at <= cx.now) {
            let error = WorkflowError::standard(StandardError::Timeout, "the task's timeout was reached");
            return self.fail_activation(id, error, plan, cx);
        }
        match activation.state {
            State::Wait { .. } => {
                let output = activation.input.clone();
                self.finish_activation(id, output, plan, cx);
            }
            State::Try(_) => self.try_due(id, plan, cx),
            State::Do
            | State::For(_)
            | State::Fork(_)
            | State::Call { .. }
            | State::Listen(_)
            | State::Child { .. } => {}
        }
    }

    /// Sets the phase that a live execution shows: waiting when nothing is at work outside, else running.
    fn settle(&mut self) {
        if self.phase.is_terminal() || self.phase == Phase::Suspended {
            return;
        }
        let at_work = self.activations.iter().any(Activation::is_at_work);
        self.phase = if at_work { Phase::Running } else { Phase::Waiting };
    }

    pub(crate) fn end(&mut self, outcome: Outcome, cx: &mut StepContext<'_>) {
        let (phase, kind) = match &outcome {
            Outcome::Completed(output) => {
                self.record_completed(None, Some(output), cx);
                (Phase::Completed, MeasurementKind::Completed)
            }
            Outcome::Faulted(error) => {
                self.record(None, Fact::Faulted { error: error.clone() }, cx);
                (Phase::Faulted, MeasurementKind::Faulted)
            }
            Outcome::Cancelled => {
                self.record(None, Fact::Cancelled, cx);
                (Phase::Cancelled, MeasurementKind::Cancelled)
            }
        };
        self.phase = phase;
        self.outcome = Some(outcome);
        self.activations.clear();
        self.measure(None, kind, self.created, cx);
    }

    pub(crate) fn fault_workflow(&mut self, error: WorkflowError, cx: &mut StepContext<'_>) {
        let error = WorkflowError { instance: Some(error.instance.unwrap_or_else(|| "/".into())), ..error };
        self.end(Outcome::Faulted(error), cx);
    }

    pub(crate) fn record(&mut self, task: Option<TaskIx>, fact: Fact, cx: &mut StepContext<'_>) {
        self.facts += 1;
        wire::history::append(cx.history, &HistoryEvent { time: cx.now, task, fact });
    }

    pub(crate) fn record_started(&mut self, task: TaskIx, iteration: Option<u32>, cx: &mut StepContext<'_>) {
        self.facts += 1;
        wire::history::started(cx.history, cx.now, task, iteration);
    }

    /// Records that something completed; `None`: with its input.
    pub(crate) fn record_completed(&mut self, task: Option<TaskIx>, output: Option<&Value>, cx: &mut StepContext<'_>) {
        self.facts += 1;
        let output = match (output, &cx.scratch.last_output) {
            (None, _) => wire::history::Output::Unchanged,
            (Some(output), Some(last)) if output.is_same(last) => wire::history::Output::AsBefore,
            (Some(output), _) => {
                cx.scratch.last_output = Some(output.clone());
                wire::history::Output::New(output)
            }
        };
        wire::history::completed(cx.history, cx.now, task, output);
    }

    pub(crate) fn measure(
        &self,
        task: Option<TaskIx>,
        kind: MeasurementKind,
        since: Timestamp,
        cx: &mut StepContext<'_>,
    ) {
        cx.measurements.push(Measurement {
            definition: self.definition,
            task,
            kind,
            time: cx.now,
            duration_micros: cx.now.micros_since(since),
            count: 1,
        });
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> ExecutionId {
        self.id
    }

    /// Its definition.
    #[must_use]
    pub fn definition(&self) -> DefinitionId {
        self.definition
    }

    /// Its phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// When it was created.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// Its raw input.
    #[must_use]
    pub fn input(&self) -> &Value {
        &self.input
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// The execution and task that wait for its end.
    #[must_use]
    pub fn parent(&self) -> Option<(ExecutionId, ActivationId)> {
        self.parent
    }

    /// Its live tasks.
    #[must_use]
    pub fn activations(&self) -> &[Activation] {
        &self.activations
    }

    /// When it must next see [`ExecutionInput::Timers`]; `None`: only something from outside moves it.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        if self.phase.is_terminal() || self.phase == Phase::Suspended {
            return None;
        }
        let tasks = self.activations.iter().filter_map(Activation::next_wake).min();
        [tasks, self.deadline].into_iter().flatten().min()
    }

    /// What a live execution has asked of the outside and still waits for: asked for again after a crash.
    #[must_use]
    pub fn outstanding(&self, plan: &Plan) -> Vec<ExecutionEffect> {
        self.activations.iter().filter_map(|activation| activation.outstanding(plan)).collect()
    }

    /// Whether [`Execution::outstanding`] has something.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.activations.iter().any(Activation::asks)
    }

    /// What its tasks listen to.
    pub fn interests(&self, plan: &Plan) -> impl Iterator<Item = (ActivationId, Vec<Interest>)> {
        self.activations.iter().filter_map(|activation| Some((activation.id, activation.interests(plan)?)))
    }

    pub(crate) fn activation(&self, id: ActivationId) -> Option<&Activation> {
        self.activations.iter().find(|a| a.id == id)
    }

    pub(crate) fn activation_mut(&mut self, id: ActivationId) -> Option<&mut Activation> {
        self.activations.iter_mut().find(|a| a.id == id)
    }

    pub(crate) fn remove_activation(&mut self, id: ActivationId) -> Option<Activation> {
        let at = self.activations.iter().position(|a| a.id == id)?;
        Some(self.activations.remove(at))
    }
}

/// The length of a duration, computed if need be.
pub(crate) fn duration_of(
    spec: &DurationSpec,
    evaluate: impl FnOnce(&crate::expression::Expression) -> Result<Value, WorkflowError>,
) -> Result<Duration, WorkflowError> {
    match spec {
        DurationSpec::Constant(duration) => Ok(*duration),
        DurationSpec::Computed(expression) => {
            let value = evaluate(expression)?;
            crate::definition::duration::from_value(&value)
                .map_err(|problem| WorkflowError::standard(StandardError::Expression, problem))
        }
    }
}
