//! `listen`: consuming events (DSL "Listen", "Event Consumption Strategy").

use std::collections::VecDeque;
use std::sync::Arc;

use ecow::EcoString;

use super::activation::ListenState;
use super::flow::Move;
use super::scope::{Leaving, Scope};
use super::{Activation, Execution, State, StepContext};
use crate::effect::{ExecutionEffect, Interest};
use crate::error::WorkflowError;
use crate::event::{CloudEvent, attribute, envelope};
use crate::expression::Expression;
use crate::history::Fact;
use crate::ids::ActivationId;
use crate::plan::{EventFilter, EventRead, EventStrategy, Listen, Plan, TaskKind, Until};
use crate::value::{Array, Map, Value};

/// What the router needs to know of a listening task.
pub(super) fn interests(listen: &Listen, state: &ListenState) -> Vec<Interest> {
    let mut found: Vec<Interest> = Vec::new();
    for (number, filter) in listen.filters().enumerate() {
        let event_type = filter.event_type();
        let correlation = event_type.and_then(|event_type| listen.router_correlation(event_type));
        let correlation = correlation.and_then(|correlation| {
            let value = value_of(&state.correlations, &correlation.key)?;
            Some((correlation.from.source().into(), value.clone()))
        });
        found.push(Interest {
            filter: u16::try_from(number).unwrap_or(u16::MAX),
            event_type: event_type.map(EcoString::from),
            correlation,
        });
    }
    // `any: []` is every event.
    if listen.to.filters().is_empty() {
        found.push(Interest { filter: u16::MAX, event_type: None, correlation: None });
    }
    found
}

fn value_of<'a>(pairs: &'a [(EcoString, Value)], key: &str) -> Option<&'a Value> {
    pairs.iter().find(|(own, _)| own == key).map(|(_, value)| value)
}

/// What an event did to a listening task.
enum Consumption {
    /// It does not match.
    None,
    /// It was taken.
    Taken,
    /// It was taken or not, and with it the listening is satisfied.
    Satisfied,
}

impl Execution {
    pub(super) fn begin_listen(
        &mut self,
        mut activation: Activation,
        listen: &Listen,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) -> Result<(), WorkflowError> {
        let task = activation.task;
        let until = match &listen.to {
            EventStrategy::Any { until: Some(Until::Events(end)), .. } => end.filters().len(),
            _ => 0,
        };
        let state = ListenState {
            consumed: Array::new(),
            matched: vec![None; listen.to.filters().len()],
            until_matched: vec![false; until],
            correlations: self.expected(&activation, listen, plan, cx)?,
            queue: VecDeque::new(),
            index: 0,
            busy: false,
            closed: false,
        };
        cx.effects.push(ExecutionEffect::Subscribe { activation: activation.id, interests: interests(listen, &state) });
        let correlates = listen.to.filters().iter().any(|filter| !filter.correlate.is_empty());
        activation.state = State::Listen(state);
        self.activations.push(activation);
        self.record(Some(task), Fact::Waiting { until: None }, cx);
        if correlates {
            self.record(Some(task), Fact::CorrelationStarted, cx);
        }
        Ok(())
    }

    /// The correlation values that `expect` fixes from the start.
    fn expected(
        &self,
        activation: &Activation,
        listen: &Listen,
        plan: &Plan,
        cx: &StepContext<'_>,
    ) -> Result<Vec<(EcoString, Value)>, WorkflowError> {
        let scope = self.activation_scope(plan, cx, activation);
        let mut values: Vec<(EcoString, Value)> = Vec::new();
        for correlation in listen.to.filters().iter().flat_map(|filter| &filter.correlate) {
            if let Some(template) = &correlation.expect
                && value_of(&values, &correlation.key).is_none()
            {
                values.push((correlation.key.clone(), scope.fill(template, &activation.input)?));
            }
        }
        Ok(values)
    }

    pub(super) fn event_came(
        &mut self,
        id: ActivationId,
        event: Arc<CloudEvent>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(activation) = self.activation(id) else { return };
        let (State::Listen(state), TaskKind::Listen(listen)) = (&activation.state, &plan.task(activation.task).kind)
        else {
            return;
        };
        if state.closed {
            return;
        }
        let mut state = state.clone();
        let consumption = {
            let scope = self.activation_scope(plan, cx, activation);
            consume(&mut state, listen, &event, &scope)
        };
        match consumption {
            Err(error) => self.fail_activation(id, error, plan, cx),
            Ok(Consumption::None) => {}
            Ok(consumption) => {
                state.closed = matches!(consumption, Consumption::Satisfied);
                let (closed, task) = (state.closed, activation.task);
                let keys: Map = state.correlations.iter().cloned().collect();
                if let Some(activation) = self.activation_mut(id) {
                    activation.state = State::Listen(state);
                }
                if closed {
                    cx.effects.push(ExecutionEffect::Unsubscribe { activation: id });
                    if !keys.is_empty() {
                        self.record(Some(task), Fact::CorrelationCompleted { keys: Value::Object(keys) }, cx);
                    }
                }
                let mut moves = Vec::new();
                self.listen_on(id, &mut moves, plan, cx);
                self.walk_all(moves, plan, cx);
            }
        }
    }

    /// Gives the next queued event to `foreach`, or ends the task when it is closed and nothing is left.
    fn listen_on(&mut self, id: ActivationId, moves: &mut Vec<Move>, plan: &Plan, cx: &mut StepContext<'_>) {
        let Some(activation) = self.activation_mut(id) else { return };
        let TaskKind::Listen(listen) = &plan.task(activation.task).kind else { return };
        let input = activation.input.clone();
        let State::Listen(state) = &mut activation.state else { return };
        if state.busy {
            return;
        }
        if let Some(foreach) = &listen.foreach
            && let Some(event) = state.queue.pop_front()
        {
            state.busy = true;
            let index = Value::Int(i64::from(state.index));
            activation.variables = vec![(foreach.each.clone(), event), (foreach.at.clone(), index)];
            activation.passes += 1;
            moves.push(Move::Enter { parent: Some(id), list: foreach.body, position: 0, input });
            return;
        }
        if state.closed {
            let output = match &listen.to {
                EventStrategy::All(_) if listen.foreach.is_none() => state.matched.iter().flatten().cloned().collect(),
                _ => state.consumed.clone(),
            };
            self.finish_live(id, Value::Array(output), None, moves, plan, cx);
        }
    }

    /// `foreach` has worked on an event; `exit` in it ends the listening.
    pub(super) fn foreach_ended(
        &mut self,
        id: ActivationId,
        output: Value,
        exited: bool,
        moves: &mut Vec<Move>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(activation) = self.activation(id) else { return };
        let parent = activation.parent;
        match self.element(activation, &output, plan, cx) {
            Err(error) => self.fail_live(id, error, moves, plan, cx),
            Ok((element, context)) => {
                if let Some(context) = context {
                    self.set_context(parent, context);
                }
                let Some(Activation { state: State::Listen(state), .. }) = self.activation_mut(id) else { return };
                state.consumed.push(element);
                state.index += 1;
                state.busy = false;
                if exited && !state.closed {
                    state.closed = true;
                    state.queue.clear();
                    cx.effects.push(ExecutionEffect::Unsubscribe { activation: id });
                }
                self.listen_on(id, moves, plan, cx);
            }
        }
    }

    /// The element of the output for one event of `foreach`, and the context it exports.
    fn element(
        &self,
        activation: &Activation,
        output: &Value,
        plan: &Plan,
        cx: &StepContext<'_>,
    ) -> Result<(Value, Option<Value>), WorkflowError> {
        let event = activation.variables.first().map(|(_, event)| event.clone()).unwrap_or_default();
        let TaskKind::Listen(Listen { foreach: Some(foreach), .. }) = &plan.task(activation.task).kind else {
            return Ok((event, None));
        };
        let leaving = Leaving {
            output_as: foreach.output_as.as_ref(),
            output_schema: foreach.output_schema.as_ref(),
            export_as: foreach.export_as.as_ref(),
            export_schema: foreach.export_schema.as_ref(),
            name: "output of foreach",
        };
        self.activation_scope(plan, cx, activation).leave(&leaving, output, event)
    }
}

/// Takes the event into the state if it matches.
fn consume(
    state: &mut ListenState,
    listen: &Listen,
    event: &CloudEvent,
    scope: &Scope<'_>,
) -> Result<Consumption, WorkflowError> {
    if let EventStrategy::Any { until: Some(Until::Events(end)), .. } = &listen.to
        && ends(state, end, event, scope)?
    {
        return Ok(Consumption::Satisfied);
    }
    let own = listen.to.filters();
    let evaluate = |expression: &Expression, value: &Value| scope.evaluate(expression, value);
    let all = matches!(listen.to, EventStrategy::All(_));
    let mut hit = own.is_empty().then_some(0);
    for (number, filter) in own.iter().enumerate() {
        let open = !all || state.matched[number].is_none();
        if open && matches(filter, event, &mut state.correlations, &evaluate)? {
            hit = Some(number);
            break;
        }
    }
    let Some(number) = hit else { return Ok(Consumption::None) };
    let read = read(event, listen.read);
    if listen.foreach.is_some() {
        state.queue.push_back(read.clone());
    } else {
        state.consumed.push(read.clone());
    }
    match &listen.to {
        EventStrategy::One(_) | EventStrategy::Any { until: None, .. } => Ok(Consumption::Satisfied),
        EventStrategy::All(_) => {
            state.matched[number] = Some(read);
            let complete = state.matched.iter().all(Option::is_some);
            Ok(if complete { Consumption::Satisfied } else { Consumption::Taken })
        }
        EventStrategy::Any { until: Some(Until::Condition(condition)), .. } => {
            let mut consumed = state.consumed.clone();
            for queued in &state.queue {
                consumed.push(queued.clone());
            }
            let done = scope.holds(condition, &Value::Array(consumed))?;
            Ok(if done { Consumption::Satisfied } else { Consumption::Taken })
        }
        EventStrategy::Any { until: Some(Until::Events(_)), .. } => Ok(Consumption::Taken),
    }
}

/// Whether the event satisfies the strategy of an `until`.
fn ends(
    state: &mut ListenState,
    end: &EventStrategy,
    event: &CloudEvent,
    scope: &Scope<'_>,
) -> Result<bool, WorkflowError> {
    let own = end.filters();
    let evaluate = |expression: &Expression, value: &Value| scope.evaluate(expression, value);
    for (number, filter) in own.iter().enumerate() {
        if matches(filter, event, &mut state.correlations, &evaluate)? {
            if let Some(matched) = state.until_matched.get_mut(number) {
                *matched = true;
            }
            let all = matches!(end, EventStrategy::All(_));
            return Ok(!all || state.until_matched.iter().all(|&matched| matched));
        }
    }
    Ok(own.is_empty())
}

/// Whether an event passes a filter; correlation values that it is the first to give are kept.
pub(crate) fn matches(
    filter: &EventFilter,
    event: &CloudEvent,
    correlations: &mut Vec<(EcoString, Value)>,
    evaluate: &dyn Fn(&Expression, &Value) -> Result<Value, WorkflowError>,
) -> Result<bool, WorkflowError> {
    for (name, wanted) in &filter.literals {
        if attribute(event, name).as_ref() != Some(wanted) {
            return Ok(false);
        }
    }
    for (name, predicate) in &filter.predicates {
        let value = attribute(event, name).unwrap_or_default();
        let holds = match evaluate(predicate, &value)? {
            Value::Bool(holds) => holds,
            wanted => wanted == value,
        };
        if !holds {
            return Ok(false);
        }
    }
    let mut fresh = Vec::new();
    if !filter.correlate.is_empty() {
        let envelope = envelope(event);
        for correlation in &filter.correlate {
            let value = evaluate(&correlation.from, &envelope)?;
            if matches!(value, Value::Null) {
                return Ok(false);
            }
            match value_of(correlations, &correlation.key) {
                Some(wanted) if *wanted != value => return Ok(false),
                Some(_) => {}
                None => fresh.push((correlation.key.clone(), value)),
            }
        }
    }
    correlations.extend(fresh);
    Ok(true)
}

/// What `read` takes of an event.
pub(crate) fn read(event: &CloudEvent, read: EventRead) -> Value {
    match read {
        EventRead::Data => event.data.clone().unwrap_or_default(),
        EventRead::Envelope => envelope(event),
        EventRead::Raw => match &event.data {
            None => Value::Null,
            Some(Value::String(text)) => Value::String(text.clone()),
            Some(data) => Value::from(data.to_json().as_str()),
        },
    }
}
