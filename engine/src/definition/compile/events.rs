//! `emit` and `listen`: event templates, strategies, filters, correlation.

use ecow::EcoString;

use super::{Compiler, Scope};
use crate::definition::document::{Entry, Kind, Node};
use crate::expression::Template;
use crate::plan::{
    Correlation, EventFilter, EventRead, EventStrategy, EventTemplate, ForEachEvent, Listen, TaskKind, Until,
};

/// Attributes of CloudEvents 1.0 and its JSON format.
const ATTRIBUTES: [&str; 10] =
    ["id", "source", "type", "time", "subject", "specversion", "datacontenttype", "dataschema", "data", "data_base64"];

impl Compiler<'_> {
    /// `emit`.
    pub(super) fn emit(&mut self, node: &Node, scope: &Scope) -> Option<TaskKind> {
        if !self.map(node, "`emit`", &["event"]) {
            return None;
        }
        let event = self.required(node, "event", "`emit`")?;
        if !self.map(event, "`emit.event`", &["with"]) {
            return None;
        }
        let with = self.required(event, "with", "`emit.event`")?;
        if !self.is_map(with, "`emit.event.with`") {
            return None;
        }
        self.required(with, "type", "the event");
        let mut attributes = Vec::new();
        for entry in with.entries() {
            self.check_attribute(entry);
            let template = match &*entry.key {
                "data" => self.template(&entry.value, scope),
                "specversion" => self.specversion(&entry.value),
                name if ATTRIBUTES.contains(&name) => self.text(&entry.value, &format!("`{name}`"), scope),
                _ => self.template(&entry.value, scope),
            };
            attributes.extend(template.map(|t| (entry.key.clone(), t)));
        }
        Some(TaskKind::Emit(EventTemplate { attributes }))
    }

    fn specversion(&mut self, node: &Node) -> Option<Template> {
        if node.as_str() != Some("1.0") {
            self.error_with("TRN0208", node.span, "`specversion` must be '1.0'", "leave it out: it is set by itself");
            return None;
        }
        Some(Template::Constant(node.to_value()))
    }

    /// Extension attributes have names of lower-case letters and digits.
    fn check_attribute(&mut self, entry: &Entry) {
        let name = entry.key.as_str();
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if plain || ATTRIBUTES.contains(&name) {
            return;
        }
        let message = format!("\"{name}\" is no name of a CloudEvents attribute: only lower-case letters and digits");
        let hint = match crate::definition::suggest::nearest(name, ATTRIBUTES) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "brokers and libraries may refuse or change it; put it into `data`".to_owned(),
        };
        self.warning("TRN0806", entry.key_span, message, hint);
    }

    /// `listen` with its `foreach`.
    pub(super) fn listen(&mut self, task: &Node, node: &Node, reference: &str, scope: &Scope) -> Option<TaskKind> {
        if !self.map(node, "`listen`", &["to", "read"]) {
            return None;
        }
        let read = self.event_read(node.get("read"));
        let to = self.required(node, "to", "`listen`").and_then(|n| self.strategy(n, "`listen.to`", true, scope));
        let foreach = task.get("foreach").and_then(|n| self.foreach(n, reference, scope));
        Some(TaskKind::Listen(Listen { to: to?, read, foreach }))
    }

    /// `read`, by default `data`.
    pub(super) fn event_read(&mut self, node: Option<&Node>) -> EventRead {
        match node.and_then(|n| self.choice(n, "value of `read`", &["data", "envelope", "raw"])) {
            Some(1) => EventRead::Envelope,
            Some(2) => EventRead::Raw,
            _ => EventRead::Data,
        }
    }

    fn foreach(&mut self, node: &Node, reference: &str, scope: &Scope) -> Option<ForEachEvent> {
        if !self.map(node, "`foreach`", &["item", "at", "do", "output", "export"]) {
            return None;
        }
        let each = self.variable(node.get("item"), "item");
        let at = self.variable(node.get("at"), "index");
        let inner = scope.with(&[each.clone(), at.clone()]);
        let body = match node.get("do") {
            Some(tasks) => self.task_list(tasks, &format!("{reference}/foreach/do"), "`foreach.do`", &inner),
            None => self.new_list(),
        };
        let output = self.data_out(node.get("output"), "foreach.output", &inner);
        let export = self.data_out(node.get("export"), "foreach.export", &inner);
        Some(ForEachEvent {
            each,
            at,
            body,
            output_as: output.transformation,
            output_schema: output.schema,
            export_as: export.transformation,
            export_schema: export.schema,
        })
    }

    /// `one`, `any` or `all`; `any` may have an `until` unless it is itself in one.
    pub(super) fn strategy(
        &mut self,
        node: &Node,
        what: &str,
        may_have_until: bool,
        scope: &Scope,
    ) -> Option<EventStrategy> {
        if !self.map(node, what, &["one", "any", "all", "until"]) {
            return None;
        }
        let kind = self.exactly_one(node, what, &["one", "any", "all"])?;
        let until = node.get("until");
        if let Some(until) = until {
            if !may_have_until {
                let hint = "the events that end a listening are one condition; name them all in one strategy";
                self.error_with("TRN0210", until.name, "an `until` within an `until`", hint);
                return None;
            }
            if kind.key != "any" {
                self.error("TRN0210", until.name, format!("`until` goes with `any` only, not with `{}`", kind.key));
                return None;
            }
        }
        match &*kind.key {
            "one" => self.filter(&kind.value, scope).map(EventStrategy::One),
            "all" => self.filters(&kind.value, "`all`", scope).map(EventStrategy::All),
            _ => {
                let filters = self.filters(&kind.value, "`any`", scope);
                let until = match until {
                    Some(until) => Some(self.until(until, scope)?),
                    None => None,
                };
                Some(EventStrategy::Any { filters: filters?, until })
            }
        }
    }

    fn until(&mut self, node: &Node, scope: &Scope) -> Option<Until> {
        match &node.kind {
            Kind::Object(_) => {
                let strategy = self.strategy(node, "`until`", false, scope)?;
                Some(Until::Events(Box::new(strategy)))
            }
            // `until: false` is how to listen for ever.
            Kind::Bool(value) => {
                self.constant_expression(if *value { "true" } else { "false" }, scope).map(Until::Condition)
            }
            _ => self.expression(node, "`until`", scope).map(Until::Condition),
        }
    }

    fn filters(&mut self, node: &Node, what: &str, scope: &Scope) -> Option<Vec<EventFilter>> {
        let items = self.list(node, what)?;
        if what == "`all`" && items.is_empty() {
            self.error("TRN0209", node.name, "`all` needs at least one filter");
        }
        let filters: Vec<_> = items.iter().map(|item| self.filter(item, scope)).collect();
        filters.into_iter().collect()
    }

    /// An event filter: `with` and `correlate`.
    fn filter(&mut self, node: &Node, scope: &Scope) -> Option<EventFilter> {
        if !self.map(node, "an event filter", &["with", "correlate"]) {
            return None;
        }
        let with = self.required(node, "with", "an event filter")?;
        if !self.is_map(with, "`with`") {
            return None;
        }
        if with.entries().is_empty() {
            self.error_with("TRN0209", with.name, "`with` needs at least one attribute", "every event: `any: []`");
        }
        let mut filter = EventFilter { literals: Vec::new(), predicates: Vec::new(), correlate: Vec::new() };
        for entry in with.entries() {
            self.check_attribute(entry);
            match self.template(&entry.value, scope) {
                Some(Template::Constant(value)) => filter.literals.push((entry.key.clone(), value)),
                Some(Template::Expression(predicate)) => filter.predicates.push((entry.key.clone(), predicate)),
                Some(_) => {
                    let hint = "make the whole value one expression: ${ .a == 1 and .b > 2 }";
                    self.error_with("TRN0402", entry.value.span, "an expression within a literal can't filter", hint);
                }
                None => {}
            }
        }
        if let Some(correlate) = node.get("correlate")
            && self.is_map(correlate, "`correlate`")
        {
            for entry in correlate.entries() {
                filter.correlate.extend(self.correlation(&entry.key, &entry.value, scope));
            }
        }
        Some(filter)
    }

    fn correlation(&mut self, key: &EcoString, node: &Node, scope: &Scope) -> Option<Correlation> {
        if !self.map(node, "a correlation", &["from", "expect"]) {
            return None;
        }
        let from = self.required(node, "from", "a correlation").and_then(|n| self.expression(n, "`from`", scope));
        let expect = node.get("expect").and_then(|n| self.template(n, scope));
        Some(Correlation { key: key.clone(), from: from?, expect })
    }
}
