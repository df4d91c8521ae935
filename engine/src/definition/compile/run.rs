//! `run`.

use super::{Compiler, Scope};
use crate::definition::document::Node;
use crate::definition::names;
use crate::plan::{RunWorkflow, TaskKind};

const KINDS: [&str; 4] = ["container", "script", "shell", "workflow"];

impl Compiler<'_> {
    /// `run`: of its kinds only another workflow yet.
    pub(super) fn run(&mut self, node: &Node, scope: &Scope) -> Option<TaskKind> {
        if !self.map(node, "`run`", &["container", "script", "shell", "workflow", "await", "return"]) {
            return None;
        }
        let wait = node.get("await").and_then(|n| self.boolean(n, "`await`")).unwrap_or(true);
        let words = ["stdout", "stderr", "code", "all", "none"];
        let returned = node.get("return").and_then(|n| self.choice(n, "value of `return`", &words));
        let kind = self.exactly_one(node, "`run`", &KINDS)?;
        if kind.key != "workflow" {
            self.unsupported(kind.key_span, format_args!("`run: {}`", kind.key));
            return None;
        }
        let workflow = &kind.value;
        if !self.map(workflow, "`run.workflow`", &["namespace", "name", "version", "input"]) {
            return None;
        }
        let what = "`run.workflow`";
        let namespace = self.required(workflow, "namespace", what).and_then(|n| self.label(n, "`namespace`"));
        let name = self.required(workflow, "name", what).and_then(|n| self.label(n, "`name`"));
        let version = self.required(workflow, "version", what).and_then(|n| self.child_version(n));
        let input = workflow.get("input").and_then(|n| self.template(n, scope));
        Some(TaskKind::RunWorkflow(RunWorkflow {
            namespace: namespace?,
            name: name?,
            version: version?,
            input,
            wait,
            discard_output: returned == Some(4),
        }))
    }

    /// A version, or `latest` (`None` within).
    fn child_version(&mut self, node: &Node) -> Option<Option<ecow::EcoString>> {
        let text = self.string(node, "`version`")?;
        if text == "latest" {
            return Some(None);
        }
        if !names::is_semver(text) {
            let hint = "such as 1.0.0, or latest";
            self.error_with("TRN0501", node.span, format!("\"{text}\" is no semantic version"), hint);
            return None;
        }
        Some(Some(text.into()))
    }
}
