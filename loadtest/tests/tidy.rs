//! The load generator knows Trinity from outside only.

use std::process::Command;

#[test]
fn depends_on_none_of_our_other_crates() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--offline", "--package", "trinity-loadtest", "--edges", "normal,build", "--prefix", "none"])
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).expect("text");
    let ours: Vec<&str> = text.lines().filter(|line| line.starts_with("trinity-")).collect();
    assert!(ours.len() == 1 && ours[0].starts_with("trinity-loadtest "), "{ours:?}");
}
