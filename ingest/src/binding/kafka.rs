//! The Kafka binding: headers with the prefix `ce_` in binary mode.

use bytes::Bytes;
use trinity_engine::event::CloudEvent;

use super::{Attributes, ContentType, STRUCTURED, attributes, content_type, data_bytes, data_media_type, json};
use crate::decode::{Failure, Limits, Stage};

/// A record: headers and value.
pub type Record = (Vec<(String, Bytes)>, Vec<u8>);

/// The event that a record is, if it is one.
///
/// # Errors
/// It says that it is an event and is none.
pub fn parse(
    headers: &[(String, Bytes)],
    value: Option<&[u8]>,
    limits: &Limits,
) -> Result<Option<CloudEvent>, Failure> {
    if headers.is_empty() {
        return Ok(None);
    }
    let media_type = headers.iter().find(|(name, _)| name == "content-type");
    let media_type = media_type.map(|(name, value)| utf8(name, value)).transpose()?;
    match content_type(media_type)? {
        ContentType::Structured => return json::parse(value.unwrap_or_default(), limits).map(Some),
        ContentType::Batch => return Err(Failure::new(Stage::Binding, "Kafka has no batch mode")),
        ContentType::Other => {}
    }
    if !headers.iter().any(|(name, _)| name == "ce_specversion") {
        return Ok(None);
    }
    let mut found = Attributes::default();
    for (name, value) in headers {
        if let Some(attribute) = name.strip_prefix("ce_") {
            found.set(attribute, utf8(name, value)?);
        }
    }
    found.data_content_type = media_type.map(Into::into);
    found.event(value, limits).map(Some)
}

fn utf8<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, Failure> {
    std::str::from_utf8(value).map_err(|_| Failure::new(Stage::Binding, format!("the header '{name}' is not UTF-8")))
}

/// The record of an event in binary mode.
#[must_use]
pub fn render_binary(event: &CloudEvent) -> Record {
    let mut headers: Vec<(String, Bytes)> =
        attributes(event).into_iter().map(|(name, value)| (format!("ce_{name}"), value.into())).collect();
    if event.data.is_some() {
        headers.push(("content-type".into(), data_media_type(event).to_owned().into()));
    }
    (headers, data_bytes(event))
}

/// The record of an event in structured mode.
#[must_use]
pub fn render_structured(event: &CloudEvent) -> Record {
    (vec![("content-type".into(), STRUCTURED.into())], json::render(event))
}
