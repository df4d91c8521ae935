//! Settings of sources and sinks, as written in the configuration file. Checked once, at start.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

/// What is wrong with a setting. It names the setting and the cure.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    /// Path of the setting within the source or sink, such as `plant.mqtt.url`.
    pub setting: String,
    /// The problem, and what to do.
    pub problem: String,
}

impl ConfigError {
    pub(crate) fn new(setting: impl Into<String>, problem: impl Into<String>) -> ConfigError {
        ConfigError { setting: setting.into(), problem: problem.into() }
    }
}

/// Form of the payloads of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// RFC 8259.
    #[default]
    Json,
    /// One YAML 1.2 document.
    Yaml,
    /// UTF-8 text: the data is a string.
    Text,
    /// Anything: the data is base64 text.
    Binary,
    /// Every message must be a CloudEvent.
    Cloudevents,
    /// Not supported by this version.
    Xml,
    /// Not supported by this version.
    Protobuf,
    /// Not supported by this version.
    Avro,
    /// Not supported by this version.
    Sparkplug,
}

impl Format {
    fn check(self, setting: &str) -> Result<(), ConfigError> {
        let name = match self {
            Format::Json | Format::Yaml | Format::Text | Format::Binary | Format::Cloudevents => return Ok(()),
            Format::Xml => "xml",
            Format::Protobuf => "protobuf",
            Format::Avro => "avro",
            Format::Sparkplug => "sparkplug",
        };
        Err(ConfigError::new(
            format!("{setting}.format"),
            format!("'{name}' is not supported by this version; use json, yaml, text, binary or cloudevents"),
        ))
    }
}

/// A source.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Its name: unique, and stable, for deduplication and the broker's session go by it.
    pub name: String,
    /// An MQTT broker.
    #[serde(default)]
    pub mqtt: Option<MqttConfig>,
    /// A Kafka cluster.
    #[serde(default)]
    pub kafka: Option<KafkaConfig>,
    /// Form of the payloads.
    #[serde(default)]
    pub format: Format,
    /// How a plain message becomes a CloudEvent; needed unless every message is one.
    #[serde(default)]
    pub event: Option<EventConfig>,
    /// Largest payload in bytes; a larger one becomes a dead letter.
    #[serde(default = "payload_max")]
    pub payload_max: usize,
    /// Deepest nesting of a payload.
    #[serde(default = "depth_max")]
    pub depth_max: usize,
}

const fn payload_max() -> usize {
    1024 * 1024
}

const fn depth_max() -> usize {
    512
}

/// Attributes of the CloudEvent that a plain message becomes. Each is a text, or an expression `${ … }` over
/// `{topic, key, headers, payload, timestamp, partition, offset}` and, for MQTT, `{qos, retain, dup, properties}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventConfig {
    /// The type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The subject; by default the Kafka key, if any.
    #[serde(default)]
    pub subject: Option<String>,
    /// The id, by which repetitions are dropped. Without it: topic, partition and offset on Kafka; on MQTT one of its own
    /// for every delivery (redeliveries are told by the flag and packet id of MQTT).
    #[serde(default)]
    pub id: Option<String>,
    /// The source; by default `kafka://brokers/topic` or `mqtt://host:port/topic`.
    #[serde(default)]
    pub source: Option<String>,
}

/// Version of MQTT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(try_from = "ProtocolName")]
pub enum Protocol {
    /// MQTT 5.
    #[default]
    V5,
    /// MQTT 3.1.1.
    V311,
}

/// As written: YAML reads `5` as a number and `3.1.1` as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum ProtocolName {
    Number(u64),
    Text(String),
}

impl TryFrom<ProtocolName> for Protocol {
    type Error = String;

    fn try_from(name: ProtocolName) -> Result<Protocol, String> {
        let name = match name {
            ProtocolName::Number(number) => number.to_string(),
            ProtocolName::Text(text) => text,
        };
        match name.as_str() {
            "5" => Ok(Protocol::V5),
            "3.1.1" => Ok(Protocol::V311),
            _ => Err(format!("'{name}' is no supported version of MQTT; use 5 or 3.1.1")),
        }
    }
}

/// What happens to messages that the broker had retained before the subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retained {
    /// They are no events: acknowledged and forgotten.
    #[default]
    Ignore,
    /// They are taken as events.
    Accept,
}

/// Connection to an MQTT broker.
#[derive(Clone, Debug, Deserialize)]
pub struct MqttConnection {
    /// `mqtt://host[:1883]` or `mqtts://host[:8883]`.
    pub url: String,
    /// `"5"` or `"3.1.1"`.
    #[serde(default)]
    pub protocol: Protocol,
    /// By default made of the source's name and stable, for it names the session.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Name to log in with.
    #[serde(default)]
    pub username: Option<String>,
    /// Password to log in with.
    #[serde(default)]
    pub password: Option<String>,
    /// PEM file of the authorities to trust; by default those of the system.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// PEM file of the client's certificate chain.
    #[serde(default)]
    pub cert: Option<PathBuf>,
    /// PEM file of the client's key.
    #[serde(default)]
    pub key: Option<PathBuf>,
}

/// Subscriptions to an MQTT broker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// Where and how to connect.
    #[serde(flatten)]
    pub connection: MqttConnection,
    /// Topic filters.
    pub topics: Vec<String>,
    /// Quality of service to subscribe with: 0, 1 or 2.
    #[serde(default = "qos")]
    pub qos: u8,
    /// Share the subscriptions with all members of this group (`$share/GROUP/FILTER`).
    #[serde(default)]
    pub group: Option<String>,
    /// Most messages the broker may send before the first is acknowledged (MQTT 5).
    #[serde(default = "receive_maximum")]
    pub receive_maximum: u16,
    /// How long the broker keeps the session, and with it what is published meanwhile, when Trinity is away (MQTT 5).
    #[serde(default = "session_expiry_seconds")]
    pub session_expiry_seconds: u32,
    /// What to do with retained messages.
    #[serde(default)]
    pub retained: Retained,
}

const fn qos() -> u8 {
    1
}

const fn receive_maximum() -> u16 {
    8192
}

const fn session_expiry_seconds() -> u32 {
    7 * 24 * 3600
}

/// Where a consumer group without a checkpoint begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// At the oldest message.
    #[default]
    Earliest,
    /// At what comes next.
    Latest,
}

/// Subscription to Kafka topics.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port`, several with commas.
    pub brokers: String,
    /// Topics.
    pub topics: Vec<String>,
    /// Consumer group.
    pub group: String,
    /// Where to begin without a checkpoint.
    #[serde(default)]
    pub from: From,
    /// Most messages taken before the first is acknowledged.
    #[serde(default = "unacknowledged_max")]
    pub unacknowledged_max: usize,
    /// Further settings of librdkafka, such as `security.protocol`.
    #[serde(default)]
    pub settings: std::collections::BTreeMap<String, String>,
}

const fn unacknowledged_max() -> usize {
    32_768
}

/// Which events a sink takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchConfig {
    /// A type, or the beginning of one with `*` at its end.
    #[serde(rename = "type")]
    pub event_type: String,
}

impl MatchConfig {
    /// Whether an event of this type is meant.
    #[must_use]
    pub fn accepts(&self, event_type: &str) -> bool {
        match self.event_type.strip_suffix('*') {
            Some(prefix) => event_type.starts_with(prefix),
            None => self.event_type == event_type,
        }
    }
}

/// A sink.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// Which events it takes.
    #[serde(rename = "match")]
    pub matches: MatchConfig,
    /// To a Kafka topic.
    #[serde(default)]
    pub kafka: Option<KafkaSinkConfig>,
    /// To an MQTT broker.
    #[serde(default)]
    pub mqtt: Option<MqttSinkConfig>,
    /// To an HTTP endpoint.
    #[serde(default)]
    pub http: Option<HttpSinkConfig>,
}

/// Content mode of CloudEvents.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Attributes beside the data, in headers.
    Binary,
    /// All in one JSON object.
    Structured,
}

/// A Kafka topic as a sink. Expressions see the event in the JSON format.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSinkConfig {
    /// `host:port`, several with commas.
    pub brokers: String,
    /// The topic, or an expression.
    pub topic: String,
    /// The record's key, or an expression; by default the subject.
    #[serde(default)]
    pub key: Option<String>,
    /// Binary by default.
    #[serde(default = "binary")]
    pub mode: Mode,
    /// Further settings of librdkafka.
    #[serde(default)]
    pub settings: std::collections::BTreeMap<String, String>,
}

const fn binary() -> Mode {
    Mode::Binary
}

const fn structured() -> Mode {
    Mode::Structured
}

/// An MQTT broker as a sink. Expressions see the event in the JSON format.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttSinkConfig {
    /// Where and how to connect.
    #[serde(flatten)]
    pub connection: MqttConnection,
    /// The topic, or an expression.
    pub topic: String,
    /// Quality of service to publish with: 0, 1 or 2.
    #[serde(default = "qos")]
    pub qos: u8,
    /// Whether the broker keeps the message for later subscribers.
    #[serde(default)]
    pub retain: bool,
    /// Binary needs MQTT 5.
    #[serde(default = "structured")]
    pub mode: Mode,
}

/// An HTTP endpoint as a sink.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSinkConfig {
    /// Where to POST.
    pub url: String,
    /// Structured by default.
    #[serde(default = "structured")]
    pub mode: Mode,
    /// Seconds for one try.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// Subjects served at the same time.
    #[serde(default = "lanes")]
    pub lanes: usize,
}

const fn timeout_seconds() -> u64 {
    30
}

const fn lanes() -> usize {
    16
}

impl SourceConfig {
    /// Checks what the types can't.
    ///
    /// # Errors
    /// The first setting that can't work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let at = |path: &str| format!("{}{path}", self.name);
        if self.name.is_empty() {
            return Err(ConfigError::new("name", "a source needs a name that stays the same"));
        }
        self.format.check(&self.name)?;
        if self.event.is_none() && self.format != Format::Cloudevents {
            let problem =
                "needed to make CloudEvents of plain messages; give at least event.type, or set format: cloudevents";
            return Err(ConfigError::new(at(".event"), problem));
        }
        match (&self.mqtt, &self.kafka) {
            (Some(mqtt), None) => mqtt.validate(&at(".mqtt")),
            (None, Some(kafka)) => kafka.validate(&at(".kafka")),
            _ => Err(ConfigError::new(at(""), "a source is either 'mqtt' or 'kafka': give exactly one of them")),
        }
    }
}

impl MqttConnection {
    /// Host, port and whether TLS is used.
    pub(crate) fn address(&self, setting: &str) -> Result<(String, u16, bool), ConfigError> {
        let wrong = |problem: String| ConfigError::new(format!("{setting}.url"), problem);
        let url = Url::parse(&self.url).map_err(|error| wrong(format!("'{}' is no URL: {error}", self.url)))?;
        let tls = match url.scheme() {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" => true,
            other => return Err(wrong(format!("the scheme '{other}' is not known; use mqtt:// or mqtts://"))),
        };
        let host = url.host_str().ok_or_else(|| wrong("has no host".into()))?.trim_matches(['[', ']']).to_owned();
        Ok((host, url.port().unwrap_or(if tls { 8883 } else { 1883 }), tls))
    }

    fn validate(&self, setting: &str) -> Result<(), ConfigError> {
        let (_, _, tls) = self.address(setting)?;
        if !tls && (self.ca.is_some() || self.cert.is_some()) {
            return Err(ConfigError::new(format!("{setting}.url"), "certificates are used with mqtts:// only"));
        }
        if self.cert.is_some() != self.key.is_some() {
            return Err(ConfigError::new(format!("{setting}.cert"), "cert and key go together: give both or none"));
        }
        if self.password.is_some() && self.username.is_none() {
            return Err(ConfigError::new(format!("{setting}.username"), "a password needs a username"));
        }
        Ok(())
    }
}

fn check_qos(qos: u8, setting: &str) -> Result<(), ConfigError> {
    if qos > 2 {
        return Err(ConfigError::new(
            format!("{setting}.qos"),
            format!("{qos} is no quality of service; use 0, 1 or 2"),
        ));
    }
    Ok(())
}

impl MqttConfig {
    fn validate(&self, setting: &str) -> Result<(), ConfigError> {
        self.connection.validate(setting)?;
        check_qos(self.qos, setting)?;
        if self.topics.is_empty() {
            return Err(ConfigError::new(format!("{setting}.topics"), "name at least one topic filter"));
        }
        for topic in &self.topics {
            if !filter_is_valid(topic) {
                let problem = format!("'{topic}' is no topic filter: '+' must fill a level, '#' the last one");
                return Err(ConfigError::new(format!("{setting}.topics"), problem));
            }
        }
        if self.group.as_deref().is_some_and(|group| group.is_empty() || group.contains(['/', '+', '#'])) {
            return Err(ConfigError::new(
                format!("{setting}.group"),
                "a group name must not be empty or contain / + #",
            ));
        }
        if self.receive_maximum == 0 {
            return Err(ConfigError::new(format!("{setting}.receive_maximum"), "must be at least 1"));
        }
        Ok(())
    }
}

fn filter_is_valid(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    !filter.is_empty()
        && levels.iter().enumerate().all(|(at, level)| match *level {
            "+" => true,
            "#" => at + 1 == levels.len(),
            other => !other.contains(['+', '#', '\0']),
        })
}

impl KafkaConfig {
    fn validate(&self, setting: &str) -> Result<(), ConfigError> {
        let needed = |name: &str, missing: bool| match missing {
            true => Err(ConfigError::new(format!("{setting}.{name}"), "must not be empty")),
            false => Ok(()),
        };
        needed("brokers", self.brokers.trim().is_empty())?;
        needed("topics", self.topics.is_empty() || self.topics.iter().any(String::is_empty))?;
        needed("group", self.group.is_empty())?;
        if self.unacknowledged_max == 0 {
            return Err(ConfigError::new(format!("{setting}.unacknowledged_max"), "must be at least 1"));
        }
        refuse(&format!("{setting}.settings"), &self.settings, SOURCE_FIXED)
    }
}

/// Settings of a Kafka source that its guarantee rests on (an offset is stored only after its receipt), or that have a key
/// of their own. librdkafka's other names for them are here too.
const SOURCE_FIXED: &[&str] = &[
    "auto.commit.enable",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "group.id",
    "group.protocol",
    "metadata.broker.list",
    "offset.store.method",
    "partition.assignment.strategy",
];

/// The same of a Kafka sink: no event is given up or written by halves.
const SINK_FIXED: &[&str] = &[
    "acks",
    "bootstrap.servers",
    "delivery.timeout.ms",
    "enable.idempotence",
    "message.timeout.ms",
    "metadata.broker.list",
    "request.required.acks",
];

fn refuse(
    setting: &str,
    given: &std::collections::BTreeMap<String, String>,
    fixed: &[&str],
) -> Result<(), ConfigError> {
    match given.keys().find(|name| fixed.contains(&name.as_str())) {
        Some(name) => Err(ConfigError::new(
            format!("{setting}.{name}"),
            "can't be set here: Trinity's guarantees rest on its value; remove it",
        )),
        None => Ok(()),
    }
}

impl SinkConfig {
    /// Checks what the types can't.
    ///
    /// # Errors
    /// The first setting that can't work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let pattern = &self.matches.event_type;
        if pattern.is_empty() || pattern.trim_end_matches('*').len() + 1 < pattern.len() {
            return Err(ConfigError::new("match.type", "give a type, or the beginning of one with one * at its end"));
        }
        match (&self.kafka, &self.mqtt, &self.http) {
            (Some(kafka), None, None) if kafka.brokers.trim().is_empty() => {
                Err(ConfigError::new("kafka.brokers", "must not be empty"))
            }
            (Some(kafka), None, None) => refuse("kafka.settings", &kafka.settings, SINK_FIXED),
            (None, Some(mqtt), None) => {
                mqtt.connection.validate("mqtt")?;
                check_qos(mqtt.qos, "mqtt")?;
                if mqtt.mode == Mode::Binary && mqtt.connection.protocol == Protocol::V311 {
                    return Err(ConfigError::new("mqtt.mode", "binary mode needs MQTT 5; use structured"));
                }
                Ok(())
            }
            (None, None, Some(http)) => match Url::parse(&http.url) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && http.lanes > 0 => Ok(()),
                Ok(_) if http.lanes == 0 => Err(ConfigError::new("http.lanes", "must be at least 1")),
                _ => Err(ConfigError::new("http.url", format!("'{}' is no http or https URL", http.url))),
            },
            _ => Err(ConfigError::new("sink", "a sink is 'kafka', 'mqtt' or 'http': give exactly one of them")),
        }
    }
}

#[cfg(test)]
mod tests;
