//! What the compiler accepts and refuses.
