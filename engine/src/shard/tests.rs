//! Shards among themselves: a node of some shards in memory, which commits at once and can crash at any point.

mod check;
mod faults;

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::definition::compile;
use crate::effect::{HttpRequest, HttpResponse};
use crate::event::CloudEvent;
use crate::history::{Fact, HistoryEvent, Phase};
use crate::ids::{ActivationId, DefinitionId};
use crate::input::{Control, Origin};
use crate::wire::record::{RecordRef, Records};
use crate::{execution, wire};

const SHARDS: u16 = 4;

struct Node {
    shards: Vec<Shard>,
    mail: Vec<VecDeque<ShardInput>>,
    /// What each shard has committed.
    journal: Vec<Vec<Vec<u8>>>,
    catalog: Arc<Catalog>,
    now: Timestamp,
    calls: Vec<(ExecutionId, ActivationId, u32, HttpRequest)>,
    published: Vec<(ShardId, u64, Arc<CloudEvent>)>,
    replies: Vec<(ReplyToken, Reply)>,
    duplicates: u64,
    /// Messages from shard to shard.
    messages: usize,
    lost: Vec<(ExecutionId, LostWakeUp)>,
}

fn catalog(definitions: &[&str], sinks: Vec<TypePattern>) -> Arc<Catalog> {
    let entries = definitions.iter().zip(0..).map(|(text, number)| {
        let (plan, _) = compile(text).unwrap_or_else(|findings| panic!("{findings:?}"));
        CatalogEntry { id: DefinitionId(number), plan: Arc::new(plan), state: DefinitionState::Current }
    });
    Arc::new(Catalog::new(SHARDS, entries.collect(), Value::Null).with_sinks(sinks))
}

fn settings() -> Settings {
    Settings { runtime: RuntimeInfo { name: "trinity".into(), version: "0".into() }, limits: Limits::default() }
}

impl Node {
    fn new(catalog: Arc<Catalog>) -> Node {
        let mut node = Node {
            shards: Vec::new(),
            mail: Vec::new(),
            journal: vec![Vec::new(); usize::from(SHARDS)],
            catalog,
            now: Timestamp::parse_rfc3339("2026-01-01T00:00:00Z").expect("a time"),
            calls: Vec::new(),
            published: Vec::new(),
            replies: Vec::new(),
            duplicates: 0,
            messages: 0,
            lost: Vec::new(),
        };
        node.recover(|_, _| None);
        node
    }

    /// Loses everything that is not committed and comes back. `snapshot` may give a shard's snapshot and how many commits it holds.
    fn recover(&mut self, snapshot: impl Fn(usize, &Node) -> Option<(Vec<u8>, usize)>) {
        let recovered: Vec<Shard> = (0..SHARDS)
            .map(|id| {
                let number = usize::from(id);
                let (mut shard, done) = match snapshot(number, self) {
                    None => (Shard::new(ShardId(id), settings(), self.catalog.clone()), 0),
                    Some((bytes, done)) => {
                        let shard = Shard::from_snapshot(ShardId(id), settings(), self.catalog.clone(), &bytes);
                        (shard.expect("a snapshot"), done)
                    }
                };
                for records in &self.journal[number][done..] {
                    shard.replay(records).expect("readable records");
                }
                shard
            })
            .collect();
        self.shards = recovered;
        self.mail = vec![VecDeque::new(); usize::from(SHARDS)];
        self.calls.clear();
        for number in 0..usize::from(SHARDS) {
            let ready = self.shards[number].recovered(self.now);
            self.commit(number, ready);
        }
    }

    fn crash(&mut self) {
        self.recover(|_, _| None);
    }

    /// One shard takes a step that becomes durable, and fails before anything of it leaves; the others go on.
    fn fail_after_step(&mut self, number: usize) {
        let mut ready = self.shards[number].step(&mut self.mail[number], self.now);
        self.journal[number].push(ready.take_records());
        let id = ShardId(u16::try_from(number).expect("few"));
        let mut shard = Shard::new(id, settings(), self.catalog.clone());
        for records in &self.journal[number] {
            shard.replay(records).expect("readable records");
        }
        self.shards[number] = shard;
        self.mail[number].clear();
        let ready = self.shards[number].recovered(self.now);
        self.commit(number, ready);
    }

    fn commit(&mut self, number: usize, mut ready: Ready) {
        let records = ready.take_records();
        if !records.is_empty() {
            self.journal[number].push(records);
        }
        let from = ShardId(u16::try_from(number).expect("few"));
        let released = ready.release(CommitReceipt { block: 0 });
        self.replies.extend(released.replies);
        self.duplicates += released.duplicates;
        self.lost.extend(released.lost);
        for effect in released.effects {
            match effect {
                ShardEffect::Call { execution, activation, attempt, request } => {
                    self.calls.push((execution, activation, attempt, request));
                }
                ShardEffect::CancelCall { execution, activation } => {
                    self.calls.retain(|(e, a, ..)| (*e, *a) != (execution, activation));
                }
                ShardEffect::ConfirmCall { execution, activation, attempt } => {
                    let runs = self.calls.iter().any(|(e, a, n, _)| (*e, *a, *n) == (execution, activation, attempt));
                    if !runs && self.shards[number].call_again(execution, activation, attempt).is_some() {
                        self.lost.push((execution, LostWakeUp::Call));
                    }
                }
                ShardEffect::Peer { to, sequence, message } => {
                    self.messages += 1;
                    self.mail[usize::from(to.0)].push_back(ShardInput::Peer { from, sequence, message });
                }
                ShardEffect::Note { to, note } => {
                    self.mail[usize::from(to.0)].push_back(ShardInput::Note { from, note });
                }
                ShardEffect::Publish { publication, event } => self.published.push((from, publication, event)),
            }
        }
    }

    /// One step of one shard.
    fn step(&mut self, number: usize) {
        let ready = self.shards[number].step(&mut self.mail[number], self.now);
        self.commit(number, ready);
    }

    /// Checks all live executions.
    fn check(&mut self) {
        for mail in &mut self.mail {
            mail.push_back(ShardInput::Check { executions: 1_000 });
        }
        self.settle();
    }

    /// Steps until nothing moves at this time.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            let busy = (0..self.shards.len()).filter(|&number| {
                let due = self.shards[number].next_wake().is_some_and(|at| at <= self.now);
                !self.mail[number].is_empty() || due
            });
            let busy: Vec<usize> = busy.collect();
            if busy.is_empty() {
                return;
            }
            for number in busy {
                self.step(number);
            }
        }
        panic!("the shards do not come to rest");
    }

    /// Lets time pass, from wake-up to wake-up.
    fn pass(&mut self, millis: u64) {
        let end = Timestamp(self.now.micros() + millis * 1_000);
        self.settle();
        while let Some(at) = self.shards.iter().filter_map(Shard::next_wake).min().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.settle();
        }
        self.now = end;
    }

    fn post(&mut self, event: &CloudEvent, origin: Origin) {
        let shard = ShardId::of_key(event.partition_key().as_bytes(), SHARDS);
        self.mail[usize::from(shard.0)].push_back(ShardInput::Event { event: Arc::new(event.clone()), origin });
    }

    /// Lets a client ask for an execution, without taking a step.
    fn ask(&mut self, shard: usize, definition: u32, input: Value, key: Option<&str>, reply: ReplyToken) {
        let trigger = Trigger { kind: TriggerKind::Api, event_id: None, source: None };
        let (definition, idempotency_key) = (DefinitionId(definition), key.map(Into::into));
        let ended = None;
        let input = ShardInput::Execute { definition, input, trigger, idempotency_key, reply, ended };
        self.mail[shard].push_back(input);
    }

    fn execute(&mut self, shard: usize, definition: u32, input: Value, key: Option<&str>) -> ExecutionId {
        let reply = ReplyToken(u64::try_from(self.replies.len()).expect("few"));
        self.ask(shard, definition, input, key, reply);
        self.settle();
        match self.replies.iter().rev().find(|(token, _)| *token == reply) {
            Some((_, Reply::Started { execution, .. })) => *execution,
            other => panic!("not started: {other:?}"),
        }
    }

    fn control(&mut self, execution: ExecutionId, control: Control) {
        let reply = ReplyToken(u64::MAX);
        let number = usize::from(execution.shard().0);
        self.mail[number].push_back(ShardInput::Control { execution, control, reply });
        self.settle();
    }

    fn answer(&mut self, body: &str) {
        let (execution, activation, attempt, _) = self.calls.remove(0);
        let result = Ok(HttpResponse {
            status: 200,
            headers: vec![("content-type".into(), "application/json".into())],
            body: body.as_bytes().to_vec(),
        });
        let input = ShardInput::Call { execution, activation, attempt, result };
        self.mail[usize::from(execution.shard().0)].push_back(input);
        self.settle();
    }

    /// Every execution with its definition, phase and history, in order of their ids.
    fn executions(&self) -> Vec<(ExecutionId, u32, Phase, Vec<HistoryEvent>)> {
        let mut found: Vec<(ExecutionId, u32, Phase, Vec<HistoryEvent>)> = Vec::new();
        for records in self.journal.iter().flatten() {
            for record in Records::new(records) {
                let RecordRef::Execution { header, history, .. } = record.expect("a record") else { continue };
                let events = wire::history::decode(history).expect("history");
                match found.iter_mut().find(|(id, ..)| *id == header.id) {
                    None => found.push((header.id, header.definition.0, header.phase, events)),
                    Some((_, _, phase, all)) => {
                        assert!(!phase.is_terminal(), "{} moves after its end", header.id);
                        *phase = header.phase;
                        all.extend(events);
                    }
                }
            }
        }
        found.sort_by_key(|(id, ..)| *id);
        found
    }

    fn phases(&self, definition: u32) -> Vec<Phase> {
        self.executions().iter().filter(|(_, d, ..)| *d == definition).map(|(_, _, phase, _)| *phase).collect()
    }

    fn output(&self, definition: u32) -> Vec<Value> {
        let outputs = self.executions().into_iter().filter(|(_, d, ..)| *d == definition);
        let ends = outputs.filter_map(|(_, _, _, events)| events.into_iter().rev().find(|e| e.task.is_none()));
        ends.filter_map(|e| if let Fact::Completed { output } = e.fact { output } else { None }).collect()
    }
}

fn event(event_type: &str, id: &str, subject: &str, data: &str) -> CloudEvent {
    let mut event = CloudEvent::new(id, "/test", event_type);
    event.subject = Some(subject.into());
    event.data = Some(json(data));
    event
}

fn json(text: &str) -> Value {
    Value::parse(text.as_bytes(), &crate::value::ParseLimits::default()).expect("JSON")
}

fn workflow(name: &str, rest: &str) -> String {
    format!("document: {{dsl: '1.0.0', namespace: test, name: {name}, version: '1.0.0'}}\n{rest}")
}

const CONVERT: &str = "
schedule: {on: {one: {with: {type: reading}}}}
do:
- convert: {set: {celsius: '${ (.[0].f - 32) * 5 / 9 }'}}
";

#[test]
fn an_event_starts_one_execution_however_often_it_comes() {
    let text = workflow("convert", CONVERT);
    let mut node = Node::new(catalog(&[&text], Vec::new()));
    for _ in 0..2 {
        node.post(&event("reading", "1", "a", r#"{"f": 212}"#), Origin::Id);
        node.post(&event("reading", "x", "b", r#"{"f": 32}"#), Origin::Offset { partition: "p/0".into(), offset: 7 });
        node.settle();
        node.crash();
        node.settle();
    }
    assert_eq!(node.output(0), [json(r#"{"celsius": 100}"#), json(r#"{"celsius": 0}"#)]);
    assert_eq!(node.duplicates, 2);
    node.post(&event("other", "2", "a", "{}"), Origin::Id);
    node.settle();
    assert_eq!(node.executions().len(), 2);
}

/// Filters for a type and for every type lie in different lists, with others of other workflows between them.
#[test]
fn an_event_that_passes_several_filters_of_a_workflow_starts_it_once() {
    let of = |name, filters| {
        workflow(name, &format!("schedule: {{on: {{any: [{filters}]}}}}\ndo:\n- a: {{set: {{x: 1}}}}\n"))
    };
    let both = of("both", "{with: {type: reading}}, {with: {subject: a}}");
    let other = of("other", "{with: {subject: a}}");
    for order in [[&both, &other], [&other, &both]] {
        let mut node = Node::new(catalog(&order.map(String::as_str), Vec::new()));
        node.post(&event("reading", "1", "a", "{}"), Origin::Id);
        node.settle();
        assert_eq!((node.phases(0).len(), node.phases(1).len()), (1, 1));
    }
}

#[test]
fn an_execution_waits_through_a_crash_and_wakes_in_time() {
    let text = workflow("pause", "do:\n- rest: {wait: {seconds: 5}}\n");
    let mut node = Node::new(catalog(&[&text], Vec::new()));
    node.execute(1, 0, Value::Null, None);
    assert_eq!(node.phases(0), [Phase::Waiting]);
    node.pass(4_999);
    node.crash();
    node.settle();
    assert_eq!(node.phases(0), [Phase::Waiting]);
    node.pass(1);
    assert_eq!(node.phases(0), [Phase::Completed]);
}

const LISTEN: &str = "
do:
- hear:
    listen:
      to:
        one:
          with: {type: answer}
          correlate: {order: {from: .data.order, expect: '${ .order }'}}
";

#[test]
fn a_listener_hears_what_comes_to_another_shard_also_after_a_crash() {
    let text = workflow("hear", LISTEN);
    let mut node = Node::new(catalog(&[&text], Vec::new()));
    for shard in 0..4 {
        node.execute(shard, 0, json(&format!(r#"{{"order": {shard}}}"#)), None);
    }
    node.post(&event("answer", "1", "s1", r#"{"order": 2}"#), Origin::Id);
    node.settle();
    node.crash();
    node.post(&event("answer", "2", "s2", r#"{"order": 0}"#), Origin::Id);
    node.post(&event("answer", "3", "s3", r#"{"order": 9}"#), Origin::Id);
    node.settle();
    let phases = node.phases(0);
    assert_eq!(phases.iter().filter(|phase| **phase == Phase::Completed).count(), 2, "{phases:?}");
    assert_eq!(node.output(0).len(), 2);
}

#[test]
fn what_a_shard_had_for_others_leaves_when_it_comes_back_alone() {
    let text = workflow("hear", LISTEN);
    let mut node = Node::new(catalog(&[&text], Vec::new()));
    let home = ShardId::of_key(b"0", SHARDS);
    let away = |subject: &String| ShardId::of_key(subject.as_bytes(), SHARDS) != home;
    let subject = (0..).map(|n| format!("s{n}")).find(away).expect("one of them");
    for id in ["1", "2"] {
        node.execute(0, 0, json(r#"{"order": 0}"#), None);
        node.post(&event("answer", id, &subject, r#"{"order": 0}"#), Origin::Id);
        if id == "1" {
            node.fail_after_step(usize::from(ShardId::of_key(subject.as_bytes(), SHARDS).0));
        }
        node.settle();
        assert!(node.phases(0).iter().all(|phase| *phase == Phase::Completed), "after event {id}");
    }
}

#[test]
fn an_execution_does_not_hear_the_event_that_starts_it() {
    let rest = "
schedule: {on: {one: {with: {type: beat}}}}
do:
- next: {listen: {to: {one: {with: {type: beat}, correlate: {who: {from: .subject, expect: '${ .[0] }'}}}}}}
";
    let mut node = Node::new(catalog(&[&workflow("next", rest)], Vec::new()));
    for who in ["a", "b", "c", "d", "e", "f"] {
        node.post(&event("beat", &format!("{who}1"), who, &format!("\"{who}\"")), Origin::Id);
    }
    node.settle();
    assert_eq!(node.phases(0), [Phase::Waiting; 6], "whatever their shards and the one of the type");
    node.post(&event("beat", "b2", "b", "\"b\""), Origin::Id);
    node.settle();
    let waiting = node.phases(0).iter().filter(|phase| **phase == Phase::Waiting).count();
    assert_eq!((waiting, node.output(0)), (6, vec![json("[\"b\"]")]));
}

#[test]
fn an_event_goes_to_who_waits_for_its_correlation_value_and_nowhere_else() {
    let rest = "
schedule: {on: {one: {with: {type: online}}}, read: envelope}
do:
- hear:
    listen:
      to:
        any:
        - with: {type: beat}
          correlate: {who: {from: .subject, expect: '${ .[0].subject }'}}
        - with: {type: offline}
          correlate: {who: {from: .data.who, expect: '${ .[0].subject }'}}
";
    let mut node = Node::new(catalog(&[&workflow("watch", rest)], Vec::new()));
    for number in 0..40 {
        node.post(&event("online", &format!("on{number}"), &format!("s{number}"), "{}"), Origin::Id);
    }
    node.settle();
    assert_eq!((node.phases(0).len(), node.messages), (40, 0));
    node.post(&event("beat", "b", "s7", "{}"), Origin::Id);
    node.post(&event("beat", "b", "nobody", "{}"), Origin::Id);
    node.settle();
    let waiting = |node: &Node| node.phases(0).iter().filter(|phase| **phase == Phase::Waiting).count();
    assert_eq!((waiting(&node), node.messages), (39, 0), "all of a subject lives on one shard");
    // The value of another expression may live elsewhere, and one that fails on an event is none of ours.
    node.post(&event("offline", "o1", "x", r#"{"who": "s8"}"#), Origin::Id);
    node.post(&event("offline", "o2", "x", "7"), Origin::Id);
    node.crash();
    node.post(&event("offline", "o3", "x", r#"{"who": "s9"}"#), Origin::Id);
    node.settle();
    assert_eq!(waiting(&node), 38, "o1 and o2 were lost with the crash");
    assert!(node.messages <= 1, "{}", node.messages);
}

#[test]
fn a_task_that_wants_a_type_in_several_ways_hears_each_event_once() {
    let listen =
        |filters: &str| format!("do:\n- hear: {{listen: {{to: {{any: [{filters}], until: '${{ length == 3 }}'}}}}}}\n");
    let by = |from: &str| format!("{{with: {{type: beat}}, correlate: {{k: {{from: {from}, expect: '${{ .k }}'}}}}}}");
    let two = workflow("two", &listen(&format!("{}, {}", by(".subject"), by(".data.k"))));
    let every = workflow("every", &listen(&format!("{}, {{with: {{source: /test}}}}", by(".subject"))));
    let list = workflow("list", &listen(&by("\"[.data.k]\"")));
    let mut node = Node::new(catalog(&[&two, &every, &list], Vec::new()));
    node.execute(1, 0, json(r#"{"k": "a"}"#), None);
    node.execute(2, 1, json(r#"{"k": "a"}"#), None);
    node.execute(3, 2, json(r#"{"k": ["a"]}"#), None);
    for number in 1..=3 {
        let data = format!(r#"{{"k": "a", "n": {number}}}"#);
        node.post(&event("beat", &format!("b{number}"), "a", &data), Origin::Id);
        node.settle();
    }
    let heard = json(r#"[{"k": "a", "n": 1}, {"k": "a", "n": 2}, {"k": "a", "n": 3}]"#);
    for definition in 0..3 {
        assert_eq!(node.output(definition), std::slice::from_ref(&heard), "{definition}");
    }
}

#[test]
fn a_child_gives_its_output_or_its_fault_to_the_parent() {
    let parent = workflow(
        "parent",
        "do:\n- sub: {run: {workflow: {namespace: test, name: child, version: latest, input: {n: '${ .n }'}}}}\n",
    );
    let child = workflow(
        "child",
        "do:\n- check:\n    switch:\n    - bad: {when: .n < 0, then: fail}\n    - good: {then: double}\n- double: {set: '${ .n * 2 }', then: end}\n- fail: {raise: {error: {type: 'https://x.test/bad', status: 400}}}\n",
    );
    let mut node = Node::new(catalog(&[&parent, &child], Vec::new()));
    node.execute(0, 0, json(r#"{"n": 21}"#), None);
    node.execute(3, 0, json(r#"{"n": -1}"#), None);
    assert_eq!(node.output(0), [json("42")]);
    assert_eq!(node.phases(0), [Phase::Completed, Phase::Faulted]);
    assert_eq!(node.phases(1), [Phase::Completed, Phase::Faulted]);
}

#[test]
fn a_missing_child_faults_the_parent_and_cancelling_reaches_the_child() {
    let lost = workflow("lost", "do:\n- sub: {run: {workflow: {namespace: test, name: nobody, version: '1.0.0'}}}\n");
    let parent =
        workflow("parent", "do:\n- sub: {run: {workflow: {namespace: test, name: child, version: '1.0.0'}}}\n");
    let child = workflow("child", "do:\n- rest: {wait: {hours: 1}}\n");
    let mut node = Node::new(catalog(&[&lost, &parent, &child], Vec::new()));
    node.execute(0, 0, Value::Null, None);
    assert_eq!(node.phases(0), [Phase::Faulted]);
    let parent = node.execute(0, 1, Value::Null, None);
    node.crash();
    node.settle();
    node.control(parent, Control::Cancel);
    assert_eq!((node.phases(1), node.phases(2)), (vec![Phase::Cancelled], vec![Phase::Cancelled]));
}

#[test]
fn a_workflow_that_starts_itself_does_not_keep_a_step() {
    let text = workflow(
        "again",
        "do:\n- sub: {run: {workflow: {namespace: test, name: again, version: latest}, await: false}}\n",
    );
    let mut node = Node::new(catalog(&[&text], Vec::new()));
    node.settle();
    node.ask(0, 0, Value::Null, None, ReplyToken(0));
    for _ in 0..5 {
        node.step(0);
    }
    assert_eq!(node.phases(0), [Phase::Completed; 5]);
}

#[test]
fn an_emitted_event_starts_another_workflow_and_waits_for_its_sink() {
    let alert = workflow(
        "alert",
        "do:\n- tell: {emit: {event: {with: {type: alert.high, subject: pump, data: {level: 3}}}}}\n",
    );
    let react =
        workflow("react", "schedule: {on: {one: {with: {type: alert.high}}}}\ndo:\n- take: {set: '${ .[0].level }'}\n");
    let mut node = Node::new(catalog(&[&alert, &react], vec![TypePattern::Prefix("alert.".into())]));
    node.execute(2, 0, Value::Null, None);
    assert_eq!(node.output(1), [json("3")]);
    assert_eq!(node.published.len(), 1);
    node.crash();
    node.settle();
    assert_eq!(node.published.len(), 2, "an undelivered event is handed out again");
    assert_eq!(node.published[0], node.published[1]);
    let (shard, number, _) = node.published[0].clone();
    node.mail[usize::from(shard.0)].push_back(ShardInput::Delivered(vec![number]));
    node.settle();
    node.crash();
    node.settle();
    assert_eq!((node.published.len(), node.output(1).len()), (2, 1));
}

#[test]
fn several_events_start_one_execution_together() {
    let text = workflow(
        "both",
        "schedule: {on: {all: [{with: {type: left}}, {with: {type: right}}]}}\ndo:\n- take: {set: '${ . }'}\n",
    );
    let mut node = Node::new(catalog(&[&text], Vec::new()));
    node.post(&event("left", "1", "a", "1"), Origin::Id);
    node.post(&event("left", "2", "b", "2"), Origin::Id);
    node.settle();
    node.crash();
    node.post(&event("right", "3", "c", "3"), Origin::Id);
    node.settle();
    assert_eq!(node.output(0).len(), 1);
    node.post(&event("right", "4", "d", "4"), Origin::Id);
    node.settle();
    let outputs = node.output(0);
    assert_eq!(outputs.len(), 2);
    assert!(outputs.iter().all(|output| matches!(output, Value::Array(events) if events.len() == 2)), "{outputs:?}");
}

#[test]
fn schedules_keep_their_time() {
    let every = workflow("every", "schedule: {every: {seconds: 10}}\ndo:\n- go: {set: {a: 1}}\n");
    let after = workflow("after", "schedule: {after: {seconds: 1}}\ndo:\n- go: {wait: {seconds: 2}}\n");
    let mut node = Node::new(catalog(&[&every, &after], Vec::new()));
    node.pass(5_000);
    assert_eq!((node.phases(0).len(), node.phases(1).len()), (0, 2));
    node.crash();
    node.pass(7_000);
    assert_eq!((node.phases(0).len(), node.phases(1).len()), (1, 5));
    let gone = Arc::new(Catalog::new(SHARDS, Vec::new(), Value::Null));
    for mail in &mut node.mail {
        mail.push_back(ShardInput::Catalog(gone.clone()));
    }
    node.pass(60_000);
    assert_eq!((node.phases(0).len(), node.phases(1).len()), (1, 5));
}

#[test]
fn a_request_with_the_same_key_gives_the_same_execution() {
    let text = workflow("once", "do:\n- go: {set: {a: 1}}\n");
    let mut node = Node::new(catalog(&[&text], Vec::new()));
    let first = node.execute(1, 0, Value::Null, Some("k"));
    node.crash();
    assert_eq!(node.execute(1, 0, Value::Null, Some("k")), first);
    assert_ne!(node.execute(1, 0, Value::Null, Some("l")), first);
    assert_eq!(node.executions().len(), 2);
}

#[test]
fn a_call_is_made_again_after_a_crash_with_the_same_key() {
    let text = workflow("call", "do:\n- get: {call: http, with: {method: get, endpoint: 'http://x.test/'}}\n");
    let mut node = Node::new(catalog(&[&text], Vec::new()));
    node.execute(0, 0, Value::Null, None);
    let first = node.calls[0].clone();
    node.crash();
    node.settle();
    assert_eq!(node.calls, [first]);
    node.answer("7");
    assert_eq!(node.output(0), [json("7")]);
    node.crash();
    node.settle();
    assert!(node.calls.is_empty());
}

#[test]
fn a_step_that_has_computed_much_leaves_the_other_inputs_to_the_next() {
    let text = workflow(
        "sum",
        "schedule: {on: {one: {with: {type: reading}}}}\ndo:\n- all: {set: {x: '${ [range(20000)] | add }'}}\n",
    );
    let mut node = Node::new(catalog(&[&text], Vec::new()));
    node.settle();
    let readings = 40;
    for n in 0..readings {
        node.post(&event("reading", &n.to_string(), "pump", "{}"), Origin::Id);
    }
    let shard = node.mail.iter().position(|mail| !mail.is_empty()).expect("the shard of the pump");
    node.step(shard);
    let left = node.mail[shard].len();
    assert!((1..readings).contains(&left), "{left} inputs are left");
    node.settle();
    assert_eq!(node.phases(0), vec![Phase::Completed; readings]);
}

#[test]
fn who_waits_for_an_end_is_told_now_or_then() {
    let text = workflow("pause", "do:\n- rest: {wait: {seconds: 1}}\n");
    let mut node = Node::new(catalog(&[&text], Vec::new()));
    let execution = node.execute(0, 0, Value::Null, None);
    let told = |node: &Node, token| node.replies.iter().any(|(t, r)| *t == ReplyToken(token) && *r == Reply::NotLive);
    node.mail[0].push_back(ShardInput::Await { execution, reply: ReplyToken(70) });
    node.settle();
    assert!(!told(&node, 70));
    node.pass(1_000);
    node.mail[0].push_back(ShardInput::Await { execution, reply: ReplyToken(71) });
    node.settle();
    assert!(told(&node, 70) && told(&node, 71));
    // Who starts it can say so at once, and is told even when there is nothing to start.
    let trigger = Trigger { kind: TriggerKind::Api, event_id: None, source: None };
    let start = |definition, token| ShardInput::Execute {
        definition: DefinitionId(definition),
        input: Value::Null,
        trigger: trigger.clone(),
        idempotency_key: None,
        reply: ReplyToken(token),
        ended: Some(ReplyToken(token + 1)),
    };
    node.mail[0].extend([start(0, 80), start(9, 90)]);
    node.settle();
    assert!(!told(&node, 81) && told(&node, 91));
    node.pass(1_000);
    assert!(told(&node, 81));
}

/// What a random life of a node is made of.
#[derive(Clone, Debug)]
enum Happening {
    Post {
        kind: u8,
        id: u8,
    },
    Execute {
        definition: u32,
        shard: usize,
        key: Option<u8>,
    },
    Control {
        nth: usize,
        control: Control,
    },
    Answer,
    Pass(u64),
    /// One step of one shard, its messages left lying.
    Step(usize),
    Check(usize),
    Crash,
    CrashWithSnapshots,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0..4_u8, any::<u8>()).prop_map(|(kind, id)| Happening::Post { kind, id }),
        3 => (1..6_u32, 0..4_usize, proptest::option::of(0..3_u8))
            .prop_map(|(definition, shard, key)| Happening::Execute { definition, shard, key }),
        2 => (0..20_usize, prop_oneof![Just(Control::Cancel), Just(Control::Suspend), Just(Control::Resume)])
            .prop_map(|(nth, control)| Happening::Control { nth, control }),
        2 => Just(Happening::Answer),
        2 => (0..3_000_u64).prop_map(Happening::Pass),
        6 => (0..4_usize).prop_map(Happening::Step),
        2 => (0..4_usize).prop_map(Happening::Check),
        1 => Just(Happening::Crash),
        1 => Just(Happening::CrashWithSnapshots),
    ]
}

fn definitions() -> Vec<String> {
    vec![
        workflow("convert", CONVERT),
        workflow("hear", LISTEN),
        workflow("call", "do:\n- get: {call: http, with: {method: get, endpoint: 'http://x.test/'}}\n"),
        workflow("parent", "do:\n- sub: {run: {workflow: {namespace: test, name: pause, version: latest}}}\n"),
        workflow("pause", "do:\n- rest: {wait: {seconds: 1}}\n"),
        workflow("tell", "do:\n- tell: {emit: {event: {with: {type: answer, data: {order: 1}}}}}\n"),
        workflow(
            "both",
            "schedule: {on: {all: [{with: {type: left}}, {with: {type: right}}]}}\ndo:\n- go: {set: {a: 1}}\n",
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever happens and whenever it crashes: the state is the fold of what was recorded, every posted event has acted
    /// once, and all that lives can still move.
    #[test]
    fn a_crash_at_any_point_loses_and_doubles_nothing(happenings in proptest::collection::vec(happening(), 1..60)) {
        let texts = definitions();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut node = Node::new(catalog(&texts, Vec::new()));
        node.settle();
        let mut readings = std::collections::BTreeSet::new();
        for happening in happenings {
            match happening {
                Happening::Post { kind, id } => {
                    let kind = ["reading", "answer", "left", "right"][usize::from(kind)];
                    let data = if kind == "reading" { r#"{"f": 50}"# } else { r#"{"order": 1}"# };
                    node.post(&event(kind, &format!("{kind}{id}"), &format!("s{}", id % 7), data), Origin::Id);
                    // As a source does: the message is not acknowledged before it was committed.
                    let shard = ShardId::of_key(format!("s{}", id % 7).as_bytes(), SHARDS);
                    if kind == "reading" {
                        node.settle();
                        readings.insert((id, shard));
                    }
                }
                Happening::Execute { definition, shard, key } => {
                    let trigger = Trigger { kind: TriggerKind::Api, event_id: None, source: None };
                    let idempotency_key = key.map(|key| key.to_string().into());
                    let (definition, input, reply) = (DefinitionId(definition), json(r#"{"order": 1}"#), ReplyToken(0));
                    node.mail[shard].push_back(ShardInput::Execute { definition, input, trigger, idempotency_key, reply, ended: None });
                }
                Happening::Control { nth, control } => {
                    if let Some((id, ..)) = node.executions().get(nth) {
                        node.control(*id, control);
                    }
                }
                Happening::Answer if !node.calls.is_empty() => node.answer("1"),
                Happening::Answer => {}
                Happening::Pass(millis) => node.pass(millis),
                Happening::Step(shard) => node.step(shard),
                Happening::Check(shard) => node.mail[shard].push_back(ShardInput::Check { executions: 2 }),
                Happening::Crash => node.crash(),
                Happening::CrashWithSnapshots => node.recover(|number, node| {
                    // Of every second shard, taken at its last commit.
                    (number % 2 == 0).then(|| (node.shards[number].snapshot().to_vec(), node.journal[number].len()))
                }),
            }
        }
        node.settle();
        node.check();
        prop_assert!(node.lost.is_empty(), "a false alarm: {:?}", node.lost);
        // Fold(records) = state.
        // But for the time of a step that recorded nothing.
        let state = |shard: &mut Shard| { shard.last = Timestamp(0); shard.snapshot().to_vec() };
        let live: Vec<Vec<u8>> = node.shards.iter_mut().map(state).collect();
        let started = node.executions().len();
        node.crash();
        node.settle();
        let folded: Vec<Vec<u8>> = node.shards.iter_mut().map(state).collect();
        prop_assert_eq!(node.executions().len(), started, "recovery starts nothing new");
        for (number, (live, folded)) in live.iter().zip(&folded).enumerate() {
            prop_assert!(live == folded, "shard {} is not the fold of its records", number);
        }
        prop_assert_eq!(node.phases(0).len(), readings.len(), "one execution for each reading");
        prop_assert!(node.phases(0).iter().all(|phase| *phase == Phase::Completed));
        // Everything that lives has something that will move it.
        for shard in &node.shards {
            for (id, live) in shard.live.iter() {
                let execution = live.execution().expect("readable");
                let suspended = execution.phase() == Phase::Suspended;
                prop_assert!(suspended || live.wake.is_some() || live.asks || is_parent(&execution), "{} hangs", id);
            }
        }
    }
}

fn is_parent(execution: &execution::Execution) -> bool {
    execution.activations().iter().any(|a| matches!(a.state, execution::State::Child { .. }))
}
