//! `trinity executions`.

use std::time::Duration;

use trinity_engine::history::Phase;
use trinity_engine::value::Value;

use super::connection::Server;
use super::failure::Failure;
use super::output::{self, Format, print};
use super::table::{Column, fields, printable, span, text};
use super::timeline::{self, Timeline};
use super::{Common, workflows};

/// Pauses between looks at an execution that is watched: short at first, for most end soon.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// A server that does not answer while an execution is watched may be starting anew: so many looks it gets.
const SILENT_LOOKS_MAX: u32 = 30;

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List executions, the newest first
    #[command(
        after_help = "Examples:\n  trinity executions list --status faulted --limit 20\n  trinity executions list --workflow plant/alert --from 2026-11-24T00:00:00Z -o json"
    )]
    List {
        /// Of this workflow: its id, name, or namespace/name
        #[arg(long)]
        workflow: Option<String>,
        /// In this phase: pending, running, waiting, suspended, cancelled, faulted, completed
        #[arg(long, value_parser = phase)]
        status: Option<Phase>,
        /// Started at this time (RFC 3339) or later
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Started before this time
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// With this text in the name of the workflow, or with this id
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show an execution with its input and output
    Get {
        /// Its id
        id: String,
    },
    /// Show what happened in an execution, task by task
    History {
        /// Its id
        id: String,
    },
    /// Follow an execution until it ends
    #[command(
        after_help = "Exit code: 0 completed, 1 faulted or cancelled.\nWith -o json a line for each fact, and at last one with the execution."
    )]
    Watch {
        /// Its id
        id: String,
    },
    /// End executions
    Cancel(Ids),
    /// Stop executions until they are resumed
    Suspend(Ids),
    /// Let suspended executions go on
    Resume(Ids),
    /// Execute anew what has ended: the same definition with the same input
    Retry(Ids),
}

#[derive(clap::Args)]
struct Ids {
    /// Their ids
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

fn phase(name: &str) -> Result<Phase, String> {
    Phase::parse(name).ok_or_else(|| {
        let known: Vec<_> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
        format!("known are {}", known.join(", "))
    })
}

pub fn main(options: &Options) -> u8 {
    options.common.run(async |server, format| match &options.command {
        Command::List { workflow, status, from, to, search, limit } => {
            let workflow = match workflow {
                Some(reference) => Some(text(&workflows::find(server, reference).await?, "/id")),
                None => None,
            };
            let query = [
                ("workflowId", workflow.as_deref()),
                ("status", status.map(Phase::as_str)),
                ("from", from.as_deref()),
                ("to", to.as_deref()),
                ("search", search.as_deref()),
            ];
            let query: Vec<_> = query.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
            list(server, format, &query, *limit as usize).await
        }
        Command::Get { id } => {
            output::one(format, &server.get(&["executions", id], &[]).await?, details);
            Ok(())
        }
        Command::History { id } => history(server, format, id).await,
        Command::Watch { id } => watch(server, format, id).await,
        Command::Cancel(ids) => control(server, format, "cancel", ids).await,
        Command::Suspend(ids) => control(server, format, "suspend", ids).await,
        Command::Resume(ids) => control(server, format, "resume", ids).await,
        Command::Retry(ids) => control(server, format, "retry", ids).await,
    })
}

async fn list(server: &Server, format: Format, query: &[(&str, &str)], limit: usize) -> Result<(), Failure> {
    let columns = [
        Column { name: "ID", show: |item| text(item, "/id") },
        Column { name: "WORKFLOW", show: workflow },
        Column { name: "STATUS", show: |item| text(item, "/status") },
        Column { name: "CREATED", show: |item| text(item, "/createdAt") },
        Column { name: "TOOK", show: took },
        Column { name: "TRIGGER", show: |item| text(item, "/trigger/kind") },
    ];
    output::list(format, server.list(&["executions"], query, limit).await?, &columns);
    Ok(())
}

async fn history(server: &Server, format: Format, id: &str) -> Result<(), Failure> {
    let facts = server.get(&["executions", id, "history"], &[]).await?;
    if format != Format::Table {
        output::one(format, &facts, |_| String::new());
        return Ok(());
    }
    let execution = server.get(&["executions", id], &[]).await?;
    print(&format!("{}\n{}", summary(&execution), Timeline::default().lines(items(&facts))));
    Ok(())
}

fn items(facts: &Value) -> &[Value] {
    facts.as_array().map(|facts| &facts[..]).unwrap_or_default()
}

async fn watch(server: &Server, format: Format, id: &str) -> Result<(), Failure> {
    let mut timeline = Timeline::default();
    let (mut shown, mut looks, mut silent) = (0, 0, 0);
    loop {
        let (execution, facts) = match look(server, id).await {
            Err(failure @ Failure::Unreachable { .. }) if looks > 0 && silent < SILENT_LOOKS_MAX => {
                if silent == 0 {
                    eprint!("{}", failure.render().replacen("error: ", "warning: trying again: ", 1));
                }
                silent += 1;
                tokio::time::sleep(PAUSES[1]).await;
                continue;
            }
            seen => seen?,
        };
        silent = 0;
        let facts = items(&facts);
        let new = &facts[shown.min(facts.len())..];
        shown = facts.len();
        match format {
            Format::Table => print(&timeline.lines(new)),
            Format::Json | Format::Yaml => new.iter().for_each(|fact| document(format, fact)),
        }
        if is_over(&execution) {
            match format {
                Format::Table => print(&format!("\n{}", end(&execution))),
                Format::Json | Format::Yaml => document(format, &execution),
            }
            return outcome(&execution);
        }
        tokio::time::sleep(PAUSES[usize::from(looks > 20)]).await;
        looks += 1;
    }
}

/// The execution, and at least the facts that it had then.
async fn look(server: &Server, id: &str) -> Result<(Value, Value), Failure> {
    let execution = server.get(&["executions", id], &[]).await?;
    let facts = server.get(&["executions", id, "history"], &[]).await?;
    Ok((execution, facts))
}

/// One of several values in a row: a line of JSON, or a YAML document.
pub fn document(format: Format, value: &Value) {
    match format {
        Format::Yaml => output::one(format, value, |_| String::new()),
        Format::Table | Format::Json => print(&(value.to_json() + "\n")),
    }
    if format == Format::Yaml {
        print("---\n");
    }
}

/// Each of them, whatever becomes of the others.
async fn control(server: &Server, format: Format, command: &str, ids: &Ids) -> Result<(), Failure> {
    let (mut result, mut answers) = (Ok(()), Vec::new());
    for id in &ids.ids {
        match server.post(&["executions", id, command]).await {
            Ok(answer) => {
                if format == Format::Table {
                    print(&accepted(command, id, &answer.value));
                }
                answers.push(answer.value);
            }
            Err(failure @ Failure::Refused(_)) => {
                eprint!("{}", failure.render().replacen("error: ", &format!("error: {id}: "), 1));
                result = Err(Failure::Shown);
            }
            Err(failure) => return Err(failure),
        }
    }
    if format != Format::Table {
        output::one(format, &Value::from(answers), |_| String::new());
    }
    result
}

/// What came of a command that was accepted: for a retry the new execution, else the phase right after.
fn accepted(command: &str, id: &str, answer: &Value) -> String {
    match (command, text(answer, "/id"), text(answer, "/status")) {
        ("retry", new, _) if !new.is_empty() => format!("{id} is executed anew as {new}\n"),
        (_, _, status) if !status.is_empty() => format!("{command} of {id} accepted: it is {status}\n"),
        _ => format!("{command} of {id} accepted\n"),
    }
}

fn is_over(execution: &Value) -> bool {
    Phase::parse(&text(execution, "/status")).is_some_and(Phase::is_terminal)
}

/// Success, unless it faulted or was cancelled.
pub fn outcome(execution: &Value) -> Result<(), Failure> {
    match Phase::parse(&text(execution, "/status")) {
        Some(Phase::Faulted | Phase::Cancelled) => Err(Failure::Shown),
        _ => Ok(()),
    }
}

fn workflow(execution: &Value) -> String {
    let part = |key: &str| text(execution, &format!("/workflow/{key}"));
    format!("{}/{} {}", part("namespace"), part("name"), part("version"))
}

fn took(execution: &Value) -> String {
    execution.get("durationMs").and_then(Value::as_f64).map(span).unwrap_or_default()
}

/// An execution in a few lines, with its output or error.
pub fn summary(execution: &Value) -> String {
    fields(&[
        ("execution", text(execution, "/id")),
        ("workflow", workflow(execution)),
        ("trigger", timeline::trigger(execution.get("trigger").unwrap_or(&Value::Null))),
        ("created", text(execution, "/createdAt")),
        ("ended", text(execution, "/endedAt")),
        ("took", took(execution)),
        ("status", text(execution, "/status")),
    ]) + &result(execution)
}

/// An execution with everything.
fn details(execution: &Value) -> String {
    let summary = summary(execution);
    let place = fields(&[("shard", text(execution, "/shard")), ("node", text(execution, "/node"))]);
    format!("{summary}{}{place}", block("input", execution.get("input")))
}

fn end(execution: &Value) -> String {
    let took = took(execution);
    let after = if took.is_empty() { String::new() } else { format!(" after {took}") };
    format!("{}{after}\n{}", printable(&text(execution, "/status")), result(execution))
}

fn result(execution: &Value) -> String {
    block("output", execution.get("output")) + &block("error", execution.get("error"))
}

/// A value below its name; nothing when there is none.
fn block(name: &str, value: Option<&Value>) -> String {
    let Some(value) = value.filter(|value| !matches!(value, Value::Null)) else { return String::new() };
    let json = value.to_json_pretty();
    let lines: Vec<String> = json.lines().map(|line| format!("  {}", printable(line))).collect();
    format!("{name}:\n{}\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use trinity_engine::value::ParseLimits;

    use super::*;

    fn execution(status: &str) -> Value {
        let text = format!(
            r#"{{"id": "019ab2f4-6d00-8003-8000-00000000002a", "workflowId": "w", "status": "{status}",
                "workflow": {{"namespace": "examples", "name": "convert", "version": "1.0.0"}},
                "input": {{"temperature": 95}}, "output": {{"celsius": 35}}, "error": null,
                "trigger": {{"kind": "event", "eventId": "17", "source": "/plant"}},
                "createdAt": "2026-11-24T04:00:00.000Z", "endedAt": "2026-11-24T04:00:00.012Z", "durationMs": 12.345,
                "shard": 3, "node": "one"}}"#
        );
        Value::parse(text.as_bytes(), &ParseLimits::default()).expect("JSON")
    }

    #[test]
    fn an_execution_is_shown_with_everything() {
        expect![[r#"
            execution: 019ab2f4-6d00-8003-8000-00000000002a
            workflow:  examples/convert 1.0.0
            trigger:   event 17 from /plant
            created:   2026-11-24T04:00:00.000Z
            ended:     2026-11-24T04:00:00.012Z
            took:      12.3 ms
            status:    completed
            output:
              {
                "celsius": 35
              }
            input:
              {
                "temperature": 95
              }
            shard: 3
            node:  one
        "#]]
        .assert_eq(&details(&execution("completed")));
    }

    #[test]
    fn the_end_tells_how_long_it_took() {
        assert!(end(&execution("cancelled")).starts_with("cancelled after 12.3 ms\n"));
    }

    #[test]
    fn only_executions_that_failed_fail_the_command() {
        for (status, code) in [("completed", None), ("running", None), ("faulted", Some(1)), ("cancelled", Some(1))] {
            assert_eq!(outcome(&execution(status)).err().map(|failure| failure.exit_code()), code, "{status}");
            assert_eq!(is_over(&execution(status)), status != "running");
        }
    }

    #[test]
    fn accepted_commands_tell_what_came_of_them() {
        assert_eq!(accepted("suspend", "1", &execution("suspended")), "suspend of 1 accepted: it is suspended\n");
        assert_eq!(
            accepted("retry", "1", &execution("pending")),
            "1 is executed anew as 019ab2f4-6d00-8003-8000-00000000002a\n"
        );
        assert_eq!(accepted("cancel", "1", &Value::Null), "cancel of 1 accepted\n");
    }
}
