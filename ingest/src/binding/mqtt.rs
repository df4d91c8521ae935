//! The MQTT binding: user properties without a prefix in binary mode (MQTT 5); structured mode on both versions.

use trinity_engine::event::CloudEvent;

use super::{Attributes, ContentType, attributes, content_type, data_bytes, data_media_type, json};
use crate::decode::{Failure, Limits, Stage};

/// The event that a message of MQTT 5 is, if it is one: by its content type and user properties.
///
/// # Errors
/// It says that it is an event and is none.
pub fn parse<'a>(
    media_type: Option<&str>,
    properties: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    payload: &[u8],
    limits: &Limits,
) -> Result<Option<CloudEvent>, Failure> {
    match content_type(media_type)? {
        ContentType::Structured => return json::parse(payload, limits).map(Some),
        ContentType::Batch => return Err(Failure::new(Stage::Binding, "MQTT has no batch mode")),
        ContentType::Other => {}
    }
    if !properties.clone().any(|(name, _)| name == "specversion") {
        return Ok(None);
    }
    let mut found = Attributes::default();
    for (name, value) in properties {
        found.set(name, value);
    }
    found.data_content_type = media_type.map(Into::into);
    found.event(Some(payload), limits).map(Some)
}

/// A message in binary mode.
#[derive(Clone, PartialEq, Debug)]
pub struct BinaryMessage {
    /// Content type.
    pub media_type: String,
    /// User properties.
    pub properties: Vec<(String, String)>,
    /// Payload.
    pub payload: Vec<u8>,
}

/// The message of an event in binary mode.
#[must_use]
pub fn render_binary(event: &CloudEvent) -> BinaryMessage {
    BinaryMessage {
        media_type: data_media_type(event).to_owned(),
        properties: attributes(event).into_iter().map(|(name, value)| (name.to_string(), value)).collect(),
        payload: data_bytes(event),
    }
}
