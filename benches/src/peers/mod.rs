//! Other engines beside Trinity: the same work, one after the other on the same machine in the same run.
//!
//! Each system has to give W1's results for some samples before it is measured, works for a while until it is warm, and is then
//! measured for a fixed time: executions that have durably ended, and the CPU time of all that takes part (its servers, its
//! workers, its clients). What durable means is each system's own, and is named.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::w1;

pub mod celery;
pub mod http;
pub mod kafka_streams;
pub mod process;
pub mod restate;
pub mod topics;
pub mod trinity;

/// Why something could not be measured.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Results that each system has to give before it is measured.
pub const SAMPLES: u64 = 64;
/// How long a system may take until its first result under load.
const FIRST_RESULT: Duration = Duration::from_secs(60);

/// Where everything is.
pub struct Place {
    /// The installed programs, by name of the system.
    pub programs: PathBuf,
    /// The services, workers and topologies of this project.
    pub sources: PathBuf,
    /// For what is written during a run.
    pub scratch: PathBuf,
    /// Kafka's address and its process.
    pub kafka: (String, u32),
    /// Redis' port and its process.
    pub redis: (u16, u32),
    /// A topic with messages of W1, and how many.
    pub topic: (String, u64),
    /// Payloads of W1, to be sent in turn.
    pub payloads: Arc<[String]>,
    /// What clients run on.
    pub runtime: tokio::runtime::Handle,
}

impl Place {
    /// The directory of an installed system.
    ///
    /// # Errors
    /// It is not there; the reason, where the installation left one.
    fn installed(&self, system: &str) -> Result<PathBuf, Failure> {
        let directory = self.programs.join(system);
        if directory.join("version").exists() {
            return Ok(directory);
        }
        let reason = std::fs::read_to_string(self.programs.join(format!("{system}.missing")));
        Err(reason.map_or_else(|_| "it is not installed".to_owned(), |text| text.trim().replace('\n', " ")).into())
    }
}

/// How executions come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From memory.
    Process,
    /// From a topic.
    Kafka,
    /// By requests that wait for the end.
    Http,
    /// From a queue in Redis.
    Redis,
}

impl Way {
    /// In words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Way::Process => "in-process",
            Way::Kafka => "from Kafka",
            Way::Http => "over HTTP, waiting for the end",
            Way::Redis => "from Redis",
        }
    }
}

/// A system that is to be measured. Dropped, it stops.
pub trait System {
    /// The results of the first [`SAMPLES`] messages of W1, in any order.
    ///
    /// # Errors
    /// It does not work.
    fn answers(&mut self) -> Result<Vec<Value>, Failure>;

    /// Begins to work; there is work for at least so long, unless [`System::supply`] is less.
    ///
    /// # Errors
    /// It does not work.
    fn begin(&mut self, length: Duration) -> Result<(), Failure>;

    /// How many executions have ended since the beginning.
    ///
    /// # Errors
    /// It does not work.
    fn done(&mut self) -> Result<u64, Failure>;

    /// How many executions there are at most.
    fn supply(&self) -> u64 {
        u64::MAX
    }

    /// All that takes part beside this process.
    fn processes(&self) -> Vec<u32>;
}

/// What is measured, and how it is set up.
pub struct Subject {
    /// Its name.
    pub name: &'static str,
    /// How executions come in.
    pub way: Way,
    /// What counts as durable, and how many work at once.
    pub settings: &'static str,
    /// Sets it up.
    pub start: fn(&Place) -> Result<Box<dyn System>, Failure>,
}

/// All of them; Trinity first.
#[must_use]
pub fn subjects() -> Vec<Subject> {
    let mut all = trinity::subjects();
    all.extend(kafka_streams::subjects());
    all.extend(restate::subjects());
    all.extend(celery::subjects());
    all
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Executions a second.
    pub rate: f64,
    /// CPU time of all that takes part for one execution, in microseconds.
    pub cpu_micros: f64,
}

impl Figures {
    /// As they are kept.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"rate": self.rate, "cpuMicros": self.cpu_micros})
    }
}

/// Checks a system, warms it up and measures it.
///
/// # Errors
/// It does not work, or its results are not W1's.
pub fn measure(system: &mut dyn System, warm_up: Duration, length: Duration) -> Result<Figures, Failure> {
    check(system.answers()?)?;
    system.begin(FIRST_RESULT + warm_up + length)?;
    let begun = Instant::now();
    while system.done()? == 0 {
        if begun.elapsed() > FIRST_RESULT {
            return Err("no execution has ended under load".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(warm_up);
    let mut roots = system.processes();
    roots.push(std::process::id());
    let (before, cpu, begun) = (system.done()?, process::cpu_of_trees(&roots), Instant::now());
    let mut done = before;
    while begun.elapsed() < length && done < system.supply() {
        std::thread::sleep(Duration::from_millis(50).min(length));
        done = system.done()?;
    }
    let (wall, cpu) = (begun.elapsed(), process::cpu_of_trees(&roots).saturating_sub(cpu));
    if done == before {
        return Err("no execution has ended while it was measured".into());
    }
    let count = (done - before) as f64;
    Ok(Figures { rate: count / wall.as_secs_f64(), cpu_micros: cpu.as_secs_f64() * 1e6 / count })
}

/// Whether the results are those that W1 has for the samples.
fn check(answers: Vec<Value>) -> Result<(), Failure> {
    let key = |answer: &Value| {
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        // Some write 35, others 35.0.
        (text("deviceId"), answer["celsius"].as_f64().map(f64::to_bits), text("level"))
    };
    let mut found: Vec<_> = answers.iter().map(key).collect();
    let mut wanted: Vec<_> = (0..SAMPLES).map(expected).map(|answer| key(&answer)).collect();
    found.sort();
    wanted.sort();
    if found == wanted { Ok(()) } else { Err(format!("these are not W1's results: {answers:?}").into()) }
}

/// W1's result for the message with this number.
fn expected(number: u64) -> Value {
    let event: Value = serde_json::from_str(&w1::payload(number)).unwrap_or_default();
    let celsius = (event["temperature"].as_f64().unwrap_or(f64::NAN) - 32.0) * 5.0 / 9.0;
    let level = if celsius > 70.0 { "high" } else { "normal" };
    json!({"deviceId": event["deviceId"], "celsius": celsius, "level": level})
}

/// Room for one run of a system; the one before is removed.
fn scratch(place: &Place, name: &str) -> Result<PathBuf, Failure> {
    let directory = place.scratch.join(name);
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Whether somebody listens there.
fn is_listening(port: u16) -> bool {
    std::net::TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(200)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_have_both_levels_and_other_results_are_refused() {
        let mut answers: Vec<Value> = (0..SAMPLES).map(expected).collect();
        let high = answers.iter().filter(|answer| answer["level"] == "high").count();
        assert!(high > 8 && high < answers.len() - 8);
        answers.reverse();
        assert!(check(answers.clone()).is_ok());
        assert!(check(answers[1..].to_vec()).is_err());
        let level = answers[5]["level"].take();
        answers[5]["level"] = if level == "high" { "normal" } else { "high" }.into();
        assert!(check(answers).is_err());
    }
}
