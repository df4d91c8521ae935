//! Definitions that compile, and the plans they make.

use expect_test::{Expect, expect};

use super::{HEAD, shown};
use crate::plan::{Plan, Task, TaskKind};

fn plan(text: &str) -> Plan {
    let text = format!("{HEAD}{}", text.trim_start_matches('\n'));
    match crate::definition::compile(&text) {
        Ok((plan, _)) => plan,
        Err(_) => panic!("refused:\n{}", shown(&text)),
    }
}

/// One line for each task: reference, kind, then, scope.
fn outline(text: &str, expect: Expect) {
    let plan = plan(text);
    let line = |task: &Task| {
        let kind = format!("{:?}", task.kind);
        let kind: String = kind.chars().take_while(|c| c.is_alphanumeric()).collect();
        format!("{} {kind} then {:?} {:?}\n", task.reference, task.then, task.scope)
    };
    let mut lines: Vec<String> = plan.tasks.iter().map(line).collect();
    lines.sort();
    expect.assert_eq(&lines.concat());
    for (index, list) in plan.lists.iter().enumerate() {
        for (position, ix) in list.tasks.iter().enumerate() {
            let task = plan.task(*ix);
            assert_eq!((task.list.0 as usize, task.position as usize), (index, position), "{}", task.reference);
        }
    }
}

#[test]
fn references_scopes_and_targets() {
    outline(
        r#"
use:
  functions:
    notify:
      do:
        - log: {set: {x: 1}}
do:
  - loop~/x:
      for: {each: order, at: n, in: .orders}
      while: $n < 3
      do:
        - guard:
            try:
              - call: {call: notify, with: {id: "${ $order.id }"}}
            catch:
              as: problem
              retry: {delay: {seconds: 1}, backoff: {exponential: {}}, limit: {attempt: {count: 2}}}
              do:
                - keep: {set: {why: "${ $problem.detail }"}}
              then: exit
  - hear:
      listen: {to: {any: [{with: {type: a}}], until: false}}
      foreach:
        item: event
        do:
          - each: {set: "${ $event }", then: end}
  - both:
      fork:
        compete: true
        branches:
          - left: {wait: PT1S}
          - right: {run: {workflow: {namespace: a, name: b, version: latest}}}
      then: loop~/x
"#,
        expect![[r#"
            /do/0/loop~0~1x For then Continue []
            /do/0/loop~0~1x/do/0/guard Try then Continue ["order", "n"]
            /do/0/loop~0~1x/do/0/guard/catch/do/0/keep Set then Continue ["order", "n", "problem"]
            /do/0/loop~0~1x/do/0/guard/try/0/call CallFunction then Continue ["order", "n"]
            /do/1/hear Listen then Continue []
            /do/1/hear/foreach/do/0/each Set then End ["event", "index"]
            /do/2/both Fork then Goto(0) []
            /do/2/both/fork/branches/0/left Wait then Continue []
            /do/2/both/fork/branches/1/right RunWorkflow then Continue []
            /use/functions/notify Do then Continue ["order", "n"]
            /use/functions/notify/do/0/log Set then Continue ["order", "n"]
        "#]],
    );
}

#[test]
fn a_default_case_may_stand_anywhere() {
    let plan =
        plan("do:\n  - a:\n      switch:\n        - other: {then: exit}\n        - hot: {when: .t > 3, then: end}\n");
    let TaskKind::Switch(cases) = &plan.tasks[0].kind else { panic!("a switch") };
    assert_eq!(cases.iter().map(|c| c.when.is_none()).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn yaml_1_2_keeps_on_and_yes() {
    let plan = plan("schedule:\n  on: {one: {with: {type: a}}}\ndo:\n  - a: {set: {answer: yes, n: 010, o: 0o10}}\n");
    assert!(matches!(plan.schedule, Some(crate::plan::Schedule::On { .. })));
    let set = plan.definition.pointer("/do/0/a/set").map(crate::value::Value::to_json);
    assert_eq!(set.as_deref(), Some(r#"{"answer":"yes","n":10,"o":8}"#));
}

#[test]
fn templates_without_expressions_are_constants() {
    let plan = plan("do:\n  - a: {set: {x: [1, {y: z}]}}\n  - b: {set: {x: [1, {y: '${ .z }'}]}}\n");
    let shape = |task: &Task| match &task.kind {
        TaskKind::Set(crate::expression::Template::Constant(value)) => value.to_json(),
        _ => "computed".to_owned(),
    };
    assert_eq!(plan.tasks.iter().map(shape).collect::<Vec<_>>(), [r#"{"x":[1,{"y":"z"}]}"#, "computed"]);
}

#[test]
fn loose_mode_takes_what_compiles_as_an_expression() {
    let plan = plan("evaluate: {mode: loose}\ndo:\n  - a: {set: {x: .y, text: 'two words('}}\n");
    let TaskKind::Set(crate::expression::Template::Object(members)) = &plan.tasks[0].kind else { panic!("an object") };
    assert!(matches!(members[0].1, crate::expression::Template::Expression(_)));
    assert!(matches!(members[1].1, crate::expression::Template::Constant(_)));
}

#[test]
fn anchors_and_json() {
    let plan = plan("use: {timeouts: {t: &t {after: PT1S}}}\ndo:\n  - a: {set: {x: 1}, timeout: *t}\n");
    assert!(plan.tasks[0].timeout.is_some());
    let json = r#"{"document":{"dsl":"1.0.0","namespace":"a","name":"b","version":"1.0.0"},"do":[{"a":{"set":{"x":"\ud83d\ude00\/\t"}}}]}"#;
    let (plan, warnings) = crate::definition::compile(json).expect("JSON is YAML");
    assert_eq!(warnings, []);
    let text = plan.definition.pointer("/do/0/a/set/x").and_then(crate::value::Value::as_str);
    assert_eq!(text, Some("😀/\t"));
}
