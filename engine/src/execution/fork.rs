//! `fork`: branches that run concurrently, each on the context as it was at the fork.

use super::flow::Move;
use super::{Activation, Execution, State, StepContext};
use crate::ids::ActivationId;
use crate::plan::{ListIx, Plan, TaskKind};
use crate::value::Value;

impl Execution {
    /// Enters every branch; the first lies on top, so that branches begin in declaration order.
    pub(super) fn begin_branches(&self, id: ActivationId, branches: ListIx, input: &Value, moves: &mut Vec<Move>) {
        let Some(Activation { state: State::Fork(state), .. }) = self.activation(id) else { return };
        let count = u32::try_from(state.done.len()).unwrap_or(u32::MAX);
        for position in (0..count).rev() {
            moves.push(Move::Enter { parent: Some(id), list: branches, position, input: input.clone() });
        }
    }

    /// A branch has ended well.
    #[expect(clippy::too_many_arguments, reason = "a branch, what it gives, and where to go on")]
    pub(super) fn branch_ended(
        &mut self,
        id: ActivationId,
        position: u32,
        output: Value,
        context: Option<Value>,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let compete = match self.activation(id).map(|a| &plan.task(a.task).kind) {
            Some(TaskKind::Fork { compete, .. }) => *compete,
            _ => return,
        };
        if compete {
            // Competitors that have not begun yet never begin.
            moves.retain(|next| !matches!(next, Move::Enter { parent: Some(parent), .. } if *parent == id));
            self.cancel_inside(id, cx);
            return self.join(id, output, context, moves, plan, cx);
        }
        let start = self.context_at(Some(id)).clone();
        let Some(Activation { state: State::Fork(state), .. }) = self.activation_mut(id) else { return };
        if let Some(done) = state.done.get_mut(position as usize) {
            *done = Some((output, context.unwrap_or_else(|| start.clone())));
        }
        if state.done.iter().all(Option::is_some) {
            let outputs = state.done.iter().flatten().map(|(output, _)| output.clone()).collect();
            let changed = state.done.iter().flatten().map(|(_, context)| context).rfind(|context| **context != start);
            let changed = changed.cloned();
            self.join(id, Value::Array(outputs), changed, moves, plan, cx);
        }
    }

    /// The fork ends. The context of the last branch (in declaration order) that exported becomes that of its scope.
    fn join(
        &mut self,
        id: ActivationId,
        output: Value,
        context: Option<Value>,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(parent) = self.activation(id).map(|a| a.parent) else { return };
        if let Some(context) = context {
            if self.is_fork(parent) {
                // The fork is itself a branch: its context goes with it when it ends.
                if let Some(activation) = self.activation_mut(id) {
                    activation.context = Some(context);
                }
            } else {
                self.set_context(parent, context);
            }
        }
        self.finish_live(id, output, None, moves, plan, cx);
    }

    /// Whether the list of this activation is that of a fork's branches.
    pub(super) fn is_fork(&self, id: Option<ActivationId>) -> bool {
        id.and_then(|id| self.activation(id)).is_some_and(|a| matches!(a.state, State::Fork(_)))
    }

    /// A branch of a competing fork failed: whether others are still at it.
    pub(super) fn others_compete(&mut self, id: ActivationId) -> bool {
        let Some(Activation { state: State::Fork(state), .. }) = self.activation_mut(id) else { return false };
        state.failed += 1;
        (state.failed as usize) < state.done.len()
    }
}
