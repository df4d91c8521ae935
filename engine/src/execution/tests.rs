//! Behaviour of executions as transcripts: a definition, what comes from outside, and the whole trace that follows.

use std::cell::Cell;
use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::{Execution, Outcome, RuntimeInfo, Scratch, Start, StepContext};
use crate::definition;
use crate::effect::{ExecutionEffect, HttpResponse};
use crate::event::CloudEvent;
use crate::expression::Limits;
use crate::history::{Fact, Phase, Trigger, TriggerKind};
use crate::ids::{DefinitionId, ExecutionId, ShardId};
use crate::input::{Control, ExecutionInput};
use crate::plan::Plan;
use crate::time::Timestamp;
use crate::value::{ParseLimits, Value};
use crate::wire;

fn json(text: &str) -> Value {
    Value::parse(text.as_bytes(), &ParseLimits::default()).expect("JSON in a test")
}

/// One execution on virtual time, with its trace.
struct World {
    plan: Plan,
    execution: Option<Execution>,
    now: Timestamp,
    secrets: Value,
    effects: Vec<ExecutionEffect>,
    trace: String,
}

impl World {
    fn new(tasks: &str) -> World {
        let header = "document: {dsl: '1.0.3', namespace: test, name: transcript, version: '1.0.0'}\n";
        let text = format!("{header}{tasks}");
        let plan = match definition::compile(&text) {
            Ok((plan, _)) => plan,
            Err(diagnostics) => panic!("the definition of a test is wrong: {diagnostics:#?}"),
        };
        World {
            plan,
            execution: None,
            now: Timestamp::from_millis(1_795_000_000_000),
            secrets: json(r#"{"token": "s3cret"}"#),
            effects: Vec::new(),
            trace: String::new(),
        }
    }

    fn step(&mut self, advance: impl FnOnce(Option<Execution>, &Plan, &mut StepContext<'_>) -> Execution) {
        let (mut history, mut effects, mut measurements) = (Vec::new(), Vec::new(), Vec::new());
        let runtime = RuntimeInfo { name: "trinity".into(), version: "0".into() };
        let limits = Limits::default();
        let mut cx = StepContext {
            now: self.now,
            secrets: &self.secrets,
            runtime: &runtime,
            limits: &limits,
            history: &mut history,
            effects: &mut effects,
            measurements: &mut measurements,
            scratch: &mut Scratch::default(),
            spent: &Cell::new(0),
        };
        let execution = advance(self.execution.take(), &self.plan, &mut cx);
        self.note(&history, &effects);
        self.effects = effects;
        // Whatever lives must survive being stored.
        if execution.outcome().is_none() {
            let mut stored = Vec::new();
            execution.encode(&mut stored);
            let back = Execution::decode(&stored).expect("a stored execution reads back");
            assert_eq!(back, execution);
        }
        self.execution = Some(execution);
    }

    fn note(&mut self, history: &[u8], effects: &[ExecutionEffect]) {
        for event in wire::history::decode(history).expect("recorded history reads back") {
            let place = event.task.map_or("workflow", |task| self.plan.task(task).reference.as_str()).to_owned();
            let fact = match event.fact {
                Fact::Created { input, .. } => format!("created {input}"),
                Fact::Started { iteration: None } => "started".to_owned(),
                Fact::Started { iteration: Some(index) } => format!("started #{index}"),
                Fact::Completed { output: Some(output) } => format!("completed {output}"),
                Fact::Completed { output: None } => "completed, unchanged".to_owned(),
                Fact::Faulted { error } => {
                    let kind = error.error_type.rsplit('/').next().unwrap_or_default().to_owned();
                    format!("faulted {kind} {} at {}", error.status, error.instance.unwrap_or_default())
                }
                Fact::Retried { attempt, at, .. } => {
                    format!("retried, number {attempt} in {} ms", at.micros_since(self.now) / 1_000)
                }
                Fact::Waiting { until: Some(at) } => format!("waiting {} ms", at.micros_since(self.now) / 1_000),
                Fact::Waiting { until: None } => "waiting for events".to_owned(),
                Fact::Emitted { .. } => "emitted".to_owned(),
                Fact::CorrelationCompleted { keys } => format!("correlation completed {keys}"),
                other => format!("{other:?}").to_lowercase(),
            };
            writeln!(self.trace, "{place}: {fact}").expect("a string takes text");
        }
        for effect in effects {
            let text = match effect {
                ExecutionEffect::Call { request, attempt, .. } => {
                    let body = request.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
                    format!("call {attempt}: {} {} {body}", request.method, request.uri)
                }
                ExecutionEffect::CancelCall { .. } => "cancel call".to_owned(),
                ExecutionEffect::Subscribe { interests, .. } => {
                    let types: Vec<_> = interests.iter().map(|i| i.event_type.as_deref().unwrap_or("*")).collect();
                    format!("subscribe {}", types.join(" "))
                }
                ExecutionEffect::Unsubscribe { .. } => "unsubscribe".to_owned(),
                ExecutionEffect::Publish { event } => {
                    format!("publish {} {}", event.event_type, event.data.clone().unwrap_or_default())
                }
                ExecutionEffect::StartChild { name, input, .. } => format!("start {name} {input}"),
                ExecutionEffect::CancelChild { .. } => "cancel child".to_owned(),
            };
            writeln!(self.trace, "  -> {}", text.trim_end()).expect("a string takes text");
        }
    }

    fn start(&mut self, input: &str) -> &mut World {
        let start = Start {
            id: ExecutionId::new(self.now, ShardId(0), 0),
            definition: DefinitionId(1),
            input: json(input),
            trigger: Trigger { kind: TriggerKind::Api, event_id: None, source: None },
            parent: None,
            element_text: None,
        };
        self.step(|_, plan, cx| Execution::start(&start, plan, cx));
        self
    }

    fn feed(&mut self, input: ExecutionInput) -> &mut World {
        self.step(|execution, plan, cx| {
            let mut execution = execution.expect("started before");
            execution.apply(input, plan, cx);
            execution
        });
        self
    }

    /// Jumps to the next wake-up.
    fn wake(&mut self) -> &mut World {
        self.now = self.live().next_wake().expect("a timer");
        self.feed(ExecutionInput::Timers)
    }

    /// Answers the latest call.
    fn answer(&mut self, status: u16, body: &str) -> &mut World {
        let call = self.live().outstanding(&self.plan).into_iter().find_map(|effect| match effect {
            ExecutionEffect::Call { activation, attempt, .. } => Some((activation, attempt)),
            _ => None,
        });
        let (activation, attempt) = call.expect("a call that waits");
        let headers = vec![("content-type".into(), "application/json".into())];
        let result = Ok(HttpResponse { status, headers, body: body.as_bytes().to_vec() });
        self.feed(ExecutionInput::Call { activation, attempt, result })
    }

    fn event(&mut self, event_type: &str, data: &str) -> &mut World {
        let activation = self.live().activations().iter().find(|a| matches!(a.state, super::State::Listen(_)));
        let activation = activation.expect("a listening task").id;
        let mut event = CloudEvent::new("1", "test", event_type);
        event.data = Some(json(data));
        self.feed(ExecutionInput::Event { activation, event: event.into() })
    }

    fn live(&self) -> &Execution {
        self.execution.as_ref().expect("started before")
    }

    fn check(&self, expected: Expect) {
        let phase = self.live().phase();
        expected.assert_eq(&format!("{}= {}\n", self.trace, phase.as_str()));
    }
}

/// The output of a definition that ends at once.
fn output(tasks: &str, input: &str) -> String {
    let mut world = World::new(tasks);
    world.start(input);
    match world.live().outcome() {
        Some(Outcome::Completed(output)) => output.to_json(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_reference_workflow_converts_branches_and_sets_the_level() {
    let mut world = World::new(
        r#"
do:
  - convert:
      set: {device: "${ .deviceId }", celsius: "${ (.temperature - 32) * 5 / 9 }"}
  - judge:
      switch:
        - hot: {when: .celsius > 30, then: high}
        - other: {then: normal}
  - high:
      set: "${ . + {level: \"high\"} }"
      then: end
  - normal:
      set: "${ . + {level: \"normal\"} }"
"#,
    );
    world.start(r#"{"deviceId": "d1", "temperature": 95}"#).check(expect![[r#"
        workflow: created {"deviceId":"d1","temperature":95}
        /do/0/convert: started
        /do/0/convert: completed {"device":"d1","celsius":35}
        /do/1/judge: started
        /do/1/judge: completed, unchanged
        /do/2/high: started
        /do/2/high: completed {"device":"d1","celsius":35,"level":"high"}
        workflow: completed {"device":"d1","celsius":35,"level":"high"}
        = completed
    "#]]);
}

#[test]
fn loops_chain_their_outputs_and_stop_on_while_and_exit() {
    let body = |condition: &str, then: &str| {
        format!(
            "do: [{{l: {{for: {{in: .xs}}, {condition} do: [{{a: {{set: {{xs: '${{.xs}}', n: '${{(.n // 0) + $item + $index}}'}}, {then}}}}}]}}}}]"
        )
    };
    let input = r#"{"xs": [10, 20, 30]}"#;
    assert_eq!(output(&body("", ""), input), r#"{"xs":[10,20,30],"n":63}"#);
    assert_eq!(output(&body("while: '(.n // 0) < 30',", ""), input), r#"{"xs":[10,20,30],"n":31}"#);
    assert_eq!(output(&body("", "then: exit"), input), r#"{"xs":[10,20,30],"n":10}"#);
    assert_eq!(output(&body("", ""), r#"{"xs": []}"#), r#"{"xs":[]}"#);
}

#[test]
fn a_fork_gives_outputs_in_declaration_order_and_the_last_export() {
    let tasks = r#"
do:
  - f:
      fork:
        branches:
          - a: {set: 1, export: {as: "${ {by: \"a\"} }"}}
          - b: {do: [{c: {set: 2}}]}
  - seen: {set: {branches: "${ . }", context: "${ $context }"}}
"#;
    let tasks = tasks.replace("set: 1", "set: '${ 1 }'").replace("set: 2", "set: '${ 2 }'");
    assert_eq!(output(&tasks, "{}"), r#"{"branches":[1,2],"context":{"by":"a"}}"#);
}

#[test]
fn of_competing_branches_the_first_wins_and_the_others_are_cancelled() {
    let mut world = World::new(
        "do: [{f: {fork: {compete: true, branches: [{slow: {wait: {seconds: 9}}}, {fast: {wait: {seconds: 1}}}]}}}]",
    );
    world.start("7").wake().check(expect![[r#"
        workflow: created 7
        /do/0/f: started
        /do/0/f/fork/branches/0/slow: started
        /do/0/f/fork/branches/0/slow: waiting 9000 ms
        /do/0/f/fork/branches/1/fast: started
        /do/0/f/fork/branches/1/fast: waiting 1000 ms
        /do/0/f/fork/branches/1/fast: completed, unchanged
        /do/0/f/fork/branches/0/slow: cancelled
        /do/0/f: completed 7
        workflow: completed 7
        = completed
    "#]]);
}

#[test]
fn a_call_is_retried_with_growing_delays_and_then_surfaces_its_error() {
    let mut world = World::new(
        r#"
do:
  - t:
      try:
        - c: {call: http, with: {method: get, endpoint: "http://x.test/{id}"}}
      catch:
        errors: {with: {type: https://open-workflow-specification.org/dsl/errors/types/communication}}
        retry: {delay: {seconds: 1}, backoff: {exponential: {}}, limit: {attempt: {count: 2}}}
"#,
    );
    world.start(r#"{"id": "a b"}"#).answer(503, "{}").wake().answer(503, "{}").wake().answer(404, "{}").check(expect![
        [r#"
        workflow: created {"id":"a b"}
        /do/0/t: started
        /do/0/t/try/0/c: started
          -> call 1: GET http://x.test/a%20b
        /do/0/t/try/0/c: faulted communication 503 at /do/0/t/try/0/c
        /do/0/t: retried, number 1 in 1000 ms
          -> cancel call
        /do/0/t/try/0/c: started
          -> call 1: GET http://x.test/a%20b
        /do/0/t/try/0/c: faulted communication 503 at /do/0/t/try/0/c
        /do/0/t: retried, number 2 in 2000 ms
          -> cancel call
        /do/0/t/try/0/c: started
          -> call 1: GET http://x.test/a%20b
        /do/0/t/try/0/c: faulted communication 404 at /do/0/t/try/0/c
        /do/0/t: faulted communication 404 at /do/0/t/try/0/c
        workflow: faulted communication 404 at /do/0/t/try/0/c
          -> cancel call
        = faulted
    "#]
    ]);
}

#[test]
fn a_handler_sees_the_error_and_its_output_is_that_of_the_try() {
    let tasks = r#"
do:
  - t:
      try: [{r: {raise: {error: {type: "https://a.test/bad", status: 418, title: Teapot}}}}]
      catch: {as: problem, when: .status == 418, do: [{h: {set: {was: "${ $problem.title }", input: "${ .x }"}}}]}
"#;
    assert_eq!(output(tasks, r#"{"x": 1}"#), r#"{"was":"Teapot","input":1}"#);
}

#[test]
fn timeouts_cut_off_what_is_inside_and_can_be_caught() {
    let mut world = World::new(
        "do: [{t: {try: [{w: {wait: PT1H, timeout: {after: {seconds: 2}}}}], catch: {errors: {with: {status: 408}}, do: [{h: {set: {late: true}}}]}}}]",
    );
    world.start("{}").wake();
    assert_eq!(world.live().outcome(), Some(&Outcome::Completed(json(r#"{"late":true}"#))));
}

#[test]
fn listening_takes_one_event_for_each_filter_and_keeps_their_order() {
    let mut world =
        World::new("do: [{l: {listen: {to: {all: [{with: {type: a, data: '${ .v > 1 }'}}, {with: {type: b}}]}}}}]");
    world.start("{}").event("b", "{\"v\":9}").event("a", "{\"v\":1}").event("a", "{\"v\":2}").check(expect![[r#"
        workflow: created {}
        /do/0/l: started
        /do/0/l: waiting for events
          -> subscribe a b
        /do/0/l: completed [{"v":2},{"v":9}]
        workflow: completed [{"v":2},{"v":9}]
          -> unsubscribe
        = completed
    "#]]);
}

#[test]
fn foreach_works_on_one_event_at_a_time_until_the_condition_holds() {
    let mut world = World::new(
        r#"
do:
  - l:
      listen: {to: {any: [{with: {type: a}}], until: "${ length == 2 }"}}
      foreach: {item: e, do: [{s: {set: "${ $e.v * 10 + $index }"}}], output: {as: "${ . }"}}
"#,
    );
    world.start("{}").event("a", "{\"v\":1}").event("a", "{\"v\":2}");
    assert_eq!(world.live().outcome(), Some(&Outcome::Completed(json("[10,21]"))));
}

#[test]
fn a_suspended_execution_keeps_what_comes_and_goes_on_when_resumed() {
    let mut world = World::new("do: [{c: {call: http, with: {method: get, endpoint: 'http://x.test'}}}]");
    world.start("{}").feed(ExecutionInput::Control(Control::Suspend)).answer(200, "{\"a\":1}");
    assert_eq!(world.live().phase(), Phase::Suspended);
    world.feed(ExecutionInput::Control(Control::Resume));
    assert_eq!(world.live().outcome(), Some(&Outcome::Completed(json(r#"{"a":1}"#))));
}

#[test]
fn cancelling_ends_all_tasks_and_nothing_moves_it_afterwards() {
    let mut world = World::new("do: [{o: {do: [{w: {wait: PT1S}}]}}]");
    world.start("{}").feed(ExecutionInput::Control(Control::Cancel)).feed(ExecutionInput::Timers).check(expect![[r#"
        workflow: created {}
        /do/0/o: started
        /do/0/o/do/0/w: started
        /do/0/o/do/0/w: waiting 1000 ms
        /do/0/o/do/0/w: cancelled
        /do/0/o: cancelled
        workflow: cancelled
        = cancelled
    "#]]);
}

#[test]
fn secrets_are_seen_only_when_declared() {
    let tasks =
        |declared: &str| format!("use: {{secrets: {declared}}}\ndo: [{{s: {{set: {{t: '${{ $secrets | keys }}'}}}}}}]");
    assert_eq!(output(&tasks("[token]"), "{}"), r#"{"t":["token"]}"#);
    assert_eq!(output(&tasks("[]"), "{}"), r#"{"t":[]}"#);
}

#[test]
fn a_loop_without_an_end_meets_the_limit_of_history() {
    let text = output("do: [{a: {set: {x: 1}, then: b}}, {b: {set: {x: 2}, then: a}}]", "{}");
    assert!(text.contains("limit of 100000 facts"), "{text}");
}

#[test]
fn a_loop_that_computes_on_and_on_meets_the_limit_of_a_step() {
    let text = output("do: [{a: {set: {x: '${ [range(20000)] | add }'}, then: a}}]", "{}");
    assert!(text.contains("may take 10000000 steps together"), "{text}");
}

#[test]
fn a_function_gets_its_arguments_as_input() {
    let tasks = r#"
use:
  functions:
    add: {input: {schema: {document: {type: object, required: [a, b]}}}, set: {sum: "${ .a + .b }"}}
do:
  - call: {call: add, with: {a: "${ .x }", b: 2}}
"#;
    assert_eq!(output(tasks, r#"{"x": 40}"#), r#"{"sum":42}"#);
    assert!(output(&tasks.replace(", b: 2", ""), r#"{"x": 40}"#).contains("/use/functions/add"));
}

#[test]
fn variables_of_a_task_itself_follow_those_around_it() {
    let tasks = r#"
do:
  - outer:
      for: {in: "[400, 500]", each: base}
      do:
        - inner:
            for: {in: "[1, 2, 3]", each: n}
            while: $n < 3
            do:
              - t:
                  try: [{r: {raise: {error: {type: "https://a.example/e", status: "${ $base + $n }"}}}}]
                  catch:
                    when: $error.status == $base + $n
                    do: [{seen: {set: "${ . + [$error.status] }"}}]
"#;
    assert_eq!(output(tasks, "[]"), "[401,402,501,502]");
}
