//! Starting executions, moving them, and seeing to what they ask for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use ecow::EcoString;

use super::codec::ShardRecord;
use super::live::{Live, write_tail};
use super::ready::{Reply, ShardEffect};
use super::schedule::Due;
use super::step::{Step, Work};
use super::subscriptions::by_home;
use super::{COMMIT_BYTES_MAX, DefinitionState, Shard};
use crate::effect::ExecutionEffect;
use crate::error::{StandardError, WorkflowError};
use crate::event::CloudEvent;
use crate::execution::{Execution, Outcome, STEP_BYTES_MAX, Start, State, StepContext, commit_too_long, step_too_long};
use crate::history::{Trigger, TriggerKind};
use crate::ids::{ActivationId, DefinitionId, ExecutionId, ShardId};
use crate::input::{Control, ExecutionInput, Note, PeerMessage, Subscription};
use crate::plan::{Plan, Schedule};
use crate::value::Value;
use crate::wire::record::{ExecutionHeader, write_execution};

/// A new execution.
pub(super) struct Beginning {
    pub definition: DefinitionId,
    pub input: Value,
    /// The JSON text of the only element of `input`, where that is at hand.
    pub element_text: Option<Bytes>,
    pub trigger: Trigger,
    pub parent: Option<(ExecutionId, ActivationId)>,
    pub owner: Owner,
}

impl Beginning {
    /// One that nobody waits for.
    pub fn new(definition: DefinitionId, input: Value, trigger: Trigger) -> Beginning {
        Beginning { definition, input, element_text: None, trigger, parent: None, owner: Owner::Nobody }
    }
}

/// Who waits for the end of a new execution besides its parent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Nobody,
    /// An `after` that goes on when it has ended.
    Schedule,
}

impl Shard {
    /// Starts an execution and walks it as far as it goes; `None` when its definition is not known.
    pub(super) fn begin(&mut self, beginning: Beginning, step: &mut Step) -> Option<ExecutionId> {
        let Beginning { definition, input, element_text, trigger, parent, owner } = beginning;
        let catalog = self.catalog.clone();
        let plan = &catalog.entry(definition)?.plan;
        let id = ExecutionId::new(step.now, self.id, self.sequence);
        self.sequence += 1;
        if owner == Owner::Schedule {
            self.set_schedule(definition, Some(Due::Ended(id)), step);
        }
        let mut start = Start { id, definition, input, trigger, parent, element_text };
        let mut execution = Execution::new(&start, step.now);
        let begun = self.guarded(step, |cx| execution.begin(&start, plan, cx));
        if let Err(error) = begun.and_then(|()| self.settle(None, &execution, plan, COMMIT_BYTES_MAX, step)) {
            execution = Execution::new(&start, step.now);
            self.unguarded(step, |cx| execution.begin_faulted(&start, error.clone(), cx));
            if step.records.len() + step.history.len() > COMMIT_BYTES_MAX {
                // Not even its input has room.
                start = Start { input: Value::Null, element_text: None, ..start };
                execution = Execution::new(&start, step.now);
                self.unguarded(step, |cx| execution.begin_faulted(&start, error, cx));
            }
            // What has ended keeps nothing that could be too long.
            let _ = self.settle(None, &execution, plan, usize::MAX, step);
        }
        Some(id)
    }

    /// Feeds one input to a live execution; one that lives no more needs none.
    pub(super) fn advance(&mut self, id: ExecutionId, input: ExecutionInput, step: &mut Step) {
        let Some(live) = self.live.get(id) else { return };
        let catalog = self.catalog.clone();
        let Some(entry) = catalog.entry(live.definition) else { return };
        let plan = &entry.plan;
        // Only a defect can make its own state unreadable; the execution then stays as it is, and the check for
        // executions without a wake-up finds it.
        let Ok(before) = live.execution() else { return };
        let mut execution = before.clone();
        let moved = self.guarded(step, |cx| {
            execution.apply(input, plan, cx);
        });
        if moved.is_ok() && step.history.is_empty() && step.effects.is_empty() && execution == before {
            return;
        }
        if let Err(error) = moved.and_then(|()| self.settle(Some(&before), &execution, plan, COMMIT_BYTES_MAX, step)) {
            self.give_up(id, error, step);
        }
    }

    /// Faults a live execution.
    pub(super) fn give_up(&mut self, id: ExecutionId, error: WorkflowError, step: &mut Step) {
        let Some(Ok(before)) = self.live.get(id).as_ref().map(Live::execution) else { return };
        let catalog = self.catalog.clone();
        let Some(entry) = catalog.entry(before.definition()) else { return };
        let mut execution = before.clone();
        self.unguarded(step, |cx| execution.abandon(error, cx));
        // What has ended keeps nothing that could be too long.
        let _ = self.settle(Some(&before), &execution, &entry.plan, usize::MAX, step);
    }

    /// Runs a step of an execution. A panic in it is a defect of the engine: it harms this execution alone, and so does a
    /// step that records or asks for too much.
    fn guarded(&mut self, step: &mut Step, advance: impl FnOnce(&mut StepContext<'_>)) -> Result<(), WorkflowError> {
        caught(|| self.unguarded(step, advance)).inspect_err(|_| step.released.panics += 1)?;
        let asked: usize = step.effects.iter().map(ExecutionEffect::size).sum();
        if step.history.len().max(asked) > STEP_BYTES_MAX { Err(step_too_long()) } else { Ok(()) }
    }

    fn unguarded(&self, step: &mut Step, advance: impl FnOnce(&mut StepContext<'_>)) {
        step.history.clear();
        step.effects.clear();
        step.measured.clear();
        step.scratch.clear();
        advance(&mut StepContext {
            now: step.now,
            secrets: self.catalog.secrets(),
            runtime: &self.settings.runtime,
            limits: &self.settings.limits,
            history: &mut step.history,
            effects: &mut step.effects,
            measurements: &mut step.measured,
            scratch: &mut step.scratch,
            spent: &step.spent,
        });
    }

    /// Records an execution after a step of it, keeps it or tells who waits for its end, and sees to what it asks for.
    /// `before` is how it was, unless it begins; the records of the whole step may become `bytes_max` long.
    ///
    /// # Errors
    /// It goes on, and its state is too long to be kept, or the records become too long; nothing was done.
    fn settle(
        &mut self,
        before: Option<&Execution>,
        execution: &Execution,
        plan: &Plan,
        bytes_max: usize,
        step: &mut Step,
    ) -> Result<(), WorkflowError> {
        let id = execution.id();
        let header = ExecutionHeader {
            id,
            definition: execution.definition(),
            phase: execution.phase(),
            begins: before.is_none(),
            ends: execution.phase().is_terminal(),
            time: step.now,
        };
        let (history, start, mut tail) = (&step.history, step.records.len(), 0);
        write_execution(
            &mut step.records,
            &header,
            |out| out.extend_from_slice(history),
            |out| {
                tail = out.len();
                // How it ended is the last fact of its history.
                if !header.ends {
                    write_tail(out, execution);
                }
            },
        );
        // A state that is longer is not whole.
        if step.records.len() - tail > STEP_BYTES_MAX {
            step.records.truncate(start);
            return Err(step_too_long());
        }
        // An event that it emits is recorded for a sink and for a shard.
        let asked: usize = step.effects.iter().map(|effect| 2 * effect.size()).sum();
        if step.records.len().saturating_add(asked) > bytes_max {
            step.records.truncate(start);
            return Err(commit_too_long());
        }
        for measurement in step.measured.drain(..) {
            measurement.join(&mut step.released.measurements);
        }
        if !header.ends {
            let wake = self.live.insert(id, header.definition, &step.records[tail..]);
            let wake = wake.expect("what was just written can be read");
            self.timers.change(id, wake, execution.next_wake());
        }
        // One that is given up over a defect may have none that can be told; a subscription that is left harms nobody.
        let _ = caught(|| self.resubscribe(before, execution, plan, step));
        for effect in std::mem::take(&mut step.effects) {
            self.effect(id, effect, step);
        }
        if header.ends {
            self.ended(execution, header.begins, step);
        }
        Ok(())
    }

    fn ended(&mut self, execution: &Execution, begins: bool, step: &mut Step) {
        let id = execution.id();
        if !begins {
            let wake = self.live.remove(id);
            self.timers.change(id, wake, None);
        }
        if !self.watchers.is_empty() {
            for reply in self.watchers.remove(&id).unwrap_or_default() {
                step.released.replies.push((reply, Reply::NotLive));
            }
        }
        if let Some((parent, activation)) = execution.parent() {
            let result = match execution.outcome() {
                Some(Outcome::Completed(output)) => Ok(output.clone()),
                Some(Outcome::Faulted(error)) => Err(error.clone()),
                Some(Outcome::Cancelled) | None => {
                    Err(WorkflowError::standard(StandardError::Runtime, format!("the execution {id} was cancelled")))
                }
            };
            let input = ExecutionInput::Child { activation, result };
            step.work.push_back(Work { execution: parent, input });
        }
        if self.schedules.get(execution.definition()) == Some(Due::Ended(id)) {
            self.begin_again(execution.definition(), step);
        }
    }

    /// `after`: the next start, counted from now.
    fn begin_again(&mut self, definition: DefinitionId, step: &mut Step) {
        let Some(entry) = self.catalog.entry(definition) else { return };
        if let Some(Schedule::After(pause)) = &entry.plan.schedule {
            let due = Due::At(pause.after(step.now));
            self.set_schedule(definition, Some(due), step);
        }
    }

    fn effect(&mut self, execution: ExecutionId, effect: ExecutionEffect, step: &mut Step) {
        match effect {
            ExecutionEffect::Call { activation, attempt, request } => {
                step.released.effects.push(ShardEffect::Call { execution, activation, attempt, request });
            }
            ExecutionEffect::CancelCall { activation } => {
                step.released.effects.push(ShardEffect::CancelCall { execution, activation });
            }
            // What it listens to is seen from its state.
            ExecutionEffect::Subscribe { .. } | ExecutionEffect::Unsubscribe { .. } => {}
            ExecutionEffect::Publish { event } => self.publish(event, step),
            ExecutionEffect::StartChild { activation, namespace, name, version, input, wait } => {
                // By the outbox even though it stays here: a workflow that starts itself must not keep one step forever.
                let parent = execution;
                let message = PeerMessage::StartChild { parent, activation, namespace, name, version, input, wait };
                self.send(self.id, message, step);
            }
            ExecutionEffect::CancelChild { child } => {
                let input = ExecutionInput::Control(Control::Cancel);
                step.work.push_back(Work { execution: child, input });
            }
        }
    }

    fn publish(&mut self, event: CloudEvent, step: &mut Step) {
        let event = Arc::new(event);
        if self.catalog.is_sunk(&event.event_type) {
            let publication = self.publications.push(event.clone());
            step.record(&ShardRecord::Publication(publication, event.clone()));
            step.released.effects.push(ShardEffect::Publish { publication, event: event.clone() });
        }
        if self.catalog.is_awaited(&event.event_type) {
            let home = ShardId::of_key(event.partition_key().as_bytes(), self.catalog.shards());
            self.send(home, PeerMessage::Event(event), step);
        }
    }

    /// Tells the homes of what the tasks of an execution listen to now and did not before, and the other way round.
    fn resubscribe(&mut self, before: Option<&Execution>, now: &Execution, plan: &Plan, step: &mut Step) {
        let (before, now) = (before.into_iter(), Some(now).filter(|now| !now.phase().is_terminal()).into_iter());
        let shards = self.catalog.shards();
        let all = |execution: &Execution| -> Vec<(ShardId, Subscription)> {
            let listening = execution.interests(plan);
            listening.flat_map(|(task, interests)| by_home((execution.id(), task), &interests, shards)).collect()
        };
        let (before, now): (Vec<_>, Vec<_>) = (before.flat_map(all).collect(), now.flat_map(all).collect());
        for (home, subscription) in now.iter().filter(|own| !before.contains(own)) {
            if *home == self.id {
                self.subscriptions.add(*subscription);
            } else {
                let note = Note::Subscribe(vec![*subscription]);
                step.released.effects.push(ShardEffect::Note { to: *home, note });
            }
        }
        for (home, subscription) in before.iter().filter(|own| !now.contains(own)) {
            if *home == self.id {
                self.subscriptions.remove(*subscription);
            } else {
                let note = Note::Unsubscribe(vec![*subscription]);
                step.released.effects.push(ShardEffect::Note { to: *home, note });
            }
        }
    }

    /// Starts a child, unless its parent has stopped waiting for it meanwhile.
    pub(super) fn begin_child(
        &mut self,
        (parent, activation): (ExecutionId, ActivationId),
        (namespace, name, version): (EcoString, EcoString, Option<EcoString>),
        input: Value,
        wait: bool,
        step: &mut Step,
    ) {
        if wait && !self.is_waiting_for_child(parent, activation) {
            return;
        }
        let found = self
            .catalog
            .find(&namespace, &name, version.as_ref())
            .filter(|id| self.catalog.entry(*id).is_some_and(|entry| entry.state != DefinitionState::Retired));
        let Some(definition) = found else {
            if wait {
                let version = version.as_deref().unwrap_or("latest");
                let detail = format!("there is no active workflow {namespace}/{name}, version {version}");
                let result = Err(WorkflowError::standard(StandardError::Configuration, detail));
                step.work.push_back(Work { execution: parent, input: ExecutionInput::Child { activation, result } });
            }
            return;
        };
        let trigger =
            Trigger { kind: TriggerKind::Workflow, event_id: Some(EcoString::from(parent.to_string())), source: None };
        if wait {
            // The number that `begin` gives next: the parent knows the child before the child can end.
            let child = ExecutionId::new(step.now, self.id, self.sequence);
            self.advance(parent, ExecutionInput::ChildStarted { activation, child }, step);
        }
        let parent = wait.then_some((parent, activation));
        self.begin(Beginning { parent, ..Beginning::new(definition, input, trigger) }, step);
    }

    fn is_waiting_for_child(&self, parent: ExecutionId, activation: ActivationId) -> bool {
        let Some(Ok(parent)) = self.live.get(parent).as_ref().map(Live::execution) else { return false };
        let task = parent.activations().iter().find(|task| task.id == activation);
        task.is_some_and(|task| matches!(task.state, State::Child { child: None, .. }))
    }
}

/// Does what may panic through a defect of the engine, and makes an error of that.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, WorkflowError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        WorkflowError::standard(StandardError::Runtime, format!("a defect of the engine stopped it: {text}"))
    })
}
