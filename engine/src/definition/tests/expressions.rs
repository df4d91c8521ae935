//! Findings within expressions point into the text, however it is written.

use expect_test::expect;

use super::tasks_refused;

#[test]
fn an_unknown_variable() {
    tasks_refused(
        r##"
  - a:
      set: {x: "${ .y + $itm }"}
"##,
        expect![[r#"
            error[TRN0401]: `$itm` is not defined
             --> t.yaml:4:25
              |
            4 |       set: {x: "${ .y + $itm }"}
              |                         ^^^^
              = help: known here: $context, $input, $output, $secrets, $task, $workflow, $runtime, $authorization
        "#]],
    );
}

#[test]
fn an_unknown_variable_in_a_loop() {
    tasks_refused(
        r##"
  - a:
      for: {each: item, in: .list}
      do:
        - b: {set: {x: "${ $itme.id }"}}
"##,
        expect![[r#"
            error[TRN0401]: `$itme` is not defined
             --> t.yaml:6:28
              |
            6 |         - b: {set: {x: "${ $itme.id }"}}
              |                            ^^^^^
              = help: did you mean $item?
        "#]],
    );
}

#[test]
fn a_variable_outside_its_loop() {
    tasks_refused(
        r##"
  - a:
      for: {each: order, in: .list}
      do: []
  - b: {set: {x: "${ $order.id }"}}
"##,
        expect![[r#"
            error[TRN0401]: `$order` is not defined
             --> t.yaml:6:22
              |
            6 |   - b: {set: {x: "${ $order.id }"}}
              |                      ^^^^^^
              = help: known here: $context, $input, $output, $secrets, $task, $workflow, $runtime, $authorization
        "#]],
    );
}

#[test]
fn an_unknown_function() {
    tasks_refused(
        r##"
  - a: {set: {x: "${ .y | lenght }"}}
"##,
        expect![[r#"
            error[TRN0401]: `lenght/0` is not a function: jq has none of that name and number of arguments
             --> t.yaml:3:27
              |
            3 |   - a: {set: {x: "${ .y | lenght }"}}
              |                           ^^^^^^
        "#]],
    );
}

#[test]
fn an_unfinished_expression() {
    tasks_refused(
        r##"
  - a:
      if: .x ==
      set: {x: 1}
"##,
        expect![[r#"
            error[TRN0401]: expected a value, found the end
             --> t.yaml:4:16
              |
            4 |       if: .x ==
              |                ^
        "#]],
    );
}

#[test]
fn an_unclosed_bracket() {
    tasks_refused(
        r##"
  - a:
      switch:
        - b: {when: "(.x > 1", then: end}
"##,
        expect![[r#"
            error[TRN0401]: expected `)`, found the end
             --> t.yaml:5:29
              |
            5 |         - b: {when: "(.x > 1", then: end}
              |                             ^
        "#]],
    );
}

#[test]
fn an_empty_expression() {
    tasks_refused(
        r##"
  - a: {set: {x: "${ }"}}
"##,
        expect![[r#"
            error[TRN0401]: the expression is empty
             --> t.yaml:3:18
              |
            3 |   - a: {set: {x: "${ }"}}
              |                  ^^^^^^
              = help: `.` is the input itself
        "#]],
    );
}

#[test]
fn an_expression_that_is_a_boolean() {
    tasks_refused(
        r##"
  - a:
      if: true
      set: {x: 1}
"##,
        expect![[r#"
            error[TRN0203]: `if` must be an expression, not a boolean
             --> t.yaml:4:11
              |
            4 |       if: true
              |           ^^^^
              = help: write ${ true }
        "#]],
    );
}

#[test]
fn an_expression_that_is_a_list() {
    tasks_refused(
        r##"
  - a:
      if: [1]
      set: {x: 1}
"##,
        expect![[r#"
            error[TRN0203]: `if` must be an expression, not a list
             --> t.yaml:4:11
              |
            4 |       if: [1]
              |           ^^^
              = help: write a jq expression such as ${ .temperature > 38 }
        "#]],
    );
}

#[test]
fn two_expressions_in_a_text() {
    tasks_refused(
        r##"
  - a: {set: {x: "${ .a } and ${ .b }"}}
"##,
        expect![[r#"
            error[TRN0401]: expected an operator or the end, found `}`
             --> t.yaml:3:25
              |
            3 |   - a: {set: {x: "${ .a } and ${ .b }"}}
              |                         ^
              = help: a string is one ${ … } from begin to end; join texts inside: ${ "\(.a) and \(.b)" }
        "#]],
    );
}

#[test]
fn in_single_quotes() {
    tasks_refused(
        r##"
  - a: {set: {x: '${ "it''s" + $nope }'}}
"##,
        expect![[r#"
            error[TRN0401]: `$nope` is not defined
             --> t.yaml:3:32
              |
            3 |   - a: {set: {x: '${ "it''s" + $nope }'}}
              |                                ^^^^^
              = help: known here: $context, $input, $output, $secrets, $task, $workflow, $runtime, $authorization
        "#]],
    );
}

#[test]
fn in_double_quotes() {
    tasks_refused(
        r##"
  - a: {set: {x: "${ \"\u00e9\ta\" + $nope }"}}
"##,
        expect![[r#"
            error[TRN0401]: `$nope` is not defined
             --> t.yaml:3:38
              |
            3 |   - a: {set: {x: "${ \"\u00e9\ta\" + $nope }"}}
              |                                      ^^^^^
              = help: known here: $context, $input, $output, $secrets, $task, $workflow, $runtime, $authorization
        "#]],
    );
}

#[test]
fn in_a_literal_block() {
    tasks_refused(
        r##"
  - a:
      set:
        x: |
          ${
            .first
              + $nope
          }
"##,
        expect![[r#"
            error[TRN0401]: `$nope` is not defined
             --> t.yaml:8:17
              |
            8 |               + $nope
              |                 ^^^^^
              = help: known here: $context, $input, $output, $secrets, $task, $workflow, $runtime, $authorization
        "#]],
    );
}

#[test]
fn in_a_folded_block() {
    tasks_refused(
        r##"
  - a:
      set:
        x: >-
          ${ .first
          + $nope }
"##,
        expect![[r#"
            error[TRN0401]: `$nope` is not defined
             --> t.yaml:7:13
              |
            7 |           + $nope }
              |             ^^^^^
              = help: known here: $context, $input, $output, $secrets, $task, $workflow, $runtime, $authorization
        "#]],
    );
}

#[test]
fn in_a_plain_text_over_lines() {
    tasks_refused(
        r##"
  - a:
      set:
        x: ${ .first
          + $nope }
"##,
        expect![[r#"
            error[TRN0401]: `$nope` is not defined
             --> t.yaml:6:13
              |
            6 |           + $nope }
              |             ^^^^^
              = help: known here: $context, $input, $output, $secrets, $task, $workflow, $runtime, $authorization
        "#]],
    );
}

#[test]
fn after_characters_of_several_bytes() {
    tasks_refused(
        r##"
  - a: {set: {x: "${ \"é😀\" + $nope }"}}
"##,
        expect![[r#"
            error[TRN0401]: `$nope` is not defined
             --> t.yaml:3:31
              |
            3 |   - a: {set: {x: "${ \"é😀\" + $nope }"}}
              |                               ^^^^^
              = help: known here: $context, $input, $output, $secrets, $task, $workflow, $runtime, $authorization
        "#]],
    );
}

#[test]
fn in_from_and_as() {
    tasks_refused(
        r##"
  - a:
      set: {x: 1}
      input: {from: "{a: $nope}"}
      output: {as: {b: "${ $nope }"}}
      export: {as: 3}
"##,
        expect![[r#"
            error[TRN0401]: `$nope` is not defined
             --> t.yaml:5:26
              |
            5 |       input: {from: "{a: $nope}"}
              |                          ^^^^^
              = help: known here: $context, $input, $output, $secrets, $task, $workflow, $runtime, $authorization
            error[TRN0401]: `$nope` is not defined
             --> t.yaml:6:28
              |
            6 |       output: {as: {b: "${ $nope }"}}
              |                            ^^^^^
              = help: known here: $context, $input, $output, $secrets, $task, $workflow, $runtime, $authorization
            error[TRN0203]: `export.as` must be an expression or a map, not a number
             --> t.yaml:7:20
              |
            7 |       export: {as: 3}
              |                    ^
        "#]],
    );
}

#[test]
fn a_secret_that_is_not_declared() {
    tasks_refused(
        r##"
  - a:
      set:
        x: ${ $secrets.token + $secrets["other one"] }
"##,
        expect![[r#"
            error[TRN0303]: the secret "token" is not declared
             --> t.yaml:5:24
              |
            5 |         x: ${ $secrets.token + $secrets["other one"] }
              |                        ^^^^^
              = help: add it to `use: { secrets: [token] }`
            error[TRN0303]: the secret "other one" is not declared
             --> t.yaml:5:42
              |
            5 |         x: ${ $secrets.token + $secrets["other one"] }
              |                                          ^^^^^^^^^
              = help: add it to `use: { secrets: [other one] }`
        "#]],
    );
}

#[test]
fn in_retry_and_catch() {
    tasks_refused(
        r##"
  - a:
      try: []
      catch:
        as: problem
        when: $error.status == 503
        retry: {when: "$problm.status > 500"}
"##,
        expect![[r#"
            error[TRN0401]: `$error` is not defined
             --> t.yaml:7:15
              |
            7 |         when: $error.status == 503
              |               ^^^^^^
              = help: known here: $context, $input, $output, $secrets, $task, $workflow, $runtime, $authorization, $problem
            error[TRN0401]: `$problm` is not defined
             --> t.yaml:8:24
              |
            8 |         retry: {when: "$problm.status > 500"}
              |                        ^^^^^^^
              = help: did you mean $problem?
        "#]],
    );
}
