//! One connection to a broker, of either version of MQTT: bytes in and out, and the packets in them.
//!
//! The packets are those of the client library; its event loop is not used here, for it reads ten packets at a time, writes
//! each acknowledgement by itself, and can lose one when its queue is full. Here everything that has come is taken at once,
//! and all acknowledgements that are due leave in one write.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use rumqttc::{mqttbytes, v5};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;

use super::acks::Ack;
use super::tls;
use crate::config::{MqttConfig, Protocol, Retained};
use crate::mapping::{Message, Mqtt};

/// Largest packet the client takes: the protocol's limit, so that an oversized message becomes a dead letter and not a
/// connection that breaks again and again.
pub(crate) const PACKET_MAX: u32 = 268_435_455;
/// After so long a client that has nothing to say sends a ping.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long a broker may take to accept a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Room for what is read in one go.
const READ_BYTES: usize = 128 << 10;
/// What a subscription is answered by; it is the only request that has a packet id.
const SUBSCRIPTION: u16 = 1;

/// First byte of the packets that are the same in both versions (MQTT 5, section 2.1.2 and 3.4.2.1: a reason code of
/// success may be left out).
mod first_byte {
    pub const PUBACK: u8 = 0x40;
    pub const PUBREC: u8 = 0x50;
    pub const PUBCOMP: u8 = 0x70;
    pub const PINGREQ: u8 = 0xC0;
    pub const DISCONNECT: u8 = 0xE0;
}

/// A byte stream to the broker.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection on which the broker has accepted the client.
pub(super) struct Link {
    pub reader: ReadHalf<Box<dyn Stream>>,
    pub writer: WriteHalf<Box<dyn Stream>>,
    pub input: Input,
    pub output: Output,
    /// After so long it must have sent something: the broker may ask for less than [`KEEP_ALIVE`].
    pub keep_alive: Duration,
}

/// What has been read.
pub(super) struct Input {
    protocol: Protocol,
    bytes: BytesMut,
}

/// What is to be written.
#[derive(Default)]
pub(super) struct Output {
    bytes: BytesMut,
    /// Whether something was written that may still lie in a buffer below, as that of TLS.
    unflushed: bool,
}

/// What came.
#[expect(clippy::large_enum_variant, reason = "nearly every packet is a message, and none is kept")]
pub(super) enum Incoming {
    Message(Message),
    /// The answer to the subscription: why it was refused.
    Subscribed(Option<String>),
    /// With QoS 2: the broker knows that a message was received and may forget its packet id.
    Release(u16),
    /// The broker ends the connection, and why.
    Closed(String),
    Other,
}

/// A packet of either version.
#[expect(clippy::large_enum_variant, reason = "none is kept")]
enum Packet {
    V5(v5::mqttbytes::v5::Packet),
    V311(rumqttc::Packet),
}

impl Link {
    /// Connects, and is accepted by the broker.
    ///
    /// # Errors
    /// A setting can't be used, nobody answers, or the broker refuses.
    pub(super) async fn open(config: &MqttConfig, client_id: &str, setting: &str) -> Result<Link, String> {
        match tokio::time::timeout(CONNECT_WAIT, connect(config, client_id, setting)).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("the broker does not answer within {} s", CONNECT_WAIT.as_secs())),
        }
    }

    /// Ends the connection in order, if that can be done soon; the session stays.
    pub(super) async fn close(mut self, within: Duration) {
        self.output.signal(first_byte::DISCONNECT);
        let closing = async {
            self.writer.write_all(&self.output.bytes).await?;
            self.writer.shutdown().await?;
            // The broker closes its side when it has read the last byte.
            let mut rest = [0; 4096];
            while self.reader.read(&mut rest).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        let _ = tokio::time::timeout(within, closing).await;
    }
}

async fn connect(config: &MqttConfig, client_id: &str, setting: &str) -> Result<Link, String> {
    let connection = &config.connection;
    let (host, port, secure) = connection.address(setting).map_err(|error| error.to_string())?;
    let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|error| format!("{host}:{port}: {error}"))?;
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    let stream: Box<dyn Stream> = if secure {
        let settings = tls::settings(connection, setting).map_err(|error| error.to_string())?;
        let name = ServerName::try_from(host.clone()).map_err(|error| format!("{host}: {error}"))?;
        let connector = rumqttc::tokio_rustls::TlsConnector::from(settings);
        Box::new(connector.connect(name, tcp).await.map_err(|error| format!("TLS with {host}:{port}: {error}"))?)
    } else {
        Box::new(tcp)
    };
    let (reader, writer) = tokio::io::split(stream);
    let input = Input { protocol: connection.protocol, bytes: BytesMut::new() };
    let mut link = Link { reader, writer, input, output: Output::default(), keep_alive: KEEP_ALIVE };
    link.output.connect(config, client_id)?;
    link.writer.write_all_buf(&mut link.output.bytes).await.map_err(|error| error.to_string())?;
    link.writer.flush().await.map_err(|error| error.to_string())?;
    let refused = |code: &dyn std::fmt::Debug| Err(format!("the broker refused the connection: {code:?}"));
    loop {
        match link.input.packet()? {
            Some(Packet::V5(v5::mqttbytes::v5::Packet::ConnAck(answer))) => {
                if answer.code != v5::mqttbytes::v5::ConnectReturnCode::Success {
                    return refused(&answer.code);
                }
                // 0 asks for none (MQTT 5.0, section 3.2.2.3.14): then we still want to know whether the broker is there.
                let wanted = answer.properties.and_then(|properties| properties.server_keep_alive);
                if let Some(seconds) = wanted.filter(|seconds| *seconds > 0) {
                    link.keep_alive = KEEP_ALIVE.min(Duration::from_secs(seconds.into()));
                }
                return Ok(link);
            }
            Some(Packet::V311(rumqttc::Packet::ConnAck(answer))) => match answer.code {
                rumqttc::ConnectReturnCode::Success => return Ok(link),
                code => return refused(&code),
            },
            Some(_) => return Err("the broker sent something before it accepted the connection".into()),
            None => link.input.read(&mut link.reader).await?,
        }
    }
}

impl Input {
    /// Waits until more has come. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// The connection ended.
    pub(super) async fn read(&mut self, reader: &mut (impl AsyncRead + Unpin)) -> Result<(), String> {
        // Small packets that came before keep the memory they lie in, and a large one has asked for what it needs.
        if self.bytes.capacity() - self.bytes.len() < READ_BYTES / 4 {
            self.bytes.reserve(READ_BYTES);
        }
        match reader.read_buf(&mut self.bytes).await {
            Ok(0) => Err("the broker closed the connection".into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The next of what has come completely.
    ///
    /// # Errors
    /// It is no MQTT.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, String> {
        Ok(self.packet()?.map(|packet| match packet {
            Packet::V5(packet) => incoming_v5(packet),
            Packet::V311(packet) => incoming_v311(packet),
        }))
    }

    fn packet(&mut self) -> Result<Option<Packet>, String> {
        let missing = match self.protocol {
            Protocol::V5 => match v5::mqttbytes::v5::Packet::read(&mut self.bytes, Some(PACKET_MAX)) {
                Ok(packet) => return Ok(Some(Packet::V5(packet))),
                Err(v5::mqttbytes::Error::InsufficientBytes(missing)) => missing,
                Err(error) => return Err(error.to_string()),
            },
            Protocol::V311 => match rumqttc::Packet::read(&mut self.bytes, PACKET_MAX as usize) {
                Ok(packet) => return Ok(Some(Packet::V311(packet))),
                Err(mqttbytes::Error::InsufficientBytes(missing)) => missing,
                Err(error) => return Err(error.to_string()),
            },
        };
        self.bytes.reserve(missing);
        Ok(None)
    }
}

impl Output {
    /// Whether all of it has left.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && !self.unflushed
    }

    /// Writes some of it. What was not written stays, also when the wait is given up.
    ///
    /// # Errors
    /// The connection ended.
    pub(super) async fn write(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> Result<(), String> {
        if !self.bytes.is_empty() {
            writer.write_buf(&mut self.bytes).await.map_err(|error| error.to_string())?;
            self.unflushed = true;
        }
        if self.bytes.is_empty() {
            writer.flush().await.map_err(|error| error.to_string())?;
            self.unflushed = false;
        }
        Ok(())
    }

    /// Acknowledges a delivery: PUBACK, or PUBREC with QoS 2.
    pub(super) fn acknowledge(&mut self, ack: Ack) {
        match ack.qos {
            0 => {}
            1 => self.about(first_byte::PUBACK, ack.packet_id),
            _ => self.about(first_byte::PUBREC, ack.packet_id),
        }
    }

    /// Answers a release.
    pub(super) fn complete(&mut self, packet_id: u16) {
        self.about(first_byte::PUBCOMP, packet_id);
    }

    /// Asks the broker for a sign of life.
    pub(super) fn ping(&mut self) {
        self.signal(first_byte::PINGREQ);
    }

    fn about(&mut self, first_byte: u8, packet_id: u16) {
        self.bytes.put_slice(&[first_byte, 2]);
        self.bytes.put_u16(packet_id);
    }

    fn signal(&mut self, first_byte: u8) {
        self.bytes.put_slice(&[first_byte, 0]);
    }

    fn connect(&mut self, config: &MqttConfig, client_id: &str) -> Result<(), String> {
        let connection = &config.connection;
        let keep_alive = u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(u16::MAX);
        let client_id = client_id.to_owned();
        let login = connection.username.clone().map(|name| (name, connection.password.clone().unwrap_or_default()));
        match connection.protocol {
            Protocol::V5 => {
                use v5::mqttbytes::v5::{Connect, ConnectProperties, Login, Packet};
                let mut properties = ConnectProperties::new();
                properties.session_expiry_interval = Some(config.session_expiry_seconds);
                properties.receive_maximum = Some(config.receive_maximum);
                properties.max_packet_size = Some(PACKET_MAX);
                let connect = Connect { keep_alive, client_id, clean_start: false, properties: Some(properties) };
                let login = login.map(|(username, password)| Login { username, password });
                let written = Packet::Connect(connect, None, login).write(&mut self.bytes, None);
                written.map_err(|error| error.to_string())?;
            }
            Protocol::V311 => {
                let connect = rumqttc::Connect {
                    protocol: rumqttc::Protocol::V4,
                    keep_alive,
                    client_id,
                    clean_session: false,
                    last_will: None,
                    login: login.map(|(username, password)| rumqttc::Login { username, password }),
                };
                connect.write(&mut self.bytes).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    /// Subscribes to all filters of the source.
    ///
    /// # Errors
    /// They can't be written.
    pub(super) fn subscribe(&mut self, config: &MqttConfig) -> Result<(), String> {
        let filters = config.topics.iter().map(|topic| match &config.group {
            Some(group) => format!("$share/{group}/{topic}"),
            None => topic.clone(),
        });
        match config.connection.protocol {
            Protocol::V5 => {
                use v5::mqttbytes::v5::{Filter, RetainForwardRule, Subscribe};
                let qos = v5::mqttbytes::qos(config.qos).unwrap_or(v5::mqttbytes::QoS::AtLeastOnce);
                let retain_forward_rule = match config.retained {
                    Retained::Ignore => RetainForwardRule::Never,
                    Retained::Accept => RetainForwardRule::OnNewSubscribe,
                };
                let filters = filters.map(|filter| Filter {
                    retain_forward_rule: retain_forward_rule.clone(),
                    ..Filter::new(filter, qos)
                });
                let subscribe = Subscribe { pkid: SUBSCRIPTION, ..Subscribe::new_many(filters, None) };
                subscribe.write(&mut self.bytes).map_err(|error| error.to_string())?;
            }
            Protocol::V311 => {
                let qos = rumqttc::qos(config.qos).unwrap_or(rumqttc::QoS::AtLeastOnce);
                let filters = filters.map(|filter| rumqttc::SubscribeFilter::new(filter, qos));
                let subscribe = rumqttc::Subscribe { pkid: SUBSCRIPTION, ..rumqttc::Subscribe::new_many(filters) };
                subscribe.write(&mut self.bytes).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
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

fn incoming_v5(packet: v5::mqttbytes::v5::Packet) -> Incoming {
    use v5::mqttbytes::v5::{Packet, SubscribeReasonCode};
    let publish = match packet {
        Packet::Publish(publish) => publish,
        Packet::PubRel(release) => return Incoming::Release(release.pkid),
        Packet::SubAck(answer) => {
            let refused = answer.return_codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
            return Incoming::Subscribed(refused.map(|code| format!("the broker refused a subscription: {code:?}")));
        }
        Packet::Disconnect(end) => {
            let reason = end.properties.and_then(|properties| properties.reason_string).unwrap_or_default();
            return Incoming::Closed(format!("the broker ended the connection: {:?} {reason}", end.reason_code));
        }
        _ => return Incoming::Other,
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
    Incoming::Message(message)
}

fn incoming_v311(packet: rumqttc::Packet) -> Incoming {
    match packet {
        rumqttc::Packet::Publish(publish) => {
            let facts = Mqtt {
                qos: publish.qos as u8,
                retain: publish.retain,
                dup: publish.dup,
                packet_id: publish.pkid,
                ..Mqtt::default()
            };
            Incoming::Message(message(&publish.topic, publish.payload, facts))
        }
        rumqttc::Packet::PubRel(release) => Incoming::Release(release.pkid),
        rumqttc::Packet::SubAck(answer) => {
            let refused = answer.return_codes.contains(&rumqttc::SubscribeReasonCode::Failure);
            Incoming::Subscribed(refused.then(|| "the broker refused a subscription".into()))
        }
        _ => Incoming::Other,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// What `bytes` hold, given in pieces of that many bytes: topics, and what else came by name.
    async fn read(protocol: Protocol, bytes: &[u8], piece: usize) -> Vec<String> {
        let mut input = Input { protocol, bytes: BytesMut::new() };
        let mut seen = Vec::new();
        for mut piece in bytes.chunks(piece) {
            input.read(&mut piece).await.expect("more came");
            while let Some(incoming) = input.next().expect("MQTT") {
                seen.push(match incoming {
                    Incoming::Message(message) => format!("{} {:?}", message.topic, message.payload.map(|p| p.len())),
                    Incoming::Release(packet_id) => format!("release {packet_id}"),
                    Incoming::Closed(reason) => reason,
                    Incoming::Subscribed(refused) => format!("subscribed {refused:?}"),
                    Incoming::Other => "other".into(),
                });
            }
        }
        seen
    }

    #[tokio::test]
    async fn packets_are_whole_however_they_come_in_pieces() {
        let mut v5 = BytesMut::new();
        let mut v311 = BytesMut::new();
        for (packet_id, bytes) in [(1, 0), (2, 10), (3, 70_000)] {
            use rumqttc::v5::mqttbytes::{QoS, v5::Publish};
            let mut publish = Publish::new("a/b", QoS::AtLeastOnce, vec![b'x'; bytes], None);
            publish.pkid = packet_id;
            publish.write(&mut v5).expect("written");
            let mut publish = rumqttc::Publish::new("a/b", rumqttc::QoS::AtLeastOnce, vec![b'x'; bytes]);
            publish.pkid = packet_id;
            publish.write(&mut v311).expect("written");
        }
        for bytes in [&mut v5, &mut v311] {
            bytes.put_slice(&[0x62, 2, 0, 7]); // PUBREL
        }
        let expected = ["a/b Some(0)", "a/b Some(10)", "a/b Some(70000)", "release 7"];
        for piece in [1, 2, 3, 7, 4096, 1 << 20] {
            assert_eq!(read(Protocol::V5, &v5, piece).await, expected, "{piece}");
            assert_eq!(read(Protocol::V311, &v311, piece).await, expected, "{piece}");
        }
    }

    #[tokio::test]
    async fn what_is_no_mqtt_is_an_error() {
        let mut input = Input { protocol: Protocol::V5, bytes: BytesMut::from(&[0xff; 8][..]) };
        assert!(input.next().is_err());
        assert!(input.read(&mut &[][..]).await.expect_err("nothing comes any more").contains("closed"));
    }

    /// With the queue of the client library 131,072 were the most that could wait.
    #[tokio::test]
    async fn no_acknowledgement_is_lost_however_many_wait_and_however_often_a_write_is_given_up() {
        const COUNT: usize = 200_000;
        let (mut near, mut far) = tokio::io::duplex(999);
        let mut output = Output::default();
        for number in 0..COUNT {
            let qos = if number % 3 == 0 { 2 } else { 1 };
            output.acknowledge(Ack { qos, packet_id: (number % 65_535 + 1) as u16 });
        }
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.map(|_| all)
        });
        while !output.is_empty() {
            tokio::select! {
                biased;
                written = output.write(&mut near) => written.expect("written"),
                () = tokio::task::yield_now() => {}
            }
        }
        drop(near);
        let all = reading.await.expect("ends").expect("read");
        assert_eq!(all.len(), COUNT * 4);
        for (number, packet) in all.chunks(4).enumerate() {
            let first = if number % 3 == 0 { first_byte::PUBREC } else { first_byte::PUBACK };
            let packet_id = ((number % 65_535 + 1) as u16).to_be_bytes();
            assert_eq!(packet, [first, 2, packet_id[0], packet_id[1]]);
        }
    }
}
