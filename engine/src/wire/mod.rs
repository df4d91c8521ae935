//! Stored forms. They are apart from the types of the core, so that either can change without the other; every form
//! begins with a version, and old ones stay readable, which fixtures prove.

pub mod codec;
pub mod history;
pub mod record;
