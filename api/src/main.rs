//! `trinity`: the durable workflow engine for events.
mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
