//! Kafka as a sink: an idempotent producer that keeps the order and tries for ever.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::mpsc;
use trinity_engine::event::{CloudEvent, envelope};

use super::{Delivery, Outlet, UNDER_WAY_MAX};
use crate::binding;
use crate::config::{ConfigError, KafkaSinkConfig, Mode};
use crate::source::now;
use crate::status::Status;
use crate::template::Template;

pub(super) struct Kafka {
    producer: FutureProducer<Watcher>,
    topic: Template,
    key: Option<Template>,
    mode: Mode,
}

#[derive(Clone)]
struct Watcher(Arc<Status>);

impl ClientContext for Watcher {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, %reason, "kafka producer");
        self.0.disconnected(format!("{error}: {reason}"));
    }
}

impl Kafka {
    pub(super) fn new(config: &KafkaSinkConfig, status: Arc<Status>) -> Result<Kafka, ConfigError> {
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", &config.brokers)
            .set("client.id", "trinity")
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("message.timeout.ms", "0"); // no time-out: an outage is waited out
        for (name, value) in &config.settings {
            settings.set(name, value);
        }
        let wrong = |error: KafkaError| ConfigError::new("kafka", error.to_string());
        Ok(Kafka {
            producer: settings.create_with_context(Watcher(status)).map_err(wrong)?,
            topic: Template::compile("kafka.topic", &config.topic)?,
            key: config.key.as_deref().map(|key| Template::compile("kafka.key", key)).transpose()?,
            mode: config.mode,
        })
    }

    pub(super) async fn run(self, mut deliveries: mpsc::Receiver<Delivery>, outlet: Outlet) {
        let mut under_way = FuturesOrdered::new();
        let mut open = true;
        while open || !under_way.is_empty() {
            tokio::select! {
                delivery = deliveries.recv(), if open && under_way.len() < UNDER_WAY_MAX => match delivery {
                    None => open = false,
                    Some(delivery) => {
                        outlet.status.received.add(1);
                        let sent = self.send(&delivery.event).await;
                        under_way.push_back(async move { (delivery.id, settle(sent).await) });
                    }
                },
                Some((id, result)) = under_way.next() => {
                    if result.is_ok() && !outlet.status.is_connected() {
                        outlet.status.connected();
                    }
                    if !outlet.put(id, result).await {
                        return;
                    }
                }
            }
        }
    }

    /// Gives an event to the producer, whose queue keeps the order.
    async fn send(&self, event: &CloudEvent) -> Result<DeliveryFuture, String> {
        let (headers, payload) = match self.mode {
            Mode::Binary => binding::kafka::render_binary(event),
            Mode::Structured => binding::kafka::render_structured(event),
        };
        let text = |part: &str, template: &Template| {
            template.text(now(), |_| envelope(event)).map_err(|reason| format!("kafka.{part}: {reason}"))
        };
        let topic = text("topic", &self.topic)?.ok_or("kafka.topic is null for this event")?;
        let key = match &self.key {
            Some(template) => text("key", template)?,
            None => event.subject.clone(),
        };
        let mut list = OwnedHeaders::new_with_capacity(headers.len());
        for (name, value) in &headers {
            list = list.insert(Header { key: name, value: Some(&value[..]) });
        }
        let mut record: FutureRecord<'_, str, [u8]> = FutureRecord::to(&topic).headers(list).payload(&payload);
        record.key = key.as_deref();
        loop {
            match self.producer.send_result(record) {
                Ok(sent) => return Ok(sent),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err((error, _)) => return Err(error.to_string()),
            }
        }
    }
}

async fn settle(sent: Result<DeliveryFuture, String>) -> Result<(), String> {
    match sent?.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err((error, _))) => Err(error.to_string()),
        Err(_) => Err("the producer ended".into()),
    }
}
