use reqwest::Method;
use serde_json::json;

use crate::server::{Server, definition, double, send};

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_comes_is_changed_and_goes() {
    let server = Server::start().await;
    let created = server.post_text("/api/v1/workflows", "application/yaml", double("1.0.0")).await;
    let workflow = created.expect(201);
    let id = workflow["id"].as_str().expect("an id").to_owned();
    assert_eq!(created.header("location"), format!("/api/v1/workflows/{id}"));
    assert_eq!(workflow["namespace"], "test");
    assert_eq!((&workflow["name"], &workflow["version"]), (&json!("double"), &json!("1.0.0")));
    assert_eq!((&workflow["status"], &workflow["specId"]), (&json!("active"), &json!(null)));
    assert_eq!(workflow["definition"]["document"]["name"], "double");
    assert!(workflow["createdAt"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!(server.get(&format!("/api/v1/workflows/{id}")).await.expect(200), workflow);

    let again = server.post_text("/api/v1/workflows", "application/yaml", double("1.0.0")).await;
    assert_eq!(again.problem(409)["type"], "urn:trinity:problem:version-exists");
    let path = format!("/api/v1/workflows/{id}");
    let put =
        |text: String| send(server.request(Method::PUT, &path).header("content-type", "application/yaml").body(text));
    put(double("1.0.0")).await.problem(409);
    let other = put(definition("other", "2.0.0", "do: [{a: {set: {x: 1}}}]")).await.problem(422);
    assert_eq!(other["errors"][0]["pointer"], "/document/name");
    assert_eq!(put(double("2.0.0")).await.expect(200)["version"], "2.0.0");
    let third = server.post_text("/api/v1/workflows", "application/yaml", double("3.0.0")).await.expect(201);
    assert_eq!(third["id"], id.as_str(), "a new version of the same workflow");
    assert_eq!(server.get(&path).await.expect(200)["version"], "3.0.0");
    assert_eq!(server.get(&format!("{path}?version=1.0.0")).await.expect(200)["version"], "1.0.0");
    server.get(&format!("{path}?version=9.0.0")).await.problem(404);
    let versions = server.get(&format!("{path}/versions")).await.expect(200);
    let versions: Vec<_> = versions["items"].as_array().expect("items").iter().map(|v| v["version"].clone()).collect();
    assert_eq!(versions, ["3.0.0", "2.0.0", "1.0.0"]);

    assert_eq!(server.delete(&path).await.status, 204);
    assert_eq!(server.delete(&path).await.status, 204);
    assert_eq!(server.get(&path).await.expect(200)["status"], "retired");
    assert_eq!(server.get("/api/v1/workflows").await.expect(200), json!({"items": [], "next": null}));
    server.post(&format!("{path}/execute"), json!({"n": 1})).await.problem(409);
    put(double("4.0.0")).await.problem(409);
    server.post_text("/api/v1/workflows", "application/yaml", double("1.0.0")).await.expect(201);
    assert_eq!(server.execute(&id, json!({"n": 2})).await["output"], json!({"doubled": 4}));
    for call in ["", "/versions"] {
        server.get(&format!("/api/v1/workflows/none{call}")).await.problem(404);
    }
    server.delete("/api/v1/workflows/none").await.problem(404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_definitions_are_refused_with_their_places() {
    let server = Server::start().await;
    let text = definition("a", "1.0.0", "do:\n  - one:\n      sett: {x: 1}\n");
    let problem = server.post_text("/api/v1/workflows", "application/yaml", text).await.problem(422);
    let error = &problem["errors"][0];
    assert_eq!((&error["line"], &error["column"]), (&json!(4), &json!(7)), "{problem}");
    assert_eq!(error["pointer"], "/do/0/one/sett");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("\"set\"")), "{problem}");
    server.post_text("/api/v1/workflows", "application/yaml", "a: [").await.problem(422);
    server.post_text("/api/v1/workflows", "application/yaml", "").await.problem(422);
    server.post_text("/api/v1/workflows", "application/json", "{\"document\":").await.problem(422);
    server.post_text("/api/v1/workflows", "application/yaml", vec![0xff, 0xfe]).await.problem(400);
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &(0..20).map(|n| format!("b{n}: &b{n} [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n")).collect::<String>();
    server.post_text("/api/v1/workflows", "application/yaml", bomb).await.problem(422);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    server.post_text("/api/v1/workflows", "application/json", deep).await.problem(422);
    assert_eq!(server.get("/readyz").await.status, 200, "the node is unharmed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn drafts_start_nothing_by_themselves() {
    let server = Server::start().await;
    let text =
        definition("on-event", "1.0.0", "schedule: {on: {one: {with: {type: t.draft}}}}\ndo: [{a: {set: {x: 1}}}]\n");
    let draft = server.post_text("/api/v1/workflows?status=draft", "application/yaml", text.clone()).await.expect(201);
    assert_eq!(draft["status"], "draft");
    let id = draft["id"].as_str().expect("an id");
    let event = json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t.draft"});
    server.post_text("/api/v1/events", "application/cloudevents+json", event.to_string()).await.expect(202);
    let run = server.execute(id, json!({})).await;
    assert_eq!(run["trigger"]["kind"], "api");
    let path = format!("/api/v1/workflows/{id}");
    let active = send(server.request(Method::PUT, &path).header("content-type", "application/yaml").body(text)).await;
    assert_eq!(active.expect(200)["status"], "active");
    let event = json!({"specversion": "1.0", "id": "2", "source": "s", "type": "t.draft"});
    server.post_text("/api/v1/events", "application/cloudevents+json", event.to_string()).await.expect(202);
    let path = format!("/api/v1/executions?workflowId={id}&status=completed");
    let list = server.until(&path, |list| list["items"].as_array().is_some_and(|items| items.len() == 2)).await;
    assert_eq!(list["items"][0]["trigger"]["eventId"], "2");
    server.post("/api/v1/workflows?status=gone", json!({})).await.problem(400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_pages_and_filters() {
    let server = Server::start().await;
    for name in ["a", "b", "c"] {
        server.apply(&definition(name, "1.0.0", "do: [{a: {set: {x: 1}}}]")).await;
    }
    let names = |page: &serde_json::Value| -> Vec<String> {
        let items = page["items"].as_array().expect("items");
        items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()).collect()
    };
    let first = server.get("/api/v1/workflows?limit=2").await.expect(200);
    assert_eq!(names(&first), ["c", "b"]);
    let next = first["next"].as_str().expect("a cursor");
    let second = server.get(&format!("/api/v1/workflows?limit=2&cursor={next}")).await.expect(200);
    assert_eq!((names(&second), &second["next"]), (vec!["a".to_owned()], &json!(null)));
    assert_eq!(names(&server.get("/api/v1/workflows?name=b").await.expect(200)), ["b"]);
    assert!(names(&server.get("/api/v1/workflows?namespace=other").await.expect(200)).is_empty());
    for wrong in ["limit=0", "limit=1001", "limit=x", "cursor=x", "cursor=%00", "status=on", "limit=1&limit=2"] {
        let problem = server.get(&format!("/api/v1/workflows?{wrong}")).await.problem(400);
        let key = wrong.split('=').next().unwrap_or_default();
        assert_eq!(problem["errors"][0]["parameter"], key, "{problem}");
    }
    let typo = server.get("/api/v1/workflows?limt=2").await.problem(400);
    assert!(typo["detail"].as_str().is_some_and(|text| text.contains("did you mean \"limit\"?")), "{typo}");
    server.stop().await;
}
