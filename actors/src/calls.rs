//! The outside calls of a shard: those that run, each with an actor of its own, and those that wait for a turn at their host.
//!
//! A host that is slow makes calls wait, and each that runs costs memory and a connection. So only so many of them run at
//! once, and who calls another host does not stand in their queue.

use std::collections::VecDeque;

use ecow::EcoString;
use ractor::{Actor, ActorId, ActorRef, SpawnErr};
use rustc_hash::FxHashMap;
use trinity_engine::ids::{ActivationId, ExecutionId};

use crate::execution_actor::{Call, Callers, ExecutionActor};
use crate::shard_actor::ShardMessage;

/// How many calls of one shard may run at one host.
const PER_HOST_MAX: usize = 64;

/// A task that calls.
pub(crate) type CallKey = (ExecutionId, ActivationId);

/// A call that runs.
struct Running {
    attempt: u32,
    actor: ActorRef<Call>,
    host: EcoString,
}

#[derive(Default)]
struct Host {
    running: usize,
    /// In the order in which they were asked for; those that are not in [`Calls::queued`] any more were given up.
    waiting: VecDeque<Call>,
}

/// The calls of a shard.
#[derive(Default)]
pub(crate) struct Calls {
    running: FxHashMap<CallKey, Running>,
    callers: FxHashMap<ActorId, CallKey>,
    /// Attempts of calls that wait.
    queued: FxHashMap<CallKey, u32>,
    hosts: FxHashMap<EcoString, Host>,
}

impl Calls {
    /// How many run or wait.
    pub fn len(&self) -> usize {
        self.running.len() + self.queued.len()
    }

    /// Whether an attempt runs, or waits for its turn.
    pub fn has(&self, key: CallKey, attempt: u32) -> bool {
        let runs = self.running.get(&key).is_some_and(|running| running.attempt == attempt);
        runs || self.queued.get(&key) == Some(&attempt)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes a call when it is its turn; one of the same task before it is given up.
    pub fn ask(&mut self, call: Call) -> EcoString {
        let key = (call.execution, call.activation);
        self.cancel(key);
        let host = host(&call.request.uri);
        self.queued.insert(key, call.attempt);
        self.hosts.entry(host.clone()).or_default().waiting.push_back(call);
        host
    }

    /// Starts what may run at a host. What can't be started is given back with the reason.
    pub async fn start(
        &mut self,
        host: &EcoString,
        callers: &Callers,
        shard: &ActorRef<ShardMessage>,
    ) -> Vec<(CallKey, u32, SpawnErr)> {
        let mut failed = Vec::new();
        while let Some(call) = self.next(host) {
            let (key, attempt) = ((call.execution, call.activation), call.attempt);
            let arguments = (callers.clone(), shard.clone(), call);
            match Actor::spawn_linked(None, ExecutionActor, arguments, shard.get_cell()).await {
                Ok((actor, _)) => {
                    self.callers.insert(actor.get_id(), key);
                    self.running.insert(key, Running { attempt, actor, host: host.clone() });
                    self.hosts.entry(host.clone()).or_default().running += 1;
                }
                Err(error) => failed.push((key, attempt, error)),
            }
        }
        failed
    }

    /// The next that may run at a host.
    fn next(&mut self, name: &EcoString) -> Option<Call> {
        let host = self.hosts.get_mut(name)?;
        while host.running < PER_HOST_MAX {
            let Some(call) = host.waiting.pop_front() else { break };
            let key = (call.execution, call.activation);
            if self.queued.get(&key) == Some(&call.attempt) {
                self.queued.remove(&key);
                return Some(call);
            }
        }
        if host.running == 0 && host.waiting.is_empty() {
            self.hosts.remove(name);
        }
        None
    }

    /// A call has ended; the host at which another may begin. One of another attempt is left alone.
    pub fn ended(&mut self, key: CallKey, attempt: u32) -> Option<EcoString> {
        if self.running.get(&key)?.attempt != attempt {
            return None;
        }
        self.forget(key).map(|running| running.host)
    }

    /// The actor of a call has failed: its task, its attempt and its host.
    pub fn failed(&mut self, actor: ActorId) -> Option<(CallKey, u32, EcoString)> {
        let key = *self.callers.get(&actor)?;
        self.forget(key).map(|running| (key, running.attempt, running.host))
    }

    /// Gives a call up, whether it runs or waits; the host at which another may begin.
    pub fn cancel(&mut self, key: CallKey) -> Option<EcoString> {
        self.queued.remove(&key);
        let running = self.forget(key)?;
        running.actor.kill();
        Some(running.host)
    }

    fn forget(&mut self, key: CallKey) -> Option<Running> {
        let running = self.running.remove(&key)?;
        self.callers.remove(&running.actor.get_id());
        if let Some(host) = self.hosts.get_mut(&running.host) {
            host.running -= 1;
        }
        Some(running)
    }
}

/// Scheme, host and port of a URI, as it was written.
fn host(uri: &str) -> EcoString {
    let after = uri.find("://").map_or(0, |at| at + 3);
    let end = uri[after..].find(['/', '?', '#']).map_or(uri.len(), |at| after + at);
    // User and password are no part of where it is.
    uri[after..end].rsplit('@').next().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use trinity_engine::ids::ShardId;
    use trinity_engine::time::Timestamp;

    use super::*;
    use crate::call::request;

    fn call(number: u64, attempt: u32, uri: &str) -> Call {
        let request = request(uri);
        let execution = ExecutionId::new(Timestamp(0), ShardId(0), number);
        Call { execution, activation: ActivationId(0), attempt, request }
    }

    #[test]
    fn hosts_are_told_apart_by_name_and_port() {
        for uri in ["http://a:1/x", "https://a:1", "http://u:p@a:1?q=/", "http://a:1#f"] {
            assert_eq!(host(uri), "a:1", "{uri}");
        }
        assert_eq!(host("nonsense"), "nonsense");
    }

    #[test]
    fn calls_take_their_turn_at_each_host_and_those_given_up_take_none() {
        let mut calls = Calls::default();
        let slow = calls.ask(call(1, 1, "http://slow/a"));
        calls.ask(call(2, 1, "http://slow/b"));
        calls.ask(call(3, 1, "http://slow/c"));
        let fast = calls.ask(call(4, 1, "http://fast/"));
        calls.hosts.get_mut(&slow).expect("it is there").running = PER_HOST_MAX;
        assert!(calls.next(&slow).is_none(), "it is full");
        assert_eq!(calls.next(&fast).expect("a turn").execution.sequence(), 4);
        calls.cancel((call(1, 1, "").execution, ActivationId(0)));
        calls.ask(call(2, 2, "http://slow/again"));
        calls.hosts.get_mut(&slow).expect("it is there").running = 0;
        let turns: Vec<_> =
            std::iter::from_fn(|| calls.next(&slow)).map(|c| (c.execution.sequence(), c.attempt)).collect();
        assert_eq!(turns, [(3, 1), (2, 2)]);
        assert!(calls.is_empty());
        assert!(!calls.hosts.contains_key(&slow), "a host without calls is forgotten");
    }
}
