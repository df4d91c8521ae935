//! One connection to publish on, of either version of MQTT. It has a client of its own: what was to be sent on the last one
//! ends with it, and is given to the next one by its owner.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{Outgoing, Packet, TlsConfiguration, Transport, v5};
use tokio::sync::mpsc;

use crate::config::{ConfigError, MqttConnection, Protocol};
use crate::mqtt::{link::PACKET_MAX, tls};

const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Most messages under way with a broker of MQTT 5 that sets no limit of its own.
const WINDOW_V5: u16 = 4096;
/// The same with 3.1.1, where brokers can't tell their limit.
const WINDOW_V311: u16 = 100;

/// A message as it is published.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub topic: String,
    pub qos: u8,
    pub retain: bool,
    pub media_type: String,
    pub properties: Vec<(String, String)>,
    pub payload: Bytes,
}

/// What became of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Arrived,
    /// The broker will never take it.
    Never(String),
    /// It may take it later.
    Again(String),
}

/// What happened on a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Happened {
    Connected {
        window: u16,
        packet_max: u32,
    },
    /// The oldest message that was not sent yet, with its packet id; 0 for one of QoS 0, which nobody answers.
    Sent(u16),
    /// The client counts the packet id as in use until its end when `lost` is set.
    Answered {
        packet_id: u16,
        answer: Answer,
        lost: bool,
    },
}

/// Sends messages.
pub(super) enum Publisher {
    V5(v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

/// The connection's event loop.
pub(super) enum Connection {
    V5(Box<v5::EventLoop>),
    V311(Box<rumqttc::EventLoop>),
}

/// Opens a client; it connects at the first poll.
pub(super) fn open(
    connection: &MqttConnection,
    client_id: &str,
    setting: &str,
) -> Result<(Publisher, Connection), ConfigError> {
    let (host, port, secure) = connection.address(setting)?;
    let transport = match secure {
        true => Some(Transport::tls_with_config(TlsConfiguration::Rustls(tls::settings(connection, setting)?))),
        false => None,
    };
    let credentials = connection.username.clone().map(|name| (name, connection.password.clone().unwrap_or_default()));
    Ok(match connection.protocol {
        Protocol::V5 => {
            let mut options = v5::MqttOptions::new(client_id, host, port);
            options.set_clean_start(true).set_keep_alive(KEEP_ALIVE).set_max_packet_size(Some(PACKET_MAX));
            options.set_outgoing_inflight_upper_limit(WINDOW_V5).set_network_options(at_once());
            if let Some(transport) = transport {
                options.set_transport(transport);
            }
            if let Some((name, password)) = credentials {
                options.set_credentials(name, password);
            }
            let (client, events) = v5::AsyncClient::new(options, usize::from(WINDOW_V5) + 1);
            (Publisher::V5(client), Connection::V5(Box::new(events)))
        }
        Protocol::V311 => {
            let mut options = rumqttc::MqttOptions::new(client_id, host, port);
            options.set_clean_session(true).set_keep_alive(KEEP_ALIVE).set_inflight(WINDOW_V311);
            options.set_max_packet_size(PACKET_MAX as usize, PACKET_MAX as usize);
            if let Some(transport) = transport {
                options.set_transport(transport);
            }
            if let Some((name, password)) = credentials {
                options.set_credentials(name, password);
            }
            let (client, mut events) = rumqttc::AsyncClient::new(options, usize::from(WINDOW_V311) + 1);
            events.network_options = at_once();
            (Publisher::V311(client), Connection::V311(Box::new(events)))
        }
    })
}

/// What is written leaves at once. Else TCP keeps a small packet until the one before is answered for, which takes 40 ms where
/// the broker is busy.
fn at_once() -> rumqttc::NetworkOptions {
    let mut options = rumqttc::NetworkOptions::new();
    options.set_tcp_nodelay(true);
    options
}

impl Publisher {
    /// Gives a message to the client, which has room for a whole window. False when the connection has ended.
    pub(super) fn publish(&self, message: &Message) -> bool {
        let Message { topic, retain, payload, .. } = message.clone();
        match self {
            Publisher::V5(client) => {
                let qos = v5::mqttbytes::qos(message.qos).unwrap_or(v5::mqttbytes::QoS::AtLeastOnce);
                let properties = v5::mqttbytes::v5::PublishProperties {
                    content_type: Some(message.media_type.clone()),
                    user_properties: message.properties.clone(),
                    ..Default::default()
                };
                client.try_publish_with_properties(topic, qos, retain, payload, properties).is_ok()
            }
            Publisher::V311(client) => {
                let qos = rumqttc::qos(message.qos).unwrap_or(rumqttc::QoS::AtLeastOnce);
                client.try_publish(topic, qos, retain, payload).is_ok()
            }
        }
    }

    /// Asks for a clean end of the connection.
    pub(super) fn disconnect(&self) {
        let _ = match self {
            Publisher::V5(client) => client.try_disconnect().is_ok(),
            Publisher::V311(client) => client.try_disconnect().is_ok(),
        };
    }
}

impl Connection {
    /// Polls it until it ends; returns why. A task of its own, for a poll that is dropped half-way may lose a packet.
    pub(super) async fn run(mut self, happened: mpsc::Sender<Happened>) -> String {
        loop {
            let event = match &mut self {
                Connection::V5(events) => events.poll().await.map(of_v5).map_err(|error| error.to_string()),
                Connection::V311(events) => events.poll().await.map(of_v311).map_err(|error| error.to_string()),
            };
            match event {
                Err(reason) => return reason,
                Ok(None) => {}
                Ok(Some(event)) => {
                    if happened.send(event).await.is_err() {
                        return "stopped".into();
                    }
                }
            }
        }
    }
}

fn of_v5(event: v5::Event) -> Option<Happened> {
    use v5::Incoming;
    use v5::mqttbytes::v5::{PubAckReason, PubCompReason, PubRecReason};
    Some(match event {
        v5::Event::Outgoing(Outgoing::Publish(packet_id)) => Happened::Sent(packet_id),
        v5::Event::Incoming(Incoming::ConnAck(answer)) => {
            let limits = answer.properties.map(|limits| (limits.receive_max, limits.max_packet_size));
            let (window, packet_max) = limits.unwrap_or_default();
            Happened::Connected {
                window: window.unwrap_or(WINDOW_V5).clamp(1, WINDOW_V5),
                packet_max: packet_max.unwrap_or(PACKET_MAX),
            }
        }
        v5::Event::Incoming(Incoming::PubAck(ack)) => {
            let refused = |passes| refusal(format!("{:?}", ack.reason), passes);
            let answer = match ack.reason {
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Answer::Arrived,
                PubAckReason::NotAuthorized | PubAckReason::TopicNameInvalid | PubAckReason::PayloadFormatInvalid => {
                    refused(false)
                }
                PubAckReason::UnspecifiedError
                | PubAckReason::ImplementationSpecificError
                | PubAckReason::PacketIdentifierInUse
                | PubAckReason::QuotaExceeded => refused(true),
            };
            Happened::Answered { packet_id: ack.pkid, answer, lost: false }
        }
        v5::Event::Incoming(Incoming::PubRec(received)) => {
            let refused = |passes| refusal(format!("{:?}", received.reason), passes);
            let answer = match received.reason {
                PubRecReason::Success | PubRecReason::NoMatchingSubscribers => return None, // PUBCOMP follows
                PubRecReason::NotAuthorized | PubRecReason::TopicNameInvalid | PubRecReason::PayloadFormatInvalid => {
                    refused(false)
                }
                PubRecReason::UnspecifiedError
                | PubRecReason::ImplementationSpecificError
                | PubRecReason::PacketIdentifierInUse
                | PubRecReason::QuotaExceeded => refused(true),
            };
            Happened::Answered { packet_id: received.pkid, answer, lost: true }
        }
        v5::Event::Incoming(Incoming::PubComp(complete)) => Happened::Answered {
            packet_id: complete.pkid,
            answer: Answer::Arrived, // the broker had taken it at PUBREC already
            lost: complete.reason != PubCompReason::Success,
        },
        _ => return None,
    })
}

fn of_v311(event: rumqttc::Event) -> Option<Happened> {
    let arrived = |packet_id| Happened::Answered { packet_id, answer: Answer::Arrived, lost: false };
    Some(match event {
        rumqttc::Event::Outgoing(Outgoing::Publish(packet_id)) => Happened::Sent(packet_id),
        rumqttc::Event::Incoming(Packet::ConnAck(_)) => {
            Happened::Connected { window: WINDOW_V311, packet_max: PACKET_MAX }
        }
        rumqttc::Event::Incoming(Packet::PubAck(ack)) => arrived(ack.pkid),
        rumqttc::Event::Incoming(Packet::PubComp(complete)) => arrived(complete.pkid),
        _ => return None,
    })
}

fn refusal(reason: String, passes: bool) -> Answer {
    let text = format!("the broker refused it: {reason}");
    if passes { Answer::Again(text) } else { Answer::Never(text) }
}
