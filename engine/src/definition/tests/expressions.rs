//! Findings within expressions point into the text.
