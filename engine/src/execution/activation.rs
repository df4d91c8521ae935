//! A live task: what it was given and what it waits for.

use std::collections::VecDeque;

use ecow::EcoString;

use crate::effect::{ExecutionEffect, HttpRequest, Interest};
use crate::error::WorkflowError;
use crate::ids::{ActivationId, ExecutionId, TaskIx};
use crate::plan::{Plan, TaskKind};
use crate::time::Timestamp;
use crate::value::{Array, Value};

/// A live task of an execution.
#[derive(Clone, PartialEq, Debug)]
pub struct Activation {
    /// Its number.
    pub id: ActivationId,
    /// The task.
    pub task: TaskIx,
    /// The activation whose list the task is in; `None`: the main `do`.
    pub parent: Option<ActivationId>,
    /// The raw input.
    pub raw_input: Value,
    /// The transformed input.
    pub input: Value,
    /// When it began.
    pub started: Timestamp,
    /// When its timeout is reached.
    pub deadline: Option<Timestamp>,
    /// Variables that it gives to the tasks inside.
    pub variables: Vec<(EcoString, Value)>,
    /// The context of the tasks inside, where it is their own (a branch of a `fork`).
    pub context: Option<Value>,
    /// How often a list inside was entered anew (iterations, jumps back): a part of idempotency keys.
    pub passes: u32,
    /// What it is at.
    pub state: State,
}

/// What a live task is at.
#[derive(Clone, PartialEq, Debug)]
pub enum State {
    /// Its list runs (`do`, a function's body, a branch).
    Do,
    /// An iteration runs.
    For(ForState),
    /// Branches run.
    Fork(ForkState),
    /// The tried list runs, a retry is due, or the handler runs.
    Try(TryState),
    /// Until a moment.
    Wait {
        /// The moment.
        until: Timestamp,
    },
    /// An outside call runs.
    Call {
        /// Number of the attempt.
        attempt: u32,
        /// The request.
        request: HttpRequest,
    },
    /// Events are awaited or worked on.
    Listen(ListenState),
    /// A child execution runs.
    Child {
        /// The child, once it was created.
        child: Option<ExecutionId>,
        /// Its raw input.
        input: Value,
    },
}

/// Of a `for`.
#[derive(Clone, PartialEq, Debug)]
pub struct ForState {
    /// What is walked.
    pub items: Array,
    /// The iteration that runs.
    pub index: u32,
}

/// Of a `fork`.
#[derive(Clone, PartialEq, Debug)]
pub struct ForkState {
    /// For each branch its output and its context, once it has ended well.
    pub done: Vec<Option<(Value, Value)>>,
    /// The last error of a branch, where branches compete.
    pub failed: u32,
}

/// Of a `try`.
#[derive(Clone, PartialEq, Debug)]
pub struct TryState {
    /// Retries so far.
    pub retries: u32,
    /// When the present attempt's own limit is reached.
    pub attempt_deadline: Option<Timestamp>,
    /// What it is at.
    pub stage: TryStage,
}

/// What a `try` is at.
#[derive(Clone, PartialEq, Debug)]
pub enum TryStage {
    /// The tried list runs.
    Body,
    /// A retry begins at this moment.
    Delay {
        /// The moment.
        until: Timestamp,
    },
    /// `catch.do` runs.
    Handler {
        /// The error it handles.
        error: WorkflowError,
    },
}

/// Of a `listen`.
#[derive(Clone, PartialEq, Debug)]
pub struct ListenState {
    /// What was consumed, as read; with `foreach` the elements of the output.
    pub consumed: Array,
    /// For `all`: the element of each filter, once it matched.
    pub matched: Vec<Option<Value>>,
    /// For an `until` of events that needs all: which have matched.
    pub until_matched: Vec<bool>,
    /// Correlation values by key.
    pub correlations: Vec<(EcoString, Value)>,
    /// Events (as read) that wait for their `foreach`.
    pub queue: VecDeque<Value>,
    /// Number of the event that `foreach` works on.
    pub index: u32,
    /// Whether `foreach` works on one.
    pub busy: bool,
    /// Whether no more events are taken: the task ends with the queue.
    pub closed: bool,
}

impl Activation {
    /// When its timers are next due.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        let own = match &self.state {
            State::Wait { until } => Some(*until),
            State::Try(state) => match state.stage {
                TryStage::Delay { until } => Some(until),
                TryStage::Body => state.attempt_deadline,
                TryStage::Handler { .. } => None,
            },
            State::Do
            | State::For(_)
            | State::Fork(_)
            | State::Call { .. }
            | State::Listen(_)
            | State::Child { .. } => None,
        };
        [own, self.deadline].into_iter().flatten().min()
    }

    /// Whether something is at work for it outside (a call, a child), rather than time or an event being awaited.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        matches!(self.state, State::Call { .. } | State::Child { .. })
    }

    /// Whether [`Activation::outstanding`] has something, told without the plan.
    #[must_use]
    pub fn asks(&self) -> bool {
        match &self.state {
            State::Call { .. } | State::Child { child: None, .. } => true,
            State::Listen(state) => !state.closed,
            State::Do
            | State::For(_)
            | State::Fork(_)
            | State::Try(_)
            | State::Wait { .. }
            | State::Child { child: Some(_), .. } => false,
        }
    }

    /// What it listens to.
    #[must_use]
    pub fn interests(&self, plan: &Plan) -> Option<Vec<Interest>> {
        match (&self.state, &plan.task(self.task).kind) {
            (State::Listen(state), TaskKind::Listen(listen)) if !state.closed => {
                Some(super::listen::interests(listen, state))
            }
            _ => None,
        }
    }

    /// What it has asked of the outside and waits for.
    #[must_use]
    pub fn outstanding(&self, plan: &Plan) -> Option<ExecutionEffect> {
        match (&self.state, &plan.task(self.task).kind) {
            (State::Call { attempt, request }, _) => {
                Some(ExecutionEffect::Call { activation: self.id, attempt: *attempt, request: request.clone() })
            }
            (State::Listen(_), _) => {
                let subscribe = |interests| ExecutionEffect::Subscribe { activation: self.id, interests };
                self.interests(plan).map(subscribe)
            }
            (State::Child { child: None, input }, TaskKind::RunWorkflow(run)) => Some(ExecutionEffect::StartChild {
                activation: self.id,
                namespace: run.namespace.clone(),
                name: run.name.clone(),
                version: run.version.clone(),
                input: input.clone(),
                wait: run.wait,
            }),
            _ => None,
        }
    }
}
