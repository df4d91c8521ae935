//! What a schema can't say about settings: what depends on each other, and what this version can't do yet.

use std::collections::BTreeSet;

use serde_json::Value;
use trinity_ingest::config::ConfigError;

use super::finding::{Finding, NO_EFFECT, NOT_ALLOWED, UNPROTECTED, UNSUPPORTED};
use super::{Config, Log, Logs, TimeSeries, shape, sqlite_path};
use crate::metadata::seal;

/// Appends what is wrong with `config`, which was read from `value`.
pub(super) fn check(config: &Config, value: &Value, findings: &mut Vec<Finding>) {
    protection(config, findings);
    database(config, findings);
    unsupported(config, findings);
    if let Some(key) = &config.secrets.key
        && let Err(problem) = seal::Key::from_base64(key)
    {
        findings.push(Finding::error(NOT_ALLOWED, "/secrets/key", format!("secrets.key {problem}")));
    }
    retention(config, findings);
    sizes(config, findings);
    endpoints(config, value, findings);
}

fn retention(config: &Config, findings: &mut Vec<Finding>) {
    let retention = &config.engine.retention;
    if let Some(age) = &retention.age
        && retention.age().is_none_or(|age| age.is_zero())
    {
        let message = format!("engine.retention.age can't be \"{age}\"");
        findings.push(Finding::error(NOT_ALLOWED, "/engine/retention/age", message).hint("12h or 30d, say"));
    }
    if let Some(size) = &retention.size
        && retention.bytes().is_none_or(|bytes| bytes == 0)
    {
        let message = format!("engine.retention.size can't be \"{size}\"");
        findings.push(Finding::error(NOT_ALLOWED, "/engine/retention/size", message).hint("500MB or 50GiB, say"));
    }
}

fn sizes(config: &Config, findings: &mut Vec<Finding>) {
    let engine = &config.engine;
    for (key, text, bytes, least, most) in [
        ("segment_size", &engine.segment_size, engine.segment_bytes(), 1 << 20, 1 << 30),
        ("snapshot_every", &engine.snapshot_every, engine.snapshot_bytes(), 1 << 16, 1 << 30),
        ("outbox_max", &engine.outbox_max, engine.outbox_bytes(), 1 << 16, 1 << 40),
    ] {
        if bytes.is_none_or(|bytes| !(least..=most).contains(&bytes)) {
            let message = format!("engine.{key} can't be \"{text}\"");
            let hint = format!("a size from {} KiB to {} MiB, such as 64MiB", least >> 10, most >> 20);
            findings.push(Finding::error(NOT_ALLOWED, &format!("/engine/{key}"), message).hint(hint));
        }
    }
}

fn protection(config: &Config, findings: &mut Vec<Finding>) {
    if !config.is_loopback() {
        let message = format!(
            "server.host {} is open to the network, and nobody would be asked who they are",
            config.server.host
        );
        let hint = "use 127.0.0.1: this version has no authentication yet, with `security` either";
        findings.push(Finding::error(UNPROTECTED, "/server/host", message).hint(hint));
    } else if config.security.is_some() {
        let message = "security has no effect in this version: nobody is asked who they are";
        let hint = "on loopback that is all users of this machine";
        findings.push(Finding::warning(NO_EFFECT, "/security", message).at_key().hint(hint));
    }
}

fn database(config: &Config, findings: &mut Vec<Finding>) {
    let Some(url) = &config.database.url else { return };
    if sqlite_path(url).is_some_and(|path| !path.is_empty()) {
        return;
    }
    let finding = if url.starts_with("postgres") {
        let message = "PostgreSQL is not supported by this version";
        Finding::error(UNSUPPORTED, "/database/url", message).hint("use sqlite://PATH, or leave it out")
    } else {
        let message = "database.url is no URL of a database";
        Finding::error(NOT_ALLOWED, "/database/url", message).hint("sqlite://trinity-data/metadata.db, say")
    };
    findings.push(finding);
}

fn unsupported(config: &Config, findings: &mut Vec<Finding>) {
    let mut refuse = |pointer: &str, what: &str| {
        let message = format!("{what} is not supported by this version");
        findings.push(Finding::error(UNSUPPORTED, pointer, message).at_key().hint("use embedded"));
    };
    if let Log::Kafka(_) = config.engine.log {
        refuse("/engine/log/kafka", "a journal in Kafka");
    }
    if let TimeSeries::Scylla(_) = config.analytics.timeseries {
        refuse("/analytics/timeseries/scylla", "ScyllaDB");
    }
    if let Logs::Elasticsearch(_) = config.analytics.logs {
        refuse("/analytics/logs/elasticsearch", "Elasticsearch");
    }
    if config.redis.is_some() {
        let message = "redis has no effect in this version: the cache is in the process";
        findings.push(Finding::warning(NO_EFFECT, "/redis", message).at_key());
    }
}

fn endpoints(config: &Config, value: &Value, findings: &mut Vec<Finding>) {
    let mut names = BTreeSet::new();
    for (at, source) in config.sources.iter().enumerate() {
        let pointer = format!("/sources/{at}");
        if !names.insert(&source.name) {
            let message = format!("a second source with the name \"{}\"", source.name);
            findings.push(Finding::error(NOT_ALLOWED, &format!("{pointer}/name"), message));
        }
        if let Err(error) = source.validate() {
            findings.push(refused(&error, &pointer, Some(&source.name), value));
        }
    }
    for (at, sink) in config.sinks.iter().enumerate() {
        if let Err(error) = sink.validate() {
            findings.push(refused(&error, &format!("/sinks/{at}"), None, value));
        }
    }
}

/// With the pointer of the setting that the error names in dots, as far as it leads.
fn refused(error: &ConfigError, pointer: &str, name: Option<&str>, value: &Value) -> Finding {
    let path = name.and_then(|name| error.setting.strip_prefix(name)).unwrap_or(&error.setting);
    let mut pointer = pointer.to_owned();
    let mut rest = path.trim_start_matches('.');
    while !rest.is_empty() {
        // Names of librdkafka have dots of their own.
        let whole = shape::child(&pointer, rest);
        let (key, after) = rest.split_once('.').unwrap_or((rest, ""));
        let deeper = shape::child(&pointer, key);
        if value.pointer(&whole).is_some() {
            pointer = whole;
            break;
        }
        if value.pointer(&deeper).is_none() {
            break;
        }
        (pointer, rest) = (deeper, after);
    }
    Finding::error(NOT_ALLOWED, &pointer, error.to_string())
}
