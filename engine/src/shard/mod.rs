//! A shard: the single writer of its executions, and all that starts and moves them.

mod catalog;
mod dedup;
mod gather;

pub use catalog::{Catalog, CatalogEntry, DefinitionState, TypePattern};
