//! MQTT as a sink: an event has arrived when the broker has acknowledged it (PUBACK, PUBCOMP; with QoS 0: when it was sent).
//!
//! What a lost connection leaves without an answer is published again on the next one, in its order.

mod publisher;
mod window;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use trinity_engine::event::{CloudEvent, envelope};

use publisher::{Answer, Happened, Message, Publisher};
use window::Window;

use super::{Delivery, Outlet};
use crate::back_off::BackOff;
use crate::binding;
use crate::config::{ConfigError, Mode, MqttConnection, MqttSinkConfig};
use crate::source::now;
use crate::template::Template;

/// Connections in a row that may end while the same event is all that they carried, before it is given up: a broker that
/// takes an event for a breach of protocol has no other way to say so, and it would hold up all that come after it.
const BARREN_MAX: u32 = 6;
/// Longest text in MQTT.
const TEXT_MAX: usize = u16::MAX as usize;

pub(super) struct Mqtt {
    connection: MqttConnection,
    client_id: String,
    topic: Template,
    qos: u8,
    retain: bool,
    mode: Mode,
}

/// How a connection ended.
struct End {
    connected: bool,
    /// Outcomes that it brought.
    settled: usize,
    /// Whether messages were sent on it.
    tried: bool,
    finished: bool,
}

impl Mqtt {
    pub(super) fn new(config: &MqttSinkConfig) -> Result<Mqtt, ConfigError> {
        let random = || format!("trinity-sink-{}", uuid::Uuid::new_v4().simple());
        let sink = Mqtt {
            connection: config.connection.clone(),
            client_id: config.connection.client_id.clone().unwrap_or_else(random),
            topic: Template::compile("mqtt.topic", &config.topic)?,
            qos: config.qos,
            retain: config.retain,
            mode: config.mode,
        };
        publisher::open(&sink.connection, &sink.client_id, "mqtt")?; // certificates are read: a mistake shows at start
        Ok(sink)
    }

    pub(super) async fn run(self, mut deliveries: mpsc::Receiver<Delivery>, outlet: Outlet) {
        let mut window = Window::default();
        let mut back_off = BackOff::default();
        let mut barren = 0;
        loop {
            let reason = match publisher::open(&self.connection, &self.client_id, "mqtt") {
                Err(error) => error.to_string(),
                Ok((client, connection)) => {
                    let (sender, mut happened) = mpsc::channel(1024);
                    let mut reader = JoinSet::new(); // ended with this worker, however that ends
                    reader.spawn(connection.run(sender));
                    let size_max = if barren == 0 { u16::MAX } else { 1 };
                    let Some(end) =
                        self.serve(&client, &mut happened, &mut deliveries, &mut window, &outlet, size_max).await
                    else {
                        return;
                    };
                    client.disconnect();
                    drop(happened);
                    if end.settled > 0 {
                        back_off.reset();
                        barren = 0;
                    } else if end.tried {
                        barren += 1;
                    }
                    let reason = match tokio::time::timeout(Duration::from_millis(500), reader.join_next()).await {
                        Ok(Some(Ok(reason))) => reason,
                        _ => "the connection was given up".into(),
                    };
                    if end.finished {
                        return;
                    }
                    reason
                }
            };
            window.reset();
            if barren > BARREN_MAX
                && let Some(id) = window.drop_oldest()
            {
                barren = 0;
                let result = Err(format!("{BARREN_MAX} connections ended when it was sent, the last: {reason}"));
                if !outlet.put(id, result).await {
                    return;
                }
            }
            tracing::warn!(%reason, "no connection to the mqtt broker of a sink");
            outlet.status.disconnected(reason);
            tokio::time::sleep(back_off.next()).await;
        }
    }

    /// Serves one connection until it ends or nothing is left to do; `None` when nobody wants outcomes any more.
    async fn serve(
        &self,
        client: &Publisher,
        happened: &mut mpsc::Receiver<Happened>,
        deliveries: &mut mpsc::Receiver<Delivery>,
        window: &mut Window,
        outlet: &Outlet,
        size_max: u16,
    ) -> Option<End> {
        let mut end = End { connected: false, settled: 0, tried: false, finished: false };
        let (mut allowed, mut packet_max) = (0, 0);
        // To be ended as soon as all that is under way is answered.
        let mut winding_up = false;
        loop {
            // After a barren connection one at a time, until it is clear that they arrive.
            let size = if end.settled == 0 { allowed.min(size_max) } else { allowed };
            while !winding_up && let Some(waiting) = window.give(size) {
                end.tried = true;
                if !client.publish(&waiting.message) {
                    return Some(end); // has ended; its reason comes from the reader
                }
            }
            let no_more = deliveries.is_closed() && deliveries.is_empty();
            end.finished = no_more && window.is_empty();
            if end.finished || winding_up && window.unanswered() == 0 {
                return Some(end);
            }
            let room = !no_more && end.connected && !winding_up && window.has_room(size);
            tokio::select! {
                event = happened.recv() => match event {
                    None => return Some(end),
                    Some(Happened::Connected { window, packet_max: max }) => {
                        end.connected = true;
                        (allowed, packet_max) = (window, max);
                        outlet.status.connected();
                    }
                    Some(Happened::Sent(0)) => {
                        let number = window.sent_for_good();
                        end.settled += 1;
                        if let Some(id) = window.settle(number)
                            && !outlet.put(id, Ok(())).await
                        {
                            return None;
                        }
                    }
                    Some(Happened::Sent(packet_id)) => {
                        window.sent(packet_id);
                    }
                    Some(Happened::Answered { packet_id, answer, lost }) => {
                        winding_up |= lost;
                        let Some(number) = window.answered(packet_id) else { continue };
                        let result = match answer {
                            Answer::Arrived => Ok(()),
                            Answer::Never(reason) => Err(reason),
                            Answer::Again(reason) => {
                                tracing::warn!(%reason, "the mqtt broker of a sink");
                                winding_up = true;
                                continue;
                            }
                        };
                        end.settled += 1;
                        if let Some(id) = window.settle(number)
                            && !outlet.put(id, result).await
                        {
                            return None;
                        }
                    }
                },
                delivery = deliveries.recv(), if room => if let Some(delivery) = delivery {
                    outlet.status.received.add(1);
                    match self.message(&delivery.event, packet_max) {
                        Ok(message) => window.push(delivery.id, message),
                        Err(reason) => if !outlet.put(delivery.id, Err(reason)).await {
                            return None;
                        },
                    }
                },
            }
        }
    }

    /// The message of an event, when MQTT and this broker can carry it.
    fn message(&self, event: &CloudEvent, packet_max: u32) -> Result<Message, String> {
        let topic = self.topic.text(now(), |_| envelope(event)).map_err(|reason| format!("mqtt.topic: {reason}"))?;
        let topic = topic.ok_or("mqtt.topic is null for this event")?;
        if topic.is_empty() || topic.contains(['+', '#']) {
            return Err(format!("mqtt.topic: '{topic}' is no topic to publish to"));
        }
        let (media_type, properties, payload) = match self.mode {
            Mode::Binary => {
                let message = binding::mqtt::render_binary(event);
                (message.media_type, message.properties, message.payload)
            }
            Mode::Structured => (binding::STRUCTURED.into(), Vec::new(), binding::json::render(event)),
        };
        let texts = properties.iter().flat_map(|(name, value)| [name, value]).map(String::as_str);
        for text in texts.chain([topic.as_str(), media_type.as_str()]) {
            if text.len() > TEXT_MAX || text.contains('\0') {
                let start: String = text.chars().take(40).collect();
                return Err(format!(
                    "MQTT can't carry the text '{start}…': it is longer than {TEXT_MAX} bytes or has a NUL"
                ));
            }
        }
        // Header, lengths and packet id take less than 16 bytes, a property less than 5 besides its texts.
        let beside = properties.iter().map(|(name, value)| name.len() + value.len() + 5).sum::<usize>();
        let size = payload.len() + topic.len() + media_type.len() + beside + 16;
        if size > packet_max as usize {
            return Err(format!("about {size} bytes, more than the {packet_max} that the broker takes"));
        }
        Ok(Message {
            topic: topic.into(),
            qos: self.qos,
            retain: self.retain,
            media_type,
            properties,
            payload: payload.into(),
        })
    }
}
