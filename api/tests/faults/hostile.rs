//! What comes in may be anything: too large, too deep, no text at all, again, out of order, far too much at once; and a
//! definition may want all memory and all time. It is refused with its cause or faults alone; its neighbours keep their pace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, MqttOptions};
use serde_json::{Value, json};

use crate::ledger::Outside;
use crate::load::{self, Brokers};
use crate::metrics::{metric, resident};
use crate::node::{Asker, PATIENCE, Place, alone, unique};

const MEGABYTE: usize = 1 << 20;
/// As deep as this test reads it back.
const DEEP: usize = 110;

const TAKE: &str = "
document: {dsl: '1.0.0', namespace: hostile, name: take, version: '1.0.0'}
schedule: {on: {one: {with: {type: entry}}}}
do: [{keep: {set: {id: '${ .[0].id }'}}}]
";

/// What no source may take, and the stage at which it is refused.
fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let padded = |pad: usize| format!(r#"{{"id":"large","pad":"{}"}}"#, "x".repeat(pad)).into_bytes();
    let deep = format!(r#"{{"id":"deep","a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000)).into_bytes();
    vec![
        ("size", padded(MEGABYTE)),
        ("size", padded(8 * MEGABYTE)),
        ("decode", deep),
        ("decode", b"{\"id\": ".to_vec()),
        ("decode", vec![0xff, 0xfe, 0x00]),
        ("decode", Vec::new()),
        ("mapping", b"[1, 2]".to_vec()),
    ]
}

/// What is just allowed: as long as can be, and as deep.
fn allowed() -> [Vec<u8>; 2] {
    let frame = r#"{"id":"long","pad":""}"#.len();
    let long = format!(r#"{{"id":"long","pad":"{}"}}"#, "x".repeat(MEGABYTE - frame)).into_bytes();
    let deep = format!(r#"{{"id":"deep","a":{}{}}}"#, "[".repeat(DEEP), "]".repeat(DEEP)).into_bytes();
    [long, deep]
}

async fn ids(asker: &Asker, workflow: &str) -> BTreeMap<String, u32> {
    let mut ids = BTreeMap::new();
    for run in asker.all(&format!("/api/v1/executions?workflowId={workflow}&status=completed")).await {
        *ids.entry(run["output"]["id"].as_str().expect("an id").to_owned()).or_default() += 1;
    }
    ids
}

async fn until_ran(asker: &Asker, workflow: &str, wanted: &[(&str, u32)]) {
    let wanted: BTreeMap<String, u32> = wanted.iter().map(|(id, times)| ((*id).to_owned(), *times)).collect();
    let begun = Instant::now();
    loop {
        let found = ids(asker, workflow).await;
        if found == wanted {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_mqtt_brings_is_taken_or_becomes_a_dead_letter_with_its_cause() {
    let _alone = alone().await;
    let brokers = Brokers::shared();
    let run = unique("hostile");
    let sources = format!(
        "sources:\n  - name: {run}\n    mqtt: {{ url: '{}', topics: ['{run}/#'] }}\n    \
         event: {{ type: entry, id: '${{ .payload.id }}', subject: '${{ .topic }}' }}\n",
        brokers.mqtt
    );
    let place = Place::new("shards: 2", &sources);
    let node = place.start();
    let asker = Asker::new(&node.base);
    let workflow = asker.apply(TAKE).await;
    asker.until("/readyz", |ready| ready["endpoints"][&run]["connected"] == true).await;

    let (host, port) = brokers.mqtt.trim_start_matches("mqtt://").split_once(':').expect("host:port");
    let mut options = MqttOptions::new(unique("publisher"), host, port.parse().expect("a port"));
    options.set_max_packet_size(Some(u32::MAX >> 4));
    let (client, mut events) = AsyncClient::new(options, 64);
    tokio::spawn(async move { while events.poll().await.is_ok() {} });
    let publish = async |payload: Vec<u8>| {
        client.publish(format!("{run}/a"), QoS::AtLeastOnce, false, payload).await.expect("room");
    };
    let (hostile, [long, deep]) = (refused(), allowed());
    for (_, payload) in &hostile {
        publish(payload.clone()).await;
    }
    for _ in 0..3 {
        publish(long.clone()).await;
    }
    publish(deep).await;
    publish(br#"{"id":"last"}"#.to_vec()).await;
    until_ran(&asker, &workflow, &[("deep", 1), ("last", 1), ("long", 1)]).await;
    let letters = asker.all("/api/v1/deadletters?").await;
    let mut stages: Vec<&str> = letters.iter().filter_map(|letter| letter["stage"].as_str()).collect();
    let mut wanted: Vec<&str> = hostile.iter().map(|(stage, _)| *stage).collect();
    stages.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(stages, wanted);
    assert!(
        letters.iter().all(|letter| letter["reason"].as_str().is_some_and(|reason| reason.len() > 10)),
        "{letters:?}"
    );
    assert_eq!(metric(&asker, "trinity_endpoint_acknowledged_total", &run).await, (hostile.len() + 5) as f64);
    assert_eq!(node.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kafka_brings_is_taken_or_goes_to_the_dead_letter_topic_with_its_cause() {
    let _alone = alone().await;
    let brokers = Brokers::shared();
    let (run, topic) = (unique("hostile"), load::topic(&brokers.kafka).await);
    let sources = format!(
        "sources:\n  - name: {run}\n    kafka: {{ brokers: '{}', topics: ['{topic}'], group: '{run}' }}\n    \
         payload_max: 100000\n    event: {{ type: entry, subject: '${{ .payload.id }}' }}\n",
        brokers.kafka
    );
    let place = Place::new("shards: 2", &sources);
    let node = place.start();
    let asker = Asker::new(&node.base);
    let workflow = asker.apply(TAKE).await;
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", &brokers.kafka).create().expect("a producer");
    let large = format!(r#"{{"id":"large","pad":"{}"}}"#, "x".repeat(100_000)).into_bytes();
    let small = refused().into_iter().filter(|(stage, _)| *stage != "size");
    let hostile: Vec<_> = small.chain([("size", large)]).collect();
    for (_, payload) in &hostile {
        producer.send(FutureRecord::to(&topic).key("a").payload(payload), PATIENCE).await.expect("delivered");
    }
    let last = br#"{"id":"last"}"#;
    for _ in 0..2 {
        producer.send(FutureRecord::to(&topic).key("a").payload(last.as_slice()), PATIENCE).await.expect("delivered");
    }
    // Two records are two messages: of Kafka the place tells them apart.
    until_ran(&asker, &workflow, &[("last", 2)]).await;
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", &brokers.kafka)
        .set("group.id", unique("reader"))
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    consumer.subscribe(&[&format!("{topic}.dlq")]).expect("subscribed");
    let mut causes = Vec::new();
    while causes.len() < hostile.len() {
        let letter = tokio::time::timeout(PATIENCE, consumer.recv()).await.expect("in time").expect("a record");
        let headers = letter.headers().expect("headers").iter();
        let text: Vec<String> = headers
            .map(|header| format!("{}={}", header.key, String::from_utf8_lossy(header.value.unwrap_or_default())))
            .collect();
        causes.push(text.join(" "));
    }
    for stage in ["size", "decode", "mapping"] {
        assert!(causes.iter().any(|cause| cause.contains(stage)), "{stage}: {causes:?}");
    }
    assert_eq!(node.terminate(), 0);
}

/// Executes a small workflow again and again, as a neighbour; how long each took, from the slowest on.
struct Neighbour {
    stop: Arc<AtomicBool>,
    worker: tokio::task::JoinHandle<Vec<Duration>>,
}

impl Neighbour {
    fn start(asker: &Asker, workflow: &str) -> Neighbour {
        let stop = Arc::new(AtomicBool::new(false));
        let (asker, path, own) =
            (asker.clone(), format!("/api/v1/workflows/{workflow}/execute?wait=20s"), stop.clone());
        let worker = tokio::spawn(async move {
            let mut took = Vec::new();
            while !own.load(Ordering::SeqCst) {
                let begun = Instant::now();
                let answer = asker.post(&path).json(&json!([{"id": "n"}])).send().await.expect("an answer");
                assert_eq!(answer.status(), 201, "it ends at once");
                took.push(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            took.sort_unstable();
            took.reverse();
            took
        });
        Neighbour { stop, worker }
    }

    async fn finish(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::SeqCst);
        self.worker.await.expect("no panic")
    }
}

/// The duration that a hundredth is above.
fn p99(took: &[Duration]) -> Duration {
    took[took.len() / 100]
}

fn definition(name: &str, tasks: &str) -> String {
    format!("document: {{dsl: '1.0.0', namespace: hostile, name: {name}, version: '1.0.0'}}\ndo:\n{tasks}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_definition_faults_alone_and_its_neighbours_keep_their_pace() {
    let _alone = alone().await;
    let place = Place::new("shards: 4", "");
    let node = place.start();
    let asker = Asker::new(&node.base);
    let neighbour = asker.apply(TAKE).await;
    let hostile = [
        ("looping", "- a: {set: {x: '${ def f: f; f }'}}"),
        ("until", "- a: {set: {x: '${ 0 | until(false; . + 1) }'}}"),
        ("deep", "- a: {set: {x: '${ def f: 1 + f; f }'}}"),
        ("nested", "- a: {set: {x: '${ reduce range(100000) as $i (null; [.]) | tojson }'}}"),
        ("hungry", "- a: {set: {x: '${ [range(1000000000)] }'}}"),
        ("doubling", "- a: {set: {x: '${ reduce range(64) as $i (\"x\"; . + .) }'}}"),
        ("regex", "- a: {set: {x: '${ (\"a\" * 40 + \"b\") | test(\"(a+)+$\") }'}}"),
        ("halt", "- a: {set: {x: '${ halt }'}}"),
        ("env", "- a: {set: {x: '${ env.HOME }'}}"),
        ("endless", "- a: {set: '${ . }', then: b}\n- b: {set: '${ . }', then: a}"),
        (
            "long",
            "- a: {set: {x: '${ \"x\" * 1000000 }'}}\n- b: {for: {in: '${ [range(500)] }'}, do: [{c: {set: {x: '${ .x }'}}}]}",
        ),
        ("wide", &wide()),
        (
            "chatty",
            "- a: {for: {in: '${ [range(300)] }'}, do: [{c: {emit: {event: {with: {type: t, data: {x: '${ \"x\" * 500000 }'}}}}}}]}",
        ),
    ];
    let quiet = Neighbour::start(&asker, &neighbour);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let quiet = quiet.finish().await;
    let beside = Neighbour::start(&asker, &neighbour);
    let mut peak = 0;
    for (name, tasks) in hostile {
        let request = asker.post("/api/v1/workflows").header("content-type", "application/yaml");
        let answer = request.body(definition(name, tasks)).send().await.expect("an answer");
        if answer.status() == 422 {
            // Some are refused at once, which is as well.
            println!("hostile: {name}: {}", answer.text().await.expect("a body"));
            assert!(matches!(name, "halt" | "env"), "{name}");
            continue;
        }
        let workflow: Value = answer.json().await.expect("JSON");
        let id = asker.execute(workflow["id"].as_str().expect("an id"), &json!({"n": 1})).await;
        let run = asker.until(&format!("/api/v1/executions/{id}"), |run| run["status"] != "running").await;
        println!("hostile: {name}: {} {} ms {}", run["status"], run["durationMs"], run["error"]["detail"]);
        // A value may be deep, if nothing recurses over it; and a regex is let try for a while.
        assert!(run["status"] == "faulted" || matches!(name, "nested" | "regex"), "{name}: {run}");
        peak = peak.max(resident(&node));
    }
    let beside = beside.finish().await;
    println!(
        "hostile: a neighbour takes {:?} (p99) alone, {:?} beside them, {:?} at most; {} MiB resident at most",
        p99(&quiet),
        p99(&beside),
        beside[0],
        peak >> 20
    );
    assert!(peak < 1 << 30, "{peak} bytes");
    assert!(beside[0] < Duration::from_secs(5), "a neighbour waited for {:?}", beside[0]);
    assert_eq!(node.terminate(), 0);
}

/// Many branches at once, each of which keeps a large input.
fn wide() -> String {
    let branches: String = (0..400).map(|n| format!("    - b{n}: {{wait: {{hours: 1}}}}\n")).collect();
    format!(
        "- a: {{set: {{x: '${{ \"x\" * 1000000 }}'}}}}\n- f:\n    fork:\n      branches:\n{}",
        branches.replace("    - ", "      - ")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_and_mistakes_are_told_with_their_place_and_cure() {
    let _alone = alone().await;
    let place = Place::new("shards: 2", "");
    let node = place.start();
    let asker = Asker::new(&node.base);
    let laughs: String =
        (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","))).collect();
    let bomb = format!("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n{laughs}");
    let deep = format!("document: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    let head = "document: {dsl: '1.0.0', namespace: t, name: t, version: '1.0.0'}\n";
    for (kind, text, place) in [
        ("yaml", bomb.as_str(), true),
        ("yaml", deep.as_str(), true),
        ("json", &format!("{{\"document\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000)), true),
        ("yaml", &format!("{head}do: [{{a: {{sett: {{x: 1}}}}}}]"), true),
        ("yaml", &format!("{head}do: [{{a: {{wait: soon}}}}]"), true),
        ("yaml", &format!("{head}do: {{a: {{set: {{x: 1}}}}}}"), true),
        ("yaml", &format!("{head}do: [{{a: {{set: {{x: '${{ .a | }}'}}}}}}]"), true),
        ("yaml", "a: [", true),
        ("yaml", "\u{0}", true),
        ("json", "{", true),
    ] {
        let begun = Instant::now();
        let request = asker.post("/api/v1/workflows").header("content-type", format!("application/{kind}"));
        let answer = request.body(text.to_owned()).send().await.expect("an answer");
        let (status, problem) = (answer.status(), answer.json::<Value>().await.expect("a problem"));
        assert!(matches!(status.as_u16(), 400 | 422), "{status} {problem}");
        let first = &problem["errors"][0];
        assert!(!place || first["line"].is_u64() && first["column"].is_u64(), "{problem}");
        assert!(first["detail"].as_str().or(first["message"].as_str()).is_some_and(|text| text.len() > 5), "{problem}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?} for {} bytes", begun.elapsed(), text.len());
    }
    assert!(resident(&node) < 512 << 20, "{}", resident(&node));
    let file = place.folder().join("bomb.yaml");
    std::fs::write(&file, bomb).expect("written");
    let said =
        std::process::Command::new(env!("CARGO_BIN_EXE_trinity")).arg("validate").arg(&file).output().expect("it runs");
    assert_eq!(said.status.code(), Some(2));
    let text = String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout);
    assert!(text.contains("bomb.yaml:") && text.contains("help"), "{text}");
    assert_eq!(node.terminate(), 0);
}

const CALL: &str = "
document: {dsl: '1.0.0', namespace: hostile, name: call, version: '1.0.0'}
do: [{a: {call: http, with: {method: post, endpoint: 'URL/slow', body: '${ . }'}}}]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_that_takes_ten_seconds_slows_nobody_else() {
    let _alone = alone().await;
    let outside = Outside::start(0).await;
    let place = Place::new("shards: 4", "");
    let node = place.start();
    let asker = Asker::new(&node.base);
    let neighbour = asker.apply(TAKE).await;
    let slow = asker.apply(&CALL.replace("URL", &outside.url)).await;
    let count = async |seconds: u64| {
        let quiet = Neighbour::start(&asker, &neighbour);
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        quiet.finish().await.len() as f64
    };
    let alone = count(4).await;
    for n in 0..500 {
        asker.execute(&slow, &json!({"id": format!("s{n}"), "millis": 10_000})).await;
    }
    assert_eq!(metric(&asker, "trinity_calls", "").await, 500.0);
    let beside = count(4).await;
    println!("slow callee: {alone} executions alone, {beside} beside 500 calls that wait");
    assert!(beside >= alone * 0.9, "{alone} alone, {beside} beside");
    asker
        .until("/api/v1/executions?status=running&limit=1", |list| list["items"].as_array().is_some_and(Vec::is_empty))
        .await;
    assert_eq!(node.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_waits_where_it_comes_from_and_memory_stays_under_its_cap() {
    let _alone = alone().await;
    let brokers = Brokers::shared();
    let (run, topic) = (unique("burst"), load::topic(&brokers.kafka).await);
    let outside = Outside::start(0).await;
    let sources = format!(
        "sources:\n  - name: {run}\n    kafka: {{ brokers: '{}', topics: ['{topic}'], group: '{run}' }}\n    \
         event: {{ type: entry }}\nsinks: [{{match: {{type: booked}}, http: {{url: '{}/sink'}}}}]\n",
        brokers.kafka, outside.url
    );
    // 40 messages of 900 kB that are there before the node is: in memory each is 11 MB, and all of them 430.
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers.kafka)
        .set("message.max.bytes", "2000000")
        .create()
        .expect("a producer");
    const COUNT: u64 = 40;
    let numbers = vec!["1"; 450_000].join(",");
    for n in 0..COUNT {
        let payload = format!(r#"{{"id":"k{n}","numbers":[{numbers}]}}"#);
        let key = format!("device-{}", n % 7);
        producer.send(FutureRecord::to(&topic).key(&key).payload(&payload), PATIENCE).await.expect("delivered");
    }
    let place = Place::new("shards: 4", &sources);
    let node = place.start();
    let asker = Asker::new(&node.base);
    let say = "
document: {dsl: '1.0.0', namespace: hostile, name: say, version: '1.0.0'}
schedule: {on: {one: {with: {type: entry}}}}
do:
- small: {set: {id: '${ .[0].id }'}}
- say: {emit: {event: {with: {type: booked, subject: '${ .id }', data: '${ . }'}}}}
";
    asker.apply(say).await;
    let (begun, mut peak) = (Instant::now(), 0);
    while !outside.ledger.judge(load::ids(0, COUNT, 0)).lost.is_empty() {
        peak = peak.max(resident(&node));
        assert!(begun.elapsed() < PATIENCE * 3, "it does not end");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(outside.ledger.judge(load::ids(0, COUNT, 0)).doubled.is_empty());
    println!("burst: {COUNT} messages of 900 kB in {:?}, {} MiB resident at most", begun.elapsed(), peak >> 20);
    assert!(peak < 400 << 20, "{peak} bytes resident");
    assert_eq!(node.terminate(), 0);
}
