//! The shell around the core: what touches the outside.
#![warn(missing_docs)]

pub mod call;
pub mod journal;
