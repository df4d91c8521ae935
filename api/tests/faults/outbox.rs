//! A sink that is away for long: what waits for it has a bound, the node says why it takes nothing, and goes on by itself.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::ledger::Outside;
use crate::load;
use crate::metrics::metric;
use crate::node::{Asker, PATIENCE, Place, alone};

const MAX: f64 = 262_144.0;

const EVENTS: &str = "
document: {dsl: '1.0.0', namespace: outbox, name: say, version: '1.0.0'}
schedule: {on: {one: {with: {type: entry}}}}
do:
- say: {emit: {event: {with: {type: booked, subject: '${ .[0].id }', data: '${ .[0] }'}}}}
";
const TICKS: &str = "
document: {dsl: '1.0.0', namespace: outbox, name: tick, version: '1.0.0'}
schedule: {every: {milliseconds: 20}}
do:
- say: {emit: {event: {with: {type: booked, subject: '${ $workflow.id }', data: {text: '${ \"x\" * 2000 }'}}}}}
";

fn event(n: u32) -> String {
    json!({"specversion": "1.0", "id": n.to_string(), "source": "/faults", "type": "entry",
        "data": {"id": format!("e{n}"), "text": "x".repeat(2_000)}})
    .to_string()
}

async fn post(asker: &Asker, n: u32) -> reqwest::Response {
    let request = asker.post("/api/v1/events").header("content-type", "application/cloudevents+json");
    request.body(event(n)).send().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_wait_for_a_sink_have_a_bound_and_the_node_says_so() {
    let _alone = alone().await;
    let outside = Outside::start(0).await;
    outside.ledger.sink_is_down.store(true, Ordering::Relaxed);
    let sinks = format!("sinks: [{{match: {{type: booked}}, http: {{url: '{}/sink'}}}}]\n", outside.url);
    let place = Place::new("shards: 2, outbox_max: 256KiB", &sinks);
    let mut node = place.start();
    let asker = Asker::new(&node.base);
    asker.apply(EVENTS).await;

    let mut accepted = 0;
    let refused = loop {
        let answer = post(&asker, accepted).await;
        if answer.status() != StatusCode::ACCEPTED {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 10_000, "nothing stops it");
    };
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.expect("JSON");
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("engine.outbox_max")), "{problem}");
    let ready = asker.get("/readyz").send().await.expect("an answer");
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let ready: Value = ready.json().await.expect("JSON");
    assert!(ready["reason"].as_str().is_some_and(|text| text.contains("wait for sinks")), "{ready}");
    assert_eq!(ready["endpoints"]["http-0"]["connected"], false, "{ready}");
    let bytes = metric(&asker, "trinity_shard_outbox_bytes", "").await;
    assert!(bytes > MAX && bytes < MAX * 1.2, "{bytes}");

    // Killed with a full outbox it comes back with it.
    node.kill();
    node = place.start();
    asker.moved(&node.base);
    let begun = Instant::now();
    while post(&asker, accepted).await.status() != StatusCode::SERVICE_UNAVAILABLE {
        assert!(begun.elapsed() < Duration::from_secs(10), "the bound is forgotten");
    }
    outside.ledger.sink_is_down.store(false, Ordering::Relaxed);
    load::post(&asker, event(accepted + 1)).await;
    let begun = Instant::now();
    let ids = || (0..accepted).chain([accepted + 1]).map(|n| format!("e{n}"));
    while !outside.ledger.judge(ids()).lost.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "they do not arrive");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(outside.ledger.judge(ids()).doubled.is_empty());
    asker.until("/readyz", |ready| ready["status"] == "ready").await;
    assert_eq!(node.terminate(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_rest_while_a_sink_is_too_far_behind() {
    let _alone = alone().await;
    let outside = Outside::start(0).await;
    outside.ledger.sink_is_down.store(true, Ordering::Relaxed);
    let sinks = format!("sinks: [{{match: {{type: booked}}, http: {{url: '{}/sink'}}}}]\n", outside.url);
    let place = Place::new("shards: 1, outbox_max: 64KiB", &sinks);
    let node = place.start();
    let asker = Asker::new(&node.base);
    asker.apply(TICKS).await;
    let started = || metric(&asker, "trinity_executions_started_total", "");
    let begun = Instant::now();
    while metric(&asker, "trinity_shard_outbox_bytes", "").await <= 65_536.0 {
        assert!(begun.elapsed() < PATIENCE, "it does not fill");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let held = started().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(started().await <= held + 1.0, "schedules go on");
    outside.ledger.sink_is_down.store(false, Ordering::Relaxed);
    let begun = Instant::now();
    while started().await < held + 20.0 {
        assert!(begun.elapsed() < PATIENCE, "schedules do not go on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(node.terminate(), 0);
}
