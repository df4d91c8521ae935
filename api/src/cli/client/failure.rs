//! Why a command that talks to a server did not succeed, and how the user is told.

use std::fmt::Write as _;

use trinity_engine::value::Value;

use super::table::printable;
use crate::cli::{EXIT_FAULTED, EXIT_USAGE};

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// The arguments, or the files that they name, are wrong.
    Usage(String),
    /// Nobody answers there.
    Unreachable {
        /// The server's address, as given.
        server: String,
        /// What the system said.
        cause: String,
    },
    /// There is no such thing, or more than one.
    Unknown(String),
    /// The definition is invalid; its findings were shown.
    Invalid,
    /// The server refused: a problem document.
    Refused(Box<Value>),
    /// Somebody answers, but not a Trinity server.
    NotTrinity {
        /// The server's address, as given.
        server: String,
        /// What it answered.
        found: String,
    },
    /// An execution or message had another end than the one hoped for; the command has shown it.
    Shown,
}

impl Failure {
    /// The exit code that tells it to scripts.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) | Failure::Invalid => EXIT_USAGE,
            Failure::Unknown(_)
            | Failure::Unreachable { .. }
            | Failure::Refused(_)
            | Failure::NotTrinity { .. }
            | Failure::Shown => EXIT_FAULTED,
        }
    }

    /// Whether the server says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Failure::Refused(problem) if problem.get("status").and_then(Value::as_i64) == Some(404))
    }

    /// As shown on stderr: what is wrong, and a way out.
    pub fn render(&self) -> String {
        match self {
            Failure::Usage(problem) | Failure::Unknown(problem) => format!("error: {problem}\n"),
            Failure::Unreachable { server, cause } => format!(
                "error: no server answers at {server} ({cause})\n  = help: start one with `trinity serve`, or name another with --server URL or TRINITY_SERVER\n"
            ),
            Failure::Refused(problem) => refused(problem),
            Failure::NotTrinity { server, found } => format!(
                "error: {server} does not answer as a Trinity server: {found}\n  = help: check the host and the port of --server or TRINITY_SERVER\n"
            ),
            Failure::Invalid | Failure::Shown => String::new(),
        }
    }
}

/// A problem document as text: the detail, then what each of its errors adds to that.
fn refused(problem: &Value) -> String {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(printable);
    let title = text(problem, "title").unwrap_or_else(|| "the server refused".to_owned());
    let detail = text(problem, "detail").unwrap_or_else(|| title.clone());
    let status = problem.get("status").and_then(Value::as_i64).unwrap_or_default();
    let mut out = format!("error: {detail} ({status} {title})\n");
    let errors = problem.get("errors").and_then(Value::as_array);
    for error in errors.into_iter().flatten() {
        let mut place = text(error, "pointer").or_else(|| text(error, "parameter")).unwrap_or_default();
        if let Some(line) = error.get("line").and_then(Value::as_i64) {
            let column = error.get("column").and_then(Value::as_i64).unwrap_or(1);
            place = format!("line {line}, column {column}");
        }
        let more = text(error, "detail").filter(|more| *more != detail);
        match (place.is_empty(), more) {
            (false, Some(more)) => {
                let _ = writeln!(out, "  --> {place}: {more}");
            }
            (false, None) => {
                let _ = writeln!(out, "  --> {place}");
            }
            (true, Some(more)) => {
                let _ = writeln!(out, "  --> {more}");
            }
            (true, None) => {}
        }
        if let Some(hint) = text(error, "hint") {
            let _ = writeln!(out, "  = help: {hint}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use trinity_engine::value::ParseLimits;

    use super::*;

    fn check(problem: &str, expected: Expect) {
        let problem = Value::parse(problem.as_bytes(), &ParseLimits::default()).expect("JSON");
        expected.assert_eq(&Failure::Refused(Box::new(problem)).render());
    }

    #[test]
    fn a_problem_is_told_once_with_its_places() {
        check(
            r#"{"type": "urn:trinity:problem:query", "title": "Invalid Query", "status": 400, "detail": "limit must be a number",
                "errors": [{"parameter": "limit", "detail": "limit must be a number"}]}"#,
            expect![[r#"
                error: limit must be a number (400 Invalid Query)
                  --> limit
            "#]],
        );
        check(
            r#"{"title": "Malformed Body", "status": 400, "detail": "the body is not valid JSON",
                "errors": [{"pointer": "", "line": 2, "column": 7, "detail": "a comma is missing", "hint": "add it"},
                           {"detail": "and more"}]}"#,
            expect![[r#"
                error: the body is not valid JSON (400 Malformed Body)
                  --> line 2, column 7: a comma is missing
                  = help: add it
                  --> and more
            "#]],
        );
    }

    #[test]
    fn a_poor_problem_is_told_as_well() {
        check(
            r#"{"status": 503}"#,
            expect![[r#"
            error: the server refused (503 the server refused)
        "#]],
        );
        check(
            "{\"detail\": \"\\u001b[2Jgone\", \"title\": \"Conflict\", \"status\": 409}",
            expect![[r#"
            error: �[2Jgone (409 Conflict)
        "#]],
        );
    }

    #[test]
    fn who_finds_no_server_is_told_how_to_start_one() {
        let failure =
            Failure::Unreachable { server: "http://127.0.0.1:8000".into(), cause: "connection refused".into() };
        expect![[r#"
            error: no server answers at http://127.0.0.1:8000 (connection refused)
              = help: start one with `trinity serve`, or name another with --server URL or TRINITY_SERVER
        "#]]
        .assert_eq(&failure.render());
    }
}
