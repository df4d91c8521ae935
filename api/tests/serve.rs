//! `trinity serve` as a process: what it says, how it stops, and that killing it loses nothing and does nothing twice.

mod process;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use process::Process;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use reqwest::Client;
use serde_json::{Value, json};

fn start(folder: &Path) -> Process {
    with(folder, &[])
}

fn with(folder: &Path, arguments: &[&str]) -> Process {
    Process::start(|command| {
        command.args(arguments).env("TRINITY__ENGINE__DATA_DIR", folder).env("TRINITY__LOGGING__LEVEL", "error");
    })
}

fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

async fn apply(client: &Client, process: &Process) -> String {
    let definition = "document: {dsl: 1.0.3, namespace: test, name: count, version: 1.0.0}\n\
                      schedule: {on: {one: {with: {type: t.count}}}}\n\
                      do: [{keep: {set: {n: \"${ .[0].n }\"}}}]\n";
    let request = client.post(format!("{}/api/v1/workflows", process.base)).header("content-type", "application/yaml");
    let answer = request.body(definition).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    answer.json::<Value>().await.expect("JSON")["id"].as_str().expect("an id").to_owned()
}

/// Whether the event was acknowledged.
async fn publish(client: &Client, base: &str, n: u32) -> bool {
    let event = json!({"specversion": "1.0", "id": n.to_string(), "source": "test", "type": "t.count",
        "subject": format!("s{}", n % 7), "data": {"n": n}});
    let request = client.post(format!("{base}/api/v1/events")).header("content-type", "application/cloudevents+json");
    request.body(event.to_string()).send().await.is_ok_and(|answer| answer.status() == 202)
}

/// The numbers of all executions that have completed, each as often as it ran.
async fn executed(client: &Client, process: &Process, workflow: &str) -> Vec<u64> {
    let (mut numbers, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/executions?workflowId={workflow}&status=completed&limit=1000{cursor}");
        let answer = client.get(format!("{}{path}", process.base)).send().await.expect("an answer");
        let page: Value = answer.json().await.expect("JSON");
        let items = page["items"].as_array().expect("items");
        numbers.extend(items.iter().map(|run| run["output"]["n"].as_u64().expect("a number")));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return numbers,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_nothing_acknowledged_is_lost_and_nothing_runs_twice() {
    const ROUNDS: u32 = 20;
    const EVENTS: u32 = 40;
    let folder = tempfile::tempdir().expect("a folder");
    let client = client();
    let mut process = start(folder.path());
    let workflow = apply(&client, &process).await;
    let mut wanted = BTreeSet::new();
    for round in 0..ROUNDS {
        let base = process.base.clone();
        let numbers: Vec<u32> = (round * EVENTS..(round + 1) * EVENTS).collect();
        wanted.extend(numbers.iter().map(|n| u64::from(*n)));
        let acknowledged = Arc::new(AtomicU32::new(0));
        let sender = {
            let (client, numbers, acknowledged) = (client.clone(), numbers.clone(), acknowledged.clone());
            tokio::spawn(async move {
                for n in numbers {
                    acknowledged.fetch_add(u32::from(publish(&client, &base, n).await), Ordering::SeqCst);
                }
            })
        };
        // In the middle, each time elsewhere.
        while acknowledged.load(Ordering::SeqCst) < 1 + round * 7 % 37 {
            tokio::task::yield_now().await;
        }
        process.kill();
        sender.await.expect("no panic");
        process = start(folder.path());
        // As a client does that got no answer: the same again, those that were acknowledged too.
        for n in numbers {
            assert!(publish(&client, &process.base, n).await);
        }
    }
    let begun = Instant::now();
    loop {
        let ran = executed(&client, &process, &workflow).await;
        let distinct: BTreeSet<u64> = ran.iter().copied().collect();
        assert_eq!(ran.len(), distinct.len(), "one ran twice");
        if distinct == wanted {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{} of {} ran", ran.len(), wanted.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(process.terminate(), 0, "it stops in order");
}

/// With `TRINITY_TEST_KAFKA` (see `deploy/local/services`), else skipped.
#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_every_record_of_kafka_runs_once() {
    const RECORDS: u32 = 2000;
    let Some(brokers) = std::env::var("TRINITY_TEST_KAFKA").ok().filter(|brokers| !brokers.is_empty()) else {
        eprintln!("SKIPPED: TRINITY_TEST_KAFKA is not set; start the servers with deploy/local/services");
        return;
    };
    let topic = uuid::Uuid::new_v4().simple().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trinity.config.yml");
    // A short session, so that the group gives the partitions of who was killed away soon; few records at once, so that it
    // is in the middle when it is killed.
    let settings = format!(
        "sources:\n  - name: orders\n    event: {{type: t.count}}\n    kafka:\n      brokers: {brokers}\n      \
         topics: [{topic}]\n      group: g-{topic}\n      unacknowledged_max: 50\n      \
         settings: {{session.timeout.ms: '6000', topic.metadata.refresh.interval.ms: '500'}}\n"
    );
    std::fs::write(&file, settings).expect("a file");
    let config = file.display().to_string();
    let data = folder.path().join("data");
    let client = client();
    let mut process = with(&data, &["--config", &config]);
    let workflow = apply(&client, &process).await;
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", &brokers).create().expect("a producer");
    let mut sent = Vec::new();
    for n in 0..RECORDS {
        let (key, payload) = (format!("k{}", n % 7), json!({"n": n}).to_string());
        let record = FutureRecord::to(&topic).key(&key).payload(&payload);
        sent.push(producer.send_result(record).expect("room in the queue"));
    }
    for answer in sent {
        answer.await.expect("an answer").expect("delivered");
    }
    let begun = Instant::now();
    for kill_at in [Some(50), Some(700), None] {
        loop {
            let ran = executed(&client, &process, &workflow).await;
            let distinct: BTreeSet<u64> = ran.iter().copied().collect();
            assert_eq!(ran.len(), distinct.len(), "one ran twice");
            if distinct.len() >= kill_at.unwrap_or(RECORDS as usize) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "{} of {RECORDS} ran", ran.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if kill_at.is_some() {
            process.kill();
            process = with(&data, &["--config", &config]);
        }
    }
    assert_eq!(process.terminate(), 0, "it stops in order");
}

#[test]
fn wrong_settings_are_shown_and_exit_with_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trinity.config.yml");
    std::fs::write(&file, "server: { host: 0.0.0.0 }\n").expect("a file");
    let mut child = Command::new(env!("CARGO_BIN_EXE_trinity"))
        .args(["serve", "--config"])
        .arg(&file)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut shown = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut shown).expect("UTF-8");
    assert_eq!(child.wait().expect("it ends").code(), Some(2));
    assert!(shown.contains("error[TRN1007]") && shown.contains("trinity.config.yml:1:17"), "{shown}");
}
