//! The command line as a user meets it: output, errors and exit codes of the real binary.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn trinity(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trinity")).args(arguments).output().expect("the binary runs")
}

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    folder.join(name).display().to_string()
}

fn stdout(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON on stdout")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn written(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let file = folder.path().join("definition.yaml");
    std::fs::write(&file, text).expect("a file");
    file
}

#[test]
fn every_example_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files = std::fs::read_dir(folder).expect("the examples");
    let files = files.map(|entry| entry.expect("a file").path().display().to_string());
    let files: Vec<String> = files.filter(|file| file.ends_with(".yaml")).collect();
    let mut arguments = vec!["validate"];
    arguments.extend(files.iter().map(String::as_str));
    let output = trinity(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("{} checked, 0 errors, 0 warnings", files.len())), "{}", stderr(&output));
}

#[test]
fn the_example_remind_waits_and_answers() {
    let begun = std::time::Instant::now();
    let output = trinity(&["run", &example("remind.yaml"), "--input", r#"{"seconds": 1, "text": "tea"}"#]);
    assert_eq!(stdout(&output), json!({"text": "tea"}), "{}", stderr(&output));
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
}

#[test]
fn the_example_convert_prints_its_output() {
    let output = trinity(&["run", &example("convert.yaml"), "--input", r#"{"deviceId": "d1", "temperature": 95}"#]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), json!({"deviceId": "d1", "celsius": 35, "level": "high"}));
}

#[test]
fn the_example_batch_joins_its_branches() {
    let output = trinity(&["run", &example("batch.yaml"), "--input", r#"{"readings": [1, 2, 3]}"#]);
    assert_eq!(stdout(&output), json!({"sum": 6, "count": 3}));
}

#[test]
fn the_example_retry_tries_four_times_with_one_idempotency_key() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let server = std::thread::spawn(move || {
        let mut keys = Vec::new();
        for answer in ["503 Busy", "503 Busy", "503 Busy", "200 OK"] {
            let (mut stream, _) = listener.accept().expect("a caller");
            let mut asked = vec![0; 4_096];
            let count = stream.read(&mut asked).expect("a request");
            let asked = String::from_utf8_lossy(&asked[..count]).to_lowercase();
            let key = asked.lines().find_map(|line| line.strip_prefix("idempotency-key: ").map(str::to_owned));
            keys.push(key.expect("each call carries its key"));
            let body = r#"{"up":true}"#;
            let head = format!(
                "HTTP/1.1 {answer}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all((head + body).as_bytes()).expect("an answer");
        }
        keys
    });
    let output =
        trinity(&["run", &example("retry.yaml"), "--input", &json!({"host": "127.0.0.1", "port": port}).to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), json!({"up": true}));
    let keys = server.join().expect("the server ends");
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[test]
fn a_fault_is_an_error_as_json_and_exit_code_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = written(
        &folder,
        "document: {dsl: '1.0.3', namespace: t, name: n, version: '1.0.0'}\ndo: [{bad: {raise: {error: {type: 'https://a.test/x', status: 409, title: No}}}}]\n",
    );
    let output = trinity(&["run", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&output.stderr).expect("JSON on stderr");
    assert_eq!(error, json!({"type": "https://a.test/x", "status": 409, "title": "No", "instance": "/do/0/bad"}));
}

#[test]
fn a_wrong_definition_is_shown_with_its_place_and_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "document: {dsl: '1.0.3', namespace: t, name: n, version: '1.0.0'}\ndo:\n  - a:\n      sett: {x: 1}\n";
    let file = written(&folder, text).display().to_string();
    for command in ["run", "validate"] {
        let output = trinity(&[command, &file]);
        assert_eq!(output.status.code(), Some(2));
        let shown = stderr(&output);
        assert!(shown.contains("definition.yaml:4:7") && shown.contains("did you mean \"set\""), "{shown}");
    }
}

#[test]
fn input_that_is_not_json_and_missing_files_are_usage_errors() {
    let output = trinity(&["run", &example("convert.yaml"), "--input", "{"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("line 1, column 2"), "{}", stderr(&output));
    assert_eq!(trinity(&["run", "/nowhere.yaml"]).status.code(), Some(2));
}

#[test]
fn the_schema_of_workflows_is_json() {
    let schema = stdout(&trinity(&["schema", "workflow"]));
    assert!(schema["properties"]["document"].is_object(), "{schema}");
}

#[test]
fn waiting_for_events_that_cannot_come_is_an_error_and_not_a_hang() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "document: {dsl: '1.0.3', namespace: t, name: n, version: '1.0.0'}\ndo: [{l: {listen: {to: {one: {with: {type: a}}}}}}]\n";
    let output = trinity(&["run", &written(&folder, text).display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no source of"), "{}", stderr(&output));
}

#[test]
fn validate_knows_settings_from_definitions() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = written(&folder, "server: { port: 0 }\nsources: []\n").display().to_string();
    let output = trinity(&["validate", &good]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let wrong = written(&folder, "server:\n  prot: 0\n").display().to_string();
    let output = trinity(&["validate", &wrong]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("definition.yaml:2:3"), "{}", stderr(&output));
    assert!(stderr(&output).contains("did you mean \"port\"?"));
    assert!(stderr(&output).contains("1 checked, 1 errors, 0 warnings"));
}

#[test]
fn the_schema_of_settings_is_json() {
    let output = trinity(&["schema", "config"]);
    assert_eq!(stdout(&output)["title"], "trinity.config.yml");
}
