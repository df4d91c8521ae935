//! The language and the deterministic core of Trinity.
//!
//! Nothing here reads a clock, a socket, a disk or a random source: time, seeds and loaded state are arguments.
//! The way of data: a [`definition`] is parsed, validated and compiled once to a [`plan`]; an [`execution`] walks its
//! plan; a [`shard`] steps many executions over a batch of [`input`]s and answers with what to make durable and the
//! [`effect`]s to release after that; [`wire`] holds every stored form.
#![warn(missing_docs)]

pub mod definition;
pub mod effect;
pub mod error;
pub mod event;
pub mod execution;
pub mod expression;
pub mod history;
pub mod ids;
pub mod input;
pub mod plan;
pub mod shard;
pub mod time;
pub mod value;
pub mod wire;
