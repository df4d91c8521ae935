//! The MQTT sink against a real broker (`deploy/local/services start mosquitto`; skipped without TRINITY_TEST_MQTT).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use trinity_engine::event::CloudEvent;
use trinity_engine::value::Value;
use trinity_ingest::config::{SinkConfig, SourceConfig};
use trinity_ingest::sink::{Delivery, Outcome, Sink};
use trinity_ingest::source::{CHANNEL_CAPACITY, Intake, Source};
use trinity_ingest::{mqtt, sink};

const WAIT: Duration = Duration::from_secs(60);

/// Host and port of the broker, or `None` with a visible note.
fn broker() -> Option<String> {
    let url = std::env::var("TRINITY_TEST_MQTT").ok().filter(|address| !address.is_empty());
    if url.is_none() {
        eprintln!("SKIPPED: TRINITY_TEST_MQTT is not set; start the servers with deploy/local/services");
    }
    url.map(|url| url.trim_start_matches("mqtt://").to_owned())
}

fn start(broker: &str, topic: &str, settings: &str) -> (Sink, mpsc::Sender<Delivery>, mpsc::Receiver<Outcome>) {
    let config: SinkConfig = serde_json::from_value(serde_json::json!({
        "match": {"type": "alert"},
        "mqtt": {"url": format!("mqtt://{broker}"), "topic": topic}
    }))
    .and_then(|mut config: serde_json::Value| {
        let more: serde_json::Value = serde_json::from_str(settings)?;
        for (name, value) in more.as_object().expect("an object") {
            config["mqtt"][name] = value.clone();
        }
        serde_json::from_value(config)
    })
    .expect("a sink");
    let (deliveries, receiver) = mpsc::channel(64);
    let (sender, outcomes) = mpsc::channel(64);
    (sink::start(&config, receiver, sender).expect("starts"), deliveries, outcomes)
}

fn delivery(id: u64, subject: &str) -> Delivery {
    let mut event = CloudEvent::new(format!("e{id}"), "/test", "alert");
    event.subject = Some(subject.into());
    event.extensions.push(("room".into(), Value::from("r1")));
    event.data = Some(Value::from(id));
    Delivery { event: Arc::new(event), id }
}

async fn outcome(outcomes: &mut mpsc::Receiver<Outcome>) -> Outcome {
    tokio::time::timeout(WAIT, outcomes.recv()).await.expect("in time").expect("the sink runs")
}

/// Subscribes to what the sink publishes; ready when the broker has the subscription.
async fn listen(broker: &str, name: &str) -> (Source, mpsc::Receiver<Intake>) {
    let config: SourceConfig = serde_json::from_str(&format!(
        r#"{{"name": "{name}", "format": "cloudevents", "mqtt": {{"url": "mqtt://{broker}", "topics": ["t/{name}/#"], "qos": 2}}}}"#
    ))
    .expect("a source");
    let (sender, intakes) = mpsc::channel(CHANNEL_CAPACITY);
    let source = mqtt::start(&config, "test", sender).expect("starts");
    let end = tokio::time::Instant::now() + WAIT;
    while !source.status().is_connected() {
        assert!(tokio::time::Instant::now() < end, "connected in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await; // the status can't tell the SUBACK
    (source, intakes)
}

async fn take(
    intakes: &mut mpsc::Receiver<Intake>,
    enough: impl Fn(&[Arc<CloudEvent>]) -> bool,
) -> Vec<Arc<CloudEvent>> {
    let mut events = Vec::new();
    while !enough(&events) {
        let intake = tokio::time::timeout(WAIT, intakes.recv()).await.expect("in time").expect("the source runs");
        assert!(intake.dead_letters.is_empty(), "{:?}", intake.dead_letters);
        intake.receipts.durable(intake.events.iter().map(|event| event.token).collect());
        events.extend(intake.events.into_iter().map(|event| event.event));
    }
    events
}

fn number(event: &CloudEvent) -> u64 {
    event.data.as_ref().and_then(Value::as_i64).and_then(|number| u64::try_from(number).ok()).expect("a number")
}

fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_the_event_in_order_with_any_quality_mode_and_version() {
    let Some(broker) = broker() else { return };
    for settings in [
        r#"{"qos": 0}"#,
        r#"{"qos": 1, "mode": "binary"}"#,
        r#"{"qos": 2, "mode": "structured"}"#,
        r#"{"qos": 1, "protocol": "3.1.1"}"#,
        r#"{"qos": 2, "protocol": "3.1.1"}"#,
    ] {
        let name = unique();
        let events = listen(&broker, &name).await;
        let (sink, deliveries, mut outcomes) =
            start(&broker, &format!(r#"${{ "t/{name}/" + .subject + "/command" }}"#), settings);
        tokio::spawn(async move {
            for id in 0..500 {
                deliveries.send(delivery(id, ["a", "b"][id as usize % 2])).await.expect("room");
            }
        });
        let mut arrived = BTreeSet::new();
        while arrived.len() < 500 {
            let outcome = outcome(&mut outcomes).await;
            assert_eq!(outcome.result, Ok(()), "{settings}");
            assert!(arrived.insert(outcome.id), "one outcome for each");
        }
        sink.drained().await;
        let (source, mut intakes) = events;
        // What 3.1.1 carries has no content type, so the source of the test can't know it for an event.
        if settings.contains("3.1.1") {
            let mut bodies = Vec::new();
            while bodies.len() < 500 {
                let intake = tokio::time::timeout(WAIT, intakes.recv()).await.expect("in time").expect("runs");
                intake.receipts.durable(intake.events.iter().map(|event| event.token).collect());
                intake.receipts.durable(intake.dead_letters.iter().map(|rejected| rejected.token).collect());
                bodies.extend(intake.events.iter().map(|event| number(&event.event)));
                bodies.extend(intake.dead_letters.iter().map(|rejected| {
                    let payload = rejected.letter.payload.as_deref().expect("a payload");
                    let event: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
                    assert_eq!((&event["type"], &event["room"]), (&"alert".into(), &"r1".into()));
                    event["data"].as_u64().expect("a number")
                }));
            }
            assert_eq!(bodies, (0..500).collect::<Vec<_>>(), "{settings}");
        } else {
            let seen = take(&mut intakes, |events| events.len() >= 500).await;
            for (at, event) in seen.iter().enumerate() {
                let expected = delivery(at as u64, ["a", "b"][at % 2]).event;
                assert_eq!((&event.id, &event.subject, &event.data), (&expected.id, &expected.subject, &expected.data));
                assert_eq!(event.extensions, expected.extensions, "{settings}");
            }
        }
        source.stop().await;
    }
}

#[tokio::test]
async fn what_no_broker_can_carry_is_refused_and_the_rest_goes_on() {
    let Some(broker) = broker() else { return };
    let name = unique();
    let (source, mut intakes) = listen(&broker, &name).await;
    let (sink, deliveries, mut outcomes) =
        start(&broker, &format!(r#"${{ "t/{name}/" + .subject }}"#), r#"{"mode": "binary"}"#);
    let mut nul = delivery(3, "c");
    Arc::make_mut(&mut nul.event).event_type = "a\0b".into();
    // Mosquitto ends the connection over more than 200 levels.
    let deep = "x/".repeat(250);
    for delivery in [delivery(1, "a+b"), delivery(2, &"x".repeat(70_000)), nul, delivery(4, &deep), delivery(5, "last")]
    {
        deliveries.send(delivery).await.expect("room");
    }
    let mut refused = Vec::new();
    loop {
        match outcome(&mut outcomes).await {
            Outcome { id: 5, result } => break assert_eq!(result, Ok(())),
            Outcome { id, result } => refused.push((id, result.expect_err("can't be published"))),
        }
    }
    let reasons: Vec<&str> = refused.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 3, 4], "{reasons:?}");
    assert!(reasons[0].contains("no topic to publish to"), "{reasons:?}");
    assert!(reasons[1].contains("longer than") && reasons[2].contains("NUL"), "{reasons:?}");
    assert!(reasons[3].contains("connections ended when it was sent"), "{reasons:?}");
    assert_eq!(number(&take(&mut intakes, |events| !events.is_empty()).await[0]), 5);
    drop(deliveries);
    sink.drained().await;
    source.stop().await;
}

/// Passes connections on to the broker until told to cut them.
async fn proxy(listener: TcpListener, broker: String, cut: watch::Receiver<u32>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let (broker, mut cut) = (broker.clone(), cut.clone());
        cut.mark_unchanged();
        tokio::spawn(async move {
            let mut far = TcpStream::connect(broker).await.expect("the broker answers");
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn survives_cuts(settings: &str) {
    let Some(broker) = broker() else { return };
    let name = unique();
    let (source, mut intakes) = listen(&broker, &name).await;
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address: SocketAddr = reserved.local_addr().expect("an address");
    drop(reserved);
    let (sink, deliveries, mut outcomes) = start(&address.to_string(), &format!("t/{name}/x"), settings);
    let sender = tokio::spawn(async move {
        for id in 0..20_000 {
            deliveries.send(delivery(id, "one subject")).await.expect("room");
        }
    });
    // Nobody listens yet: the sink waits, and takes no more than it can hold.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!sink.status().is_connected() && sink.status().last_error().is_some());
    let (cut, cuts) = watch::channel(0);
    let listener = TcpListener::bind(address).await.expect("the port is free");
    let passing = tokio::spawn(proxy(listener, broker.clone(), cuts));
    let mut arrived = BTreeSet::new();
    while arrived.len() < 20_000 {
        let outcome = outcome(&mut outcomes).await;
        assert_eq!(outcome.result, Ok(()));
        assert!(arrived.insert(outcome.id), "one outcome for each");
        if [3_000, 9_000, 15_000].contains(&arrived.len()) {
            cut.send_modify(|count| *count += 1);
        }
    }
    sender.await.expect("all were taken");
    assert!(sink.status().disconnects.get() >= 4, "refused at first, then cut three times");
    sink.drained().await;
    assert!(source.status().is_connected());
    let seen = take(&mut intakes, |events| events.last().is_some_and(|event| number(event) == 19_999)).await;
    let numbers: Vec<u64> = seen.iter().map(|event| number(event)).collect();
    assert_eq!(numbers.iter().copied().collect::<BTreeSet<_>>(), arrived, "none is lost");
    // Repeated is only what was under way at a cut, and then in order again.
    let back: Vec<_> = numbers.windows(2).filter(|pair| pair[1] <= pair[0]).collect();
    assert!(back.len() <= 3, "{back:?}");
    passing.abort();
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_connections_break_with_qos_1() {
    survives_cuts(r#"{"qos": 1, "mode": "binary"}"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_connections_break_with_qos_2() {
    survives_cuts(r#"{"qos": 2}"#).await;
}
