//! Trinity and other engines on the same work in one run; `benches/peers/run` installs what they need and starts this.
//!
//! `trinity-peers PROGRAMS SOURCES [SECONDS] [FILE] [PART OF A NAME]…`: where the programs are installed, where this project's services for
//! them are, how long each is measured (15), where the figures are kept as JSON (`-`: nowhere), and which alone are measured.
//! `PEERS_KAFKA` and `PEERS_REDIS` are `ADDRESS PROCESS` and `PORT PROCESS` of the servers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use trinity_benches::measure::machine;
use trinity_benches::peers::{Failure, Figures, Place, Subject, Way, measure, subjects};
use trinity_benches::{kafka, w1};

/// As in the binary `trinity`.
#[global_allocator]
static ALLOCATOR: trinity_allocator::Allocator = trinity_allocator::Allocator;

/// How long each system works before it is measured.
const WARM_UP: Duration = Duration::from_secs(8);
/// Messages in the topic for each second of warm-up and measurement: more than anything executes.
const MESSAGES_PER_SECOND: u64 = 150_000;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [programs, sources, rest @ ..] = arguments.as_slice() else {
        return Err("trinity-peers PROGRAMS SOURCES [SECONDS] [FILE] [PART OF A NAME]…".into());
    };
    let length = Duration::from_secs(rest.first().map_or(Ok(15), |text| text.parse())?);
    let wanted =
        |subject: &Subject| rest.len() < 3 || rest[2..].iter().any(|part| subject.name.contains(part.as_str()));
    let machine = machine();
    println!("{machine}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let scratch = tempfile::tempdir()?;
    let subjects: Vec<Subject> = subjects().into_iter().filter(wanted).collect();
    let (redis_port, redis) = server("PEERS_REDIS")?;
    let place = Place {
        programs: PathBuf::from(programs),
        sources: PathBuf::from(sources).canonicalize()?,
        scratch: scratch.path().to_owned(),
        kafka: server("PEERS_KAFKA")?,
        redis: (redis_port.parse()?, redis),
        topic: ("peers".to_owned(), MESSAGES_PER_SECOND * (WARM_UP + length).as_secs()),
        payloads: (0..9_973).map(w1::payload).collect(),
        runtime: runtime.handle().clone(),
    };
    if subjects.iter().any(|subject| subject.way == Way::Kafka) {
        println!("producing {} messages …", place.topic.1);
        let fill = kafka::fill(&place.kafka.0, &place.topic.0, place.topic.1);
        runtime.block_on(fill).map_err(|error| error.to_string())?;
    }
    let begun = Instant::now();
    let rows: Vec<Row> = subjects.into_iter().map(|subject| Row::measure(subject, &place, length)).collect();
    show(&rows);
    println!(
        "{:.0} s in all, each warm for {} s and measured for {} s",
        begun.elapsed().as_secs_f64(),
        WARM_UP.as_secs(),
        length.as_secs()
    );
    match rest.get(1).map(String::as_str) {
        None | Some("-") => {}
        Some(file) => {
            let rows: Vec<_> = rows.iter().map(Row::json).collect();
            let figures = json!({"machine": machine, "seconds": length.as_secs(), "rows": rows});
            std::fs::write(file, format!("{figures:#}\n"))?;
        }
    }
    Ok(())
}

/// An address and a process out of a variable of the environment.
fn server(name: &str) -> Result<(String, u32), Failure> {
    let text = std::env::var(name).map_err(|_| format!("{name} is not set"))?;
    let (address, process) = text.split_once(' ').ok_or_else(|| format!("{name}={text}: an address and a process"))?;
    Ok((address.to_owned(), process.parse()?))
}

/// A system and what was measured of it, or why not.
struct Row {
    subject: Subject,
    figures: Result<Figures, String>,
}

impl Row {
    fn measure(subject: Subject, place: &Place, length: Duration) -> Row {
        println!("{} …", subject.name);
        let measured = (subject.start)(place).and_then(|mut system| measure(system.as_mut(), WARM_UP, length));
        let figures = measured.map_err(|error| error.to_string());
        match &figures {
            Ok(Figures { rate, cpu_micros }) => println!("  {rate:.0} /s, {cpu_micros:.1} µs CPU each"),
            Err(error) => println!("  not measured: {error}"),
        }
        Row { subject, figures }
    }

    fn json(&self) -> serde_json::Value {
        let Subject { name, way, settings, .. } = &self.subject;
        let mut row = json!({"name": name, "way": way.text(), "settings": settings});
        match &self.figures {
            Ok(figures) => row["figures"] = figures.json(),
            Err(error) => row["missing"] = error.as_str().into(),
        }
        row
    }
}

/// The table: each beside Trinity with the same way in where there is one, and beside Trinity in-process.
fn show(rows: &[Row]) {
    let trinity = |way: Way| {
        let own = rows.iter().find(|row| row.subject.name.starts_with("Trinity") && row.subject.way == way);
        own.and_then(|row| row.figures.as_ref().ok())
    };
    let ratio = |own: Option<&Figures>, figures: &Figures| match own {
        Some(own) => format!("{:.1}×", own.rate / figures.rate),
        None => "–".to_owned(),
    };
    println!("| | way in | executions/s | CPU each | Trinity the same way | Trinity in-process |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for Row { subject, figures } in rows {
        let (name, way) = (subject.name, subject.way.text());
        match figures {
            Ok(figures) => println!(
                "| {name} | {way} | {:.0} | {:.1} µs | {} | {} |",
                figures.rate,
                figures.cpu_micros,
                ratio(trinity(subject.way), figures),
                ratio(trinity(Way::Process), figures)
            ),
            Err(error) => println!("| {name} | {way} | not measured: {error} | | | |"),
        }
    }
    for Row { subject, .. } in rows {
        println!("{}: {}", subject.name, subject.settings);
    }
}
