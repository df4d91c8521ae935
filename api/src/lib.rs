//! The composition root of Trinity: settings, metadata, the API, and what joins the other crates. Its binary is `trinity`.
#![warn(missing_docs)]

pub mod config;
pub mod metadata;
