//! The walk: entering tasks, flow directives, the end of lists, and faults on their way up.
//!
//! There is no recursion: what is to be done next lies on a small stack of [`Move`]s.

use super::activation::{ForkState, TryStage, TryState};
use super::scope::{Leaving, Scope, check};
use super::{
    Activation, Execution, HISTORY_FACTS_MAX, Outcome, STEP_BYTES_MAX, STEP_EXPRESSIONS_MAX, State, StepContext,
    duration_of, step_too_long, step_too_much,
};
use crate::error::{StandardError, WorkflowError};
use crate::history::{Fact, MeasurementKind};
use crate::ids::{ActivationId, TaskIx};
use crate::plan::{ErrorTemplate, Flow, ListIx, Plan, Task, TaskKind};
use crate::time::Timestamp;
use crate::value::Value;

/// A thing to do next.
#[derive(Debug)]
pub(crate) enum Move {
    /// Begin the task at `position` of `list`, which belongs to `parent`.
    Enter { parent: Option<ActivationId>, list: ListIx, position: u32, input: Value },
    /// A list of `parent` has ended with `output`; `exited`: by `exit`.
    ListEnded { parent: Option<ActivationId>, output: Value, exited: bool },
    /// A branch of the fork `parent` has ended.
    BranchEnded { parent: ActivationId, position: u32, output: Value, context: Option<Value> },
    /// Something inside `parent` failed.
    Failed { parent: Option<ActivationId>, error: WorkflowError },
}

/// What a task gives when it ends, and where that leads.
struct Ended {
    task: TaskIx,
    parent: Option<ActivationId>,
    raw_input: Value,
    input: Value,
    started: Timestamp,
    context: Option<Value>,
    raw_output: Value,
    /// Overrides the task's `then`.
    then: Option<Flow>,
    /// Whether the raw output is the input, so that history needn't hold it again.
    unchanged: bool,
}

impl Execution {
    /// The way in: workflow input, then the first task.
    pub(crate) fn walk_from_start(&mut self, plan: &Plan, cx: &mut StepContext<'_>) {
        match self.prepare(plan, cx) {
            Ok(input) => self.walk(Move::Enter { parent: None, list: plan.root, position: 0, input }, plan, cx),
            Err(error) => self.fault_workflow(error, cx),
        }
    }

    fn prepare(&mut self, plan: &Plan, cx: &StepContext<'_>) -> Result<Value, WorkflowError> {
        check(plan.input_schema.as_ref(), &self.input, "workflow input")?;
        let scope = self.workflow_scope(plan, cx);
        let input = match &plan.input_from {
            Some(from) => scope.fill(from, &self.input)?,
            None => self.input.clone(),
        };
        let limit = match &plan.timeout {
            Some(spec) => Some(duration_of(spec, |e| scope.evaluate(e, &input))?.after(cx.now)),
            None => None,
        };
        self.deadline = limit;
        Ok(input)
    }

    /// Does `first` and all that follows from it, until everything ended or waits.
    pub(crate) fn walk(&mut self, first: Move, plan: &Plan, cx: &mut StepContext<'_>) {
        // One walk may begin within another: then that one has its own.
        let mut moves = std::mem::take(&mut cx.scratch.moves);
        moves.push(first);
        self.walk_moves(&mut moves, plan, cx);
        moves.clear();
        cx.scratch.moves = moves;
    }

    fn walk_moves(&mut self, moves: &mut Vec<Move>, plan: &Plan, cx: &mut StepContext<'_>) {
        let begun = cx.spent.get();
        while let Some(next) = moves.pop() {
            if !self.is_live() {
                return;
            }
            if self.facts >= HISTORY_FACTS_MAX {
                let detail = format!(
                    "the history reached its limit of {HISTORY_FACTS_MAX} facts: is there a loop without an end?"
                );
                self.cancel_all(cx);
                return self.fault_workflow(WorkflowError::standard(StandardError::Runtime, detail), cx);
            }
            if cx.history.len() > STEP_BYTES_MAX {
                self.cancel_all(cx);
                return self.fault_workflow(step_too_long(), cx);
            }
            if cx.spent.get() - begun > STEP_EXPRESSIONS_MAX {
                self.cancel_all(cx);
                return self.fault_workflow(step_too_much(), cx);
            }
            match next {
                Move::Enter { parent, list, position, input } => {
                    self.enter(parent, list, position, input, moves, plan, cx);
                }
                Move::ListEnded { parent: None, output, .. } => {
                    self.cancel_all(cx);
                    self.complete_workflow(&output, plan, cx);
                }
                Move::ListEnded { parent: Some(parent), output, exited } => {
                    self.list_ended(parent, output, exited, moves, plan, cx);
                }
                Move::BranchEnded { parent, position, output, context } => {
                    self.branch_ended(parent, position, output, context, moves, plan, cx);
                }
                Move::Failed { parent, error } => self.failed(parent, error, moves, plan, cx),
            }
        }
    }

    fn complete_workflow(&mut self, last: &Value, plan: &Plan, cx: &mut StepContext<'_>) {
        let scope = self.workflow_scope(plan, cx);
        let output = match &plan.output_as {
            Some(template) => scope.fill(template, last),
            None => Ok(last.clone()),
        };
        let output = output.and_then(|output| {
            check(plan.output_schema.as_ref(), &output, "workflow output")?;
            Ok(output)
        });
        match output {
            Ok(output) => self.end(Outcome::Completed(output), cx),
            Err(error) => self.fault_workflow(error, cx),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a place in the plan, its data, and where to go on")]
    fn enter(
        &mut self,
        parent: Option<ActivationId>,
        list: ListIx,
        position: u32,
        raw_input: Value,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(&ix) = plan.list(list).tasks.get(position as usize) else {
            moves.push(Move::ListEnded { parent, output: raw_input, exited: false });
            return;
        };
        let task = plan.task(ix);
        let begun = self.condition_holds(task, parent, &raw_input, plan, cx);
        match begun {
            Ok(false) => {
                self.record(Some(ix), Fact::Skipped, cx);
                self.follow(Flow::Continue, task, parent, raw_input, None, moves);
                return;
            }
            Ok(true) => {}
            Err(error) => return self.task_failed(ix, parent, cx.now, error, moves, plan, cx),
        }
        let iteration = self.iteration_at(parent);
        self.record_started(ix, iteration, cx);
        let result = self.transform_input(task, parent, &raw_input, plan, cx).and_then(|input| {
            let ended = self.execute(ix, parent, &raw_input, &input, moves, plan, cx)?;
            Ok((input, ended))
        });
        match result {
            Ok((_, Progress::Live)) => {}
            Ok((input, Progress::Ended { output, then, unchanged })) => {
                let ended = Ended {
                    task: ix,
                    parent,
                    raw_input,
                    input,
                    started: cx.now,
                    context: None,
                    raw_output: output,
                    then,
                    unchanged,
                };
                self.finish(ended, moves, plan, cx);
            }
            Err(error) => self.task_failed(ix, parent, cx.now, error, moves, plan, cx),
        }
    }

    fn condition_holds(
        &self,
        task: &Task,
        parent: Option<ActivationId>,
        raw_input: &Value,
        plan: &Plan,
        cx: &StepContext<'_>,
    ) -> Result<bool, WorkflowError> {
        match &task.condition {
            Some(condition) => self.task_scope(plan, cx, task, parent, raw_input).holds(condition, raw_input),
            None => Ok(true),
        }
    }

    fn transform_input(
        &self,
        task: &Task,
        parent: Option<ActivationId>,
        raw_input: &Value,
        plan: &Plan,
        cx: &StepContext<'_>,
    ) -> Result<Value, WorkflowError> {
        check(task.input_schema.as_ref(), raw_input, "task input")?;
        match &task.input_from {
            Some(from) => self.task_scope(plan, cx, task, parent, raw_input).fill(from, raw_input),
            None => Ok(raw_input.clone()),
        }
    }

    /// Begins what the task does: it has ended at once, or lives on as an activation.
    #[expect(clippy::too_many_arguments, reason = "a task, its place, its data, and where to go on")]
    fn execute(
        &mut self,
        ix: TaskIx,
        parent: Option<ActivationId>,
        raw_input: &Value,
        input: &Value,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, WorkflowError> {
        let task = plan.task(ix);
        let scope = Scope { input: Some(input), ..self.task_scope(plan, cx, task, parent, raw_input) };
        match &task.kind {
            TaskKind::Set(template) => return Ok(Progress::ended(scope.fill(template, input)?)),
            TaskKind::Switch(cases) => {
                let mut chosen = None;
                for case in cases.iter().filter(|case| case.when.is_some()) {
                    if let Some(when) = &case.when
                        && scope.holds(when, input)?
                    {
                        chosen = Some(case.then);
                        break;
                    }
                }
                let default = || cases.iter().find(|case| case.when.is_none()).map(|case| case.then);
                let then = chosen.or_else(default);
                return Ok(Progress::Ended { output: input.clone(), then, unchanged: true });
            }
            TaskKind::Raise(template) => return Err(raised(template, task, &scope, input)?),
            TaskKind::Emit(template) => {
                let event = self.emit(template, task, &scope, input)?;
                return Ok(Progress::ended(self.publish(ix, event, cx)));
            }
            _ => {}
        }
        let deadline = match &task.timeout {
            Some(spec) => Some(duration_of(spec, |e| scope.evaluate(e, input))?.after(cx.now)),
            None => None,
        };
        let activation = Activation {
            id: ActivationId(self.activations_begun),
            task: ix,
            parent,
            raw_input: raw_input.clone(),
            input: input.clone(),
            started: cx.now,
            deadline,
            variables: Vec::new(),
            context: None,
            passes: 0,
            state: State::Do,
        };
        self.activations_begun += 1;
        self.begin_activation(activation, moves, plan, cx)
    }

    fn begin_activation(
        &mut self,
        mut activation: Activation,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) -> Result<Progress, WorkflowError> {
        let id = activation.id;
        let input = activation.input.clone();
        let task = plan.task(activation.task);
        if self.is_fork(activation.parent) {
            activation.context = Some(self.context_at(activation.parent).clone());
        }
        let enter = |list: ListIx, input: Value| Move::Enter { parent: Some(id), list, position: 0, input };
        match &task.kind {
            TaskKind::Do(list) => {
                self.activations.push(activation);
                moves.push(enter(*list, input));
            }
            TaskKind::CallFunction { arguments, body } => {
                let arguments = self.activation_scope(plan, cx, &activation).fill(arguments, &input)?;
                self.activations.push(activation);
                moves.push(enter(*body, arguments));
            }
            TaskKind::Try { body, catch } => {
                let attempt_deadline = self.attempt_deadline(&activation, catch, plan, cx)?;
                activation.state = State::Try(TryState { retries: 0, attempt_deadline, stage: TryStage::Body });
                self.activations.push(activation);
                moves.push(enter(*body, input));
            }
            TaskKind::Fork { branches, .. } => {
                let count = plan.list(*branches).tasks.len();
                if count == 0 {
                    return Ok(Progress::ended(Value::Array(crate::value::Array::new())));
                }
                activation.state = State::Fork(ForkState { done: vec![None; count], failed: 0 });
                activation.context = Some(self.context_at(activation.parent).clone());
                self.activations.push(activation);
                self.begin_branches(id, *branches, &input, moves);
            }
            TaskKind::For(each) => return self.begin_for(activation, each, moves, plan, cx),
            TaskKind::Wait(spec) => {
                let span = duration_of(spec, |e| self.activation_scope(plan, cx, &activation).evaluate(e, &input))?;
                let until = span.after(cx.now);
                activation.state = State::Wait { until };
                let task = activation.task;
                self.activations.push(activation);
                self.record(Some(task), Fact::Waiting { until: Some(until) }, cx);
            }
            TaskKind::Listen(listen) => self.begin_listen(activation, listen, plan, cx)?,
            TaskKind::CallHttp(call) => self.begin_call(activation, call, plan, cx)?,
            TaskKind::RunWorkflow(run) => return self.begin_child(activation, run, plan, cx),
            TaskKind::Set(_) | TaskKind::Switch(_) | TaskKind::Raise(_) | TaskKind::Emit(_) => {}
        }
        Ok(Progress::Live)
    }

    /// A task has its raw output: transform and export it, then follow the directive.
    fn finish(&mut self, mut ended: Ended, moves: &mut Vec<Move>, plan: &Plan, cx: &mut StepContext<'_>) {
        let task = plan.task(ended.task);
        let result = self.transform_output(task, &ended, plan, cx);
        match result {
            Ok((output, export)) => {
                match export {
                    Some(context) if self.is_fork(ended.parent) => ended.context = Some(context),
                    Some(context) => self.set_context(ended.parent, context),
                    None => {}
                }
                let same = ended.unchanged && task.output_as.is_none();
                self.record_completed(Some(ended.task), (!same).then_some(&output), cx);
                self.measure(Some(ended.task), MeasurementKind::Completed, ended.started, cx);
                let then = ended.then.unwrap_or(task.then);
                self.follow(then, task, ended.parent, output, ended.context, moves);
            }
            Err(error) => self.task_failed(ended.task, ended.parent, ended.started, error, moves, plan, cx),
        }
    }

    fn transform_output(
        &self,
        task: &Task,
        ended: &Ended,
        plan: &Plan,
        cx: &StepContext<'_>,
    ) -> Result<(Value, Option<Value>), WorkflowError> {
        let raw = &ended.raw_output;
        let scope = Scope {
            input: Some(&ended.input),
            raw_output: Some(raw),
            started: ended.started,
            context: ended.context.as_ref(),
            ..self.task_scope(plan, cx, task, ended.parent, &ended.raw_input)
        };
        let leaving = Leaving {
            output_as: task.output_as.as_ref(),
            output_schema: task.output_schema.as_ref(),
            export_as: task.export_as.as_ref(),
            export_schema: task.export_schema.as_ref(),
            name: "task output",
        };
        scope.leave(&leaving, raw, raw.clone())
    }

    /// Where the directive leads from `task`.
    fn follow(
        &mut self,
        then: Flow,
        task: &Task,
        parent: Option<ActivationId>,
        output: Value,
        context: Option<Value>,
        moves: &mut Vec<Move>,
    ) {
        if then == Flow::End {
            moves.clear();
            moves.push(Move::ListEnded { parent: None, output, exited: true });
            return;
        }
        if let Some(id) = parent
            && self.is_fork(parent)
        {
            moves.push(Move::BranchEnded { parent: id, position: task.position, output, context });
            return;
        }
        moves.push(match then {
            Flow::Continue => Move::Enter { parent, list: task.list, position: task.position + 1, input: output },
            Flow::Goto(position) => {
                if let Some(activation) = parent.and_then(|id| self.activation_mut(id)) {
                    activation.passes += u32::from(position <= task.position);
                }
                Move::Enter { parent, list: task.list, position, input: output }
            }
            Flow::Exit | Flow::End => Move::ListEnded { parent, output, exited: true },
        });
    }

    /// The list of a live task has ended.
    fn list_ended(
        &mut self,
        id: ActivationId,
        output: Value,
        exited: bool,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(activation) = self.activation(id) else { return };
        match &activation.state {
            State::For(_) => self.iteration_ended(id, output, exited, moves, plan, cx),
            State::Listen(_) => self.foreach_ended(id, output, exited, moves, plan, cx),
            State::Try(state) => {
                let handled = matches!(state.stage, TryStage::Handler { .. });
                let then = match &plan.task(activation.task).kind {
                    TaskKind::Try { catch, .. } if handled => catch.then,
                    _ => None,
                };
                self.finish_live(id, output, then, moves, plan, cx);
            }
            State::Do | State::Fork(_) | State::Wait { .. } | State::Call { .. } | State::Child { .. } => {
                self.finish_live(id, output, None, moves, plan, cx);
            }
        }
    }

    /// A live task ends with this raw output.
    pub(crate) fn finish_live(
        &mut self,
        id: ActivationId,
        raw_output: Value,
        then: Option<Flow>,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(activation) = self.remove_activation(id) else { return };
        let unchanged = matches!(activation.state, State::Wait { .. });
        let ended = Ended {
            task: activation.task,
            parent: activation.parent,
            raw_input: activation.raw_input,
            input: activation.input,
            started: activation.started,
            context: activation.context,
            raw_output,
            then,
            unchanged,
        };
        self.finish(ended, moves, plan, cx);
    }

    /// As [`Self::finish_live`], walking on.
    pub(crate) fn finish_activation(&mut self, id: ActivationId, output: Value, plan: &Plan, cx: &mut StepContext<'_>) {
        let mut moves = Vec::new();
        self.finish_live(id, output, None, &mut moves, plan, cx);
        self.walk_all(moves, plan, cx);
    }

    /// Ends a live task and all inside it by an error, walking on.
    pub(crate) fn fail_activation(
        &mut self,
        id: ActivationId,
        error: WorkflowError,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        self.cancel_inside(id, cx);
        let Some(activation) = self.remove_activation(id) else { return };
        self.stop_outside(&activation, cx);
        let mut moves = Vec::new();
        self.task_failed(activation.task, activation.parent, activation.started, error, &mut moves, plan, cx);
        self.walk_all(moves, plan, cx);
    }

    pub(crate) fn walk_all(&mut self, moves: Vec<Move>, plan: &Plan, cx: &mut StepContext<'_>) {
        for next in moves {
            self.walk(next, plan, cx);
        }
    }

    /// A task that is not live (any more) failed: tell its parent.
    #[expect(clippy::too_many_arguments, reason = "a task, its place, its error, and where to go on")]
    fn task_failed(
        &mut self,
        ix: TaskIx,
        parent: Option<ActivationId>,
        started: Timestamp,
        mut error: WorkflowError,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        if error.instance.is_none() {
            error.instance = Some(plan.task(ix).reference.clone());
        }
        self.record(Some(ix), Fact::Faulted { error: error.clone() }, cx);
        self.measure(Some(ix), MeasurementKind::Faulted, started, cx);
        moves.push(Move::Failed { parent, error });
    }

    /// An error arrives at a live task from inside: it is caught there, or that task fails too.
    fn failed(
        &mut self,
        parent: Option<ActivationId>,
        error: WorkflowError,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(id) = parent else {
            self.cancel_all(cx);
            return self.fault_workflow(error, cx);
        };
        let Some(activation) = self.activation(id) else { return };
        let handled = matches!(&activation.state, State::Try(state) if matches!(state.stage, TryStage::Handler { .. }));
        match &plan.task(activation.task).kind {
            TaskKind::Fork { compete: true, .. } if self.others_compete(id) => return,
            TaskKind::Try { body, catch } if !handled => {
                self.cancel_inside(id, cx);
                return self.caught(id, *body, catch, error, moves, plan, cx);
            }
            _ => {}
        }
        self.cancel_inside(id, cx);
        self.fail_live(id, error, moves, plan, cx);
    }

    /// A live task without live tasks inside fails by this error.
    pub(crate) fn fail_live(
        &mut self,
        id: ActivationId,
        error: WorkflowError,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(activation) = self.remove_activation(id) else { return };
        self.stop_outside(&activation, cx);
        self.task_failed(activation.task, activation.parent, activation.started, error, moves, plan, cx);
    }

    /// Cancels every live task inside `id`, innermost first.
    pub(crate) fn cancel_inside(&mut self, id: ActivationId, cx: &mut StepContext<'_>) {
        // Parents lie before their children, so one pass finds all descendants.
        let mut inside = vec![id];
        for activation in &self.activations {
            if activation.parent.is_some_and(|parent| inside.contains(&parent)) {
                inside.push(activation.id);
            }
        }
        for &inner in inside[1..].iter().rev() {
            self.cancel_one(inner, cx);
        }
    }

    /// Cancels every live task.
    pub(crate) fn cancel_all(&mut self, cx: &mut StepContext<'_>) {
        while let Some(last) = self.activations.last() {
            let id = last.id;
            self.cancel_one(id, cx);
        }
    }

    fn cancel_one(&mut self, id: ActivationId, cx: &mut StepContext<'_>) {
        let Some(activation) = self.remove_activation(id) else { return };
        self.stop_outside(&activation, cx);
        self.record(Some(activation.task), Fact::Cancelled, cx);
        self.measure(Some(activation.task), MeasurementKind::Cancelled, activation.started, cx);
    }

    /// The index in the nearest enclosing loop.
    fn iteration_at(&self, parent: Option<ActivationId>) -> Option<u32> {
        let mut at = parent;
        while let Some(activation) = at.and_then(|id| self.activation(id)) {
            match &activation.state {
                State::For(state) => return Some(state.index),
                State::Listen(state) => return Some(state.index),
                _ => at = activation.parent,
            }
        }
        None
    }
}

/// Whether a task has ended at once.
pub(crate) enum Progress {
    /// It has.
    Ended {
        /// Its raw output.
        output: Value,
        /// Overrides its `then`.
        then: Option<Flow>,
        /// Whether the output is its input.
        unchanged: bool,
    },
    /// It lives on as an activation.
    Live,
}

impl Progress {
    /// It has, with this raw output.
    pub fn ended(output: Value) -> Progress {
        Progress::Ended { output, then: None, unchanged: false }
    }
}

/// The error that a `raise` raises; `Err` when it can't be computed.
fn raised(
    template: &ErrorTemplate,
    task: &Task,
    scope: &Scope<'_>,
    input: &Value,
) -> Result<WorkflowError, WorkflowError> {
    let text = |template: &Option<crate::expression::Template>| -> Result<Option<ecow::EcoString>, WorkflowError> {
        let Some(template) = template else { return Ok(None) };
        Ok(match scope.fill(template, input)? {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_json().into()),
        })
    };
    let error_type = match scope.fill(&template.error_type, input)? {
        Value::String(text) => text,
        other => {
            return Err(WorkflowError::standard(
                StandardError::Expression,
                format!("an error's type must be a string, got {other}"),
            ));
        }
    };
    let status = scope.fill(&template.status, input)?;
    let status = status.as_i64().and_then(|s| u16::try_from(s).ok()).ok_or_else(|| {
        WorkflowError::standard(
            StandardError::Expression,
            format!("an error's status must be a whole number, got {status}"),
        )
    })?;
    Ok(WorkflowError {
        error_type,
        status,
        title: text(&template.title)?,
        detail: text(&template.detail)?,
        instance: text(&template.instance)?.or_else(|| Some(task.reference.clone())),
    })
}
