//! Texts that are meant to do harm are refused at once; mutated ones never make the compiler panic.

use std::fmt::Write as _;
use std::time::Instant;

use proptest::prelude::*;

use super::HEAD;
use crate::definition::check;

/// Refused with this code, and soon: debug builds on busy machines take some hundred times what release builds take.
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
fn refused_at_once(text: &str, code: &str) {
    let start = Instant::now();
    let findings = check(text);
    assert_eq!(findings.iter().map(|f| f.code).collect::<Vec<_>>(), [code]);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn aliases_that_multiply() {
    let mut text = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
    for (before, name) in ('a'..='i').zip('b'..='j') {
        let _ = writeln!(text, "{name}: &{name} [{}]", vec![format!("*{before}"); 9].join(","));
    }
    refused_at_once(&text, "TRN0105");
}

#[test]
fn ten_thousand_deep() {
    refused_at_once(&format!("{HEAD}x: {}{}", "[".repeat(10_000), "]".repeat(10_000)), "TRN0103");
    refused_at_once(&("{\"a\":".repeat(10_000) + "1" + &"}".repeat(10_000)), "TRN0103");
    refused_at_once(&("- ".repeat(10_000) + "a"), "TRN0103");
    refused_at_once(&(0..1_000).map(|i| " ".repeat(i) + "a:\n").collect::<String>(), "TRN0103");
}

#[test]
fn two_mebibytes() {
    refused_at_once(&format!("{HEAD}x: \"{}\"", "a".repeat(2 << 20)), "TRN0102");
}

#[test]
fn values_without_number() {
    refused_at_once(&format!("{HEAD}x: [{}]", "a,".repeat(150_000)), "TRN0104");
}

#[test]
fn functions_that_multiply() {
    let mut text = format!("{HEAD}use:\n  functions:\n    f0: {{set: {{x: 1}}}}\n");
    for i in 1..16 {
        let _ = writeln!(text, "    f{i}: {{do: [{{a: {{call: f{0}}}}}, {{b: {{call: f{0}}}}}]}}", i - 1);
    }
    text.push_str("do:\n  - a: {call: f15}\n");
    refused_at_once(&text, "TRN0211");
}

#[test]
fn tasks_within_tasks() {
    let text = format!("{HEAD}do: {}{}", "[{a: {do: ".repeat(30), "[]".to_owned() + &"}}]".repeat(30));
    assert_eq!(check(&text), []);
    let text = format!(
        "{HEAD}use: {{functions: {{f: {{do: {0}[{{z: {{call: g}}}}]{1}}}, g: {{do: {0}[]{1}}}}}}}\ndo: [{{a: {{call: f}}}}]",
        "[{a: {do: ".repeat(26),
        "}}]".repeat(26)
    );
    refused_at_once(&text, "TRN0211");
}

const GOOD: &str = r#"document: {dsl: '1.0.3', namespace: test, name: t, version: 1.0.0}
use:
  errors:
    gone: {type: https://a.example/e, status: 410, title: "Gone é😀"}
  functions: {f: {set: "${ .x }"}}
  secrets: [token]
schedule:
  on: {any: [{with: {type: a, data: "${ .t > 3 }"}, correlate: {k: {from: .subject}}}], until: '( . | length ) > 3'}
do:
  - check:
      if: ${ .ok }
      switch:
        - hot: {when: .t > 30, then: raised}
        - other: {then: called}
  - raised:
      raise: {error: gone}
  - called:
      try:
        - http:
            call: http
            with: {method: get, endpoint: {uri: "https://a.example/{id}", authentication: {bearer: {token: "${ $secrets.token }"}}}}
            timeout: {after: {seconds: 3}}
      catch:
        retry: {delay: PT1S, backoff: {linear: {}}, limit: {attempt: {count: 3}}}
        do:
          - folded:
              set:
                text: >-
                  ${ "folded
                  \(.x)" }
                literal: |
                  ${ .a }
"#;

#[test]
fn the_text_to_mutate_is_good() {
    assert_eq!(check(GOOD), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn mutations_never_panic(cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[ -~\n\té😀]{0,4}|\\$\\{|\\}|: |- |&a |\\*a |'|\"|\\||>"), 1..6)) {
        let mut chars: Vec<char> = GOOD.chars().collect();
        for (at, length, with) in cuts {
            let start = at.index(chars.len().max(1)).min(chars.len());
            let end = (start + length).min(chars.len());
            chars.splice(start..end, with.chars());
        }
        let text: String = chars.into_iter().collect();
        for finding in check(&text) {
            prop_assert!(finding.place.line >= 1 && finding.place.column >= 1 && finding.place.length >= 1);
            prop_assert!(!finding.render("t.yaml", &text, true).is_empty());
        }
    }
}
