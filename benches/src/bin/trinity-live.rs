//! `make bench-live`: executions that wait, by the million, and an idle node.
//!
//! `trinity-live [COUNT] [PART …]`: how many wait (by default 1,000,000), and which parts are run: `memory`, `timers`,
//! `restart`, `update`, `idle` (by default all). `TRINITY_BINARY` names the binary of the idle node; by default it is looked for
//! beside this one.

use std::path::PathBuf;

use trinity_benches::live::{Run, child, idle};
use trinity_benches::measure::machine;

/// As in the binary `trinity`.
#[global_allocator]
static ALLOCATOR: trinity_allocator::Allocator = trinity_allocator::Allocator;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [own, directory, what, count] = &arguments[..]
        && own == "child"
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        return runtime.block_on(child(directory.as_ref(), what, count.parse()?));
    }
    let count = arguments.first().map_or(Ok(1_000_000), |text| text.parse())?;
    let asked = |part: &str| arguments.len() < 2 || arguments[1..].iter().any(|own| own == part);
    println!("{}", machine());
    if asked("memory") {
        for kind in ["timer", "event"] {
            for count in [count / 10, count] {
                let directory = tempfile::tempdir()?;
                Run::start(directory.path(), kind, count)?.stop()?;
            }
        }
    }
    if asked("restart") {
        let directory = tempfile::tempdir()?;
        Run::start(directory.path(), "timer", count / 2)?.kill()?;
        Run::start(directory.path(), "event", count - count / 2)?.kill()?;
        println!("killed; restart:");
        Run::start(directory.path(), "open", 0)?.kill()?;
        Run::start(directory.path(), "open", 0)?.stop()?;
        println!("after an orderly stop:");
        Run::start(directory.path(), "open", 0)?.kill()?;
    }
    if asked("timers") {
        let directory = tempfile::tempdir()?;
        Run::start(directory.path(), "due", count)?.stop()?;
    }
    if asked("update") {
        let directory = tempfile::tempdir()?;
        Run::start(directory.path(), "update", count / 10)?.stop()?;
    }
    if asked("idle") {
        let beside = || std::env::current_exe().map(|own| own.with_file_name("trinity"));
        let binary = std::env::var_os("TRINITY_BINARY").map_or_else(beside, |path| Ok(PathBuf::from(path)))?;
        match binary.exists() {
            true => idle(&binary)?,
            false => println!("idle node: not run, there is no {}", binary.display()),
        }
    }
    Ok(())
}
