use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;
use reqwest::Method;
use serde_json::{Value, json};
use trinity_api::config::Config;

use crate::server::{Server, definition, send};

/// A receiver of events that can be made to refuse them.
#[derive(Clone, Default)]
struct Receiver {
    refuses: Arc<AtomicBool>,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/hook", post(receive)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/hook")
    }

    fn numbers(&self) -> Vec<Value> {
        self.events.lock().expect("no panic").iter().map(|event| event["data"]["n"].clone()).collect()
    }
}

async fn receive(State(receiver): State<Receiver>, body: String) -> StatusCode {
    if receiver.refuses.load(Ordering::SeqCst) {
        return StatusCode::UNPROCESSABLE_ENTITY;
    }
    receiver.events.lock().expect("no panic").push(serde_json::from_str(&body).expect("a structured event"));
    StatusCode::NO_CONTENT
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sink_refuses_for_good_is_kept_and_can_be_tried_again() {
    let receiver = Receiver::default();
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::in_directory(folder.path());
    let sink = json!({"match": {"type": "t.notice"}, "http": {"url": receiver.start().await}});
    config.sinks = vec![serde_json::from_value(sink).expect("a sink")];
    let server = Server::with(folder, &config).await;
    let text = definition(
        "notify",
        "1.0.0",
        "do:\n  - tell: {emit: {event: {with: {type: t.notice, data: \"${ {n} }\"}}}}\n  - other: {emit: {event: {with: {type: t.other}}}}\n",
    );
    let workflow = server.apply(&text).await;
    server.execute(&workflow, json!({"n": 1})).await;
    let delivered = "trinity_endpoint_accepted_total{name=\"http-0\",kind=\"sink\"} 1\n";
    while !server.get("/metrics").await.text.contains(delivered) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(receiver.numbers(), [1], "and nothing of t.other");

    receiver.refuses.store(true, Ordering::SeqCst);
    server.execute(&workflow, json!({"n": 2})).await;
    let list = server.until("/api/v1/deadletters", |list| list["items"].as_array().is_some_and(|l| l.len() == 1)).await;
    let letter = &list["items"][0];
    assert_eq!((&letter["stage"], &letter["source"]), (&json!("delivery"), &json!("http-0")));
    assert!(letter["reason"].as_str().is_some_and(|reason| reason.contains("422")), "{letter}");
    let path = format!("/api/v1/deadletters/{}/redrive", letter["id"].as_str().expect("an id"));
    let redrive = || send(server.request(Method::POST, &path));
    redrive().await.problem(422);
    receiver.refuses.store(false, Ordering::SeqCst);
    assert_eq!(redrive().await.expect(202)["status"], "redriven");
    assert_eq!(receiver.numbers(), [1, 2]);
    let list = server.get("/api/v1/deadletters").await.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "the second refusal made no second letter");
    redrive().await.problem(409);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_may_take_lifecycle_events_and_goes_on_where_it_was() {
    let receiver = Receiver::default();
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::in_directory(folder.path());
    let sink = json!({"match": {"type": "io.serverlessworkflow.workflow.*"}, "http": {"url": receiver.start().await}});
    config.sinks = vec![serde_json::from_value(sink).expect("a sink")];
    let server = Server::with(folder, &config).await;
    let workflow = server.apply(&definition("once", "1.0.0", "do:\n  - one: {set: {x: 1}}\n")).await;
    let types = || -> Vec<String> {
        let events = receiver.events.lock().expect("no panic");
        let short = |event: &Value| event["type"].as_str().unwrap_or_default().rsplit('.').nth(1).map(str::to_owned);
        events.iter().filter_map(short).collect()
    };
    let until = async |count: usize| {
        let begun = std::time::Instant::now();
        while types().len() < count {
            assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", types());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    server.execute(&workflow, json!({})).await;
    until(2).await;
    let folder = server.stop().await;
    let server = Server::with(folder, &config).await;
    server.execute(&workflow, json!({})).await;
    until(4).await;
    assert_eq!(types(), ["started", "completed", "started", "completed"]);
    let ids: std::collections::BTreeSet<String> =
        receiver.events.lock().expect("no panic").iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), 4, "none of before the restart came again");
    server.stop().await;
}
