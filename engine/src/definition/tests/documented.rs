//! `docs/language.md` lists every code that a finding may have, and no other.

use std::collections::BTreeSet;
use std::path::Path;

fn codes(text: &str, quote: char) -> BTreeSet<String> {
    let marked = format!("{quote}TRN");
    text.match_indices(&marked).filter_map(|(at, _)| text.get(at + 1..at + 8)).map(str::to_owned).collect()
}

fn sources(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "tests") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(codes(&std::fs::read_to_string(&path).expect("a source"), '"'));
        }
    }
}

#[test]
fn every_code_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut used = BTreeSet::new();
    sources(&root.join("src/definition"), &mut used);
    let document = std::fs::read_to_string(root.join("../docs/language.md")).expect("the document");
    assert_eq!(used, codes(&document, '`'));
}
