//! Trinity.
