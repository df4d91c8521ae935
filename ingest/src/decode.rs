//! Payloads to values, within limits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trinity_engine::definition;
use trinity_engine::value::{ParseLimits, Value};

use crate::config::Format;

/// Where the processing of a message failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// It is larger than the source allows.
    Size,
    /// Its payload is not in the source's format.
    Decode,
    /// It claims to be a CloudEvent and is not a valid one.
    Binding,
    /// The `event` mapping failed on it.
    Mapping,
    /// A sink refused it for good.
    Delivery,
}

impl Stage {
    /// Its name in headers and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Size => "size",
            Stage::Decode => "decode",
            Stage::Binding => "binding",
            Stage::Mapping => "mapping",
            Stage::Delivery => "delivery",
        }
    }
}

/// Why a message could not become an event.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {reason}", .stage.name())]
pub struct Failure {
    /// Where.
    pub stage: Stage,
    /// Why, in words for its sender.
    pub reason: String,
}

impl Failure {
    pub(crate) fn new(stage: Stage, reason: impl Into<String>) -> Failure {
        Failure { stage, reason: reason.into() }
    }
}

/// What a payload may be at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes.
    pub payload_max: usize,
    /// Nesting of arrays and objects.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { payload_max: 1024 * 1024, depth_max: 512 }
    }
}

impl Limits {
    /// Refuses a payload that is too large.
    ///
    /// # Errors
    /// It is.
    pub fn check(&self, payload: &[u8]) -> Result<(), Failure> {
        if payload.len() > self.payload_max {
            let reason = format!("the payload has {} bytes; at most {} are allowed", payload.len(), self.payload_max);
            return Err(Failure::new(Stage::Size, reason));
        }
        Ok(())
    }

    fn parse(&self) -> ParseLimits {
        ParseLimits { depth_max: self.depth_max }
    }
}

/// The data of an event: a value, and whether it is base64 text of bytes.
#[derive(Clone, PartialEq, Debug)]
pub struct Data {
    /// The value.
    pub value: Value,
    /// Whether it stands for bytes.
    pub binary: bool,
}

impl Data {
    const fn plain(value: Value) -> Data {
        Data { value, binary: false }
    }
}

/// Parses JSON within the limits.
///
/// # Errors
/// It is not JSON, or too deep.
pub fn json(payload: &[u8], limits: &Limits) -> Result<Value, Failure> {
    Value::parse(payload, &limits.parse())
        .map_err(|error| Failure::new(Stage::Decode, format!("not valid JSON: {error}")))
}

fn yaml(payload: &[u8], limits: &Limits) -> Result<Value, Failure> {
    let limits = definition::Limits {
        bytes_max: limits.payload_max,
        depth_max: limits.depth_max,
        ..definition::Limits::default()
    };
    definition::yaml::read(payload, limits)
        .map_err(|found| Failure::new(Stage::Decode, format!("not valid YAML: {}", found.message)))
}

fn text(payload: &[u8]) -> Result<Value, Failure> {
    match std::str::from_utf8(payload) {
        Ok(text) => Ok(Value::String(text.into())),
        Err(error) => Err(Failure::new(Stage::Decode, format!("not valid UTF-8 from byte {}", error.valid_up_to()))),
    }
}

fn base64(payload: &[u8]) -> Data {
    Data { value: Value::String(STANDARD.encode(payload).into()), binary: true }
}

/// Decodes the payload of a plain message.
///
/// # Errors
/// It is not in that format.
pub fn payload(payload: &[u8], format: Format, limits: &Limits) -> Result<Data, Failure> {
    match format {
        Format::Json => json(payload, limits).map(Data::plain),
        Format::Text => text(payload).map(Data::plain),
        Format::Binary => Ok(base64(payload)),
        Format::Cloudevents => Err(Failure::new(Stage::Binding, "not a CloudEvent in binary or structured mode")),
        Format::Yaml => yaml(payload, limits).map(Data::plain),
        // Refused when the configuration is read.
        Format::Xml | Format::Protobuf | Format::Avro | Format::Sparkplug => {
            Err(Failure::new(Stage::Decode, "this format is not supported by this version"))
        }
    }
}

/// Decodes data by its media type: JSON by default, text, else bytes.
///
/// # Errors
/// It is not of that type.
pub fn by_media_type(payload: &[u8], media_type: Option<&str>, limits: &Limits) -> Result<Data, Failure> {
    let essence =
        media_type.unwrap_or("application/json").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || essence == "text/json" || essence.ends_with("+json") {
        json(payload, limits).map(Data::plain)
    } else if essence.starts_with("text/") || essence.ends_with("/xml") || essence.ends_with("+xml") {
        text(payload).map(Data::plain)
    } else {
        Ok(base64(payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let limits = Limits::default();
        assert_eq!(payload(b"{\"a\":1}", Format::Json, &limits).expect("JSON").value.get("a"), Some(&Value::Int(1)));
        assert_eq!(payload(b"hi", Format::Text, &limits).expect("text").value, Value::String("hi".into()));
        assert_eq!(payload(b"a: 1", Format::Yaml, &limits).expect("YAML").value.get("a"), Some(&Value::Int(1)));
        let bytes = payload(&[0xff, 0], Format::Binary, &limits).expect("bytes");
        assert_eq!((bytes.value, bytes.binary), (Value::String("/wA=".into()), true));
    }

    #[test]
    fn failures_say_where_and_why() {
        let limits = Limits { payload_max: 64, depth_max: 8 };
        let broken = payload(b"{\"a\":", Format::Json, &limits).expect_err("not JSON");
        assert_eq!(broken.stage, Stage::Decode);
        assert!(broken.reason.contains("line 1"), "{broken}");
        assert!(payload(b"a: [", Format::Yaml, &limits).expect_err("not YAML").reason.starts_with("not valid YAML: "));
        assert_eq!(
            payload(&[b'a', 0xff], Format::Text, &limits).expect_err("not UTF-8").reason,
            "not valid UTF-8 from byte 1"
        );
        let deep = "[".repeat(9) + &"]".repeat(9);
        assert!(payload(deep.as_bytes(), Format::Json, &limits).is_err());
        assert_eq!(limits.check(&[0; 65]).expect_err("too large").stage, Stage::Size);
    }

    #[test]
    fn depth_is_limited_without_recursion() {
        let limits = Limits::default();
        let deep = "[".repeat(200_000) + &"]".repeat(200_000);
        assert!(json(deep.as_bytes(), &limits).is_err());
    }

    #[test]
    fn media_types() {
        let limits = Limits::default();
        assert!(!by_media_type(b"{}", Some("application/vnd.x+json; charset=utf-8"), &limits).expect("JSON").binary);
        assert!(!by_media_type(b"<a/>", Some("application/xml"), &limits).expect("XML").binary);
        assert!(by_media_type(b"abc", Some("image/png"), &limits).expect("bytes").binary);
    }
}
