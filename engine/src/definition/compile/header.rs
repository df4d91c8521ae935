//! The top of a definition.

use ecow::EcoString;

use super::{Compiler, Scope};
use crate::definition::document::Node;
use crate::definition::names;
use crate::definition::suggest::nearest;
use crate::plan::Plan;

const TOP: [&str; 9] = ["document", "input", "use", "do", "timeout", "output", "schedule", "evaluate", "metadata"];
const DOCUMENT: [&str; 8] = ["dsl", "namespace", "name", "version", "title", "summary", "tags", "metadata"];

/// `document`, as far as it identifies the definition.
struct Identity {
    namespace: EcoString,
    name: EcoString,
    version: EcoString,
}

impl<'a> Compiler<'a> {
    /// The whole definition.
    pub(super) fn definition(&mut self, root: &'a Node) -> Option<Plan> {
        if !self.is_map(root, "a definition") {
            return None;
        }
        self.check_top(root);
        let scope = Scope::outermost();
        let identity = self.required(root, "document", "a definition").and_then(|n| self.identity_of(n));
        self.evaluate(root.get("evaluate"));
        self.declare(root.get("use"));
        let input = self.data_in(root.get("input"), "input", &scope);
        let output = self.data_out(root.get("output"), "output", &scope);
        let timeout = root.get("timeout").and_then(|n| self.timeout(n, &scope));
        let schedule = root.get("schedule").and_then(|n| self.schedule(n, &scope));
        let tasks = self.required(root, "do", "a definition");
        let list = tasks.map(|n| self.task_list(n, "/do", "`do`", &scope));
        self.check_declared(&scope);
        let identity = identity?;
        Some(Plan {
            namespace: identity.namespace,
            name: identity.name,
            version: identity.version,
            definition: root.to_value(),
            input_schema: input.schema,
            input_from: input.transformation,
            output_as: output.transformation,
            output_schema: output.schema,
            timeout,
            schedule,
            secrets: self.uses.secrets.clone(),
            tasks: std::mem::take(&mut self.tasks),
            lists: std::mem::take(&mut self.lists),
            root: list?,
        })
    }

    /// The DSL does not forbid other keys at the top: a slip is an error, any other a warning.
    fn check_top(&mut self, root: &Node) {
        for entry in root.entries().iter().filter(|e| !TOP.contains(&e.key.as_str())) {
            let message = format!("unknown key \"{}\" in a definition", entry.key);
            match nearest(&entry.key, TOP) {
                Some(near) => {
                    self.error_with("TRN0201", entry.key_span, message, format!("did you mean \"{near}\"?"));
                }
                None => self.warning(
                    "TRN0805",
                    entry.key_span,
                    message,
                    format!("it is ignored; known here: {}", TOP.join(", ")),
                ),
            }
        }
    }

    fn identity_of(&mut self, node: &Node) -> Option<Identity> {
        if !self.map(node, "`document`", &DOCUMENT) {
            return None;
        }
        self.dsl(node);
        let namespace = self.required(node, "namespace", "`document`").and_then(|n| self.label(n, "`namespace`"));
        let name = self.required(node, "name", "`document`").and_then(|n| self.label(n, "`name`"));
        let version = self.required(node, "version", "`document`").and_then(|n| self.semver(n, "`version`"));
        for key in ["title", "summary"] {
            if let Some(text) = node.get(key) {
                self.string(text, &format!("`{key}`"));
            }
        }
        self.free_map(node.get("tags"), "`tags`");
        self.free_map(node.get("metadata"), "`metadata`");
        Some(Identity { namespace: namespace?, name: name?, version: version? })
    }

    /// `dsl`: 1.0.x.
    fn dsl(&mut self, document: &Node) {
        let Some(node) = self.required(document, "dsl", "`document`") else { return };
        let Some(version) = self.semver(node, "`dsl`") else { return };
        if !version.starts_with("1.0.") {
            let message = format!("the version {version} of the DSL is not supported by this version");
            self.error_with("TRN0900", node.span, message, "1.0.0 to 1.0.3 are");
        }
    }

    fn semver(&mut self, node: &Node, what: &str) -> Option<EcoString> {
        let text = self.string(node, what)?;
        if names::is_semver(text) {
            return Some(text.into());
        }
        let hint = "three numbers, such as 1.0.0";
        self.error_with("TRN0501", node.span, format!("{what} is no semantic version: \"{text}\""), hint);
        None
    }

    /// One DNS label.
    pub(super) fn label(&mut self, node: &Node, what: &str) -> Option<EcoString> {
        let text = self.string(node, what)?;
        if names::is_label(text) {
            return Some(text.into());
        }
        let hint = "letters, digits and hyphens, at most 63, with no hyphen at either end";
        self.error_with("TRN0502", node.span, format!("{what} can't be \"{text}\""), hint);
        None
    }

    /// `evaluate: {language, mode}`.
    fn evaluate(&mut self, node: Option<&Node>) {
        let Some(node) = node else { return };
        if !self.map(node, "`evaluate`", &["language", "mode"]) {
            return;
        }
        if let Some(language) = node.get("language")
            && let Some(text) = self.string(language, "`evaluate.language`")
            && text != "jq"
        {
            self.unsupported(language.span, format_args!("the expression language \"{text}\""));
        }
        let mode = node.get("mode").and_then(|n| self.choice(n, "value of `evaluate.mode`", &["strict", "loose"]));
        self.loose = mode == Some(1);
    }
}
