use std::time::Duration;

use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, definition, send};

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

/// Started by an event, it emits another.
fn relay() -> String {
    definition(
        "relay",
        "1.0.0",
        "schedule: {on: {one: {with: {type: t.in}}}}\n\
         do:\n  - tell: {emit: {event: {with: {type: t.out, data: \"${ {n: .[0].n} }\"}}}}\n",
    )
}

fn event(id: &str, n: u32) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "s", "type": "t.in", "data": {"n": n}})
}

async fn completed(server: &Server, workflow: &str, count: usize) -> Value {
    let path = format!("/api/v1/executions?workflowId={workflow}&status=completed");
    server.until(&path, |list| list["items"].as_array().is_some_and(|items| items.len() >= count)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_every_mode_and_repetitions_do_nothing() {
    let server = Server::start().await;
    let workflow = server.apply(&relay()).await;
    let path = "/api/v1/events";
    assert_eq!(server.post_text(path, STRUCTURED, event("1", 1).to_string()).await.expect(202)["accepted"], 1);
    let batch = json!([event("2", 2), event("3", 3), event("1", 1)]);
    assert_eq!(server.post_text(path, BATCH, batch.to_string()).await.expect(202)["accepted"], 3);
    let binary = server.request(Method::POST, path).header("ce-specversion", "1.0").header("ce-id", "4");
    let binary = binary.header("ce-source", "s").header("ce-type", "t.in").json(&json!({"n": 4}));
    send(binary).await.expect(202);
    send(server.request(Method::POST, path).header("content-type", BATCH).body("[]")).await.expect(202);
    let list = completed(&server, &workflow, 4).await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(4), "the repetition of 1 starts nothing");
    let first = list["items"].as_array().and_then(|items| items.iter().find(|run| run["input"] == json!([{"n": 4}])));
    assert_eq!(first.expect("it ran")["trigger"], json!({"kind": "event", "eventId": "4", "source": "s"}));

    server.post_text(path, STRUCTURED, "{").await.problem(400);
    server.post_text(path, STRUCTURED, json!({"specversion": "1.0"}).to_string()).await.problem(400);
    server.post_text(path, "application/json", "{}").await.problem(415);
    server.post_text(path, STRUCTURED, format!("\"{}\"", "x".repeat(1 << 20))).await.problem(413);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_is_listed_both_ways() {
    let server = Server::start().await;
    let workflow = server.apply(&relay()).await;
    for n in 1..=3 {
        server.post_text("/api/v1/events", STRUCTURED, event(&n.to_string(), n).to_string()).await.expect(202);
        completed(&server, &workflow, n as usize).await;
    }
    let numbers = |page: &Value| -> Vec<Value> {
        page["items"].as_array().expect("items").iter().map(|event| event["data"]["n"].clone()).collect()
    };
    assert_eq!(numbers(&server.get("/api/v1/events?type=t.out").await.expect(200)), [3, 2, 1]);
    assert_eq!(numbers(&server.get("/api/v1/events?type=t.out&follow=false").await.expect(200)), [1, 2, 3]);

    // One execution's events, in order: the DSL's lifecycle with what was emitted in between.
    let all = server.get("/api/v1/events?follow=false").await.expect(200);
    let all = all["items"].as_array().expect("items");
    let types: Vec<&str> = all[..all.len() / 3].iter().map(|event| event["type"].as_str().expect("a type")).collect();
    let expected = [
        "io.serverlessworkflow.workflow.started.v1",
        "io.serverlessworkflow.task.created.v1",
        "io.serverlessworkflow.task.started.v1",
        "t.out",
        "io.serverlessworkflow.task.completed.v1",
        "io.serverlessworkflow.workflow.completed.v1",
    ];
    assert_eq!(types, expected);
    assert_eq!(all[0]["data"]["definition"], json!({"name": "relay", "namespace": "test", "version": "1.0.0"}));
    let name = all[0]["data"]["name"].as_str().expect("a name");
    assert!(name.starts_with("relay-") && name.ends_with(".test"), "{name}");
    assert_eq!((&all[1]["data"]["workflow"], &all[1]["data"]["task"]), (&json!(name), &json!("/do/0/tell")));
    assert!(all.iter().all(|event| event["specversion"] == "1.0" && event["id"].is_string()));

    for direction in ["", "&follow=false"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.get(&format!("/api/v1/events?limit=4{direction}{cursor}")).await.expect(200);
            seen.extend(page["items"].as_array().expect("items").iter().map(|event| event["id"].clone()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let mut ids: Vec<Value> = all.iter().map(|event| event["id"].clone()).collect();
        if direction.is_empty() {
            ids.reverse();
        }
        assert_eq!(seen, ids, "pages are the whole, each once");
    }
    let prefix = server.get("/api/v1/events?type=io.serverlessworkflow.task.*").await.expect(200);
    assert_eq!(prefix["items"].as_array().map(Vec::len), Some(9));
    for wrong in ["follow=maybe", "cursor=x", "limit=0", "typ=x"] {
        server.get(&format!("/api/v1/events?{wrong}")).await.problem(400);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_hear_what_is_new_and_go_on_where_they_were() {
    let server = Server::start().await;
    let workflow = server.apply(&relay()).await;
    server.post_text("/api/v1/events", STRUCTURED, event("1", 1).to_string()).await.expect(202);
    completed(&server, &workflow, 1).await;
    let follow = || server.request(Method::GET, "/api/v1/events?type=t.out&follow=true");
    let response = follow().header("accept", "text/event-stream").send().await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.bytes_stream();
    for n in [2, 3] {
        server.post_text("/api/v1/events", STRUCTURED, event(&n.to_string(), n).to_string()).await.expect(202);
    }
    let mut text = String::new();
    while text.matches("\n\n").count() < 2 {
        let part = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("in time");
        text.push_str(std::str::from_utf8(&part.expect("open").expect("bytes")).expect("UTF-8"));
    }
    let told: Vec<(&str, Value)> = text
        .split("\n\n")
        .filter_map(|block| {
            let id = block.lines().find_map(|line| line.strip_prefix("id: "))?;
            let data = block.lines().find_map(|line| line.strip_prefix("data: "))?;
            Some((id, serde_json::from_str::<Value>(data).expect("JSON")["data"]["n"].clone()))
        })
        .collect();
    let mut numbers: Vec<_> = told.iter().map(|(_, n)| n.as_u64()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [Some(2), Some(3)], "what was there before is not told");

    // From the first on, the second comes again.
    let response = follow().header("last-event-id", told[0].0).send().await.expect("an answer");
    let mut stream = response.bytes_stream();
    let part = tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("in time");
    let part = part.expect("open").expect("bytes");
    assert!(std::str::from_utf8(&part).expect("UTF-8").contains(told[1].0));
    drop(stream);
    server.stop().await;
}
