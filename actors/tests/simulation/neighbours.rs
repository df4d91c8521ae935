//! The neighbours of the node: what they want of it, and what they saw.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;
use trinity_actors::admission::Line;
use trinity_engine::effect::HttpResponse;
use trinity_engine::error::WorkflowError;
use trinity_engine::event::CloudEvent;
use trinity_engine::ids::{ActivationId, DefinitionId, ExecutionId, ShardId};
use trinity_engine::input::{Control, Origin, SourceEvent};
use trinity_engine::value::{ParseLimits, Value};

/// How a source tells repetitions apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A partition of a log: acknowledged up to an offset, read again from there.
    Log,
    /// A session: each message is acknowledged, and sent again with a flag when the connection was lost.
    Session,
    /// A client over HTTP that posts an event again until it is told that it is durable.
    Client,
}

/// Messages that were handed to the node together, and how the source hears that they are durable.
pub struct Batch {
    pub numbers: Vec<usize>,
    pub redelivered: bool,
    pub heard: Option<oneshot::Receiver<()>>,
}

/// A source with its broker: what a pump of the node does is done here in the same way.
pub struct Source {
    pub kind: Kind,
    pub number: usize,
    partition: Arc<str>,
    /// All that was published.
    pub log: Vec<Arc<CloudEvent>>,
    /// Where the session reads next.
    pub position: usize,
    /// Durable, as the session has heard.
    durable: BTreeSet<usize>,
    /// What was acknowledged to the broker.
    acknowledged: BTreeSet<usize>,
    /// What was handed out at least once.
    sent: BTreeSet<usize>,
    pub line: Line,
    /// What is on its way, in order.
    pub under_way: VecDeque<Batch>,
}

impl Source {
    pub fn new(kind: Kind, number: usize) -> Source {
        Source {
            kind,
            number,
            partition: format!("source/{number}").into(),
            log: Vec::new(),
            position: 0,
            durable: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            sent: BTreeSet::new(),
            line: Line::default(),
            under_way: VecDeque::new(),
        }
    }

    /// A new session with the broker: what was not acknowledged comes again.
    pub fn reconnect(&mut self) {
        self.under_way.clear();
        self.durable.clear();
        self.line = Line::default();
        self.position = match self.kind {
            Kind::Log => (0..self.log.len()).find(|at| !self.acknowledged.contains(at)).unwrap_or(self.log.len()),
            Kind::Session | Kind::Client => 0,
        };
    }

    /// The numbers of the next messages of the session.
    pub fn take(&mut self, most: usize) -> Batch {
        let mut batch = Batch { numbers: Vec::new(), redelivered: false, heard: None };
        while batch.numbers.len() < most && self.position < self.log.len() {
            if self.kind == Kind::Log || !self.acknowledged.contains(&self.position) {
                batch.numbers.push(self.position);
            }
            self.position += 1;
        }
        batch
    }

    /// What is handed to the node for a batch.
    pub fn events(&mut self, batch: &Batch) -> Vec<SourceEvent> {
        let event = |number: &usize| {
            let redelivered = !self.sent.insert(*number) || batch.redelivered;
            let origin = match self.kind {
                Kind::Log => Origin::Offset { partition: self.partition.clone(), offset: *number as u64 },
                Kind::Session => Origin::Key { key: (self.number * 1_000_000 + number) as u128, redelivered },
                Kind::Client => Origin::Id,
            };
            SourceEvent { event: self.log[*number].clone(), origin, token: *number as u64 }
        };
        batch.numbers.iter().map(event).collect()
    }

    /// Those messages are durable.
    pub fn heard(&mut self, numbers: Vec<usize>) {
        self.durable.extend(numbers);
    }

    /// Tells the broker what is durable; whether there was something to tell.
    pub fn acknowledge(&mut self) -> bool {
        let told = !self.durable.is_empty();
        self.acknowledged.append(&mut self.durable);
        told
    }

    /// Whether the broker was told of everything.
    pub fn is_done(&self) -> bool {
        self.acknowledged.len() == self.log.len()
    }
}

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    Execute { definition: DefinitionId, key: Option<u64>, n: u64, number: u64 },
    Control(ExecutionId, Control),
    Await(ExecutionId),
}

/// An answer to a call, on its way.
pub struct Running {
    pub execution: ExecutionId,
    pub activation: ActivationId,
    pub attempt: u32,
    /// When it arrives, in steady microseconds.
    pub arrives: u64,
    pub result: Result<HttpResponse, WorkflowError>,
}

/// An event on its way to the sink.
pub struct Published {
    pub shard: ShardId,
    pub publication: u64,
    pub event: Arc<CloudEvent>,
}

/// What the callee, the sink and the clients saw.
#[derive(Default)]
pub struct Seen {
    /// Of each call that was made its key: to whom it belongs, with which body, and how often it came.
    pub calls: BTreeMap<String, (ExecutionId, Vec<u8>, u32)>,
    /// The key of each execution's call with a body.
    pub keys: BTreeMap<(ExecutionId, Vec<u8>), String>,
    /// The events that reached the sink, as JSON without what differs between deliveries: nothing.
    pub delivered: BTreeMap<String, String>,
    /// Executions that clients were told of.
    pub promised: Vec<ExecutionId>,
    /// The execution of each idempotency key of a client.
    pub requests: BTreeMap<u64, ExecutionId>,
    /// By execution: after how many questions a client was told of it, and the number of the first question for it.
    pub told: BTreeMap<ExecutionId, (u64, u64)>,
    /// The first question with a key.
    pub first_asked: BTreeMap<u64, u64>,
}

pub fn json(text: &str) -> Value {
    Value::parse(text.as_bytes(), &ParseLimits::default()).expect("JSON")
}

pub fn event(event_type: &str, id: String, subject: String, n: u64) -> Arc<CloudEvent> {
    let mut event = CloudEvent::new(id, "/simulation", event_type);
    event.subject = Some(subject.into());
    event.data = Some(json(&format!("{{\"n\": {n}}}")));
    Arc::new(event)
}
