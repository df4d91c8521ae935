//! Requests to a server's REST API, and what comes back.

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use trinity_engine::value::{Map, ParseLimits, Value};
use url::{Host, Url};

use super::failure::Failure;

/// To reach the server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For an answer, beside what the server was asked to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Items of a page at most, by the contract.
const PAGE_MAX: usize = 1_000;

/// A server.
pub struct Server {
    /// As the user named it.
    name: String,
    base: Url,
    client: reqwest::Client,
}

/// What a request carries.
#[derive(Default)]
pub struct Body {
    pub bytes: Vec<u8>,
    pub headers: HeaderMap,
    /// How long the server was asked to wait before it answers.
    pub wait: Duration,
}

impl Body {
    /// Bytes of a media type.
    pub fn of(content_type: &'static str, bytes: impl Into<Vec<u8>>) -> Body {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Body { bytes: bytes.into(), headers, wait: Duration::ZERO }
    }

    /// With a header more.
    pub fn with(mut self, name: HeaderName, value: &str) -> Result<Body, Failure> {
        let value = HeaderValue::from_str(value)
            .map_err(|_| Failure::Usage(format!("{name} has characters that a header can't have: {value:?}")))?;
        self.headers.insert(name, value);
        Ok(self)
    }
}

/// What a server answered, when it did not refuse.
pub struct Answer {
    pub status: StatusCode,
    pub value: Value,
}

/// Items of a list, and where it goes on.
pub struct Listing {
    pub items: Vec<Value>,
    pub next: Option<String>,
}

impl Server {
    /// The server at an address; nothing is sent yet.
    pub fn at(address: &str) -> Result<Server, Failure> {
        let base = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(base) = base else {
            let problem =
                format!("\"{address}\" is not the address of a server: it should be like http://127.0.0.1:8000");
            return Err(Failure::Usage(problem));
        };
        // Another may have been installed for this process already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("trinity/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&base) {
            // A proxy would look for the server on its own machine.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| Failure::Usage(format!("no HTTP client: {}", cause(&error))))?;
        Ok(Server { name: address.to_owned(), base, client })
    }

    /// A resource.
    pub async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, Failure> {
        Ok(self.send(Method::GET, path, query, Body::default()).await?.value)
    }

    /// A request without a body, that changes something.
    pub async fn post(&self, path: &[&str]) -> Result<Answer, Failure> {
        self.send(Method::POST, path, &[], Body::default()).await
    }

    /// Up to so many items of a list, over as many pages as it takes.
    pub async fn list(&self, path: &[&str], query: &[(&str, &str)], limit: usize) -> Result<Listing, Failure> {
        let mut listing = Listing { items: Vec::new(), next: None };
        loop {
            let wanted = (limit - listing.items.len()).min(PAGE_MAX).to_string();
            let mut query = query.to_vec();
            query.push(("limit", &wanted));
            query.extend(listing.next.as_deref().map(|cursor| ("cursor", cursor)));
            let page = self.get(path, &query).await?;
            let Some(items) = page.get("items").and_then(Value::as_array) else {
                return Err(self.not_trinity("a list without items".to_owned()));
            };
            listing.items.extend(items.iter().cloned());
            listing.next = page.get("next").and_then(Value::as_str).map(str::to_owned);
            // A page may be empty and yet not be the last: servers bound how much they look through for one.
            if listing.next.is_none() || listing.items.len() >= limit {
                return Ok(listing);
            }
        }
    }

    /// Any request.
    pub async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Body,
    ) -> Result<Answer, Failure> {
        let timeout = ANSWER_TIMEOUT + body.wait;
        let request = self.client.request(method, self.url(path, query)).headers(body.headers).body(body.bytes);
        let request = request.header(ACCEPT, "application/json").timeout(timeout);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        self.read(response).await
    }

    /// A stream of server-sent events; `last` is the id of the last one that is known.
    pub async fn stream(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        last: Option<&str>,
    ) -> Result<reqwest::Response, Failure> {
        let mut request = self.client.get(self.url(path, query)).header(ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if response.status().is_success() && kind.starts_with("text/event-stream") {
            return Ok(response);
        }
        let Answer { status, .. } = self.read(response).await?;
        Err(self.not_trinity(format!("no stream of events, but {status}")))
    }

    async fn read(&self, response: reqwest::Response) -> Result<Answer, Failure> {
        let status = response.status();
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        let value = if bytes.is_empty() { Ok(Value::Null) } else { Value::parse(&bytes, &ParseLimits::default()) };
        match value {
            Ok(value) if status.is_success() => Ok(Answer { status, value }),
            Ok(problem) if problem.get("title").or(problem.get("detail")).is_some() => {
                Err(Failure::Refused(Box::new(with_status(problem, status))))
            }
            _ => Err(self.not_trinity(status.to_string())),
        }
    }

    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::Unreachable { server: self.name.clone(), cause: cause(error) }
    }

    fn not_trinity(&self, found: String) -> Failure {
        Failure::NotTrinity { server: self.name.clone(), found }
    }
}

/// A problem has the response's status when it does not tell its own.
fn with_status(problem: Value, status: StatusCode) -> Value {
    match problem {
        Value::Object(mut map) if !map.contains_key("status") => {
            map.insert("status", Value::Int(i64::from(status.as_u16())));
            Value::Object(map)
        }
        other => other,
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What is at the root of an error: the layers above it name each other.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// An object of the members that are there.
pub fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let mut map = Map::new();
    for (name, value) in members {
        if let Some(value) = value {
            map.insert(name, value);
        }
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_below_the_base_and_escaped() {
        let url =
            |base: &str, path: &[&str]| Server::at(base).expect("an address").url(path, &[("a", "b&c d")]).to_string();
        let host = "http://127.0.0.1:8000";
        assert_eq!(url(host, &["workflows"]), format!("{host}/api/v1/workflows?a=b%26c+d"));
        assert_eq!(
            url(&format!("{host}/"), &["secrets", "a/../b?"]),
            format!("{host}/api/v1/secrets/a%2F..%2Fb%3F?a=b%26c+d")
        );
        assert_eq!(url(&format!("{host}/trinity/"), &["x"]), format!("{host}/trinity/api/v1/x?a=b%26c+d"));
    }

    #[test]
    fn what_is_no_address_is_told_with_an_example() {
        for wrong in ["", "localhost:8000", "ftp://host", "http//x"] {
            let Err(failure) = Server::at(wrong) else { panic!("{wrong} is taken") };
            assert!(failure.render().contains("http://127.0.0.1:8000"), "{wrong}: {}", failure.render());
            assert_eq!(failure.exit_code(), 2);
        }
    }
}
