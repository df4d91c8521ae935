//! The MQTT source against a real broker (`deploy/local/services start mosquitto`; skipped without TRINITY_TEST_MQTT).

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::PublishProperties;
use rumqttc::v5::{AsyncClient, MqttOptions};
use tokio::sync::mpsc;
use trinity_engine::input::{Origin, SourceEvent};
use trinity_ingest::config::SourceConfig;
use trinity_ingest::mqtt;
use trinity_ingest::source::{CHANNEL_CAPACITY, Intake, Source};

const WAIT: Duration = Duration::from_secs(20);

/// An address from the environment, or `None` with a visible note.
fn server(variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok().filter(|address| !address.is_empty());
    if found.is_none() {
        eprintln!("SKIPPED: {variable} is not set; start the servers with deploy/local/services");
    }
    found
}

fn unique() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn start(url: &str, name: &str, settings: &str) -> (Source, mpsc::Receiver<Intake>) {
    let json = format!(
        r#"{{"name": "{name}", "mqtt": {{"url": "{url}", "topics": ["t/{name}/+"] {settings}}}, "event": {{"type": "reading"}}}}"#
    );
    let config: SourceConfig = serde_json::from_str(&json).expect("a source");
    let (sender, intakes) = mpsc::channel(CHANNEL_CAPACITY);
    (mqtt::start(&config, "test", sender).expect("starts"), intakes)
}

/// A client whose loop runs until the test ends.
fn publisher(url: &str) -> AsyncClient {
    let url = url::Url::parse(url).expect("a URL");
    let mut options = MqttOptions::new(unique(), url.host_str().expect("a host"), url.port().expect("a port"));
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 1 << 16);
    tokio::spawn(async move { while events.poll().await.is_ok() {} });
    client
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + WAIT;
    while !holds() {
        assert!(tokio::time::Instant::now() < end, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn subscribed(source: &Source) {
    until("connection", || source.status().is_connected()).await;
    tokio::time::sleep(Duration::from_millis(200)).await; // the status can't tell the SUBACK
}

async fn next(intakes: &mut mpsc::Receiver<Intake>) -> Intake {
    tokio::time::timeout(WAIT, intakes.recv()).await.expect("in time").expect("the source runs")
}

async fn take(intakes: &mut mpsc::Receiver<Intake>, count: usize, acknowledge: bool) -> Vec<SourceEvent> {
    let mut events = Vec::new();
    while events.len() < count {
        let intake = next(intakes).await;
        if acknowledge {
            intake.receipts.durable(intake.events.iter().map(|event| event.token).collect());
        }
        events.extend(intake.events);
    }
    events
}

fn data(events: &[SourceEvent]) -> Vec<String> {
    events
        .iter()
        .map(|event| event.event.data.as_ref().map_or_else(String::new, trinity_engine::value::Value::to_json))
        .collect()
}

async fn unacknowledged_come_again(protocol: &str, qos: u8) {
    let Some(url) = server("TRINITY_TEST_MQTT") else { return };
    let name = unique();
    let settings = format!(r#", "protocol": "{protocol}", "qos": {qos}"#);
    let (source, mut intakes) = start(&url, &name, &settings);
    subscribed(&source).await;
    let client = publisher(&url);
    let publish_qos = rumqttc::v5::mqttbytes::qos(qos).expect("a quality");
    for n in 0..10 {
        client.publish(format!("t/{name}/a"), publish_qos, false, n.to_string()).await.expect("published");
    }
    let first = take(&mut intakes, 10, false).await;
    assert_eq!(data(&first), (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
    // The process dies without a word: no receipt, no disconnect.
    drop(intakes);
    drop(source);
    let (source, mut intakes) = start(&url, &name, &settings);
    let again = take(&mut intakes, 10, true).await;
    assert_eq!(data(&again), data(&first));
    for (before, after) in first.iter().zip(&again) {
        let (Origin::Key { key: old, .. }, Origin::Key { key: new, redelivered }) = (&before.origin, &after.origin)
        else {
            panic!("plain messages are known by their delivery key");
        };
        assert_eq!((old, *redelivered), (new, true));
    }
    until("acknowledgements", || source.status().acknowledged.get() == 10).await;
    source.stop().await;
    let (source, mut intakes) = start(&url, &name, &settings);
    subscribed(&source).await;
    client.publish(format!("t/{name}/a"), publish_qos, false, "99").await.expect("published");
    assert_eq!(data(&take(&mut intakes, 1, true).await), ["99"], "what was acknowledged does not come again");
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qos_1_of_mqtt_5_comes_again_until_acknowledged() {
    unacknowledged_come_again("5", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qos_2_of_mqtt_5_comes_again_until_acknowledged() {
    unacknowledged_come_again("5", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn qos_1_of_mqtt_3_comes_again_until_acknowledged() {
    unacknowledged_come_again("3.1.1", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn properties_of_mqtt_5_and_bad_payloads() {
    let Some(url) = server("TRINITY_TEST_MQTT") else { return };
    let name = unique();
    let (source, mut intakes) = start(&url, &name, "");
    subscribed(&source).await;
    let client = publisher(&url);
    let mut properties = PublishProperties { response_topic: Some("answers".into()), ..PublishProperties::default() };
    let topic = format!("t/{name}/a");
    let publish = async |payload: &'static str, properties: PublishProperties| {
        client.publish_with_properties(&topic, QoS::AtLeastOnce, false, payload, properties).await.expect("published");
    };
    publish("1", properties.clone()).await;
    for (key, value) in [("specversion", "1.0"), ("id", "e1"), ("source", "/x"), ("type", "own")] {
        properties.user_properties.push((key.into(), value.into()));
    }
    publish("2", properties).await;
    publish("{broken", PublishProperties::default()).await;
    let (mut events, mut letters) = (Vec::new(), Vec::new());
    while events.len() + letters.len() < 3 {
        let intake = next(&mut intakes).await;
        let rejected = intake.dead_letters.iter().map(|rejected| rejected.token);
        intake.receipts.durable(intake.events.iter().map(|event| event.token).chain(rejected).collect());
        events.extend(intake.events);
        letters.extend(intake.dead_letters);
    }
    assert_eq!(events[0].event.extensions[0].0, "mqttresponsetopic");
    assert_eq!((events[1].event.id.as_str(), events[1].event.event_type.as_str()), ("e1", "own"));
    assert_eq!(events[1].origin, Origin::Id);
    assert_eq!(letters[0].letter.payload.as_deref(), Some(b"{broken".as_slice()));
    assert!(letters[0].letter.reason.contains("JSON"));
    until("acknowledgements", || source.status().acknowledged.get() == 3).await;
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_are_ignored_unless_accepted() {
    let Some(url) = server("TRINITY_TEST_MQTT") else { return };
    for (settings, expected) in [("", "2"), (r#", "protocol": "3.1.1""#, "2"), (r#", "retained": "accept""#, "1")] {
        let name = unique();
        let client = publisher(&url);
        client.publish(format!("t/{name}/a"), QoS::AtLeastOnce, true, "1").await.expect("published");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (source, mut intakes) = start(&url, &name, settings);
        subscribed(&source).await;
        client.publish(format!("t/{name}/b"), QoS::AtLeastOnce, false, "2").await.expect("published");
        assert_eq!(data(&take(&mut intakes, 1, true).await)[0], expected, "{settings}");
        source.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_shares_the_messages() {
    let Some(url) = server("TRINITY_TEST_MQTT") else { return };
    let name = unique();
    let member = |id: &str| start(&url, &name, &format!(r#", "group": "g{name}", "client_id": "{id}{name}""#));
    let ((one, mut from_one), (two, mut from_two)) = (member("one"), member("two"));
    subscribed(&one).await;
    subscribed(&two).await;
    let client = publisher(&url);
    for n in 0..100 {
        client.publish(format!("t/{name}/a"), QoS::AtLeastOnce, false, n.to_string()).await.expect("published");
    }
    let (mut all, mut parts) = (Vec::new(), [0, 0]);
    while all.len() < 100 {
        let (part, intake) = tokio::select! {
            intake = next(&mut from_one) => (0, intake),
            intake = next(&mut from_two) => (1, intake),
        };
        parts[part] += intake.events.len();
        intake.receipts.durable(intake.events.iter().map(|event| event.token).collect());
        all.extend(data(&intake.events));
    }
    all.sort_by_key(|text| text.parse::<u32>().expect("a number"));
    assert_eq!(all, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(parts[0] > 0 && parts[1] > 0, "{parts:?}");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_an_own_authority() {
    let (Some(plain), Some(url), Some(ca)) =
        (server("TRINITY_TEST_MQTT"), server("TRINITY_TEST_MQTT_TLS"), server("TRINITY_TEST_MQTT_CA"))
    else {
        return;
    };
    let name = unique();
    let (source, mut intakes) = start(&url, &name, &format!(r#", "ca": "{ca}""#));
    subscribed(&source).await;
    publisher(&plain).publish(format!("t/{name}/a"), QoS::AtLeastOnce, false, "7").await.expect("published");
    assert_eq!(data(&take(&mut intakes, 1, true).await), ["7"]);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_down_at_start_is_waited_for() {
    let Some(url) = server("TRINITY_TEST_MQTT") else { return };
    let broker = url::Url::parse(&url).expect("a URL");
    let broker = format!("{}:{}", broker.host_str().expect("a host"), broker.port().expect("a port"));
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = reserved.local_addr().expect("an address");
    drop(reserved);
    let name = unique();
    let (source, mut intakes) = start(&format!("mqtt://{address}"), &name, "");
    until("a refused connection", || source.status().last_error().is_some()).await;
    assert!(!source.status().is_connected());
    // The broker comes up: a proxy to the real one on the address that was closed.
    let listener = tokio::net::TcpListener::bind(address).await.expect("the port is free");
    tokio::spawn(async move {
        while let Ok((mut inner, _)) = listener.accept().await {
            let broker = broker.clone();
            tokio::spawn(async move {
                let mut outer = tokio::net::TcpStream::connect(broker).await.expect("the broker");
                let _ = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
            });
        }
    });
    subscribed(&source).await;
    assert_eq!(source.status().last_error(), None);
    publisher(&url).publish(format!("t/{name}/a"), QoS::AtLeastOnce, false, "1").await.expect("published");
    assert_eq!(data(&take(&mut intakes, 1, true).await), ["1"]);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test -p trinity-ingest --test mqtt -- --ignored --nocapture"]
async fn rate_of_qos_1() {
    const COUNT: usize = 100_000;
    let Some(url) = server("TRINITY_TEST_MQTT") else { return };
    let name = unique();
    let (source, mut intakes) = start(&url, &name, "");
    subscribed(&source).await;
    let client = publisher(&url);
    let topic = format!("t/{name}/a");
    tokio::spawn(async move {
        for n in 0..COUNT {
            let payload = format!(r#"{{"sensor":"a","n":{n},"temperature":21.5,"unit":"C"}}"#);
            client.publish(&topic, QoS::AtLeastOnce, false, payload).await.expect("published");
        }
    });
    let since = std::time::Instant::now();
    take(&mut intakes, COUNT, true).await;
    until("acknowledgements", || source.status().acknowledged.get() == COUNT as u64).await;
    eprintln!("{:.0} messages/s", COUNT as f64 / since.elapsed().as_secs_f64());
    source.stop().await;
}
