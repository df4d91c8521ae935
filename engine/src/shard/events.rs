//! The way of an event: to the triggers of its own shard, to the gatherers and the listeners where they live.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::catalog::{Catalog, Route};
use super::dedup::event_key;
use super::executions::Beginning;
use super::gather::GATHERERS_BYTES_MAX;
use super::step::{Step, Work};
use super::subscriptions::{CorrelationValue, home_of_type, home_of_value, text_of_value};
use super::trigger::Surroundings;
use super::{Shard, codec::ShardRecord};
use crate::event::{CloudEvent, envelope};
use crate::execution::StepContext;
use crate::expression::{Context, Expression};
use crate::history::{Trigger, TriggerKind};
use crate::ids::{ActivationId, DefinitionId, ExecutionId, ShardId};
use crate::input::{ExecutionInput, Origin, PeerMessage};
use crate::value::Value;

impl Shard {
    /// An event from a source. Repetitions are dropped; what nobody awaits leaves no trace.
    pub(super) fn event_in(&mut self, event: &Arc<CloudEvent>, origin: &Origin, step: &mut Step) {
        let catalog = self.catalog.clone();
        let route = catalog.route(&event.event_type);
        if !route.is_awaited() {
            return;
        }
        if self.is_repetition(event, origin, step) {
            step.released.duplicates += 1;
            return;
        }
        self.hand_on(event, &catalog, route, step);
    }

    fn is_repetition(&mut self, event: &CloudEvent, origin: &Origin, step: &mut Step) -> bool {
        let key = match origin {
            Origin::Internal => return false,
            Origin::Offset { partition, offset } => {
                let new = self.absorbed.advance(partition, *offset);
                if new {
                    step.absorb(partition, *offset);
                }
                return !new;
            }
            Origin::Id => event_key(event),
            // A key that the broker does not call a repetition may be used anew, as MQTT's packet identifiers are.
            Origin::Key { key, redelivered } if *redelivered && self.seen.contains(*key) => return true,
            Origin::Key { key, .. } => *key,
        };
        let new = self.seen.insert(key);
        if new {
            step.seen.push(key);
        }
        !new && matches!(origin, Origin::Id)
    }

    /// Passes the event on to who awaits it and starts what it triggers.
    pub(super) fn event(&mut self, event: &Arc<CloudEvent>, step: &mut Step) {
        let catalog = self.catalog.clone();
        self.hand_on(event, &catalog, catalog.route(&event.event_type), step);
    }

    fn hand_on(&mut self, event: &Arc<CloudEvent>, catalog: &Catalog, route: Route<'_>, step: &mut Step) {
        // Who listens before who starts: an execution does not hear the event that starts it.
        if route.is_listened() {
            let values = self.correlation_values(event, route, step);
            let mut homes: Vec<ShardId> =
                values.iter().map(|correlation| home_of_value(&correlation.value, catalog.shards())).collect();
            if route.is_plainly_listened() {
                homes.push(home_of_type(Some(&event.event_type), catalog.shards()));
            }
            if route.is_any_listened() {
                homes.push(home_of_type(None, catalog.shards()));
            }
            homes.sort_unstable();
            homes.dedup();
            for home in homes {
                if home == self.id {
                    self.tell(event, values.clone(), step);
                } else {
                    self.send(home, PeerMessage::Listened(event.clone()), step);
                }
            }
        }
        let mut started: Vec<DefinitionId> = Vec::new();
        for starter in route.starters(event) {
            // Of the filters of one definition the first that passes starts it, once.
            if started.contains(&starter.definition) {
                continue;
            }
            let Some(entry) = catalog.entry(starter.definition) else { continue };
            let surroundings = Surroundings {
                catalog,
                runtime: &self.settings.runtime,
                limits: &self.settings.limits,
                now: step.now,
                spent: &step.spent,
            };
            if let Some(input) = surroundings.input(starter, &entry.plan, event) {
                if entry.plan.has_several_filters() {
                    started.push(starter.definition);
                }
                let text = surroundings.element_text(&entry.plan, event);
                self.begin_by_event(starter.definition, input, text, event, step);
            }
        }
        let mut gathered: BTreeMap<ShardId, Vec<DefinitionId>> = BTreeMap::new();
        for definition in route.gatherers() {
            let Some(gathering) = catalog.gathering(definition) else { continue };
            gathered.entry(gathering.home).or_default().push(definition);
        }
        for (home, definitions) in gathered {
            if home == self.id {
                self.gather_all(&definitions, event, step);
            } else {
                self.send(home, PeerMessage::Gathered { definitions, event: event.clone() }, step);
            }
        }
    }

    fn begin_by_event(
        &mut self,
        definition: DefinitionId,
        input: Value,
        element_text: Option<Bytes>,
        event: &CloudEvent,
        step: &mut Step,
    ) {
        let trigger =
            Trigger { kind: TriggerKind::Event, event_id: Some(event.id.clone()), source: Some(event.source.clone()) };
        self.begin(Beginning { element_text, ..Beginning::new(definition, input, trigger) }, step);
    }

    /// An event from another shard concerns subscriptions that live here.
    pub(super) fn listened(&mut self, event: &Arc<CloudEvent>, step: &mut Step) {
        let catalog = self.catalog.clone();
        let values = self.correlation_values(event, catalog.route(&event.event_type), step);
        self.tell(event, values, step);
    }

    /// The values by which tasks know that the event may concern them. An expression that fails on the event gives none.
    fn correlation_values(&self, event: &CloudEvent, route: Route<'_>, step: &Step) -> Vec<CorrelationValue> {
        let expressions = route.correlations();
        if expressions.is_empty() {
            return Vec::new();
        }
        let envelope = envelope(event);
        let cx = Context {
            now: step.now,
            limits: &self.settings.limits,
            variables: &|_| Cow::Owned(Value::Null),
            spent: Some(&step.spent),
        };
        let value = |from: &Expression| {
            let value = text_of_value(&from.evaluate(&envelope, &cx).ok()?)?;
            Some(CorrelationValue { from: from.source().into(), value })
        };
        expressions.iter().filter_map(value).collect()
    }

    /// Passes an event on to the tasks whose subscriptions live here; the tasks decide whether it matches.
    fn tell(&mut self, event: &Arc<CloudEvent>, values: Vec<CorrelationValue>, step: &mut Step) {
        // One message for all tasks of a shard: with one for each, an event that many listen to would not fit a commit.
        let mut elsewhere: BTreeMap<ShardId, Vec<(ExecutionId, ActivationId)>> = BTreeMap::new();
        for (execution, activation) in self.subscriptions.of(&event.event_type, values) {
            if execution.shard() == self.id {
                let input = ExecutionInput::Event { activation, event: event.clone() };
                step.work.push_back(Work { execution, input });
            } else {
                elsewhere.entry(execution.shard()).or_default().push((execution, activation));
            }
        }
        for (shard, tasks) in elsewhere {
            self.send(shard, PeerMessage::Candidates { tasks, event: event.clone() }, step);
        }
    }

    /// Gives an event to the gatherers of these definitions, all of which live here: to as many as a commit should take, to the
    /// others with a next one.
    pub(super) fn gather_all(&mut self, definitions: &[DefinitionId], event: &Arc<CloudEvent>, step: &mut Step) {
        for (at, definition) in definitions.iter().enumerate() {
            if step.is_long() {
                let definitions = definitions[at..].to_vec();
                return self.send(self.id, PeerMessage::Gathered { definitions, event: event.clone() }, step);
            }
            self.gather(*definition, event, step);
        }
    }

    fn gather(&mut self, definition: DefinitionId, event: &Arc<CloudEvent>, step: &mut Step) {
        let catalog = self.catalog.clone();
        let Some(gathering) = catalog.gathering(definition) else { return };
        let before = self.gatherers.of(definition).to_vec();
        let mut cx = StepContext {
            now: step.now,
            secrets: catalog.secrets(),
            runtime: &self.settings.runtime,
            limits: &self.settings.limits,
            history: &mut Vec::new(),
            effects: &mut Vec::new(),
            measurements: &mut Vec::new(),
            scratch: &mut step.scratch,
            spent: &step.spent,
        };
        let complete = self.gatherers.take(definition, &gathering.plan, event, &mut cx);
        let start = step.records.len();
        while self.gatherers.of(definition) != before.as_slice() {
            step.record(&ShardRecord::Gathered(definition, self.gatherers.of(definition).to_vec()));
            if step.records.len() - start <= GATHERERS_BYTES_MAX {
                break;
            }
            step.records.truncate(start);
            self.gatherers.drop_oldest(definition);
        }
        if let Some(input) = complete {
            self.begin_by_event(definition, input, None, event, step);
        }
    }

    /// Puts a message for a shard into the outbox.
    pub(super) fn send(&mut self, to: ShardId, message: PeerMessage, step: &mut Step) {
        let sequence = self.outbox.push(to, message.clone());
        let record = ShardRecord::Outbox(to, sequence, message);
        step.record(&record);
        if let ShardRecord::Outbox(to, sequence, message) = record {
            step.released.effects.push(super::ShardEffect::Peer { to, sequence, message });
        }
    }
}
