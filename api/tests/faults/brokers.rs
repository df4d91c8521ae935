//! Brokers that are away: at the start, in the middle, for a while, stopped and killed. The node starts and serves without
//! them, comes back to them by itself, and loses nothing.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::ledger::Outside;
use crate::load::{self, Brokers, Gate};
use crate::node::{Asker, PATIENCE, Place, alone, unique};

/// Servers of our own, on ports of their own: these may be killed.
struct Servers {
    folder: tempfile::TempDir,
    mqtt: u16,
    kafka: u16,
    controller: u16,
}

/// A port that nobody has.
fn port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

impl Servers {
    fn new() -> Servers {
        Servers { folder: tempfile::tempdir().expect("a folder"), mqtt: port(), kafka: port(), controller: port() }
    }

    fn brokers(&self) -> Brokers {
        Brokers { mqtt: format!("mqtt://127.0.0.1:{}", self.mqtt), kafka: format!("127.0.0.1:{}", self.kafka) }
    }

    fn ask(&self, verb: &str, server: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/local/services");
        let mut command = Command::new(script);
        command.args([verb, server]).env("SERVICES_DIR", self.folder.path());
        command.env("MQTT_PORT", self.mqtt.to_string()).env("MQTT_TLS_PORT", port().to_string());
        command.env("KAFKA_PORT", self.kafka.to_string()).env("KAFKA_CONTROLLER_PORT", self.controller.to_string());
        command.env("KAFKA_HEAP", "256m");
        let output = command.output().expect("the script runs");
        assert!(output.status.success(), "{verb} {server}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn signal(&self, signal: &str, server: &str) {
        let file = self.folder.path().join("run").join(server);
        let text = std::fs::read_to_string(file).expect("it runs");
        let id = text.split_whitespace().next().expect("a number");
        assert!(Command::new("kill").args([signal, id]).status().expect("kill runs").success());
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for server in ["mosquitto", "kafka"] {
            if self.folder.path().join("run").join(server).exists() {
                // One that was stopped can't be asked to end.
                self.signal("-CONT", server);
                self.ask("stop", server);
            }
        }
    }
}

const BOOK: &str = "
document: {dsl: '1.0.0', namespace: brokers, name: book, version: '1.0.0'}
schedule: {on: {one: {with: {type: entry}}}}
do:
- rest: {wait: {milliseconds: 5}}
- book: {emit: {event: {with: {type: booked, subject: '${ $workflow.input[0].id }', data: '${ $workflow.input[0] }'}}}}
";

/// The latency of an execution over HTTP, beside brokers that are away.
async fn serves(asker: &Asker, workflow: &str) {
    let begun = Instant::now();
    let path = format!("/api/v1/workflows/{workflow}/execute?wait=10s");
    let id = unique("api");
    let answer = asker.post(&path).json(&json!([{"id": id}])).send().await.expect("an answer");
    assert_eq!(answer.status(), 201);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_away_cost_no_message_and_no_restart() {
    away(Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make torture"]
async fn brokers_that_are_away_for_minutes_cost_no_message_and_no_restart() {
    away(Duration::from_secs(150)).await;
}

async fn away(long: Duration) {
    let _alone = alone().await;
    let (servers, run) = (Servers::new(), unique("brokers"));
    let brokers = servers.brokers();
    let outside = Outside::start(0).await;
    let settings = format!(
        "sources:
  - name: {run}-mqtt
    mqtt: {{ url: '{mqtt}', topics: ['{run}/+/entry'], qos: 1 }}
    event: {{ type: entry, subject: '${{ .topic | split(\"/\")[1] }}', id: '${{ .payload.id }}' }}
  - name: {run}-kafka
    kafka: {{ brokers: '{kafka}', topics: ['{run}'], group: '{run}' }}
    event: {{ type: entry }}
sinks:
  - match: {{ type: booked }}
    http: {{ url: '{outside}/sink' }}
  - match: {{ type: booked }}
    mqtt: {{ url: '{mqtt}', topic: '{run}/booked' }}
  - match: {{ type: booked }}
    kafka: {{ brokers: '{kafka}', topic: '{run}-booked' }}
",
        mqtt = brokers.mqtt,
        kafka = brokers.kafka,
        outside = outside.url
    );
    let place = Place::new("shards: 2", &settings);
    let node = place.start();
    let asker = Asker::new(&node.base);
    let workflow = asker.apply(BOOK).await;
    serves(&asker, &workflow).await;
    asker.until("/readyz", |ready| ready["endpoints"][format!("{run}-mqtt")]["connected"] == false).await;
    let connected = async |way: &str| {
        let name = format!("{run}-{way}");
        asker.until("/readyz", |ready| ready["endpoints"][&name]["connected"] == true).await;
    };
    for server in ["mosquitto", "kafka"] {
        servers.ask("start", server);
    }
    connected("mqtt").await;

    let gate = Gate::new(outside.ledger.clone(), 400, Duration::from_millis(100));
    let by_mqtt = tokio::spawn(load::mqtt(brokers.mqtt.clone(), run.clone(), gate.clone()));
    let by_kafka = tokio::spawn(load::kafka(brokers.kafka.clone(), run.clone(), gate.clone()));
    let flows = async |what: &str| {
        let (before, begun) = (outside.ledger.booked.load(std::sync::atomic::Ordering::Relaxed), Instant::now());
        while outside.ledger.booked.load(std::sync::atomic::Ordering::Relaxed) < before + 100 {
            assert!(begun.elapsed() < PATIENCE, "nothing comes after {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("brokers: flows {:.1?} after {what}", begun.elapsed());
    };
    flows("the start").await;
    for server in ["mosquitto", "kafka"] {
        servers.signal("-STOP", server);
        tokio::time::sleep(long).await;
        serves(&asker, &workflow).await;
        servers.signal("-CONT", server);
        flows(&format!("{server} was stopped")).await;
    }
    // Mosquitto keeps what it has taken only if it may say good-bye; Kafka keeps it whatever happens.
    servers.ask("stop", "mosquitto");
    servers.signal("-KILL", "kafka");
    tokio::time::sleep(long).await;
    serves(&asker, &workflow).await;
    for server in ["mosquitto", "kafka"] {
        servers.ask("start", server);
    }
    connected("mqtt").await;
    flows("both were away").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    gate.stop();
    let (m, k) = (by_mqtt.await.expect("the publisher"), by_kafka.await.expect("the producer"));
    let begun = Instant::now();
    while !outside.ledger.judge(load::ids(m, k, 0)).lost.is_empty() {
        let lost = outside.ledger.judge(load::ids(m, k, 0)).lost;
        assert!(begun.elapsed() < PATIENCE, "{} lost of {m} and {k}: {:?} …", lost.len(), &lost[..lost.len().min(10)]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What the sinks at the brokers have not taken is not forgotten: it drains.
    asker.until("/readyz", |ready| ready["status"] == "ready").await;
    let begun = Instant::now();
    while crate::metrics::metric(&asker, "trinity_shard_outbox", "").await > 0.0 {
        assert!(begun.elapsed() < PATIENCE, "events wait for a sink still");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let verdict = outside.ledger.judge(load::ids(m, k, 0));
    assert!(verdict.doubled.is_empty(), "{:?}", verdict.doubled);
    println!("brokers: {m} messages by MQTT, {k} by Kafka, each executed once");
    assert_eq!(node.terminate(), 0);
}
