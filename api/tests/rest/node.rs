use reqwest::Method;
use serde_json::json;
use trinity_api::app::App;
use trinity_api::config::Config;

use crate::server::{Server, definition, double, send, sleeper};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything() {
    let server = Server::start().await;
    let doubler = server.apply(&double("1.0.0")).await;
    let waiter =
        definition("waiter", "1.0.0", "do:\n  - pause: {wait: {milliseconds: 1500}}\n  - done: {set: {ok: true}}\n");
    let waiter = server.apply(&waiter).await;
    server.put("/api/v1/secrets/s", json!("v")).await.expect(201);
    let done = server.execute(&doubler, json!({"n": 4})).await;
    let path = format!("/api/v1/workflows/{doubler}/execute?wait=20s");
    let keyed = async |server: &Server| {
        send(server.request(Method::POST, &path).header("idempotency-key", "k").json(&json!({"n": 9})))
            .await
            .expect(201)
    };
    let first = keyed(&server).await;
    let open = server.post(&format!("/api/v1/workflows/{waiter}/execute"), json!({})).await.expect(202);
    let events =
        server.get("/api/v1/events?follow=false&type=io.serverlessworkflow.workflow.completed.v1").await.expect(200);
    let name =
        server.get(&format!("/api/v1/executions/{}", done["id"].as_str().expect("an id"))).await.json()["node"].clone();

    let server = server.restart().await;
    assert_eq!(server.get("/api/v1/workflows").await.expect(200)["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(server.get("/api/v1/secrets").await.expect(200)["items"][0]["name"], "s");
    let again = server.get(&format!("/api/v1/executions/{}", done["id"].as_str().expect("an id"))).await.expect(200);
    assert_eq!(again, done);
    assert_eq!(again["node"], name);
    assert_eq!(keyed(&server).await["id"], first["id"], "the key is known still");
    let path = format!("/api/v1/executions/{}", open["id"].as_str().expect("an id"));
    let ended = server.until(&path, |run| run["status"] == "completed").await;
    assert_eq!(ended["output"], json!({"ok": true}));
    let after =
        server.get("/api/v1/events?follow=false&type=io.serverlessworkflow.workflow.completed.v1").await.expect(200);
    assert!(after["items"].as_array().map(Vec::len) >= events["items"].as_array().map(Vec::len));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_a_problem_document() {
    let server = Server::start().await;
    let problem = server.get("/api/v1/workflow").await.problem(404);
    assert!(problem["detail"].as_str().is_some_and(|text| text.contains("/api/v1/workflows")), "{problem}");
    assert_eq!(problem["instance"], "/api/v1/workflow");
    let answer = server.delete("/api/v1/workflows").await;
    answer.problem(405);
    let allowed = answer.header("allow");
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    server.get("/api/v1/workflows/%FF").await.problem(400);
    server.post_text("/api/v1/workflows", "text/csv", "a,b").await.problem(415);
    let large = format!("#{}\n", "x".repeat(1 << 20));
    server.post_text("/api/v1/workflows", "application/yaml", large).await.problem(413);
    send(server.request(Method::GET, "/api/v1/workflows").header("accept", "application/xml")).await.problem(406);
    let rebound = send(server.request(Method::GET, "/api/v1/workflows").header("host", "evil.test")).await;
    rebound.problem(403);
    let forged = server.request(Method::POST, "/api/v1/workflows").header("origin", "https://evil.test");
    send(forged.body("")).await.problem(403);
    assert_eq!(server.get("/api/v1/workflows").await.status, 200, "the node is unharmed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_harm_nobody() {
    let server = Server::start().await;
    let workflow = server.apply(&double("1.0.0")).await;
    let events = "/api/v1/events";
    let structured = "application/cloudevents+json";
    let deep = format!(
        "{{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\",\"data\":{}{}}}",
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    server.post_text(events, structured, deep).await.problem(400);
    server.post_text(events, structured, vec![b'{', 0xff, 0xfe]).await.problem(400);
    server.post_text(events, "application/cloudevents-batch+json", "{}").await.problem(400);
    server.post_text(events, "application/cloudevents+avro", "x").await.problem(415);
    let chunks = futures::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024])));
    let endless = server.request(Method::POST, events).header("content-type", structured);
    send(endless.body(reqwest::Body::wrap_stream(chunks))).await.problem(413);
    let binary = server.request(Method::POST, events).header("ce-specversion", "1.0").header("ce-id", "%FF%FE");
    send(binary.header("ce-source", "s").header("ce-type", "t").body("")).await.problem(400);
    let text = definition("bomb", "1.0.0", "do:\n  - grow: {set: {x: \"${ [range(1000000000)] | length }\"}}\n");
    let bomb = server.apply(&text).await;
    assert_eq!(server.execute(&bomb, json!({})).await["status"], "faulted", "its budget is used up");
    assert_eq!(server.execute(&workflow, json!({"n": 3})).await["output"], json!({"doubled": 6}));
    assert_eq!(server.get("/readyz").await.status, 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_metrics_performance_and_description() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await.expect(200), json!({"status": "ok"}));
    let ready = server.until("/readyz", |ready| ready["status"] == "ready").await;
    assert_eq!(ready["endpoints"], json!({}));
    let workflow = server.apply(&double("1.0.0")).await;
    for n in 0..3 {
        server.execute(&workflow, json!({"n": n})).await;
    }
    let metrics = server.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    for line in [
        "trinity_ready 1\n",
        "trinity_workflows 1\n",
        "trinity_http_request_duration_seconds_count{method=\"POST\",route=\"/api/v1/workflows/{id}/execute\",status=\"201\"} 3\n",
    ] {
        assert!(metrics.text.contains(line), "{line} in {}", metrics.text);
    }
    let path = format!("/api/v1/analytics/performance?workflowId={workflow}");
    let measured = server.until(&path, |found| found["executions"]["completed"] == 3).await;
    let metrics = server.get("/metrics").await.text;
    assert!(metrics.contains("trinity_execution_duration_seconds_count{status=\"completed\"} 3\n"), "{metrics}");
    assert_eq!(measured["executions"]["started"], 3);
    assert!(measured["durationMs"]["p99"].is_number(), "{measured}");
    assert_eq!(measured["tasks"][0]["task"], "/do/0/double");
    let all = server.get("/api/v1/analytics/performance").await.expect(200);
    assert_eq!(all["tasks"][0]["task"], "test/double#/do/0/double");
    for wrong in ["workflowId=none", "step=0s", "from=2027-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "form=x"] {
        server.get(&format!("/api/v1/analytics/performance?{wrong}")).await.problem(400);
    }
    let described = server.get("/openapi.json").await;
    assert_eq!(described.expect(200)["openapi"], "3.0.3");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_the_same_data_is_refused() {
    let server = Server::start().await;
    let folder = server.stop().await;
    let config = Config::in_directory(folder.path());
    let first = App::start(&config).await.expect("the first starts");
    let second = App::start(&config).await.map(|app| app.address()).expect_err("the second is refused").to_string();
    assert!(second.contains("in use"), "{second}");
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_answered_when_the_node_stops() {
    let server = Server::start().await;
    let workflow = server.apply(&sleeper()).await;
    let waiting =
        server.request(Method::POST, &format!("/api/v1/workflows/{workflow}/execute?wait=5m")).json(&json!({}));
    let waiting = tokio::spawn(send(waiting));
    server
        .until("/api/v1/executions?status=waiting", |list| list["items"].as_array().is_some_and(|l| l.len() == 1))
        .await;
    server.stop().await;
    assert_eq!(waiting.await.expect("no panic").expect(202)["status"], "waiting");
}
