//! Durations and timeouts.

use super::{Compiler, Scope};
use crate::definition::document::{Kind, Node};
use crate::definition::duration::{self, UNITS};
use crate::expression;
use crate::plan::DurationSpec;
use crate::time::Duration;

impl<'a> Compiler<'a> {
    /// A duration: ISO 8601, an object of units, or `${ … }`.
    pub(super) fn duration(&mut self, node: &Node, what: &str, scope: &Scope) -> Option<DurationSpec> {
        if let Kind::String(text, _) = &node.kind
            && expression::strip_wrapper(text).is_some()
        {
            return self.expression(node, what, scope).map(DurationSpec::Computed);
        }
        self.constant_duration(node, what).map(DurationSpec::Constant)
    }

    /// A duration that must be known when the definition is registered.
    pub(super) fn constant_duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        match &node.kind {
            Kind::String(text, _) if expression::strip_wrapper(text).is_some() => {
                let hint = "it must be known when the workflow is registered: write it out, such as PT15M";
                self.error_with("TRN0402", node.span, format!("{what} can't be computed"), hint);
                None
            }
            Kind::String(text, _) => match duration::parse_iso8601(text) {
                Ok(span) => Some(span),
                Err(message) => {
                    self.error_with("TRN0503", node.span, message, "or write an object: {minutes: 1, seconds: 30}");
                    None
                }
            },
            Kind::Object(entries) => {
                let known = UNITS.map(|(name, _)| name);
                let before = self.findings.len();
                self.map(node, what, &known);
                if entries.is_empty() {
                    let message = format!("{what} needs at least one of: {}", known.join(", "));
                    self.error("TRN0503", node.name, message);
                }
                for entry in entries {
                    if !matches!(entry.value.kind, Kind::Int(0..)) {
                        let hint = "computed durations are strings: ${ \"PT\\(.n)S\" }";
                        let message = format!("\"{}\" must be a whole number, 0 or more", entry.key);
                        self.error_with("TRN0503", entry.value.span, message, hint);
                    }
                }
                if self.findings.len() > before {
                    return None;
                }
                let span = duration::from_value(&node.to_value());
                span.map_err(|message| self.error("TRN0503", node.span, message)).ok()
            }
            Kind::Int(_) | Kind::Float(_) => {
                let message = format!("{what} must be a duration, not a number");
                let raw = &self.source.text[node.span.range()];
                let hint = format!("give the unit: {{seconds: {raw}}}, or PT{raw}S");
                self.error_with("TRN0503", node.span, message, hint);
                None
            }
            _ => {
                self.wrong_type(node, what, "a duration such as PT30S or {seconds: 30}");
                None
            }
        }
    }

    /// `timeout`: `{after}` or a name in `use.timeouts`.
    pub(super) fn timeout(&mut self, node: &Node, scope: &Scope) -> Option<DurationSpec> {
        let uses = self.uses.clone();
        let policy = match &node.kind {
            Kind::String(name, _) => self.used(&uses.timeouts, "timeouts", "timeout", name, node.span)?,
            _ => node,
        };
        self.timeout_policy(policy, scope)
    }

    /// `{after}`.
    pub(super) fn timeout_policy(&mut self, node: &Node, scope: &Scope) -> Option<DurationSpec> {
        if !self.map(node, "`timeout`", &["after"]) {
            return None;
        }
        let after = self.required(node, "after", "`timeout`")?;
        self.duration(after, "`timeout.after`", scope)
    }
}
