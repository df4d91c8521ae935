//! `try`: catching and retrying (DSL "Try", "Catch", "Retry").

use ecow::EcoString;

use super::activation::{TryStage, TryState};
use super::flow::Move;
use super::scope::error_value;
use super::{Activation, Execution, State, StepContext, duration_of};
use crate::error::{StandardError, WorkflowError, same_type};
use crate::expression::Expression;
use crate::history::{Fact, MeasurementKind};
use crate::ids::ActivationId;
use crate::plan::{Backoff, Catch, ErrorFilter, ListIx, Plan, RetryPolicy, TaskKind};
use crate::time::{Duration, Timestamp};
use crate::value::Value;

impl Execution {
    /// When the limit of one attempt that begins now is reached.
    pub(super) fn attempt_deadline(
        &self,
        activation: &Activation,
        catch: &Catch,
        plan: &Plan,
        cx: &StepContext<'_>,
    ) -> Result<Option<Timestamp>, WorkflowError> {
        let Some(spec) = catch.retry.as_ref().and_then(|retry| retry.attempt_duration.as_ref()) else {
            return Ok(None);
        };
        let scope = self.activation_scope(plan, cx, activation);
        let span = duration_of(spec, |e| scope.evaluate(e, &activation.input))?;
        Ok(Some(span.after(cx.now)))
    }

    /// The tried list of `id` failed with `error`; nothing inside lives any more.
    #[expect(clippy::too_many_arguments, reason = "a task, its parts, its error, and where to go on")]
    pub(super) fn caught(
        &mut self,
        id: ActivationId,
        body: ListIx,
        catch: &Catch,
        error: WorkflowError,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        match self.decide(id, catch, &error, plan, cx) {
            Err(problem) => self.fail_live(id, problem, moves, plan, cx),
            Ok(Decision::Pass) => self.fail_live(id, error, moves, plan, cx),
            Ok(Decision::Retry { until }) => self.retry(id, body, error, until, moves, plan, cx),
            Ok(Decision::Handle) => self.handle(id, catch, error, moves, plan, cx),
        }
    }

    fn decide(
        &self,
        id: ActivationId,
        catch: &Catch,
        error: &WorkflowError,
        plan: &Plan,
        cx: &StepContext<'_>,
    ) -> Result<Decision, WorkflowError> {
        let Some(activation) = self.activation(id) else { return Ok(Decision::Pass) };
        let State::Try(state) = &activation.state else { return Ok(Decision::Pass) };
        let value = error_value(error);
        let holds = |condition: &Option<Expression>, default: bool| match condition {
            Some(condition) => self.holds_with_error(activation, catch, condition, &value, plan, cx),
            None => Ok(default),
        };
        if !filter_matches(&catch.filter, error) || !holds(&catch.when, true)? || holds(&catch.except_when, false)? {
            return Ok(Decision::Pass);
        }
        let Some(policy) = &catch.retry else { return Ok(Decision::Handle) };
        let wanted = holds(&policy.when, true)? && !holds(&policy.except_when, false)?;
        if wanted && policy.attempts_max.is_none_or(|max| state.retries < max) {
            let own = [(catch.variable.clone(), value.clone())];
            let until = self.next_attempt(activation, policy, state.retries + 1, &own, plan, cx)?;
            let limit = match &policy.duration {
                Some(spec) => {
                    let mut scope = self.activation_scope(plan, cx, activation);
                    scope.own = &own;
                    Some(duration_of(spec, |e| scope.evaluate(e, &activation.input))?.after(activation.started))
                }
                None => None,
            };
            if limit.is_none_or(|limit| until <= limit) {
                return Ok(Decision::Retry { until });
            }
        }
        let has_error_path = catch.handler.is_some() || catch.then.is_some();
        Ok(if has_error_path { Decision::Handle } else { Decision::Pass })
    }

    fn holds_with_error(
        &self,
        activation: &Activation,
        catch: &Catch,
        condition: &Expression,
        error: &Value,
        plan: &Plan,
        cx: &StepContext<'_>,
    ) -> Result<bool, WorkflowError> {
        let own = [(catch.variable.clone(), error.clone())];
        let mut scope = self.activation_scope(plan, cx, activation);
        scope.own = &own;
        scope.holds(condition, error)
    }

    fn next_attempt(
        &self,
        activation: &Activation,
        policy: &RetryPolicy,
        number: u32,
        own: &[(EcoString, Value)],
        plan: &Plan,
        cx: &StepContext<'_>,
    ) -> Result<Timestamp, WorkflowError> {
        let mut scope = self.activation_scope(plan, cx, activation);
        scope.own = own;
        let span = |spec| duration_of(spec, |e| scope.evaluate(e, &activation.input));
        let delay = policy.delay.as_ref().map(span).transpose()?.unwrap_or_default();
        let factor = match policy.backoff {
            Backoff::Constant => 1,
            Backoff::Linear => u64::from(number),
            Backoff::Exponential => 1 << u64::from(number - 1).min(62),
        };
        let months = u64::from(delay.months).saturating_mul(factor);
        let mut wait =
            Duration { months: u32::try_from(months).unwrap_or(u32::MAX), micros: delay.micros.saturating_mul(factor) };
        if let Some((from, to)) = &policy.jitter {
            let (from, to) = (span(from)?.nominal_micros(), span(to)?.nominal_micros());
            let range = to.saturating_sub(from).saturating_add(1);
            wait.micros = wait.micros.saturating_add(from).saturating_add(self.chance(activation.id, number) % range);
        }
        Ok(wait.after(cx.now))
    }

    /// A number that looks random and is the same in every replay.
    fn chance(&self, activation: ActivationId, salt: u32) -> u64 {
        let mut seed = [0; 24];
        seed[..16].copy_from_slice(&self.id.as_u128().to_le_bytes());
        seed[16..20].copy_from_slice(&activation.0.to_le_bytes());
        seed[20..].copy_from_slice(&salt.to_le_bytes());
        xxhash_rust::xxh3::xxh3_64(&seed)
    }

    #[expect(clippy::too_many_arguments, reason = "a task, its parts, its error, and where to go on")]
    fn retry(
        &mut self,
        id: ActivationId,
        body: ListIx,
        error: WorkflowError,
        until: Timestamp,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(activation) = self.activation_mut(id) else { return };
        let task = activation.task;
        let State::Try(state) = &mut activation.state else { return };
        state.retries += 1;
        state.stage = TryStage::Delay { until };
        state.attempt_deadline = None;
        let attempt = state.retries;
        self.record(Some(task), Fact::Retried { attempt, error, at: until }, cx);
        self.measure(Some(task), MeasurementKind::Retried, cx.now, cx);
        if until <= cx.now {
            self.begin_attempt(id, body, moves, plan, cx);
        }
    }

    fn begin_attempt(
        &mut self,
        id: ActivationId,
        body: ListIx,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(activation) = self.activation(id) else { return };
        let TaskKind::Try { catch, .. } = &plan.task(activation.task).kind else { return };
        let deadline = self.attempt_deadline(activation, catch, plan, cx);
        let input = activation.input.clone();
        let Some(activation) = self.activation_mut(id) else { return };
        let State::Try(state) = &mut activation.state else { return };
        match deadline {
            Ok(attempt_deadline) => {
                *state = TryState { retries: state.retries, attempt_deadline, stage: TryStage::Body };
                moves.push(Move::Enter { parent: Some(id), list: body, position: 0, input });
            }
            Err(problem) => self.fail_live(id, problem, moves, plan, cx),
        }
    }

    fn handle(
        &mut self,
        id: ActivationId,
        catch: &Catch,
        error: WorkflowError,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let value = error_value(&error);
        let Some(activation) = self.activation_mut(id) else { return };
        let input = activation.input.clone();
        activation.variables = vec![(EcoString::clone(&catch.variable), value)];
        if let State::Try(state) = &mut activation.state {
            state.attempt_deadline = None;
            state.stage = TryStage::Handler { error };
        }
        match catch.handler {
            Some(list) => moves.push(Move::Enter { parent: Some(id), list, position: 0, input }),
            None => self.finish_live(id, input, catch.then, moves, plan, cx),
        }
    }

    /// A timer of the try is due: a retry begins, or the attempt took too long.
    pub(super) fn try_due(&mut self, id: ActivationId, plan: &Plan, cx: &mut StepContext<'_>) {
        let Some(activation) = self.activation(id) else { return };
        let (State::Try(state), TaskKind::Try { body, catch }) = (&activation.state, &plan.task(activation.task).kind)
        else {
            return;
        };
        let (body, delayed) = (*body, matches!(state.stage, TryStage::Delay { .. }));
        let mut moves = Vec::new();
        if delayed {
            self.begin_attempt(id, body, &mut moves, plan, cx);
        } else {
            let mut error = WorkflowError::standard(StandardError::Timeout, "the limit of one attempt was reached");
            error.instance = Some(plan.task(activation.task).reference.clone());
            self.cancel_inside(id, cx);
            self.caught(id, body, catch, error, &mut moves, plan, cx);
        }
        self.walk_all(moves, plan, cx);
    }
}

/// What becomes of an error.
enum Decision {
    /// It is not caught here.
    Pass,
    /// The list is tried anew then.
    Retry { until: Timestamp },
    /// The error path is taken.
    Handle,
}

/// Whether every member that the filter gives equals the error's.
fn filter_matches(filter: &ErrorFilter, error: &WorkflowError) -> bool {
    let equal = |wanted: &Option<EcoString>, actual: &Option<EcoString>| wanted.is_none() || wanted == actual;
    filter.error_type.as_ref().is_none_or(|wanted| same_type(wanted, &error.error_type))
        && filter.status.is_none_or(|wanted| wanted == error.status)
        && equal(&filter.title, &error.title)
        && equal(&filter.detail, &error.detail)
        && equal(&filter.instance, &error.instance)
}
