//! A program and an input, with a line end between them: no panic, no budget exceeded, both ways of evaluation agree.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (input, program) = text.split_once('\n').unwrap_or(("null", text));
    trinity_engine::expression::both_ways_agree(program, input);
});
