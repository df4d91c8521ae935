//! The alerts, as any subscriber of the broker sees them: what workflows emit and the node's sinks publish.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// An alert.
#[derive(Clone, Debug)]
pub(super) struct Alert {
    pub id: String,
    /// Type of the event.
    pub kind: String,
    /// Whom it is about.
    pub subject: String,
    pub data: Value,
    /// When it came.
    pub at: Instant,
}

/// The subscription.
pub(super) struct Alerts {
    seen: Arc<Mutex<Vec<Alert>>>,
    worker: JoinHandle<()>,
}

impl Alerts {
    /// Subscribes; ready when the broker has confirmed it.
    ///
    /// # Errors
    /// The broker does not.
    pub(super) async fn listen(broker: SocketAddr) -> Result<Alerts, String> {
        let mut options = MqttOptions::new("operator", broker.ip().to_string(), broker.port());
        options.set_keep_alive(Duration::from_secs(30)).set_clean_start(true);
        let (client, mut events) = AsyncClient::new(options, 16);
        client.subscribe("alerts/#", QoS::AtLeastOnce).await.map_err(|error| error.to_string())?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (confirm, confirmed) = oneshot::channel();
        let mut confirm = Some(confirm);
        let kept = seen.clone();
        let worker = tokio::spawn(async move {
            let _client = client; // without it the loop ends
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Incoming::SubAck(_))) => {
                        let _ = confirm.take().map(|confirm| confirm.send(()));
                    }
                    Ok(Event::Incoming(Incoming::Publish(message))) => {
                        if let Some(alert) = parse(&message.payload) {
                            lock(&kept).push(alert);
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(%error, "no more alerts");
                        return;
                    }
                }
            }
        });
        match tokio::time::timeout(Duration::from_secs(10), confirmed).await {
            Ok(Ok(())) => Ok(Alerts { seen, worker }),
            _ => Err("the broker does not confirm the subscription to alerts".into()),
        }
    }

    /// All so far, each once: a sink delivers at least once.
    pub(super) fn seen(&self) -> Vec<Alert> {
        let mut ids = std::collections::BTreeSet::new();
        lock(&self.seen).iter().filter(|alert| ids.insert(alert.id.clone())).cloned().collect()
    }
}

impl Drop for Alerts {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

fn lock(seen: &Mutex<Vec<Alert>>) -> std::sync::MutexGuard<'_, Vec<Alert>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A CloudEvent in structured mode.
fn parse(payload: &[u8]) -> Option<Alert> {
    let event: Value = serde_json::from_slice(payload).ok()?;
    let text = |name: &str| event[name].as_str().map(str::to_owned);
    let data = event["data"].clone();
    Some(Alert { id: text("id")?, kind: text("type")?, subject: text("subject")?, data, at: Instant::now() })
}
