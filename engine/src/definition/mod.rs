//! Definitions: read with positions, checked, and compiled to plans.
//!
//! The way of a text: `document` reads YAML or JSON to a tree with positions, `compile` checks it against the DSL and
//! makes a [`Plan`]. All findings are [`Diagnostic`]s with a place in the text. What is supported, and each choice where the
//! DSL is silent, is in `docs/language.md`.

mod compile;
mod diagnostic;
mod document;
pub mod duration;
mod located;
mod names;
mod scalar;
pub mod schema;
mod schema_value;
mod source;
mod string_place;
mod suggest;
#[cfg(test)]
mod tests;
mod tree;
mod uri_template;
pub mod yaml;

pub use diagnostic::{Diagnostic, Related, Severity};
pub use document::Limits;
pub use located::{Located, Part};
pub use source::{Place, Span};
pub use suggest::nearest;

use crate::plan::Plan;

/// The JSON Schema of definitions, for editors: shape and descriptions. [`check`] finds more.
pub const WORKFLOW_SCHEMA: &str = include_str!("workflow.schema.json");

/// Compiles a definition in YAML or JSON. With the plan come the warnings.
///
/// # Errors
/// All findings, warnings included, when one of them is an error.
pub fn compile(text: &str) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    match compile::compile(text) {
        (Some(plan), warnings) => Ok((plan, warnings)),
        (None, findings) => Err(findings),
    }
}

/// All findings about a definition, in order of their places.
#[must_use]
pub fn check(text: &str) -> Vec<Diagnostic> {
    compile::compile(text).1
}
