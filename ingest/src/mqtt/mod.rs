//! MQTT as a source: a delivery is acknowledged when what it caused is durable.
//!
//! Back-pressure: the broker sends at most `receive_maximum` unacknowledged messages (MQTT 5; with 3.1.1 its own limit);
//! beyond that, and for QoS 0, the connection is not read.

mod acks;
pub(crate) mod client;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use trinity_engine::input::{Origin, SourceEvent};

use acks::{Ack, AckQueue};
use client::{Client, Connection, Event};

use crate::back_off::BackOff;
use crate::config::{ConfigError, MqttConfig, Retained, SourceConfig};
use crate::dead_letter::DeadLetter;
use crate::mapping::{Decoder, Message, delivery_key};
use crate::source::{BATCH_BYTES_MAX, BATCH_MAX, Intake, Receipts, Rejected, Source, now};
use crate::status::Status;

/// Batches that the reader of a connection may be ahead.
const READS_MAX: usize = 16;
/// How long a stopping source waits for receipts.
const STOP_WAIT: Duration = Duration::from_secs(5);

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
    client::open(&mqtt, &client_id, &setting)?; // certificates are read: a mistake shows at start
    let status = Arc::new(Status::default());
    let (stop, stopped) = watch::channel(false);
    let (receipts, durable) = Receipts::channel();
    let worker = Worker {
        decoder: Decoder::new(config)?,
        status: status.clone(),
        acks: AckQueue::default(),
        held: None,
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
    intake: mpsc::Sender<Intake>,
    receipts: Receipts,
    durable: mpsc::UnboundedReceiver<Vec<u64>>,
    stopped: watch::Receiver<bool>,
}

/// What the reader of a connection hands over.
enum Read {
    Connected,
    Refused(String),
    Messages(Vec<Message>),
}

/// Polls a connection until it ends; returns why. A task of its own, for a poll that is dropped half-way may lose a packet.
async fn read(mut connection: Connection, reads: mpsc::Sender<Read>) -> String {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    loop {
        let read = match connection.next().await {
            Ok(Event::Connected) => Some(Read::Connected),
            Ok(Event::Refused(reason)) => Some(Read::Refused(reason)),
            Ok(Event::Message(message)) => {
                bytes += message.payload.as_ref().map_or(0, Bytes::len);
                batch.push(message);
                None
            }
            Ok(Event::Other) => None,
            Err(reason) => return reason,
        };
        let full = batch.len() >= BATCH_MAX || bytes >= BATCH_BYTES_MAX || !connection.has_more();
        if full {
            bytes = 0;
        }
        if full && !batch.is_empty() && reads.send(Read::Messages(std::mem::take(&mut batch))).await.is_err() {
            return "stopped".into();
        }
        if let Some(read) = read
            && reads.send(read).await.is_err()
        {
            return "stopped".into();
        }
    }
}

impl Worker {
    async fn run(mut self) {
        let mut back_off = BackOff::default();
        while !*self.stopped.borrow() && !self.intake.is_closed() {
            let opened = client::open(&self.mqtt, &self.client_id, &self.setting);
            let reason = match opened {
                Ok((client, connection)) => {
                    let (sender, reads) = mpsc::channel(READS_MAX);
                    let mut reader = JoinSet::new(); // ended with this worker, however that ends
                    reader.spawn(read(connection, sender));
                    if self.serve(&client, reads).await {
                        back_off.reset();
                    }
                    self.acks.reset();
                    match tokio::time::timeout(Duration::from_secs(1), reader.join_next()).await {
                        Ok(Some(Ok(reason))) => reason,
                        _ => "the connection was given up".into(),
                    }
                }
                Err(error) => error.to_string(),
            };
            if *self.stopped.borrow() {
                break;
            }
            tracing::warn!(source = %self.decoder.name(), %reason, "no connection to the mqtt broker");
            self.status.disconnected(reason);
            tokio::select! {
                () = tokio::time::sleep(back_off.next()) => {}
                _ = self.stopped.changed() => {}
            }
        }
        self.status.disconnected("stopped".into());
    }

    /// Serves one connection until it ends or the source stops; returns whether it ever was connected.
    async fn serve(&mut self, client: &Client, mut reads: mpsc::Receiver<Read>) -> bool {
        let mut connected = false;
        let mut stop_at = None;
        let intake = self.intake.clone();
        let mut arrived = Vec::new();
        loop {
            let stopping = stop_at.is_some();
            if stopping && self.acks.is_empty() {
                client.disconnect();
                let end = tokio::time::Instant::now() + Duration::from_millis(500);
                while let Ok(Some(_)) = tokio::time::timeout_at(end, reads.recv()).await {}
                return connected;
            }
            tokio::select! {
                Some(tokens) = self.durable.recv() => self.acknowledge(client, tokens),
                permit = intake.reserve(), if self.held.is_some() => {
                    let Ok(permit) = permit else { return connected };
                    if let Some(held) = self.held.take() {
                        permit.send(held);
                    }
                }
                // All that is there: the client reads few messages at a time, and a batch costs much the same however long it is.
                count = reads.recv_many(&mut arrived, READS_MAX), if self.held.is_none() || stopping => {
                    if count == 0 {
                        return connected;
                    }
                    let mut messages = Vec::new();
                    for read in arrived.drain(..) {
                        match read {
                            Read::Connected => {
                                connected = true;
                                self.status.connected();
                                if let Err(reason) = client.subscribe(&self.mqtt).await {
                                    self.status.failed(reason);
                                }
                            }
                            Read::Refused(reason) => {
                                tracing::error!(source = %self.decoder.name(), %reason, "subscription refused");
                                self.status.failed(reason);
                            }
                            Read::Messages(more) => messages.extend(more),
                        }
                    }
                    // While it stops they are not acknowledged, so the session keeps them for the next start.
                    if !messages.is_empty() && !stopping {
                        self.take(messages);
                        self.acknowledge(client, Vec::new());
                    }
                }
                _ = self.stopped.changed(), if !stopping => {
                    stop_at = Some(tokio::time::Instant::now() + STOP_WAIT);
                }
                () = tokio::time::sleep_until(stop_at.unwrap_or_else(tokio::time::Instant::now)), if stopping => self.acks.reset(),
            }
        }
    }

    /// Decodes a batch and holds it for the pump.
    fn take(&mut self, messages: Vec<Message>) {
        let now = now();
        let mut events = Vec::with_capacity(messages.len());
        let mut dead_letters = Vec::new();
        self.status.received.add(messages.len());
        for mut message in messages {
            let Some(mqtt) = message.mqtt.as_mut() else { continue };
            mqtt.sequence = self.acks.next_token();
            let (dup, retain) = (mqtt.dup, mqtt.retain);
            let token = self.acks.push(Ack { qos: mqtt.qos, packet_id: mqtt.packet_id });
            if retain && self.mqtt.retained == Retained::Ignore {
                self.acks.durable(token);
                continue;
            }
            match self.decoder.event(&message, now) {
                Ok(decoded) => {
                    let origin = match decoded.identified {
                        true => Origin::Id,
                        false => Origin::Key { key: delivery_key(&self.client_id, &message), redelivered: dup },
                    };
                    events.push(SourceEvent { event: Arc::new(decoded.event), origin, token });
                }
                Err(failure) => {
                    let letter = DeadLetter::new(self.decoder.name(), &message, now, failure);
                    dead_letters.push(Rejected { letter, token });
                }
            }
        }
        self.status.accepted.add(events.len());
        self.status.dead_lettered.add(dead_letters.len());
        if events.is_empty() && dead_letters.is_empty() {
            return;
        }
        let source = self.decoder.name().clone();
        self.held = Some(Intake { source, events, dead_letters, receipts: self.receipts.clone() });
    }

    fn acknowledge(&mut self, client: &Client, tokens: Vec<u64>) {
        for token in tokens {
            self.acks.durable(token);
        }
        let mut count = 0;
        while let Some(ack) = self.acks.pop() {
            count += usize::from(client.acknowledge(ack));
        }
        self.status.acknowledged.add(count);
    }
}
