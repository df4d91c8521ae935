//! A node to test, and the way to ask it.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;
use trinity_api::app::App;
use trinity_api::config::Config;

/// A node that runs.
pub struct Server {
    app: App,
    folder: TempDir,
    client: Client,
    base: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body, after a look at the status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The problem document, after a look at everything that each must have.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        for member in ["type", "title", "detail", "instance"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {problem}");
        }
        problem
    }
}

impl Server {
    pub async fn start() -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::in_directory(folder.path());
        Server::with(folder, &config).await
    }

    pub async fn with(folder: TempDir, config: &Config) -> Server {
        // Clients of reqwest need a provider; the node's own code sets the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let app = App::start(config).await.expect("the node starts");
        let base = format!("http://{}", app.address());
        Server { app, folder, client: Client::new(), base }
    }

    /// Stops the node and starts it again on the same folder.
    pub async fn restart(self) -> Server {
        let folder = self.stop().await;
        let config = Config::in_directory(folder.path());
        Server::with(folder, &config).await
    }

    pub async fn stop(self) -> TempDir {
        self.app.stop().await;
        self.folder
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        send(self.request(Method::PUT, path).json(&body)).await
    }

    /// POST of a text with its media type.
    pub async fn post_text(&self, path: &str, media_type: &str, text: impl Into<reqwest::Body>) -> Answer {
        send(self.request(Method::POST, path).header("content-type", media_type).body(text)).await
    }

    /// Adds a workflow of YAML; its id.
    pub async fn apply(&self, definition: &str) -> String {
        let answer = self.post_text("/api/v1/workflows", "application/yaml", definition.to_owned()).await;
        answer.expect(201)["id"].as_str().expect("an id").to_owned()
    }

    /// Executes a workflow and waits for its end.
    pub async fn execute(&self, workflow: &str, input: Value) -> Value {
        self.post(&format!("/api/v1/workflows/{workflow}/execute?wait=20s"), input).await.expect(201)
    }

    /// Asks until the answer is as wanted; the time it may take is for slow machines.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let value = self.get(path).await.expect(200);
            if wanted(&value) {
                return value;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{path} stays {value}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Sends a request.
pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("a body") }
}

/// A definition with this head and these tasks, indented by nothing.
pub fn definition(name: &str, version: &str, rest: &str) -> String {
    format!("document: {{dsl: 1.0.3, namespace: test, name: {name}, version: {version}}}\n{rest}")
}

/// A workflow that gives `{doubled: 2n}`.
pub fn double(version: &str) -> String {
    definition("double", version, "do:\n  - double: {set: {doubled: \"${ .n * 2 }\"}}\n")
}

/// A workflow that waits for longer than a test lasts.
pub fn sleeper() -> String {
    definition("sleeper", "1.0.0", "do:\n  - sleep: {wait: {hours: 1}}\n")
}
