//! From the document tree to a plan: every rule of shape and reference is checked on the way, in one pass, and all
//! findings are collected. Each concern is a file; what they share is the [`Compiler`].

mod call;
mod data;
mod events;
mod expressions;
mod flow;
mod header;
mod kinds;
mod reach;
mod run;
mod schedule;
mod shape;
mod span_of_time;
mod task;
mod try_catch;
mod uses;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use ecow::EcoString;

use super::diagnostic::{Diagnostic, Severity};
use super::document::{self, Limits, Node};
use super::source::{Source, Span};
use crate::plan::{Plan, STANDARD_VARIABLES, Task, TaskList};

/// Most tasks of a plan, function bodies counted once for each call of them.
const TASKS_MAX: usize = 10_000;
/// Most tasks within each other, through functions too.
const DEPTH_MAX: usize = 48;

/// Compiles `text`, and tells what was found on the way: with errors there is no plan.
pub(super) fn compile(text: &str) -> (Option<Plan>, Vec<Diagnostic>) {
    let text = document::prepare(text);
    let source = Source::new(&text);
    let root = match document::parse(&source, Limits::default()) {
        Ok(root) => root,
        Err(error) => return (None, vec![*error]),
    };
    let mut compiler = Compiler {
        source: &source,
        findings: Vec::new(),
        tasks: Vec::new(),
        lists: Vec::new(),
        uses: Rc::default(),
        loose: false,
        functions_open: Vec::new(),
        functions_compiled: BTreeSet::new(),
        depth: 0,
        too_many_tasks: false,
    };
    let plan = compiler.definition(&root);
    let mut findings = compiler.findings;
    // A function body is compiled at each of its calls: the same finding is one finding.
    findings.sort_by(|a, b| {
        (a.span.start, a.severity, a.code, &a.message).cmp(&(b.span.start, b.severity, b.code, &b.message))
    });
    findings.dedup();
    for finding in &mut findings {
        finding.pointer = document::pointer_at(&root, finding.span);
    }
    let refused = findings.iter().any(|f| f.severity == Severity::Error);
    (plan.filter(|_| !refused), findings)
}

/// What all parts of the compiler share.
struct Compiler<'a> {
    source: &'a Source<'a>,
    findings: Vec<Diagnostic>,
    tasks: Vec<Task>,
    lists: Vec<TaskList>,
    uses: Rc<uses::Uses<'a>>,
    /// `evaluate.mode: loose`.
    loose: bool,
    /// Functions whose bodies are being compiled, outermost first.
    functions_open: Vec<EcoString>,
    functions_compiled: BTreeSet<EcoString>,
    /// Tasks around the one that is being compiled.
    depth: usize,
    too_many_tasks: bool,
}

/// The variables an expression may use.
#[derive(Clone)]
struct Scope {
    /// The scoped ones, outermost first.
    names: Arc<[EcoString]>,
    /// All: the standard ones first.
    variables: Arc<[EcoString]>,
}

impl Scope {
    fn outermost() -> Scope {
        Scope { names: Arc::from([]), variables: STANDARD_VARIABLES.map(EcoString::from).into() }
    }

    fn with(&self, more: &[EcoString]) -> Scope {
        Scope {
            names: self.names.iter().chain(more).cloned().collect(),
            variables: self.variables.iter().chain(more).cloned().collect(),
        }
    }
}

impl Compiler<'_> {
    fn report(&mut self, severity: Severity, code: &'static str, span: Span, message: String, hint: Option<String>) {
        let place = self.source.place(span);
        let pointer = String::new();
        self.findings.push(Diagnostic { severity, code, message, place, span, pointer, hint, related: Vec::new() });
    }

    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.report(Severity::Error, code, span, message.into(), None);
    }

    fn error_with(&mut self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Error, code, span, message.into(), Some(hint.into()));
    }

    fn warning(&mut self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Warning, code, span, message.into(), Some(hint.into()));
    }

    /// Valid DSL that this version does not run.
    fn unsupported(&mut self, span: Span, what: impl std::fmt::Display) {
        self.error("TRN0900", span, format!("{what} is not supported by this version"));
    }

    /// A text with a place of its own in an error: `what` is wrong.
    fn wrong_type(&mut self, node: &Node, what: &str, expected: &str) {
        self.error("TRN0203", node.span, format!("{what} must be {expected}, not {}", node.describe()));
    }
}
