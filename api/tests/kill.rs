//! The node is killed again and again under load from a real Mosquitto and a real Kafka. A ledger counts: every message that
//! a broker took acts exactly once.

mod process;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use process::Process;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde_json::Value;

/// How often it is killed.
const KILLS: u32 = 20;
/// How long anything may take, on a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(60);

const DEFINITION: &str = "
document: {dsl: '1.0.0', namespace: kill, name: ledger, version: '1.0.0'}
schedule: {on: {one: {with: {type: entry}}}}
input: {from: '${ .[0] }'}
do:
- pause: {wait: {milliseconds: 20}}
- book: {emit: {event: {with: {type: booked, subject: '${ .id }', data: '${ . }'}}}}
";

fn start(config: &Path) -> Process {
    Process::start(|command| {
        command.arg("--config").arg(config);
    })
}

/// All events of a type that the node published, by their subject: how often each.
async fn booked(base: &str, http: &reqwest::Client) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut url = format!("{base}/api/v1/events?type=booked&limit=1000");
        if let Some(cursor) = &cursor {
            url.push_str(&format!("&cursor={cursor}"));
        }
        let page: Value = http.get(&url).send().await.expect("an answer").json().await.expect("JSON");
        for event in page["items"].as_array().unwrap_or_else(|| panic!("no list: {page}")) {
            *found.entry(event["subject"].as_str().expect("a subject").to_owned()).or_default() += 1;
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return found;
        }
    }
}

fn payload(id: &str) -> String {
    format!(r#"{{"id":"{id}","value":{}}}"#, id.len())
}

/// Publishes over MQTT until told to stop; how many the broker has acknowledged.
async fn publish_mqtt(url: String, run: String, stop: Arc<AtomicBool>) -> u64 {
    let (host, port) = url.trim_start_matches("mqtt://").split_once(':').expect("host:port");
    let mut options = MqttOptions::new(format!("{run}-publisher"), host, port.parse().expect("a port"));
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 64);
    let acknowledged = Arc::new(AtomicU64::new(0));
    let counted = acknowledged.clone();
    let reader = tokio::spawn(async move {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::PubAck(_))) => {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                Ok(_) => {}
                Err(error) => panic!("the publisher lost its broker: {error}"),
            }
        }
    });
    let mut sent = 0;
    while !stop.load(Ordering::SeqCst) {
        for _ in 0..5 {
            let id = format!("m{sent}");
            let topic = format!("{run}/device-{}/entry", sent % 50);
            client.publish(topic, QoS::AtLeastOnce, false, payload(&id)).await.expect("published");
            sent += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begun = Instant::now();
    while acknowledged.load(Ordering::SeqCst) < sent {
        assert!(begun.elapsed() < PATIENCE, "the broker does not acknowledge");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    reader.abort();
    sent
}

async fn publish_kafka(brokers: String, topic: String, stop: Arc<AtomicBool>) -> u64 {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", &brokers).set("linger.ms", "5").create().expect("a producer");
    let mut sent = 0;
    while !stop.load(Ordering::SeqCst) {
        let batch: Vec<(String, String)> =
            (sent..sent + 5).map(|n: u64| (format!("k{n}"), format!("device-{}", n % 50))).collect();
        let sends = batch.iter().map(|(id, key)| {
            let (producer, topic, payload) = (&producer, &topic, payload(id));
            async move { producer.send(FutureRecord::to(topic).key(key).payload(&payload), PATIENCE).await }
        });
        for outcome in futures::future::join_all(sends).await {
            outcome.map_err(|(error, _)| error).expect("Kafka takes it");
        }
        sent += batch.len() as u64;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_under_load_lose_and_double_nothing() {
    let (Ok(mqtt), Ok(kafka)) = (std::env::var("TRINITY_TEST_MQTT"), std::env::var("TRINITY_TEST_KAFKA")) else {
        panic!(
            "needs a Mosquitto and a Kafka: `make test` starts them, or set TRINITY_TEST_MQTT and TRINITY_TEST_KAFKA"
        );
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let run = format!("kill-{}", std::process::id());
    let topic = format!("{run}-entries");
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", &kafka).create().expect("an admin client");
    let fresh = NewTopic::new(&topic, 3, TopicReplication::Fixed(1));
    admin.create_topics([&fresh], &AdminOptions::new()).await.expect("a topic");

    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("trinity.config.yml");
    let text = format!(
        "database: {{ url: 'sqlite://{data}/metadata.db' }}
logging: {{ level: WARNING }}
engine: {{ data_dir: '{data}', shards: 4 }}
sources:
  - name: {run}-mqtt
    mqtt: {{ url: '{mqtt}', topics: ['{run}/+/entry'], qos: 1 }}
    event: {{ type: entry, subject: '${{ .topic | split(\"/\")[1] }}', id: '${{ .payload.id }}' }}
  - name: {run}-kafka
    kafka: {{ brokers: '{kafka}', topics: ['{topic}'], group: '{run}', from: earliest }}
    event: {{ type: entry }}
",
        data = folder.path().join("data").display()
    );
    std::fs::write(&config, text).expect("written");
    let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("a client");

    let mut node = start(&config);
    let request = http.post(format!("{}/api/v1/workflows", node.base)).header("content-type", "application/yaml");
    let answer = request.body(DEFINITION).send().await.expect("an answer");
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap_or_default());

    // The session at the broker must exist before the first message, or there is nobody to keep it for.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let by_mqtt = tokio::spawn(publish_mqtt(mqtt, run.clone(), stop.clone()));
    let by_kafka = tokio::spawn(publish_kafka(kafka, topic, stop.clone()));
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(150 + u64::from(kill * 37 % 11) * 40)).await;
        node.kill();
        node = start(&config);
    }
    stop.store(true, Ordering::SeqCst);
    let (by_mqtt, by_kafka) = (by_mqtt.await.expect("the publisher"), by_kafka.await.expect("the producer"));
    let published = by_mqtt + by_kafka;

    let begun = Instant::now();
    let first = loop {
        let seen = booked(&node.base, &http).await;
        if seen.len() as u64 >= published || begun.elapsed() > PATIENCE * 2 {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    // Time for what would come twice.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let late = booked(&node.base, &http).await;
    node.kill();
    let wanted = (0..by_mqtt).map(|n| format!("m{n}")).chain((0..by_kafka).map(|n| format!("k{n}")));
    let lost: Vec<String> = wanted.filter(|id| !late.contains_key(id)).collect();
    let doubled: Vec<&String> = late.iter().filter(|(_, times)| **times > 1).map(|(id, _)| id).collect();
    println!("{published} published ({by_mqtt} MQTT, {by_kafka} Kafka), {} booked, {KILLS} kills", late.len());
    assert!(lost.is_empty(), "{} lost of {published}: {:?} …", lost.len(), &lost[..lost.len().min(10)]);
    assert!(doubled.is_empty(), "{} executed twice: {doubled:?}", doubled.len());
    assert_eq!(first.len() as u64, published);
    assert!(published > 2_000, "only {published} messages: that is no load");
}
