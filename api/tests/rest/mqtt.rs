//! A node between a real broker and itself (`deploy/local/services start mosquitto`; skipped without TRINITY_TEST_MQTT).

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde_json::json;
use tokio::sync::mpsc;
use trinity_api::config::Config;

use crate::server::{Server, definition};

const MESSAGES: usize = 300;

/// A client, and the topics and payloads that it gets.
fn client(url: &str, name: &str) -> (AsyncClient, mpsc::UnboundedReceiver<(String, String)>) {
    let url = url::Url::parse(url).expect("a URL");
    let mut options = MqttOptions::new(name, url.host_str().expect("a host"), url.port().expect("a port"));
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 1 << 12);
    let (sender, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(Packet::Publish(publish)) = event {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let _ = sender.send((text(&publish.topic), text(&publish.payload)));
            }
        }
    });
    (client, received)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_become_executions_and_emitted_events_messages() {
    let Some(url) = std::env::var("TRINITY_TEST_MQTT").ok().filter(|url| !url.is_empty()) else {
        eprintln!("SKIPPED: TRINITY_TEST_MQTT is not set; start the servers with deploy/local/services");
        return;
    };
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::in_directory(folder.path());
    let source = json!({
        "name": "plant", "mqtt": {"url": url, "topics": [format!("{unique}/+/reading")], "qos": 1},
        "event": {"type": "t.reading", "subject": "${ .topic | split(\"/\")[1] }", "id": "${ .payload.id }"},
    });
    let sink = json!({
        "match": {"type": "t.alert*"},
        "mqtt": {"url": url, "topic": format!("${{ \"{unique}/alerts/\" + .subject }}"), "qos": 1},
    });
    config.sources = vec![serde_json::from_value(source).expect("a source")];
    config.sinks = vec![serde_json::from_value(sink).expect("a sink")];
    let server = Server::with(folder, &config).await;
    let text = definition(
        "alert",
        "1.0.0",
        "schedule: {on: {one: {with: {type: t.reading}}}, read: envelope}\n\
         do:\n\
         \x20 - check:\n\
         \x20     if: ${ .[0].data.value > 90 }\n\
         \x20     emit: {event: {with: {type: t.alert.high, subject: \"${ .[0].subject }\", data: \"${ .[0].data }\"}}}\n",
    );
    let workflow = server.apply(&text).await;
    server.until("/readyz", |ready| ready["endpoints"]["plant"]["connected"] == true).await;
    tokio::time::sleep(Duration::from_millis(300)).await; // the subscription is not visible from here

    let (client, mut received) = client(&url, &unique);
    client.subscribe(format!("{unique}/alerts/+"), QoS::AtLeastOnce).await.expect("subscribed");
    for n in 0..MESSAGES {
        let payload = json!({"id": n.to_string(), "value": n % 100}).to_string();
        client.publish(format!("{unique}/d{}/reading", n % 5), QoS::AtLeastOnce, false, payload).await.expect("sent");
    }
    // The first again, as a device does that heard nothing; and one that can't be read.
    client.publish(format!("{unique}/d0/reading"), QoS::AtLeastOnce, false, "{\"id\": \"0\"}").await.expect("sent");
    client.publish(format!("{unique}/d0/reading"), QoS::AtLeastOnce, false, "{\"id\":").await.expect("sent");

    let path = format!("/api/v1/executions?workflowId={workflow}&status=completed&limit=1000");
    server.until(&path, |list| list["items"].as_array().is_some_and(|items| items.len() >= MESSAGES)).await;
    let letters =
        server.until("/api/v1/deadletters", |list| list["items"].as_array().is_some_and(|l| !l.is_empty())).await;
    assert_eq!(letters["items"][0]["stage"], "decode");
    let runs = server.get(&path).await.expect(200);
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(MESSAGES), "the repetition started nothing");

    let mut alerts = 0;
    while alerts < MESSAGES / 100 * 9 {
        let (topic, payload) =
            tokio::time::timeout(Duration::from_secs(20), received.recv()).await.expect("in time").expect("open");
        let event: serde_json::Value = serde_json::from_str(&payload).expect("a structured event");
        assert_eq!(topic, format!("{unique}/alerts/{}", event["subject"].as_str().expect("a subject")));
        assert!(event["data"]["value"].as_u64() > Some(90));
        alerts += 1;
    }
    let acknowledged =
        format!("trinity_endpoint_acknowledged_total{{name=\"plant\",kind=\"source\"}} {}\n", MESSAGES + 2);
    let begun = std::time::Instant::now();
    loop {
        let metrics = server.get("/metrics").await.text;
        if metrics.contains(&acknowledged) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{metrics}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await;
}
