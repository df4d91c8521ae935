//! What the compiler accepts and refuses, as its users see it.

mod accepted;
mod documented;
mod editor_schema;
mod expressions;
mod header;
mod hostile;
mod later;
mod references;
mod tasks;
mod text;
mod values;
mod warnings;

use expect_test::Expect;

use super::{Diagnostic, check};

/// The head of the definitions in these tests: one line.
const HEAD: &str = "document: {dsl: '1.0.3', namespace: test, name: t, version: 1.0.0}\n";

fn shown(text: &str) -> String {
    check(text).iter().map(|finding: &Diagnostic| finding.render("t.yaml", text, false)).collect()
}

/// A whole definition and what is found; there must be no plan.
fn whole_refused(text: &str, expect: Expect) {
    let text = text.strip_prefix('\n').unwrap_or(text);
    assert!(super::compile(text).is_err(), "accepted");
    expect.assert_eq(&shown(text));
}

/// A definition without its head, which is put before it unless the text is about the head.
fn refused(text: &str, expect: Expect) {
    let text = text.strip_prefix('\n').unwrap_or(text);
    if text.starts_with("document") || text.starts_with(['-', '#', '?', 'h', 'a']) {
        return whole_refused(text, expect);
    }
    whole_refused(&format!("{HEAD}{text}"), expect);
}

/// Items of the main `do`.
fn tasks_refused(items: &str, expect: Expect) {
    whole_refused(&format!("{HEAD}do:{items}"), expect);
}
