//! CloudEvents 1.0, as they come from sources and leave through sinks.

use ecow::EcoString;

use crate::time::Timestamp;
use crate::value::Value;

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
            binary: false,
        }
    }

    /// The key that orders it: the subject, else the id.
    #[must_use]
    pub fn partition_key(&self) -> &str {
        self.subject.as_deref().unwrap_or(&self.id)
    }
}
