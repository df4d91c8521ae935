//! The composition root of Trinity: settings, metadata, the API, and what joins the other crates. Its binary is `trinity`.
//!
//! | file | holds |
//! | --- | --- |
//! | `app` | everything started in order, and stopped in the reverse of it |
//! | `config` | the settings |
//! | `metadata` `library` | definitions, secrets and dead letters: stored, and compiled |
//! | `pump` `outlet` `measure` | from sources to shards, from shards to sinks and to the analytics |
//! | `published` | events read out of the journal, the lifecycle of executions among them |
//! | `rest` | the API |
#![warn(missing_docs)]

pub mod app;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod library;
pub mod logging;
mod measure;
pub mod metadata;
mod outlet;
mod published;
mod pump;
pub mod rest;
mod units;
