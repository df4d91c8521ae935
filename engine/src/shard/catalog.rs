//! What is known of all definitions: the shards get it whole, as one shared value, and a new one whenever it changes.

use std::sync::Arc;

use ecow::EcoString;
use rustc_hash::FxHashMap;

use super::gather;
use super::starters::{Starter, Starters, demanded};
use crate::event::CloudEvent;
use crate::expression::Expression;
use crate::ids::{DefinitionId, ShardId};
use crate::plan::{EventFilter, EventStrategy, Listen, Plan, Schedule, TaskKind, Until};
use crate::value::{Map, Value};

/// What a version of a definition is there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DefinitionState {
    /// The newest of an active workflow: triggers, schedules and callers without a version start it.
    Current,
    /// An older version of an active workflow: only those who name the version start it.
    Superseded,
    /// Not yet active: only the API starts it.
    Draft,
    /// Deleted: its executions go on, nothing starts new ones.
    Retired,
}

/// One version of one definition.
#[derive(Clone, Debug)]
pub struct CatalogEntry {
    /// Its number.
    pub id: DefinitionId,
    /// Its plan.
    pub plan: Arc<Plan>,
    /// What it is there for.
    pub state: DefinitionState,
}

/// Which event types a sink takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TypePattern {
    /// This type.
    Exact(EcoString),
    /// All types that begin so.
    Prefix(EcoString),
}

impl TypePattern {
    /// Whether it takes that type.
    #[must_use]
    pub fn accepts(&self, event_type: &str) -> bool {
        match self {
            TypePattern::Exact(wanted) => wanted == event_type,
            TypePattern::Prefix(prefix) => event_type.starts_with(prefix.as_str()),
        }
    }
}

/// A definition that is started by several events together: one shard gathers them.
#[derive(Clone, Debug)]
pub(super) struct Gathering {
    pub home: ShardId,
    /// A workflow of one `listen` whose output is the input of the execution to start.
    pub plan: Arc<Plan>,
}

/// All definitions, indexed for the shards; the values of secrets; what sinks take.
#[derive(Debug, Default)]
pub struct Catalog {
    shards: u16,
    entries: FxHashMap<DefinitionId, CatalogEntry>,
    current: FxHashMap<(EcoString, EcoString), DefinitionId>,
    versions: FxHashMap<(EcoString, EcoString, EcoString), DefinitionId>,
    gatherings: FxHashMap<DefinitionId, Gathering>,
    /// Who awaits the events of a type.
    by_type: FxHashMap<EcoString, Takers>,
    /// Who awaits the events of every type.
    any: Takers,
    secrets: Value,
    sinks: Vec<TypePattern>,
}

/// How tasks listen to a type.
#[derive(Debug, Default)]
struct Listened {
    /// Some take every event of it for a candidate.
    plainly: bool,
    /// The expressions whose values tell others the events that concern them.
    by: Vec<Expression>,
}

/// Who awaits events.
#[derive(Debug, Default)]
struct Takers {
    starters: Starters,
    gatherers: Vec<DefinitionId>,
    listened: Option<Listened>,
}

/// Who awaits the events of one type.
#[derive(Clone, Copy)]
pub(super) struct Route<'a> {
    typed: Option<&'a Takers>,
    any: &'a Takers,
}

impl<'a> Route<'a> {
    /// Whether an event may start or move an execution.
    pub fn is_awaited(self) -> bool {
        let may_start = self.each().any(|takers| !takers.starters.is_empty());
        may_start || self.is_listened() || self.gatherers().next().is_some()
    }

    pub fn is_listened(self) -> bool {
        self.is_any_listened() || self.listened().is_some()
    }

    /// Whether some task listens to every type.
    pub fn is_any_listened(self) -> bool {
        self.any.listened.is_some()
    }

    /// Whether some task takes every event of the type for a candidate.
    pub fn is_plainly_listened(self) -> bool {
        self.listened().is_some_and(|listened| listened.plainly)
    }

    /// The expressions whose values tell tasks the events of the type that concern them.
    pub fn correlations(self) -> &'a [Expression] {
        self.listened().map_or(&[], |listened| &listened.by)
    }

    pub fn starters(self, event: &'a CloudEvent) -> impl Iterator<Item = Starter> + use<'a> {
        self.each().flat_map(|takers| takers.starters.of(event))
    }

    pub fn gatherers(self) -> impl Iterator<Item = DefinitionId> + use<'a> {
        self.each().flat_map(|takers| &takers.gatherers).copied()
    }

    fn each(self) -> impl Iterator<Item = &'a Takers> + use<'a> {
        self.typed.into_iter().chain([self.any])
    }

    fn listened(self) -> Option<&'a Listened> {
        self.typed?.listened.as_ref()
    }
}

impl Catalog {
    /// The catalog of `entries` for a node of `shards` shards. `secrets` is an object by name.
    #[must_use]
    pub fn new(shards: u16, entries: Vec<CatalogEntry>, secrets: Value) -> Catalog {
        let secrets = if matches!(secrets, Value::Object(_)) { secrets } else { Value::Object(Map::default()) };
        let mut catalog = Catalog { shards, secrets, ..Catalog::default() };
        for entry in entries {
            catalog.add(entry);
        }
        catalog
    }

    /// The same, with sinks that take events of these types.
    #[must_use]
    pub fn with_sinks(self, sinks: Vec<TypePattern>) -> Catalog {
        Catalog { sinks, ..self }
    }

    fn add(&mut self, entry: CatalogEntry) {
        let (id, plan) = (entry.id, entry.plan.clone());
        let name = (plan.namespace.clone(), plan.name.clone());
        if matches!(entry.state, DefinitionState::Current | DefinitionState::Superseded) {
            self.versions.insert((name.0.clone(), name.1.clone(), plan.version.clone()), id);
        }
        for task in &plan.tasks {
            if let TaskKind::Listen(listen) = &task.kind {
                self.listens(listen);
            }
        }
        if entry.state == DefinitionState::Current {
            self.schedule(id, &plan);
            self.current.insert(name, id);
        }
        self.entries.insert(id, entry);
    }

    fn schedule(&mut self, id: DefinitionId, plan: &Plan) {
        let Some(Schedule::On { strategy, .. }) = &plan.schedule else { return };
        if let EventStrategy::One(_) | EventStrategy::Any { until: None, .. } = strategy {
            let filters = strategy.filters();
            for (number, filter) in (0..).zip(filters) {
                let starter = Starter { definition: id, filter: Some(number) };
                // Several filters of one definition stay together, for an event that passes two of them starts it once.
                let demanded = demanded(filter).filter(|_| filters.len() == 1);
                self.takers(filter.event_type()).starters.add(starter, demanded);
            }
            if filters.is_empty() {
                self.any.starters.add(Starter { definition: id, filter: None }, None);
            }
            return;
        }
        let Some(gatherer) = gather::plan_of(plan) else { return };
        let home = home_of_name(plan, self.shards);
        self.gatherings.insert(id, Gathering { home, plan: Arc::new(gatherer) });
        for event_type in types_of(strategy) {
            add(&mut self.takers(event_type).gatherers, id);
        }
    }

    fn takers(&mut self, event_type: Option<&str>) -> &mut Takers {
        match event_type {
            Some(event_type) => self.by_type.entry(event_type.into()).or_default(),
            None => &mut self.any,
        }
    }

    fn listens(&mut self, listen: &Listen) {
        for event_type in types_of(&listen.to) {
            let listened = self.takers(event_type).listened.get_or_insert_default();
            let Some(event_type) = event_type else { continue };
            match listen.router_correlation(event_type) {
                None => listened.plainly = true,
                Some(correlation) => {
                    let source = correlation.from.source();
                    if !listened.by.iter().any(|own| own.source() == source) {
                        listened.by.push(correlation.from.clone());
                    }
                }
            }
        }
    }

    /// How many shards the node has.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The definition of that number.
    #[must_use]
    pub fn entry(&self, id: DefinitionId) -> Option<&CatalogEntry> {
        self.entries.get(&id)
    }

    /// All definitions, in no order that means anything.
    pub fn entries(&self) -> impl Iterator<Item = &CatalogEntry> {
        self.entries.values()
    }

    /// The definition that a caller means; without a version the current one.
    #[must_use]
    pub fn find(&self, namespace: &EcoString, name: &EcoString, version: Option<&EcoString>) -> Option<DefinitionId> {
        match version {
            Some(version) => self.versions.get(&(namespace.clone(), name.clone(), version.clone())),
            None => self.current.get(&(namespace.clone(), name.clone())),
        }
        .copied()
    }

    /// The values of all secrets, an object by name.
    #[must_use]
    pub fn secrets(&self) -> &Value {
        &self.secrets
    }

    /// Whether a sink may take events of that type.
    #[must_use]
    pub fn is_sunk(&self, event_type: &str) -> bool {
        self.sinks.iter().any(|sink| sink.accepts(event_type))
    }

    /// Whether an event of that type may start or move an execution.
    #[must_use]
    pub fn is_awaited(&self, event_type: &str) -> bool {
        self.route(event_type).is_awaited()
    }

    /// Who awaits events of that type.
    pub(super) fn route(&self, event_type: &str) -> Route<'_> {
        Route { typed: self.by_type.get(event_type), any: &self.any }
    }

    pub(super) fn gathering(&self, definition: DefinitionId) -> Option<&Gathering> {
        self.gatherings.get(&definition)
    }
}

/// The shard that owns the schedule of a workflow: by its name, so that all versions have the same.
pub(super) fn home_of_name(plan: &Plan, shards: u16) -> ShardId {
    let mut name = plan.namespace.to_string();
    name.push('/');
    name.push_str(&plan.name);
    ShardId::of_key(name.as_bytes(), shards)
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// The types that a strategy takes; `None` stands for every type.
fn types_of(strategy: &EventStrategy) -> Vec<Option<&str>> {
    let mut found: Vec<Option<&str>> = strategy.filters().iter().map(EventFilter::event_type).collect();
    if found.is_empty() {
        found.push(None);
    }
    if let EventStrategy::Any { until: Some(Until::Events(end)), .. } = strategy {
        found.extend(end.filters().iter().map(EventFilter::event_type));
    }
    found
}
