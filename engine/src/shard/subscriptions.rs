//! Who listens to what. A subscription is kept at the home of each interest, and can be told anew by the execution's shard
//! at any time: it is derived from the execution's state, never stored.
//!
//! The home of an interest with a known correlation value is the shard of that value. Most correlations are by subject, and
//! events of a subject and the executions they start live on the shard of the subject: so nothing leaves that shard, and an
//! event concerns only those who wait for its value, however many others listen. Other interests live on the home of their
//! type, and are candidates for every event of it.

use ecow::EcoString;
use rustc_hash::FxHashMap;

use crate::effect::Interest;
use crate::ids::{ActivationId, ExecutionId, ShardId};
use crate::input::{CorrelationValue, Wanted};
use crate::value::Value;

/// A listening task.
pub(super) type Listener = (ExecutionId, ActivationId);

/// The home of the subscriptions to a type; those to every type live on shard 0.
pub(super) fn home_of_type(event_type: Option<&str>, shards: u16) -> ShardId {
    event_type.map_or(ShardId(0), |event_type| ShardId::of_key(event_type.as_bytes(), shards))
}

/// The home of the subscriptions to a correlation value.
pub(super) fn home_of_value(value: &str, shards: u16) -> ShardId {
    ShardId::of_key(value.as_bytes(), shards)
}

fn home(wanted: &Wanted, shards: u16) -> ShardId {
    match &wanted.correlation {
        Some(correlation) => home_of_value(&correlation.value, shards),
        None => home_of_type(wanted.event_type.as_deref(), shards),
    }
}

/// A correlation value as text: different values may have the same, equal ones never differ. `None`: null, which matches nothing.
pub(super) fn text_of_value(value: &Value) -> Option<EcoString> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        // The order of keys does not count in a comparison, so it must not here.
        Value::Array(_) | Value::Object(_) => Some("{}".into()),
        scalar => Some(scalar.to_json().into()),
    }
}

/// What a task wants, each once. Who wants every type needs nothing else, lest an event come to it from two homes.
pub(super) fn wanted(interests: &[Interest]) -> Vec<Wanted> {
    if interests.iter().any(|interest| interest.event_type.is_none()) {
        return vec![Wanted { event_type: None, correlation: None }];
    }
    let mut all: Vec<Wanted> = Vec::new();
    for interest in interests {
        let correlation = match &interest.correlation {
            None => None,
            Some((from, value)) => match text_of_value(value) {
                None => continue,
                Some(value) => Some(CorrelationValue { from: from.clone(), value }),
            },
        };
        let wanted = Wanted { event_type: interest.event_type.clone(), correlation };
        if !all.contains(&wanted) {
            all.push(wanted);
        }
    }
    all
}

/// The subscriptions that live on one shard.
#[derive(Default, Debug)]
pub(super) struct Subscriptions {
    listeners: FxHashMap<Wanted, Vec<Listener>>,
    wanted: FxHashMap<Listener, Vec<Wanted>>,
}

impl Subscriptions {
    /// Keeps a subscription; one that is told again changes nothing.
    pub fn add(&mut self, listener: Listener, wanted: Vec<Wanted>) {
        self.remove(listener);
        for wanted in &wanted {
            self.listeners.entry(wanted.clone()).or_default().push(listener);
        }
        self.wanted.insert(listener, wanted);
    }

    pub fn remove(&mut self, listener: Listener) {
        for wanted in self.wanted.remove(&listener).unwrap_or_default() {
            if let Some(list) = self.listeners.get_mut(&wanted) {
                list.retain(|other| *other != listener);
                if list.is_empty() {
                    self.listeners.remove(&wanted);
                }
            }
        }
    }

    /// Those whom an event may concern: of its type with one of its correlation values, of its type whatever the value, and
    /// of every type. A task is among them once, for it wants a type in one way only.
    pub fn of(&self, event_type: &str, correlations: Vec<CorrelationValue>) -> Vec<Listener> {
        let keyed = correlations.into_iter().map(Some).chain([None]);
        let of_type = keyed.map(|correlation| Wanted { event_type: Some(event_type.into()), correlation });
        let every = Wanted { event_type: None, correlation: None };
        let lists = of_type.chain([every]).filter_map(|wanted| self.listeners.get(&wanted));
        lists.flatten().copied().collect()
    }
}

/// The tasks of one shard's executions that listen, with what they want.
#[derive(Default, Debug)]
pub(super) struct Listening {
    tasks: FxHashMap<ExecutionId, Vec<(ActivationId, Vec<Wanted>)>>,
}

impl Listening {
    pub fn add(&mut self, (execution, activation): Listener, wanted: Vec<Wanted>) {
        self.tasks.entry(execution).or_default().push((activation, wanted));
    }

    /// Takes out one task; what it wanted.
    pub fn remove(&mut self, (execution, activation): Listener) -> Option<Vec<Wanted>> {
        let tasks = self.tasks.get_mut(&execution)?;
        let at = tasks.iter().position(|(own, _)| *own == activation)?;
        let (_, wanted) = tasks.swap_remove(at);
        if tasks.is_empty() {
            self.tasks.remove(&execution);
        }
        Some(wanted)
    }

    /// Takes out all tasks of an execution.
    pub fn remove_all(&mut self, execution: ExecutionId) -> Vec<(ActivationId, Vec<Wanted>)> {
        self.tasks.remove(&execution).unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Listener, &[Wanted])> {
        let tasks = self.tasks.iter();
        tasks.flat_map(|(execution, tasks)| tasks.iter().map(|(id, wanted)| ((*execution, *id), wanted.as_slice())))
    }
}

/// What is wanted by its homes, in order of the homes.
pub(super) fn by_home(all: &[Wanted], shards: u16) -> Vec<(ShardId, Vec<Wanted>)> {
    let mut homes: Vec<(ShardId, Vec<Wanted>)> = Vec::new();
    for wanted in all {
        let home = home(wanted, shards);
        match homes.iter_mut().find(|(own, _)| *own == home) {
            Some((_, list)) => list.push(wanted.clone()),
            None => homes.push((home, vec![wanted.clone()])),
        }
    }
    homes.sort_by_key(|(home, _)| *home);
    homes
}
