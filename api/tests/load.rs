//! `trinity load` against a real node, Mosquitto and Kafka: what it says of a node that is as it should be, and of workflows
//! that lose, double and reorder.

mod process;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use process::Process;
use serde_json::Value;

/// A name that no other run of these tests has.
fn unique(what: &str) -> String {
    format!("{what}{}", std::process::id())
}

fn trinity(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_trinity")).args(arguments).output().expect("the binary runs")
}

/// Runs a load that prints its report as JSON; with it the exit code.
fn load(arguments: &[&str]) -> (Value, i32) {
    let output = trinity(&[&["load"], arguments, &["--json", "-", "--quiet"]].concat());
    let code = output.status.code().expect("an exit code");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{arguments:?}: {error}, exit code {code}: {}", String::from_utf8_lossy(&output.stderr))
    });
    (report, code)
}

/// A node with the settings that `trinity load settings` gives, and topics of its own on the shared brokers.
struct Node {
    process: Process,
    _folder: tempfile::TempDir,
    mqtt: String,
    kafka: String,
    name: String,
}

impl Node {
    fn start(what: &str) -> Node {
        let (Ok(mqtt), Ok(kafka)) = (std::env::var("TRINITY_TEST_MQTT"), std::env::var("TRINITY_TEST_KAFKA")) else {
            panic!(
                "needs a Mosquitto and a Kafka: `make test` starts them, or set TRINITY_TEST_MQTT and TRINITY_TEST_KAFKA"
            );
        };
        let name = unique(what);
        let settings = trinity(&["load", "settings", "--mqtt", &mqtt, "--kafka", &kafka, "--sink", "kafka"]);
        let mut settings: Value = serde_json::from_slice(&settings.stdout).expect("settings");
        settings["sources"][0]["name"] = format!("{name}-mqtt").into();
        settings["sources"][0]["mqtt"]["topics"][0] = format!("{name}/+/reading").into();
        settings["sources"][1]["name"] = format!("{name}-kafka").into();
        settings["sources"][1]["kafka"]["topics"][0] = name.clone().into();
        settings["sources"][1]["kafka"]["group"] = name.clone().into();
        settings["sinks"][0]["kafka"]["topic"] = format!("{name}-done").into();
        let folder = tempfile::tempdir().expect("a folder");
        let (file, data) = (folder.path().join("load.yml"), folder.path().join("data"));
        std::fs::write(&file, settings.to_string()).expect("written");
        let process = Process::start(|command| {
            command.arg("--config").arg(&file).env("TRINITY__ENGINE__DATA_DIR", &data);
            command.env("TRINITY__LOGGING__LEVEL", "WARNING");
            command.env("TRINITY__DATABASE__URL", format!("sqlite://{}/metadata.db", data.display()));
        });
        Node { process, _folder: folder, mqtt, kafka, name }
    }

    /// A load on this node.
    fn load(&self, arguments: &[&str]) -> (Value, i32) {
        load(&[arguments, &["--server", &self.process.base]].concat())
    }

    fn over_mqtt(&self, arguments: &[&str]) -> (Value, i32) {
        let topic = format!("{}/{{key}}/reading", self.name);
        self.load(&[&["mqtt", "--broker", &self.mqtt, "--topic", &topic], arguments].concat())
    }

    /// Waits until the source hears its broker: only then is there a session that keeps messages.
    fn hears_mqtt(&self) {
        for _ in 0..100 {
            let (report, _) = self.over_mqtt(&["--rate", "10", "--count", "1", "--ends", "none", "--warmup", "1us"]);
            if !report["steps"][0]["reasons"].to_string().contains("no subscriber") {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the node does not hear the broker");
    }
}

#[track_caller]
fn assert_all_well((report, code): &(Value, i32), count: u64) {
    let audit = &report["steps"][0]["audit"];
    assert_eq!(*code, 0, "{}", report["steps"][0]["reasons"]);
    assert_eq!(audit["acknowledged"], count, "{audit}");
    assert_eq!((&audit["lost"], &audit["doubled"], &audit["disordered"]), (&0.into(), &0.into(), &0.into()), "{audit}");
}

fn exists_with(file: &Path, text: &str) {
    let content = std::fs::read_to_string(file).expect("written");
    assert!(content.contains(text), "{}: {}", file.display(), &content[..content.len().min(300)]);
}

#[test]
fn a_node_that_is_as_it_should_be_passes_over_every_way() {
    let node = Node::start("load");
    let folder = tempfile::tempdir().expect("a folder");
    let rate = ["--rate", "200", "--duration", "1500ms", "--keys", "20"];

    node.hears_mqtt();
    let html = folder.path().join("report.html");
    let written = ["--html", html.to_str().expect("text"), "--plots", folder.path().to_str().expect("text")];
    let mqtt = node.over_mqtt(&[&rate[..], &written].concat());
    assert_all_well(&mqtt, 300);
    assert_eq!(mqtt.0["steps"][0]["audit"]["ended"], 300);
    // Half of a second's ends can't come before they were due.
    let end = &mqtt.0["steps"][0]["end"];
    assert!(end["count"].as_u64() >= Some(200) && end["p50"].as_f64() > Some(0.1), "{end}");
    exists_with(&html, "each message executed once");
    exists_with(&folder.path().join("latency-over-time.svg"), "</svg>");

    let done = format!("{}-done", node.name);
    let kafka = ["kafka", "--brokers", &node.kafka, "--topic", &node.name, "--ends", "kafka", "--ends-topic", &done];
    let kafka = node.load(&[&kafka[..], &rate].concat());
    assert_all_well(&kafka, 300);
    assert_eq!(kafka.0["steps"][0]["audit"]["ended"], 300);

    let events = node.load(&[&["events", "--batch", "50", "--ends", "list"][..], &rate].concat());
    assert_all_well(&events, 300);
    assert_eq!(events.0["steps"][0]["audit"]["ended"], 300);

    let execute = node.load(&["execute", "--rate", "50..150", "--duration", "1s"]);
    assert_all_well(&execute, 100);
    assert_eq!(execute.0["steps"][0]["audit"]["ended"], 100);
    assert_all_well(&node.load(&["get", "--rate", "100", "--duration", "1s"]), 100);
}

#[test]
fn a_search_ends_at_its_bounds_and_a_stop_is_orderly() {
    let node = Node::start("search");
    let short = ["execute", "--duration", "500ms", "--warmup", "100ms", "--find-rate", "--rate", "20..80"];
    let (report, code) = node.load(&[&short[..], &["--p99", "30s"]].concat());
    assert_eq!((code, &report["bestRate"], report["steps"].as_array().map(Vec::len)), (0, &80.0.into(), Some(3)));
    let (report, code) = node.load(&[&short[..], &["--p99", "10us", "--tries", "1"]].concat());
    assert_eq!((code, report["bestRate"].is_null(), report["steps"].as_array().map(Vec::len)), (1, true, Some(1)));

    let mut command = Command::new(env!("CARGO_BIN_EXE_trinity"));
    command.args([
        "load",
        "execute",
        "--rate",
        "50",
        "--duration",
        "10m",
        "--server",
        &node.process.base,
        "--json",
        "-",
    ]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the binary runs");
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs").success());
    let output = child.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let audit = &report["steps"][0]["audit"];
    assert_eq!((output.status.code(), &report["interrupted"]), (Some(0), &true.into()));
    assert!(audit["sent"].as_u64() > Some(20) && audit["sent"] == audit["ended"], "{audit}");
}

/// Emits the end of every tenth message twice, of another never, and of a third late.
const UNFAITHFUL: &str = "
document: {dsl: '1.0.0', namespace: own, name: unfaithful, version: '1.0.0'}
schedule: {on: {one: {with: {type: com.example.load.reading}}}}
input: {from: '${ .[0] }'}
do:
- sort:
    switch:
    - twice: {when: '${ .id | endswith(\"7\") }', then: again}
    - never: {when: '${ .id | endswith(\"8\") }', then: end}
    - late: {when: '${ .id | endswith(\"9\") }', then: pause}
    - other: {then: done}
- pause: {wait: {milliseconds: 300}, then: done}
- again: {emit: {event: {with: {type: com.example.load.done, source: /own, data: {id: '${ .id }'}}}}, output: {as: '${ $input }'}}
- done: {emit: {event: {with: {type: com.example.load.done, source: /own, data: {id: '${ .id }'}}}}}
";

#[test]
fn what_is_lost_doubled_or_out_of_order_is_told() {
    let node = Node::start("broken");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("unfaithful.yaml");
    std::fs::write(&file, UNFAITHFUL).expect("written");
    let applied = trinity(&["apply", file.to_str().expect("text"), "--server", &node.process.base]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    // A key comes again after 21 numbers, which is 105 ms: before the end of one that is late.
    let arguments = ["events", "--rate", "200", "--duration", "1s", "--keys", "21", "--connections", "7"];
    let (report, code) = node.load(&[&arguments[..], &["--workflow", "own/unfaithful", "--patience", "2s"]].concat());
    let audit = &report["steps"][0]["audit"];
    assert_eq!(code, 1);
    assert_eq!(
        (&audit["acknowledged"], &audit["lost"], &audit["doubled"]),
        (&200.into(), &20.into(), &20.into()),
        "{audit}"
    );
    assert!(audit["disordered"].as_u64() > Some(5), "{audit}");
    // On a busy machine the sender may be late too.
    let reasons = report["steps"][0]["reasons"].as_array().expect("reasons");
    assert_eq!(reasons.iter().filter(|reason| reason["kind"] == "invariant").count(), 3, "{reasons:?}");
}

#[test]
fn wrong_usage_is_told_before_anything_is_sent() {
    for (arguments, hint) in [
        (&["load", "execute", "--find-rate", "--p99", "20ms"][..], "--rate 1000..50000"),
        (&["load", "execute", "--find-rate", "--rate", "1..2"], "--p99 20ms"),
        (&["load", "execute", "--rate", "fast"], "no rate"),
        (&["load", "mqtt", "--broker", "127.0.0.1:1883"], "mqtt://127.0.0.1:1883"),
        (&["load", "events", "--ends", "mqtt"], "--ends-broker"),
        (&["load", "mqtt", "--rate", "1000000", "--duration", "1h"], "too many"),
    ] {
        let output = trinity(arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(hint), "{told}");
    }
    let nobody = trinity(&["load", "execute", "--server", "http://127.0.0.1:9"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("127.0.0.1:9"));
}
