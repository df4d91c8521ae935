//! `trinity secrets`.

use std::io::IsTerminal as _;

use http::{Method, StatusCode};
use trinity_engine::value::{ParseLimits, Value};

use super::connection::{Body, Server};
use super::failure::Failure;
use super::output::{self, print};
use super::table::{Column, text};
use super::{Common, given, stdin};

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Set a secret, which nobody can read back
    #[command(
        after_help = "Examples:\n  trinity secrets set mail < mail.json\n  trinity secrets set token --value @token.txt\n\nThe value is JSON, or else text, without the line break at its end. On the command line others may see it."
    )]
    Set {
        /// Its name, as `use.secrets` of a definition has it
        name: String,
        /// The value, or @FILE; without it stdin is read
        #[arg(long, value_name = "VALUE|@FILE")]
        value: Option<String>,
    },
    /// List the names
    List,
    /// Delete secrets
    Delete {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// More secrets than anybody has.
const LIST_MAX: usize = 100_000;

pub fn main(options: &Options) -> u8 {
    options.common.run(async |server, format| match &options.command {
        Command::Set { name, value } => set(server, name, value.as_deref()).await,
        Command::List => {
            let columns = [
                Column { name: "NAME", show: |item| text(item, "/name") },
                Column { name: "UPDATED", show: |item| text(item, "/updatedAt") },
            ];
            output::list(format, server.list(&["secrets"], &[], LIST_MAX).await?, &columns);
            Ok(())
        }
        Command::Delete { names } => {
            for name in names {
                server.send(Method::DELETE, &["secrets", name], &[], Body::default()).await?;
                print(&format!("deleted {name}\n"));
            }
            Ok(())
        }
    })
}

async fn set(server: &Server, name: &str, argument: Option<&str>) -> Result<(), Failure> {
    let bytes = match argument {
        Some(argument) => given(argument)?,
        None => {
            if std::io::stdin().is_terminal() {
                eprintln!("the value of {name}, ended by Ctrl-D on a line of its own:");
            }
            stdin()?
        }
    };
    let body = Body::of("application/json", value(&bytes)?.to_json());
    let answer = server.send(Method::PUT, &["secrets", name], &[], body).await?;
    let change = if answer.status == StatusCode::CREATED { "created" } else { "replaced" };
    print(&format!("{change} {name}\n"));
    Ok(())
}

/// JSON, or else text.
fn value(bytes: &[u8]) -> Result<Value, Failure> {
    if let Ok(value) = Value::parse(bytes, &ParseLimits::default()) {
        return Ok(value);
    }
    let text =
        std::str::from_utf8(bytes).map_err(|_| Failure::Usage("the value is neither JSON nor text".to_owned()))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(Failure::Usage("the value is empty: give it as --value or on stdin".to_owned()));
    }
    Ok(Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json_or_else_text() {
        let json_of = |bytes: &[u8]| value(bytes).map(|value| value.to_json()).map_err(|failure| failure.exit_code());
        assert_eq!(json_of(b"{\"user\": \"me\"}\n"), Ok(r#"{"user":"me"}"#.to_owned()));
        assert_eq!(json_of(b"s3cr\"t\n"), Ok(r#""s3cr\"t""#.to_owned()));
        assert_eq!(json_of(b"\n"), Err(2));
        assert_eq!(json_of(b"\xFF"), Err(2));
    }
}
