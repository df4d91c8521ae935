//! Where closed windows are kept.

pub mod embedded;
