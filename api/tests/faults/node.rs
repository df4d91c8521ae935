//! Nodes to torment, and how to ask them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use crate::process::{Process, Starting};

/// How long anything may take, on a machine that does other things, too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Only one test at a time loads the machine.
pub async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    let _ = rustls::crypto::ring::default_provider().install_default();
    ALONE.lock().await
}

/// A number that no other run of a test has.
pub fn unique(what: &str) -> String {
    format!("{what}-{}", &uuid::Uuid::new_v4().simple().to_string()[..12])
}

/// The settings of a node, in a folder of its own.
pub struct Place {
    folder: tempfile::TempDir,
    config: PathBuf,
    pub data: PathBuf,
}

impl Place {
    /// `engine` and what follows it are lines of YAML.
    pub fn new(engine: &str, rest: &str) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        Place::at(folder, &data, engine, rest)
    }

    /// With its data elsewhere.
    pub fn at(folder: tempfile::TempDir, data: &Path, engine: &str, rest: &str) -> Place {
        let config = folder.path().join("trinity.config.yml");
        let text = format!(
            "database: {{ url: 'sqlite://{data}/metadata.db' }}\nlogging: {{ level: ERROR }}\n\
             engine: {{ data_dir: '{data}', {engine} }}\n{rest}",
            data = data.display()
        );
        std::fs::write(&config, text).expect("written");
        Place { folder, config, data: data.to_owned() }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn spawn(&self) -> Starting {
        Process::spawn(|command| {
            command.arg("--config").arg(&self.config);
        })
    }

    /// By a command that runs the binary.
    pub fn spawn_as(&self, command: std::process::Command) -> Starting {
        Process::spawn_as(command, |command| {
            command.arg("--config").arg(&self.config);
        })
    }

    pub fn start(&self) -> Process {
        self.spawn().listening()
    }
}

/// Asks a node wherever it is at the moment.
#[derive(Clone)]
pub struct Asker {
    base: Arc<RwLock<String>>,
    client: Client,
}

impl Asker {
    pub fn new(base: &str) -> Asker {
        // A connection to a node that was killed is no connection to the next.
        let client = Client::builder().timeout(Duration::from_secs(30)).pool_max_idle_per_host(8).build();
        Asker { base: Arc::new(RwLock::new(base.to_owned())), client: client.expect("a client") }
    }

    /// The node is elsewhere now.
    pub fn moved(&self, base: &str) {
        base.clone_into(&mut self.base.write().expect("no panic"));
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base.read().expect("no panic"))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// A document, tried until there is an answer.
    pub async fn json(&self, path: &str) -> Value {
        let begun = Instant::now();
        loop {
            let answer = match self.get(path).send().await {
                Ok(answer) if answer.status().is_success() => answer.json().await.map_err(|error| error.to_string()),
                Ok(answer) => Err(format!("{} {}", answer.status(), answer.text().await.unwrap_or_default())),
                Err(error) => Err(error.to_string()),
            };
            match answer {
                Ok(value) => return value,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{path}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Adds a workflow; its id.
    pub async fn apply(&self, definition: &str) -> String {
        let request = self.post("/api/v1/workflows").header("content-type", "application/yaml");
        let answer = request.body(definition.to_owned()).send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        assert_eq!(status, StatusCode::CREATED, "{text}");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        value["id"].as_str().expect("an id").to_owned()
    }

    /// All of a list, page by page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut page = self.json(&format!("{path}&limit=1000{cursor}")).await;
            items.append(page["items"].as_array_mut().unwrap_or_else(|| panic!("no list")));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Waits until the answer is as wanted.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let value = self.json(path).await;
            if wanted(&value) {
                return value;
            }
            assert!(begun.elapsed() < PATIENCE, "{path} stays {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts an execution; its id.
    pub async fn execute(&self, workflow: &str, input: &Value) -> String {
        let request = self.post(&format!("/api/v1/workflows/{workflow}/execute")).json(input);
        let answer = request.send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("a body"));
        assert!(status.is_success(), "{status} {text}");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        value["id"].as_str().expect("an id").to_owned()
    }
}
