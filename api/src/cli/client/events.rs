//! `trinity events`.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use trinity_engine::value::Value;

use super::connection::{Body, Server, object};
use super::executions::document;
use super::failure::Failure;
use super::output::{self, Format, print};
use super::table::{Column, VALUE_WIDTH, printable, short, text};
use super::{Common, given, json, read};

const PATH: &[&str] = &["events"];
/// Before a stream that broke is asked for again.
const PAUSE: Duration = Duration::from_secs(1);
/// A server that does not answer meanwhile gets so many tries.
const TRIES_MAX: u32 = 30;

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Publish CloudEvents: what they start is durable when this ends
    #[command(
        after_help = "Examples:\n  trinity events publish --type com.example.reading --source /plant --subject d1 --data '{\"temperature\": 95}'\n  trinity events publish event.json\n\nA file holds one CloudEvent as JSON, or a list of them; - is stdin. The same id and source again start nothing again."
    )]
    Publish(Publish),
    /// List what workflows and the engine published, the newest first
    List {
        /// Of this type only; a * at its end stands for anything
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Print events as they are published, until Ctrl-C
    #[command(after_help = "Example:\n  trinity events follow --type 'com.example.*' -o json | jq .data")]
    Follow {
        /// Of this type only; a * at its end stands for anything
        #[arg(long = "type", value_name = "TYPE")]
        event_type: Option<String>,
        /// End after so many
        #[arg(long, value_name = "NUMBER")]
        count: Option<u64>,
    },
}

#[derive(clap::Args)]
struct Publish {
    /// CloudEvents as JSON
    #[arg(conflicts_with = "event_type")]
    file: Option<PathBuf>,
    /// Type of the event
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "file")]
    event_type: Option<String>,
    /// Source of the event
    #[arg(long, default_value = "/trinity/cli", conflicts_with = "file")]
    source: String,
    /// Its subject, which is its partition key too
    #[arg(long, conflicts_with = "file")]
    subject: Option<String>,
    /// Its id; without it a new one
    #[arg(long, conflicts_with = "file")]
    id: Option<String>,
    /// Its data: JSON, @FILE with JSON, or @- for stdin
    #[arg(long, value_name = "JSON|@FILE", conflicts_with = "file")]
    data: Option<String>,
}

pub fn main(options: &Options) -> u8 {
    options.common.run(async |server, format| match &options.command {
        Command::Publish(event) => publish(server, format, event).await,
        Command::List { event_type, limit } => {
            let columns = [
                Column { name: "TIME", show: |item| text(item, "/time") },
                Column { name: "TYPE", show: |item| text(item, "/type") },
                Column { name: "SOURCE", show: |item| text(item, "/source") },
                Column { name: "SUBJECT", show: |item| text(item, "/subject") },
                Column { name: "DATA", show: data },
            ];
            let listing = server.list(PATH, &of_type(event_type.as_deref()), *limit as usize).await?;
            output::list(format, listing, &columns);
            Ok(())
        }
        Command::Follow { event_type, count } => follow(server, format, event_type.as_deref(), *count).await,
    })
}

fn of_type(event_type: Option<&str>) -> Vec<(&str, &str)> {
    event_type.into_iter().map(|event_type| ("type", event_type)).collect()
}

async fn publish(server: &Server, format: Format, event: &Publish) -> Result<(), Failure> {
    let events = match &event.file {
        Some(file) => json(&read(file)?, &format!("{}", file.display()))?,
        None => single(event)?,
    };
    let (content_type, shown) = match &events {
        Value::Array(events) => {
            ("application/cloudevents-batch+json; charset=utf-8", format!("{} events", events.len()))
        }
        one => ("application/cloudevents+json; charset=utf-8", text(one, "/id")),
    };
    let answer = server.send(Method::POST, PATH, &[], Body::of(content_type, events.to_json())).await?;
    output::one(format, &answer.value, |_| format!("published {}\n", printable(&shown)));
    Ok(())
}

/// The event of the arguments.
fn single(event: &Publish) -> Result<Value, Failure> {
    let data = match &event.data {
        Some(argument) => Some(json(&given(argument)?, "the data")?),
        None => None,
    };
    let id = event.id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    Ok(object([
        ("specversion", Some(Value::from("1.0"))),
        ("id", Some(Value::from(id))),
        ("source", Some(Value::from(event.source.as_str()))),
        ("type", event.event_type.as_deref().map(Value::from)),
        ("subject", event.subject.as_deref().map(Value::from)),
        ("datacontenttype", data.is_some().then(|| Value::from("application/json"))),
        ("data", data),
    ]))
}

fn data(event: &Value) -> String {
    match event.get("data") {
        Some(data) => short(data, VALUE_WIDTH),
        None => text(event, "/data_base64"),
    }
}

/// Prints events as they come. After a broken connection it goes on behind the last one.
async fn follow(server: &Server, format: Format, event_type: Option<&str>, count: Option<u64>) -> Result<(), Failure> {
    let mut query = of_type(event_type);
    query.push(("follow", "true"));
    let (mut last, mut seen, mut tries, mut ever) = (None::<String>, 0, 0, false);
    while count.is_none_or(|count| seen < count) {
        let mut response = match server.stream(PATH, &query, last.as_deref()).await {
            Err(Failure::Unreachable { .. }) if ever && tries < TRIES_MAX => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            answered => answered?,
        };
        (tries, ever) = (0, true);
        let mut stream = Stream::default();
        // A chunk that can't be read ends a connection as its end does.
        while let Ok(Some(chunk)) = response.chunk().await {
            for Sent { id, data } in stream.feed(&chunk) {
                last = id.or(last);
                show(format, &data)?;
                seen += 1;
                if count == Some(seen) {
                    return Ok(());
                }
            }
        }
        eprintln!("the connection is lost; trying again");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

fn show(format: Format, sent: &str) -> Result<(), Failure> {
    let event = json(sent.as_bytes(), "an event of the stream")?;
    match format {
        Format::Table => {
            let parts = ["/time", "/type", "/source", "/subject"].map(|pointer| text(&event, pointer));
            print(&(printable(&format!("{}  {}", parts.join("  "), data(&event))) + "\n"));
        }
        Format::Json | Format::Yaml => document(format, &event),
    }
    Ok(())
}

/// A server-sent event.
#[derive(PartialEq, Eq, Debug)]
struct Sent {
    id: Option<String>,
    data: String,
}

/// Cuts a stream into events (WHATWG HTML, "Server-sent events"): fields in lines, ended by an empty one.
#[derive(Default)]
struct Stream {
    rest: Vec<u8>,
    id: Option<String>,
    data: Vec<String>,
}

impl Stream {
    /// The events that a chunk completes.
    fn feed(&mut self, chunk: &[u8]) -> Vec<Sent> {
        self.rest.extend_from_slice(chunk);
        let mut sent = Vec::new();
        let mut from = 0;
        while let Some(length) = self.rest[from..].iter().position(|byte| *byte == b'\n') {
            let line = &self.rest[from..from + length];
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
            from += length + 1;
            sent.extend(self.line(&line));
        }
        self.rest.drain(..from);
        sent
    }

    fn line(&mut self, line: &str) -> Option<Sent> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data).join("\n");
            return (!data.is_empty()).then(|| Sent { id: self.id.clone(), data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => self.data.push(value.to_owned()),
            "id" => self.id = Some(value.to_owned()),
            // Comments, which keep the connection alive, and what we have no use for.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_wherever_the_chunks_end() {
        let stream = ": alive\n\nid: 1\ndata: {\"a\":\ndata: \"ü\"}\n\nevent: x\r\ndata:two\r\n\r\nid: 3\n\ndata: cut";
        let expected = [
            Sent { id: Some("1".to_owned()), data: "{\"a\":\n\"ü\"}".to_owned() },
            Sent { id: Some("1".to_owned()), data: "two".to_owned() },
        ];
        for size in 1..stream.len() {
            let mut reader = Stream::default();
            let sent: Vec<Sent> = stream.as_bytes().chunks(size).flat_map(|chunk| reader.feed(chunk)).collect();
            assert_eq!(sent, expected, "chunks of {size}");
        }
    }

    #[test]
    fn arguments_make_a_cloud_event() {
        let publish = Publish {
            file: None,
            event_type: Some("com.example.reading".to_owned()),
            source: "/plant".to_owned(),
            subject: Some("d1".to_owned()),
            id: Some("17".to_owned()),
            data: Some("{\"temperature\": 95}".to_owned()),
        };
        let event = single(&publish).map(|event| event.to_json()).expect("an event");
        let expected = r#"{"specversion":"1.0","id":"17","source":"/plant","type":"com.example.reading","subject":"d1","datacontenttype":"application/json","data":{"temperature":95}}"#;
        assert_eq!(event, expected);
        let wrong = Publish { data: Some("{".to_owned()), ..publish };
        assert_eq!(single(&wrong).map_err(|failure| failure.exit_code()).err(), Some(2));
    }

    #[test]
    fn an_event_without_an_id_gets_one_of_its_own() {
        let publish = Publish {
            file: None,
            event_type: Some("t".to_owned()),
            source: "/s".to_owned(),
            subject: None,
            id: None,
            data: None,
        };
        let ids = [(); 2].map(|()| single(&publish).map(|event| text(&event, "/id")).expect("an event"));
        assert_ne!(ids[0], ids[1]);
    }
}
