//! `run: workflow`: a child execution.

use super::flow::Progress;
use super::{Activation, Execution, State, StepContext};
use crate::effect::ExecutionEffect;
use crate::error::WorkflowError;
use crate::ids::{ActivationId, ExecutionId};
use crate::plan::{Plan, RunWorkflow, TaskKind};
use crate::value::Value;

impl Execution {
    pub(super) fn begin_child(
        &mut self,
        mut activation: Activation,
        run: &RunWorkflow,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, WorkflowError> {
        let input = match &run.input {
            Some(template) => self.activation_scope(plan, cx, &activation).fill(template, &activation.input)?,
            None => activation.input.clone(),
        };
        cx.effects.push(ExecutionEffect::StartChild {
            activation: activation.id,
            namespace: run.namespace.clone(),
            name: run.name.clone(),
            version: run.version.clone(),
            input: input.clone(),
            wait: run.wait,
        });
        if !run.wait {
            return Ok(Progress::Ended { output: activation.input, then: None, unchanged: true });
        }
        activation.state = State::Child { child: None, input };
        self.activations.push(activation);
        Ok(Progress::Live)
    }

    pub(super) fn child_started(&mut self, id: ActivationId, started: ExecutionId) {
        if let Some(Activation { state: State::Child { child, .. }, .. }) = self.activation_mut(id) {
            *child = Some(started);
        }
    }

    pub(super) fn child_ended(
        &mut self,
        id: ActivationId,
        result: Result<Value, WorkflowError>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(activation) = self.activation(id) else { return };
        let (State::Child { .. }, TaskKind::RunWorkflow(run)) = (&activation.state, &plan.task(activation.task).kind)
        else {
            return;
        };
        match result {
            Ok(_) if run.discard_output => self.finish_activation(id, Value::Null, plan, cx),
            Ok(output) => self.finish_activation(id, output, plan, cx),
            Err(error) => self.fail_activation(id, error, plan, cx),
        }
    }

    /// Tells the outside that a task which ends waits no more.
    pub(super) fn stop_outside(&self, activation: &Activation, cx: &mut StepContext<'_>) {
        let activation_id = activation.id;
        match &activation.state {
            State::Call { .. } => cx.effects.push(ExecutionEffect::CancelCall { activation: activation_id }),
            State::Listen(state) if !state.closed => {
                cx.effects.push(ExecutionEffect::Unsubscribe { activation: activation_id });
            }
            State::Child { child: Some(child), .. } => cx.effects.push(ExecutionEffect::CancelChild { child: *child }),
            State::Child { child: None, .. }
            | State::Do
            | State::For(_)
            | State::Fork(_)
            | State::Try(_)
            | State::Wait { .. }
            | State::Listen(_) => {}
        }
    }
}
