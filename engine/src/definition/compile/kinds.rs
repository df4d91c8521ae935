//! Tasks without effects outside: `set`, `switch`, `for`, `fork`, `raise`.

use super::flow::Siblings;
use super::{Compiler, Scope};
use crate::definition::document::{Kind, Node};
use crate::expression::{Expression, Template};
use crate::plan::{Case, ErrorTemplate, ForEach, TaskKind};

/// Why branches are not targets of directives.
const BRANCHES: &str = "the branches of a fork run at the same time; use continue, exit or end";

impl Compiler<'_> {
    /// `set`: a map that is a template, or one expression.
    pub(super) fn set(&mut self, node: &Node, scope: &Scope) -> Option<TaskKind> {
        match &node.kind {
            Kind::Object(entries) if entries.is_empty() => {
                self.error("TRN0209", node.name, "`set` needs at least one property");
                None
            }
            Kind::Object(_) => self.template(node, scope).map(TaskKind::Set),
            Kind::String(..) => self.expression(node, "`set`", scope).map(|e| TaskKind::Set(Template::Expression(e))),
            _ => {
                self.wrong_type(node, "`set`", "a map or an expression");
                None
            }
        }
    }

    /// `switch`: cases in order, at most one without `when`.
    pub(super) fn switch(&mut self, node: &Node, siblings: &Siblings<'_>, scope: &Scope) -> Option<TaskKind> {
        let items = self.list(node, "`switch`")?;
        if items.is_empty() {
            self.error("TRN0209", node.name, "`switch` needs at least one case");
        }
        let mut cases: Vec<Case> = Vec::new();
        let mut default_case = None;
        for item in items {
            let Some(entry) = self.single(item, "a case of `switch`") else { continue };
            let body = &entry.value;
            if !self.map(body, "a case of `switch`", &["when", "then"]) {
                continue;
            }
            if cases.iter().any(|c| c.name == entry.key) {
                self.error("TRN0206", entry.key_span, format!("another case \"{}\" in the same switch", entry.key));
            }
            if body.get("when").is_none()
                && let Some(first) = default_case.replace(entry.key.clone())
            {
                let message = format!("a second case without `when`: \"{first}\" is the default already");
                self.error("TRN0210", entry.key_span, message);
            }
            let when = body.get("when").and_then(|n| self.expression(n, "`when`", scope));
            let then = self.required(body, "then", "a case of `switch`").and_then(|n| self.flow(n, siblings));
            if let Some(then) = then {
                cases.push(Case { name: entry.key.clone(), when, then });
            }
        }
        Some(TaskKind::Switch(cases))
    }

    /// `for`, with its siblings `while` and `do`.
    pub(super) fn for_each(&mut self, task: &Node, node: &Node, reference: &str, scope: &Scope) -> Option<TaskKind> {
        let ok = self.map(node, "`for`", &["each", "in", "at"]);
        let each = self.variable(node.get("each"), "item");
        let at = self.variable(node.get("at"), "index");
        if each == at {
            self.error("TRN0510", node.name, format!("`each` and `at` can't both be \"{each}\""));
        }
        let items = self.required(node, "in", "`for`").and_then(|n| self.items(n, scope));
        let inner = scope.with(&[each.clone(), at.clone()]);
        let condition = task.get("while").and_then(|n| self.expression(n, "`while`", &inner));
        let body = self.required(task, "do", "the for task")?;
        let body = self.task_list(body, &format!("{reference}/do"), "`do`", &inner);
        let items = items.filter(|_| ok)?;
        Some(TaskKind::For(ForEach { each, at, items, condition, body }))
    }

    /// `for.in`: an expression or a list written out.
    fn items(&mut self, node: &Node, scope: &Scope) -> Option<Template> {
        match &node.kind {
            Kind::String(..) => self.expression(node, "`for.in`", scope).map(Template::Expression),
            Kind::Array(_) => self.template(node, scope),
            _ => {
                self.wrong_type(node, "`for.in`", "an expression or a list");
                None
            }
        }
    }

    /// The name of a variable that a task gives to the tasks within.
    pub(super) fn variable(&mut self, node: Option<&Node>, default: &str) -> ecow::EcoString {
        let Some(node) = node else { return default.into() };
        let Some(name) = self.string(node, "the name of a variable") else { return default.into() };
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            let hint = match name.strip_prefix('$') {
                Some(rest) => format!("write \"{rest}\", without the dollar sign"),
                None => "letters, digits and underscores, not beginning with a digit".to_owned(),
            };
            self.error_with("TRN0510", node.span, format!("\"{name}\" can't be the name of a variable"), hint);
        } else if crate::plan::STANDARD_VARIABLES.contains(&name) {
            self.error("TRN0510", node.span, format!("${name} is a standard variable and can't be redefined"));
        }
        name.into()
    }

    /// `fork`.
    pub(super) fn fork(&mut self, node: &Node, reference: &str, scope: &Scope) -> Option<TaskKind> {
        if !self.map(node, "`fork`", &["branches", "compete"]) {
            return None;
        }
        let compete = node.get("compete").and_then(|n| self.boolean(n, "`compete`")).unwrap_or(false);
        let branches = self.required(node, "branches", "`fork`")?;
        let pointer = format!("{reference}/fork/branches");
        let branches = self.tasks_of(branches, &pointer, "`branches`", scope, Some(BRANCHES));
        Some(TaskKind::Fork { branches, compete })
    }

    /// `raise`.
    pub(super) fn raise(&mut self, node: &Node, scope: &Scope) -> Option<TaskKind> {
        if !self.map(node, "`raise`", &["error"]) {
            return None;
        }
        let error = self.required(node, "error", "`raise`")?;
        let uses = self.uses.clone();
        let error = match &error.kind {
            Kind::String(name, _) => self.used(&uses.errors, "errors", "error", name, error.span)?,
            _ => error,
        };
        self.error_template(error, scope).map(TaskKind::Raise)
    }

    /// An error: `type` and `status`, and more.
    pub(super) fn error_template(&mut self, node: &Node, scope: &Scope) -> Option<ErrorTemplate> {
        if !self.map(node, "an error", &["type", "status", "title", "detail", "instance"]) {
            return None;
        }
        let error_type = self.required(node, "type", "an error").and_then(|n| self.text(n, "`type`", scope));
        let status = self.required(node, "status", "an error").and_then(|n| self.status(n, scope));
        let mut optional = |key: &str, what: &str| node.get(key).and_then(|n| self.text(n, what, scope));
        let title = optional("title", "`title`");
        let detail = optional("detail", "`detail`");
        let instance = optional("instance", "`instance`");
        Some(ErrorTemplate { error_type: error_type?, status: status?, title, detail, instance })
    }

    fn status(&mut self, node: &Node, scope: &Scope) -> Option<Template> {
        match node.kind {
            Kind::String(..) => match self.template(node, scope)? {
                template @ Template::Expression(_) => Some(template),
                _ => {
                    self.error("TRN0203", node.span, "`status` must be a number or an expression, not a string");
                    None
                }
            },
            _ => {
                self.integer(node, "`status`", 100, 599)?;
                Some(Template::Constant(node.to_value()))
            }
        }
    }

    /// A string, which may be an expression.
    pub(super) fn text(&mut self, node: &Node, what: &str, scope: &Scope) -> Option<Template> {
        self.string(node, what)?;
        self.template(node, scope)
    }

    /// An expression that is always the same, written by the engine.
    pub(super) fn constant_expression(&self, text: &str, scope: &Scope) -> Option<Expression> {
        Expression::compile(text, &scope.variables).ok()
    }
}
