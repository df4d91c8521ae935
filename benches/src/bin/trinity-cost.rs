//! Whether an execution's cost stays flat: W1 with ever more executions stored, look-ups among them, and W1 with ever more
//! workflows that wait.
//!
//! `trinity-cost [STORED] [FILE]`: up to how many executions are stored (10,000,000; look-ups are made from 1,000,000 on), and
//! where the figures are kept as JSON.

use std::time::Instant;

use serde_json::json;
use trinity_benches::cost::{self, Cost, Lookup};
use trinity_benches::measure::machine;
use trinity_benches::waiting::Waiting;

/// As in the binary `trinity`.
#[global_allocator]
static ALLOCATOR: trinity_allocator::Allocator = trinity_allocator::Allocator;

/// The most workflows that wait.
const WORKFLOWS: u32 = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let stored = arguments.next().map_or(Ok(10_000_000), |text| text.parse())?;
    let begun = Instant::now();
    let machine = machine();
    println!("{machine}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let figures = runtime.block_on(measure(&machine, stored))?;
    println!("{:.0} s in all", begun.elapsed().as_secs_f64());
    if let Some(file) = arguments.next() {
        std::fs::write(file, format!("{figures:#}\n"))?;
    }
    Ok(())
}

async fn measure(machine: &str, stored: u64) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    let list = |points: &[Cost]| points.iter().map(Cost::json).collect::<Vec<_>>();
    let mut by_workflows = serde_json::Map::new();
    for waiting in Waiting::ALL {
        println!("W1 with so many workflows that wait, {}:", waiting.text());
        let points = cost::by_workflows(waiting, WORKFLOWS, |point| println!("{}", point.line("workflows"))).await?;
        by_workflows.insert(waiting.text().to_owned(), list(&points).into());
    }
    println!("W1 with so many executions stored:");
    let directory = tempfile::tempdir()?;
    let (node, by_stored) =
        cost::by_stored(directory.path(), stored, |point| println!("{}", point.line("stored"))).await?;
    let mut looked = Vec::new();
    if stored >= cost::OWN_NODE_BELOW {
        println!("look-ups among them:");
        let reader = node.handle().reader().clone();
        let look = move || cost::lookups(&reader).map_err(|error| error.to_string());
        looked = tokio::task::spawn_blocking(look).await??;
        looked.iter().map(Lookup::line).for_each(|line| println!("{line}"));
    }
    node.drain().await;
    Ok(json!({
        "machine": machine,
        "byStored": list(&by_stored),
        "byWorkflows": by_workflows,
        "lookups": looked.iter().map(Lookup::json).collect::<Vec<_>>(),
    }))
}
