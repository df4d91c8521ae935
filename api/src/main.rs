//! `trinity`: the durable workflow engine for events.
mod cli;

/// What one thread allocates another frees, all the time: the allocator of the system is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
