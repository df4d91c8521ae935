//! The JSON event format: one event, or a batch.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ecow::EcoString;
use trinity_engine::event::{CloudEvent, envelope};
use trinity_engine::value::{Map, Value};

use super::{check_version, is_attribute_name, parse_time, required};
use crate::decode::{Failure, Limits, Stage, json};

/// Reads one event.
///
/// # Errors
/// It is not JSON, or not a CloudEvent.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<CloudEvent, Failure> {
    from_value(&json(bytes, limits)?)
}

/// Reads a batch.
///
/// # Errors
/// One of them is not a CloudEvent; the reason says which.
pub fn parse_batch(bytes: &[u8], limits: &Limits) -> Result<Vec<CloudEvent>, Failure> {
    let Value::Array(items) = json(bytes, limits)? else {
        return Err(Failure::new(Stage::Binding, "a batch must be an array of CloudEvents"));
    };
    let read = |(at, item)| {
        from_value(item).map_err(|error| Failure::new(error.stage, format!("event {at}: {}", error.reason)))
    };
    items.iter().enumerate().map(read).collect()
}

/// Writes one event.
#[must_use]
pub fn render(event: &CloudEvent) -> Vec<u8> {
    let mut bytes = Vec::new();
    envelope(event).write_json(&mut bytes);
    bytes
}

/// Reads an event that is JSON already.
///
/// # Errors
/// It is not a CloudEvent.
pub fn from_value(value: &Value) -> Result<CloudEvent, Failure> {
    let Value::Object(map) = value else {
        return Err(Failure::new(Stage::Binding, "a CloudEvent must be a JSON object"));
    };
    check_version(text(map, "specversion")?.as_deref())?;
    let mut event = CloudEvent::new("", "", "");
    event.id = required("id", text(map, "id")?)?;
    event.source = required("source", text(map, "source")?)?;
    event.event_type = required("type", text(map, "type")?)?;
    event.subject = text(map, "subject")?;
    event.time = text(map, "time")?.map(|time| parse_time(&time)).transpose()?;
    event.data_content_type = text(map, "datacontenttype")?;
    event.data_schema = text(map, "dataschema")?;
    event.data = map.get("data").cloned();
    if let Some(encoded) = text(map, "data_base64")? {
        if event.data.is_some() {
            return Err(Failure::new(Stage::Binding, "'data' and 'data_base64' exclude each other"));
        }
        if STANDARD.decode(encoded.as_bytes()).is_err() {
            return Err(Failure::new(Stage::Binding, "'data_base64' is not valid base64"));
        }
        event.data = Some(Value::String(encoded));
        event.binary = true;
    }
    for (name, value) in map.iter() {
        if is_known(name) || value.is_null() {
            continue;
        }
        if !is_attribute_name(name) || value.is_container() {
            let reason =
                format!("'{name}' is no extension attribute: lower-case letters and digits, and a plain value");
            return Err(Failure::new(Stage::Binding, reason));
        }
        event.extensions.push((name.clone(), value.clone()));
    }
    Ok(event)
}

fn is_known(name: &str) -> bool {
    matches!(
        name,
        "specversion"
            | "id"
            | "source"
            | "type"
            | "subject"
            | "time"
            | "datacontenttype"
            | "dataschema"
            | "data"
            | "data_base64"
    )
}

fn text(map: &Map, name: &str) -> Result<Option<EcoString>, Failure> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => {
            Err(Failure::new(Stage::Binding, format!("the attribute '{name}' must be text, not {}", other.type_name())))
        }
    }
}
