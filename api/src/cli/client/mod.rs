//! Commands that talk to a server, through its REST API and nothing else.

pub mod apply;
mod connection;
pub mod dead_letters;
pub mod events;
pub mod executions;
mod failure;
mod output;
pub mod secrets;
mod table;
mod timeline;
pub mod workflows;

use std::io::Read as _;
use std::path::Path;

use trinity_engine::value::{ParseLimits, Value};

use self::connection::Server;
use self::failure::Failure;
use self::output::Format;
use crate::cli::{EXIT_FAULTED, EXIT_OK};

/// What all these commands take.
#[derive(clap::Args)]
pub struct Common {
    /// Address of the server
    #[arg(long, env = "TRINITY_SERVER", default_value = "http://127.0.0.1:8000", value_name = "URL", global = true)]
    server: String,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table", value_name = "FORM", global = true)]
    output: Format,
}

impl Common {
    /// Runs a command, tells on stderr why it failed, and gives the exit code.
    fn run(&self, command: impl AsyncFnOnce(&Server, Format) -> Result<(), Failure>) -> u8 {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("error: no runtime: {error}");
                return EXIT_FAULTED;
            }
        };
        let done = runtime.block_on(async { command(&Server::at(&self.server)?, self.output).await });
        match done {
            Ok(()) => EXIT_OK,
            Err(failure) => {
                eprint!("{}", failure.render());
                failure.exit_code()
            }
        }
    }
}

/// What an argument stands for: itself, or with @ the content of a file, `@-` being stdin.
fn given(argument: &str) -> Result<Vec<u8>, Failure> {
    match argument.strip_prefix('@') {
        None => Ok(argument.as_bytes().to_vec()),
        Some("-") => stdin(),
        Some(file) => read(Path::new(file)),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    if file.as_os_str() == "-" {
        return stdin();
    }
    std::fs::read(file).map_err(|error| Failure::Usage(format!("{} can't be read: {error}", file.display())))
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| Failure::Usage(format!("stdin can't be read: {error}")))?;
    Ok(bytes)
}

/// JSON that the user gave; `what` names it when it is not.
fn json(bytes: &[u8], what: &str) -> Result<Value, Failure> {
    Value::parse(bytes, &ParseLimits::default()).map_err(|error| Failure::Usage(format!("{what} is not JSON: {error}")))
}
