//! The node's REST API, as any client uses it.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::proof::Started;
use super::view;

/// Executions on a page: the most that the API gives.
const PAGE: usize = 1000;

/// A client of one node.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    /// `http://host:port`
    pub base: String,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Result<Client, String> {
        // Whoever comes first sets the process's default; all of Trinity uses this one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build();
        Ok(Client { http: http.map_err(|error| error.to_string())?, base: format!("http://{address}") })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: String,
    ) -> Result<(StatusCode, String), String> {
        let wrong = |error: reqwest::Error| format!("{method} {path}: {error}");
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        if !body.is_empty() {
            request = request.header("content-type", media_type).body(body);
        }
        let answer = request.send().await.map_err(wrong)?;
        let status = answer.status();
        Ok((status, answer.text().await.map_err(wrong)?))
    }

    /// The answer's JSON.
    pub(super) async fn get(&self, path: &str) -> Result<Value, String> {
        let (status, text) = self.send(Method::GET, path, "", String::new()).await?;
        if !status.is_success() {
            return Err(format!("GET {path}: {status} {text}"));
        }
        serde_json::from_str(&text).map_err(|error| format!("GET {path}: {error}"))
    }

    pub(super) async fn put_secret(&self, name: &str, value: &Value) -> Result<(), String> {
        let path = format!("/api/v1/secrets/{name}");
        let (status, text) = self.send(Method::PUT, &path, "application/json", value.to_string()).await?;
        if status.is_success() { Ok(()) } else { Err(format!("PUT {path}: {status} {text}")) }
    }

    /// Creates a workflow; gives its id.
    pub(super) async fn create_workflow(&self, definition: &str) -> Result<String, String> {
        let path = "/api/v1/workflows";
        let (status, text) = self.send(Method::POST, path, "application/yaml", definition.to_owned()).await?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        match answer["id"].as_str() {
            Some(id) if status.is_success() => Ok(id.to_owned()),
            _ => Err(format!("POST {path}: {status} {text}")),
        }
    }

    /// How many messages a source has taken since the node started.
    pub(super) async fn received(&self, source: &str) -> Result<u64, String> {
        let (_, text) = self.send(Method::GET, "/metrics", "", String::new()).await?;
        let label = format!("\"{source}\"");
        let samples =
            text.lines().filter(|line| line.starts_with("trinity_endpoint_received_total") && line.contains(&label));
        Ok(samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }

    /// Counts and times of one workflow.
    pub(super) async fn performance(&self, name: &str, id: &str) -> Result<view::Workflow, String> {
        let answer = self.get(&format!("/api/v1/analytics/performance?workflowId={id}")).await?;
        let count = |kind: &str| answer["executions"][kind].as_u64().unwrap_or_default();
        Ok(view::Workflow {
            name: name.to_owned(),
            started: count("started"),
            completed: count("completed"),
            faulted: count("faulted"),
            p50: answer["durationMs"]["p50"].as_f64(),
            p99: answer["durationMs"]["p99"].as_f64(),
        })
    }

    /// All executions of a workflow, page by page.
    pub(super) async fn executions(&self, workflow: &str) -> Result<Vec<Started>, String> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("/api/v1/executions?workflowId={workflow}&limit={PAGE}{cursor}")).await?;
            for item in page["items"].as_array().map(Vec::as_slice).unwrap_or_default() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                all.push(Started {
                    execution: text(&item["id"]),
                    event: text(&item["trigger"]["eventId"]),
                    status: text(&item["status"]),
                });
            }
            match page["next"].as_str() {
                Some(next) => {
                    cursor =
                        format!("&cursor={}", url::form_urlencoded::byte_serialize(next.as_bytes()).collect::<String>())
                }
                None => return Ok(all),
            }
        }
    }
}
