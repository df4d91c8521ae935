//! HTTP calls.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ecow::EcoString;
use futures::StreamExt as _;
use reqwest::{Client, Method, Url, redirect};
use trinity_engine::effect::{HttpRequest, HttpResponse};
use trinity_engine::error::{StandardError, WorkflowError};

use super::egress::{Egress, GuardedResolver};

/// The biggest body that is read, in bytes.
const BODY_MAX: usize = 16 << 20;

/// Makes the HTTP calls of tasks. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct HttpCaller {
    client: Client,
    egress: Egress,
}

impl HttpCaller {
    /// A caller within `egress`.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new(egress: Egress) -> Result<HttpCaller, WorkflowError> {
        // Another part of the process may have chosen the provider before: then that one stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(GuardedResolver(egress.clone())))
            .user_agent(concat!("trinity/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                WorkflowError::standard(StandardError::Configuration, format!("no HTTP client: {error}"))
            })?;
        Ok(HttpCaller { client, egress })
    }

    /// Makes the call; any status is an answer.
    ///
    /// # Errors
    /// When there is no answer: `timeout`, or `communication` with the reason.
    pub async fn call(&self, request: &HttpRequest) -> Result<HttpResponse, WorkflowError> {
        let limit = Duration::from_micros(request.timeout_micros);
        match tokio::time::timeout(limit, self.exchange(request)).await {
            Ok(result) => result,
            Err(_) => {
                let detail = format!("no answer within {limit:?}");
                Err(WorkflowError::standard(StandardError::Timeout, detail))
            }
        }
    }

    async fn exchange(&self, request: &HttpRequest) -> Result<HttpResponse, WorkflowError> {
        if request.digest.is_some() {
            let detail = "digest authentication is not supported by this version";
            return Err(WorkflowError::standard(StandardError::Configuration, detail));
        }
        let url = self.checked(&request.uri)?;
        let method = Method::from_bytes(request.method.as_bytes()).map_err(|_| {
            WorkflowError::standard(StandardError::Configuration, format!("`{}` is not an HTTP method", request.method))
        })?;
        let mut call = self.client.request(method, url).header("Idempotency-Key", request.idempotency_key.as_str());
        for (name, value) in &request.headers {
            call = call.header(name.as_str(), value.as_str());
        }
        if let Some(body) = &request.body {
            call = call.body(body.clone());
        }
        let response = call.send().await.map_err(|error| communication(&error))?;
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| {
            (EcoString::from(name.as_str()), EcoString::from(String::from_utf8_lossy(value.as_bytes()).as_ref()))
        });
        let headers = headers.collect();
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk.map_err(|error| communication(&error))?);
            if body.len() > BODY_MAX {
                let detail = format!("the answer is bigger than {BODY_MAX} bytes");
                return Err(WorkflowError::standard(StandardError::Communication, detail));
            }
        }
        Ok(HttpResponse { status, headers, body })
    }

    /// A URI that may be called. Names are judged by the resolver, literal addresses here, for they are not resolved.
    fn checked(&self, uri: &str) -> Result<Url, WorkflowError> {
        let url = Url::parse(uri).map_err(|error| {
            WorkflowError::standard(StandardError::Configuration, format!("`{uri}` is not an absolute URI: {error}"))
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            let detail = format!("`{}:` can't be called, only http and https", url.scheme());
            return Err(WorkflowError::standard(StandardError::Configuration, detail));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if let Ok(address) = host.parse::<IpAddr>()
            && !self.egress.permits(host, address)
        {
            let detail = format!("{host} may not be called: allow it with egress.allow");
            return Err(WorkflowError::standard(StandardError::Communication, detail));
        }
        Ok(url)
    }
}

/// Why there was no answer, with all causes but without the URL, whose query may hold secrets.
fn communication(error: &reqwest::Error) -> WorkflowError {
    let mut detail = String::from("no answer");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        detail.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    WorkflowError::standard(StandardError::Communication, detail)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plain `GET` of a URI.
    pub(crate) fn request(uri: &str) -> HttpRequest {
        HttpRequest {
            idempotency_key: "k".into(),
            method: "GET".into(),
            uri: uri.into(),
            headers: Vec::new(),
            body: None,
            digest: None,
            redirect: false,
            timeout_micros: 5_000_000,
        }
    }

    #[tokio::test]
    async fn what_may_not_be_called_is_refused_before_a_connection() {
        let caller = HttpCaller::new(Egress { allow_loopback: false, ..Egress::local() }).expect("a client");
        for uri in ["http://169.254.169.254/", "http://127.0.0.1:1/", "http://0x7f000001/", "http://[::ffff:10.0.0.1]/"]
        {
            let error = caller.call(&request(uri)).await.expect_err("refused");
            assert!(error.detail.unwrap_or_default().contains("may not be called"), "{uri}");
        }
        let error = caller.call(&request("file:///etc/passwd")).await.expect_err("refused");
        assert_eq!(error.status, 400);
    }

    #[tokio::test]
    async fn an_answer_comes_back_whole_and_a_refused_connection_is_an_error() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a caller");
            let mut asked = vec![0; 4_096];
            let count = stream.read(&mut asked).await.expect("a request");
            let answer =
                b"HTTP/1.1 418 I'm a teapot\r\nX-Kind: pot\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
            stream.write_all(answer).await.expect("an answer");
            String::from_utf8_lossy(&asked[..count]).to_lowercase()
        });
        let caller = HttpCaller::new(Egress::local()).expect("a client");
        let uri = format!("http://{address}/");
        let response = caller.call(&request(&uri)).await.expect("an answer");
        assert_eq!((response.status, response.body.as_slice()), (418, b"hi".as_slice()));
        assert!(response.headers.contains(&("x-kind".into(), "pot".into())));
        assert!(server.await.expect("the server ends").contains("idempotency-key: k"));
        let error = caller.call(&request(&uri)).await.expect_err("nobody listens");
        assert!(error.error_type.ends_with("/communication"));
    }
}
