use super::*;

fn decoder(yaml_as_json: &str) -> Decoder {
    let config: SourceConfig = serde_json::from_str(yaml_as_json).expect("a source");
    config.validate().expect("valid");
    Decoder::new(&config).expect("compiles")
}

fn message(payload: &str) -> Message {
    let mqtt = Mqtt { qos: 1, packet_id: 7, ..Mqtt::default() };
    Message {
        topic: "sensors/a/reading".into(),
        key: None,
        headers: Vec::new(),
        payload: Some(payload.to_owned().into()),
        time: None,
        place: None,
        mqtt: Some(mqtt),
    }
}

const PLANT: &str = r#"{"name": "plant", "mqtt": {"url": "mqtt://broker", "topics": ["sensors/+/reading"]},
    "event": {"type": "com.example.reading", "subject": "a"}}"#;

#[test]
fn a_plain_message_becomes_an_event() {
    let decoded = decoder(PLANT).event(&message(r#"{"t": 21.5}"#), Timestamp(1_000)).expect("an event");
    assert!(!decoded.identified);
    let event = decoded.event;
    assert_eq!((event.event_type.as_str(), event.subject.as_deref()), ("com.example.reading", Some("a")));
    assert_eq!(event.source, "mqtt://broker:1883/sensors/a/reading");
    assert_eq!(event.time, Some(Timestamp(1_000)));
    assert_eq!(event.data.expect("data").get("t"), Some(&Value::Float(21.5)));
}

#[test]
fn expressions_make_subject_and_id() {
    let decoder = decoder(
        r#"{"name": "plant", "mqtt": {"url": "mqtt://broker", "topics": ["t"]}, "event": {"type": "t",
            "subject": "${ .topic | split(\"/\")[1] }", "id": "${ .payload.id }"}}"#,
    );
    let decoded = decoder.event(&message(r#"{"id": 17}"#), Timestamp(1)).expect("an event");
    assert!(decoded.identified);
    assert_eq!((decoded.event.id.as_str(), decoded.event.subject.as_deref()), ("17", Some("a")));
    assert!(!decoder.event(&message("{}"), Timestamp(1)).expect("an id of its own").identified);
    let failure = decoder.event(&message("[1]"), Timestamp(1)).expect_err("no object");
    assert_eq!(failure.stage, Stage::Mapping);
    assert!(failure.reason.starts_with("event.id: "), "{failure}");
}

#[test]
fn equal_messages_are_different_events_but_have_one_delivery_key_per_packet() {
    let decoder = decoder(PLANT);
    let (first, mut second) = (message("1"), message("1"));
    second.mqtt.as_mut().expect("MQTT").sequence = 1;
    let id = |message: &Message| decoder.event(message, Timestamp(5)).expect("an event").event.id;
    assert_ne!(id(&first), id(&second));
    assert_eq!(delivery_key("c", &first), delivery_key("c", &second));
    second.mqtt.as_mut().expect("MQTT").packet_id = 8;
    assert_ne!(delivery_key("c", &first), delivery_key("c", &second));
}

#[test]
fn a_cloud_event_is_taken_as_it_is() {
    let mut message = message(r#"{"t": 1}"#);
    for (name, value) in [("specversion", "1.0"), ("id", "7"), ("source", "/x"), ("type", "t"), ("site", "north")] {
        message.headers.push((name.into(), value.into()));
    }
    let decoded = decoder(PLANT).event(&message, Timestamp(1)).expect("an event");
    assert!(decoded.identified);
    assert_eq!((decoded.event.id.as_str(), decoded.event.event_type.as_str()), ("7", "t"));
    assert_eq!(decoded.event.extensions, [("site".into(), Value::String("north".into()))]);
}

#[test]
fn a_kafka_record_has_its_place_as_id_and_its_key_as_subject() {
    let decoder = decoder(
        r#"{"name": "orders", "kafka": {"brokers": "b:9092", "topics": ["orders"], "group": "g"}, "event": {"type": "order"}}"#,
    );
    let mut record = Message { mqtt: None, key: Some("k1".into()), place: Some((3, 42)), ..message("{}") };
    record.topic = "orders".into();
    let event = decoder.event(&record, Timestamp(1)).expect("an event").event;
    assert_eq!((event.id.as_str(), event.subject.as_deref()), ("orders/3/42", Some("k1")));
    assert_eq!(event.source, "kafka://b:9092/orders");
    record.payload = None;
    assert_eq!(decoder.event(&record, Timestamp(1)).expect("a tombstone is an event without data").event.data, None);
}

#[test]
fn expressions_see_the_whole_message() {
    let mut message = message("1");
    message.headers.push(("unit".into(), "C".into()));
    let seen = input(&message, &Value::Int(1), Timestamp(0), &Reads::All).to_json();
    assert_eq!(
        seen,
        concat!(
            r#"{"topic":"sensors/a/reading","key":null,"headers":{"unit":"C"},"payload":1,"#,
            r#""timestamp":"1970-01-01T00:00:00.000Z","qos":1,"retain":false,"dup":false,"properties":"#,
            r#"{"contentType":null,"responseTopic":null,"correlationData":null,"user":{"unit":"C"}}}"#
        )
    );
}

#[test]
fn what_an_expression_does_not_look_at_is_not_made() {
    let reads = Reads::Members(vec!["topic".into(), "qos".into(), "nothing".into()]);
    let seen = input(&message("1"), &Value::Int(1), Timestamp(0), &reads).to_json();
    assert_eq!(seen, r#"{"topic":"sensors/a/reading","qos":1}"#);
}

#[test]
fn numbers_in_ids_are_decimal() {
    for number in [0, 7, 10, -1, i64::MAX, i64::MIN] {
        let mut digits = Vec::new();
        format_i64(number, &mut digits);
        assert_eq!(digits, number.to_string().into_bytes());
    }
}
