//! `trinity apply`: workflows on a server become what the files say.

use std::fmt;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use http::Method;
use trinity_engine::definition::{Diagnostic, Limits, Place, Severity, Span, yaml};
use trinity_engine::value::Value;

use super::connection::{Body, Server, object};
use super::failure::Failure;
use super::output::{self, Format};
use super::table::text;
use super::workflows::full_name;
use super::{Common, read};
use crate::cli::EXIT_OK;

/// Workflows of a server that are looked through for those of the files.
const KNOWN_MAX: usize = 100_000;

#[derive(clap::Args)]
pub struct Options {
    /// Definitions in YAML or JSON; - is stdin
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// As drafts, which nothing starts but `execute`
    #[arg(long)]
    draft: bool,
    #[command(flatten)]
    common: Common,
}

/// What became of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    Created,
    Updated,
    Unchanged,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Change::Created => "created",
            Change::Updated => "updated",
            Change::Unchanged => "unchanged",
        })
    }
}

/// Every file is tried, whatever becomes of the others; the exit code is that of the worst, which is the highest.
pub fn main(options: &Options) -> u8 {
    let mut worst = EXIT_OK;
    let code = options.common.run(async |server, format| {
        let mut known = server.list(&["workflows"], &[], KNOWN_MAX).await?.items;
        let mut done = Vec::new();
        for file in &options.files {
            match apply(server, file, options.draft, &mut known).await {
                Ok(applied) => done.push(show(format, file, applied)),
                Err(failure @ (Failure::Unreachable { .. } | Failure::NotTrinity { .. })) => return Err(failure),
                Err(failure) => {
                    let name = file.display();
                    eprint!("{}", failure.render().replacen("error: ", &format!("error: {name}: "), 1));
                    worst = worst.max(failure.exit_code());
                }
            }
        }
        if format != Format::Table {
            output::one(format, &Value::from(done), |_| String::new());
        }
        Ok(())
    });
    worst.max(code)
}

struct Applied {
    change: Change,
    workflow: Value,
    /// The version that was there.
    before: Option<String>,
}

fn show(format: Format, file: &Path, applied: Applied) -> Value {
    let Applied { change, workflow, before } = applied;
    let version = text(&workflow, "/version");
    if format == Format::Table {
        let versions = match before {
            Some(before) if before != version => format!("{before} -> {version}"),
            _ => version.clone(),
        };
        output::print(&format!("{change:<9}  {} {versions}  ({})\n", full_name(&workflow), file.display()));
    }
    object([
        ("file", Some(Value::from(file.display().to_string()))),
        ("change", Some(Value::from(change.to_string()))),
        ("id", workflow.get("id").cloned()),
        ("namespace", workflow.get("namespace").cloned()),
        ("name", workflow.get("name").cloned()),
        ("version", Some(Value::from(version))),
    ])
}

async fn apply(server: &Server, file: &Path, draft: bool, known: &mut Vec<Value>) -> Result<Applied, Failure> {
    let bytes = read(file)?;
    // What can't be read is the server's to judge, like all that is wrong with a definition.
    let given = yaml::read(&bytes, Limits::default()).unwrap_or_default();
    let there = known.iter().find(|workflow| same_name(workflow, &given)).cloned();
    let status = if draft { "draft" } else { "active" };
    if let Some(workflow) = &there
        && workflow.get("definition") == Some(&given)
        && text(workflow, "/status") == status
    {
        return Ok(Applied { change: Change::Unchanged, workflow: workflow.clone(), before: None });
    }
    let id = there.as_ref().map(|workflow| text(workflow, "/id"));
    let query: &[_] = if draft { &[("status", "draft")] } else { &[] };
    let body = Body::of("application/yaml", bytes.clone());
    let sent = match &id {
        Some(id) => server.send(Method::PUT, &["workflows", id], query, body).await,
        None => server.send(Method::POST, &["workflows"], query, body).await,
    };
    let workflow = match sent {
        Ok(answer) => answer.value,
        Err(Failure::Refused(problem)) => return Err(refused(&problem, file, &bytes)),
        Err(failure) => return Err(failure),
    };
    known.retain(|other| full_name(other) != full_name(&workflow));
    known.push(workflow.clone());
    let change = if there.is_some() { Change::Updated } else { Change::Created };
    Ok(Applied { change, workflow, before: there.map(|there| text(&there, "/version")) })
}

fn same_name(workflow: &Value, definition: &Value) -> bool {
    text(workflow, "/namespace") == text(definition, "/document/namespace")
        && text(workflow, "/name") == text(definition, "/document/name")
}

/// Findings about a definition are shown as `validate` shows them; other problems as they are.
fn refused(problem: &Value, file: &Path, bytes: &[u8]) -> Failure {
    let errors = problem.get("errors").and_then(Value::as_array);
    let findings: Vec<Diagnostic> = errors.into_iter().flatten().filter_map(finding).collect();
    let is_definition = problem.get("status").and_then(Value::as_i64) == Some(422) && !findings.is_empty();
    if !is_definition {
        return Failure::Refused(Box::new(problem.clone()));
    }
    let colour = std::io::stderr().is_terminal();
    for finding in findings {
        let source = String::from_utf8_lossy(bytes);
        eprintln!("{}", finding.render(&file.display().to_string(), &source, colour));
    }
    Failure::Invalid
}

/// A finding, from a member of `errors[]`.
fn finding(error: &Value) -> Option<Diagnostic> {
    let number = |key| error.get(key).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    let place = Place {
        line: number("line")?.max(1),
        column: number("column")?.max(1),
        length: number("length").unwrap_or(1).max(1),
    };
    let severity = if text(error, "/severity") == "warning" { Severity::Warning } else { Severity::Error };
    Some(Diagnostic {
        severity,
        // For the rest of a process that is about to end.
        code: text(error, "/code").leak(),
        message: text(error, "/detail"),
        place,
        span: Span::default(),
        pointer: text(error, "/pointer"),
        hint: Some(text(error, "/hint")).filter(|hint| !hint.is_empty()),
        related: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use trinity_engine::definition;

    use super::*;

    #[test]
    fn findings_look_the_same_from_a_server_as_from_validate() {
        let source = "document:\n  dsl: '1.0.3'\n  namespace: test\n  name: a\n  version: '1.0.0'\ndo:\n  - one:\n      sett: {}\n";
        let own = definition::check(source);
        assert!(!own.is_empty());
        for finding_here in own {
            let json = Value::from(finding_here.to_json());
            let there = finding(&json).expect("a finding");
            let plain = Diagnostic { related: Vec::new(), ..finding_here };
            assert_eq!(there.render("a.yaml", source, false), plain.render("a.yaml", source, false));
        }
    }

    #[test]
    fn a_workflow_is_known_by_namespace_and_name() {
        let definition = |namespace: &str, name: &str| {
            let text = format!("document: {{ namespace: {namespace}, name: {name}, version: 1.0.0 }}");
            yaml::read(text.as_bytes(), Limits::default()).expect("YAML")
        };
        let there = object([("namespace", Some(Value::from("a"))), ("name", Some(Value::from("b")))]);
        assert!(same_name(&there, &definition("a", "b")));
        assert!(!same_name(&there, &definition("a", "c")));
        assert!(!same_name(&there, &definition("c", "b")));
    }
}
