//! The settings of a node: one struct, read once, checked once.
//!
//! A file's text is read with its places, the environment is put in, the result is checked against the JSON Schema that
//! editors use too, and then against what a schema can't say. All findings come at once.

mod defaults;
mod environment;
mod finding;
mod read;
mod rules;
mod shape;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use trinity_ingest::config::{SinkConfig, SourceConfig};

use crate::units;

pub use finding::Finding;
pub use read::{Loaded, Rejected, looks_like_config, read, read_file};

/// The JSON Schema of the file, for editors and for the check.
pub const SCHEMA: &str = include_str!("trinity.config.schema.json");

/// All settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The one port of the API.
    pub server: Server,
    /// Where definitions, secrets and dead letters are kept.
    pub database: Database,
    /// A shared cache; not used yet.
    pub redis: Option<Redis>,
    /// What is logged, and where to.
    pub logging: Logging,
    /// Authentication; not available yet.
    pub security: Option<Security>,
    /// How secrets are encrypted.
    pub secrets: Secrets,
    /// Executions and their journal.
    pub engine: Engine,
    /// Where measurements go.
    pub analytics: Analytics,
    /// Where tasks may call.
    pub egress: Egress,
    /// Where events come from.
    pub sources: Vec<SourceConfig>,
    /// Where emitted events go.
    pub sinks: Vec<SinkConfig>,
}

/// `server`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address to listen on: a name or a number.
    pub host: String,
    /// Port; 0 takes any free one.
    pub port: u16,
    /// Threads of the node.
    pub workers: usize,
    /// Largest body of a request, in bytes.
    pub body_max: usize,
}

/// `database`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite://PATH`; by default in the data directory.
    pub url: Option<String>,
    /// Connections that are kept.
    pub pool_size: u32,
    /// Connections beyond that at times of need.
    pub max_overflow: u32,
}

/// `redis`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Where.
    pub url: String,
    /// Which database there.
    #[serde(default)]
    pub db: u32,
}

/// `logging`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// The least level that is logged.
    pub level: String,
    /// Its form.
    pub format: LogFormat,
    /// Where to.
    pub handlers: Vec<LogHandler>,
}

/// The form of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Where log lines go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogHandler {
    /// To stderr.
    Console,
    /// To `trinity.log` in the data directory.
    File,
}

/// `security`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Security {
    /// Key of the tokens.
    pub jwt_secret: Option<String>,
    /// Seconds that a token lives.
    pub token_expiry: Option<u64>,
    /// Such as `1000/hour`.
    pub rate_limit: Option<String>,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Security(…)")
    }
}

/// `secrets`
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Secrets {
    /// 32 bytes in base64; by default a file of the data directory.
    pub key: Option<String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// `engine`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Folder of everything that is kept.
    pub data_dir: PathBuf,
    /// Partitions of executions.
    pub shards: u16,
    /// When something counts as written.
    pub durability: Durability,
    /// Whether lifecycle CloudEvents are published.
    pub lifecycle_events: bool,
    /// Where the journal lies.
    pub log: Log,
    /// What of the journal may be dropped.
    pub retention: Retention,
    /// Length of a file of the journal, such as `64MiB`.
    pub segment_size: String,
    /// A shard stores its whole state after so much was recorded, such as `16MiB`.
    pub snapshot_every: String,
    /// How much of events may wait in memory for sinks before nothing new is taken, such as `256MiB`.
    pub outbox_max: String,
}

impl Engine {
    /// [`Engine::segment_size`] in bytes, if it is a size.
    #[must_use]
    pub fn segment_bytes(&self) -> Option<u64> {
        units::bytes(&self.segment_size)
    }

    /// [`Engine::snapshot_every`] in bytes, if it is a size.
    #[must_use]
    pub fn snapshot_bytes(&self) -> Option<u64> {
        units::bytes(&self.snapshot_every)
    }

    /// [`Engine::outbox_max`] in bytes, if it is a size.
    #[must_use]
    pub fn outbox_bytes(&self) -> Option<u64> {
        units::bytes(&self.outbox_max)
    }
}

/// `engine.retention`: what is older or beyond the size may be dropped; nothing by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Such as `30d`.
    pub age: Option<String>,
    /// Such as `50GiB`.
    pub size: Option<String>,
}

impl Retention {
    /// The age, if it is one.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.age.as_deref().and_then(units::span)
    }

    /// The size in bytes, if it is one.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.size.as_deref().and_then(units::bytes)
    }
}

/// When something counts as written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// On disk before anything is acknowledged.
    Sync,
    /// Synchronised every 100 ms.
    Relaxed,
}

/// Where the journal lies.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Log {
    /// In the data directory.
    Embedded,
    /// In Kafka; not supported yet, and refused with that reason.
    Kafka(serde_json::Value),
}

/// `analytics`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Analytics {
    /// Where time series lie.
    pub timeseries: TimeSeries,
    /// Where logs of executions lie.
    pub logs: Logs,
}

/// Where time series lie.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeSeries {
    /// In the data directory.
    Embedded,
    /// In ScyllaDB; not supported yet, and refused with that reason.
    Scylla(serde_json::Value),
}

/// Where logs of executions lie.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Logs {
    /// In the data directory.
    Embedded,
    /// In Elasticsearch; not supported yet, and refused with that reason.
    Elasticsearch(serde_json::Value),
}

/// `egress`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// Refuse private, link-local and metadata addresses.
    pub deny_private: bool,
    /// Hosts that may be called whatever their address.
    pub allow: Vec<String>,
}

impl Config {
    /// The settings without a file: all embedded, loopback only. The environment counts.
    ///
    /// # Errors
    /// An override is wrong.
    pub fn without_file(environment: &[(String, String)]) -> Result<Loaded, Rejected> {
        read::without_file(environment)
    }

    /// Whether the API listens on this machine only.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.server.host)
    }

    /// Path of the metadata database.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        match &self.database.url {
            Some(url) => PathBuf::from(sqlite_path(url).unwrap_or(url)),
            None => self.engine.data_dir.join("metadata.db"),
        }
    }

    /// Path of the key file of secrets.
    #[must_use]
    pub fn secret_key_path(&self) -> PathBuf {
        self.engine.data_dir.join("secret.key")
    }

    /// Path of the log file.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.engine.data_dir.join("trinity.log")
    }

    /// Path of the journal.
    #[must_use]
    pub fn journal_path(&self) -> PathBuf {
        self.engine.data_dir.join("journal")
    }

    /// Path of the time series.
    #[must_use]
    pub fn analytics_path(&self) -> PathBuf {
        self.engine.data_dir.join("analytics")
    }

    /// The same, in another folder and on any free port: for a node within a process.
    #[must_use]
    pub fn in_directory(data_dir: &Path) -> Config {
        let mut config = Config::default();
        config.engine.data_dir = data_dir.to_owned();
        config.server.port = 0;
        config
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The path in `sqlite://PATH` or `sqlite:PATH`.
fn sqlite_path(url: &str) -> Option<&str> {
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))?;
    // Parameters such as ?mode=rwc are not ours to heed: the file is made when it is missing.
    path.split('?').next()
}
