//! The top of a definition.

use expect_test::expect;

use super::whole_refused;

#[test]
fn identity() {
    whole_refused(
        r##"
document:
  dsl: 1.0
  namespace: my.team
  name: a_b
  version: v1
  titel: x
do: []
"##,
        expect![[r#"
            error[TRN0203]: `dsl` must be a string, not a number
             --> t.yaml:2:8
              |
            2 |   dsl: 1.0
              |        ^^^
              = help: quote it: '1.0'
            error[TRN0502]: `namespace` can't be "my.team"
             --> t.yaml:3:14
              |
            3 |   namespace: my.team
              |              ^^^^^^^
              = help: letters, digits and hyphens, at most 63, with no hyphen at either end
            error[TRN0502]: `name` can't be "a_b"
             --> t.yaml:4:9
              |
            4 |   name: a_b
              |         ^^^
              = help: letters, digits and hyphens, at most 63, with no hyphen at either end
            error[TRN0501]: `version` is no semantic version: "v1"
             --> t.yaml:5:12
              |
            5 |   version: v1
              |            ^^
              = help: three numbers, such as 1.0.0
            error[TRN0201]: unknown key "titel" in `document`
             --> t.yaml:6:3
              |
            6 |   titel: x
              |   ^^^^^
              = help: did you mean "title"?
        "#]],
    );
}

#[test]
fn a_later_dsl() {
    whole_refused(
        r##"
document: {dsl: 2.0.0, namespace: a, name: b, version: 1.0.0}
do: []
"##,
        expect![[r#"
            error[TRN0900]: the version 2.0.0 of the DSL is not supported by this version
             --> t.yaml:1:17
              |
            1 | document: {dsl: 2.0.0, namespace: a, name: b, version: 1.0.0}
              |                 ^^^^^
              = help: 1.0.0 to 1.0.3 are
        "#]],
    );
}

#[test]
fn parts_are_missing() {
    whole_refused(
        r##"
document:
  dsl: 1.0.3
do: []
"##,
        expect![[r#"
            error[TRN0202]: `document` needs "name"
             --> t.yaml:1:1
              |
            1 | document:
              | ^^^^^^^^
            error[TRN0202]: `document` needs "namespace"
             --> t.yaml:1:1
              |
            1 | document:
              | ^^^^^^^^
            error[TRN0202]: `document` needs "version"
             --> t.yaml:1:1
              |
            1 | document:
              | ^^^^^^^^
        "#]],
    );
}

#[test]
fn nothing_at_all() {
    whole_refused(
        r##"
input: {}
"##,
        expect![[r#"
            error[TRN0202]: a definition needs "do"
             --> t.yaml:1:1
              |
            1 | input: {}
              | ^
            error[TRN0202]: a definition needs "document"
             --> t.yaml:1:1
              |
            1 | input: {}
              | ^
        "#]],
    );
}

#[test]
fn json() {
    whole_refused(
        r##"
{
	"document": {"dsl": "1.0.3", "namespace": "a", "name": "b", "version": "1.0.0"},
	"do": [
		{"first": {"set": {"smile": "\ud83d\ude00", "x": 1}, "than": "end"}}
	]
}
"##,
        expect![[r#"
            error[TRN0201]: unknown key "than" in the set task
             --> t.yaml:4:54
              |
            4 | 		{"first": {"set": {"smile": "\ud83d\ude00", "x": 1}, "than": "end"}}
              | 		                                                   ^^^^^^
              = help: did you mean "then"?
        "#]],
    );
}
