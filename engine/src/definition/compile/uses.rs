//! `use`: what the definition declares for re-use.

use std::collections::BTreeMap;

use ecow::EcoString;

use super::{Compiler, Scope};
use crate::definition::document::{Kind, Node};
use crate::definition::source::Span;
use crate::definition::suggest::nearest;

/// Declared components by name.
pub(super) type Named<'a> = BTreeMap<EcoString, &'a Node>;

/// All that `use` declares.
#[derive(Default)]
pub(super) struct Uses<'a> {
    pub authentications: Named<'a>,
    pub errors: Named<'a>,
    pub functions: Named<'a>,
    pub retries: Named<'a>,
    pub timeouts: Named<'a>,
    pub secrets: Vec<EcoString>,
}

const SECTIONS: [&str; 8] =
    ["authentications", "catalogs", "errors", "extensions", "functions", "retries", "secrets", "timeouts"];

impl<'a> Compiler<'a> {
    /// Reads `use`, so that references can be resolved.
    pub(super) fn declare(&mut self, node: Option<&'a Node>) {
        let Some(node) = node else { return };
        if !self.map(node, "`use`", &SECTIONS) {
            return;
        }
        let mut uses = Uses {
            authentications: self.named(node, "authentications"),
            errors: self.named(node, "errors"),
            functions: self.named(node, "functions"),
            retries: self.named(node, "retries"),
            timeouts: self.named(node, "timeouts"),
            secrets: Vec::new(),
        };
        self.named(node, "catalogs");
        if let Some(extensions) = node.get("extensions") {
            self.unsupported(extensions.name, "`use.extensions`");
        }
        let secrets = node.get("secrets").and_then(|n| self.list(n, "`use.secrets`"));
        for name in secrets.unwrap_or_default() {
            if let Some(name) = self.string(name, "the name of a secret") {
                uses.secrets.push(name.into());
            }
        }
        self.uses = std::rc::Rc::new(uses);
    }

    fn named(&mut self, uses: &'a Node, section: &str) -> Named<'a> {
        let Some(node) = uses.get(section) else { return Named::new() };
        if !self.is_map(node, &format!("`use.{section}`")) {
            return Named::new();
        }
        node.entries().iter().map(|e| (e.key.clone(), &e.value)).collect()
    }

    /// Checks what is declared even if nothing uses it.
    pub(super) fn check_declared(&mut self, scope: &Scope) {
        let uses = self.uses.clone();
        for node in uses.authentications.values() {
            self.authentication_policy(node, scope);
        }
        for node in uses.errors.values() {
            self.error_template(node, scope);
        }
        for node in uses.timeouts.values() {
            self.timeout_policy(node, scope);
        }
        for node in uses.retries.values() {
            self.retry_policy(node, &scope.with(&["error".into()]));
        }
        // A function is compiled where it is called. One that is not called is compiled for its findings only.
        for (name, node) in &uses.functions {
            if !self.functions_compiled.contains(name) && !self.too_many_tasks {
                let (tasks, lists) = (self.tasks.len(), self.lists.len());
                self.function_body(name, node, scope);
                self.tasks.truncate(tasks);
                self.lists.truncate(lists);
            }
        }
    }

    /// The component that `name` refers to.
    pub(super) fn used(
        &mut self,
        section: &Named<'a>,
        section_name: &str,
        what: &str,
        name: &str,
        span: Span,
    ) -> Option<&'a Node> {
        let found = section.get(name).copied();
        if found.is_none() {
            let hint = match nearest(name, section.keys().map(|k| k.as_str())) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("declare it in `use.{section_name}`"),
            };
            self.error_with("TRN0302", span, format!("no {what} \"{name}\" is declared"), hint);
        }
        found
    }

    /// The name of a declared secret.
    pub(super) fn declared_secret(&mut self, node: &Node) -> Option<EcoString> {
        let Kind::String(name, _) = &node.kind else {
            self.string(node, "the name of a secret");
            return None;
        };
        if self.uses.secrets.contains(name) {
            return Some(name.clone());
        }
        let hint = match nearest(name, self.uses.secrets.iter().map(|s| s.as_str())) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("add it to `use: {{ secrets: [{name}] }}`"),
        };
        self.error_with("TRN0303", node.span, format!("the secret \"{name}\" is not declared"), hint);
        None
    }
}
