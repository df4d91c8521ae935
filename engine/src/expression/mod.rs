//! Runtime expressions: jq.

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expression;
/// A template.
#[derive(Clone, Debug)]
pub struct Template;
