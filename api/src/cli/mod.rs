//! The command line.

mod client;
#[cfg(feature = "demo")]
mod demo;
mod run;
mod serve;
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
#[expect(clippy::large_enum_variant, reason = "there is one, for the whole process")]
enum Command {
    /// Run a node: sources, executions, the API
    #[command(
        after_help = "Example:\n  trinity serve --config trinity.config.yml\n\nIt stops in order on SIGTERM and Ctrl-C, at once on the second.\nExit code: 0 stopped in order, 1 it can't run, 2 the settings are wrong."
    )]
    Serve(serve::Options),
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
    /// Create or update workflows on a server
    #[command(
        after_help = "Examples:\n  trinity apply workflows/*.yaml\n  trinity apply alert.yaml --server http://plant:8000\n\nA definition that changed needs a new document.version; executions that run keep theirs.\nExit code: 0 when all is applied, 1 when the server refuses or is not there, 2 when a definition is invalid."
    )]
    Apply(client::apply::Options),
    /// List, show, delete and execute the workflows of a server
    #[command(
        after_help = "Examples:\n  trinity workflows list\n  trinity workflows execute convert --input '{\"temperature\": 95}' --wait 30s\n  trinity workflows get plant/alert --definition > alert.yaml"
    )]
    Workflows(client::workflows::Options),
    /// List, show, watch and control executions
    #[command(
        after_help = "Examples:\n  trinity executions list --status faulted\n  trinity executions history 019ab2f4-6d00-8003-8000-00000000002a\n  trinity executions watch 019ab2f4-6d00-8003-8000-00000000002a"
    )]
    Executions(client::executions::Options),
    /// Publish events, and see what was published
    #[command(
        after_help = "Examples:\n  trinity events publish --type com.example.reading --source /plant --data '{\"temperature\": 95}'\n  trinity events follow --type 'com.example.*'"
    )]
    Events(client::events::Options),
    /// Set, list and delete secrets
    #[command(after_help = "Examples:\n  trinity secrets set mail < mail.json\n  trinity secrets list")]
    Secrets(client::secrets::Options),
    /// See what could not be processed, and try it anew
    #[command(
        name = "deadletters",
        after_help = "Examples:\n  trinity deadletters list\n  trinity deadletters redrive 17"
    )]
    DeadLetters(client::dead_letters::Options),
    /// See it work: a node, an MQTT broker, sample workflows, and devices that replay a recorded day
    #[cfg(feature = "demo")]
    #[command(
        after_help = "Examples:\n  trinity demo\n  trinity demo --duration 20s --rate 60000 --keep\n\nExit code: 0 when every message was executed exactly once, else 1."
    )]
    Demo(demo::Options),
    /// Make load on a server, open loop, and check that each message is executed once
    #[command(
        after_help = "Examples:\n  trinity load execute --rate 500 --p95 20ms\n  trinity load mqtt --rate 10000 --duration 30s --p99 20ms --html report.html\n  trinity load mqtt --rate 1000..50000 --find-rate --p99 20ms\n\nCtrl-C ends it with what there is until then; twice, at once.\nExit code: 0 all as it should be, 1 a message lost, doubled or out of order, a bound missed, or no load possible, 2 usage."
    )]
    Load(trinity_loadtest::Options),
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
        Command::Serve(options) => serve::main(&options),
        Command::Run(options) => run::main(&options),
        Command::Validate(options) => validate::main(&options),
        #[cfg(feature = "demo")]
        Command::Demo(options) => demo::main(&options),
        Command::Apply(options) => client::apply::main(&options),
        Command::Workflows(options) => client::workflows::main(&options),
        Command::Executions(options) => client::executions::main(&options),
        Command::Events(options) => client::events::main(&options),
        Command::Secrets(options) => client::secrets::main(&options),
        Command::DeadLetters(options) => client::dead_letters::main(&options),
        Command::Load(options) => trinity_loadtest::main(&options),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_each_other() {
        Arguments::command().debug_assert();
    }
}
