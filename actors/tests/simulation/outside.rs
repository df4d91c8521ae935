//! The neighbours of the node: what they want of it, and what they saw.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use trinity_engine::event::CloudEvent;
use trinity_engine::ids::{ActivationId, ExecutionId};
use trinity_engine::input::Origin;
use trinity_engine::time::Timestamp;
use trinity_engine::value::Value;

/// A message of a source.
#[derive(Clone)]
pub struct Message {
    pub event: Arc<CloudEvent>,
    /// For MQTT: what marks the delivery.
    pub key: u128,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A partition: acknowledged up to an offset, read again from there.
    Log,
    /// A session: each message is acknowledged, and sent again with a flag when the connection was lost.
    Session,
}

/// A source with its broker.
pub struct Source {
    pub kind: Kind,
    pub partition: Arc<str>,
    /// All that was published.
    pub log: Vec<Message>,
    /// Where the session reads next.
    pub position: usize,
    /// What was acknowledged to the broker.
    pub acknowledged: BTreeSet<usize>,
    /// What was handed out at least once.
    pub sent: BTreeSet<usize>,
    /// The number of its session with the node: what belongs to an older one is ignored.
    pub session: u64,
    /// Submissions under way, in order: number, session, messages.
    pub under_way: VecDeque<(u64, u64, Vec<usize>)>,
}

impl Source {
    pub fn new(kind: Kind, number: usize) -> Source {
        Source {
            kind,
            partition: format!("source/{number}").into(),
            log: Vec::new(),
            position: 0,
            acknowledged: BTreeSet::new(),
            sent: BTreeSet::new(),
            session: 0,
            under_way: VecDeque::new(),
        }
    }

    /// A new session: reads again what was not acknowledged.
    pub fn reconnect(&mut self) {
        self.session += 1;
        self.under_way.clear();
        self.position = match self.kind {
            Kind::Log => (0..self.log.len()).find(|at| !self.acknowledged.contains(at)).unwrap_or(self.log.len()),
            Kind::Session => 0,
        };
    }

    /// The next messages of the session.
    pub fn take(&mut self, most: usize) -> Vec<(usize, Arc<CloudEvent>, Origin)> {
        let mut taken = Vec::new();
        while taken.len() < most && self.position < self.log.len() {
            let at = self.position;
            self.position += 1;
            let message = &self.log[at];
            let origin = match self.kind {
                Kind::Log => Origin::Offset { partition: self.partition.clone(), offset: at as u64 },
                Kind::Session if self.acknowledged.contains(&at) => continue,
                Kind::Session => Origin::Key { key: message.key, redelivered: self.sent.contains(&at) },
            };
            self.sent.insert(at);
            taken.push((at, message.event.clone(), origin));
        }
        taken
    }

    pub fn is_done(&self) -> bool {
        self.acknowledged.len() == self.log.len()
    }
}

/// A call that runs at the callee.
pub struct Running {
    pub execution: ExecutionId,
    pub activation: ActivationId,
    pub attempt: u32,
    pub ends: Timestamp,
}

/// What the callee, the sink and the clients saw.
#[derive(Default)]
pub struct Seen {
    /// The idempotency keys of each execution's calls.
    pub keys: BTreeMap<ExecutionId, BTreeSet<String>>,
    pub calls: BTreeMap<String, u32>,
    /// How often each event reached the sink.
    pub delivered: BTreeMap<String, u32>,
    /// Executions that clients were told of.
    pub promised: BTreeSet<ExecutionId>,
    /// The execution of each idempotency key of a client.
    pub requests: BTreeMap<u64, ExecutionId>,
}

pub fn event(event_type: &str, id: String, subject: String, n: u64) -> Arc<CloudEvent> {
    let mut event = CloudEvent::new(id, "/simulation", event_type);
    event.subject = Some(subject.into());
    let data = format!("{{\"n\": {n}}}");
    event.data = Value::parse(data.as_bytes(), &trinity_engine::value::ParseLimits::default()).ok();
    Arc::new(event)
}
