//! What a node says of itself, and what the machine says of it.

use std::path::Path;

use crate::node::Asker;
use crate::process::Process;

/// The sum of a metric over all its labels that contain `label`.
pub async fn metric(asker: &Asker, name: &str, label: &str) -> f64 {
    let text = asker.get("/metrics").send().await.expect("an answer").text().await.expect("a body");
    let samples = text.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])) && line.contains(label)
    });
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Bytes of a process that are in memory.
pub fn resident(process: &Process) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
}

/// Bytes of all files in a folder, as allocated.
pub fn used(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => used(&entry.path()),
        Ok(found) => found.blocks() * 512,
        Err(_) => 0, // it went meanwhile
    };
    entries.flatten().map(of).sum()
}
