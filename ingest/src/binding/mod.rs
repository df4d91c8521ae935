//! CloudEvents 1.0 on MQTT, Kafka and HTTP: binary and structured mode, and batches on HTTP.

pub mod http;
pub mod json;
pub mod kafka;
pub mod mqtt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ecow::EcoString;
use trinity_engine::event::CloudEvent;
use trinity_engine::time::Timestamp;
use trinity_engine::value::Value;

use crate::decode::{Failure, Limits, Stage, by_media_type};

/// Media type of an event in structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Media type of a list of events.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// What a content type says about the mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ContentType {
    Structured,
    Batch,
    Other,
}

fn content_type(value: Option<&str>) -> Result<ContentType, Failure> {
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        STRUCTURED => Ok(ContentType::Structured),
        BATCH => Ok(ContentType::Batch),
        other if other.starts_with("application/cloudevents") => {
            Err(Failure::new(Stage::Binding, format!("the event format '{other}' is not supported; use {STRUCTURED}")))
        }
        _ => Ok(ContentType::Other),
    }
}

/// Attributes of an event in binary mode, as they are found one after the other.
#[derive(Default)]
struct Attributes {
    spec_version: Option<EcoString>,
    id: Option<EcoString>,
    source: Option<EcoString>,
    event_type: Option<EcoString>,
    subject: Option<EcoString>,
    time: Option<EcoString>,
    data_content_type: Option<EcoString>,
    data_schema: Option<EcoString>,
    extensions: Vec<(EcoString, Value)>,
}

impl Attributes {
    fn set(&mut self, name: &str, value: &str) {
        let text = Some(EcoString::from(value));
        match name {
            "specversion" => self.spec_version = text,
            "id" => self.id = text,
            "source" => self.source = text,
            "type" => self.event_type = text,
            "subject" => self.subject = text,
            "time" => self.time = text,
            "datacontenttype" => self.data_content_type = text,
            "dataschema" => self.data_schema = text,
            other if is_attribute_name(other) => self.extensions.push((other.into(), Value::String(value.into()))),
            // Not an attribute by the specification: a header of somebody else's.
            _ => {}
        }
    }

    fn event(self, data: Option<&[u8]>, limits: &Limits) -> Result<CloudEvent, Failure> {
        let data = match data {
            None | Some([]) => None,
            Some(bytes) => Some(by_media_type(bytes, self.data_content_type.as_deref(), limits)?),
        };
        let mut event = CloudEvent::new("", "", "");
        check_version(self.spec_version.as_deref())?;
        event.id = required("id", self.id)?;
        event.source = required("source", self.source)?;
        event.event_type = required("type", self.event_type)?;
        event.subject = self.subject;
        event.time = self.time.map(|time| parse_time(&time)).transpose()?;
        event.data_content_type = self.data_content_type;
        event.data_schema = self.data_schema;
        event.extensions = self.extensions;
        event.binary = data.as_ref().is_some_and(|data| data.binary);
        event.data = data.map(|data| data.value);
        Ok(event)
    }
}

fn check_version(version: Option<&str>) -> Result<(), Failure> {
    match version {
        Some("1.0") => Ok(()),
        Some(other) => {
            Err(Failure::new(Stage::Binding, format!("specversion '{other}' is not supported; it must be 1.0")))
        }
        None => Err(Failure::new(Stage::Binding, "the attribute 'specversion' is missing")),
    }
}

fn required(name: &str, value: Option<EcoString>) -> Result<EcoString, Failure> {
    match value {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) => Err(Failure::new(Stage::Binding, format!("the attribute '{name}' must not be empty"))),
        None => Err(Failure::new(Stage::Binding, format!("the attribute '{name}' is missing"))),
    }
}

fn parse_time(text: &str) -> Result<Timestamp, Failure> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| {
        Failure::new(Stage::Binding, format!("the attribute 'time' must be RFC 3339 and not before 1970: '{text}'"))
    })
}

fn is_attribute_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Name and text of every attribute but `datacontenttype`, for headers.
fn attributes(event: &CloudEvent) -> Vec<(EcoString, String)> {
    let mut list = vec![
        ("specversion".into(), "1.0".to_owned()),
        ("id".into(), event.id.to_string()),
        ("source".into(), event.source.to_string()),
        ("type".into(), event.event_type.to_string()),
    ];
    let mut optional = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            list.push((name.into(), value));
        }
    };
    optional("subject", event.subject.as_ref().map(ToString::to_string));
    optional("time", event.time.map(Timestamp::to_rfc3339));
    optional("dataschema", event.data_schema.as_ref().map(ToString::to_string));
    for (name, value) in &event.extensions {
        optional(name, Some(value.as_str().map_or_else(|| value.to_json(), ToOwned::to_owned)));
    }
    list
}

/// The data as it travels in binary mode.
fn data_bytes(event: &CloudEvent) -> Vec<u8> {
    let is_text = event.data_content_type.as_deref().is_some_and(|media_type| !media_type.contains("json"));
    match &event.data {
        None => Vec::new(),
        // The engine keeps only base64 that was made by us or checked on entry; other text is sent as it stands.
        Some(Value::String(text)) if event.binary => {
            STANDARD.decode(text.as_bytes()).unwrap_or_else(|_| text.as_bytes().to_vec())
        }
        Some(Value::String(text)) if is_text => text.as_bytes().to_vec(),
        Some(value) => {
            let mut bytes = Vec::new();
            value.write_json(&mut bytes);
            bytes
        }
    }
}

/// Media type of the data in binary mode.
fn data_media_type(event: &CloudEvent) -> &str {
    event.data_content_type.as_deref().unwrap_or("application/json")
}

#[cfg(test)]
mod tests;
