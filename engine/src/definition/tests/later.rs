//! Valid DSL that this version does not run.

use expect_test::expect;

use super::refused;

#[test]
fn later_calls() {
    refused(
        r##"
do:
  - a: {call: grpc, with: {}}
  - b: {call: openapi, with: {}}
  - c: {call: "https://a.example/function.yaml"}
  - d: {call: "f:1.0.0@catalog"}
"##,
        expect![[r#"
            error[TRN0900]: `call: grpc` is not supported by this version
             --> t.yaml:3:15
              |
            3 |   - a: {call: grpc, with: {}}
              |               ^^^^
            error[TRN0900]: `call: openapi` is not supported by this version
             --> t.yaml:4:15
              |
            4 |   - b: {call: openapi, with: {}}
              |               ^^^^^^^
            error[TRN0900]: a function called by its URL is not supported by this version
             --> t.yaml:5:15
              |
            5 |   - c: {call: "https://a.example/function.yaml"}
              |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
            error[TRN0900]: a function of a catalog is not supported by this version
             --> t.yaml:6:15
              |
            6 |   - d: {call: "f:1.0.0@catalog"}
              |               ^^^^^^^^^^^^^^^^^
        "#]],
    );
}

#[test]
fn later_runs() {
    refused(
        r##"
do:
  - a: {run: {script: {language: js, code: "1"}}}
"##,
        expect![[r#"
            error[TRN0900]: `run: script` is not supported by this version
             --> t.yaml:3:15
              |
            3 |   - a: {run: {script: {language: js, code: "1"}}}
              |               ^^^^^^
        "#]],
    );
}

#[test]
fn later_authentication() {
    refused(
        r##"
use:
  authentications:
    mine: {oidc: {authority: https://a.example, grant: client_credentials}}
do: []
"##,
        expect![[r#"
            error[TRN0900]: oidc authentication is not supported by this version
             --> t.yaml:4:12
              |
            4 |     mine: {oidc: {authority: https://a.example, grant: client_credentials}}
              |            ^^^^
        "#]],
    );
}

#[test]
fn later_extensions() {
    refused(
        r##"
use:
  extensions:
    - log: {extend: all}
do: []
"##,
        expect![[r#"
            error[TRN0900]: `use.extensions` is not supported by this version
             --> t.yaml:3:3
              |
            3 |   extensions:
              |   ^^^^^^^^^^
        "#]],
    );
}

#[test]
fn later_languages() {
    refused(
        r##"
evaluate: {language: js}
do: []
"##,
        expect![[r#"
            error[TRN0900]: the expression language "js" is not supported by this version
             --> t.yaml:2:22
              |
            2 | evaluate: {language: js}
              |                      ^^
        "#]],
    );
}

#[test]
fn later_resources() {
    refused(
        r##"
input:
  schema: {resource: {endpoint: https://a.example}}
do: []
"##,
        expect![[r#"
            error[TRN0900]: a schema in an external resource is not supported by this version
             --> t.yaml:3:12
              |
            3 |   schema: {resource: {endpoint: https://a.example}}
              |            ^^^^^^^^
        "#]],
    );
}
