//! History: the recorded facts about one execution, in order. Written once, into the journal; read for the API, for
//! lifecycle CloudEvents and by the analytics.

use ecow::EcoString;

use crate::error::WorkflowError;
use crate::ids::TaskIx;
use crate::time::Timestamp;
use crate::value::Value;

/// The phases of executions and tasks (DSL "Status Phases").
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Phase {
    /// Accepted, not begun.
    Pending = 0,
    /// At work.
    Running = 1,
    /// In a `wait`, a delay before a retry, or listening.
    Waiting = 2,
    /// Stopped by a user until resumed.
    Suspended = 3,
    /// Ended by a user or by its parent.
    Cancelled = 4,
    /// Ended by an error.
    Faulted = 5,
    /// Ended well.
    Completed = 6,
}

impl Phase {
    /// All of them, by number.
    pub const ALL: [Phase; 7] = [
        Phase::Pending,
        Phase::Running,
        Phase::Waiting,
        Phase::Suspended,
        Phase::Cancelled,
        Phase::Faulted,
        Phase::Completed,
    ];

    /// Whether it is final.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Phase::Cancelled | Phase::Faulted | Phase::Completed)
    }

    /// The phase with this number.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Phase> {
        Phase::ALL.get(usize::from(number)).copied()
    }

    /// Its name in the DSL and the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "pending",
            Phase::Running => "running",
            Phase::Waiting => "waiting",
            Phase::Suspended => "suspended",
            Phase::Cancelled => "cancelled",
            Phase::Faulted => "faulted",
            Phase::Completed => "completed",
        }
    }

    /// The phase of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Phase> {
        Phase::ALL.into_iter().find(|phase| phase.as_str() == name)
    }
}

/// What started an execution.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trigger {
    /// The kind of start.
    pub kind: TriggerKind,
    /// Id of the event, for [`TriggerKind::Event`]; of the parent execution, for [`TriggerKind::Workflow`].
    pub event_id: Option<EcoString>,
    /// The event's `source`.
    pub source: Option<EcoString>,
}

/// The kinds of start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TriggerKind {
    /// A request to the API.
    Api = 0,
    /// One or more events.
    Event = 1,
    /// `every`, `cron` or `after`.
    Schedule = 2,
    /// `run: workflow` of another execution.
    Workflow = 3,
}

impl TriggerKind {
    /// Its name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TriggerKind::Api => "api",
            TriggerKind::Event => "event",
            TriggerKind::Schedule => "schedule",
            TriggerKind::Workflow => "workflow",
        }
    }
}

/// A recorded fact. Its number (`seq`) is its place in the execution's history, from 0.
#[derive(Clone, PartialEq, Debug)]
pub struct HistoryEvent {
    /// When it was decided.
    pub time: Timestamp,
    /// The task it is about; `None`: the execution.
    pub task: Option<TaskIx>,
    /// What happened.
    pub fact: Fact,
}

/// What happened to an execution or a task.
#[derive(Clone, PartialEq, Debug)]
pub enum Fact {
    /// It was accepted: the first fact of an execution.
    Created {
        /// The raw input.
        input: Value,
        /// What started it.
        trigger: Trigger,
    },
    /// It began. `iteration` is the index in the nearest enclosing loop.
    Started {
        /// The index in the nearest enclosing loop, if the task is in one.
        iteration: Option<u32>,
    },
    /// It ended well. `output` is the transformed output; `None` when it equals the input (as that of `switch` and `wait`).
    Completed {
        /// The transformed output.
        output: Option<Value>,
    },
    /// It ended by an error.
    Faulted {
        /// The error.
        error: WorkflowError,
    },
    /// A `try` begins anew.
    Retried {
        /// Number of the retry, from 1.
        attempt: u32,
        /// The error that caused it.
        error: WorkflowError,
        /// When it begins.
        at: Timestamp,
    },
    /// It was ended by a user, its parent, a competing branch or a limit.
    Cancelled,
    /// A user stopped it.
    Suspended,
    /// A user let it go on.
    Resumed,
    /// It waits: until a moment, or for events.
    Waiting {
        /// Until when, if for a moment.
        until: Option<Timestamp>,
    },
    /// Its `if` was false.
    Skipped,
    /// It published an event (`emit`).
    Emitted {
        /// The event as a JSON object.
        event: Value,
    },
    /// Listening began to hold correlation keys.
    CorrelationStarted,
    /// Listening is satisfied.
    CorrelationCompleted {
        /// The keys by name.
        keys: Value,
    },
}

/// A measured fact, for the analytics, and how often it was measured in one step. Times are in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measurement {
    /// Of this definition.
    pub definition: crate::ids::DefinitionId,
    /// The task; `None`: the execution.
    pub task: Option<TaskIx>,
    /// What happened.
    pub kind: MeasurementKind,
    /// When.
    pub time: Timestamp,
    /// From start to end; 0 for a start or a retry.
    pub duration_micros: u64,
    /// How often.
    pub count: u64,
}

/// How many measurements back an equal one is looked for.
const EQUAL_WITHIN: usize = 8;

impl Measurement {
    /// Adds itself to what one step has measured: what is equal but for the count is counted together, for tasks that end at
    /// once measure the same again and again.
    pub fn join(self, measured: &mut Vec<Measurement>) {
        let equal = |other: &&mut Measurement| Measurement { count: other.count, ..self } == **other;
        match measured.iter_mut().rev().take(EQUAL_WITHIN).find(equal) {
            Some(other) => other.count += self.count,
            None => measured.push(self),
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MeasurementKind {
    /// It began (executions only).
    Started,
    /// It ended well.
    Completed,
    /// It ended by an error.
    Faulted,
    /// It was cancelled.
    Cancelled,
    /// It is tried anew.
    Retried,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_measurements_are_counted_together_and_no_others() {
        let one = |micros, kind| Measurement {
            definition: crate::ids::DefinitionId(1),
            task: None,
            kind,
            time: Timestamp(5),
            duration_micros: micros,
            count: 1,
        };
        let mut measured = Vec::new();
        for _ in 0..3 {
            one(0, MeasurementKind::Started).join(&mut measured);
            one(0, MeasurementKind::Completed).join(&mut measured);
        }
        one(4, MeasurementKind::Completed).join(&mut measured);
        assert_eq!(measured.iter().map(|m| m.count).collect::<Vec<_>>(), [3, 3, 1]);
    }
}
