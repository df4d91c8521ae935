//! Definitions: parsed with positions, validated, compiled to plans.

pub mod duration;
pub mod schema;
