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
    /// One YAML 1.2 document. Not supported by this version.
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
            Format::Json | Format::Text | Format::Binary | Format::Cloudevents => return Ok(()),
            Format::Yaml => "yaml",
            Format::Xml => "xml",
            Format::Protobuf => "protobuf",
            Format::Avro => "avro",
            Format::Sparkplug => "sparkplug",
        };
        Err(ConfigError::new(
            format!("{setting}.format"),
            format!("'{name}' is not supported by this version; use json, text, binary or cloudevents"),
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
    /// The id, by which repetitions are dropped. Without it: topic, partition and offset on Kafka, a hash of topic and
    /// payload on MQTT.
    #[serde(default)]
    pub id: Option<String>,
    /// The source; by default `kafka://brokers/topic` or `mqtt://host:port/topic`.
    #[serde(default)]
    pub source: Option<String>,
}

/// Version of MQTT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub enum Protocol {
    /// MQTT 5.
    #[default]
    #[serde(rename = "5")]
    V5,
    /// MQTT 3.1.1.
    #[serde(rename = "3.1.1")]
    V311,
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
#[serde(deny_unknown_fields)]
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
