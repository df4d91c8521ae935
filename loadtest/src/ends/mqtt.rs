//! Ends that a sink publishes over MQTT, in either mode of CloudEvents.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, EventLoop};

use super::Steps;
use crate::send::mqtt::Broker;

/// How long a subscription may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections in a row that may fail.
const FAILURES_MAX: u32 = 100;

/// Subscribes; the client has to be kept.
pub(super) async fn subscribe(broker: &Broker, topic: &str, run: &str) -> Result<(AsyncClient, EventLoop), String> {
    let (client, mut events) = broker.connect(format!("trinity-load-{run}-ends")).await?;
    client.subscribe(topic, QoS::AtLeastOnce).await.map_err(|error| error.to_string())?;
    let subscribed = async {
        while !matches!(events.poll().await.map_err(|error| error.to_string())?, Event::Incoming(Packet::SubAck(_))) {}
        Ok::<_, String>(())
    };
    let told = tokio::time::timeout(PATIENCE, subscribed).await;
    told.map_err(|_| format!("the broker does not answer a subscription to {topic}"))??;
    Ok((client, events))
}

/// Takes ends until the broker is gone for good; returns why.
pub(super) async fn run((_client, mut events): (AsyncClient, EventLoop), steps: Arc<Steps>) -> String {
    let mut failures = 0;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                failures = 0;
                take(&publish, &steps);
            }
            Ok(_) => {}
            Err(error) if failures == FAILURES_MAX => return format!("the broker of the ends is gone: {error}"),
            Err(_) => {
                failures += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn take(publish: &Publish, steps: &Steps) {
    let now = Instant::now();
    let properties = publish.properties.iter().flat_map(|properties| &properties.user_properties);
    match properties.clone().find(|(name, _)| name == "id") {
        Some((_, id)) => steps.done_binary(id, &publish.payload, now),
        None => steps.done(&publish.payload, now),
    }
}
