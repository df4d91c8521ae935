//! A disk that is full, and bytes that were changed on it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;

use crate::chance::Chance;
use crate::node::{Asker, PATIENCE, Place, alone};

/// A file system of its own, with so much room. `None` where none may be mounted.
struct FileSystem(tempfile::TempDir);

impl FileSystem {
    fn mount(megabytes: u32) -> Option<FileSystem> {
        let folder = tempfile::tempdir().expect("a folder");
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(FileSystem(folder)),
            other => {
                eprintln!("SKIPPED: no file system can be mounted here: {other:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=64k"])
            .arg(format!("of={}", self.ballast().display()))
            .output();
    }

    /// Gives it back.
    fn free(&self) {
        std::fs::remove_file(self.ballast()).expect("it is there");
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Length of the texts of events.
const TEXT: usize = 3_000;

const COUNT: &str = "
document: {dsl: '1.0.0', namespace: disk, name: count, version: '1.0.0'}
schedule: {on: {one: {with: {type: entry}}}}
do:
- rest: {wait: {milliseconds: 5}}
- keep: {set: {n: '${ $workflow.input[0].n }'}}
";

/// Posts events one after the other; the numbers of those that were acknowledged.
struct Client {
    asker: Asker,
    next: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Client {
    async fn run(self) -> BTreeSet<u64> {
        let mut acknowledged = BTreeSet::new();
        while !self.stop.load(Ordering::SeqCst) {
            let n = self.next.fetch_add(1, Ordering::SeqCst);
            if post(&self.asker, n).await.is_some_and(|status| status == StatusCode::ACCEPTED) {
                acknowledged.insert(n);
            }
        }
        acknowledged
    }
}

/// A text that can't be compressed.
fn text(seed: u64) -> String {
    let mut chance = Chance::new(seed);
    (0..TEXT).map(|_| char::from(b'!' + (chance.below(90)) as u8)).collect()
}

/// The status of the answer, if there is one; "later" says when.
async fn post(asker: &Asker, n: u64) -> Option<StatusCode> {
    let event = json!({"specversion": "1.0", "id": n.to_string(), "source": "/disk", "type": "entry",
        "data": {"n": n, "text": text(n)}});
    let request = asker.post("/api/v1/events").header("content-type", "application/cloudevents+json");
    let answer = request.body(event.to_string()).send().await.ok()?;
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        assert!(answer.headers().contains_key("retry-after"), "503 says when to come back");
    }
    Some(answer.status())
}

async fn ran(asker: &Asker, workflow: &str) -> Vec<u64> {
    let all = asker.all(&format!("/api/v1/executions?workflowId={workflow}&status=completed")).await;
    all.iter().map(|run| run["output"]["n"].as_u64().expect("a number")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_the_node_goes_on_when_there_is_room() {
    let _alone = alone().await;
    let Some(disk) = FileSystem::mount(96) else { return };
    let place = Place::at(
        tempfile::tempdir().expect("a folder"),
        &disk.path().join("data"),
        "shards: 2, segment_size: 2MiB, snapshot_every: 64KiB",
        "",
    );
    let mut node = place.start();
    let asker = Asker::new(&node.base);
    let workflow = asker.apply(COUNT).await;
    let (next, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let client = || Client { asker: asker.clone(), next: next.clone(), stop: stop.clone() };
    let clients: Vec<_> = (0..4).map(|_| tokio::spawn(client().run())).collect();

    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        disk.fill();
        let begun = Instant::now();
        // Everything that is prepared ahead is used up, then nothing is taken any more.
        let reason = loop {
            let ready = asker.get("/readyz").send().await.expect("the API answers");
            if ready.status() == StatusCode::SERVICE_UNAVAILABLE {
                break ready.text().await.expect("a body");
            }
            assert!(begun.elapsed() < PATIENCE, "the disk does not get full");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(reason.contains("no space is left"), "{reason}");
        assert_eq!(post(&asker, 1_000_000 + round).await, Some(StatusCode::SERVICE_UNAVAILABLE));
        // Definitions, secrets and dead letters are on the same disk; whatever they are told, it is told as a problem.
        let secret = asker.url("/api/v1/secrets/s");
        let kept = reqwest::Client::new().put(secret).json(&json!("x".repeat(60_000))).send().await.expect("an answer");
        assert!(kept.status().is_success() || kept.status() == 503, "{}", kept.status());
        assert!(!ran(&asker, &workflow).await.is_empty(), "what is stored is served");
        tokio::time::sleep(Duration::from_secs(1)).await;
        if round == 1 {
            // Killed with a full disk, it starts with a full disk, or says why not.
            node.kill();
            let starting = place.spawn();
            tokio::time::sleep(Duration::from_millis(500)).await;
            starting.kill();
            disk.free();
            node = place.start();
            asker.moved(&node.base);
        } else {
            disk.free();
        }
        let begun = Instant::now();
        while post(&asker, 2_000_000 + round).await != Some(StatusCode::ACCEPTED) {
            assert!(begun.elapsed() < Duration::from_secs(30), "it does not go on");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("full disk: round {round}: took events again {:?} after there was room", begun.elapsed());
    }
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged: BTreeSet<u64> = (0..3).map(|round| 2_000_000 + round).collect();
    for client in clients {
        acknowledged.extend(client.await.expect("no panic"));
    }
    let begun = Instant::now();
    let all = loop {
        let all = ran(&asker, &workflow).await;
        let distinct: BTreeSet<u64> = all.iter().copied().collect();
        if acknowledged.is_subset(&distinct) {
            break all;
        }
        assert!(begun.elapsed() < PATIENCE, "lost: {:?}", acknowledged.difference(&distinct).collect::<Vec<_>>());
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len(), "one ran twice");
    println!("full disk: {} events acknowledged, {} executed", acknowledged.len(), all.len());
    assert_eq!(node.terminate(), 0);
}

/// The files of a folder whose names end so.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut found: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.to_string_lossy().ends_with(end));
    found.sort();
    found
}

fn flip(file: &Path, at: u64) {
    let mut bytes = std::fs::read(file).expect("readable");
    let at = usize::try_from(at).expect("small");
    bytes[at] ^= 0x10;
    std::fs::write(file, bytes).expect("written");
}

/// Whether a node starts; else what it says.
fn starts(place: &Place) -> Result<crate::process::Process, String> {
    let log = place.folder().join("said");
    let mut command = Command::new(env!("CARGO_BIN_EXE_trinity"));
    command.stderr(std::fs::File::create(&log).expect("a file"));
    place.spawn_as(command).listens().ok_or_else(|| std::fs::read_to_string(&log).expect("text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_and_cut_files_are_found_and_never_served() {
    let _alone = alone().await;
    let place = Place::new("shards: 2, segment_size: 1MiB", "");
    let node = place.start();
    let asker = Asker::new(&node.base);
    let workflow = asker.apply(COUNT).await;
    for n in 0..600 {
        assert_eq!(post(&asker, n).await, Some(StatusCode::ACCEPTED));
    }
    while ran(&asker, &workflow).await.len() < 600 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(node.terminate(), 0);
    let journal = place.data.join("journal");
    let segments = files(&journal, ".segment");
    assert!(segments.len() > 1, "{segments:?}");
    let whole: Vec<(PathBuf, Vec<u8>)> = files(&journal, "")
        .into_iter()
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).expect("readable")))
        .collect();
    let restore = || {
        for path in files(&journal, "") {
            let _ = std::fs::remove_file(path);
        }
        for (path, bytes) in &whole {
            std::fs::write(path, bytes).expect("written");
        }
    };

    // In the first segment, which has an index: the node starts, and does not serve what was changed.
    flip(&segments[0], 300_000);
    let node = starts(&place).expect("it starts");
    asker.moved(&node.base);
    let mut cursor = String::new();
    let refused = loop {
        let answer = asker
            .get(&format!("/api/v1/executions?workflowId={workflow}&limit=10{cursor}"))
            .send()
            .await
            .expect("an answer");
        if !answer.status().is_success() {
            break answer;
        }
        let page: serde_json::Value = answer.json().await.expect("JSON");
        for run in page["items"].as_array().expect("a list") {
            assert_eq!(run["input"][0]["text"].as_str().map(str::len), Some(TEXT), "served as it was, or not at all");
        }
        cursor = format!("&cursor={}", page["next"].as_str().expect("the changed bytes are served"));
    };
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(post(&asker, 9_999).await, Some(StatusCode::ACCEPTED), "new work goes on");
    node.kill();
    restore();

    // In the last one: nothing is served, and the node says where.
    let last = segments.iter().rev().find(|path| std::fs::read(path).expect("readable").iter().any(|byte| *byte != 0));
    flip(last.expect("one is used"), 200);
    let said = starts(&place).map(|_| ()).expect_err("damage");
    assert!(said.contains("damaged") && said.contains(".segment"), "{said}");
    restore();

    // A whole segment cut short, or gone.
    let bytes = std::fs::read(&segments[0]).expect("readable");
    std::fs::write(&segments[0], &bytes[..bytes.len() / 2]).expect("written");
    for index in files(&journal, ".index") {
        std::fs::remove_file(index).expect("removed");
    }
    let said = starts(&place).map(|_| ()).expect_err("damage");
    assert!(said.contains("damaged"), "{said}");
    restore();

    // The end of the last one is torn: cut, and everything before it is there.
    let node = starts(&place).expect("it starts as it was");
    asker.moved(&node.base);
    assert_eq!(ran(&asker, &workflow).await.len(), 600);
    assert_eq!(node.terminate(), 0);
}
