//! One connection, of either version of MQTT.
//!
//! Every connection has a client of its own: what was to be sent on the last one, acknowledgements above all, ends with it.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::{Packet, v5};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::acks::Ack;
use crate::config::{ConfigError, MqttConfig, MqttConnection, Protocol, Retained};
use crate::mapping::{Message, Mqtt};

/// Largest packet the client takes: the protocol's limit, so that an oversized message becomes a dead letter and not a
/// connection that breaks again and again.
pub(crate) const PACKET_MAX: u32 = 268_435_455;
/// Requests that may wait in the client: more than there can be packet ids, so that an acknowledgement never waits.
const REQUESTS_MAX: usize = 1 << 17;
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Sends subscriptions and acknowledgements.
pub(super) enum Client {
    V5(v5::AsyncClient),
    V311(rumqttc::AsyncClient),
}

/// The connection's event loop. It must be polled all the time.
pub(super) enum Connection {
    V5(Box<v5::EventLoop>),
    V311(Box<rumqttc::EventLoop>),
}

/// What happened on a connection.
#[expect(clippy::large_enum_variant, reason = "nearly every event is a message, and none is kept")]
pub(super) enum Event {
    Connected,
    Message(Message),
    Refused(String),
    Other,
}

/// Opens a client; it connects at the first poll.
pub(super) fn open(config: &MqttConfig, client_id: &str, setting: &str) -> Result<(Client, Connection), ConfigError> {
    let connection = &config.connection;
    let (host, port, tls) = connection.address(setting)?;
    let transport = if tls { Some(transport(connection, setting)?) } else { None };
    let credentials =
        connection.username.as_ref().map(|name| (name.clone(), connection.password.clone().unwrap_or_default()));
    match connection.protocol {
        Protocol::V5 => {
            let mut options = v5::MqttOptions::new(client_id, host, port);
            options.set_manual_acks(true).set_clean_start(false).set_keep_alive(KEEP_ALIVE);
            options.set_session_expiry_interval(Some(config.session_expiry_seconds));
            options.set_receive_maximum(Some(config.receive_maximum)).set_max_packet_size(Some(PACKET_MAX));
            if let Some(transport) = transport {
                options.set_transport(transport);
            }
            if let Some((name, password)) = credentials {
                options.set_credentials(name, password);
            }
            let (client, mut events) = v5::AsyncClient::new(options, REQUESTS_MAX);
            if config.qos == 2 {
                expect_releases_v5(&mut events);
            }
            Ok((Client::V5(client), Connection::V5(Box::new(events))))
        }
        Protocol::V311 => {
            let mut options = rumqttc::MqttOptions::new(client_id, host, port);
            options.set_manual_acks(true).set_clean_session(false).set_keep_alive(KEEP_ALIVE);
            options.set_max_packet_size(PACKET_MAX as usize, PACKET_MAX as usize);
            if let Some(transport) = transport {
                options.set_transport(transport);
            }
            if let Some((name, password)) = credentials {
                options.set_credentials(name, password);
            }
            let (client, mut events) = rumqttc::AsyncClient::new(options, REQUESTS_MAX);
            if config.qos == 2 {
                expect_releases_v311(&mut events);
            }
            Ok((Client::V311(client), Connection::V311(Box::new(events))))
        }
    }
}

/// After a lost connection the broker may release messages of QoS 2 that an earlier client of ours had received. The crate
/// would end the connection over a release that it does not expect, again and again: so it is told to expect any.
fn expect_releases_v5(events: &mut v5::EventLoop) {
    for packet_id in 1..=u16::MAX {
        let mut received = v5::mqttbytes::v5::Publish::new("", v5::mqttbytes::QoS::ExactlyOnce, Bytes::new(), None);
        received.pkid = packet_id;
        let known = events.state.handle_incoming_packet(v5::Incoming::Publish(received));
        debug_assert!(known.is_ok());
        events.state.events.clear();
    }
}

/// As [`expect_releases_v5`].
fn expect_releases_v311(events: &mut rumqttc::EventLoop) {
    for packet_id in 1..=u16::MAX {
        let mut received = rumqttc::Publish::new("", rumqttc::QoS::ExactlyOnce, Bytes::new());
        received.pkid = packet_id;
        let known = events.state.handle_incoming_packet(Packet::Publish(received));
        debug_assert!(known.is_ok());
        events.state.events.clear();
    }
}

pub(crate) fn transport(connection: &MqttConnection, setting: &str) -> Result<rumqttc::Transport, ConfigError> {
    // Whoever comes first sets the process's default; all of Trinity uses this one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(ca) = &connection.ca else {
        return Ok(rumqttc::Transport::tls_with_default_config());
    };
    let wrong = |part: &str, file: &std::path::Path, error: &dyn std::fmt::Display| {
        ConfigError::new(format!("{setting}.{part}"), format!("can't use {}: {error}", file.display()))
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| wrong("ca", ca, &error))? {
        let certificate = certificate.map_err(|error| wrong("ca", ca, &error))?;
        roots.add(certificate).map_err(|error| wrong("ca", ca, &error))?;
    }
    let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
    let config = match (&connection.cert, &connection.key) {
        (Some(cert), Some(key)) => {
            let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
            let chain = chain.map_err(|error| wrong("cert", cert, &error))?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("key", key, &error))?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| wrong("cert", cert, &error))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(rumqttc::Transport::tls_with_config(rumqttc::TlsConfiguration::Rustls(config.into())))
}

impl Client {
    /// Subscribes to all filters of the source.
    pub(super) async fn subscribe(&self, config: &MqttConfig) -> Result<(), String> {
        let filter = |topic: &String| match &config.group {
            Some(group) => format!("$share/{group}/{topic}"),
            None => topic.clone(),
        };
        match self {
            Client::V5(client) => {
                use v5::mqttbytes::v5::{Filter, RetainForwardRule};
                let subscription = |topic| {
                    let qos = v5::mqttbytes::qos(config.qos).unwrap_or(v5::mqttbytes::QoS::AtLeastOnce);
                    let retain_forward_rule = match config.retained {
                        Retained::Ignore => RetainForwardRule::Never,
                        Retained::Accept => RetainForwardRule::OnNewSubscribe,
                    };
                    Filter { retain_forward_rule, ..Filter::new(filter(topic), qos) }
                };
                let filters: Vec<Filter> = config.topics.iter().map(subscription).collect();
                client.subscribe_many(filters).await.map_err(|error| error.to_string())
            }
            Client::V311(client) => {
                let subscription = |topic| {
                    let qos = rumqttc::qos(config.qos).unwrap_or(rumqttc::QoS::AtLeastOnce);
                    rumqttc::SubscribeFilter::new(filter(topic), qos)
                };
                let filters: Vec<_> = config.topics.iter().map(subscription).collect();
                client.subscribe_many(filters).await.map_err(|error| error.to_string())
            }
        }
    }

    /// Acknowledges a delivery: PUBACK, or PUBREC with QoS 2. False when the connection has ended.
    pub(super) fn acknowledge(&self, ack: Ack) -> bool {
        match self {
            Client::V5(client) => {
                let qos = v5::mqttbytes::qos(ack.qos).unwrap_or(v5::mqttbytes::QoS::AtMostOnce);
                let mut publish = v5::mqttbytes::v5::Publish::new("", qos, Bytes::new(), None);
                publish.pkid = ack.packet_id;
                client.try_ack(&publish).is_ok()
            }
            Client::V311(client) => {
                let qos = rumqttc::qos(ack.qos).unwrap_or(rumqttc::QoS::AtMostOnce);
                let mut publish = rumqttc::Publish::new("", qos, Bytes::new());
                publish.pkid = ack.packet_id;
                client.try_ack(&publish).is_ok()
            }
        }
    }

    /// Asks for a clean end of the connection; the session stays.
    pub(super) fn disconnect(&self) {
        let _ = match self {
            Client::V5(client) => client.try_disconnect().is_ok(),
            Client::V311(client) => client.try_disconnect().is_ok(),
        };
    }
}

impl Connection {
    /// Waits for what happens next.
    pub(super) async fn next(&mut self) -> Result<Event, String> {
        match self {
            Connection::V5(events) => {
                let event = events.poll().await.map_err(|error| error.to_string())?;
                Ok(event_v5(event))
            }
            Connection::V311(events) => {
                let event = events.poll().await.map_err(|error| error.to_string())?;
                Ok(event_v311(event))
            }
        }
    }

    /// Whether more has been read already, so that `next` does not wait.
    pub(super) fn has_more(&self) -> bool {
        match self {
            Connection::V5(events) => !events.state.events.is_empty(),
            Connection::V311(events) => !events.state.events.is_empty(),
        }
    }
}

fn message(topic: &str, payload: Bytes, mqtt: Mqtt) -> Message {
    Message {
        topic: topic.into(),
        key: None,
        headers: Vec::new(),
        payload: Some(payload),
        time: None,
        place: None,
        mqtt: Some(mqtt),
    }
}

fn event_v5(event: v5::Event) -> Event {
    let publish = match event {
        v5::Event::Incoming(v5::Incoming::ConnAck(_)) => return Event::Connected,
        v5::Event::Incoming(v5::Incoming::SubAck(answer)) => {
            use v5::mqttbytes::v5::SubscribeReasonCode::Success;
            let refused = answer.return_codes.iter().find(|code| !matches!(code, Success(_)));
            return refused
                .map_or(Event::Other, |code| Event::Refused(format!("the broker refused a subscription: {code:?}")));
        }
        v5::Event::Incoming(v5::Incoming::Publish(publish)) => publish,
        _ => return Event::Other,
    };
    let properties = publish.properties.unwrap_or_default();
    let facts = Mqtt {
        qos: publish.qos as u8,
        retain: publish.retain,
        dup: publish.dup,
        packet_id: publish.pkid,
        sequence: 0,
        content_type: properties.content_type,
        response_topic: properties.response_topic,
        correlation_data: properties.correlation_data,
    };
    let mut message = message(&String::from_utf8_lossy(&publish.topic), publish.payload, facts);
    message.headers = properties.user_properties.into_iter().map(|(name, value)| (name, value.into())).collect();
    Event::Message(message)
}

fn event_v311(event: rumqttc::Event) -> Event {
    match event {
        rumqttc::Event::Incoming(Packet::ConnAck(_)) => Event::Connected,
        rumqttc::Event::Incoming(Packet::SubAck(answer)) => {
            let refused = answer.return_codes.contains(&rumqttc::SubscribeReasonCode::Failure);
            if refused { Event::Refused("the broker refused a subscription".into()) } else { Event::Other }
        }
        rumqttc::Event::Incoming(Packet::Publish(publish)) => {
            let facts = Mqtt {
                qos: publish.qos as u8,
                retain: publish.retain,
                dup: publish.dup,
                packet_id: publish.pkid,
                ..Mqtt::default()
            };
            Event::Message(message(&publish.topic, publish.payload, facts))
        }
        _ => Event::Other,
    }
}
