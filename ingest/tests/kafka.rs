//! The Kafka source against a real broker (`deploy/local/services start kafka`; skipped without TRINITY_TEST_KAFKA).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::sync::mpsc;
use trinity_engine::input::{Origin, SourceEvent};
use trinity_ingest::config::SourceConfig;
use trinity_ingest::kafka;
use trinity_ingest::source::{CHANNEL_CAPACITY, Intake, Source};

const WAIT: Duration = Duration::from_secs(60);

/// The broker's address, or `None` with a visible note.
fn brokers() -> Option<String> {
    let found = std::env::var("TRINITY_TEST_KAFKA").ok().filter(|address| !address.is_empty());
    if found.is_none() {
        eprintln!("SKIPPED: TRINITY_TEST_KAFKA is not set; start the servers with deploy/local/services");
    }
    found
}

fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn start(brokers: &str, topic: &str, settings: &str) -> (Source, mpsc::Receiver<Intake>) {
    let json = format!(
        r#"{{"name": "s", "kafka": {{"brokers": "{brokers}", "topics": ["{topic}"], "group": "g-{topic}" {settings}}},
            "event": {{"type": "reading"}}}}"#
    );
    let config: SourceConfig = serde_json::from_str(&json).expect("a source");
    let (sender, intakes) = mpsc::channel(CHANNEL_CAPACITY);
    (kafka::start(&config, sender).expect("starts"), intakes)
}

fn producer(brokers: &str) -> FutureProducer {
    ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a producer")
}

/// Sends numbers, keyed by themselves.
async fn produce(producer: &FutureProducer, topic: &str, numbers: std::ops::Range<usize>) {
    let mut sent = Vec::new();
    for number in numbers {
        let text = number.to_string();
        let record = FutureRecord::to(topic).key(&text).payload(&text);
        sent.push(producer.send_result(record).expect("room in the producer's queue"));
    }
    for delivery in sent {
        delivery.await.expect("an answer").expect("delivered");
    }
}

async fn next(intakes: &mut mpsc::Receiver<Intake>) -> Intake {
    tokio::time::timeout(WAIT, intakes.recv()).await.expect("in time").expect("the source runs")
}

fn number(event: &SourceEvent) -> usize {
    let data = event.event.data.as_ref().and_then(trinity_engine::value::Value::as_i64);
    usize::try_from(data.expect("a number")).expect("not negative")
}

fn place(event: &SourceEvent) -> (String, u64) {
    match &event.origin {
        Origin::Offset { partition, offset } => (partition.to_string(), *offset),
        other => panic!("not a place: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn goes_on_after_the_last_durable_message() {
    let Some(brokers) = brokers() else { return };
    let topic = unique();
    produce(&producer(&brokers), &topic, 0..100).await;
    let (source, mut intakes) = start(&brokers, &topic, "");
    let mut events = Vec::new();
    let mut receipts = None;
    while events.len() < 100 {
        let intake = next(&mut intakes).await;
        receipts = Some(intake.receipts);
        events.extend(intake.events);
    }
    // In each partition the first half becomes durable, and the last message: behind a gap, it must not count.
    let mut partitions: BTreeMap<String, Vec<&SourceEvent>> = BTreeMap::new();
    for event in &events {
        partitions.entry(place(event).0).or_default().push(event);
    }
    let (mut durable, mut expected) = (Vec::new(), BTreeSet::new());
    for list in partitions.values() {
        assert!(list.is_sorted_by_key(|event| place(event).1), "a partition's order is kept");
        let half = list.len() / 2;
        assert!(half > 0 && half + 1 < list.len(), "enough messages for a gap");
        durable.extend(list[..half].iter().map(|event| event.token));
        durable.push(list[list.len() - 1].token);
        expected.extend(list[half..].iter().map(|event| number(event)));
    }
    let prefix = durable.len() - partitions.len();
    receipts.expect("a batch").durable(durable);
    let end = tokio::time::Instant::now() + WAIT;
    while source.status().acknowledged.get() < prefix as u64 {
        assert!(tokio::time::Instant::now() < end, "acknowledged in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(source); // no more receipts: the node is gone
    let (source, mut intakes) = start(&brokers, &topic, "");
    let mut again = BTreeSet::new();
    while again.len() < expected.len() {
        let intake = next(&mut intakes).await;
        intake.receipts.durable(intake.events.iter().map(|event| event.token).collect());
        for event in &intake.events {
            let before = events.iter().find(|before| number(before) == number(event)).expect("seen before");
            assert_eq!(place(before), place(event), "its place tells the repetition");
            again.insert(number(event));
        }
    }
    assert_eq!(again, expected);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_members_come_and_go() {
    let Some(brokers) = brokers() else { return };
    let topic = unique();
    let producer = producer(&brokers);
    produce(&producer, &topic, 0..500).await;
    let acknowledged = std::sync::Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let serve = |mut intakes: mpsc::Receiver<Intake>| {
        let acknowledged = acknowledged.clone();
        tokio::spawn(async move {
            while let Some(intake) = intakes.recv().await {
                acknowledged.lock().expect("not poisoned").extend(intake.events.iter().map(number));
                tokio::time::sleep(Duration::from_millis(1)).await;
                intake.receipts.durable(intake.events.iter().map(|event| event.token).collect());
            }
        })
    };
    let (one, from_one) = start(&brokers, &topic, "");
    serve(from_one);
    produce(&producer, &topic, 500..1000).await;
    let (two, from_two) = start(&brokers, &topic, "");
    serve(from_two);
    let mut sent = 1000;
    let end = tokio::time::Instant::now() + WAIT;
    while two.status().received.get() == 0 {
        assert!(tokio::time::Instant::now() < end, "the second member gets partitions");
        produce(&producer, &topic, sent..sent + 100).await;
        sent += 100;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    one.stop().await;
    produce(&producer, &topic, sent..sent + 100).await;
    sent += 100;
    while acknowledged.lock().expect("not poisoned").len() < sent {
        assert!(tokio::time::Instant::now() < end, "all {sent} arrive");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_tombstones_and_bad_payloads() {
    let Some(brokers) = brokers() else { return };
    let topic = unique();
    let producer = producer(&brokers);
    let header = |headers: OwnedHeaders, key, value| headers.insert(Header { key, value: Some(value) });
    let mut event = OwnedHeaders::new();
    for (key, value) in [("ce_specversion", "1.0"), ("ce_id", "e1"), ("ce_source", "/x"), ("ce_type", "own")] {
        event = header(event, key, value);
    }
    let records = [
        FutureRecord::to(&topic).partition(0).key("k").payload("1").headers(event),
        FutureRecord::to(&topic).partition(0).key("k"),
        FutureRecord::to(&topic).partition(0).key("k").payload("{broken").headers(header(
            OwnedHeaders::new(),
            "h",
            "v",
        )),
        FutureRecord::to(&topic).partition(0).key("k").payload("2"),
    ];
    for record in records {
        producer.send(record, WAIT).await.expect("delivered");
    }
    let (source, mut intakes) = start(&brokers, &topic, "");
    let mut events = Vec::new();
    while events.len() < 3 {
        let intake = next(&mut intakes).await;
        assert!(intake.dead_letters.is_empty(), "they have a topic");
        intake.receipts.durable(intake.events.iter().map(|event| event.token).collect());
        events.extend(intake.events);
    }
    assert_eq!((events[0].event.id.as_str(), events[0].event.event_type.as_str()), ("e1", "own"));
    assert_eq!((events[1].event.data.as_ref(), events[1].event.subject.as_deref()), (None, Some("k")));
    assert_eq!(number(&events[2]), 2, "what follows a bad message is not held up");
    let end = tokio::time::Instant::now() + WAIT;
    while source.status().acknowledged.get() < 4 {
        assert!(tokio::time::Instant::now() < end, "acknowledged in time, the dead letter too");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    source.stop().await;
    let letter = read_one(&brokers, &format!("{topic}.dlq")).await;
    assert_eq!((letter.payload(), letter.key()), (Some(b"{broken".as_slice()), Some(b"k".as_slice())));
    let headers: Vec<(String, String)> = letter
        .headers()
        .expect("headers")
        .iter()
        .map(|header| (header.key.into(), String::from_utf8_lossy(header.value.expect("a value")).into()))
        .collect();
    let value = |name: &str| headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
    assert_eq!((value("h"), value("trinity-topic"), value("trinity-source")), (Some("v"), Some(&*topic), Some("s")));
    assert_eq!((value("trinity-partition"), value("trinity-offset")), (Some("0"), Some("2")));
    assert_eq!(value("trinity-stage"), Some("decode"));
    assert!(value("trinity-reason").is_some_and(|reason| !reason.is_empty()), "{headers:?}");
}

/// The first message of a topic.
async fn read_one(brokers: &str, topic: &str) -> OwnedMessage {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", unique())
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    tokio::time::timeout(WAIT, consumer.recv()).await.expect("in time").expect("a message").detach()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_no_topic_takes_goes_to_the_node() {
    let Some(brokers) = brokers() else { return };
    let topic = unique() + ".dlq"; // letters of dead letters have no topic
    produce(&producer(&brokers), &topic, 0..1).await;
    producer(&brokers).send(FutureRecord::<str, str>::to(&topic).payload("{"), WAIT).await.expect("delivered");
    let (source, mut intakes) = start(&brokers, &topic, "");
    let (mut events, mut letters) = (Vec::new(), Vec::new());
    while events.len() + letters.len() < 2 {
        let intake = next(&mut intakes).await;
        intake.receipts.durable(intake.events.iter().map(|event| event.token).collect());
        events.extend(intake.events);
        letters.extend(intake.dead_letters.into_iter().map(|rejected| (rejected, intake.receipts.clone())));
    }
    let (rejected, receipts) = &letters[0];
    assert_eq!(rejected.letter.payload.as_deref(), Some(b"{".as_slice()));
    let end = tokio::time::Instant::now() + WAIT;
    while source.status().acknowledged.get() < 1 {
        assert!(tokio::time::Instant::now() < end, "the event is acknowledged in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(source.status().acknowledged.get(), 1, "the letter waits for its receipt");
    receipts.durable(vec![rejected.token]);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_pump_stops_the_source_and_nothing_is_lost() {
    let Some(brokers) = brokers() else { return };
    let topic = unique();
    produce(&producer(&brokers), &topic, 0..2000).await;
    let (source, mut intakes) = start(&brokers, &topic, r#", "unacknowledged_max": 64"#);
    let first = next(&mut intakes).await;
    tokio::time::sleep(Duration::from_secs(1)).await; // long enough to pause
    let taken = source.status().received.get();
    assert!(taken < 2000, "{taken} taken without a receipt");
    let mut seen = BTreeSet::new();
    let mut intake = first;
    loop {
        seen.extend(intake.events.iter().map(number));
        intake.receipts.durable(intake.events.iter().map(|event| event.token).collect());
        if seen.len() == 2000 {
            break;
        }
        intake = next(&mut intakes).await;
    }
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test -p trinity-ingest --test kafka -- --ignored --nocapture"]
async fn rate() {
    const COUNT: usize = 200_000;
    let Some(brokers) = brokers() else { return };
    let topic = unique();
    let sender = producer(&brokers);
    for from in (0..COUNT).step_by(10_000) {
        produce(&sender, &topic, from..from + 10_000).await;
    }
    let (source, mut intakes) = start(&brokers, &topic, "");
    let (mut taken, mut since) = (0, None);
    while taken < COUNT {
        let intake = next(&mut intakes).await;
        since.get_or_insert_with(std::time::Instant::now);
        taken += intake.events.len();
        intake.receipts.durable(intake.events.iter().map(|event| event.token).collect());
    }
    eprintln!("{:.0} messages/s", taken as f64 / since.expect("messages").elapsed().as_secs_f64());
    source.stop().await;
}
