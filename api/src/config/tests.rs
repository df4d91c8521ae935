use std::path::Path;

use expect_test::{Expect, expect};

use super::*;

fn variables(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, Rejected> {
    read(Path::new("trinity.config.yml"), text, &variables(environment))
}

fn config(text: &str, environment: &[(&str, &str)]) -> Config {
    match load(text, environment) {
        Ok(loaded) => loaded.config,
        Err(rejected) => panic!("{}", rejected.render(false)),
    }
}

fn refused(text: &str, environment: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&load(text, environment).expect_err("it is wrong").render(false));
}

#[test]
fn without_a_file_all_is_embedded_on_loopback() {
    let config = Config::without_file(&[]).expect("the defaults").config;
    assert_eq!((config.server.host.as_str(), config.server.port), ("127.0.0.1", 8000));
    assert!(config.is_loopback());
    assert_eq!(config.database_path(), Path::new("trinity-data/metadata.db"));
    assert!(load("# nothing yet\n", &[]).is_ok());
    assert!(load("server:\n  # port: 1\nsources:\n", &[]).is_ok(), "sections of comments only");
}

#[test]
fn the_contract_is_accepted() {
    let text = r#"
server:   { host: 127.0.0.1, port: 8000, workers: 4 }
database: { url: "sqlite://trinity-data/metadata.db", pool_size: 20, max_overflow: 30 }
redis:    { url: "redis://localhost:6379", db: 0 }
logging:  { level: INFO, format: json, handlers: [console, file] }
security: { jwt_secret: "${JWT_SECRET}", token_expiry: 3600, rate_limit: 1000/hour }
engine:
  data_dir: trinity-data
  shards: 8
  durability: sync
  lifecycle_events: true
  log: embedded
analytics:
  timeseries: embedded
  logs: embedded
egress:   { deny_private: true, allow: [] }
sources:
  - name: plant
    mqtt: { url: "mqtt://127.0.0.1:1883", topics: ["sensors/+/reading"], qos: 1, group: trinity }
    format: json
    event:
      type: com.example.sensor.reading
      subject: ${ .topic | split("/")[1] }
      id: ${ .payload.id }
  - name: orders
    kafka: { brokers: "127.0.0.1:9092", topics: [orders], group: trinity, from: earliest }
    format: cloudevents
sinks:
  - match: { type: com.example.alert }
    kafka: { brokers: "127.0.0.1:9092", topic: alerts, key: "${ .subject }" }
  - match: { type: com.example.command.* }
    mqtt: { url: "mqtt://127.0.0.1:1883", topic: "${ \"devices/\" + .subject + \"/command\" }", qos: 1 }
  - match: { type: com.example.notice }
    http: { url: "http://127.0.0.1:9000/hook" }
"#;
    let loaded = load(text, &[("JWT_SECRET", "s")]).unwrap_or_else(|rejected| panic!("{}", rejected.render(false)));
    assert_eq!((loaded.config.sources.len(), loaded.config.sinks.len()), (2, 3));
    let codes: Vec<_> = loaded.warnings.iter().map(|finding| (finding.code, finding.pointer.as_str())).collect();
    assert_eq!(codes, [("TRN1008", "/security"), ("TRN1008", "/redis")]);
}

#[test]
fn variables_become_what_is_wanted() {
    let text = "server: { port: '${PORT:-8001}', host: \"${HOST}\" }\nengine: { data_dir: '/var/${APP}/data' }\n\
                sources: [{ name: a, format: cloudevents, mqtt: { url: 'mqtt://h', topics: [t], username: u, password: '${PASS}' } }]";
    let config = config(text, &[("HOST", "localhost"), ("APP", "trinity"), ("PASS", "1234")]);
    assert_eq!((config.server.port, config.server.host.as_str()), (8001, "localhost"));
    assert_eq!(config.engine.data_dir, Path::new("/var/trinity/data"));
    let mqtt = config.sources[0].mqtt.as_ref().expect("MQTT");
    assert_eq!(mqtt.connection.password.as_deref(), Some("1234"), "text stays text");
}

#[test]
fn overrides_reach_every_key() {
    let config = config(
        "server: { port: 1 }\nsources: [{ name: a, format: cloudevents, mqtt: { url: 'mqtt://h', topics: [t] } }]",
        &[
            ("TRINITY__SERVER__PORT", "9000"),
            ("TRINITY__ENGINE__DATA_DIR", "/data"),
            ("TRINITY__ENGINE__LIFECYCLE_EVENTS", "false"),
            ("TRINITY__EGRESS__ALLOW", "[db.internal]"),
            ("TRINITY__SOURCES__0__MQTT__URL", "mqtt://broker:1884"),
            ("TRINITY_SECRET_X", "not an override"),
        ],
    );
    assert_eq!((config.server.port, config.engine.lifecycle_events), (9000, false));
    assert_eq!(config.database_path(), Path::new("/data/metadata.db"));
    assert_eq!(config.egress.allow, ["db.internal"]);
    assert_eq!(config.sources[0].mqtt.as_ref().expect("MQTT").connection.url, "mqtt://broker:1884");
}

#[test]
fn mistakes_in_the_file_are_shown_in_place() {
    refused(
        "server:\n  prot: 80\n  host: 7\nloging: {}\nengine: { shards: 0, durability: synch }\n",
        &[],
        expect![[r#"
            error[TRN1002]: unknown key "prot" in server
             --> trinity.config.yml:2:3
              |
            2 |   prot: 80
              |   ^^^^
              = help: did you mean "port"?

            error[TRN1003]: server.host must be a string, not a number
             --> trinity.config.yml:3:9
              |
            3 |   host: 7
              |         ^
              = help: quote it: "7"

            error[TRN1002]: unknown key "loging" in the settings
             --> trinity.config.yml:4:1
              |
            4 | loging: {}
              | ^^^^^^
              = help: did you mean "logging"?

            error[TRN1004]: engine.shards must be a whole number from 1 to 4096
             --> trinity.config.yml:5:19
              |
            5 | engine: { shards: 0, durability: synch }
              |                   ^

            error[TRN1004]: engine.durability can't be "synch"
             --> trinity.config.yml:5:34
              |
            5 | engine: { shards: 0, durability: synch }
              |                                  ^^^^^
              = help: did you mean "sync"?

        "#]],
    );
}

#[test]
fn a_missing_variable_names_the_key() {
    refused(
        "database:\n  url: ${DATABASE_URL}\n",
        &[],
        expect![[r#"
            error[TRN1001]: database.url needs the environment variable DATABASE_URL, which is not set
             --> trinity.config.yml:2:8
              |
            2 |   url: ${DATABASE_URL}
              |        ^^^^^^^^^^^^^^^
              = help: set DATABASE_URL, or give a default: ${DATABASE_URL:-…}

        "#]],
    );
}

#[test]
fn mistakes_in_overrides_name_the_variable() {
    refused(
        "{}",
        &[("TRINITY__SERVER__PORT", "http"), ("TRINITY__SERVR__HOST", "::1")],
        expect![[r#"
            error[TRN1002]: unknown key "servr" in the settings
             --> environment variable TRINITY__SERVR__HOST
              = help: did you mean "server"?

            error[TRN1003]: server.port must be a whole number, not a string
             --> environment variable TRINITY__SERVER__PORT

        "#]],
    );
}

#[test]
fn what_this_version_can_not_do_is_refused() {
    refused(
        "server: { host: 0.0.0.0 }\nsecurity: { jwt_secret: x }\ndatabase: { url: 'postgresql://h/d' }\n\
         engine: { log: { kafka: { brokers: 'b:1' } } }\n\
         sources:\n  - { name: a, format: avro, mqtt: { url: 'mqtt://h', topics: [t] }, event: { type: t } }\n\
         sinks:\n  - { match: { type: t }, http: { url: 'ftp://h' } }\n",
        &[],
        expect![[r#"
            error[TRN1007]: server.host 0.0.0.0 is open to the network, and nobody would be asked who they are
             --> trinity.config.yml:1:17
              |
            1 | server: { host: 0.0.0.0 }
              |                 ^^^^^^^
              = help: use 127.0.0.1: this version has no authentication yet, with `security` either

            error[TRN1006]: PostgreSQL is not supported by this version
             --> trinity.config.yml:3:18
              |
            3 | database: { url: 'postgresql://h/d' }
              |                  ^^^^^^^^^^^^^^^^^^
              = help: use sqlite://PATH, or leave it out

            error[TRN1006]: a journal in Kafka is not supported by this version
             --> trinity.config.yml:4:18
              |
            4 | engine: { log: { kafka: { brokers: 'b:1' } } }
              |                  ^^^^^
              = help: use embedded

            error[TRN1004]: a.format: 'avro' is not supported by this version; use json, yaml, text, binary or cloudevents
             --> trinity.config.yml:6:24
              |
            6 |   - { name: a, format: avro, mqtt: { url: 'mqtt://h', topics: [t] }, event: { type: t } }
              |                        ^^^^

            error[TRN1004]: http.url: 'ftp://h' is no http or https URL
             --> trinity.config.yml:8:40
              |
            8 |   - { match: { type: t }, http: { url: 'ftp://h' } }
              |                                        ^^^^^^^^^

        "#]],
    );
}

#[test]
fn retention_is_written_with_units() {
    let config = config("engine: { retention: { age: 30d, size: 50GiB } }", &[]);
    assert_eq!(config.engine.retention.age(), Some(std::time::Duration::from_secs(30 * 86_400)));
    assert_eq!(config.engine.retention.bytes(), Some(50 << 30));
    let shown = load("engine: { retention: { age: soon } }", &[]).expect_err("no age").render(false);
    assert!(shown.contains("engine.retention.age can't be \"soon\"") && shown.contains(":1:29"), "{shown}");
}

#[test]
fn text_that_is_no_yaml_is_shown_in_place() {
    let shown = load("server: [", &[]).expect_err("broken").render(false);
    assert!(shown.starts_with("error[TRN0101]") && shown.contains("trinity.config.yml:"), "{shown}");
}

#[test]
fn settings_are_told_from_definitions() {
    assert!(looks_like_config("server: {port: 1}"));
    assert!(looks_like_config("sources: []\nwrong: 1"));
    assert!(!looks_like_config("document: {}\ndo: []"));
    assert!(!looks_like_config("anything: 1"));
    assert!(!looks_like_config("- 1"));
}

#[test]
fn the_schema_tells_editors_the_defaults_that_hold() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).expect("JSON");
    let config = Config::default();
    let default = |section: &str, key: &str| schema["properties"][section]["properties"][key]["default"].clone();
    assert_eq!(default("server", "host"), config.server.host);
    assert_eq!(default("server", "port"), config.server.port);
    assert_eq!(default("server", "workers"), config.server.workers);
    assert_eq!(default("server", "body_max"), config.server.body_max);
    assert_eq!(default("database", "pool_size"), config.database.pool_size);
    assert_eq!(default("database", "max_overflow"), config.database.max_overflow);
    assert_eq!(default("logging", "level"), config.logging.level);
    assert_eq!(default("engine", "data_dir"), config.engine.data_dir.display().to_string());
    assert_eq!(default("engine", "shards"), config.engine.shards);
    assert_eq!(default("engine", "segment_size"), config.engine.segment_size);
    assert_eq!(default("engine", "snapshot_every"), config.engine.snapshot_every);
    assert_eq!(default("engine", "outbox_max"), config.engine.outbox_max);
    assert_eq!(default("engine", "lifecycle_events"), config.engine.lifecycle_events);
    assert_eq!(default("egress", "deny_private"), config.egress.deny_private);
}
