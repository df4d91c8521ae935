//! Texts that are no YAML, or are meant to do harm.

use expect_test::expect;

use super::refused;

#[test]
fn tabs_as_indentation() {
    refused(
        r##"
document:
	dsl: 1.0.3
"##,
        expect![[r#"
            error[TRN0101]: not valid YAML: tabs disallowed within this context (block indentation)
             --> t.yaml:2:2
              |
            2 | 	dsl: 1.0.3
              | 	^
              = help: YAML is indented with spaces, not with tabs
        "#]],
    );
}

#[test]
fn an_unclosed_quote() {
    refused(
        r##"
document: {dsl: "1.0.3}
do: []
"##,
        expect![[r#"
            error[TRN0101]: not valid YAML: while scanning a quoted scalar, found unexpected end of stream
             --> t.yaml:1:17
              |
            1 | document: {dsl: "1.0.3}
              |                 ^
              = help: check the indentation, and quote texts that contain `: `, ` #` or begin with a special character
        "#]],
    );
}

#[test]
fn an_unclosed_bracket() {
    refused(
        r##"
document: {dsl: 1.0.3
do: []
"##,
        expect![[r#"
            error[TRN0101]: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'
             --> t.yaml:2:3
              |
            2 | do: []
              |   ^
              = help: check the indentation, and quote texts that contain `: `, ` #` or begin with a special character
        "#]],
    );
}

#[test]
fn bad_indentation() {
    refused(
        r##"
do:
  - a:
      set: {x: 1}
    b: 2
   c: 3
"##,
        expect![[r#"
            error[TRN0101]: not valid YAML: while parsing a block collection, did not find expected '-' indicator
             --> t.yaml:6:4
              |
            6 |    c: 3
              |    ^
              = help: check the indentation, and quote texts that contain `: `, ` #` or begin with a special character
        "#]],
    );
}

#[test]
fn a_colon_in_plain_text() {
    refused(
        r##"
do:
  - a:
      set:
        text: note: this fails
"##,
        expect![[r#"
            error[TRN0101]: not valid YAML: mapping values are not allowed in this context
             --> t.yaml:5:19
              |
            5 |         text: note: this fails
              |                   ^
              = help: check the indentation, and quote texts that contain `: `, ` #` or begin with a special character
        "#]],
    );
}

#[test]
fn duplicate_keys() {
    refused(
        r##"
document: {dsl: 1.0.3}
do: []
document: {dsl: 1.0.3}
"##,
        expect![[r#"
            error[TRN0106]: duplicate key "document"
             --> t.yaml:3:1
              |
            3 | document: {dsl: 1.0.3}
              | ^^^^^^^^
               = first given here: t.yaml:1:1
              |
            1 | document: {dsl: 1.0.3}
              | --------
              = help: remove or rename one of them
        "#]],
    );
}

#[test]
fn keys_that_are_no_strings() {
    refused(
        r##"
document: {1: x}
do: []
"##,
        expect![[r#"
            error[TRN0108]: the key `1` is not a string
             --> t.yaml:1:12
              |
            1 | document: {1: x}
              |            ^
              = help: quote it: "1"
        "#]],
    );
}

#[test]
fn keys_that_are_lists() {
    refused(
        r##"
? [a, b]
: c
"##,
        expect![[r#"
            error[TRN0108]: a key must be a string
             --> t.yaml:1:3
              |
            1 | ? [a, b]
              |   ^
              = help: quote it
        "#]],
    );
}

#[test]
fn merge_keys() {
    refused(
        r##"
a: &a {x: 1}
b:
  <<: *a
  y: 2
"##,
        expect![[r#"
            error[TRN0110]: merge keys are not supported
             --> t.yaml:3:3
              |
            3 |   <<: *a
              |   ^^
              = help: YAML 1.2 has no merge key; write the members out, or use an alias for the whole value
        "#]],
    );
}

#[test]
fn custom_tags() {
    refused(
        r##"
document: !mine {dsl: 1.0.3}
"##,
        expect![[r#"
            error[TRN0109]: the tag `!mine` is not supported
             --> t.yaml:1:11
              |
            1 | document: !mine {dsl: 1.0.3}
              |           ^^^^^^^
              = help: remove it; definitions are plain data
        "#]],
    );
}

#[test]
fn two_documents() {
    refused(
        r##"
document: {}
---
do: []
"##,
        expect![[r#"
            error[TRN0107]: a second document begins here
             --> t.yaml:2:1
              |
            2 | ---
              | ^^^
              = help: write each definition in a file of its own
        "#]],
    );
}

#[test]
fn an_unknown_alias() {
    refused(
        r##"
document: *nowhere
"##,
        expect![[r#"
            error[TRN0101]: not valid YAML: while parsing node, found unknown anchor
             --> t.yaml:1:11
              |
            1 | document: *nowhere
              |           ^
              = help: check the indentation, and quote texts that contain `: `, ` #` or begin with a special character
        "#]],
    );
}

#[test]
fn an_alias_in_its_own_anchor() {
    refused(
        r##"
document: &a [1, *a]
"##,
        expect![[r#"
            error[TRN0105]: an alias within its own anchor
             --> t.yaml:1:18
              |
            1 | document: &a [1, *a]
              |                  ^^
        "#]],
    );
}

#[test]
fn not_a_number() {
    refused(
        r##"
do: []
x: .nan
"##,
        expect![[r#"
            error[TRN0101]: `.nan` is no number of JSON
             --> t.yaml:3:4
              |
            3 | x: .nan
              |    ^^^^
              = help: quote it if a string is meant
        "#]],
    );
}

#[test]
fn a_list_at_the_top() {
    refused(
        r##"
- document: {}
"##,
        expect![[r#"
            error[TRN0203]: a definition must be a map, not a list
             --> t.yaml:1:1
              |
            1 | - document: {}
              | ^^^^^^^^^^^^^^
        "#]],
    );
}

#[test]
fn a_scalar_at_the_top() {
    refused(
        r##"
hello
"##,
        expect![[r#"
            error[TRN0203]: a definition must be a map, not a string
             --> t.yaml:1:1
              |
            1 | hello
              | ^^^^^
        "#]],
    );
}

#[test]
fn nothing_but_comments() {
    refused(
        r##"
# nothing here
"##,
        expect![[r#"
            error[TRN0111]: the document is empty
             --> t.yaml:1:1
              |
            1 | # nothing here
              | ^
              = help: a definition is a map with `document` and `do`
        "#]],
    );
}
