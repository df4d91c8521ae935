//! MQTT as a source: a delivery is acknowledged when what it caused is durable.
//!
//! Back-pressure: the broker sends at most `receive_maximum` unacknowledged messages (MQTT 5; with 3.1.1 its own limit);
//! beyond that, and while the pump has no room, the connection is not read.

mod acks;
pub(crate) mod link;
pub(crate) mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use trinity_engine::input::{Origin, SourceEvent};
use trinity_engine::time::Timestamp;

use acks::{Ack, AckQueue};
use link::{Incoming, Link};

use crate::back_off::BackOff;
use crate::config::{ConfigError, MqttConfig, Retained, SourceConfig};
use crate::dead_letter::DeadLetter;
use crate::mapping::{Decoder, Message, delivery_key};
use crate::source::{BATCH_BYTES_MAX, BATCH_MAX, Intake, Receipts, Rejected, Source, now};
use crate::status::Status;

/// How long a stopping source waits for receipts.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// How long it then waits for the end of the connection.
const CLOSE_WAIT: Duration = Duration::from_millis(500);

/// Starts a source. The broker need not answer yet.
///
/// `node` makes the client id differ between the nodes of a group; it must stay the same over restarts.
///
/// # Errors
/// A setting can't be used.
pub fn start(config: &SourceConfig, node: &str, intake: mpsc::Sender<Intake>) -> Result<Source, ConfigError> {
    config.validate()?;
    let Some(mqtt) = config.mqtt.clone() else {
        return Err(ConfigError::new(config.name.clone(), "not an MQTT source"));
    };
    let setting = format!("{}.mqtt", config.name);
    let client_id = mqtt.connection.client_id.clone().unwrap_or_else(|| format!("trinity-{node}-{}", config.name));
    let (_, _, secure) = mqtt.connection.address(&setting)?;
    if secure {
        tls::settings(&mqtt.connection, &setting)?; // certificates are read: a mistake shows at start
    }
    let status = Arc::new(Status::default());
    let (stop, stopped) = watch::channel(false);
    let (receipts, durable) = Receipts::channel();
    let worker = Worker {
        decoder: Decoder::new(config)?,
        status: status.clone(),
        acks: AckQueue::default(),
        held: None,
        held_bytes: 0,
        mqtt,
        client_id,
        setting,
        intake,
        receipts,
        durable,
        stopped,
    };
    Ok(Source::new(status, stop, tokio::spawn(worker.run())))
}

struct Worker {
    decoder: Decoder,
    mqtt: MqttConfig,
    client_id: String,
    setting: String,
    status: Arc<Status>,
    acks: AckQueue,
    /// What the pump had no room for yet.
    held: Option<Intake>,
    /// Bytes of the payloads in it.
    held_bytes: usize,
    intake: mpsc::Sender<Intake>,
    receipts: Receipts,
    durable: mpsc::UnboundedReceiver<Vec<u64>>,
    stopped: watch::Receiver<bool>,
}

/// What became of a message.
enum Held {
    Event,
    DeadLetter,
    Ignored,
}

/// Why a connection is served no longer.
enum End {
    /// The source stops, and all that waited has been acknowledged or given up.
    Stopped,
    /// The connection ended.
    Lost(String),
}

impl Worker {
    async fn run(mut self) {
        let mut back_off = BackOff::default();
        while !*self.stopped.borrow() && !self.intake.is_closed() {
            let opened = tokio::select! {
                opened = Link::open(&self.mqtt, &self.client_id, &self.setting) => opened,
                _ = self.stopped.changed() => break,
            };
            let reason = match opened {
                Ok(mut link) => {
                    back_off.reset();
                    self.status.connected();
                    let end = self.serve(&mut link).await;
                    self.acks.reset();
                    match end {
                        End::Stopped => {
                            link.close(CLOSE_WAIT).await;
                            break;
                        }
                        End::Lost(reason) => reason,
                    }
                }
                Err(reason) => reason,
            };
            tracing::warn!(source = %self.decoder.name(), %reason, "no connection to the mqtt broker");
            self.status.disconnected(reason);
            tokio::select! {
                () = tokio::time::sleep(back_off.next()) => {}
                _ = self.stopped.changed() => {}
            }
        }
        self.status.disconnected("stopped".into());
    }

    /// Serves a connection until it ends or the source stops.
    async fn serve(&mut self, link: &mut Link) -> End {
        if let Err(reason) = link.output.subscribe(&self.mqtt) {
            return End::Lost(reason);
        }
        let intake = self.intake.clone();
        let mut stop_at = None;
        let mut pings = tokio::time::interval_at(Instant::now() + link.keep_alive / 2, link.keep_alive / 2);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            let stopping = stop_at.is_some();
            if let Err(reason) = self.take(link, stopping) {
                return End::Lost(reason);
            }
            if stopping && self.acks.is_empty() && link.output.is_empty() {
                return End::Stopped;
            }
            let may_read = !stopping && self.has_room();
            tokio::select! {
                tokens = self.durable.recv() => self.acknowledge(link, tokens.unwrap_or_default()),
                written = link.output.write(&mut link.writer), if !link.output.is_empty() => {
                    if let Err(reason) = written {
                        return End::Lost(reason);
                    }
                }
                permit = intake.reserve(), if self.held.is_some() => match (permit, self.held.take()) {
                    (Ok(permit), Some(held)) => {
                        self.held_bytes = 0;
                        permit.send(held);
                    }
                    _ => return End::Lost("nobody takes the messages any more".into()),
                },
                read = link.input.read(&mut link.reader), if may_read => match read {
                    Ok(()) => heard = Instant::now(),
                    Err(reason) => return End::Lost(reason),
                },
                _ = pings.tick() => {
                    if !may_read {
                        heard = Instant::now(); // nobody listened
                    } else if heard.elapsed() > 2 * link.keep_alive {
                        return End::Lost("the broker is silent".into());
                    }
                    link.output.ping();
                }
                _ = self.stopped.changed(), if !stopping => stop_at = Some(Instant::now() + STOP_WAIT),
                () = tokio::time::sleep_until(stop_at.unwrap_or_else(Instant::now)), if stopping => {
                    self.acks.reset();
                    return End::Stopped;
                }
            }
        }
    }

    /// Whether more may be read: what is held for the pump and what waits for its receipt have a bound.
    fn has_room(&self) -> bool {
        let held = self.held.as_ref().map_or(0, |held| held.events.len() + held.dead_letters.len());
        held < BATCH_MAX && self.held_bytes < BATCH_BYTES_MAX && self.acks.len() < self.mqtt.receive_maximum.into()
    }

    /// Decodes what has come, as far as there is room, and holds it for the pump. What comes while the source stops is not
    /// acknowledged, so that the session keeps it for the next start.
    fn take(&mut self, link: &mut Link, stopping: bool) -> Result<(), String> {
        let now = now();
        let (mut received, mut accepted, mut dead_lettered) = (0, 0, 0);
        while !stopping
            && self.has_room()
            && let Some(incoming) = link.input.next()?
        {
            match incoming {
                Incoming::Message(message) => {
                    received += 1;
                    match self.hold(message, now) {
                        Held::Event => accepted += 1,
                        Held::DeadLetter => dead_lettered += 1,
                        Held::Ignored => {}
                    }
                }
                Incoming::Release(packet_id) => link.output.complete(packet_id),
                Incoming::Subscribed(Some(reason)) => {
                    tracing::error!(source = %self.decoder.name(), %reason, "subscription refused");
                    self.status.failed(reason);
                }
                Incoming::Closed(reason) => return Err(reason),
                Incoming::Subscribed(None) | Incoming::Other => {}
            }
        }
        if received > 0 {
            self.status.received.add(received);
            self.status.accepted.add(accepted);
            self.status.dead_lettered.add(dead_lettered);
            // Those that were ignored need no receipt.
            self.acknowledge(link, Vec::new());
        }
        Ok(())
    }

    fn hold(&mut self, mut message: Message, now: Timestamp) -> Held {
        let Some(mqtt) = message.mqtt.as_mut() else { return Held::Ignored };
        mqtt.sequence = self.acks.next_token();
        let (dup, retain) = (mqtt.dup, mqtt.retain);
        let token = self.acks.push(Ack { qos: mqtt.qos, packet_id: mqtt.packet_id });
        if retain && self.mqtt.retained == Retained::Ignore {
            self.acks.durable(token);
            return Held::Ignored;
        }
        let held = self.held.get_or_insert_with(|| Intake {
            source: self.decoder.name().clone(),
            events: Vec::new(),
            dead_letters: Vec::new(),
            receipts: self.receipts.clone(),
        });
        self.held_bytes += message.payload.as_ref().map_or(0, Bytes::len);
        match self.decoder.event(&message, now) {
            Ok(decoded) => {
                let origin = match decoded.identified {
                    true => Origin::Id,
                    false => Origin::Key { key: delivery_key(&self.client_id, &message), redelivered: dup },
                };
                held.events.push(SourceEvent { event: Arc::new(decoded.event), origin, token });
                Held::Event
            }
            Err(failure) => {
                let letter = DeadLetter::new(self.decoder.name(), &message, now, failure);
                held.dead_letters.push(Rejected { letter, token });
                Held::DeadLetter
            }
        }
    }

    /// These are durable: what is to be acknowledged now goes to the broker.
    fn acknowledge(&mut self, link: &mut Link, tokens: Vec<u64>) {
        for token in tokens {
            self.acks.durable(token);
        }
        let mut count = 0;
        while let Some(ack) = self.acks.pop() {
            link.output.acknowledge(ack);
            count += 1;
        }
        self.status.acknowledged.add(count);
    }
}
