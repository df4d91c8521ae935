//! Load from real brokers and over HTTP: messages with ids of their own, so that each can be told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};

use crate::ledger::Ledger;
use crate::node::{Asker, unique};

/// Messages that are sent before their answers are awaited.
const WINDOW: u64 = 20;

/// Where the brokers are.
#[derive(Clone)]
pub struct Brokers {
    pub mqtt: String,
    pub kafka: String,
}

impl Brokers {
    /// Those that `make test` starts.
    pub fn shared() -> Brokers {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (variable("TRINITY_TEST_MQTT"), variable("TRINITY_TEST_KAFKA")) {
            (Some(mqtt), Some(kafka)) => Brokers { mqtt, kafka },
            _ => panic!("needs a Mosquitto and a Kafka: `make test` starts them, or see deploy/local/services"),
        }
    }
}

/// A topic of its own.
pub async fn topic(brokers: &str) -> String {
    let name = unique("faults");
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a client");
    let fresh = NewTopic::new(&name, 3, TopicReplication::Fixed(1));
    admin.create_topics([&fresh], &AdminOptions::new()).await.expect("a topic");
    name
}

/// When publishers wait, and when they end.
#[derive(Clone)]
pub struct Gate {
    pub stop: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
    ledger: Arc<Ledger>,
    /// So many messages may be on their way.
    lag_max: u64,
    /// A publisher sends a window each so often.
    pace: Duration,
}

impl Gate {
    pub fn new(ledger: Arc<Ledger>, lag_max: u64, pace: Duration) -> Gate {
        Gate { stop: Arc::default(), published: Arc::default(), ledger, lag_max, pace }
    }

    pub fn published(&self) -> u64 {
        self.published.load(Ordering::SeqCst)
    }

    /// How many have not come out at the other end.
    pub fn lag(&self) -> u64 {
        self.published().saturating_sub(self.ledger.booked.load(Ordering::Relaxed))
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn sent(&self, count: u64) {
        self.published.fetch_add(count, Ordering::SeqCst);
    }

    async fn wait(&self) {
        tokio::time::sleep(self.pace).await;
        while self.lag() > self.lag_max && !self.is_over() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn payload(id: &str) -> String {
    format!(r#"{{"id":"{id}","value":{},"text":"thirty bytes of a text, or more"}}"#, id.len())
}

/// Publishes `m0`, `m1`, … to `{prefix}/device-N/entry` with QoS 1 until told to stop; how many. After a lost connection what
/// was not acknowledged is published again.
pub async fn mqtt(url: String, prefix: String, gate: Gate) -> u64 {
    let (host, port) = url.trim_start_matches("mqtt://").split_once(':').expect("host:port");
    let mut next = 0;
    loop {
        let mut options = MqttOptions::new(unique("publisher"), host, port.parse().expect("a port"));
        options.set_keep_alive(Duration::from_secs(30));
        let (client, mut events) = AsyncClient::new(options, 2 * WINDOW as usize);
        while !gate.is_over() {
            for n in next..next + WINDOW {
                let topic = format!("{prefix}/device-{}/entry", n % 50);
                client.try_publish(topic, QoS::AtLeastOnce, false, payload(&format!("m{n}"))).expect("room");
            }
            let mut left = WINDOW;
            while left > 0 {
                match tokio::time::timeout(Duration::from_secs(10), events.poll()).await {
                    Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => left -= 1,
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) | Err(_) => break,
                }
            }
            if left > 0 {
                break;
            }
            next += WINDOW;
            gate.sent(WINDOW);
            gate.wait().await;
        }
        if gate.is_over() {
            return next;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Produces `k0`, `k1`, … until told to stop; how many. The producer is idempotent and never gives up.
pub async fn kafka(brokers: String, topic: String, gate: Gate) -> u64 {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "0")
        .set("linger.ms", "5")
        .create()
        .expect("a producer");
    let mut next = 0;
    while !gate.is_over() {
        let sends = (next..next + WINDOW).map(|n| {
            let (producer, topic) = (&producer, &topic);
            async move {
                let (key, payload) = (format!("device-{}", n % 50), payload(&format!("k{n}")));
                producer.send(FutureRecord::to(topic).key(&key).payload(&payload), Duration::from_secs(600)).await
            }
        });
        for outcome in futures::future::join_all(sends).await {
            outcome.map_err(|(error, _)| error).expect("Kafka takes it");
        }
        next += WINDOW;
        gate.sent(WINDOW);
        gate.wait().await;
    }
    let _ = producer.flush(Duration::from_secs(10));
    next
}

/// Posts `h0`, `h1`, … each until it is accepted; how many.
pub async fn http(node: Asker, gate: Gate) -> u64 {
    let mut next = 0;
    while !gate.is_over() {
        let id = format!("h{next}");
        let event = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/faults","type":"entry","subject":"client-{}","data":{}}}"#,
            next % 10,
            payload(&id)
        );
        post(&node, event).await;
        next += 1;
        gate.sent(1);
        gate.wait().await;
    }
    next
}

/// Posts an event until it is accepted.
pub async fn post(node: &Asker, event: String) {
    loop {
        let request = node.post("/api/v1/events").header("content-type", "application/cloudevents+json");
        match request.body(event.clone()).send().await {
            Ok(answer) if answer.status() == 202 => return,
            Ok(answer) if answer.status() == 503 => {
                assert!(answer.headers().contains_key("retry-after"), "503 says when to come back");
            }
            Ok(answer) => panic!("{}", answer.status()),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The ids of so many messages of each way.
pub fn ids(mqtt: u64, kafka: u64, http: u64) -> impl Iterator<Item = String> {
    [('m', mqtt), ('k', kafka), ('h', http)]
        .into_iter()
        .flat_map(|(way, count)| (0..count).map(move |n| format!("{way}{n}")))
}
