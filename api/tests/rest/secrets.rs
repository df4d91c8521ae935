use serde_json::json;

use crate::server::{Server, definition};

#[tokio::test(flavor = "multi_thread")]
async fn secrets_go_in_and_only_their_names_come_out() {
    let server = Server::start().await;
    let put = server.put("/api/v1/secrets/api", json!({"token": "hunter2"})).await;
    assert_eq!(put.expect(201)["name"], "api");
    assert!(!put.text.contains("hunter2"));
    server.put("/api/v1/secrets/api", json!({"token": "hunter3"})).await.expect(200);
    let list = server.get("/api/v1/secrets").await;
    assert_eq!(list.expect(200)["items"][0]["name"], "api");
    assert!(!list.text.contains("hunter"));
    let text = definition(
        "uses",
        "1.0.0",
        "use: {secrets: [api]}\ndo:\n  - check: {set: {long: \"${ $secrets.api.token | length }\"}}\n",
    );
    let workflow = server.apply(&text).await;
    let run = server.execute(&workflow, json!({})).await;
    assert_eq!(run["output"], json!({"long": 7}), "{run}");

    server.post_text("/api/v1/secrets/api", "application/json", "1").await.problem(405);
    server.get("/api/v1/secrets/api").await.problem(405);
    server.put("/api/v1/secrets/a%2Fb", json!(1)).await.problem(400);
    let large = json!("x".repeat(70_000));
    server.put("/api/v1/secrets/large", large).await.problem(413);
    assert_eq!(server.delete("/api/v1/secrets/api").await.status, 204);
    server.delete("/api/v1/secrets/api").await.problem(404);
    let run = server.execute(&workflow, json!({})).await;
    assert_ne!(run["output"], json!({"long": 7}), "the next execution does not see it any more");
    server.stop().await;
}
