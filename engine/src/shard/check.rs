//! The check that every live execution has something that will move it: a timer, a call that runs, a subscription, a child,
//! or a user who suspended it. None should ever be without; the check finds those that a defect has left so, in portions, and
//! mends what it can.

use std::collections::BTreeMap;

use super::Shard;
use super::ready::ShardEffect;
use super::step::{Step, Work};
use super::subscriptions::by_home;
use crate::effect::ExecutionEffect;
use crate::error::{StandardError, WorkflowError};
use crate::execution::{Activation, Execution, State};
use crate::history::Phase;
use crate::ids::{ActivationId, ExecutionId, ShardId};
use crate::input::{ExecutionInput, Note, PeerMessage, Subscription};
use crate::plan::Plan;

/// What a live execution was found without.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LostWakeUp {
    /// Its timer. It was set again.
    Timer,
    /// An outside call. It was made again.
    Call,
    /// The subscription of a task that listens. It was made again.
    Subscription,
    /// The child that a task waits for, or the order to start it. A start was ordered again; a child that is gone faults its
    /// task.
    Child,
    /// Anything at all. It was faulted.
    Everything,
    /// Its definition: it stays until the definition is known again.
    Definition,
    /// A state that can be read: it stays as it is.
    State,
}

impl LostWakeUp {
    /// A word for it, for logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LostWakeUp::Timer => "timer",
            LostWakeUp::Call => "call",
            LostWakeUp::Subscription => "subscription",
            LostWakeUp::Child => "child",
            LostWakeUp::Everything => "everything",
            LostWakeUp::Definition => "definition",
            LostWakeUp::State => "state",
        }
    }
}

impl Shard {
    /// Checks the next executions, so many.
    pub(super) fn check(&mut self, executions: usize, step: &mut Step) {
        let portion = self.live.after(self.checked).take(executions);
        let portion: Vec<_> = portion.map(|(id, live)| (id, live.definition, live.execution())).collect();
        // At the end it begins anew.
        self.checked = portion.last().map(|(id, ..)| *id).filter(|_| portion.len() == executions);
        let catalog = self.catalog.clone();
        let mut confirm: BTreeMap<ShardId, Vec<Subscription>> = BTreeMap::new();
        for (id, definition, execution) in portion {
            match (execution, catalog.entry(definition)) {
                (Err(_), _) => step.released.lost.push((id, LostWakeUp::State)),
                (_, None) => step.released.lost.push((id, LostWakeUp::Definition)),
                (Ok(execution), _) if execution.phase() == Phase::Suspended => {}
                (Ok(execution), Some(entry)) => self.check_one(&execution, &entry.plan, &mut confirm, step),
            }
        }
        for (to, all) in confirm {
            step.released.effects.push(ShardEffect::Note { to, note: Note::Confirm(all) });
        }
    }

    fn check_one(
        &mut self,
        execution: &Execution,
        plan: &Plan,
        confirm: &mut BTreeMap<ShardId, Vec<Subscription>>,
        step: &mut Step,
    ) {
        let id = execution.id();
        if let Some(at) = execution.next_wake()
            && !self.timers.has(at, id)
        {
            self.timers.change(id, None, Some(at));
            step.released.lost.push((id, LostWakeUp::Timer));
        }
        for task in execution.activations() {
            match &task.state {
                State::Call { attempt, .. } => {
                    let (activation, attempt) = (task.id, *attempt);
                    step.released.effects.push(ShardEffect::ConfirmCall { execution: id, activation, attempt });
                }
                State::Listen(_) => self.check_listener(id, task, plan, confirm, step),
                State::Child { child: Some(child), .. } if !self.live.contains(*child) => {
                    step.released.lost.push((id, LostWakeUp::Child));
                    let detail = format!("the execution {child} that it waits for is gone");
                    let result = Err(WorkflowError::standard(StandardError::Runtime, detail));
                    let input = ExecutionInput::Child { activation: task.id, result };
                    step.work.push_back(Work { execution: id, input });
                }
                State::Child { child: None, .. } if !self.is_start_ordered(id, task.id) => {
                    step.released.lost.push((id, LostWakeUp::Child));
                    self.order_start(id, task, plan, step);
                }
                State::Child { .. }
                | State::Do
                | State::For(_)
                | State::Fork(_)
                | State::Try(_)
                | State::Wait { .. } => {}
            }
        }
        let waits = |task: &Activation| task.asks() || matches!(task.state, State::Child { .. });
        if execution.next_wake().is_none() && !execution.activations().iter().any(waits) {
            step.released.lost.push((id, LostWakeUp::Everything));
            let error = WorkflowError::standard(StandardError::Runtime, "it was waiting for nothing");
            self.give_up(id, error, step);
        }
    }

    fn check_listener(
        &mut self,
        id: ExecutionId,
        task: &Activation,
        plan: &Plan,
        confirm: &mut BTreeMap<ShardId, Vec<Subscription>>,
        step: &mut Step,
    ) {
        let interests = task.interests(plan).unwrap_or_default();
        for (home, subscription) in by_home((id, task.id), &interests, self.catalog.shards()) {
            if home != self.id {
                confirm.entry(home).or_default().push(subscription);
            } else if self.subscriptions.add(subscription) {
                step.released.lost.push((id, LostWakeUp::Subscription));
            }
        }
    }

    /// Subscriptions that should be here. Before all shards have announced theirs, some may well be missing.
    pub(super) fn confirm(&mut self, all: Vec<Subscription>, step: &mut Step) {
        for subscription in all {
            if self.subscriptions.add(subscription) && self.is_open() {
                step.released.lost.push((subscription.execution, LostWakeUp::Subscription));
            }
        }
    }

    fn is_start_ordered(&self, id: ExecutionId, task: ActivationId) -> bool {
        self.outbox.waiting(self.id).any(|(_, message)| {
            matches!(message, PeerMessage::StartChild { parent, activation, .. } if (*parent, *activation) == (id, task))
        })
    }

    fn order_start(&mut self, parent: ExecutionId, task: &Activation, plan: &Plan, step: &mut Step) {
        if let Some(ExecutionEffect::StartChild { activation, namespace, name, version, input, wait }) =
            task.outstanding(plan)
        {
            let message = PeerMessage::StartChild { parent, activation, namespace, name, version, input, wait };
            self.send(self.id, message, step);
        }
    }

    /// A call that an execution still waits for, to be made again; `None`: it waits no more. One that was suspended meanwhile
    /// may hold the answer until it is resumed; it is checked then.
    #[must_use]
    pub fn call_again(&self, id: ExecutionId, task: ActivationId, attempt: u32) -> Option<ShardEffect> {
        let execution = self.live.get(id)?.execution().ok()?;
        if execution.phase() == Phase::Suspended {
            return None;
        }
        let task = execution.activations().iter().find(|own| own.id == task)?;
        match &task.state {
            State::Call { attempt: own, request } if *own == attempt => {
                let (activation, request) = (task.id, request.clone());
                Some(ShardEffect::Call { execution: id, activation, attempt, request })
            }
            _ => None,
        }
    }
}
