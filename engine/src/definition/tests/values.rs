//! Values that are out of place.

use expect_test::expect;

use super::refused;

#[test]
fn durations() {
    refused(
        r##"
do:
  - a: {wait: 30s}
  - b: {wait: 30}
  - c: {wait: {second: 3}}
  - d: {wait: {seconds: -1}}
  - e: {wait: {}}
  - f: {wait: {seconds: 0.5}}
  - g: {wait: true}
"##,
        expect![[r#"
            error[TRN0503]: `30s` is not an ISO 8601 duration such as PT30S, PT1H30M or P1DT12H
             --> t.yaml:3:15
              |
            3 |   - a: {wait: 30s}
              |               ^^^
              = help: or write an object: {minutes: 1, seconds: 30}
            error[TRN0503]: `wait` must be a duration, not a number
             --> t.yaml:4:15
              |
            4 |   - b: {wait: 30}
              |               ^^
              = help: give the unit: {seconds: 30}, or PT30S
            error[TRN0201]: unknown key "second" in `wait`
             --> t.yaml:5:16
              |
            5 |   - c: {wait: {second: 3}}
              |                ^^^^^^
              = help: did you mean "seconds"?
            error[TRN0503]: "seconds" must be a whole number, 0 or more
             --> t.yaml:6:25
              |
            6 |   - d: {wait: {seconds: -1}}
              |                         ^^
              = help: computed durations are strings: ${ "PT\(.n)S" }
            error[TRN0503]: `wait` needs at least one of: days, hours, minutes, seconds, milliseconds
             --> t.yaml:7:9
              |
            7 |   - e: {wait: {}}
              |         ^^^^
            error[TRN0503]: "seconds" must be a whole number, 0 or more
             --> t.yaml:8:25
              |
            8 |   - f: {wait: {seconds: 0.5}}
              |                         ^^^
              = help: computed durations are strings: ${ "PT\(.n)S" }
            error[TRN0203]: `wait` must be a duration such as PT30S or {seconds: 30}, not a boolean
             --> t.yaml:9:15
              |
            9 |   - g: {wait: true}
              |               ^^^^
        "#]],
    );
}

#[test]
fn timeouts() {
    refused(
        r##"
do:
  - a:
      set: {x: 1}
      timeout: {afer: PT1S}
timeout: {after: P}
"##,
        expect![[r#"
            error[TRN0202]: `timeout` needs "after"
             --> t.yaml:5:7
              |
            5 |       timeout: {afer: PT1S}
              |       ^^^^^^^
            error[TRN0201]: unknown key "afer" in `timeout`
             --> t.yaml:5:17
              |
            5 |       timeout: {afer: PT1S}
              |                 ^^^^
              = help: did you mean "after"?
            error[TRN0503]: `P` is not an ISO 8601 duration such as PT30S, PT1H30M or P1DT12H
             --> t.yaml:6:18
              |
            6 | timeout: {after: P}
              |                  ^
              = help: or write an object: {minutes: 1, seconds: 30}
        "#]],
    );
}

#[test]
fn cron() {
    refused(
        r##"
schedule: {cron: "every day"}
do: []
"##,
        expect![[r#"
            error[TRN0504]: not a cron expression: Invalid pattern: Pattern must have 5 fields when seconds are disallowed.
             --> t.yaml:2:18
              |
            2 | schedule: {cron: "every day"}
              |                  ^^^^^^^^^^^
              = help: five fields: minute hour day month weekday, such as 0 9 * * 1-5
        "#]],
    );
}

#[test]
fn cron_with_seconds() {
    refused(
        r##"
schedule: {cron: "0 0 9 * * *"}
do: []
"##,
        expect![[r#"
            error[TRN0504]: not a cron expression: Invalid pattern: Pattern must have 5 fields when seconds are disallowed.
             --> t.yaml:2:18
              |
            2 | schedule: {cron: "0 0 9 * * *"}
              |                  ^^^^^^^^^^^^^
              = help: five fields: minute hour day month weekday, such as 0 9 * * 1-5
        "#]],
    );
}

#[test]
fn two_schedules() {
    refused(
        r##"
schedule: {every: PT1M, cron: "0 9 * * *"}
do: []
"##,
        expect![[r#"
            error[TRN0210]: `schedule` takes only one of: every, cron, after, on; "every" is given already
             --> t.yaml:2:25
              |
            2 | schedule: {every: PT1M, cron: "0 9 * * *"}
              |                         ^^^^
        "#]],
    );
}

#[test]
fn read_without_on() {
    refused(
        r##"
schedule:
  every: PT1M
  read: data
do: []
"##,
        expect![[r#"
            error[TRN0210]: `schedule.read` goes with `schedule.on` only
             --> t.yaml:4:3
              |
            4 |   read: data
              |   ^^^^
        "#]],
    );
}

#[test]
fn an_interval_of_nothing() {
    refused(
        r##"
schedule: {every: PT0S}
do: []
"##,
        expect![[r#"
            error[TRN0503]: `schedule.every` must be longer than nothing
             --> t.yaml:2:19
              |
            2 | schedule: {every: PT0S}
              |                   ^^^^
        "#]],
    );
}

#[test]
fn a_computed_interval() {
    refused(
        r##"
schedule: {every: "${ .x }"}
do: []
"##,
        expect![[r#"
            error[TRN0402]: `schedule.every` can't be computed
             --> t.yaml:2:19
              |
            2 | schedule: {every: "${ .x }"}
              |                   ^^^^^^^^^
              = help: it must be known when the workflow is registered: write it out, such as PT15M
        "#]],
    );
}

#[test]
fn a_schema_with_a_wrong_type() {
    refused(
        r##"
input:
  schema:
    document:
      type: object
      properties:
        id: {type: strng}
do: []
"##,
        expect![[r#"
            error[TRN0507]: not a valid JSON Schema: "strng" is not valid under any of the schemas listed in the 'anyOf' keyword
             --> t.yaml:7:20
              |
            7 |         id: {type: strng}
              |                    ^^^^^
        "#]],
    );
}

#[test]
fn a_schema_without_a_document() {
    refused(
        r##"
input: {schema: {format: json}}
do: []
"##,
        expect![[r#"
            error[TRN0202]: `schema` needs one of: document, resource
             --> t.yaml:2:9
              |
            2 | input: {schema: {format: json}}
              |         ^^^^^^
        "#]],
    );
}

#[test]
fn a_schema_with_a_pattern_that_is_none() {
    refused(
        r##"
output:
  schema:
    document:
      properties:
        id:
          pattern: "("
do: []
"##,
        expect![[r#"
            error[TRN0507]: not a valid JSON Schema: "(" is not a "regex"
             --> t.yaml:7:20
              |
            7 |           pattern: "("
              |                    ^^^
        "#]],
    );
}

#[test]
fn a_schema_on_the_net() {
    refused(
        r##"
input:
  schema:
    document: {$ref: "https://a.example/schema"}
do: []
"##,
        expect![[r#"
            error[TRN0507]: not a valid JSON Schema: Resource 'https://a.example/schema' is not present in a registry and retrieving it failed: Retrieval is disabled, cannot fetch https://a.example/schema
             --> t.yaml:4:15
              |
            4 |     document: {$ref: "https://a.example/schema"}
              |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        "#]],
    );
}

#[test]
fn evaluate() {
    refused(
        r##"
evaluate: {mode: loos}
do: []
"##,
        expect![[r#"
            error[TRN0208]: "loos" is no value of `evaluate.mode`
             --> t.yaml:2:18
              |
            2 | evaluate: {mode: loos}
              |                  ^^^^
              = help: did you mean "loose"?
        "#]],
    );
}

#[test]
fn top_level_keys() {
    refused(
        r##"
tiemout: {after: PT1S}
extra: 1
do: []
"##,
        expect![[r#"
            error[TRN0201]: unknown key "tiemout" in a definition
             --> t.yaml:2:1
              |
            2 | tiemout: {after: PT1S}
              | ^^^^^^^
              = help: did you mean "timeout"?
            warning[TRN0805]: unknown key "extra" in a definition
             --> t.yaml:3:1
              |
            3 | extra: 1
              | ^^^^^
              = help: it is ignored; known here: document, input, use, do, timeout, output, schedule, evaluate, metadata
        "#]],
    );
}

#[test]
fn do_is_missing() {
    refused(
        r##"
input: {}
"##,
        expect![[r#"
            error[TRN0202]: a definition needs "do"
             --> t.yaml:1:1
              |
            1 | document: {dsl: '1.0.3', namespace: test, name: t, version: 1.0.0}
              | ^
        "#]],
    );
}

#[test]
fn do_is_a_map() {
    refused(
        r##"
do:
  a: {set: {x: 1}}
"##,
        expect![[r#"
            error[TRN0203]: `do` must be a list, not a map
             --> t.yaml:3:3
              |
            3 |   a: {set: {x: 1}}
              |   ^^^^^^^^^^^^^^^^
        "#]],
    );
}
