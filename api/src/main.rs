//! `trinity`: the durable workflow engine for events.
mod cli;

/// As all our programs have it.
#[global_allocator]
static ALLOCATOR: trinity_allocator::Allocator = trinity_allocator::Allocator;

fn main() -> std::process::ExitCode {
    cli::main()
}
