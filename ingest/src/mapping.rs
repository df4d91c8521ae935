//! From a message to an event: as it is when it is a CloudEvent already, else by the source's `event` mapping.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ecow::{EcoString, eco_format};
use trinity_engine::event::CloudEvent;
use trinity_engine::expression::Reads;
use trinity_engine::ids::uuid_text;
use trinity_engine::time::Timestamp;
use trinity_engine::value::{Map, Value, format_i64};
use xxhash_rust::xxh3::xxh3_128;

use crate::binding;
use crate::config::{ConfigError, Format, SourceConfig};
use crate::decode::{self, Failure, Limits, Stage};
use crate::template::Template;

/// A message as it came, from whatever broker.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Topic it was published to.
    pub topic: EcoString,
    /// Kafka key.
    pub key: Option<Bytes>,
    /// Kafka headers or MQTT user properties, in order.
    pub headers: Vec<(String, Bytes)>,
    /// The payload; `None` for a Kafka tombstone.
    pub payload: Option<Bytes>,
    /// The broker's time, else when it was received.
    pub time: Option<Timestamp>,
    /// Kafka partition and offset.
    pub place: Option<(i32, i64)>,
    /// What only MQTT has.
    pub mqtt: Option<Mqtt>,
}

/// What only messages of MQTT have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mqtt {
    /// Quality of service of the delivery.
    pub qos: u8,
    /// Whether it had been retained before the subscription.
    pub retain: bool,
    /// Whether the broker says that it delivers it again.
    pub dup: bool,
    /// Packet id; 0 with QoS 0.
    pub packet_id: u16,
    /// The source's number for the delivery, which tells equal messages apart.
    pub sequence: u64,
    /// Content type (MQTT 5).
    pub content_type: Option<String>,
    /// Where a response is expected (MQTT 5).
    pub response_topic: Option<String>,
    /// What the response shall repeat (MQTT 5).
    pub correlation_data: Option<Bytes>,
}

/// An event, and whether its id is its sender's, so that repetitions are known by it.
#[derive(Clone, PartialEq, Debug)]
pub struct Decoded {
    /// The event.
    pub event: CloudEvent,
    /// Whether the sender gave the id.
    pub identified: bool,
}

struct Mapping {
    event_type: Template,
    subject: Option<Template>,
    id: Option<Template>,
    source: Option<Template>,
}

/// Makes events of the messages of one source.
pub struct Decoder {
    name: Arc<str>,
    format: Format,
    limits: Limits,
    mapping: Option<Mapping>,
    /// `mqtt://host:port` or `kafka://brokers`, before `/topic`.
    origin: EcoString,
}

impl Decoder {
    /// Compiles the settings of a source.
    ///
    /// # Errors
    /// A setting of the mapping can't be used.
    pub fn new(config: &SourceConfig) -> Result<Decoder, ConfigError> {
        let name = &config.name;
        let compile = |part: &str, text: &str| Template::compile(&format!("{name}.event.{part}"), text);
        let optional = |part: &str, text: &Option<String>| text.as_deref().map(|text| compile(part, text)).transpose();
        let mapping = match &config.event {
            None => None,
            Some(event) => Some(Mapping {
                event_type: compile("type", &event.event_type)?,
                subject: optional("subject", &event.subject)?,
                id: optional("id", &event.id)?,
                source: optional("source", &event.source)?,
            }),
        };
        let origin = match (&config.mqtt, &config.kafka) {
            (Some(mqtt), _) => {
                let (host, port, _) = mqtt.connection.address(&format!("{name}.mqtt"))?;
                eco_format!("mqtt://{host}:{port}")
            }
            (None, Some(kafka)) => eco_format!("kafka://{}", kafka.brokers),
            (None, None) => eco_format!("urn:trinity:source:{name}"),
        };
        let limits = Limits { payload_max: config.payload_max, depth_max: config.depth_max };
        Ok(Decoder { name: name.as_str().into(), format: config.format, limits, mapping, origin })
    }

    /// Name of the source.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The event of a message.
    ///
    /// # Errors
    /// There is none: where and why.
    pub fn event(&self, message: &Message, now: Timestamp) -> Result<Decoded, Failure> {
        let payload = message.payload.as_deref();
        self.limits.check(payload.unwrap_or_default())?;
        if let Some(event) = self.bound(message, payload)? {
            return Ok(Decoded { event, identified: true });
        }
        if self.format == Format::Cloudevents {
            // What has no content type, as in MQTT 3.1.1, is taken for structured mode.
            let event = binding::json::parse(payload.unwrap_or_default(), &self.limits)?;
            return Ok(Decoded { event, identified: true });
        }
        let data = payload.map(|payload| decode::payload(payload, self.format, &self.limits)).transpose()?;
        self.mapped(message, data, now)
    }

    /// A CloudEvent by the binding of its protocol.
    fn bound(&self, message: &Message, payload: Option<&[u8]>) -> Result<Option<CloudEvent>, Failure> {
        match &message.mqtt {
            Some(mqtt) if mqtt.content_type.is_none() && message.headers.is_empty() => Ok(None),
            Some(mqtt) => {
                let text =
                    |(name, value): &'_ (String, Bytes)| (name.clone(), String::from_utf8_lossy(value).into_owned());
                let properties: Vec<(String, String)> = message.headers.iter().map(text).collect();
                let properties = properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                binding::mqtt::parse(
                    mqtt.content_type.as_deref(),
                    properties,
                    payload.unwrap_or_default(),
                    &self.limits,
                )
            }
            None => binding::kafka::parse(&message.headers, payload, &self.limits),
        }
    }

    fn mapped(&self, message: &Message, data: Option<decode::Data>, now: Timestamp) -> Result<Decoded, Failure> {
        let Some(mapping) = &self.mapping else {
            return Err(Failure::new(Stage::Mapping, "a plain message, and the source has no event mapping"));
        };
        let value = data.as_ref().map_or(Value::Null, |data| data.value.clone());
        let time = message.time.unwrap_or(now);
        let text = |part: &str, template: &Template| {
            let evaluated = template.text(now, |reads| input(message, &value, time, reads));
            evaluated.map_err(|reason| Failure::new(Stage::Mapping, format!("event.{part}: {reason}")))
        };
        let optional = |part: &str, template: &Option<Template>| match template {
            Some(template) => text(part, template),
            None => Ok(None),
        };
        let needed = |part: &str, found: Option<EcoString>| {
            let missing = || Failure::new(Stage::Mapping, format!("event.{part} is null or empty for this message"));
            found.filter(|text| !text.is_empty()).ok_or_else(missing)
        };
        let event_type = needed("type", text("type", &mapping.event_type)?)?;
        let subject = match &mapping.subject {
            Some(template) => text("subject", template)?,
            None => message.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).map(Into::into),
        };
        let id = optional("id", &mapping.id)?.filter(|id| !id.is_empty());
        let source = match optional("source", &mapping.source)? {
            Some(source) if !source.is_empty() => source,
            _ => {
                let mut source = EcoString::with_capacity(self.origin.len() + 1 + message.topic.len());
                [&self.origin, "/", &message.topic].into_iter().for_each(|part| source.push_str(part));
                source
            }
        };
        let identified = id.is_some();
        let mut event = CloudEvent::new(id.unwrap_or_else(|| self.own_id(message, time)), source, event_type);
        event.subject = subject.filter(|subject| !subject.is_empty());
        event.time = Some(time);
        event.data_content_type = media_type(self.format);
        event.extensions = extensions(message);
        event.binary = data.as_ref().is_some_and(|data| data.binary);
        event.data = data.map(|data| data.value);
        if self.format == Format::Json {
            event.data_text = message.payload.clone();
        }
        Ok(Decoded { event, identified })
    }

    /// An id for a message whose sender gave none: its place on Kafka; on MQTT one that no other delivery has.
    fn own_id(&self, message: &Message, time: Timestamp) -> EcoString {
        if let Some((partition, offset)) = message.place {
            // Formatting would take longer, and this is done for every message.
            let mut text = Vec::with_capacity(message.topic.len() + 2 + 2 * DIGITS_MAX);
            text.extend_from_slice(message.topic.as_bytes());
            for number in [i64::from(partition), offset] {
                text.push(b'/');
                format_i64(number, &mut text);
            }
            return std::str::from_utf8(&text).unwrap_or_default().into();
        }
        let sequence = message.mqtt.as_ref().map_or(0, |mqtt| mqtt.sequence);
        let numbers = [time.micros(), sequence].map(u64::to_le_bytes);
        uuid_text(digest(&self.name, message, numbers.as_flattened()))
    }
}

/// Bytes of the longest number.
const DIGITS_MAX: usize = 20;

/// What marks a delivery of MQTT and its redelivery: the same message under the same packet id to the same client.
#[must_use]
pub fn delivery_key(client: &str, message: &Message) -> u128 {
    let packet_id = message.mqtt.as_ref().map_or(0, |mqtt| mqtt.packet_id);
    digest(client, message, &packet_id.to_le_bytes())
}

/// A hash of a message, of who got it, and of what else tells it from others.
fn digest(whose: &str, message: &Message, numbers: &[u8]) -> u128 {
    let payload = xxh3_128(message.payload.as_deref().unwrap_or_default()).to_le_bytes();
    let mut bytes = Vec::with_capacity(whose.len() + message.topic.len() + numbers.len() + payload.len() + 2);
    for text in [whose, &message.topic] {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes.extend_from_slice(numbers);
    bytes.extend_from_slice(&payload);
    xxh3_128(&bytes)
}

fn media_type(format: Format) -> Option<EcoString> {
    match format {
        Format::Text => Some("text/plain".into()),
        Format::Binary => Some("application/octet-stream".into()),
        _ => None,
    }
}

/// What MQTT 5 says beside the payload, so that a workflow can answer.
fn extensions(message: &Message) -> Vec<(EcoString, Value)> {
    let Some(mqtt) = &message.mqtt else { return Vec::new() };
    let mut list = Vec::new();
    if let Some(topic) = &mqtt.response_topic {
        list.push(("mqttresponsetopic".into(), Value::String(topic.as_str().into())));
    }
    if let Some(data) = &mqtt.correlation_data {
        list.push(("mqttcorrelationdata".into(), Value::String(STANDARD.encode(data).into())));
    }
    if mqtt.retain {
        list.push(("mqttretain".into(), Value::Bool(true)));
    }
    list
}

fn bytes_as_text(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned().into())
}

/// What expressions of the mapping see: as much of it as this one looks at.
fn input(message: &Message, payload: &Value, time: Timestamp, reads: &Reads) -> Value {
    let mut map = Map::default();
    let mut set = |name: &str, value: &dyn Fn() -> Value| {
        if reads.has(name) {
            map.insert(EcoString::from(name), value());
        }
    };
    let headers = || {
        let all = message.headers.iter();
        Value::Object(all.map(|(name, value)| (EcoString::from(name.as_str()), bytes_as_text(value))).collect())
    };
    set("topic", &|| Value::String(message.topic.clone()));
    set("key", &|| message.key.as_deref().map_or(Value::Null, bytes_as_text));
    set("headers", &headers);
    set("payload", &|| payload.clone());
    set("timestamp", &|| Value::String(time.to_rfc3339().into()));
    if let Some((partition, offset)) = message.place {
        set("partition", &|| Value::Int(partition.into()));
        set("offset", &|| Value::Int(offset));
    }
    if let Some(mqtt) = &message.mqtt {
        set("qos", &|| Value::Int(mqtt.qos.into()));
        set("retain", &|| Value::Bool(mqtt.retain));
        set("dup", &|| Value::Bool(mqtt.dup));
        set("properties", &|| {
            let optional =
                |text: &Option<String>| text.as_deref().map_or(Value::Null, |text| Value::String(text.into()));
            let correlation = mqtt.correlation_data.as_deref().map(|data| Value::String(STANDARD.encode(data).into()));
            let members = [
                ("contentType", optional(&mqtt.content_type)),
                ("responseTopic", optional(&mqtt.response_topic)),
                ("correlationData", correlation.unwrap_or(Value::Null)),
                ("user", headers()),
            ];
            Value::Object(members.into_iter().map(|(name, value)| (EcoString::from(name), value)).collect())
        });
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests;
