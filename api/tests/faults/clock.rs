//! The machine's clock jumps by an hour, ahead and back, while executions wait: none goes on early or late.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::node::{Asker, Place, alone};
use crate::process::Process;

/// The library that lies to a process about the time, from Debian's package libfaketime.
fn library() -> Option<PathBuf> {
    let folders = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime", "/usr/lib/faketime"];
    let found = folders.iter().map(|folder| Path::new(folder).join("libfaketimeMT.so.1")).find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: libfaketime is not installed; apt-get install libfaketime");
    }
    found
}

/// Sets the wall clock of the node: an offset such as `+1h`.
fn set(file: &Path, offset: &str) {
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, offset).expect("written");
    std::fs::rename(fresh, file).expect("renamed");
}

fn faked(library: &Path, file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trinity"));
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", file);
    // What no one can set, the time since the start of the machine, stays as it is.
    command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
    command
}

const REST: &str = "
document: {dsl: '1.0.0', namespace: clock, name: rest, version: '1.0.0'}
do: [{a: {wait: {seconds: 3}}}, {b: {set: {ok: true}}}]
";

/// Executes `rest` while `jump` happens in its middle; how long it took by our own clock.
async fn rests(asker: &Asker, workflow: &str, jump: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    let id = asker.execute(workflow, &json!({})).await;
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    jump();
    let run = asker.until(&format!("/api/v1/executions/{id}"), |run| run["status"] == "completed").await;
    let took = begun.elapsed();
    println!("clock: {took:?}, {} ms by the node's own measure", run["durationMs"]);
    took
}

fn in_time(took: Duration, what: &str) {
    assert!(took >= Duration::from_secs(3), "{what}: early, after {took:?}");
    // A second late is allowed, and asking takes a moment.
    assert!(took < Duration::from_millis(4_300), "{what}: late, after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_makes_no_timer_early_or_late() {
    let _alone = alone().await;
    let Some(library) = library() else { return };
    let place = Place::new("shards: 2", "");
    let file = place.folder().join("time");
    set(&file, "+0");
    let start = || place.spawn_as(faked(&library, &file)).listening();
    let mut node = start();
    let asker = Asker::new(&node.base);
    let workflow = asker.apply(REST).await;
    let believes = async || {
        let id = asker.execute(&workflow, &json!({})).await;
        let run = asker.json(&format!("/api/v1/executions/{id}")).await;
        run["createdAt"].as_str().expect("a time").to_owned()
    };
    let before = believes().await;
    in_time(rests(&asker, &workflow, || set(&file, "+1h")).await, "an hour ahead");
    in_time(rests(&asker, &workflow, || set(&file, "-1h")).await, "an hour back");
    in_time(rests(&asker, &workflow, || set(&file, "+0")).await, "and right again");

    // Killed while the clock is an hour ahead, and started when it is right: what waits does not wait an hour longer.
    set(&file, "+1h");
    node.kill();
    node = start();
    asker.moved(&node.base);
    assert!(believes().await > before, "time goes on");
    let (mut nodes, mut away) = (vec![node], Duration::ZERO);
    let again = || {
        let begun = Instant::now();
        set(&file, "+0");
        nodes.drain(..).for_each(Process::kill);
        nodes.push(start());
        asker.moved(&nodes[0].base);
        away = begun.elapsed();
    };
    let took = rests(&asker, &workflow, again).await;
    assert!(took >= Duration::from_secs(3), "early, after {took:?}");
    // How long it was away it can't know, for it has no clock to tell it.
    in_time(took.saturating_sub(away).max(Duration::from_secs(3)), "a start after the clock was set back");
    assert_eq!(nodes.remove(0).terminate(), 0);
}
