//! Definitions: parsed with positions, validated, compiled to plans.

pub mod schema;
