//! The workflows of `examples/devices`, on recorded data. Those that wait for events run on simulated time; those that don't
//! with the real binary.

#[cfg(feature = "demo")] // for its MQTT client
mod brokers;
mod node;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use node::Node;
use serde_json::{Value, json};
use trinity_engine::history::Phase;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

fn trinity(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trinity"));
    command.args(arguments).envs(variables.iter().copied()).output().expect("the binary runs")
}

/// The recorded day, as the devices of the examples send it.
fn recorded(device: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(example("data/alamosa-2016-01-01.csv")).expect("the recording");
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let reading = |line: &str| {
        let pairs = columns.iter().zip(line.split(','));
        let mut reading: Value = pairs
            .map(|(column, text)| (*column, text.parse::<f64>().map_or_else(|_| json!(text), |n| json!(n))))
            .collect();
        reading["device"] = json!(device);
        reading
    };
    lines.map(reading).collect()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_file_is_valid() {
    let files: Vec<String> = ["reading", "wind", "heartbeat", "ticket"]
        .map(|name| example(&format!("devices/{name}.yaml")).display().to_string())
        .into_iter()
        .collect();
    let mut arguments = vec!["validate"];
    arguments.extend(files.iter().map(String::as_str));
    let output = trinity(&arguments, &[]);
    assert!(
        output.status.success() && error(&output).contains("4 checked, 0 errors, 0 warnings"),
        "{}",
        error(&output)
    );
}

#[test]
fn reading_converts_each_message_and_gives_it_a_level() {
    let mut node = Node::new("devices/reading.yaml");
    let readings = recorded("d001");
    for (number, reading) in readings.iter().enumerate() {
        node.post("reading", &format!("r{number}"), "d001", &reading.to_string());
    }
    let executions = node.executions();
    assert_eq!(executions.len(), 1440, "one for each");
    let mut levels: BTreeMap<String, usize> = BTreeMap::new();
    for (execution, (number, reading)) in executions.iter().zip(readings.iter().enumerate()) {
        assert_eq!((execution.phase, execution.event.as_str()), (Phase::Completed, format!("r{number}").as_str()));
        let output = execution.output.as_ref().expect("an output");
        let fahrenheit = reading["temperature"].as_f64().expect("a number") * 9.0 / 5.0 + 32.0;
        assert!((output["fahrenheit"].as_f64().expect("a number") - fahrenheit).abs() < 1e-9, "{output}");
        let level = if fahrenheit <= 0.0 {
            "severe"
        } else if fahrenheit <= 32.0 {
            "freezing"
        } else {
            "mild"
        };
        assert_eq!((&output["level"], &output["time"]), (&json!(level), &reading["time"]));
        *levels.entry(level.to_owned()).or_default() += 1;
    }
    assert_eq!(levels.len(), 2, "{levels:?}");
    // The same from the command line.
    let input = json!([{"device": "d001", "time": "2016-06-01T12:00:00Z", "temperature": 20, "windSpeed": 10}]);
    let output =
        trinity(&["run", &example("devices/reading.yaml").display().to_string(), "--input", &input.to_string()], &[]);
    let expected =
        json!({"device": "d001", "time": "2016-06-01T12:00:00Z", "fahrenheit": 68, "windKmh": 36, "level": "mild"});
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).expect("JSON"), expected, "{}", error(&output));
}

#[test]
fn wind_alerts_once_for_each_time_it_rises_and_is_armed_again_when_it_has_dropped() {
    let mut node = Node::new("devices/wind.yaml");
    let (mut expected, mut windy, mut above, mut crossings) = (Vec::new(), false, false, 0);
    for device in ["d001", "d002"] {
        node.post("online", &format!("{device}-online"), device, &json!({"device": device}).to_string());
    }
    for (number, reading) in recorded("d001").iter().enumerate() {
        node.pass(200);
        node.post("reading", &format!("r{number}"), "d001", &reading.to_string());
        let speed = reading["windSpeed"].as_f64().expect("a number");
        crossings += usize::from(speed >= 2.5 && !above);
        above = speed >= 2.5;
        if windy && speed <= 1.0 || !windy && above {
            windy = above;
            let kind = if windy { "com.example.wind.alert" } else { "com.example.wind.clear" };
            expected.push((kind.to_owned(), "d001".to_owned(), reading["time"].clone()));
        }
    }
    let emitted: Vec<_> = node
        .emitted
        .iter()
        .map(|(_, event)| {
            let data: Value = serde_json::from_str(&event.data.as_ref().expect("data").to_json()).expect("JSON");
            (
                event.event_type.to_string(),
                event.subject.as_deref().expect("a subject").to_owned(),
                data["time"].clone(),
            )
        })
        .collect();
    assert_eq!(emitted, expected);
    assert!(expected.len() >= 10 && crossings > expected.len(), "one threshold alone would alert {crossings} times");
    assert!(node.executions().iter().all(|execution| execution.phase == Phase::Waiting));
    for device in ["d001", "d002"] {
        node.post("offline", &format!("{device}-offline"), device, &json!({"device": device}).to_string());
    }
    let phases: Vec<Phase> = node.executions().iter().map(|execution| execution.phase).collect();
    assert_eq!(phases, [Phase::Completed; 2]);
    assert_eq!(node.emitted.len(), expected.len(), "going offline is no alert");
}

#[test]
fn heartbeat_alerts_three_seconds_after_the_last_sign_and_once() {
    let mut node = Node::new("devices/heartbeat.yaml");
    let beat = |node: &mut Node, device: &str, number: usize| {
        let id = format!("{device}-{number}");
        node.post("heartbeat", &id, device, &json!({"id": id, "device": device}).to_string());
    };
    for number in 0..10 {
        beat(&mut node, "d001", number);
        beat(&mut node, "d002", number);
        node.pass(1_000);
    }
    assert!(node.emitted.is_empty());
    // One falls silent, the other goes on.
    let last = node.now();
    beat(&mut node, "d001", 10);
    for number in 10..30 {
        beat(&mut node, "d002", number);
        node.pass(1_000);
    }
    let [(at, alert)] = node.emitted.as_slice() else { panic!("one alert: {:?}", node.emitted) };
    assert_eq!(at.micros_since(last), 3_000_000);
    assert_eq!((alert.event_type.as_str(), alert.subject.as_deref()), ("com.example.device.silent", Some("d001")));
    assert!(alert.data.as_ref().expect("data").to_json().contains(r#""lastSign":"d001-10""#));
    // Back again, and gone again.
    beat(&mut node, "d001", 11);
    node.pass(10_000);
    let subjects = node.emitted.iter().map(|(_, event)| event.subject.as_deref().expect("a subject"));
    assert_eq!(subjects.collect::<Vec<_>>(), ["d001", "d002", "d001"]);
    beat(&mut node, "d001", 12);
    node.post("offline", "bye", "d001", r#"{"device": "d001"}"#);
    node.pass(10_000);
    assert_eq!(node.emitted.len(), 3, "who says goodbye is not missed");
    let executions = node.executions();
    assert_eq!(executions.len(), 13 + 30, "one for each heartbeat");
    assert!(executions.iter().all(|execution| execution.phase == Phase::Completed));
    let silent = executions.iter().filter(|execution| execution.output.as_ref().expect("an output")["silent"] == true);
    assert_eq!(silent.count(), 3);
}

/// Answers requests in order; gives their heads and bodies.
fn serve(listener: &TcpListener, answers: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut requests = Vec::new();
    for (status, body) in answers {
        let (mut stream, _) = listener.accept().expect("a request");
        let mut text = String::new();
        loop {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).expect("a request");
            text.push_str(std::str::from_utf8(&chunk[..read]).expect("text"));
            let Some((head, sent)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if sent.len() >= length.unwrap_or(0) {
                requests.push((head, sent.to_owned()));
                break;
            }
        }
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).expect("answered");
    }
    requests
}

#[test]
fn ticket_asks_and_opens_until_both_calls_succeed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let secret = format!(r#"{{"url": "http://{}"}}"#, listener.local_addr().expect("an address"));
    let server = std::thread::spawn(move || {
        let answers = [
            ("503 Busy", ""),
            ("200 OK", r#"{"device": "d007", "keeper": "Bo"}"#),
            ("500 Oops", ""),
            ("502 Bad", ""),
            ("201 Created", r#"{"ticket": 1, "for": "Bo"}"#),
        ];
        serve(&listener, &answers)
    });
    let input = json!([{"device": "d007", "windSpeed": 2.6, "time": "2016-01-01T00:17:00Z"}]);
    let output = trinity(
        &["run", &example("devices/ticket.yaml").display().to_string(), "--input", &input.to_string()],
        &[("TRINITY_SECRET_MAINTENANCE", &secret)],
    );
    assert!(output.status.success(), "{}", error(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer, json!({"ticket": 1, "for": "Bo"}));
    let requests = server.join().expect("the server ends");
    let lines: Vec<&str> = requests.iter().map(|(head, _)| head.lines().next().expect("a line")).collect();
    let (ask, open) = ("get /devices/d007 http/1.1", "post /tickets http/1.1");
    assert_eq!(lines, [ask, ask, open, open, open]);
    let key = |(head, _): &(String, String)| {
        head.lines().find(|line| line.starts_with("idempotency-key:")).expect("a key").to_owned()
    };
    let keys: Vec<String> = requests.iter().map(key).collect();
    assert!(keys[2] == keys[3] && keys[3] == keys[4] && keys[0] != keys[2], "{keys:?}");
    let body: Value = serde_json::from_str(&requests[4].1).expect("JSON");
    let reason = "wind of 2.6 m/s at 2016-01-01T00:17:00Z";
    assert_eq!(body, json!({"device": "d007", "keeper": "Bo", "reason": reason}));
}
