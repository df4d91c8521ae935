//! The devices: they publish what the script says, when it says so, over MQTT, and wait for every acknowledgement.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, EventLoop, Incoming, MqttOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::script::{Due, Kind, Script};

/// Connections that the devices share when there are more of them.
const CONNECTIONS_MAX: usize = 40;
/// Publications of one connection that may wait for the broker.
const QUEUE: usize = 256;
/// How long the broker may take for the last acknowledgements.
const ACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// Ids of what the broker acknowledged, by kind.
pub(super) type Published = Vec<(Kind, String)>;

/// What is known while the devices play.
#[derive(Default)]
pub(super) struct Progress {
    count: AtomicU64,
    /// When readings that may raise an alert were sent, by device and time of the recording.
    sent: Mutex<BTreeMap<(String, String), Instant>>,
}

impl Progress {
    /// Messages published.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// When a reading was sent that may raise an alert.
    pub(super) fn sent(&self, device: &str, time: &str) -> Option<Instant> {
        let key = (device.to_owned(), time.to_owned());
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    fn note(&self, script: &Script, due: &Due) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if script.is_windy(due) {
            let key = (Script::name(due.device), script.reading(due).time.clone());
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Instant::now());
        }
    }
}

/// Lets all devices play their part, until it ends or `stop` is set.
///
/// # Errors
/// A connection broke, or the broker did not acknowledge all.
pub(super) async fn play(
    script: Arc<Script>,
    broker: SocketAddr,
    stop: watch::Receiver<bool>,
    progress: Arc<Progress>,
) -> Result<Published, String> {
    let connections = script.devices.min(CONNECTIONS_MAX);
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for number in 0..connections {
        let devices = (number..script.devices).step_by(connections);
        let mut messages: Vec<Due> = devices.flat_map(|device| script.messages(device)).collect();
        messages.sort_by_key(|due| due.at);
        let line = Line { script: script.clone(), start, stop: stop.clone(), progress: progress.clone() };
        workers.spawn(line.run(broker, number, messages));
    }
    let mut published = Vec::new();
    while let Some(ended) = workers.join_next().await {
        published.extend(ended.map_err(|error| error.to_string())??);
    }
    Ok(published)
}

/// One connection and the devices behind it.
struct Line {
    script: Arc<Script>,
    start: Instant,
    stop: watch::Receiver<bool>,
    progress: Arc<Progress>,
}

impl Line {
    async fn run(mut self, broker: SocketAddr, number: usize, messages: Vec<Due>) -> Result<Published, String> {
        let mut options = MqttOptions::new(format!("devices-{number}"), broker.ip().to_string(), broker.port());
        options.set_keep_alive(Duration::from_secs(30)).set_clean_start(true);
        let (client, events) = AsyncClient::new(options, QUEUE);
        let (acknowledge, mut acknowledged) = mpsc::channel(QUEUE);
        let mut reader = JoinSet::new();
        reader.spawn(read(events, acknowledge));
        let broken = |reader: Option<Result<String, _>>| format!("devices-{number}: {reader:?}");
        let mut published = Vec::with_capacity(messages.len());
        let (mut waiting, mut spoke) = (0, BTreeSet::new());
        for due in messages {
            let stopped = *self.stop.borrow();
            // Who has begun says goodbye, whatever comes.
            if stopped && !(due.kind == Kind::Offline && spoke.contains(&due.device)) {
                continue;
            }
            let at = if stopped { Instant::now() } else { self.start + due.at };
            loop {
                tokio::select! {
                    biased;
                    Some(()) = acknowledged.recv() => waiting -= 1,
                    () = tokio::time::sleep_until(at) => break,
                    Ok(()) = self.stop.changed() => break,
                    ended = reader.join_next() => return Err(broken(ended.transpose().ok().flatten().map(Ok::<_, String>))),
                }
            }
            if *self.stop.borrow() && due.kind != Kind::Offline {
                continue;
            }
            let id = Script::id(&due);
            let topic = format!("devices/{}/{}", Script::name(due.device), due.kind.name());
            self.progress.note(&self.script, &due);
            let publication = client.publish(topic, QoS::AtLeastOnce, false, self.script.payload(&due));
            tokio::pin!(publication);
            loop {
                tokio::select! {
                    sent = &mut publication => break sent.map_err(|error| error.to_string())?,
                    Some(()) = acknowledged.recv() => waiting -= 1,
                }
            }
            waiting += 1;
            spoke.insert(due.device);
            published.push((due.kind, id));
        }
        let end = Instant::now() + ACKNOWLEDGED_MAX;
        while waiting > 0 {
            match tokio::time::timeout_at(end, acknowledged.recv()).await {
                Ok(Some(())) => waiting -= 1,
                _ => return Err(format!("devices-{number}: {waiting} messages were not acknowledged")),
            }
        }
        let _ = client.disconnect().await; // the broker sees the end of the connection in any case
        Ok(published)
    }
}

/// Polls a connection; tells each acknowledgement. Returns why it ended.
async fn read(mut events: EventLoop, acknowledge: mpsc::Sender<()>) -> String {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Incoming::PubAck(_))) => {
                if acknowledge.send(()).await.is_err() {
                    return "stopped".into();
                }
            }
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}
