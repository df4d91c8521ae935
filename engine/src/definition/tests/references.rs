//! References to what is not there.

use expect_test::expect;

use super::refused;

#[test]
fn a_target_of_another_list() {
    refused(
        r##"
do:
  - first: {set: {x: 1}, then: inner}
  - second:
      do:
        - inner: {set: {x: 1}}
"##,
        expect![[r#"
            error[TRN0301]: no task "inner" in this list
             --> t.yaml:3:32
              |
            3 |   - first: {set: {x: 1}, then: inner}
              |                                ^^^^^
              = help: a directive reaches only tasks of its own list (first, second), or is continue, exit or end
        "#]],
    );
}

#[test]
fn a_target_with_a_slip() {
    refused(
        r##"
do:
  - first: {set: {x: 1}, then: secnod}
  - second: {set: {x: 1}}
"##,
        expect![[r#"
            error[TRN0301]: no task "secnod" in this list
             --> t.yaml:3:32
              |
            3 |   - first: {set: {x: 1}, then: secnod}
              |                                ^^^^^^
              = help: did you mean "second"?
        "#]],
    );
}

#[test]
fn a_case_to_nowhere() {
    refused(
        r##"
do:
  - first:
      switch:
        - a: {then: nowhere}
"##,
        expect![[r#"
            error[TRN0301]: no task "nowhere" in this list
             --> t.yaml:5:21
              |
            5 |         - a: {then: nowhere}
              |                     ^^^^^^^
              = help: a directive reaches only tasks of its own list (first), or is continue, exit or end
        "#]],
    );
}

#[test]
fn a_function_with_a_slip() {
    refused(
        r##"
use:
  functions:
    getPet: {set: {x: 1}}
do:
  - a: {call: getPt}
"##,
        expect![[r#"
            error[TRN0302]: no function "getPt" is declared
             --> t.yaml:6:15
              |
            6 |   - a: {call: getPt}
              |               ^^^^^
              = help: did you mean "getPet"?
        "#]],
    );
}

#[test]
fn a_function_that_calls_itself() {
    refused(
        r##"
use:
  functions:
    one: {call: two}
    two:
      do:
        - again: {call: one}
do:
  - a: {call: one}
"##,
        expect![[r#"
            error[TRN0304]: the function "one" calls itself: one → two → one
             --> t.yaml:7:25
              |
            7 |         - again: {call: one}
              |                         ^^^
              = help: loop with `for` or a directive instead
        "#]],
    );
}

#[test]
fn an_error_that_is_not_declared() {
    refused(
        r##"
do:
  - a:
      raise: {error: notFound}
"##,
        expect![[r#"
            error[TRN0302]: no error "notFound" is declared
             --> t.yaml:4:22
              |
            4 |       raise: {error: notFound}
              |                      ^^^^^^^^
              = help: declare it in `use.errors`
        "#]],
    );
}

#[test]
fn a_retry_policy_with_a_slip() {
    refused(
        r##"
use:
  retries:
    quick: {delay: PT1S}
do:
  - a:
      try: []
      catch: {retry: quikc}
"##,
        expect![[r#"
            error[TRN0302]: no retry policy "quikc" is declared
             --> t.yaml:8:22
              |
            8 |       catch: {retry: quikc}
              |                      ^^^^^
              = help: did you mean "quick"?
        "#]],
    );
}

#[test]
fn a_timeout_that_is_not_declared() {
    refused(
        r##"
do:
  - a:
      wait: PT1S
      timeout: short
"##,
        expect![[r#"
            error[TRN0302]: no timeout "short" is declared
             --> t.yaml:5:16
              |
            5 |       timeout: short
              |                ^^^^^
              = help: declare it in `use.timeouts`
        "#]],
    );
}

#[test]
fn an_authentication_that_is_not_declared() {
    refused(
        r##"
do:
  - a:
      call: http
      with:
        method: get
        endpoint:
          uri: https://a.example
          authentication: {use: mine}
"##,
        expect![[r#"
            error[TRN0302]: no authentication "mine" is declared
             --> t.yaml:9:33
              |
            9 |           authentication: {use: mine}
              |                                 ^^^^
              = help: declare it in `use.authentications`
        "#]],
    );
}

#[test]
fn a_secret_of_an_authentication() {
    refused(
        r##"
use:
  secrets: [vault]
do:
  - a:
      call: http
      with:
        method: get
        endpoint:
          uri: https://a.example
          authentication: {basic: {use: valt}}
"##,
        expect![[r#"
            error[TRN0303]: the secret "valt" is not declared
              --> t.yaml:11:41
               |
            11 |           authentication: {basic: {use: valt}}
               |                                         ^^^^
               = help: did you mean "vault"?
        "#]],
    );
}

#[test]
fn a_secret_in_an_expression() {
    refused(
        r##"
do:
  - a:
      set:
        header: ${ "Bearer " + $secrets.token }
"##,
        expect![[r#"
            error[TRN0303]: the secret "token" is not declared
             --> t.yaml:5:41
              |
            5 |         header: ${ "Bearer " + $secrets.token }
              |                                         ^^^^^
              = help: add it to `use: { secrets: [token] }`
        "#]],
    );
}

#[test]
fn a_finding_in_an_unused_function() {
    refused(
        r##"
use:
  functions:
    unused: {wait: soon}
do: []
"##,
        expect![[r#"
            error[TRN0503]: `soon` is not an ISO 8601 duration such as PT30S, PT1H30M or P1DT12H
             --> t.yaml:4:20
              |
            4 |     unused: {wait: soon}
              |                    ^^^^
              = help: or write an object: {minutes: 1, seconds: 30}
        "#]],
    );
}

#[test]
fn unknown_sections_of_use() {
    refused(
        r##"
use: {function: {}}
do: []
"##,
        expect![[r#"
            error[TRN0201]: unknown key "function" in `use`
             --> t.yaml:2:7
              |
            2 | use: {function: {}}
              |       ^^^^^^^^
              = help: did you mean "functions"?
        "#]],
    );
}
