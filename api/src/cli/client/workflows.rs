//! `trinity workflows`.

use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use trinity_engine::definition::{duration, nearest, yaml};
use trinity_engine::value::Value;

use super::connection::{Body, Server};
use super::executions;
use super::failure::Failure;
use super::output::{self, Format, print};
use super::table::{Column, fields, text};
use super::{Common, given, json};

/// Workflows that a name is looked for in.
const KNOWN_MAX: usize = 100_000;

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List the workflows, the newest first
    List {
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show a workflow
    Get {
        /// Its id, name, or namespace/name
        workflow: String,
        /// Print the definition alone, as YAML that `trinity apply` takes
        #[arg(long)]
        definition: bool,
    },
    /// Delete workflows: nothing starts them any more, and what runs goes on
    Delete {
        /// Their ids, names, or namespace/name
        #[arg(required = true, value_name = "WORKFLOW")]
        workflows: Vec<String>,
    },
    /// Execute a workflow
    #[command(
        after_help = "Examples:\n  trinity workflows execute convert --input '{\"temperature\": 95}' --wait 30s\n  trinity workflows execute examples/convert --input @reading.json --idempotency-key reading-17\n\nExit code: 0 when it completed or goes on, 1 when it faulted or was cancelled within the wait."
    )]
    Execute {
        /// Its id, name, or namespace/name
        workflow: String,
        /// The input: JSON, @FILE with JSON, or @- for stdin
        #[arg(long, default_value = "{}", value_name = "JSON|@FILE")]
        input: String,
        /// Wait so long for its end: 500ms, 30s, 2m
        #[arg(long, value_name = "SPAN", value_parser = span)]
        wait: Option<Duration>,
        /// Of requests with the same key only the first starts an execution
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
}

pub fn main(options: &Options) -> u8 {
    options.common.run(async |server, format| match &options.command {
        Command::List { limit } => list(server, format, *limit as usize).await,
        Command::Get { workflow, definition } => get(server, format, workflow, *definition).await,
        Command::Delete { workflows } => delete(server, workflows).await,
        Command::Execute { workflow, input, wait, idempotency_key } => {
            execute(server, format, workflow, input, *wait, idempotency_key.as_deref()).await
        }
    })
}

async fn list(server: &Server, format: Format, limit: usize) -> Result<(), Failure> {
    let columns = [
        Column { name: "WORKFLOW", show: full_name },
        Column { name: "VERSION", show: |item| text(item, "/version") },
        Column { name: "STATUS", show: |item| text(item, "/status") },
        Column { name: "UPDATED", show: |item| text(item, "/updatedAt") },
        Column { name: "ID", show: |item| text(item, "/id") },
    ];
    output::list(format, server.list(&["workflows"], &[], limit).await?, &columns);
    Ok(())
}

async fn get(server: &Server, format: Format, workflow: &str, definition: bool) -> Result<(), Failure> {
    let workflow = find(server, workflow).await?;
    let text_of = |workflow: &Value| yaml::write(workflow.get("definition").unwrap_or(&Value::Null));
    if definition {
        print(&text_of(&workflow));
    } else {
        output::one(format, &workflow, |workflow| format!("{}\n{}", summary(workflow), text_of(workflow)));
    }
    Ok(())
}

async fn delete(server: &Server, workflows: &[String]) -> Result<(), Failure> {
    for workflow in workflows {
        let workflow = find(server, workflow).await?;
        server.send(Method::DELETE, &["workflows", &text(&workflow, "/id")], &[], Body::default()).await?;
        print(&format!("deleted {}\n", full_name(&workflow)));
    }
    Ok(())
}

async fn execute(
    server: &Server,
    format: Format,
    workflow: &str,
    input: &str,
    wait: Option<Duration>,
    key: Option<&str>,
) -> Result<(), Failure> {
    let input = given(input)?;
    json(&input, "the input")?;
    let id = text(&find(server, workflow).await?, "/id");
    let mut body = Body::of("application/json", input);
    if let Some(key) = key {
        body = body.with(HeaderName::from_static("idempotency-key"), key)?;
    }
    body.wait = wait.unwrap_or_default();
    let millis = wait.map(|wait| format!("{}ms", wait.as_millis()));
    let query: Vec<_> = millis.iter().map(|millis| ("wait", millis.as_str())).collect();
    let answer = server.send(Method::POST, &["workflows", &id, "execute"], &query, body).await?;
    output::one(format, &answer.value, executions::summary);
    if answer.status == StatusCode::ACCEPTED {
        eprintln!("it goes on: trinity executions watch {}", text(&answer.value, "/id"));
    }
    executions::outcome(&answer.value)
}

/// The workflow that is meant by an id, a name, or namespace/name.
pub async fn find(server: &Server, reference: &str) -> Result<Value, Failure> {
    if !reference.is_empty() && !reference.contains('/') {
        match server.get(&["workflows", reference], &[]).await {
            Err(failure) if failure.is_not_found() => {}
            found => return found,
        }
    }
    let known = server.list(&["workflows"], &[], KNOWN_MAX).await?.items;
    among(known, reference)
}

fn among(known: Vec<Value>, reference: &str) -> Result<Value, Failure> {
    let is_meant = |workflow: &&Value| full_name(workflow) == reference || text(workflow, "/name") == reference;
    let found: Vec<&Value> = known.iter().filter(is_meant).collect();
    match found[..] {
        [workflow] => Ok(workflow.clone()),
        [] => {
            let names: Vec<String> = known.iter().flat_map(|w| [full_name(w), text(w, "/name")]).collect();
            let cure = match nearest(reference, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "`trinity workflows list` shows all".to_owned(),
            };
            Err(Failure::Unknown(format!("there is no workflow \"{reference}\"; {cure}")))
        }
        _ => {
            let names: Vec<String> = found.into_iter().map(full_name).collect();
            let problem = format!("\"{reference}\" may be {}: say which", names.join(" or "));
            Err(Failure::Unknown(problem))
        }
    }
}

/// `namespace/name` of a workflow.
pub fn full_name(workflow: &Value) -> String {
    format!("{}/{}", text(workflow, "/namespace"), text(workflow, "/name"))
}

fn summary(workflow: &Value) -> String {
    fields(&[
        ("workflow", full_name(workflow)),
        ("version", text(workflow, "/version")),
        ("status", text(workflow, "/status")),
        ("created", text(workflow, "/createdAt")),
        ("updated", text(workflow, "/updatedAt")),
        ("id", text(workflow, "/id")),
    ])
}

/// `500ms`, `30s`, `2m`, `1h`, or ISO 8601.
fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "should be like 500ms, 30s, 2m or PT30S".to_owned();
    if text.starts_with('P') {
        return duration::parse_iso8601(text)
            .map(|span| Duration::from_micros(span.nominal_micros()))
            .map_err(|_| wrong());
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::super::connection::object;
    use super::*;

    fn known() -> Vec<Value> {
        let named = |namespace: &str, name: &str| {
            object([("namespace", Some(Value::from(namespace))), ("name", Some(Value::from(name)))])
        };
        vec![named("plant", "convert"), named("office", "convert"), named("plant", "alert")]
    }

    #[test]
    fn a_name_is_enough_when_there_is_one_of_it() {
        let found = |reference| among(known(), reference).map(|workflow| full_name(&workflow));
        assert_eq!(found("alert").expect("one"), "plant/alert");
        assert_eq!(found("office/convert").expect("one"), "office/convert");
        let told = |reference| found(reference).expect_err("none or several").render();
        assert_eq!(told("convert"), "error: \"convert\" may be plant/convert or office/convert: say which\n");
        assert_eq!(told("alrt"), "error: there is no workflow \"alrt\"; did you mean \"alert\"?\n");
        assert_eq!(told("zzzzzz"), "error: there is no workflow \"zzzzzz\"; `trinity workflows list` shows all\n");
    }

    #[test]
    fn spans_as_people_write_them() {
        let millis = |text| span(text).map(|span| span.as_millis());
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("2m"), Ok(120_000));
        assert_eq!(millis("PT30S"), Ok(30_000));
        for wrong in ["", "s", "30", "1x", "-1s", "99999999999999999999h", "P"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
