//! Trinity itself: the shards and the journal in this process, and the whole node as users run it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use trinity_actors::journal::ListQuery;
use trinity_actors::node::Node;
use trinity_engine::history::Fact;

use super::http::{Load, ask};
use super::process::Process;
use super::{Failure, Place, SAMPLES, Subject, System, Way, scratch};
use crate::feed::Feed;
use crate::{in_process, kafka, w1};

/// Requests under way, as of other systems over HTTP.
const CONNECTIONS: usize = 256;

/// In this process, from Kafka, over HTTP.
#[must_use]
pub fn subjects() -> Vec<Subject> {
    vec![
        Subject {
            name: "Trinity in-process",
            way: Way::Process,
            settings: "fsync before acknowledgement, history of each step; payload bytes to durable end, no broker",
            start: |place| Ok(Box::new(InProcess::start(place)?)),
        },
        Subject {
            name: "Trinity from Kafka",
            way: Way::Kafka,
            settings: "`trinity serve`: fsync before acknowledgement, history of each step, analytics",
            start: |place| Ok(Box::new(FromKafka::start(place)?)),
        },
        Subject {
            name: "Trinity over HTTP",
            way: Way::Http,
            settings: "`trinity serve`: fsync before acknowledgement, history of each step, analytics; 256 requests at once",
            start: |place| Ok(Box::new(OverHttp::start(place)?)),
        },
    ]
}

/// Shards and journal.
struct InProcess {
    node: Option<Node>,
    durable: Arc<AtomicU64>,
    runtime: tokio::runtime::Handle,
    work: Option<tokio::task::JoinHandle<Result<(), String>>>,
}

impl InProcess {
    fn start(place: &Place) -> Result<InProcess, Failure> {
        let directory = scratch(place, "in-process")?;
        let node = place.runtime.block_on(in_process::node(&directory, 0)).map_err(|error| error.to_string())?;
        Ok(InProcess { node: Some(node), durable: Arc::default(), runtime: place.runtime.clone(), work: None })
    }

    fn handle(&self) -> Result<trinity_actors::handle::Handle, Failure> {
        Ok(self.node.as_ref().ok_or("the node has stopped")?.handle())
    }
}

impl System for InProcess {
    fn answers(&mut self) -> Result<Vec<Value>, Failure> {
        let handle = self.handle()?;
        // The first message of a partition is W1's with the partition's number.
        let events = (0..SAMPLES).flat_map(|number| w1::Messages::new(number).take(1, trinity_actors::clock::now()));
        self.runtime.block_on(handle.submit(events.collect()))?;
        let query = ListQuery { limit: usize::try_from(SAMPLES)?, ..ListQuery::default() };
        let mut answers = Vec::new();
        for summary in handle.reader().list(&query)?.items {
            let stored = handle.reader().execution(summary.id)?.ok_or("an execution is not found")?;
            let Some(Fact::Completed { output: Some(output) }) = stored.history.last().map(|event| &event.fact) else {
                return Err(format!("it has not completed: {stored:?}").into());
            };
            answers.push(serde_json::from_str(&output.to_json())?);
        }
        Ok(answers)
    }

    fn begin(&mut self, _: Duration) -> Result<(), Failure> {
        // Partitions that the samples did not use.
        let mut feed = Feed::of_partitions(SAMPLES);
        self.durable = feed.durable();
        let handle = self.handle()?;
        self.work = Some(self.runtime.spawn(async move { feed.pour(&handle, u64::MAX).await }));
        Ok(())
    }

    fn done(&mut self) -> Result<u64, Failure> {
        Ok(self.durable.load(Ordering::Relaxed))
    }

    fn processes(&self) -> Vec<u32> {
        Vec::new()
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            work.abort();
        }
        if let Some(node) = self.node.take() {
            self.runtime.block_on(node.drain());
        }
    }
}

/// `trinity serve`.
struct Server {
    process: Process,
    address: SocketAddr,
    runtime: tokio::runtime::Handle,
}

impl Server {
    fn start(runtime: &tokio::runtime::Handle, directory: &Path, sources: &Value) -> Result<Server, Failure> {
        let settings = directory.join("trinity.config.yml");
        let data = directory.join("data");
        // JSON is YAML.
        let text = json!({"server": {"port": 0}, "engine": {"data_dir": data}, "sources": sources});
        std::fs::write(&settings, text.to_string())?;
        let mut command = Command::new(program()?);
        command.arg("serve").arg("--config").arg(settings);
        let log = directory.join("trinity.log");
        let mut process = Process::start(command, &log)?;
        let mut address = None;
        process.ready(Duration::from_secs(60), || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let found = said.lines().find_map(|line| line.strip_prefix("trinity listens on http://")?.parse().ok());
            address = found;
            found.is_some()
        })?;
        let address = address.ok_or("it does not say where it listens")?;
        Ok(Server { process, address, runtime: runtime.clone() })
    }

    /// Gives it a definition; the workflow's id.
    fn apply(&self, directory: &Path, definition: &str) -> Result<String, Failure> {
        let file = directory.join("w1.yaml");
        std::fs::write(&file, definition)?;
        let server = format!("http://{}", self.address);
        let told = Command::new(program()?).arg("apply").arg(file).args(["--server", &server]).output()?;
        if !told.status.success() {
            return Err(String::from_utf8_lossy(&told.stderr).into_owned().into());
        }
        let workflows: Value = serde_json::from_slice(&self.get("/api/v1/workflows")?)?;
        Ok(workflows["items"][0]["id"].as_str().ok_or("no workflow is there")?.to_owned())
    }

    fn get(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let answer = ask(&self.runtime, self.address, "GET", path, "")?;
        if answer.status == 200 { Ok(answer.body) } else { Err(format!("{path}: {}", answer.status).into()) }
    }

    /// How many executions have ended.
    fn ended(&self) -> Result<u64, Failure> {
        let metrics = String::from_utf8(self.get("/metrics")?)?;
        let counts = metrics.lines().filter(|line| line.starts_with("trinity_execution_duration_seconds_count"));
        Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
    }
}

/// The binary `trinity`, which is built beside this one.
fn program() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?.with_file_name("trinity");
    if program.exists() { Ok(program) } else { Err(format!("{} is not built", program.display()).into()) }
}

/// A node with a source.
struct FromKafka {
    server: Option<Server>,
    directory: PathBuf,
    runtime: tokio::runtime::Handle,
    kafka: (String, u32),
    topic: (String, u64),
}

impl FromKafka {
    fn start(place: &Place) -> Result<FromKafka, Failure> {
        let (runtime, kafka, topic) = (place.runtime.clone(), place.kafka.clone(), place.topic.clone());
        Ok(FromKafka { server: None, directory: scratch(place, "from-kafka")?, runtime, kafka, topic })
    }

    /// A node that reads a topic from its beginning.
    fn run(&mut self, topic: &str) -> Result<&Server, Failure> {
        let directory = self.directory.join(topic);
        std::fs::create_dir_all(&directory)?;
        // What nobody awaits leaves no trace, so the workflow has to be there before the source.
        Server::start(&self.runtime, &directory, &json!([]))?.apply(&directory, w1::DEFINITION)?;
        let group = format!("{topic}-trinity");
        let kafka = json!({"brokers": self.kafka.0, "topics": [topic], "group": group, "from": "earliest"});
        let source = json!({"name": "bench", "event": {"type": w1::EVENT_TYPE}, "kafka": kafka});
        Ok(self.server.insert(Server::start(&self.runtime, &directory, &json!([source]))?))
    }
}

impl System for FromKafka {
    fn answers(&mut self) -> Result<Vec<Value>, Failure> {
        let topic = format!("{}-samples-trinity", self.topic.0);
        self.runtime.block_on(kafka::fill(&self.kafka.0, &topic, SAMPLES)).map_err(|error| error.to_string())?;
        let server = self.run(&topic)?;
        for _ in 0..300 {
            if server.ended()? >= SAMPLES {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut list: Value = serde_json::from_slice(&server.get("/api/v1/executions?limit=1000")?)?;
        let items = list["items"].as_array_mut().ok_or("no list")?;
        let answers = items.iter_mut().map(|item| item["output"].take()).collect();
        self.server = None;
        Ok(answers)
    }

    fn begin(&mut self, _: Duration) -> Result<(), Failure> {
        let topic = self.topic.0.clone();
        self.run(&topic).map(|_| ())
    }

    fn done(&mut self) -> Result<u64, Failure> {
        self.server.as_ref().map_or(Ok(0), Server::ended)
    }

    fn supply(&self) -> u64 {
        self.topic.1
    }

    fn processes(&self) -> Vec<u32> {
        self.server.iter().map(|server| server.process.id()).chain([self.kafka.1]).collect()
    }
}

/// A node that is asked to execute W1 and to wait for its end.
struct OverHttp {
    load: Option<Load>,
    server: Server,
    path: String,
    payloads: Arc<[String]>,
}

impl OverHttp {
    fn start(place: &Place) -> Result<OverHttp, Failure> {
        let directory = scratch(place, "over-http")?;
        let server = Server::start(&place.runtime, &directory, &json!([]))?;
        // The input is the payload, not a list of events.
        let by_event =
            ["schedule: {on: {one: {with: {type: com.example.sensor.reading}}}}\n", "input: {from: '${ .[0] }'}\n"];
        let definition = by_event.iter().fold(w1::DEFINITION.to_owned(), |text, line| text.replace(line, ""));
        let workflow = server.apply(&directory, &definition)?;
        let path = format!("/api/v1/workflows/{workflow}/execute?wait=30s");
        Ok(OverHttp { load: None, server, path, payloads: place.payloads.clone() })
    }
}

impl System for OverHttp {
    fn answers(&mut self) -> Result<Vec<Value>, Failure> {
        let answer = |number| {
            let answer = ask(&self.server.runtime, self.server.address, "POST", &self.path, &w1::payload(number))?;
            let mut body: Value = serde_json::from_slice(&answer.body)?;
            Ok(body["output"].take())
        };
        (0..SAMPLES).map(answer).collect()
    }

    fn begin(&mut self, _: Duration) -> Result<(), Failure> {
        let Server { address, runtime, .. } = &self.server;
        self.load = Some(Load::start(runtime, *address, &self.path, &self.payloads, CONNECTIONS));
        Ok(())
    }

    fn done(&mut self) -> Result<u64, Failure> {
        self.load.as_ref().map_or(Ok(0), Load::done)
    }

    fn processes(&self) -> Vec<u32> {
        vec![self.server.process.id()]
    }
}
