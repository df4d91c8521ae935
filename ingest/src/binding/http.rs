//! The HTTP binding: headers with the prefix `ce-` in binary mode; structured mode and batches by content type.

use trinity_engine::event::CloudEvent;

use super::{Attributes, ContentType, STRUCTURED, attributes, content_type, data_bytes, data_media_type, json};
use crate::decode::{Failure, Limits, Stage};

/// A request or response: headers and body.
pub type Message = (Vec<(String, String)>, Vec<u8>);

/// The events of a request: one in binary or structured mode, any number in a batch.
///
/// # Errors
/// It is too large, or carries no valid CloudEvent.
pub fn parse<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: &[u8],
    limits: &Limits,
) -> Result<Vec<CloudEvent>, Failure> {
    limits.check(body)?;
    let mut media_type = None;
    let mut found = Attributes::default();
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if name == "content-type" {
            media_type = Some(value);
        } else if let Some(attribute) = name.strip_prefix("ce-") {
            found.set(attribute, &percent_decode(value)?);
        }
    }
    match content_type(media_type)? {
        ContentType::Structured => Ok(vec![json::parse(body, limits)?]),
        ContentType::Batch => json::parse_batch(body, limits),
        ContentType::Other if found.spec_version.is_some() => {
            found.data_content_type = media_type.map(Into::into);
            Ok(vec![found.event(Some(body), limits)?])
        }
        ContentType::Other => Err(Failure::new(
            Stage::Binding,
            "no CloudEvent: send ce- headers, or the content type application/cloudevents+json or application/cloudevents-batch+json",
        )),
    }
}

/// A request with the event in binary mode.
#[must_use]
pub fn render_binary(event: &CloudEvent) -> Message {
    let mut headers: Vec<(String, String)> =
        attributes(event).into_iter().map(|(name, value)| (format!("ce-{name}"), percent_encode(&value))).collect();
    if event.data.is_some() {
        headers.push(("content-type".into(), data_media_type(event).to_owned()));
    }
    (headers, data_bytes(event))
}

/// A request with the event in structured mode.
#[must_use]
pub fn render_structured(event: &CloudEvent) -> Message {
    (vec![("content-type".into(), STRUCTURED.into())], json::render(event))
}

/// Header values are printable ASCII; space, quote, percent and everything else travel percent-encoded (section 3.1.3.2).
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!' | b'#'..=b'$' | b'&'..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn percent_decode(text: &str) -> Result<String, Failure> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, _, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out)
        .map_err(|_| Failure::new(Stage::Binding, format!("the header value '{text}' is not UTF-8 when decoded")))
}
