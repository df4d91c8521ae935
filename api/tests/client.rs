//! The commands that talk to a server, against a real one: both are processes of the real binary.

mod process;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use process::Process;
use serde_json::{Value, json};

/// A server on a port of its own, with its data in a folder of its own. It ends with the test.
struct Server {
    process: Process,
    folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let process = Process::start(|command| {
            command.current_dir(folder.path()).stderr(Stdio::null());
        });
        Server { process, folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trinity"));
        command.args(arguments).env("TRINITY_SERVER", &self.process.base).current_dir(self.folder.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        Done::of(self.command(arguments).output().expect("the binary runs"))
    }

    /// Runs a command that succeeds, and gives what it prints.
    fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, 0, "{arguments:?}: {}{}", done.stdout, done.stderr);
        done.stdout
    }

    /// What a command prints with `-o json`.
    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn with_stdin(&self, arguments: &[&str], input: &str) -> Done {
        let piped = self.command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut piped = piped.expect("the binary runs");
        piped.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
        Done::of(piped.wait_with_output().expect("it ends"))
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        std::fs::write(&file, text).expect("a file");
        file
    }

    /// Applies a workflow `test/NAME` with these tasks.
    fn apply(&self, name: &str, tasks: &str) {
        self.file(&format!("{name}.yaml"), &definition(name, "1.0.0", tasks));
        self.ok(&["apply", &format!("{name}.yaml")]);
    }

    /// Starts an execution, without waiting, and gives its id.
    fn execute(&self, workflow: &str) -> String {
        let execution = self.json(&["workflows", "execute", workflow]);
        execution["id"].as_str().expect("an id").to_owned()
    }
}

struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Done {
    fn of(output: Output) -> Done {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Done {
            code: output.status.code().expect("no signal"),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

fn definition(name: &str, version: &str, tasks: &str) -> String {
    format!("document: {{dsl: '1.0.3', namespace: test, name: {name}, version: '{version}'}}\n{tasks}")
}

const DOUBLE: &str = "do:\n  - double: {set: {n: '${ .n * 2 }'}}\n";
const FAIL: &str =
    "do:\n  - fail: {raise: {error: {type: 'https://example.com/errors/broken', status: 500, title: It broke}}}\n";
const PAUSE: &str = "do:\n  - pause: {wait: {minutes: 10}}\n";

#[test]
fn apply_creates_updates_and_leaves_alone() {
    let server = Server::start();
    server.file("a.yaml", &definition("a", "1.0.0", DOUBLE));
    server.file("b.yaml", &definition("b", "1.0.0", DOUBLE));
    assert_eq!(server.ok(&["apply", "a.yaml"]), "created    test/a 1.0.0  (a.yaml)\n");
    let both = "unchanged  test/a 1.0.0  (a.yaml)\ncreated    test/b 1.0.0  (b.yaml)\n";
    assert_eq!(server.ok(&["apply", "a.yaml", "b.yaml"]), both);
    server.file("a.yaml", &definition("a", "1.1.0", DOUBLE));
    assert_eq!(server.ok(&["apply", "a.yaml"]), "updated    test/a 1.0.0 -> 1.1.0  (a.yaml)\n");

    // Another content needs another version.
    server.file("a.yaml", &definition("a", "1.1.0", PAUSE));
    let refused = server.run(&["apply", "a.yaml", "b.yaml"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, "unchanged  test/b 1.0.0  (b.yaml)\n"));
    assert!(refused.stderr.contains("a.yaml: version 1.1.0"), "{}", refused.stderr);

    let report = server.json(&["apply", "b.yaml"]);
    assert_eq!((&report[0]["change"], &report[0]["name"]), (&json!("unchanged"), &json!("b")));
    let piped = server.with_stdin(&["apply", "-"], &definition("piped", "1.0.0", DOUBLE));
    assert_eq!((piped.code, piped.stdout.as_str()), (0, "created    test/piped 1.0.0  (-)\n"));
    server.file("d.yaml", &definition("d", "1.0.0", DOUBLE));
    server.ok(&["apply", "--draft", "d.yaml"]);
    assert_eq!(server.json(&["workflows", "get", "d"])["status"], "draft");
    assert_eq!(server.ok(&["apply", "d.yaml"]), "updated    test/d 1.0.0  (d.yaml)\n");
}

#[test]
fn apply_shows_findings_as_validate_does() {
    let server = Server::start();
    server.file(
        "bad.yaml",
        &definition("bad", "1.0.0", "do:\n  - one: {sett: {a: 1}}\n  - two: {set: {a: '${ . | }'}}\n"),
    );
    server.file("broken.yaml", "document: [\n");
    for file in ["bad.yaml", "broken.yaml"] {
        let (applied, validated) = (server.run(&["apply", file]), server.run(&["validate", file]));
        assert_eq!((applied.code, validated.code), (2, 2));
        let (findings, count) = validated.stderr.rsplit_once("1 checked").expect("a summary");
        assert!(!count.starts_with(", 0 errors"));
        assert_eq!(applied.stderr, findings);
    }
    assert_eq!(server.run(&["apply", "absent.yaml"]).code, 2);
}

#[test]
fn workflows_are_listed_shown_executed_and_deleted() {
    let server = Server::start();
    server.apply("double", DOUBLE);
    server.apply("fail", FAIL);
    let table = server.ok(&["workflows", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("WORKFLOW     VERSION  STATUS  UPDATED"), "{table}");
    assert!(lines[1].starts_with("test/fail    1.0.0    active"), "{table}");
    assert!(lines[2].starts_with("test/double  1.0.0    active"), "{table}");
    let one = server.run(&["workflows", "list", "--limit", "1", "-o", "json"]);
    assert!(one.stdout.contains("\"next\": \""), "{}", one.stdout);

    // A definition that was fetched is the one that is there.
    let text = server.ok(&["workflows", "get", "test/double", "--definition"]);
    server.file("fetched.yaml", &text);
    assert!(server.ok(&["apply", "fetched.yaml"]).starts_with("unchanged"), "{text}");
    assert!(server.ok(&["workflows", "get", "double"]).contains("workflow: test/double\n"));

    let execute = ["workflows", "execute", "double", "--input", "{\"n\": 21}", "--wait", "30s"];
    let shown = server.ok(&execute);
    assert!(shown.contains("status:    completed\n") && shown.contains("\"n\": 42"), "{shown}");
    let keyed = [&execute[..], &["--idempotency-key", "k"]].concat();
    assert_eq!(server.json(&keyed)["id"], server.json(&keyed)["id"]);
    let failed = server.run(&["workflows", "execute", "fail", "--wait", "30s"]);
    assert_eq!(failed.code, 1);
    assert!(failed.stdout.contains("It broke"), "{}", failed.stdout);
    assert_eq!(server.run(&["workflows", "execute", "double", "--input", "{"]).code, 2);
    let unknown = server.run(&["workflows", "execute", "duble"]);
    assert_eq!(
        (unknown.code, unknown.stderr.as_str()),
        (1, "error: there is no workflow \"duble\"; did you mean \"double\"?\n")
    );

    assert_eq!(server.ok(&["workflows", "delete", "double"]), "deleted test/double\n");
    assert_eq!(server.run(&["workflows", "get", "double"]).code, 1);
}

#[test]
fn executions_are_listed_and_their_history_is_a_timeline() {
    let server = Server::start();
    server.apply("double", DOUBLE);
    server.apply("fail", FAIL);
    server.ok(&["workflows", "execute", "double", "--input", "{\"n\": 1}", "--wait", "30s"]);
    let failed = server.run(&["workflows", "execute", "fail", "--wait", "30s", "-o", "json"]);
    let failed: Value = serde_json::from_str(&failed.stdout).expect("JSON");
    let id = failed["id"].as_str().expect("an id");

    let items = |arguments: &[&str]| server.json(arguments)["items"].as_array().expect("items").clone();
    assert_eq!(items(&["executions", "list"]).len(), 2);
    assert_eq!(items(&["executions", "list", "--limit", "1"])[0]["id"], id);
    let faulted = items(&["executions", "list", "--status", "faulted"]);
    assert_eq!((faulted.len(), &faulted[0]["id"]), (1, &json!(id)));
    assert_eq!(items(&["executions", "list", "--workflow", "double"])[0]["workflow"]["name"], "double");
    assert!(items(&["executions", "list", "--to", "2020-01-01T00:00:00Z"]).is_empty());
    let table = server.ok(&["executions", "list"]);
    assert!(table.contains(&format!("{id}  test/fail 1.0.0    faulted")), "{table}");

    let history = server.ok(&["executions", "history", id]);
    for part in ["status:    faulted", "created    by api {}", "/do/0/fail", "faulted    broken (500): It broke"] {
        assert!(history.contains(part), "{part} in {history}");
    }
    assert_eq!(server.json(&["executions", "history", id])[0]["type"], "created");
    assert!(server.ok(&["executions", "get", id, "-o", "yaml"]).contains("status: faulted\n"));
    assert_eq!(server.run(&["executions", "watch", id]).code, 1);
    let again = server.ok(&["executions", "retry", id]);
    assert!(again.starts_with(&format!("{id} is executed anew as ")), "{again}");

    let wrong = server.run(&["executions", "list", "--from", "yesterday"]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("yesterday") && wrong.stderr.contains("--> from"), "{}", wrong.stderr);
    let unknown = server.run(&["executions", "history", "nonsense"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("404 Not Found"), "{}", unknown.stderr);
}

#[test]
fn executions_are_watched_and_controlled() {
    let server = Server::start();
    server.apply("pause", PAUSE);
    let id = server.execute("pause");
    let watching =
        server.command(&["executions", "watch", &id]).stdout(Stdio::piped()).spawn().expect("the binary runs");
    let suspended = server.ok(&["executions", "suspend", &id]);
    assert!(suspended.contains("suspended"), "{suspended}");
    server.ok(&["executions", "resume", &id]);
    let early = server.run(&["executions", "retry", &id]);
    assert!(early.code == 1 && early.stderr.starts_with(&format!("error: {id}: ")), "{}", early.stderr);
    server.ok(&["executions", "cancel", &id]);
    let watched = Done::of(watching.wait_with_output().expect("it ends"));
    assert_eq!(watched.code, 1);
    for part in ["waiting    until 2", "suspended", "resumed", "\ncancelled after "] {
        assert!(watched.stdout.contains(part), "{part} in {}", watched.stdout);
    }
    // What can't be done to one is done to the others.
    let other = server.execute("pause");
    let done = server.run(&["executions", "cancel", &id, &other]);
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains(&id) && done.stdout.contains(&other), "{}{}", done.stdout, done.stderr);
}

#[test]
fn events_are_published_listed_and_followed() {
    let server = Server::start();
    let relay = "schedule: {on: {one: {with: {type: t.in}}}}\n\
                 do:\n  - tell: {emit: {event: {with: {source: /relay, type: t.out, data: \"${ .[0] }\"}}}}\n";
    server.apply("relay", relay);
    let follow = ["events", "follow", "--type", "t.out", "--count", "3", "-o", "json"];
    let mut follower = server.command(&follow).stdout(Stdio::piped()).spawn().expect("the binary runs");
    let (sender, seen) = mpsc::channel();
    let stdout = BufReader::new(follower.stdout.take().expect("its output"));
    std::thread::spawn(move || stdout.lines().try_for_each(|line| sender.send(line.expect("text"))));
    // A stream has only what comes after its begin: publish until something arrives.
    let first = loop {
        server.ok(&["events", "publish", "--type", "t.in", "--source", "/test", "--data", "{\"n\": 1}"]);
        if let Ok(line) = seen.recv_timeout(Duration::from_millis(100)) {
            break line;
        }
    };
    let first: Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!((&first["type"], &first["data"]), (&json!("t.out"), &json!({"n": 1})));

    let event = |id: &str| json!({"specversion": "1.0", "id": id, "source": "/test", "type": "t.in", "data": {"n": 2}});
    server.file("events.json", &json!([event("one"), event("two"), event("one")]).to_string());
    assert_eq!(server.ok(&["events", "publish", "events.json"]), "published 3 events\n");
    assert_eq!(seen.iter().count(), 2);
    assert!(follower.wait().expect("it ends").success());

    let starts = server.json(&["executions", "list", "--limit", "1000"]);
    let of_two = |run: &&Value| run["input"] == json!([{"n": 2}]);
    assert_eq!(starts["items"].as_array().expect("items").iter().filter(of_two).count(), 2, "one of them came twice");
    let listed = server.ok(&["events", "list", "--type", "t.out", "--limit", "1"]);
    assert!(listed.contains("t.out  /relay") && listed.contains("{\"n\":2}"), "{listed}");
    let wrong = server.with_stdin(&["events", "publish", "-"], "{\"id\": \"1\"}");
    assert!(wrong.code == 1 && wrong.stderr.contains("400 Bad Request"), "{}", wrong.stderr);
}

#[test]
fn secrets_go_in_and_never_out() {
    let server = Server::start();
    assert_eq!(server.with_stdin(&["secrets", "set", "mail"], "{\"password\": \"hunter2\"}").stdout, "created mail\n");
    assert_eq!(server.ok(&["secrets", "set", "mail", "--value", "hunter3"]), "replaced mail\n");
    server.file("token.txt", "hunter4\n");
    assert_eq!(server.ok(&["secrets", "set", "token", "--value", "@token.txt"]), "created token\n");
    let listed = server.ok(&["secrets", "list"]);
    assert!(listed.contains("mail") && listed.contains("token"), "{listed}");
    assert!(!listed.contains("hunter") && !server.ok(&["secrets", "list", "-o", "json"]).contains("hunter"));
    assert_eq!(server.ok(&["secrets", "delete", "mail"]), "deleted mail\n");
    assert_eq!(server.run(&["secrets", "delete", "mail"]).code, 1);
    assert_eq!(server.with_stdin(&["secrets", "set", "empty"], "").code, 2);
}

#[test]
fn dead_letters_are_listed_and_unknown_ones_are_not_redriven() {
    let server = Server::start();
    assert_eq!(server.ok(&["deadletters", "list"]), "ID  RECEIVED  SOURCE  TOPIC  STATUS  REASON\n");
    let unknown = server.run(&["deadletters", "redrive", "17"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.starts_with("error: 17: ") && unknown.stderr.contains("404"), "{}", unknown.stderr);
}

#[test]
fn without_a_server_the_user_is_told_how_to_start_one() {
    let trinity = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trinity"));
        Done::of(command.args(arguments).env_remove("TRINITY_SERVER").output().expect("the binary runs"))
    };
    // Nobody listens on a port that was just given back.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let nobody = format!("http://127.0.0.1:{port}");
    for command in
        [&["workflows", "list"][..], &["executions", "watch", "1"], &["events", "follow"], &["secrets", "list"]]
    {
        let done = trinity(&[command, &["--server", &nobody]].concat());
        assert_eq!(done.code, 1, "{command:?}");
        assert!(done.stderr.contains(&nobody) && done.stderr.contains("trinity serve"), "{}", done.stderr);
    }
    for usage in [
        &["workflows", "list", "--server", "nowhere"][..],
        &["workflows"],
        &["executions", "watch"],
        &["events", "publish"],
    ] {
        assert_eq!(trinity(usage).code, 2, "{usage:?}");
    }
}
