//! The settings of `examples/devices` with a real Mosquitto and a real Kafka: devices in, alerts out.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use serde_json::Value;
use tokio::sync::mpsc;
use trinity_api::app::App;
use trinity_api::config;

use crate::{example, recorded};

const WAIT: Duration = Duration::from_secs(60);

fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        eprintln!("SKIPPED: {name} is not set; start the servers with deploy/local/services");
    }
    value
}

fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A node with settings of the examples and the workflows `reading` and `wind`.
struct Node {
    app: App,
    base: String,
    http: reqwest::Client,
    workflows: [String; 2],
    _data: tempfile::TempDir,
}

impl Node {
    async fn start(file: &str, more: &[(&str, &str)]) -> Node {
        let data = tempfile::tempdir().expect("a folder");
        let text = std::fs::read_to_string(example(file)).expect("the settings");
        let folder = data.path().display().to_string();
        let own = [("TRINITY_DATA", folder.as_str()), ("TRINITY__SERVER__PORT", "0")];
        let environment = own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment: Vec<_> = environment.collect();
        let loaded = config::read(Path::new(file), &text, &environment).unwrap_or_else(|wrong| panic!("{wrong}"));
        let app = App::start(&loaded.config).await.expect("starts");
        let _ = rustls::crypto::ring::default_provider().install_default(); // or something else did
        let http = reqwest::Client::builder().build().expect("a client");
        let base = format!("http://{}", app.address());
        let mut node = Node { app, base, http, workflows: Default::default(), _data: data };
        for (at, name) in ["reading", "wind"].into_iter().enumerate() {
            let definition = std::fs::read_to_string(example(&format!("devices/{name}.yaml"))).expect("an example");
            let request = node.http.post(format!("{}/api/v1/workflows", node.base)).body(definition);
            let answer = request.header("content-type", "application/yaml").send().await.expect("an answer");
            let answer: Value = serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON");
            node.workflows[at] = answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        }
        node
    }

    async fn text(&self, path: &str) -> String {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await.expect("an answer");
        answer.text().await.expect("a body")
    }

    /// Messages that the source has taken.
    async fn received(&self) -> u64 {
        let text = self.text("/metrics").await;
        let line = text
            .lines()
            .find(|line| line.starts_with("trinity_endpoint_received_total") && line.contains("\"devices\""));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
    }

    /// Outputs of completed readings of a device.
    async fn completed(&self, device: &str) -> Vec<Value> {
        let path = format!("/api/v1/executions?workflowId={}&status=completed&limit=1000", self.workflows[0]);
        let page: Value = serde_json::from_str(&self.text(&path).await).expect("JSON");
        let outputs = page["items"].as_array().expect("a list").iter().map(|item| item["output"].clone());
        outputs.filter(|output| output["device"] == device).collect()
    }

    /// Waits until every reading was executed; checks that none was twice.
    async fn executes(&self, device: &str, times: &BTreeSet<String>) {
        let end = tokio::time::Instant::now() + WAIT;
        loop {
            let outputs = self.completed(device).await;
            let seen: BTreeSet<String> =
                outputs.iter().map(|output| output["time"].as_str().expect("a time").to_owned()).collect();
            assert_eq!(seen.len(), outputs.len(), "each once");
            if seen == *times {
                return;
            }
            assert!(tokio::time::Instant::now() < end, "{} of {}", seen.len(), times.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// What the devices say: an hour around a rise and a fall of the wind.
fn hour(device: &str) -> Vec<Value> {
    recorded(device).into_iter().skip(130).take(120).collect()
}

fn times(readings: &[Value]) -> BTreeSet<String> {
    readings.iter().map(|reading| reading["time"].as_str().expect("a time").to_owned()).collect()
}

/// The alerts that an hour leads to: types, in order.
fn expected(readings: &[Value]) -> Vec<&'static str> {
    let (mut alerts, mut windy) = (Vec::new(), false);
    for speed in readings.iter().map(|reading| reading["windSpeed"].as_f64().expect("a number")) {
        if !windy && speed >= 2.5 || windy && speed <= 1.0 {
            windy = !windy;
            alerts.push(if windy { "com.example.wind.alert" } else { "com.example.wind.clear" });
        }
    }
    assert!(alerts.len() > 1);
    alerts
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_and_alerts_over_mosquitto() {
    let Some(url) = variable("TRINITY_TEST_MQTT") else { return };
    let node = Node::start("devices/trinity.config.yml", &[("MQTT_URL", &url)]).await;
    let device = unique();
    let url = url::Url::parse(&url).expect("a URL");
    let mut options = MqttOptions::new(unique(), url.host_str().expect("a host"), url.port().expect("a port"));
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 1024);
    client.subscribe(format!("alerts/{device}/wind"), QoS::AtLeastOnce).await.expect("room");
    let (sender, mut alerts) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(Incoming::Publish(message)) = event {
                let event: Value = serde_json::from_slice(&message.payload).expect("a CloudEvent");
                let _ = sender.send(event["type"].as_str().expect("a type").to_owned());
            }
        }
    });
    let publish = async |kind: &str, payload: String| {
        let topic = format!("devices/{device}/{kind}");
        client.publish(topic, QoS::AtLeastOnce, false, payload).await.expect("published");
    };
    let end = tokio::time::Instant::now() + WAIT;
    while node.received().await == 0 {
        assert!(tokio::time::Instant::now() < end, "the source hears the broker");
        publish("probe", format!(r#"{{"id": "{}"}}"#, unique())).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    publish("online", format!(r#"{{"id": "{device}-online", "device": "{device}"}}"#)).await;
    let readings = hour(&device);
    for (number, reading) in readings.iter().enumerate() {
        let mut reading = reading.clone();
        reading["id"] = format!("{device}-{number}").into();
        publish("reading", reading.to_string()).await;
        tokio::time::sleep(Duration::from_millis(20)).await; // so that the workflow listens again before the next
    }
    node.executes(&device, &times(&readings)).await;
    for kind in expected(&readings) {
        assert_eq!(tokio::time::timeout(WAIT, alerts.recv()).await.expect("in time").as_deref(), Some(kind));
    }
    node.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_and_alerts_over_kafka() {
    let Some(brokers) = variable("TRINITY_TEST_KAFKA") else { return };
    let (topic, sink, device) = (unique(), unique(), unique());
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", &brokers).create().expect("a producer");
    let publish = async |kind: &str, payload: String| {
        let headers = OwnedHeaders::new().insert(Header { key: "kind", value: Some(kind) });
        let record = FutureRecord::to(&topic).key(&device).payload(&payload).headers(headers);
        producer.send(record, WAIT).await.expect("delivered");
    };
    publish("online", format!(r#"{{"device": "{device}"}}"#)).await;
    let settings = [("KAFKA_BROKERS", brokers.as_str()), ("DEVICES_TOPIC", &topic), ("ALERTS_TOPIC", &sink)];
    let node = Node::start("devices/kafka.config.yml", &settings).await;
    let end = tokio::time::Instant::now() + WAIT;
    while node.received().await == 0 {
        assert!(tokio::time::Instant::now() < end, "the source reads the topic");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let readings = hour(&device);
    for reading in &readings {
        publish("reading", reading.to_string()).await;
        tokio::time::sleep(Duration::from_millis(20)).await; // so that the workflow listens again before the next
    }
    node.executes(&device, &times(&readings)).await;
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("group.id", unique())
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[&sink]).expect("subscribed");
    for kind in expected(&readings) {
        let alert = tokio::time::timeout(WAIT, consumer.recv()).await.expect("in time").expect("a message");
        let headers = alert.headers().expect("headers");
        let own = headers.iter().find(|header| header.key == "ce_type").and_then(|header| header.value);
        assert_eq!((own, alert.key()), (Some(kind.as_bytes()), Some(device.as_bytes())));
    }
    node.app.stop().await;
}
