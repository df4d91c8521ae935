//! `input`, `output`, `export` and their schemas.

use super::{Compiler, Scope};
use crate::definition::document::{Kind, Node, escape};
use crate::definition::schema::Schema;
use crate::expression::Template;

/// A transformation and a schema, either or both.
#[derive(Default)]
pub(super) struct Data {
    pub transformation: Option<Template>,
    pub schema: Option<Schema>,
}

impl Compiler<'_> {
    /// `input: {from, schema}`.
    pub(super) fn data_in(&mut self, node: Option<&Node>, what: &str, scope: &Scope) -> Data {
        self.data(node, what, "from", scope)
    }

    /// `output` or `export`: `{as, schema}`.
    pub(super) fn data_out(&mut self, node: Option<&Node>, what: &str, scope: &Scope) -> Data {
        self.data(node, what, "as", scope)
    }

    fn data(&mut self, node: Option<&Node>, what: &str, transformation: &str, scope: &Scope) -> Data {
        let Some(node) = node else { return Data::default() };
        if !self.map(node, &format!("`{what}`"), &[transformation, "schema"]) {
            return Data::default();
        }
        let field = format!("`{what}.{transformation}`");
        Data {
            transformation: node.get(transformation).and_then(|n| self.transformation(n, &field, scope)),
            schema: node.get("schema").and_then(|n| self.schema(n)),
        }
    }

    /// `schema: {format, document | resource}`.
    fn schema(&mut self, node: &Node) -> Option<Schema> {
        if !self.map(node, "`schema`", &["format", "document", "resource"]) {
            return None;
        }
        if let Some(format) = node.get("format") {
            let text = self.string(format, "`schema.format`")?;
            if text != "json" && !text.starts_with("json:") {
                self.unsupported(format.span, format_args!("the schema format \"{text}\""));
                return None;
            }
        }
        let given = self.exactly_one(node, "`schema`", &["document", "resource"])?;
        if given.key == "resource" {
            self.unsupported(given.key_span, "a schema in an external resource");
            return None;
        }
        let document = &given.value;
        if !matches!(document.kind, Kind::Object(_) | Kind::Bool(_)) {
            self.wrong_type(document, "a JSON Schema", "a map");
            return None;
        }
        match Schema::compile(&document.to_value()) {
            Ok(schema) => Some(schema),
            Err(error) => {
                let place = at_pointer(document, &error.pointer);
                self.error("TRN0507", place.span, format!("not a valid JSON Schema: {}", error.message));
                None
            }
        }
    }
}

/// The node at `pointer` below `root`, or the nearest there is.
fn at_pointer<'n>(root: &'n Node, pointer: &str) -> &'n Node {
    let mut node = root;
    for segment in pointer.split('/').skip(1) {
        let next = match &node.kind {
            Kind::Object(entries) => entries.iter().find(|e| escape(&e.key) == segment).map(|e| &e.value),
            Kind::Array(items) => segment.parse::<usize>().ok().and_then(|i| items.get(i)),
            _ => None,
        };
        let Some(next) = next else { break };
        node = next;
    }
    node
}
