//! `call: http`: building the request, reading the response.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ecow::EcoString;

use super::scope::{Scope, object};
use super::{Activation, Execution, State, StepContext};
use crate::effect::{DigestCredentials, ExecutionEffect, HttpRequest, HttpResponse};
use crate::error::{StandardError, WorkflowError};
use crate::expression::Template;
use crate::ids::ActivationId;
use crate::plan::{Authentication, EndpointUri, HttpCall, HttpOutput, Plan, SecretScheme, TaskKind};
use crate::value::{Map, ParseLimits, Value};

/// How long an outside call may take where the task has no timeout of its own, in microseconds.
pub const CALL_TIMEOUT_MICROS: u64 = 60_000_000;

/// Credentials of a call: what `$authorization` shows, and what digest needs besides.
#[derive(Default)]
struct Credentials {
    scheme: Option<&'static str>,
    parameter: EcoString,
    digest: Option<DigestCredentials>,
}

impl Execution {
    pub(super) fn begin_call(
        &mut self,
        mut activation: Activation,
        call: &HttpCall,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) -> Result<(), WorkflowError> {
        let request = self.request(&activation, call, plan, cx)?;
        cx.effects.push(ExecutionEffect::Call { activation: activation.id, attempt: 1, request: request.clone() });
        activation.state = State::Call { attempt: 1, request };
        self.activations.push(activation);
        Ok(())
    }

    fn request(
        &self,
        activation: &Activation,
        call: &HttpCall,
        plan: &Plan,
        cx: &StepContext<'_>,
    ) -> Result<HttpRequest, WorkflowError> {
        let input = &activation.input;
        let mut scope = self.activation_scope(plan, cx, activation);
        let credentials = match &call.endpoint.authentication {
            Some(authentication) => credentials(authentication, &scope, input)?,
            None => Credentials::default(),
        };
        let authorization = credentials.scheme.map(|scheme| {
            object([("scheme", Value::from(scheme)), ("parameter", Value::String(credentials.parameter.clone()))])
        });
        scope.authorization = authorization.as_ref();
        let mut uri = endpoint(&call.endpoint.uri, &scope, input)?;
        if let Some(query) = &call.query {
            append_query(&mut uri, &members(query, "query", &scope, input)?);
        }
        let mut headers = Vec::new();
        if let Some(template) = &call.headers {
            for (name, value) in members(template, "headers", &scope, input)?.iter() {
                headers.push((name.clone(), plain(value)));
            }
        }
        let body = match &call.body {
            Some(template) => Some(body_bytes(&scope.fill(template, input)?, &mut headers)),
            None => None,
        };
        if let Some(scheme) = credentials.scheme {
            let value = format!("{scheme} {}", credentials.parameter);
            headers.push(("Authorization".into(), value.into()));
        }
        Ok(HttpRequest {
            idempotency_key: self.idempotency_key(activation, plan),
            method: call.method.clone(),
            uri: uri.into(),
            headers,
            body,
            digest: credentials.digest,
            redirect: call.redirect,
            timeout_micros: activation.deadline.map_or(CALL_TIMEOUT_MICROS, |at| at.micros_since(cx.now)),
        })
    }

    /// The same for each repetition of this (execution, task, iteration), whether by a crash or by a retry.
    fn idempotency_key(&self, activation: &Activation, plan: &Plan) -> EcoString {
        let mut key = format!("{}{}", self.id, plan.task(activation.task).reference);
        let mut at = activation.parent;
        while let Some(parent) = at.and_then(|id| self.activation(id)) {
            if parent.passes > 0 {
                key.push_str(&format!("#{}", parent.passes));
            }
            at = parent.parent;
        }
        key.into()
    }

    pub(super) fn call_ended(
        &mut self,
        id: ActivationId,
        attempt: u32,
        result: Result<HttpResponse, WorkflowError>,
        plan: &Plan,
        cx: &mut StepContext<'_>,
    ) {
        let Some(activation) = self.activation(id) else { return };
        let (State::Call { attempt: current, request }, TaskKind::CallHttp(call)) =
            (&activation.state, &plan.task(activation.task).kind)
        else {
            return;
        };
        if *current != attempt {
            return;
        }
        match result.and_then(|response| read(call, request, response)) {
            Ok(output) => self.finish_activation(id, output, plan, cx),
            Err(error) => self.fail_activation(id, error, plan, cx),
        }
    }
}

fn credentials(
    authentication: &Authentication,
    scope: &Scope<'_>,
    input: &Value,
) -> Result<Credentials, WorkflowError> {
    let text = |template: &Template| Ok(plain(&scope.fill(template, input)?));
    Ok(match authentication {
        Authentication::Basic { username, password } => basic(&text(username)?, &text(password)?),
        Authentication::Bearer { token } => bearer(text(token)?),
        Authentication::Digest { username, password } => digest(text(username)?, text(password)?),
        Authentication::Secret { scheme, secret } => {
            let Some(value) = scope.cx.secrets.get(secret) else {
                let detail = format!("there is no secret `{secret}`: store it with PUT /api/v1/secrets/{secret}");
                return Err(WorkflowError::standard(StandardError::Authorization, detail));
            };
            let member = |name: &str| value.get(name).map(plain).unwrap_or_default();
            match scheme {
                SecretScheme::Basic => basic(&member("username"), &member("password")),
                SecretScheme::Bearer => bearer(member("token")),
                SecretScheme::Digest => digest(member("username"), member("password")),
            }
        }
    })
}

fn basic(username: &str, password: &str) -> Credentials {
    let parameter = BASE64.encode(format!("{username}:{password}")).into();
    Credentials { scheme: Some("Basic"), parameter, digest: None }
}

fn bearer(token: EcoString) -> Credentials {
    Credentials { scheme: Some("Bearer"), parameter: token, digest: None }
}

fn digest(username: EcoString, password: EcoString) -> Credentials {
    Credentials { digest: Some(DigestCredentials { username, password }), ..Credentials::default() }
}

fn endpoint(uri: &EndpointUri, scope: &Scope<'_>, input: &Value) -> Result<String, WorkflowError> {
    match uri {
        EndpointUri::Template(template) => expand(template, input),
        EndpointUri::Computed(expression) => match scope.evaluate(expression, input)? {
            Value::String(uri) => Ok(uri.to_string()),
            other => {
                let detail = format!("the endpoint must be a string, got {}", other.type_name());
                Err(WorkflowError::standard(StandardError::Expression, detail))
            }
        },
    }
}

/// Simple string expansion (RFC 6570, section 3.2.2) from the top-level members of `input`.
fn expand(template: &str, input: &Value) -> Result<String, WorkflowError> {
    let mut uri = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        uri.push_str(before);
        match input.get(name) {
            None | Some(Value::Null) => {}
            Some(value @ (Value::Array(_) | Value::Object(_))) => {
                let detail =
                    format!("`{{{name}}}` in the URI template is {}, which has no place in a URI", value.type_name());
                return Err(WorkflowError::standard(StandardError::Expression, detail));
            }
            Some(value) => percent_encode(&mut uri, &plain(value)),
        }
        rest = after;
    }
    uri.push_str(rest);
    Ok(uri)
}

/// Appends `text` with everything but unreserved characters encoded (RFC 3986, section 2.3).
fn percent_encode(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn append_query(uri: &mut String, query: &Map) {
    let (base, fragment) = match uri.split_once('#') {
        Some((base, fragment)) => (base.to_owned(), format!("#{fragment}")),
        None => (std::mem::take(uri), String::new()),
    };
    *uri = base;
    for (name, value) in query.iter() {
        let values = match value {
            Value::Array(values) => values.iter().collect(),
            other => vec![other],
        };
        for value in values {
            uri.push(if uri.contains('?') { '&' } else { '?' });
            percent_encode(uri, name);
            uri.push('=');
            percent_encode(uri, &plain(value));
        }
    }
    uri.push_str(&fragment);
}

fn members(template: &Template, what: &str, scope: &Scope<'_>, input: &Value) -> Result<Map, WorkflowError> {
    match scope.fill(template, input)? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::default()),
        other => {
            let detail = format!("`{what}` must be an object, got {}", other.type_name());
            Err(WorkflowError::standard(StandardError::Expression, detail))
        }
    }
}

/// A value as header, query or path text: a string as it is, others as JSON.
fn plain(value: &Value) -> EcoString {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => EcoString::new(),
        other => other.to_json().into(),
    }
}

/// A body goes out as JSON, unless it is a string under another content type.
fn body_bytes(body: &Value, headers: &mut Vec<(EcoString, EcoString)>) -> Vec<u8> {
    let declared = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")).map(|(_, t)| t.clone());
    match (&declared, body) {
        (Some(media_type), Value::String(text)) if !is_json(media_type) => return text.as_bytes().to_vec(),
        (Some(_), _) => {}
        (None, _) => headers.push(("Content-Type".into(), "application/json".into())),
    }
    let mut bytes = Vec::new();
    body.write_json(&mut bytes);
    bytes
}

fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

fn read(call: &HttpCall, request: &HttpRequest, response: HttpResponse) -> Result<Value, WorkflowError> {
    let success = if call.redirect { 200..400 } else { 200..300 };
    if !success.contains(&response.status) {
        let detail =
            format!("{} {} answered with status {}", request.method, without_query(&request.uri), response.status);
        return Err(WorkflowError::standard(StandardError::Communication, detail).with_status(response.status));
    }
    match call.output {
        HttpOutput::Raw => Ok(Value::from(BASE64.encode(&response.body).as_str())),
        HttpOutput::Content => content(&response),
        HttpOutput::Response => {
            let content = content(&response)?;
            Ok(object([
                (
                    "request",
                    object([
                        ("method", Value::String(request.method.clone())),
                        ("uri", Value::String(request.uri.clone())),
                        ("headers", header_map(&request.headers, true)),
                    ]),
                ),
                ("statusCode", Value::Int(i64::from(response.status))),
                ("headers", header_map(&response.headers, false)),
                ("content", content),
            ]))
        }
    }
}

/// The query may hold secrets, so errors don't show it.
fn without_query(uri: &str) -> &str {
    uri.split('?').next().unwrap_or_default()
}

/// Headers as data; credentials are left out of `hide`n ones.
fn header_map(headers: &[(EcoString, EcoString)], hide: bool) -> Value {
    let shown = headers.iter().filter(|(name, _)| !hide || !name.eq_ignore_ascii_case("authorization"));
    Value::Object(shown.map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect())
}

/// The body: parsed when it says that it is JSON, text when it is UTF-8, else base64 text.
fn content(response: &HttpResponse) -> Result<Value, WorkflowError> {
    if response.body.is_empty() {
        return Ok(Value::Null);
    }
    let media_type = response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if media_type.is_some_and(|(_, value)| is_json(value)) {
        return Value::parse(&response.body, &ParseLimits::default()).map_err(|error| {
            WorkflowError::standard(
                StandardError::Communication,
                format!("the response is not the JSON it claims to be: {error}"),
            )
        });
    }
    Ok(match std::str::from_utf8(&response.body) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from(BASE64.encode(&response.body).as_str()),
    })
}
