use super::*;

fn source(json: &str) -> Result<SourceConfig, String> {
    let config: SourceConfig = serde_json::from_str(json).map_err(|error| error.to_string())?;
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
}

const EVENT: &str = r#""event": {"type": "t"}"#;

#[test]
fn the_contract_is_accepted() {
    let config = source(
        r#"{"name": "plant", "mqtt": {"url": "mqtt://127.0.0.1:1883", "topics": ["sensors/+/reading"], "qos": 1, "group": "trinity",
            "protocol": "3.1.1"}, "format": "json", "event": {"type": "t", "subject": "s", "id": "i"}}"#,
    );
    let mqtt = config.expect("valid").mqtt.expect("MQTT");
    assert_eq!(
        (mqtt.connection.protocol, mqtt.receive_maximum, mqtt.retained),
        (Protocol::V311, 8192, Retained::Ignore)
    );
    source(&format!(r#"{{"name": "o", "kafka": {{"brokers": "b:1", "topics": ["orders"], "group": "g", "from": "latest"}}, {EVENT}}}"#))
        .expect("valid");
}

#[test]
fn mistakes_are_named() {
    let mqtt = |settings: &str| {
        source(&format!(r#"{{"name": "a", "mqtt": {{{settings}}}, {EVENT}}}"#)).expect_err("a mistake")
    };
    assert!(mqtt(r#""url": "mqtt://h", "topics": ["t"], "quos": 1"#).contains("unknown field `quos`"));
    assert!(mqtt(r#""url": "mqtt://h", "topics": ["t"], "protocol": 4"#).contains("use 5 or 3.1.1"));
    assert_eq!(
        mqtt(r#""url": "http://h", "topics": ["t"]"#),
        "a.mqtt.url: the scheme 'http' is not known; use mqtt:// or mqtts://"
    );
    assert_eq!(
        mqtt(r#""url": "mqtt://h", "topics": ["t"], "qos": 3"#),
        "a.mqtt.qos: 3 is no quality of service; use 0, 1 or 2"
    );
    assert!(
        mqtt(r##""url": "mqtt://h", "topics": ["a/#/b"]"##).starts_with("a.mqtt.topics: 'a/#/b' is no topic filter")
    );
    assert!(source(r#"{"name": "a", "event": {"type": "t"}}"#).expect_err("neither").contains("exactly one"));
    assert!(
        source(r#"{"name": "a", "mqtt": {"url": "mqtt://h", "topics": ["t"]}}"#)
            .expect_err("no mapping")
            .starts_with("a.event:")
    );
    let avro =
        r#"{"name": "a", "format": "avro", "mqtt": {"url": "mqtt://h", "topics": ["t"]}, "event": {"type": "t"}}"#;
    assert!(source(avro).expect_err("later").starts_with("a.format: 'avro' is not supported by this version"));
}

#[test]
fn sinks() {
    let sink = |json: &str| -> Result<SinkConfig, String> {
        let config: SinkConfig = serde_json::from_str(json).map_err(|error| error.to_string())?;
        config.validate().map(|()| config).map_err(|error| error.to_string())
    };
    let config = sink(r#"{"match": {"type": "com.example.*"}, "http": {"url": "http://h/hook"}}"#).expect("valid");
    assert!(config.matches.accepts("com.example.a") && !config.matches.accepts("com.other"));
    let exact = sink(r#"{"match": {"type": "a"}, "kafka": {"brokers": "b:1", "topic": "t"}}"#).expect("valid");
    assert!(exact.matches.accepts("a") && !exact.matches.accepts("ab"));
    assert!(sink(r#"{"match": {"type": "a"}}"#).is_err());
    assert!(sink(r#"{"match": {"type": ""}, "http": {"url": "http://h"}}"#).is_err());
    assert!(
        sink(r#"{"match": {"type": "a"}, "http": {"url": "ftp://h"}}"#).expect_err("no HTTP").starts_with("http.url")
    );
}

#[test]
fn settings_of_librdkafka_can_not_undo_a_guarantee() {
    let with = |setting: &str| {
        source(&format!(
            r#"{{"name": "o", "kafka": {{"brokers": "b:1", "topics": ["t"], "group": "g", "settings": {{{setting}}}}}, {EVENT}}}"#
        ))
    };
    for name in
        ["enable.auto.offset.store", "enable.auto.commit", "auto.commit.enable", "group.id", "metadata.broker.list"]
    {
        let error = with(&format!(r#""{name}": "true""#)).expect_err(name);
        assert!(error.starts_with(&format!("o.kafka.settings.{name}: can't be set here")), "{error}");
    }
    with(r#""security.protocol": "ssl""#).expect("what is not fixed may be set");
    for name in ["enable.idempotence", "acks", "request.required.acks", "message.timeout.ms"] {
        let json = format!(
            r#"{{"match": {{"type": "t"}}, "kafka": {{"brokers": "b:1", "topic": "t", "settings": {{"{name}": "0"}}}}}}"#
        );
        let config: SinkConfig = serde_json::from_str(&json).expect("its shape is right");
        let error = config.validate().expect_err(name).to_string();
        assert!(error.starts_with(&format!("kafka.settings.{name}: can't be set here")), "{error}");
    }
}
