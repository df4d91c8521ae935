//! JSON Schema, compiled once.

/// A compiled JSON Schema.
#[derive(Clone, Debug)]
pub struct Schema;
