//! Tasks of the wrong shape.

use expect_test::expect;

use super::tasks_refused;

#[test]
fn a_slip_in_a_common_key() {
    tasks_refused(
        r##"
  - a:
      set: {x: 1}
      inptu: {from: .x}
"##,
        expect![[r#"
            error[TRN0201]: unknown key "inptu" in the set task
             --> t.yaml:5:7
              |
            5 |       inptu: {from: .x}
              |       ^^^^^
              = help: did you mean "input"?
        "#]],
    );
}

#[test]
fn a_slip_in_the_kind() {
    tasks_refused(
        r##"
  - a:
      swicth:
        - b: {then: end}
"##,
        expect![[r#"
            error[TRN0201]: unknown key "swicth" in a task
             --> t.yaml:4:7
              |
            4 |       swicth:
              |       ^^^^^^
              = help: did you mean "switch"?
        "#]],
    );
}

#[test]
fn no_kind() {
    tasks_refused(
        r##"
  - a:
      if: .x
      then: end
"##,
        expect![[r#"
            error[TRN0204]: the task does not say what to do
             --> t.yaml:3:5
              |
            3 |   - a:
              |     ^
              = help: give it one of: call, do, emit, for, fork, listen, raise, run, set, switch, try, wait
        "#]],
    );
}

#[test]
fn two_kinds() {
    tasks_refused(
        r##"
  - a:
      set: {x: 1}
      wait: PT1S
"##,
        expect![[r#"
            error[TRN0204]: a task does one thing: it is "set" already, "wait" is another
             --> t.yaml:5:7
              |
            5 |       wait: PT1S
              |       ^^^^
              = help: make it a task of its own
        "#]],
    );
}

#[test]
fn two_tasks_in_an_item() {
    tasks_refused(
        r##"
  - a:
      set: {x: 1}
    b:
      set: {x: 1}
"##,
        expect![[r#"
            error[TRN0205]: an item of a task list must have exactly one key, its name; this is another
             --> t.yaml:5:5
              |
            5 |     b:
              |     ^
              = help: begin a new item with `- ` (is the indentation right?)
        "#]],
    );
}

#[test]
fn an_item_that_is_no_map() {
    tasks_refused(
        r##"
  - a
"##,
        expect![[r#"
            error[TRN0203]: an item of a task list must be a map, not a string
             --> t.yaml:3:5
              |
            3 |   - a
              |     ^
        "#]],
    );
}

#[test]
fn an_empty_item() {
    tasks_refused(
        r##"
  - {}
"##,
        expect![[r#"
            error[TRN0205]: an item of a task list must have exactly one key, its name
             --> t.yaml:3:5
              |
            3 |   - {}
              |     ^^
        "#]],
    );
}

#[test]
fn a_task_that_is_nothing() {
    tasks_refused(
        r##"
  - a:
  - b: {set: {x: 1}}
"##,
        expect![[r#"
            error[TRN0203]: a task must be a map, not nothing (null)
             --> t.yaml:3:5
              |
            3 |   - a:
              |     ^
        "#]],
    );
}

#[test]
fn duplicate_names() {
    tasks_refused(
        r##"
  - a: {set: {x: 1}}
  - b: {set: {x: 1}}
  - a: {set: {x: 1}}
"##,
        expect![[r#"
            error[TRN0206]: another task "a" in the same list
             --> t.yaml:5:5
              |
            5 |   - a: {set: {x: 1}}
              |     ^
               = first used here: t.yaml:3:5
              |
            3 |   - a: {set: {x: 1}}
              |     -
              = help: names are how directives find tasks: rename one
        "#]],
    );
}

#[test]
fn reserved_names() {
    tasks_refused(
        r##"
  - end: {set: {x: 1}}
  - b: {set: {x: 1}}
"##,
        expect![[r#"
            error[TRN0207]: a task can't be named "end": that is a flow directive
             --> t.yaml:3:5
              |
            3 |   - end: {set: {x: 1}}
              |     ^^^
        "#]],
    );
}

#[test]
fn set_of_nothing() {
    tasks_refused(
        r##"
  - a: {set: {}}
"##,
        expect![[r#"
            error[TRN0209]: `set` needs at least one property
             --> t.yaml:3:9
              |
            3 |   - a: {set: {}}
              |         ^^^
        "#]],
    );
}

#[test]
fn set_of_a_list() {
    tasks_refused(
        r##"
  - a:
      set: [1, 2]
"##,
        expect![[r#"
            error[TRN0203]: `set` must be a map or an expression, not a list
             --> t.yaml:4:12
              |
            4 |       set: [1, 2]
              |            ^^^^^^
        "#]],
    );
}

#[test]
fn switch_without_then() {
    tasks_refused(
        r##"
  - a:
      switch:
        - hot: {when: .t > 30}
"##,
        expect![[r#"
            error[TRN0202]: a case of `switch` needs "then"
             --> t.yaml:5:11
              |
            5 |         - hot: {when: .t > 30}
              |           ^^^
        "#]],
    );
}

#[test]
fn switch_with_two_defaults() {
    tasks_refused(
        r##"
  - a:
      switch:
        - x: {then: end}
        - y: {then: exit}
"##,
        expect![[r#"
            error[TRN0210]: a second case without `when`: "x" is the default already
             --> t.yaml:6:11
              |
            6 |         - y: {then: exit}
              |           ^
        "#]],
    );
}

#[test]
fn switch_without_cases() {
    tasks_refused(
        r##"
  - a:
      switch: []
"##,
        expect![[r#"
            error[TRN0209]: `switch` needs at least one case
             --> t.yaml:4:7
              |
            4 |       switch: []
              |       ^^^^^^
        "#]],
    );
}

#[test]
fn switch_with_a_slip() {
    tasks_refused(
        r##"
  - a:
      switch:
        - hot: {wen: .t > 30, then: end}
"##,
        expect![[r#"
            error[TRN0201]: unknown key "wen" in a case of `switch`
             --> t.yaml:5:17
              |
            5 |         - hot: {wen: .t > 30, then: end}
              |                 ^^^
              = help: did you mean "when"?
        "#]],
    );
}

#[test]
fn for_without_in() {
    tasks_refused(
        r##"
  - a:
      for: {each: x}
      do:
        - b: {set: {y: 1}}
"##,
        expect![[r#"
            error[TRN0202]: `for` needs "in"
             --> t.yaml:4:7
              |
            4 |       for: {each: x}
              |       ^^^
        "#]],
    );
}

#[test]
fn for_without_do() {
    tasks_refused(
        r##"
  - a:
      for: {in: .list}
"##,
        expect![[r#"
            error[TRN0202]: the for task needs "do"
             --> t.yaml:3:5
              |
            3 |   - a:
              |     ^
        "#]],
    );
}

#[test]
fn for_with_a_dollar() {
    tasks_refused(
        r##"
  - a:
      for: {each: $item, in: .list}
      do: []
"##,
        expect![[r#"
            error[TRN0510]: "$item" can't be the name of a variable
             --> t.yaml:4:19
              |
            4 |       for: {each: $item, in: .list}
              |                   ^^^^^
              = help: write "item", without the dollar sign
        "#]],
    );
}

#[test]
fn for_over_a_number() {
    tasks_refused(
        r##"
  - a:
      for: {in: 3}
      do: []
"##,
        expect![[r#"
            error[TRN0203]: `for.in` must be an expression or a list, not a number
             --> t.yaml:4:17
              |
            4 |       for: {in: 3}
              |                 ^
        "#]],
    );
}

#[test]
fn for_with_one_variable_for_both() {
    tasks_refused(
        r##"
  - a:
      for: {each: i, at: i, in: .list}
      do: []
"##,
        expect![[r#"
            error[TRN0510]: `each` and `at` can't both be "i"
             --> t.yaml:4:7
              |
            4 |       for: {each: i, at: i, in: .list}
              |       ^^^
        "#]],
    );
}

#[test]
fn for_with_a_standard_variable() {
    tasks_refused(
        r##"
  - a:
      for: {each: context, in: .list}
      do: []
"##,
        expect![[r#"
            error[TRN0510]: $context is a standard variable and can't be redefined
             --> t.yaml:4:19
              |
            4 |       for: {each: context, in: .list}
              |                   ^^^^^^^
        "#]],
    );
}

#[test]
fn fork_without_branches() {
    tasks_refused(
        r##"
  - a:
      fork: {compete: yes}
"##,
        expect![[r#"
            error[TRN0202]: `fork` needs "branches"
             --> t.yaml:4:7
              |
            4 |       fork: {compete: yes}
              |       ^^^^
            error[TRN0203]: `compete` must be true or false, not a string
             --> t.yaml:4:23
              |
            4 |       fork: {compete: yes}
              |                       ^^^
        "#]],
    );
}

#[test]
fn a_jump_between_branches() {
    tasks_refused(
        r##"
  - a:
      fork:
        branches:
          - b: {set: {x: 1}, then: c}
          - c: {set: {x: 1}}
"##,
        expect![[r#"
            error[TRN0301]: "c" can't be reached from here
             --> t.yaml:6:36
              |
            6 |           - b: {set: {x: 1}, then: c}
              |                                    ^
              = help: the branches of a fork run at the same time; use continue, exit or end
        "#]],
    );
}

#[test]
fn try_without_catch() {
    tasks_refused(
        r##"
  - a:
      try:
        - b: {set: {x: 1}}
"##,
        expect![[r#"
            error[TRN0202]: the try task needs "catch"
             --> t.yaml:3:5
              |
            3 |   - a:
              |     ^
        "#]],
    );
}

#[test]
fn catch_with_a_dynamic_filter() {
    tasks_refused(
        r##"
  - a:
      try: []
      catch:
        errors:
          with: {type: "${ .type }"}
"##,
        expect![[r#"
            error[TRN0402]: an expression can't stand here
             --> t.yaml:7:24
              |
            7 |           with: {type: "${ .type }"}
              |                        ^^^^^^^^^^^^
              = help: the filter is static; put the condition in `catch.when`
        "#]],
    );
}

#[test]
fn catch_with_a_status_of_text() {
    tasks_refused(
        r##"
  - a:
      try: []
      catch: {errors: {with: {status: "503"}}}
"##,
        expect![[r#"
            error[TRN0203]: `status` must be a whole number, not a string
             --> t.yaml:5:39
              |
            5 |       catch: {errors: {with: {status: "503"}}}
              |                                       ^^^^^
        "#]],
    );
}

#[test]
fn retry_with_two_backoffs() {
    tasks_refused(
        r##"
  - a:
      try: []
      catch:
        retry:
          backoff: {linear: {}, exponential: {}}
"##,
        expect![[r#"
            error[TRN0210]: `backoff` takes only one of: constant, linear, exponential; "linear" is given already
             --> t.yaml:7:33
              |
            7 |           backoff: {linear: {}, exponential: {}}
              |                                 ^^^^^^^^^^^
        "#]],
    );
}

#[test]
fn retry_with_half_a_jitter() {
    tasks_refused(
        r##"
  - a:
      try: []
      catch:
        retry:
          jitter: {from: PT1S}
"##,
        expect![[r#"
            error[TRN0202]: `jitter` needs "to"
             --> t.yaml:7:11
              |
            7 |           jitter: {from: PT1S}
              |           ^^^^^^
        "#]],
    );
}

#[test]
fn retry_with_a_negative_count() {
    tasks_refused(
        r##"
  - a:
      try: []
      catch:
        retry: {limit: {attempt: {count: -1}}}
"##,
        expect![[r#"
            error[TRN0208]: `count` must be between 0 and 4294967295
             --> t.yaml:6:42
              |
            6 |         retry: {limit: {attempt: {count: -1}}}
              |                                          ^^
        "#]],
    );
}

#[test]
fn raise_without_status() {
    tasks_refused(
        r##"
  - a:
      raise:
        error: {type: https://example.com/e}
"##,
        expect![[r#"
            error[TRN0202]: an error needs "status"
             --> t.yaml:5:9
              |
            5 |         error: {type: https://example.com/e}
              |         ^^^^^
        "#]],
    );
}

#[test]
fn raise_with_a_status_out_of_range() {
    tasks_refused(
        r##"
  - a:
      raise:
        error: {type: https://example.com/e, status: 42}
"##,
        expect![[r#"
            error[TRN0208]: `status` must be between 100 and 599
             --> t.yaml:5:54
              |
            5 |         error: {type: https://example.com/e, status: 42}
              |                                                      ^^
        "#]],
    );
}

#[test]
fn emit_without_type() {
    tasks_refused(
        r##"
  - a:
      emit:
        event:
          with: {source: https://a.example}
"##,
        expect![[r#"
            error[TRN0202]: the event needs "type"
             --> t.yaml:6:11
              |
            6 |           with: {source: https://a.example}
              |           ^^^^
        "#]],
    );
}

#[test]
fn emit_without_with() {
    tasks_refused(
        r##"
  - a:
      emit:
        event: {type: x}
"##,
        expect![[r#"
            error[TRN0202]: `emit.event` needs "with"
             --> t.yaml:5:9
              |
            5 |         event: {type: x}
              |         ^^^^^
            error[TRN0201]: unknown key "type" in `emit.event`
             --> t.yaml:5:17
              |
            5 |         event: {type: x}
              |                 ^^^^
              = help: known here: with
        "#]],
    );
}

#[test]
fn emit_with_a_wrong_specversion() {
    tasks_refused(
        r##"
  - a:
      emit: {event: {with: {type: x, specversion: "0.3"}}}
"##,
        expect![[r#"
            error[TRN0208]: `specversion` must be '1.0'
             --> t.yaml:4:51
              |
            4 |       emit: {event: {with: {type: x, specversion: "0.3"}}}
              |                                                   ^^^^^
              = help: leave it out: it is set by itself
        "#]],
    );
}

#[test]
fn listen_to_two_strategies() {
    tasks_refused(
        r##"
  - a:
      listen:
        to:
          one: {with: {type: x}}
          all: []
"##,
        expect![[r#"
            error[TRN0210]: `listen.to` takes only one of: one, any, all; "one" is given already
             --> t.yaml:7:11
              |
            7 |           all: []
              |           ^^^
        "#]],
    );
}

#[test]
fn listen_to_nothing() {
    tasks_refused(
        r##"
  - a:
      listen: {}
"##,
        expect![[r#"
            error[TRN0202]: `listen` needs "to"
             --> t.yaml:4:7
              |
            4 |       listen: {}
              |       ^^^^^^
        "#]],
    );
}

#[test]
fn until_in_until() {
    tasks_refused(
        r##"
  - a:
      listen:
        to:
          any: []
          until:
            any: []
            until: "${ true }"
"##,
        expect![[r#"
            error[TRN0210]: an `until` within an `until`
             --> t.yaml:9:13
              |
            9 |             until: "${ true }"
              |             ^^^^^
              = help: the events that end a listening are one condition; name them all in one strategy
        "#]],
    );
}

#[test]
fn until_with_one() {
    tasks_refused(
        r##"
  - a:
      listen:
        to:
          one: {with: {type: x}}
          until: .x
"##,
        expect![[r#"
            error[TRN0210]: `until` goes with `any` only, not with `one`
             --> t.yaml:7:11
              |
            7 |           until: .x
              |           ^^^^^
        "#]],
    );
}

#[test]
fn a_filter_without_attributes() {
    tasks_refused(
        r##"
  - a:
      listen: {to: {one: {with: {}}}}
"##,
        expect![[r#"
            error[TRN0209]: `with` needs at least one attribute
             --> t.yaml:4:27
              |
            4 |       listen: {to: {one: {with: {}}}}
              |                           ^^^^
              = help: every event: `any: []`
        "#]],
    );
}

#[test]
fn a_filter_with_an_expression_inside() {
    tasks_refused(
        r##"
  - a:
      listen:
        to:
          one:
            with: {type: x, data: {t: "${ . > 3 }"}}
"##,
        expect![[r#"
            error[TRN0402]: an expression within a literal can't filter
             --> t.yaml:7:35
              |
            7 |             with: {type: x, data: {t: "${ . > 3 }"}}
              |                                   ^^^^^^^^^^^^^^^^^
              = help: make the whole value one expression: ${ .a == 1 and .b > 2 }
        "#]],
    );
}

#[test]
fn a_correlation_without_from() {
    tasks_refused(
        r##"
  - a:
      listen:
        to:
          one:
            with: {type: x}
            correlate:
              room: {expect: "1"}
"##,
        expect![[r#"
            error[TRN0202]: a correlation needs "from"
             --> t.yaml:9:15
              |
            9 |               room: {expect: "1"}
              |               ^^^^
        "#]],
    );
}

#[test]
fn read_of_something() {
    tasks_refused(
        r##"
  - a:
      listen: {to: {any: []}, read: envelop}
"##,
        expect![[r#"
            error[TRN0208]: "envelop" is no value of `read`
             --> t.yaml:4:37
              |
            4 |       listen: {to: {any: []}, read: envelop}
              |                                     ^^^^^^^
              = help: did you mean "envelope"?
        "#]],
    );
}

#[test]
fn call_http_without_endpoint() {
    tasks_refused(
        r##"
  - a:
      call: http
      with: {method: get}
"##,
        expect![[r#"
            error[TRN0202]: `call: http` needs "endpoint"
             --> t.yaml:5:7
              |
            5 |       with: {method: get}
              |       ^^^^
        "#]],
    );
}

#[test]
fn call_http_with_a_slip() {
    tasks_refused(
        r##"
  - a:
      call: http
      with: {method: gte, endpoint: https://a.example, heders: {}}
"##,
        expect![[r#"
            error[TRN0505]: "gte" is no HTTP method
             --> t.yaml:5:22
              |
            5 |       with: {method: gte, endpoint: https://a.example, heders: {}}
              |                      ^^^
              = help: did you mean "get"?
            error[TRN0201]: unknown key "heders" in the arguments of `call: http`
             --> t.yaml:5:56
              |
            5 |       with: {method: gte, endpoint: https://a.example, heders: {}}
              |                                                        ^^^^^^
              = help: did you mean "headers"?
        "#]],
    );
}

#[test]
fn call_http_with_a_relative_uri() {
    tasks_refused(
        r##"
  - a:
      call: http
      with: {method: get, endpoint: /pets}
"##,
        expect![[r#"
            error[TRN0506]: the URI must be absolute
             --> t.yaml:5:37
              |
            5 |       with: {method: get, endpoint: /pets}
              |                                     ^^^^^
              = help: such as https://example.com/path/{id}
        "#]],
    );
}

#[test]
fn call_http_with_an_operator() {
    tasks_refused(
        r##"
  - a:
      call: http
      with:
        method: get
        endpoint: https://a.example/{+path}
"##,
        expect![[r#"
            error[TRN0506]: only simple expansion, {name}, is part of the DSL
             --> t.yaml:7:37
              |
            7 |         endpoint: https://a.example/{+path}
              |                                     ^^^^^^^
              = help: use an expression instead: ${ "https://…/\(.name)" }
        "#]],
    );
}

#[test]
fn call_http_with_an_open_brace() {
    tasks_refused(
        r##"
  - a:
      call: http
      with:
        method: get
        endpoint: "https://a.example/{path"
"##,
        expect![[r#"
            error[TRN0506]: `{` without `}`
             --> t.yaml:7:38
              |
            7 |         endpoint: "https://a.example/{path"
              |                                      ^^^^^
              = help: write %7B for the character itself
        "#]],
    );
}

#[test]
fn call_with_an_extra_property() {
    tasks_refused(
        r##"
  - a:
      call: http
      with: {method: get, endpoint: https://a.example}
      foo: bar
"##,
        expect![[r#"
            error[TRN0201]: unknown key "foo" in the call task
             --> t.yaml:6:7
              |
            6 |       foo: bar
              |       ^^^
              = help: known here: call, with, if, input, output, export, timeout, then, metadata
        "#]],
    );
}

#[test]
fn authentication_of_two_schemes() {
    tasks_refused(
        r##"
  - a:
      call: http
      with:
        method: get
        endpoint:
          uri: https://a.example
          authentication:
            basic: {username: a, password: b}
            bearer: {token: c}
"##,
        expect![[r#"
            error[TRN0210]: an authentication takes only one of: basic, bearer, digest, oauth2, oidc; "basic" is given already
              --> t.yaml:11:13
               |
            11 |             bearer: {token: c}
               |             ^^^^^^
        "#]],
    );
}

#[test]
fn bearer_without_token() {
    tasks_refused(
        r##"
  - a:
      call: http
      with:
        method: get
        endpoint: {uri: https://a.example, authentication: {bearer: {tokn: x}}}
"##,
        expect![[r#"
            error[TRN0202]: `bearer` needs "token"
             --> t.yaml:7:61
              |
            7 |         endpoint: {uri: https://a.example, authentication: {bearer: {tokn: x}}}
              |                                                             ^^^^^^
            error[TRN0201]: unknown key "tokn" in `bearer`
             --> t.yaml:7:70
              |
            7 |         endpoint: {uri: https://a.example, authentication: {bearer: {tokn: x}}}
              |                                                                      ^^^^
              = help: did you mean "token"?
        "#]],
    );
}

#[test]
fn run_workflow_without_namespace() {
    tasks_refused(
        r##"
  - a:
      run:
        workflow: {name: b, version: 1.0.0}
"##,
        expect![[r#"
            error[TRN0202]: `run.workflow` needs "namespace"
             --> t.yaml:5:9
              |
            5 |         workflow: {name: b, version: 1.0.0}
              |         ^^^^^^^^
        "#]],
    );
}

#[test]
fn run_of_nothing() {
    tasks_refused(
        r##"
  - a:
      run: {await: false}
"##,
        expect![[r#"
            error[TRN0202]: `run` needs one of: container, script, shell, workflow
             --> t.yaml:4:7
              |
            4 |       run: {await: false}
              |       ^^^
        "#]],
    );
}
