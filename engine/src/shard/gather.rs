//! Starting an execution by several events together (`schedule.on` with `all`, or `any` with `until`).
//!
//! What has come so far is held by hidden executions of a workflow of one `listen` task, so that scheduling and listening
//! consume events by the same rules. An event goes to the oldest gatherer that takes it, else to a new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::definition;
use crate::event::CloudEvent;
use crate::execution::{Execution, Outcome, Start, State, StepContext};
use crate::history::{Trigger, TriggerKind};
use crate::ids::{DefinitionId, ExecutionId};
use crate::input::ExecutionInput;
use crate::plan::Plan;
use crate::value::{Array, Map, Value};

/// Most gatherers of one definition; the oldest gives way to a new one.
pub const GATHERERS_MAX: usize = 10_000;
/// Most bytes that those of one definition take, for all of them are recorded whenever one takes an event: again the oldest
/// give way.
pub const GATHERERS_BYTES_MAX: usize = 8 << 20;

/// The workflow of one `listen` that gathers for `plan`.
pub(super) fn plan_of(plan: &Plan) -> Option<Plan> {
    let schedule = plan.definition.get("schedule")?;
    let mut listen = Map::default();
    listen.insert("to", schedule.get("on")?.clone());
    if let Some(read) = schedule.get("read") {
        listen.insert("read", read.clone());
    }
    let mut tasks = Array::new();
    tasks.push(object("gather", object("listen", Value::Object(listen))));
    let mut document = Map::default();
    document.insert("document", plan.definition.get("document")?.clone());
    document.insert("do", Value::Array(tasks));
    definition::compile(&Value::Object(document).to_json()).ok().map(|(plan, _)| plan)
}

fn object(key: &str, value: Value) -> Value {
    let mut map = Map::default();
    map.insert(key, value);
    Value::Object(map)
}

/// The gatherers of one shard.
#[derive(Default, Debug)]
pub(super) struct Gatherers {
    open: BTreeMap<DefinitionId, Vec<Execution>>,
}

impl Gatherers {
    /// Feeds an event; gives the input of the execution to start, when the event completes one.
    pub fn take(
        &mut self,
        definition: DefinitionId,
        plan: &Plan,
        event: &Arc<CloudEvent>,
        cx: &mut StepContext<'_>,
    ) -> Option<Value> {
        let open = self.open.entry(definition).or_default();
        for at in 0..open.len() {
            let before = open[at].clone();
            feed(&mut open[at], event, plan, cx);
            if open[at] != before {
                return settle(open, at);
            }
        }
        let trigger = Trigger { kind: TriggerKind::Event, event_id: None, source: None };
        let start = Start {
            id: ExecutionId::from_u128(0),
            definition,
            input: Value::Null,
            trigger,
            parent: None,
            element_text: None,
        };
        let mut fresh = Execution::start(&start, plan, cx);
        let before = fresh.clone();
        feed(&mut fresh, event, plan, cx);
        if fresh == before {
            return None;
        }
        if open.len() == GATHERERS_MAX {
            open.remove(0);
        }
        open.push(fresh);
        settle(open, open.len() - 1)
    }

    /// Gives up the oldest gatherer of a definition.
    pub fn drop_oldest(&mut self, definition: DefinitionId) {
        if let Some(open) = self.open.get_mut(&definition)
            && !open.is_empty()
        {
            open.remove(0);
        }
    }

    /// The gatherers of `definition`, to store.
    pub fn of(&self, definition: DefinitionId) -> &[Execution] {
        self.open.get(&definition).map_or(&[], Vec::as_slice)
    }

    /// All of them, to store.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (DefinitionId, &[Execution])> {
        self.open.iter().map(|(definition, open)| (*definition, open.as_slice()))
    }

    /// Puts back what was stored.
    pub fn restore(&mut self, definition: DefinitionId, open: Vec<Execution>) {
        self.open.insert(definition, open);
    }

    /// Forgets the gatherers of definitions that are not current any more; those it forgot.
    pub fn retain(&mut self, keep: impl Fn(DefinitionId) -> bool) -> Vec<DefinitionId> {
        let gone: Vec<DefinitionId> = self.open.keys().copied().filter(|id| !keep(*id)).collect();
        for id in &gone {
            self.open.remove(id);
        }
        gone
    }
}

fn feed(gatherer: &mut Execution, event: &Arc<CloudEvent>, plan: &Plan, cx: &mut StepContext<'_>) {
    let listening = gatherer.activations().iter().find(|activation| matches!(activation.state, State::Listen(_)));
    if let Some(activation) = listening.map(|activation| activation.id) {
        gatherer.apply(ExecutionInput::Event { activation, event: event.clone() }, plan, cx);
    }
}

/// Takes out a gatherer that has ended; its output, unless it failed: faults of scheduling start nothing.
fn settle(open: &mut Vec<Execution>, at: usize) -> Option<Value> {
    open[at].outcome()?;
    match open.remove(at).outcome() {
        Some(Outcome::Completed(output)) => Some(output.clone()),
        _ => None,
    }
}
