use super::*;

fn event() -> CloudEvent {
    let mut event = CloudEvent::new("1", "/plant", "com.example.reading");
    event.subject = Some("pump \u{20ac}7".into());
    event.time = Timestamp::parse_rfc3339("2026-01-02T03:04:05.678Z");
    event.extensions.push(("site".into(), Value::String("north".into())));
    event.data = Some(Value::Array(vec![Value::Int(1), Value::String("x".into())].into_iter().collect()));
    event
}

fn with_bytes() -> CloudEvent {
    let mut event = event();
    event.data_content_type = Some("application/octet-stream".into());
    event.data = Some(Value::String("AP8=".into()));
    event.binary = true;
    event
}

/// Binary mode always names the media type; the event of before left it to the default.
fn with_media_type(mut event: CloudEvent) -> CloudEvent {
    event.data_content_type.get_or_insert_with(|| "application/json".into());
    event
}

fn pairs(headers: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> + Clone {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
}

#[test]
fn every_binding_gives_back_the_event() {
    let limits = Limits::default();
    for event in [event(), with_bytes()] {
        let (headers, value) = kafka::render_binary(&event);
        assert_eq!(kafka::parse(&headers, Some(&value), &limits), Ok(Some(with_media_type(event.clone()))));
        let (headers, value) = kafka::render_structured(&event);
        assert_eq!(kafka::parse(&headers, Some(&value), &limits), Ok(Some(event.clone())));
        let message = mqtt::render_binary(&event);
        let parsed = mqtt::parse(Some(&message.media_type), pairs(&message.properties), &message.payload, &limits);
        assert_eq!(parsed, Ok(Some(with_media_type(event.clone()))));
        let parsed = mqtt::parse(Some(STRUCTURED), pairs(&[]), &json::render(&event), &limits);
        assert_eq!(parsed, Ok(Some(event.clone())));
        let (headers, body) = http::render_binary(&event);
        assert_eq!(http::parse(pairs(&headers), &body, &limits), Ok(vec![with_media_type(event.clone())]));
        let (headers, body) = http::render_structured(&event);
        assert_eq!(http::parse(pairs(&headers), &body, &limits), Ok(vec![event.clone()]));
    }
}

#[test]
fn header_values_of_http_are_printable_ascii() {
    let (headers, _) = http::render_binary(&event());
    let subject = &headers.iter().find(|(name, _)| name == "ce-subject").expect("a subject").1;
    assert_eq!(subject, "pump%20%E2%82%AC7");
}

#[test]
fn a_batch_names_the_wrong_event() {
    let limits = Limits::default();
    let good = String::from_utf8(json::render(&event())).expect("JSON");
    let body = format!("[{good},{good}]");
    let headers = [("Content-Type".to_owned(), "application/cloudevents-batch+json; charset=utf-8".to_owned())];
    assert_eq!(http::parse(pairs(&headers), body.as_bytes(), &limits).map(|events| events.len()), Ok(2));
    let body = format!(r#"[{good},{{"specversion":"1.0","id":"1","source":"/"}}]"#);
    let failure = http::parse(pairs(&headers), body.as_bytes(), &limits).expect_err("no type");
    assert_eq!(failure.reason, "event 1: the attribute 'type' is missing");
}

#[test]
fn plain_messages_are_no_events() {
    let limits = Limits::default();
    let headers = [("content-type".to_owned(), bytes::Bytes::from("application/json"))];
    assert_eq!(kafka::parse(&headers, Some(b"{}"), &limits), Ok(None));
    assert_eq!(mqtt::parse(Some("application/json"), pairs(&[]), b"{}", &limits), Ok(None));
    assert!(http::parse(pairs(&[]), b"{}", &limits).is_err());
}

#[test]
fn what_claims_to_be_an_event_must_be_one() {
    let limits = Limits::default();
    let reason = |text: &str| json::parse(text.as_bytes(), &limits).expect_err("no event").reason;
    assert_eq!(reason("[]"), "a CloudEvent must be a JSON object");
    assert_eq!(reason(r#"{"specversion":"0.3"}"#), "specversion '0.3' is not supported; it must be 1.0");
    let event = |rest: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"/","type":"t"{rest}}}"#);
    assert!(reason(&event(r#","time":"yesterday""#)).contains("RFC 3339"));
    assert!(reason(&event(r#","id2":{}"#)).contains("no extension attribute"));
    assert!(reason(&event(r#","subject":1"#)).contains("must be text, not number"));
    assert!(reason(&event(r#","data":1,"data_base64":"AA==""#)).contains("exclude"));
    assert!(reason(&event(r#","data_base64":"?""#)).contains("base64"));
    let avro = [("content-type".to_owned(), bytes::Bytes::from("application/cloudevents+avro"))];
    assert!(kafka::parse(&avro, Some(b""), &limits).expect_err("avro").reason.contains("not supported"));
}
