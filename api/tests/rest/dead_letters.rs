use bytes::Bytes;
use reqwest::Method;
use serde_json::json;
use trinity_api::config::Config;
use trinity_api::metadata::{KeySource, Metadata};
use trinity_engine::time::Timestamp;
use trinity_ingest::dead_letter::DeadLetter;
use trinity_ingest::decode::Stage;

use crate::server::{Server, definition, send};

fn letter(source: &str, payload: &'static [u8]) -> DeadLetter {
    DeadLetter {
        source: source.into(),
        received_at: Timestamp::from_millis(1_795_000_000_000),
        topic: "sensors/d1/reading".into(),
        place: None,
        key: None,
        headers: vec![("unit".into(), Bytes::from_static(b"F"))],
        payload: Some(Bytes::from_static(payload)),
        stage: Stage::Mapping,
        reason: "event.type is null".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_try_takes_the_settings_of_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::in_directory(folder.path());
    // Nobody listens there: a broker that is down at the start is no reason not to start.
    let source = json!({
        "name": "plant", "mqtt": {"url": "mqtt://127.0.0.1:9", "topics": ["sensors/+/reading"]},
        "event": {"type": "t.reading", "subject": "${ .topic | split(\"/\")[1] }"},
    });
    config.sources = vec![serde_json::from_value(source).expect("a source")];
    let key = config.secret_key_path();
    let store = Metadata::open(&config.database_path(), 1, KeySource::File(&key)).await.expect("a store");
    let (good, bad, gone) = (letter("plant", b"{\"v\": 1}"), letter("plant", &[0xff]), letter("gone", b"{}"));
    store.keep_dead_letters(&[&good, &bad, &gone]).await.expect("kept");
    store.close().await;

    let server = Server::with(folder, &config).await;
    let text =
        definition("reads", "1.0.0", "schedule: {on: {one: {with: {type: t.reading}}}}\ndo: [{a: {set: {x: 1}}}]");
    let workflow = server.apply(&text).await;
    let list = server.get("/api/v1/deadletters").await.expect(200);
    let ids: Vec<_> = list["items"].as_array().expect("items").iter().map(|item| item["id"].clone()).collect();
    assert_eq!(ids, ["3", "2", "1"], "newest first");
    let shown = &list["items"][2];
    assert_eq!((&shown["payload"], &shown["payloadEncoding"]), (&json!("{\"v\": 1}"), &json!("utf-8")));
    assert_eq!((&shown["stage"], &shown["reason"]), (&json!("mapping"), &json!("event.type is null")));
    assert_eq!((&shown["status"], &shown["headers"]), (&json!("waiting"), &json!({"unit": "F"})));
    assert_eq!(list["items"][1]["payloadEncoding"], "base64");
    let page = server.get("/api/v1/deadletters?limit=1").await.expect(200);
    let next = page["next"].as_str().expect("a cursor");
    let page = server.get(&format!("/api/v1/deadletters?limit=1&cursor={next}")).await.expect(200);
    assert_eq!(page["items"][0]["id"], "2");

    let redrive = |id: &str| send(server.request(Method::POST, &format!("/api/v1/deadletters/{id}/redrive")));
    assert_eq!(redrive("1").await.expect(202)["status"], "redriven");
    let path = format!("/api/v1/executions?workflowId={workflow}&status=completed");
    let runs = server.until(&path, |list| list["items"].as_array().is_some_and(|items| items.len() == 1)).await;
    assert_eq!(runs["items"][0]["input"], json!([{"v": 1}]));
    redrive("1").await.problem(409);
    let still = redrive("2").await.problem(422);
    assert!(still["detail"].as_str().is_some_and(|text| text.contains("not valid JSON")), "{still}");
    let noted = server.get("/api/v1/deadletters/2").await.expect(200);
    assert_eq!((&noted["attempts"], &noted["stage"]), (&json!(1), &json!("decode")));
    redrive("3").await.problem(409);
    redrive("99").await.problem(404);
    server.get("/api/v1/deadletters/x").await.problem(404);

    let ready = server.get("/readyz").await.expect(200);
    assert_eq!(ready["endpoints"]["plant"]["connected"], false);
    let metrics = server.get("/metrics").await;
    assert!(metrics.text.contains("trinity_dead_letters 2\n"), "{}", metrics.text);
    assert!(metrics.text.contains("trinity_endpoint_connected{name=\"plant\",kind=\"source\"} 0\n"));
    server.stop().await;
}
