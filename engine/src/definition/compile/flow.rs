//! Flow directives.

use super::Compiler;
use crate::definition::document::Node;
use crate::definition::suggest::nearest;
use crate::plan::Flow;

/// Names that are directives and so can't be tasks.
pub(super) const DIRECTIVES: [&str; 3] = ["continue", "exit", "end"];

/// The tasks that a directive may name.
pub(super) struct Siblings<'n> {
    /// All names of the list, in order.
    pub names: Vec<&'n str>,
    /// Why none of them can be reached, when so.
    pub closed: Option<&'static str>,
}

impl Compiler<'_> {
    /// `then`, by default `continue`.
    pub(super) fn then(&mut self, node: Option<&Node>, siblings: &Siblings<'_>) -> Flow {
        node.and_then(|node| self.flow(node, siblings)).unwrap_or(Flow::Continue)
    }

    /// A flow directive.
    pub(super) fn flow(&mut self, node: &Node, siblings: &Siblings<'_>) -> Option<Flow> {
        let name = self.string(node, "`then`")?;
        match name {
            "continue" => return Some(Flow::Continue),
            "exit" => return Some(Flow::Exit),
            "end" => return Some(Flow::End),
            _ => {}
        }
        if let Some(why) = siblings.closed {
            self.error_with("TRN0301", node.span, format!("\"{name}\" can't be reached from here"), why);
            return None;
        }
        if let Some(position) = siblings.names.iter().position(|n| *n == name) {
            return u32::try_from(position).ok().map(Flow::Goto);
        }
        let known = siblings.names.iter().copied().chain(DIRECTIVES);
        let hint = match nearest(name, known) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!(
                "a directive reaches only tasks of its own list ({}), or is continue, exit or end",
                siblings.names.join(", ")
            ),
        };
        self.error_with("TRN0301", node.span, format!("no task \"{name}\" in this list"), hint);
        None
    }
}
