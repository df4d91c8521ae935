//! The shards of a node in memory, on simulated time: an hour of events takes a moment, and a deadline is met exactly.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use trinity_engine::definition;
use trinity_engine::event::CloudEvent;
use trinity_engine::execution::RuntimeInfo;
use trinity_engine::expression::Limits;
use trinity_engine::history::{Fact, Phase};
use trinity_engine::ids::{DefinitionId, ExecutionId, ShardId};
use trinity_engine::input::{Origin, ShardInput};
use trinity_engine::shard::{
    Catalog, CatalogEntry, CommitReceipt, DefinitionState, Ready, Settings, Shard, ShardEffect, TypePattern,
};
use trinity_engine::time::Timestamp;
use trinity_engine::value::{ParseLimits, Value};
use trinity_engine::wire;
use trinity_engine::wire::record::{RecordRef, Records};

const SHARDS: u16 = 4;

/// An execution as its history tells it.
#[derive(Clone, Debug)]
pub struct Execution {
    pub id: ExecutionId,
    pub phase: Phase,
    /// The id of the event that started it.
    pub event: String,
    pub output: Option<serde_json::Value>,
}

pub struct Node {
    shards: Vec<Shard>,
    mail: Vec<VecDeque<ShardInput>>,
    now: Timestamp,
    /// What was emitted, and when.
    pub emitted: Vec<(Timestamp, Arc<CloudEvent>)>,
    executions: Vec<Execution>,
}

impl Node {
    /// A node with one definition of `examples/`.
    pub fn new(file: &str) -> Node {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(file);
        let text = std::fs::read_to_string(file).expect("an example");
        let (plan, warnings) = definition::compile(&text).unwrap_or_else(|findings| panic!("{findings:?}"));
        assert!(warnings.is_empty(), "{warnings:?}");
        let entry = CatalogEntry { id: DefinitionId(0), plan: Arc::new(plan), state: DefinitionState::Current };
        let all = vec![TypePattern::Prefix("com.example.".into())];
        let catalog = Arc::new(Catalog::new(SHARDS, vec![entry], Value::Null).with_sinks(all));
        let runtime = RuntimeInfo { name: "trinity".into(), version: "0".into() };
        let settings = Settings { runtime, limits: Limits::default() };
        let shards = (0..SHARDS).map(|id| Shard::new(ShardId(id), settings.clone(), catalog.clone())).collect();
        let now = Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").expect("a time");
        let mail = vec![VecDeque::new(); usize::from(SHARDS)];
        Node { shards, mail, now, emitted: Vec::new(), executions: Vec::new() }
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// All executions, oldest first.
    pub fn executions(&self) -> Vec<Execution> {
        let mut executions = self.executions.clone();
        executions.sort_by_key(|execution| execution.id);
        executions
    }

    /// Hands in an event of a device, as a source would.
    pub fn post(&mut self, kind: &str, id: &str, device: &str, data: &str) {
        let mut event = CloudEvent::new(id, "mqtt://test", format!("com.example.device.{kind}"));
        event.subject = Some(device.into());
        event.data = Some(Value::parse(data.as_bytes(), &ParseLimits::default()).expect("JSON"));
        let shard = ShardId::of_key(event.partition_key().as_bytes(), SHARDS);
        self.mail[usize::from(shard.0)].push_back(ShardInput::Event { event: Arc::new(event), origin: Origin::Id });
        self.settle();
    }

    /// Lets time pass, from wake-up to wake-up.
    pub fn pass(&mut self, millis: u64) {
        let end = Timestamp(self.now.micros() + millis * 1_000);
        while let Some(at) = self.shards.iter().filter_map(Shard::next_wake).min().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.settle();
        }
        self.now = end;
    }

    fn settle(&mut self) {
        loop {
            let due = |shard: &Shard| shard.next_wake().is_some_and(|at| at <= self.now);
            let busy = (0..self.shards.len()).find(|&at| !self.mail[at].is_empty() || due(&self.shards[at]));
            let Some(number) = busy else { return };
            let ready = self.shards[number].step(&mut self.mail[number], self.now);
            self.commit(number, ready);
        }
    }

    fn commit(&mut self, number: usize, mut ready: Ready) {
        self.read(&ready.take_records());
        let from = ShardId(u16::try_from(number).expect("few"));
        for effect in ready.release(CommitReceipt { block: 0 }).effects {
            match effect {
                ShardEffect::Peer { to, sequence, message } => {
                    self.mail[usize::from(to.0)].push_back(ShardInput::Peer { from, sequence, message });
                }
                ShardEffect::Note { to, note } => {
                    self.mail[usize::from(to.0)].push_back(ShardInput::Note { from, note });
                }
                ShardEffect::Publish { publication, event } => {
                    self.emitted.push((self.now, event));
                    self.mail[number].push_back(ShardInput::Delivered(vec![publication]));
                }
                ShardEffect::Call { request, .. } => panic!("a call: {request:?}"),
                ShardEffect::CancelCall { .. } | ShardEffect::ConfirmCall { .. } => {}
            }
        }
    }

    /// Reads what became of executions.
    fn read(&mut self, records: &[u8]) {
        for record in Records::new(records) {
            let RecordRef::Execution { header, history, .. } = record.expect("a record") else { continue };
            let at = self.executions.iter().position(|execution| execution.id == header.id);
            let at = at.unwrap_or_else(|| {
                let execution = Execution { id: header.id, phase: header.phase, event: String::new(), output: None };
                self.executions.push(execution);
                self.executions.len() - 1
            });
            let execution = &mut self.executions[at];
            execution.phase = header.phase;
            for event in wire::history::decode(history).expect("history") {
                match event.fact {
                    Fact::Created { trigger, .. } if event.task.is_none() => {
                        execution.event = trigger.event_id.expect("started by an event").to_string();
                    }
                    Fact::Completed { output: Some(output) } if event.task.is_none() => {
                        execution.output = Some(serde_json::from_str(&output.to_json()).expect("JSON"));
                    }
                    _ => {}
                }
            }
        }
    }
}
