//! The command line.

mod run;
mod validate;

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use trinity_engine::definition::Diagnostic;

/// All went well.
const EXIT_OK: u8 = 0;
/// The execution faulted or was cancelled.
const EXIT_FAULTED: u8 = 1;
/// The definition or the usage is wrong.
const EXIT_USAGE: u8 = 2;

/// Durable workflows for events, in the CNCF Open Workflow DSL.
#[derive(Parser)]
#[command(name = "trinity", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Execute one definition in this process and print its output as JSON
    #[command(
        after_help = "Examples:\n  trinity run convert.yaml --input '{\"temperature\": 95}'\n  trinity run convert.yaml --input @reading.json --history\n\nExit code: 0 completed, 1 faulted (the error as JSON on stderr), 2 invalid definition or usage.\nSecrets: TRINITY_SECRET_<NAME> in the environment, as JSON or text; NAME in upper case, - as _."
    )]
    Run(run::Options),
    /// Check definitions and settings: every finding with its place, the words in question and a hint
    #[command(
        after_help = "Example:\n  trinity validate workflows/*.yaml trinity.config.yml\n\nExit code: 0 when nothing is wrong (warnings allowed), else 2."
    )]
    Validate(validate::Options),
    /// Print a JSON Schema, for editors
    #[command(
        after_help = "Example:\n  trinity schema workflow > workflow.schema.json\n\nIn an editor with the YAML language server, begin a definition with\n  # yaml-language-server: $schema=workflow.schema.json"
    )]
    Schema {
        /// Of what
        of: Schema,
    },
    /// Print the completions of a shell
    #[command(after_help = "Example:\n  trinity completions bash > /etc/bash_completion.d/trinity")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// What has a JSON Schema.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Schema {
    /// Workflow definitions
    Workflow,
    /// Settings: trinity.config.yml
    Config,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    ExitCode::from(match Arguments::parse().command {
        Command::Run(options) => run::main(&options),
        Command::Validate(options) => validate::main(&options),
        Command::Schema { of: Schema::Workflow } => {
            println!("{}", trinity_engine::definition::WORKFLOW_SCHEMA);
            EXIT_OK
        }
        Command::Schema { of: Schema::Config } => {
            print!("{}", trinity_api::config::SCHEMA);
            EXIT_OK
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "trinity", &mut std::io::stdout());
            EXIT_OK
        }
    })
}

/// The variables of the environment that are text.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// A file's text; tells the user when it can't be read.
fn read_text(file: &Path) -> Option<String> {
    match std::fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(error) => {
            eprintln!("error: {} can't be read: {error}", file.display());
            None
        }
    }
}

/// Shows findings on stderr.
fn show(findings: &[Diagnostic], file: &Path, text: &str) {
    let colour = std::io::stderr().is_terminal();
    for finding in findings {
        eprintln!("{}", finding.render(&file.display().to_string(), text, colour));
    }
}
