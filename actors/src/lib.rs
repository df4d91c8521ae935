//! The shell around the core: actors that bring inputs to the shards, make their decisions durable, and carry out what
//! they release.
//!
//! [`node::Node`] supervises one actor for each shard; an actor for each outside call is linked to its shard. The
//! `committer` joins the shards' decisions into one block of the [`journal`] and gives receipts; only against a receipt
//! anything leaves. [`handle::Handle`] is the only way in.
#![warn(missing_docs)]

pub mod admission;
pub mod call;
mod calls;
pub mod clock;
mod committer;
mod execution_actor;
mod expected;
pub mod handle;
pub mod inbox;
pub mod journal;
pub mod node;
pub mod pipeline;
mod recovery;
mod shard_actor;
pub mod status;
