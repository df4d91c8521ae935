//! Who listens to what. A subscription is kept on the home shard of each event type that it wants, and can be told anew by
//! the execution's shard at any time: it is derived from the execution's state, never stored.

use ecow::EcoString;
use rustc_hash::FxHashMap;

use crate::ids::{ActivationId, ExecutionId, ShardId};

/// The event types a task wants; `None`: all.
pub(super) type EventTypes = Vec<Option<EcoString>>;

/// A listening task.
pub(super) type Listener = (ExecutionId, ActivationId);

/// The home of the subscriptions to a type; those to every type live on shard 0.
pub(super) fn home_of_type(event_type: Option<&str>, shards: u16) -> ShardId {
    event_type.map_or(ShardId(0), |event_type| ShardId::of_key(event_type.as_bytes(), shards))
}

/// The subscriptions that live on one shard.
#[derive(Default, Debug)]
pub(super) struct Subscriptions {
    typed: FxHashMap<EcoString, Vec<Listener>>,
    any: Vec<Listener>,
    types: FxHashMap<Listener, EventTypes>,
}

impl Subscriptions {
    /// Keeps a subscription; one that is told again changes nothing.
    pub fn add(&mut self, listener: Listener, types: EventTypes) {
        self.remove(listener);
        for event_type in &types {
            match event_type {
                Some(event_type) => self.typed.entry(event_type.clone()).or_default().push(listener),
                None => self.any.push(listener),
            }
        }
        self.types.insert(listener, types);
    }

    pub fn remove(&mut self, listener: Listener) {
        for event_type in self.types.remove(&listener).unwrap_or_default() {
            let Some(event_type) = event_type else {
                self.any.retain(|other| *other != listener);
                continue;
            };
            if let Some(list) = self.typed.get_mut(&event_type) {
                list.retain(|other| *other != listener);
                if list.is_empty() {
                    self.typed.remove(&event_type);
                }
            }
        }
    }

    /// The listeners to a type, each once, in the order they subscribed; those to all types only where they live.
    pub fn of(&self, event_type: &str) -> Vec<Listener> {
        let mut found = self.typed.get(event_type).cloned().unwrap_or_default();
        for listener in &self.any {
            if !found.contains(listener) {
                found.push(*listener);
            }
        }
        found
    }
}

/// The tasks of one shard's executions that listen, with the types that they want.
#[derive(Default, Debug)]
pub(super) struct Listening {
    tasks: FxHashMap<ExecutionId, Vec<(ActivationId, EventTypes)>>,
}

impl Listening {
    pub fn add(&mut self, (execution, activation): Listener, types: EventTypes) {
        self.tasks.entry(execution).or_default().push((activation, types));
    }

    /// Takes out one task; the types it wanted.
    pub fn remove(&mut self, (execution, activation): Listener) -> Option<EventTypes> {
        let tasks = self.tasks.get_mut(&execution)?;
        let at = tasks.iter().position(|(own, _)| *own == activation)?;
        let (_, types) = tasks.swap_remove(at);
        if tasks.is_empty() {
            self.tasks.remove(&execution);
        }
        Some(types)
    }

    /// Takes out all tasks of an execution.
    pub fn remove_all(&mut self, execution: ExecutionId) -> Vec<(ActivationId, EventTypes)> {
        self.tasks.remove(&execution).unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Listener, &[Option<EcoString>])> {
        let tasks = self.tasks.iter();
        tasks.flat_map(|(execution, tasks)| tasks.iter().map(|(id, types)| ((*execution, *id), types.as_slice())))
    }
}

/// The wanted types by their homes, in order of the homes.
pub(super) fn by_home(types: &[Option<EcoString>], shards: u16) -> Vec<(ShardId, EventTypes)> {
    let mut homes: Vec<(ShardId, EventTypes)> = Vec::new();
    for event_type in types {
        let home = home_of_type(event_type.as_deref(), shards);
        match homes.iter_mut().find(|(own, _)| *own == home) {
            Some((_, list)) => list.push(event_type.clone()),
            None => homes.push((home, vec![event_type.clone()])),
        }
    }
    homes.sort_by_key(|(home, _)| *home);
    homes
}
