//! `for`: one iteration after the other, each with the output of the one before.

use super::activation::ForState;
use super::flow::{Move, Progress};
use super::{Activation, Execution, State, StepContext};
use crate::error::{StandardError, WorkflowError};
use crate::ids::ActivationId;
use crate::plan::{ForEach, Plan, TaskKind};
use crate::value::Value;

impl Execution {
    pub(super) fn begin_for(
        &mut self,
        mut activation: Activation,
        each: &ForEach,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, WorkflowError> {
        let input = activation.input.clone();
        let items = match self.activation_scope(plan, cx, &activation).fill(&each.items, &input)? {
            Value::Array(items) => items,
            other => {
                let detail = format!("`for.in` must give an array, got {}", other.type_name());
                return Err(WorkflowError::standard(StandardError::Expression, detail));
            }
        };
        let id = activation.id;
        activation.state = State::For(ForState { items, index: 0 });
        self.activations.push(activation);
        if !self.begin_iteration(id, each, 0, &input, moves, plan, cx)? {
            self.remove_activation(id);
            return Ok(Progress::ended(input));
        }
        Ok(Progress::Live)
    }

    /// Whether iteration `index` begins: there is an item, and `while` holds on the output of the one before.
    #[expect(clippy::too_many_arguments, reason = "a loop, its place, its data, and where to go on")]
    fn begin_iteration(
        &mut self,
        id: ActivationId,
        each: &ForEach,
        index: u32,
        previous: &Value,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) -> Result<bool, WorkflowError> {
        let Some(activation) = self.activation_mut(id) else { return Ok(false) };
        let State::For(state) = &mut activation.state else { return Ok(false) };
        let Some(item) = state.items.get(index as usize).cloned() else { return Ok(false) };
        state.index = index;
        activation.passes += 1;
        activation.variables = vec![(each.each.clone(), item), (each.at.clone(), Value::Int(i64::from(index)))];
        if let Some(condition) = &each.condition
            && let Some(activation) = self.activation(id)
            && !self.activation_scope(plan, cx, activation).holds(condition, previous)?
        {
            return Ok(false);
        }
        moves.push(Move::Enter { parent: Some(id), list: each.body, position: 0, input: previous.clone() });
        Ok(true)
    }

    /// An iteration has ended; `exit` in it ends the loop.
    pub(super) fn iteration_ended(
        &mut self,
        id: ActivationId,
        output: Value,
        exited: bool,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(activation) = self.activation(id) else { return };
        let (State::For(state), TaskKind::For(each)) = (&activation.state, &plan.task(activation.task).kind) else {
            return;
        };
        let next = state.index + 1;
        let more = if exited { Ok(false) } else { self.begin_iteration(id, each, next, &output, moves, plan, cx) };
        match more {
            Ok(true) => {}
            Ok(false) => self.finish_live(id, output, None, moves, plan, cx),
            Err(error) => self.fail_live(id, error, moves, plan, cx),
        }
    }
}
