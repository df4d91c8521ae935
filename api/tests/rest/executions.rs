use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, definition, double, send, sleeper};

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_is_answered_looked_up_and_told() {
    let server = Server::start().await;
    let workflow = server.apply(&double("1.0.0")).await;
    let answer = server.post(&format!("/api/v1/workflows/{workflow}/execute?wait=20s"), json!({"n": 21})).await;
    let run = answer.expect(201);
    let id = run["id"].as_str().expect("an id");
    assert_eq!(answer.header("location"), format!("/api/v1/executions/{id}"));
    assert_eq!((&run["status"], &run["output"]), (&json!("completed"), &json!({"doubled": 42})));
    assert_eq!((&run["input"], &run["error"]), (&json!({"n": 21}), &json!(null)));
    assert_eq!(run["workflowId"], workflow.as_str());
    assert_eq!(run["workflow"], json!({"namespace": "test", "name": "double", "version": "1.0.0"}));
    assert_eq!(run["trigger"], json!({"kind": "api", "eventId": null, "source": null}));
    assert!(run["durationMs"].is_number() && run["shard"].is_number() && run["node"].is_string());
    for time in ["createdAt", "startedAt", "endedAt"] {
        assert!(run[time].as_str().is_some_and(|text| text.ends_with('Z')), "{time} in {run}");
    }
    assert_eq!(server.get(&format!("/api/v1/executions/{id}")).await.expect(200), run);

    let history = server.get(&format!("/api/v1/executions/{id}/history")).await.expect(200);
    let told: Vec<_> = history
        .as_array()
        .expect("a list")
        .iter()
        .map(|item| format!("{} {} {}", item["seq"], item["task"].as_str().unwrap_or("?"), item["type"]))
        .collect();
    let expected =
        ["0 / \"created\"", "1 /do/0/double \"started\"", "2 /do/0/double \"completed\"", "3 / \"completed\""];
    assert_eq!(told, expected);
    assert_eq!(history[2]["output"], json!({"doubled": 42}));
    assert_eq!(history[2]["data"]["output"], json!({"doubled": 42}));
    assert_eq!(history[0]["data"]["input"], json!({"n": 21}));

    let yaml =
        send(server.request(Method::GET, &format!("/api/v1/executions/{id}")).header("accept", "application/yaml"));
    let yaml = yaml.await;
    assert_eq!(yaml.header("content-type"), "application/yaml");
    assert!(yaml.text.contains("\noutput:\n  doubled: 42\n"), "{}", yaml.text);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_come_as_json_yaml_or_not_at_all() {
    let server = Server::start().await;
    let text = definition("echo", "1.0.0", "do:\n  - echo: {set: \"${ {got: .} }\"}\n");
    let workflow = server.apply(&text).await;
    let path = format!("/api/v1/workflows/{workflow}/execute?wait=20s");
    let output = |answer: crate::server::Answer| answer.expect(201)["output"]["got"].clone();
    assert_eq!(output(server.post_text(&path, "application/yaml", "a: [1, yes]").await), json!({"a": [1, "yes"]}));
    assert_eq!(output(server.post(&path, json!([1, null])).await), json!([1, null]));
    assert_eq!(output(send(server.request(Method::POST, &path)).await), json!({}));
    let malformed = server.post_text(&path, "application/json", "{\n \"a\": }").await.problem(400);
    assert_eq!(malformed["errors"][0]["line"], 2, "{malformed}");
    server.post_text(&path, "application/json", "[".repeat(20_000)).await.problem(400);
    server.post_text(&path, "application/xml", "<a/>").await.problem(415);
    server.post_text(&path, "application/json", format!("\"{}\"", "x".repeat(1 << 20))).await.problem(413);
    for wrong in ["wait=x", "wait=-1s", "wait=11m", "wiat=1s"] {
        server.post(&format!("/api/v1/workflows/{workflow}/execute?{wrong}"), json!({})).await.problem(400);
    }
    for right in ["wait=500ms", "wait=0", "wait=PT1S", "wait=1m"] {
        let answer = server.post(&format!("/api/v1/workflows/{workflow}/execute?{right}"), json!({})).await;
        assert!(matches!(answer.status, 201 | 202), "{}", answer.text);
    }
    server.post("/api/v1/workflows/none/execute", json!({})).await.problem(404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_idempotency_key_is_the_same_execution() {
    let server = Server::start().await;
    let workflow = server.apply(&double("1.0.0")).await;
    let path = format!("/api/v1/workflows/{workflow}/execute?wait=20s");
    let with =
        |key: &str| send(server.request(Method::POST, &path).header("idempotency-key", key).json(&json!({"n": 1})));
    let (first, again, other) =
        (with("k1").await.expect(201), with("k1").await.expect(201), with("k2").await.expect(201));
    assert_eq!(first["id"], again["id"]);
    assert_ne!(first["id"], other["id"]);
    with(&"k".repeat(256)).await.problem(400);
    let list = server.get(&format!("/api/v1/executions?workflowId={workflow}")).await.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_are_suspended_resumed_cancelled_and_retried() {
    let server = Server::start().await;
    let workflow = server.apply(&sleeper()).await;
    let started = server.post(&format!("/api/v1/workflows/{workflow}/execute"), json!({"a": 1})).await.expect(202);
    let path = format!("/api/v1/executions/{}", started["id"].as_str().expect("an id"));
    server.until(&path, |run| run["status"] == "waiting").await;
    let post = |verb: &str| send(server.request(Method::POST, &format!("{path}/{verb}")));
    post("retry").await.problem(409);
    post("suspend").await.expect(202);
    assert_eq!(server.get(&path).await.expect(200)["status"], "suspended");
    post("resume").await.expect(202);
    server.until(&path, |run| run["status"] == "waiting").await;
    assert_eq!(post("cancel").await.expect(202)["status"], "cancelled");
    let ended = server.get(&path).await.expect(200);
    assert!(ended["endedAt"].is_string(), "{ended}");
    for verb in ["cancel", "suspend", "resume"] {
        assert_eq!(post(verb).await.problem(409)["type"], "urn:trinity:problem:ended");
    }
    let retried = post("retry").await.expect(202);
    assert_ne!(retried["id"], ended["id"]);
    assert_eq!((&retried["input"], &retried["trigger"]["source"]), (&json!({"a": 1}), &json!(path)));
    let none = "/api/v1/executions/019ab2f4-6d00-8003-8000-00000000002a";
    for call in ["cancel", "suspend", "resume", "retry"] {
        send(server.request(Method::POST, &format!("{none}/{call}"))).await.problem(404);
    }
    for path in [none, "/api/v1/executions/x", &format!("{none}/history")] {
        server.get(path).await.problem(404);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_told_with_its_error() {
    let server = Server::start().await;
    let text = definition(
        "fails",
        "1.0.0",
        "do:\n  - fail:\n      raise: {error: {type: https://e.test/teapot, status: 418, title: T, detail: D}}\n",
    );
    let workflow = server.apply(&text).await;
    let run = server.execute(&workflow, json!({})).await;
    assert_eq!((&run["status"], &run["output"]), (&json!("faulted"), &json!(null)));
    assert_eq!(run["error"]["type"], "https://e.test/teapot");
    assert_eq!((&run["error"]["status"], &run["error"]["instance"]), (&json!(418), &json!("/do/0/fail")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn executions_are_listed_by_workflow_status_time_and_name() {
    let server = Server::start().await;
    let double = server.apply(&double("1.0.0")).await;
    let sleeper = server.apply(&sleeper()).await;
    let mut ids: Vec<Value> = Vec::new();
    for n in 0..5 {
        ids.push(server.execute(&double, json!({"n": n})).await["id"].clone());
    }
    let sleeping = server.post(&format!("/api/v1/workflows/{sleeper}/execute"), json!({})).await.expect(202);
    server
        .until(&format!("/api/v1/executions/{}", sleeping["id"].as_str().expect("an id")), |run| {
            run["status"] == "waiting"
        })
        .await;
    let list = async |query: &str| {
        let page = server.get(&format!("/api/v1/executions?{query}")).await.expect(200);
        let ids: Vec<Value> = page["items"].as_array().expect("items").iter().map(|run| run["id"].clone()).collect();
        (ids, page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(list("").await.0.len(), 6);
    assert_eq!(list("status=waiting").await.0, [sleeping["id"].clone()]);
    assert_eq!(list("search=SLEEP").await.0, [sleeping["id"].clone()]);
    assert_eq!(list(&format!("search={}", ids[2].as_str().expect("an id"))).await.0, [ids[2].clone()]);
    assert!(list("search=nothing").await.0.is_empty());
    assert!(list("workflowId=none").await.0.is_empty());
    assert!(list("to=2001-01-01T00:00:00Z").await.0.is_empty());
    assert_eq!(list("from=2001-01-01T00:00:00Z&to=2999-01-01T00:00:00%2B01:00").await.0.len(), 6);
    let (mut seen, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let more = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let (page, next) = list(&format!("workflowId={double}&status=completed&limit=2{more}")).await;
        assert!(page.len() <= 2);
        seen.extend(page);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    ids.reverse();
    assert_eq!(seen, ids, "newest first, each once");
    for wrong in ["status=done", "from=yesterday", "cursor=x", "limit=0", "workflow=x"] {
        server.get(&format!("/api/v1/executions?{wrong}")).await.problem(400);
    }
    server.stop().await;
}
