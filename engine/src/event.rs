//! CloudEvents 1.0, as they come from sources and leave through sinks.

use bytes::Bytes;
use ecow::EcoString;

use crate::time::Timestamp;
use crate::value::{Map, Value};

/// A CloudEvent. Data that is not JSON is held as a string, binary data as base64 text with [`CloudEvent::binary`] set.
#[derive(Clone, PartialEq, Debug)]
pub struct CloudEvent {
    /// Unique within `source`.
    pub id: EcoString,
    /// URI reference of the producer.
    pub source: EcoString,
    /// Type, such as `com.example.sensor.reading`.
    pub event_type: EcoString,
    /// What it is about; executions of one subject start in order.
    pub subject: Option<EcoString>,
    /// When it happened.
    pub time: Option<Timestamp>,
    /// Media type of the data; `None` means JSON.
    pub data_content_type: Option<EcoString>,
    /// URI of the data's schema.
    pub data_schema: Option<EcoString>,
    /// Extension attributes, in the order they came.
    pub extensions: Vec<(EcoString, Value)>,
    /// The data.
    pub data: Option<Value>,
    /// The JSON text that `data` was parsed from, where that is at hand: history keeps it as it is instead of writing the data
    /// anew. Not stored with the event.
    pub data_text: Option<Bytes>,
    /// Whether `data` is base64 text of bytes (`data_base64` in JSON).
    pub binary: bool,
}

impl CloudEvent {
    /// An event with the required attributes and nothing else.
    #[must_use]
    pub fn new(id: impl Into<EcoString>, source: impl Into<EcoString>, event_type: impl Into<EcoString>) -> CloudEvent {
        CloudEvent {
            id: id.into(),
            source: source.into(),
            event_type: event_type.into(),
            subject: None,
            time: None,
            data_content_type: None,
            data_schema: None,
            extensions: Vec::new(),
            data: None,
            data_text: None,
            binary: false,
        }
    }

    /// Bytes that it takes in memory, roughly.
    #[must_use]
    pub fn size(&self) -> usize {
        let extensions = self.extensions.iter().map(|(name, value)| name.len() + value.size()).sum::<usize>();
        let texts = self.id.len() + self.source.len() + self.event_type.len();
        let subject = self.subject.as_ref().map_or(0, |subject| subject.len());
        let data = match &self.data_text {
            // Short data need not be walked: values take some times their text.
            Some(text) if text.len() <= 256 => 4 * text.len(),
            _ => self.data.as_ref().map_or(0, Value::size),
        };
        size_of::<CloudEvent>() + texts + subject + extensions + data
    }

    /// The key that orders it: the subject, else the id.
    #[must_use]
    pub fn partition_key(&self) -> &str {
        self.subject.as_deref().unwrap_or(&self.id)
    }
}

/// The event as data: the JSON event format of CloudEvents 1.0.
#[must_use]
pub fn envelope(event: &CloudEvent) -> Value {
    let mut map = Map::default();
    let mut text = |key: &str, value: Option<&EcoString>| {
        if let Some(value) = value {
            map.insert(EcoString::from(key), Value::String(value.clone()));
        }
    };
    text("specversion", Some(&"1.0".into()));
    text("id", Some(&event.id));
    text("source", Some(&event.source));
    text("type", Some(&event.event_type));
    text("subject", event.subject.as_ref());
    text("time", event.time.map(|time| time.to_rfc3339().into()).as_ref());
    text("datacontenttype", event.data_content_type.as_ref());
    text("dataschema", event.data_schema.as_ref());
    for (name, value) in &event.extensions {
        map.insert(name.clone(), value.clone());
    }
    if let Some(data) = &event.data {
        map.insert(if event.binary { "data_base64" } else { "data" }, data.clone());
    }
    Value::Object(map)
}

/// An attribute by name: a required or optional one, an extension, or `data`; `None` when the event lacks it.
#[must_use]
pub fn attribute(event: &CloudEvent, name: &str) -> Option<Value> {
    let text = |value: &EcoString| Some(Value::String(value.clone()));
    match name {
        "specversion" => Some(Value::String("1.0".into())),
        "id" => text(&event.id),
        "source" => text(&event.source),
        "type" => text(&event.event_type),
        "subject" => event.subject.as_ref().and_then(text),
        "time" => event.time.map(|time| Value::String(time.to_rfc3339().into())),
        "datacontenttype" => event.data_content_type.as_ref().and_then(text),
        "dataschema" => event.data_schema.as_ref().and_then(text),
        "data" => event.data.clone(),
        other => event.extensions.iter().find(|(name, _)| name == other).map(|(_, value)| value.clone()),
    }
}
