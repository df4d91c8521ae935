//! Sinks: HTTP against a small server of the test, Kafka against a real broker (skipped without TRINITY_TEST_KAFKA).

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use trinity_engine::event::CloudEvent;
use trinity_engine::value::Value;
use trinity_ingest::config::{SinkConfig, SourceConfig};
use trinity_ingest::sink::{Delivery, Outcome, Sink};
use trinity_ingest::source::CHANNEL_CAPACITY;
use trinity_ingest::{kafka, sink};

const WAIT: Duration = Duration::from_secs(60);

fn start(json: &str) -> (Sink, mpsc::Sender<Delivery>, mpsc::Receiver<Outcome>) {
    let config: SinkConfig = serde_json::from_str(json).expect("a sink");
    let (deliveries, receiver) = mpsc::channel(64);
    let (sender, outcomes) = mpsc::channel(64);
    (sink::start(&config, receiver, sender).expect("starts"), deliveries, outcomes)
}

fn delivery(id: u64, subject: &str) -> Delivery {
    let mut event = CloudEvent::new(format!("e{id}"), "/test", "alert");
    event.subject = Some(subject.into());
    event.data = Some(Value::from(id));
    Delivery { event: Arc::new(event), id }
}

async fn outcome(outcomes: &mut mpsc::Receiver<Outcome>) -> Outcome {
    tokio::time::timeout(WAIT, outcomes.recv()).await.expect("in time").expect("the sink runs")
}

/// Answers each request by the next status and hands over its head and body.
async fn serve(listener: TcpListener, statuses: Vec<&'static str>, requests: mpsc::UnboundedSender<(String, String)>) {
    let mut statuses = statuses.into_iter();
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut text = String::new();
        let (head, body) = loop {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).await.expect("a request");
            text.push_str(std::str::from_utf8(&chunk[..read]).expect("text"));
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.to_ascii_lowercase();
            let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            if body.len() >= length.parse().expect("a number") {
                break (head.to_ascii_lowercase(), body.to_owned());
            }
        };
        requests.send((head, body)).expect("the test listens");
        let Some(status) = statuses.next() else { return };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.expect("answered");
    }
}

#[tokio::test]
async fn http_tries_again_what_may_pass_and_gives_up_what_cannot() {
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = reserved.local_addr().expect("an address");
    drop(reserved);
    let (sink, deliveries, mut outcomes) =
        start(&format!(r#"{{"match": {{"type": "alert"}}, "http": {{"url": "http://{address}/hook", "lanes": 4}}}}"#));
    for id in 1..=3 {
        deliveries.send(delivery(id, "one subject")).await.expect("room");
    }
    // Nobody listens yet: the sink waits.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!sink.status().is_connected() && sink.status().last_error().is_some());
    let (sender, mut requests) = mpsc::unbounded_channel();
    let listener = TcpListener::bind(address).await.expect("the port is free");
    tokio::spawn(serve(listener, vec!["503 Busy", "202 Accepted", "422 No", "200 OK"], sender));
    assert_eq!(outcome(&mut outcomes).await, Outcome { id: 1, result: Ok(()) });
    let refused = outcome(&mut outcomes).await;
    assert_eq!(refused.id, 2);
    assert!(refused.result.expect_err("final").contains("422"));
    assert_eq!(outcome(&mut outcomes).await, Outcome { id: 3, result: Ok(()) });
    let mut ids = Vec::new();
    for _ in 0..4 {
        let (head, body) = requests.recv().await.expect("a request");
        assert!(head.contains("content-type: application/cloudevents+json"), "{head}");
        let event: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        ids.push(event["id"].as_str().expect("an id").to_owned());
    }
    assert_eq!(ids, ["e1", "e1", "e2", "e3"], "in order, the repetition with the same id");
    drop(deliveries);
    sink.drained().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_delivers_in_order_what_a_source_reads_again() {
    let Some(brokers) = std::env::var("TRINITY_TEST_KAFKA").ok().filter(|address| !address.is_empty()) else {
        eprintln!("SKIPPED: TRINITY_TEST_KAFKA is not set; start the servers with deploy/local/services");
        return;
    };
    for mode in ["binary", "structured"] {
        let topic = uuid::Uuid::new_v4().simple().to_string();
        let (sink, deliveries, mut outcomes) = start(&format!(
            r#"{{"match": {{"type": "alert"}}, "kafka": {{"brokers": "{brokers}", "topic": "${{ \"{topic}\" }}",
                "key": "${{ .subject }}", "mode": "{mode}"}}}}"#
        ));
        tokio::spawn(async move {
            for id in 0..200 {
                deliveries.send(delivery(id, ["a", "b"][id as usize % 2])).await.expect("room");
            }
        });
        for id in 0..200 {
            assert_eq!(outcome(&mut outcomes).await, Outcome { id, result: Ok(()) });
        }
        sink.drained().await;
        let config: SourceConfig = serde_json::from_str(&format!(
            r#"{{"name": "s", "format": "cloudevents", "kafka": {{"brokers": "{brokers}", "topics": ["{topic}"], "group": "g-{topic}"}}}}"#
        ))
        .expect("a source");
        let (sender, mut intakes) = mpsc::channel(CHANNEL_CAPACITY);
        let source = kafka::start(&config, sender).expect("starts");
        let mut seen: Vec<Arc<CloudEvent>> = Vec::new();
        while seen.len() < 200 {
            let intake = tokio::time::timeout(WAIT, intakes.recv()).await.expect("in time").expect("the source runs");
            assert!(intake.dead_letters.is_empty());
            intake.receipts.durable(intake.events.iter().map(|event| event.token).collect());
            seen.extend(intake.events.into_iter().map(|event| event.event));
        }
        for subject in ["a", "b"] {
            let of_subject = seen.iter().filter(|event| event.subject.as_deref() == Some(subject));
            let numbers: Vec<i64> =
                of_subject.map(|event| event.data.as_ref().and_then(Value::as_i64).expect("a number")).collect();
            assert_eq!(numbers.len(), 100);
            assert!(numbers.is_sorted(), "{numbers:?}");
        }
        source.stop().await;
    }
}
