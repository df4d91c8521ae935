//! Any bytes as JSON: no panic, and what is read is written so that it reads the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| trinity_engine::expression::json_survives(bytes));
