//! Sources and sinks: how events come in and go out.
//!
//! Nothing is acknowledged to a broker before the engine has made durable what it caused, and nothing is lost: what can't
//! be processed becomes a [`dead_letter::DeadLetter`]. The crate knows brokers and formats, not workflows.
#![warn(missing_docs)]

mod back_off;
pub mod binding;
pub mod config;
pub mod dead_letter;
pub mod decode;
pub mod kafka;
pub mod mapping;
pub mod mqtt;
pub mod sink;
pub mod source;
pub mod status;
mod template;
