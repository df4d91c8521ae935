//! The world around the node: what the devices publish is what a subscriber gets.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use tokio::sync::{mpsc, watch};

use super::recording::Recording;
use super::script::{Kind, Script};
use super::{broker, devices, service};

const WAIT: Duration = Duration::from_secs(20);

/// Everything that is published from now on: topics and ids.
async fn subscriber(broker: std::net::SocketAddr) -> mpsc::UnboundedReceiver<(String, String)> {
    let mut options = MqttOptions::new("test", broker.ip().to_string(), broker.port());
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 16);
    client.subscribe("devices/#", QoS::AtLeastOnce).await.expect("room");
    let (sender, receiver) = mpsc::unbounded_channel();
    let (confirm, mut confirmed) = mpsc::channel(1);
    tokio::spawn(async move {
        let _client = client;
        while let Ok(event) = events.poll().await {
            match event {
                Event::Incoming(Incoming::SubAck(_)) => confirm.send(()).await.expect("awaited"),
                Event::Incoming(Incoming::Publish(message)) => {
                    let payload: serde_json::Value = serde_json::from_slice(&message.payload).expect("JSON");
                    let id = payload["id"].as_str().expect("an id").to_owned();
                    let topic = String::from_utf8(message.topic.to_vec()).expect("UTF-8");
                    if sender.send((topic, id)).is_err() {
                        return;
                    }
                }
                _ => {}
            }
        }
    });
    tokio::time::timeout(WAIT, confirmed.recv()).await.expect("in time").expect("confirmed");
    receiver
}

fn script(seconds: u64, rate: u32) -> Arc<Script> {
    Arc::new(Script::new(Recording::load().expect("a recording"), Duration::from_secs(seconds), rate))
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_the_script_says_arrives_in_each_devices_order() {
    let broker = broker::start().await.expect("a broker");
    let mut received = subscriber(broker).await;
    let script = script(2, 60_000);
    let (_stop, stopped) = watch::channel(false);
    let progress = Arc::new(devices::Progress::default());
    let published = devices::play(script.clone(), broker, stopped, progress.clone()).await.expect("all acknowledged");
    let due: Vec<_> = (0..script.devices).flat_map(|device| script.messages(device)).collect();
    assert_eq!(published.len(), due.len());
    assert_eq!(progress.count(), due.len() as u64);
    let mut all = Vec::new();
    while all.len() < due.len() {
        all.push(tokio::time::timeout(WAIT, received.recv()).await.expect("in time").expect("connected"));
    }
    let ids: BTreeSet<&str> = all.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(ids, published.iter().map(|(_, id)| id.as_str()).collect());
    for device in 0..script.devices {
        let topic = format!("devices/{}/reading", Script::name(device));
        let own = all.iter().filter(|(own, _)| *own == topic).map(|(_, id)| id.clone());
        let expected = script.messages(device).into_iter().filter(|due| due.kind == Kind::Reading);
        assert_eq!(own.collect::<Vec<_>>(), expected.map(|due| Script::id(&due)).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_are_stopped_say_goodbye() {
    let broker = broker::start().await.expect("a broker");
    let script = script(3_600, 600);
    let (stop, stopped) = watch::channel(false);
    let progress = Arc::new(devices::Progress::default());
    let play = tokio::spawn(devices::play(script.clone(), broker, stopped, progress.clone()));
    while progress.count() < 10 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.send_replace(true);
    let published = tokio::time::timeout(WAIT, play).await.expect("in time").expect("no panic").expect("acknowledged");
    let of = |kind| published.iter().filter(|(own, _)| *own == kind).count();
    assert_eq!((of(Kind::Online), of(Kind::Offline)), (script.devices, script.devices));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_third_request_fails_and_a_repeated_ticket_is_no_new_one() {
    let service = service::Service::start().await.expect("a port");
    let _ = rustls::crypto::ring::default_provider().install_default(); // or another test did
    let client = reqwest::Client::builder().build().expect("a client");
    let base = format!("http://{}", service.address);
    let open = |key: &'static str| client.post(format!("{base}/tickets")).header("idempotency-key", key).body("{}");
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let answer = open("one").header("content-type", "application/json").send().await.expect("an answer");
        statuses.push(answer.status().as_u16());
    }
    statuses.push(client.get(format!("{base}/devices/d001")).send().await.expect("an answer").status().as_u16());
    assert_eq!(statuses, [201, 201, 500, 200]);
    let counts = service.counts();
    assert_eq!((counts.requests, counts.failures, counts.tickets.len(), counts.repetitions), (4, 1, 1, 1));
}
