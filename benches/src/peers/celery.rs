//! Celery with Redis as broker and as backend of results: workers of PyPI's package, Redis from Debian.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::Process;
use super::{Failure, Place, SAMPLES, Subject, System, Way, scratch};
use crate::w1;

/// Workers of one process each: every one waits for Redis' disk on its own, so that four did more than one of two or four processes.
const WORKERS: usize = 4;
/// Executions under way.
const UNDER_WAY: usize = 512;

/// One task, and a chain of two.
#[must_use]
pub fn subjects() -> Vec<Subject> {
    vec![
        Subject {
            name: "Celery, one task",
            way: Way::Redis,
            settings: "Redis appendonly, appendfsync always; acks_late; results kept; 4 workers of 1 process, 512 at once",
            start: |place| Ok(Box::new(Celery::start(place, "plain")?)),
        },
        Subject {
            name: "Celery, a chain of two tasks",
            way: Way::Redis,
            settings: "the same; each step a message of its own",
            start: |place| Ok(Box::new(Celery::start(place, "stepwise")?)),
        },
    ]
}

/// A worker and a client.
struct Celery {
    client: Option<Process>,
    workers: Vec<Process>,
    kind: &'static str,
    home: Home,
    payloads: PathBuf,
    /// Redis' process.
    redis: u32,
    /// Results that were there before.
    before: u64,
}

impl Celery {
    fn start(place: &Place, kind: &'static str) -> Result<Celery, Failure> {
        let directory = scratch(place, "celery")?;
        let payloads = directory.join("payloads.jsonl");
        std::fs::write(&payloads, place.payloads.join("\n"))?;
        let (port, redis) = place.redis;
        let home =
            Home { programs: place.installed("celery")?.join("bin"), sources: place.sources.clone(), directory, port };
        let worker = |number| {
            let name = format!("w{number}");
            let mut worker = home.command("celery");
            worker.args([
                "--app",
                "celery_w1",
                "worker",
                "--hostname",
                &name,
                "--pool",
                "prefork",
                "--concurrency",
                "1",
            ]);
            worker.args(["--without-gossip", "--without-mingle", "--loglevel", "WARNING"]);
            Process::start(worker, &home.directory.join(format!("{name}.log")))
        };
        let workers = (0..WORKERS).map(worker).collect::<Result<_, _>>()?;
        Ok(Celery { client: None, workers, kind, home, payloads, redis, before: 0 })
    }
}

impl System for Celery {
    fn answers(&mut self) -> Result<Vec<Value>, Failure> {
        let samples = self.home.directory.join("samples.jsonl");
        std::fs::write(&samples, (0..SAMPLES).map(w1::payload).collect::<Vec<_>>().join("\n"))?;
        let mut client = self.home.command("python");
        let told = client.args(["-m", "celery_w1", "answers", self.kind]).arg(samples).output()?;
        if !told.status.success() {
            return Err(String::from_utf8_lossy(&told.stderr).into_owned().into());
        }
        let lines = String::from_utf8(told.stdout)?;
        lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    fn begin(&mut self, length: Duration) -> Result<(), Failure> {
        self.before = self.home.results()?;
        let mut client = self.home.command("python");
        client.args(["-m", "celery_w1", "load", self.kind]).arg(&self.payloads);
        client.args([length.as_secs().to_string(), UNDER_WAY.to_string()]);
        self.client = Some(Process::start(client, &self.home.directory.join("client.log"))?);
        Ok(())
    }

    fn done(&mut self) -> Result<u64, Failure> {
        Ok(self.home.results()? - self.before)
    }

    fn processes(&self) -> Vec<u32> {
        self.client.iter().chain(&self.workers).map(Process::id).chain([self.redis]).collect()
    }
}

/// Where its programs are, and what they are told.
struct Home {
    programs: PathBuf,
    sources: PathBuf,
    directory: PathBuf,
    /// Redis'.
    port: u16,
}

/// Redis' database for messages.
const MESSAGES: u8 = 0;
/// And that for results.
const RESULTS: u8 = 1;

impl Home {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        let url = |database: u8| format!("redis://127.0.0.1:{}/{database}", self.port);
        command.env("CELERY_BROKER", url(MESSAGES)).env("CELERY_BACKEND", url(RESULTS));
        command.env("PYTHONPATH", &self.sources).env("PYTHONDONTWRITEBYTECODE", "1").env("C_FORCE_ROOT", "1");
        command.current_dir(&self.directory);
        command
    }

    /// How many results are in the backend.
    fn results(&self) -> Result<u64, Failure> {
        let mut redis = std::net::TcpStream::connect(("127.0.0.1", self.port))?;
        write!(redis, "SELECT {RESULTS}\r\nDBSIZE\r\nQUIT\r\n")?;
        let mut told = String::new();
        redis.read_to_string(&mut told)?;
        let count =
            told.lines().find_map(|line| line.strip_prefix(':')).ok_or_else(|| format!("Redis says: {told}"))?;
        Ok(count.parse()?)
    }
}
