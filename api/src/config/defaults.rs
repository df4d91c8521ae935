//! Every default. The schema tells editors the same, which a test compares.

use super::{
    Analytics, Database, Durability, Egress, Engine, Log, LogFormat, LogHandler, Logging, Logs, Retention, Server,
    TimeSeries,
};

impl Default for Server {
    fn default() -> Server {
        Server { host: "127.0.0.1".into(), port: 8000, workers: 4, body_max: 1024 * 1024 }
    }
}

impl Default for Database {
    fn default() -> Database {
        Database { url: None, pool_size: 20, max_overflow: 30 }
    }
}

impl Default for Logging {
    fn default() -> Logging {
        Logging { level: "INFO".into(), format: LogFormat::Json, handlers: vec![LogHandler::Console] }
    }
}

impl Default for Engine {
    fn default() -> Engine {
        Engine {
            data_dir: "trinity-data".into(),
            shards: 8,
            durability: Durability::Sync,
            lifecycle_events: true,
            log: Log::Embedded,
            retention: Retention::default(),
            segment_size: "64MiB".into(),
            snapshot_every: "16MiB".into(),
            outbox_max: "256MiB".into(),
        }
    }
}

impl Default for Analytics {
    fn default() -> Analytics {
        Analytics { timeseries: TimeSeries::Embedded, logs: Logs::Embedded }
    }
}

impl Default for Egress {
    fn default() -> Egress {
        Egress { deny_private: true, allow: Vec::new() }
    }
}
