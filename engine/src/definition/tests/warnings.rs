//! What is accepted with a warning.

use expect_test::{Expect, expect};

use super::{HEAD, shown};

fn warned(text: &str, expect: Expect) {
    let text = format!("{HEAD}{}", text.trim_start_matches('\n'));
    assert!(super::super::compile(&text).is_ok(), "refused: {}", shown(&text));
    expect.assert_eq(&shown(&text));
}

#[test]
fn unreachable_tasks() {
    warned(
        r##"
do:
  - a: {set: {x: 1}, then: end}
  - b: {set: {x: 1}}
  - c:
      if: .x
      raise: {error: {type: https://a.example/e, status: 500}}
  - d: {set: {x: 1}}
"##,
        expect![[r#"
            warning[TRN0801]: the task "b" is never reached
             --> t.yaml:4:5
              |
            4 |   - b: {set: {x: 1}}
              |     ^
              = help: no task before it continues or jumps to it
            warning[TRN0801]: the task "c" is never reached
             --> t.yaml:5:5
              |
            5 |   - c:
              |     ^
              = help: no task before it continues or jumps to it
            warning[TRN0801]: the task "d" is never reached
             --> t.yaml:8:5
              |
            8 |   - d: {set: {x: 1}}
              |     ^
              = help: no task before it continues or jumps to it
        "#]],
    );
}

#[test]
fn reached_through_a_switch() {
    warned(
        r##"
do:
  - a:
      switch:
        - x: {when: .x, then: c}
        - y: {then: end}
  - b: {set: {x: 1}}
  - c: {set: {x: 1}}
"##,
        expect![[r#"
            warning[TRN0801]: the task "b" is never reached
             --> t.yaml:7:5
              |
            7 |   - b: {set: {x: 1}}
              |     ^
              = help: no task before it continues or jumps to it
        "#]],
    );
}

#[test]
fn an_expression_within_a_text() {
    warned(
        r##"
do:
  - a:
      set: {x: "Hello ${ .name }"}
"##,
        expect![[r#"
            warning[TRN0803]: this `${` stays as it is written
             --> t.yaml:4:16
              |
            4 |       set: {x: "Hello ${ .name }"}
              |                ^^^^^^^^^^^^^^^^^^
              = help: only a string that is one ${ … } from begin to end is evaluated; join texts inside: ${ "a \(.b)" }
        "#]],
    );
}

#[test]
fn details() {
    warned(
        r##"
do:
  - a:
      try: []
      catch: {errors: {with: {details: x}}}
"##,
        expect![[r#"
            warning[TRN0804]: `details` is the name of old versions
             --> t.yaml:5:31
              |
            5 |       catch: {errors: {with: {details: x}}}
              |                               ^^^^^^^
              = help: write `detail`
        "#]],
    );
}

#[test]
fn unknown_keys_at_the_top() {
    warned(
        r##"
do: []
x-generator: {by: hand}
"##,
        expect![[r#"
            warning[TRN0805]: unknown key "x-generator" in a definition
             --> t.yaml:3:1
              |
            3 | x-generator: {by: hand}
              | ^^^^^^^^^^^
              = help: it is ignored; known here: document, input, use, do, timeout, output, schedule, evaluate, metadata
        "#]],
    );
}

#[test]
fn attributes_that_brokers_refuse() {
    warned(
        r##"
do:
  - a:
      emit: {event: {with: {type: x, roomId: "1", dataContentType: text/plain}}}
"##,
        expect![[r#"
            warning[TRN0806]: "roomId" is no name of a CloudEvents attribute: only lower-case letters and digits
             --> t.yaml:4:38
              |
            4 |       emit: {event: {with: {type: x, roomId: "1", dataContentType: text/plain}}}
              |                                      ^^^^^^
              = help: brokers and libraries may refuse or change it; put it into `data`
            warning[TRN0806]: "dataContentType" is no name of a CloudEvents attribute: only lower-case letters and digits
             --> t.yaml:4:51
              |
            4 |       emit: {event: {with: {type: x, roomId: "1", dataContentType: text/plain}}}
              |                                                   ^^^^^^^^^^^^^^^
              = help: did you mean "datacontenttype"?
        "#]],
    );
}

#[test]
fn expressions_with_several_outputs() {
    warned(
        r##"
do:
  - a: {set: {x: "${ .list[] }", y: "${ [.list[]] }", z: "${ first(.list[]) }"}}
"##,
        expect![[r#"
            warning[TRN0802]: the expression may give several values
             --> t.yaml:3:18
              |
            3 |   - a: {set: {x: "${ .list[] }", y: "${ [.list[]] }", z: "${ first(.list[]) }"}}
              |                  ^^^^^^^^^^^^^^
              = help: only the first is taken; collect them with [ … ], or choose one with first(…)
        "#]],
    );
}
