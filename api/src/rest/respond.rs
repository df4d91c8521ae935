//! Answers: JSON, or YAML where the client prefers it.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use trinity_engine::definition::yaml;
use trinity_engine::value::{Map, Value};

use super::problem::{Document, Problem};

pub(super) const JSON: &str = "application/json";
pub(super) const PROBLEM: &str = "application/problem+json";
const YAML: &str = "application/yaml";

/// A value as the answer, with its status and perhaps where it is to be found.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    location: Option<String>,
    value: Value,
}

impl Answer {
    /// 200.
    pub fn ok(value: impl Into<Value>) -> Answer {
        Answer::with(StatusCode::OK, value)
    }

    /// Any status.
    pub fn with(status: StatusCode, value: impl Into<Value>) -> Answer {
        Answer { status, location: None, value: value.into() }
    }

    /// With a `Location`.
    pub fn at(mut self, location: String) -> Answer {
        self.location = Some(location);
        self
    }

    /// The same as 202.
    pub fn accepted(self) -> Answer {
        Answer { status: StatusCode::ACCEPTED, ..self }
    }

    /// A page of a list.
    pub fn list(items: Vec<Value>, next: Option<String>) -> Answer {
        let mut map = Map::new();
        map.insert("items", Value::from(items));
        map.insert("next", Value::from(next));
        Answer::ok(map)
    }
}

/// The value of an answer, for the layer that knows what the client takes.
#[derive(Clone, Debug)]
struct Plain(Value);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        if let Some(location) = self.location.and_then(|location| HeaderValue::from_str(&location).ok()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response.extensions_mut().insert(Plain(self.value));
        response
    }
}

/// A response with a value as JSON.
pub(super) fn body(status: StatusCode, content_type: &'static str, value: &Value) -> Response {
    let mut bytes = Vec::new();
    value.write_json(&mut bytes);
    (status, [(header::CONTENT_TYPE, content_type)], bytes).into_response()
}

/// The forms that we can give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Json,
    Yaml,
}

/// What the client prefers.
pub(super) fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let mut best: Option<(u32, Form)> = None;
    let mut asked = false;
    for value in headers.get_all(header::ACCEPT) {
        let Ok(value) = value.to_str() else { continue };
        for range in value.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            if kind.is_empty() {
                continue;
            }
            asked = true;
            let quality = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse::<f32>().ok());
            let quality = (quality.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32;
            let form = match kind.as_str() {
                "*/*" | "application/*" | JSON | PROBLEM | "text/json" | "text/*" => Form::Json,
                "text/html" => continue, // a browser that also takes anything
                YAML | "application/x-yaml" | "text/yaml" => Form::Yaml,
                _ => continue,
            };
            if quality > 0 && best.is_none_or(|(known, _)| quality > known) {
                best = Some((quality, form));
            }
        }
    }
    match best {
        Some((_, form)) => Ok(form),
        None if asked => Err(Problem::not_acceptable("this version answers in application/json and application/yaml")),
        None => Ok(Form::Json),
    }
}

/// Writes the body of what a handler answered; a problem gets `instance`, the path that was asked for.
pub(super) fn finish(mut response: Response, form: Form, path: &str) -> Response {
    if let Some(Document(mut document)) = response.extensions_mut().remove::<Document>() {
        if let Value::Object(map) = &mut document {
            map.insert("instance", Value::from(path));
        }
        return replace(response, PROBLEM, document.to_json().into_bytes());
    }
    let Some(Plain(value)) = response.extensions_mut().remove::<Plain>() else { return response };
    match form {
        Form::Json => {
            let mut bytes = Vec::new();
            value.write_json(&mut bytes);
            replace(response, JSON, bytes)
        }
        Form::Yaml => replace(response, YAML, yaml::write(&value).into_bytes()),
    }
}

fn replace(mut response: Response, content_type: &'static str, bytes: Vec<u8>) -> Response {
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = Body::from(bytes);
    response
}

/// An object of members in the order given.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    members.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferred(accept: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).expect("a header"));
        }
        form(&headers).ok()
    }

    #[test]
    fn the_client_chooses_the_form() {
        assert_eq!(preferred(""), Some(Form::Json));
        assert_eq!(preferred("*/*"), Some(Form::Json));
        assert_eq!(preferred("application/yaml"), Some(Form::Yaml));
        assert_eq!(preferred("application/json;q=0.5, application/yaml"), Some(Form::Yaml));
        assert_eq!(preferred("application/yaml;q=0.1, */*;q=0.2"), Some(Form::Json));
        assert_eq!(preferred("text/html,application/xhtml+xml,*/*;q=0.8"), Some(Form::Json));
        assert_eq!(preferred("application/xml"), None);
        assert_eq!(preferred("application/yaml;q=0"), None);
    }
}
