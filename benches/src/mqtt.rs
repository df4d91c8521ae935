//! W1 from Mosquitto with QoS 1, beside a bare client that only acknowledges: the same broker, the same messages, both
//! drain a backlog that the broker keeps for their session.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::sync::mpsc;
use trinity_actors::handle::Handle;
use trinity_ingest::config::SourceConfig;
use trinity_ingest::source::{CHANNEL_CAPACITY, Intake};

use crate::measure::Stopwatch;
use crate::w1;

/// Connections that fill the backlog.
const PUBLISHERS: u64 = 2;
/// How long a broker may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the broker keeps a session.
const SESSION_SECONDS: u32 = 600;
/// As many unacknowledged messages as a source of Trinity takes by default.
const RECEIVE_MAXIMUM: u16 = 8_192;

/// A broker's address, host and port.
pub struct Broker(pub String, pub u16);

impl Broker {
    /// Of an address such as `mqtt://127.0.0.1:1883`.
    ///
    /// # Errors
    /// It is none.
    pub fn at(url: &str) -> Result<Broker, String> {
        let wrong = || format!("{url} is no mqtt://host:port");
        let (host, port) = url.strip_prefix("mqtt://").and_then(|rest| rest.split_once(':')).ok_or_else(wrong)?;
        Ok(Broker(host.to_owned(), port.parse().map_err(|_| wrong())?))
    }

    fn client(&self, id: &str) -> (AsyncClient, EventLoop) {
        let mut options = MqttOptions::new(id, &self.0, self.1);
        options.set_keep_alive(Duration::from_secs(30)).set_clean_start(false);
        options.set_session_expiry_interval(Some(SESSION_SECONDS)).set_receive_maximum(Some(RECEIVE_MAXIMUM));
        AsyncClient::new(options, 4_096)
    }

    /// Makes a session that keeps what is published to the topics.
    ///
    /// # Errors
    /// The broker does not answer.
    pub async fn subscribe(&self, session: &str, topics: &str) -> Result<(), String> {
        let (client, mut events) = self.client(session);
        client.subscribe(topics, QoS::AtLeastOnce).await.map_err(|error| error.to_string())?;
        while !matches!(next(&mut events).await?, Event::Incoming(Packet::SubAck(_))) {}
        client.disconnect().await.map_err(|error| error.to_string())?;
        while next(&mut events).await.is_ok() {}
        Ok(())
    }

    /// Publishes `count` messages of W1 below a topic.
    ///
    /// # Errors
    /// The broker does not take them.
    pub async fn fill(&self, topic: &str, count: u64) -> Result<(), String> {
        let mut publishers = tokio::task::JoinSet::new();
        for first in 0..PUBLISHERS {
            let (client, mut events) = self.client(&format!("{topic}-publisher-{first}"));
            let own = (first..count).step_by(usize::try_from(PUBLISHERS).unwrap_or(1));
            let mut unanswered = own.clone().count();
            let topic = topic.to_owned();
            publishers.spawn(async move {
                while unanswered > 0 {
                    if let Event::Incoming(Packet::PubAck(_)) = next(&mut events).await? {
                        unanswered -= 1;
                    }
                }
                Ok::<_, String>(())
            });
            publishers.spawn(async move {
                for number in own {
                    let topic = format!("{topic}/{}/reading", w1::key(number));
                    let sent = client.publish(topic, QoS::AtLeastOnce, false, w1::payload(number)).await;
                    sent.map_err(|error| error.to_string())?;
                }
                Ok(())
            });
        }
        while let Some(ended) = publishers.join_next().await {
            ended.map_err(|error| error.to_string())??;
        }
        Ok(())
    }

    /// Drains a backlog with a client that acknowledges each message as it comes, and does nothing else.
    ///
    /// # Errors
    /// The broker does not deliver.
    pub async fn acknowledge(&self, (session, topics): (&str, &str), count: u64) -> Result<(String, f64), String> {
        let (client, mut events) = self.client(session);
        let (mut received, mut watch) = (0, Stopwatch::start());
        while received < count {
            if let Event::Incoming(Packet::Publish(_)) = next(&mut events).await? {
                if received == 0 {
                    watch = Stopwatch::start();
                }
                received += 1;
            }
        }
        let (line, rate) =
            (watch.line("bare: receive, acknowledge", received), received as f64 / watch.wall().as_secs_f64());
        // Or the broker would keep the messages of the next run for it.
        client.unsubscribe(topics).await.map_err(|error| error.to_string())?;
        client.disconnect().await.map_err(|error| error.to_string())?;
        while next(&mut events).await.is_ok() {}
        Ok((line, rate))
    }
}

/// Settings of the source: the session that has the backlog, and what makes events of its messages.
fn source(url: &str, session: &str, topics: &str) -> SourceConfig {
    let mqtt = serde_json::json!({
        "url": url, "topics": [topics], "qos": 1, "client_id": session, "receive_maximum": RECEIVE_MAXIMUM,
    });
    let event = serde_json::json!({"type": w1::EVENT_TYPE, "subject": "${ .topic | split(\"/\")[1] }"});
    let config = serde_json::json!({"name": "bench", "mqtt": mqtt, "event": event});
    serde_json::from_value(config).expect("a source")
}

async fn next(events: &mut EventLoop) -> Result<Event, String> {
    let polled = tokio::time::timeout(PATIENCE, events.poll()).await;
    polled.map_err(|_| "the broker is silent".to_owned())?.map_err(|error| error.to_string())
}

/// Executes the backlog of a session: from the first message until the last is durable and acknowledged.
///
/// # Errors
/// The source or the node failed.
pub async fn execute(
    handle: &Handle,
    (url, session, topics): (&str, &str, &str),
    count: u64,
) -> Result<(String, f64), String> {
    let (intakes, mut received) = mpsc::channel::<Intake>(CHANNEL_CAPACITY);
    let config = source(url, session, topics);
    let source = trinity_ingest::mqtt::start(&config, "bench", intakes).map_err(|error| error.to_string())?;
    let lane = handle.lane();
    let mut next = Some(received.recv().await.ok_or("no source")?);
    let watch = Stopwatch::start();
    let mut submitted = 0;
    while submitted < count {
        let intake = match next.take() {
            Some(intake) => intake,
            None => match tokio::time::timeout(PATIENCE, received.recv()).await {
                Ok(intake) => intake.ok_or("the source ended")?,
                Err(_) => {
                    return Err(format!(
                        "the source is silent: {submitted} {:?} {:?} {:?} {:?} {:?}",
                        source.status().received.get(),
                        source.status().acknowledged.get(),
                        source.status().accepted.get(),
                        source.status().disconnects.get(),
                        source.status().last_error()
                    ));
                }
            },
        };
        submitted += intake.events.len() as u64;
        let tokens: Vec<u64> = intake.events.iter().map(|event| event.token).collect();
        let admitted = lane.submit(intake.events).await.map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            if admitted.durable().await.is_ok() {
                intake.receipts.durable(tokens);
            }
        });
    }
    let status = source.status();
    let (mut acknowledged, mut moved) = (0, tokio::time::Instant::now());
    while acknowledged < count {
        tokio::time::sleep(Duration::from_millis(2)).await;
        if status.acknowledged.get() > acknowledged {
            (acknowledged, moved) = (status.acknowledged.get(), tokio::time::Instant::now());
        } else if moved.elapsed() > PATIENCE {
            let (received, lost, error) = (status.received.get(), status.disconnects.get(), status.last_error());
            return Err(format!(
                "{acknowledged} of {count} were acknowledged and no more; {received} received, {submitted} executed, \
                 {lost} connections lost: {error:?}"
            ));
        }
    }
    let line = watch.line("W1 from Mosquitto", count);
    let rate = count as f64 / watch.wall().as_secs_f64();
    source.stop().await;
    Ok((line, rate))
}
