//! The node's REST API, as far as it is needed here.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

/// To reach the node.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For an answer, beside what the node was asked to wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Items of a page.
const PAGE: usize = 1_000;

/// A node.
#[derive(Clone, Debug)]
pub struct Server {
    base: Url,
    client: reqwest::Client,
}

/// An execution, as far as it is looked at.
#[derive(Clone, Debug, Deserialize)]
pub struct Execution {
    /// Its id.
    pub id: String,
    /// Its phase.
    pub status: String,
    /// What it came to.
    #[serde(default)]
    pub output: Value,
}

impl Execution {
    /// The id of the message that started it, which the workflow carries over into its output.
    #[must_use]
    pub fn output_id(&self) -> Option<&str> {
        self.output.get("id")?.as_str()
    }
}

#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Workflow {
    id: String,
    namespace: String,
    name: String,
}

impl Server {
    /// The node at an address; nothing is sent yet.
    ///
    /// # Errors
    /// It is no address.
    pub fn at(address: &str) -> Result<Server, String> {
        let wrong = || format!("\"{address}\" is not the address of a server: it should be like http://127.0.0.1:8000");
        let base = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(wrong)?;
        // Another may have been installed for this process already, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).pool_max_idle_per_host(usize::MAX);
        let client = builder.tcp_nodelay(true).no_proxy().build().map_err(|error| error.to_string())?;
        Ok(Server { base, client })
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.client.request(method, url).timeout(ANSWER_TIMEOUT)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<(StatusCode, String), String> {
        let failed = |error: reqwest::Error| format!("no answer from {}: {}", self.base, cause(&error));
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let text = response.text().await.map_err(failed)?;
        if status.is_success() || status == StatusCode::CONFLICT {
            Ok((status, text))
        } else {
            Err(refused(status, &text))
        }
    }

    async fn answer<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, String> {
        let (status, text) = self.send(request).await?;
        if status == StatusCode::CONFLICT {
            return Err(refused(status, &text));
        }
        serde_json::from_str(&text).map_err(|error| format!("not the answer of a Trinity server: {error}"))
    }

    /// Puts a workflow there unless it is, and gives its id.
    ///
    /// # Errors
    /// The node refuses, or is not there.
    pub async fn ensure_workflow(&self, definition: &'static str) -> Result<(), String> {
        let request = self.request(Method::POST, &["api", "v1", "workflows"], &[]);
        self.send(request.header("content-type", "application/yaml").body(definition)).await.map(|_| ())
    }

    /// The id of the workflow with this namespace and name.
    ///
    /// # Errors
    /// There is none, or the node is not there.
    pub async fn workflow(&self, wanted: &str) -> Result<String, String> {
        let mut found = None;
        self.pages(&["api", "v1", "workflows"], &[], |workflows: Vec<Workflow>| {
            found =
                workflows.into_iter().find(|own| format!("{}/{}", own.namespace, own.name) == wanted).map(|own| own.id);
            found.is_none()
        })
        .await?;
        found.ok_or_else(|| format!("the server has no workflow {wanted}: apply it first"))
    }

    /// Calls `each` with page after page, as long as it returns true.
    async fn pages<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        mut each: impl FnMut(Vec<T>) -> bool,
    ) -> Result<(), String> {
        let (mut cursor, limit): (Option<String>, _) = (None, PAGE.to_string());
        loop {
            let mut query = query.to_vec();
            query.push(("limit", &limit));
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.answer(self.request(Method::GET, path, &query)).await?;
            cursor = page.next;
            if !each(page.items) || cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// Publishes events; when it answers they are durable.
    ///
    /// # Errors
    /// The node refuses, or is not there.
    pub async fn publish(&self, content_type: &str, body: String) -> Result<(), String> {
        let request = self.request(Method::POST, &["api", "v1", "events"], &[]);
        match self.send(request.header("content-type", content_type).body(body)).await? {
            (StatusCode::CONFLICT, text) => Err(refused(StatusCode::CONFLICT, &text)),
            _ => Ok(()),
        }
    }

    /// Executes a workflow, once for each key.
    ///
    /// # Errors
    /// The node refuses, or is not there.
    pub async fn execute(&self, workflow: &str, wait: Duration, key: &str, input: String) -> Result<Execution, String> {
        let wait_text = format!("{}ms", wait.as_millis());
        let request =
            self.request(Method::POST, &["api", "v1", "workflows", workflow, "execute"], &[("wait", &wait_text)]);
        let request = request.timeout(ANSWER_TIMEOUT + wait).header("idempotency-key", key);
        self.answer(request.header("content-type", "application/json").body(input)).await
    }

    /// Reads an execution.
    ///
    /// # Errors
    /// There is none, or the node is not there.
    pub async fn execution(&self, id: &str) -> Result<Execution, String> {
        self.answer(self.request(Method::GET, &["api", "v1", "executions", id], &[])).await
    }

    /// Calls `each` with executions, newest first, page by page, as long as it returns true.
    ///
    /// # Errors
    /// The node is not there.
    pub async fn executions(
        &self,
        query: &[(&str, &str)],
        each: impl FnMut(Vec<Execution>) -> bool,
    ) -> Result<(), String> {
        self.pages(&["api", "v1", "executions"], query, each).await
    }

    /// The newest executions.
    ///
    /// # Errors
    /// The node is not there.
    pub async fn newest(&self, limit: usize) -> Result<Vec<Execution>, String> {
        let limit = limit.to_string();
        let request = self.request(Method::GET, &["api", "v1", "executions"], &[("limit", &limit)]);
        Ok(self.answer::<Page<Execution>>(request).await?.items)
    }

    /// A stream of the events of a type that are published from now on, or after the one with this id.
    ///
    /// # Errors
    /// The node is not there.
    pub async fn follow(&self, event_type: &str, last: Option<&str>) -> Result<reqwest::Response, String> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1", "events"]);
        }
        url.query_pairs_mut().extend_pairs([("type", event_type), ("follow", "true")]);
        let mut request = self.client.get(url).header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response =
            request.send().await.map_err(|error| format!("no answer from {}: {}", self.base, cause(&error)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        Err(refused(status, &response.text().await.unwrap_or_default()))
    }

    /// The version of the node, out of its metrics.
    ///
    /// # Errors
    /// The node is not there.
    pub async fn version(&self) -> Result<String, String> {
        let (_, text) = self.send(self.request(Method::GET, &["metrics"], &[])).await?;
        let line = text.lines().find(|line| line.starts_with("trinity_build_info{"));
        let version = line.and_then(|line| line.split("version=\"").nth(1)?.split('"').next());
        version.map(str::to_owned).ok_or_else(|| format!("{} does not answer as a Trinity server", self.base))
    }
}

/// A refusal in words: the detail of a problem document, when it is one.
fn refused(status: StatusCode, text: &str) -> String {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    let detail = problem.get("detail").or(problem.get("title")).and_then(Value::as_str);
    detail.map_or_else(|| status.to_string(), |detail| format!("{}: {detail}", status.as_u16()))
}

/// What is at the root of an error: the layers above it name each other.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "not in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
