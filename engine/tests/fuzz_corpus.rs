//! Replays what the fuzzers of `fuzz/` keep: every text that once was of interest.

use std::fs;
use std::path::Path;

use trinity_engine::expression::{both_ways_agree, json_survives};

fn each(corpus: &str, mut check: impl FnMut(&[u8])) -> usize {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(corpus);
    let files = fs::read_dir(&directory).expect("the corpus is committed");
    let mut count = 0;
    for file in files {
        check(&fs::read(file.expect("an entry").path()).expect("a file"));
        count += 1;
    }
    count
}

#[test]
fn expressions_that_were_of_interest_still_agree() {
    let count = each("expressions", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (input, program) = text.split_once('\n').unwrap_or(("null", &text));
        both_ways_agree(program, input);
    });
    assert!(count >= 50, "only {count}");
}

#[test]
fn texts_that_were_of_interest_survive() {
    let count = each("json", json_survives);
    assert!(count >= 20, "only {count}");
}
