//! The simulator: a whole node and its neighbours (sources, clients, a callee, a sink, the disk, the clock) on one thread, in
//! virtual time, from one seed. The shards, their inboxes and the journal are the real ones; what crashes is drawn from the seed.
//!
//! A failing seed prints itself: `SIMULATION_SEED=N cargo test -p trinity-actors --test simulation` repeats it alone, with
//! all that happened. `SIMULATION_SEEDS=N` runs so many.

mod invariants;
mod node;
mod outside;
mod random;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds that are run unless the environment says otherwise.
const SEEDS: u64 = 150;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_seed_loses_doubles_or_wedges_an_execution() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let mut world = world::World::new(seed);
        world.told = true;
        return world.run();
    }
    let mut total = world::Totals::default();
    for seed in 0..number("SIMULATION_SEEDS").unwrap_or(SEEDS) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut world = world::World::new(seed);
            world.run();
            world.totals
        }));
        match outcome {
            Ok(totals) => total.add(&totals),
            Err(_) => panic!("seed {seed} fails: repeat it with SIMULATION_SEED={seed}"),
        }
    }
    println!("{total:?}");
    // A simulation in which nothing happens proves nothing.
    assert!(
        total.crashes > 0 && total.shard_crashes > 0 && total.full_disks > 0 && total.lost_commits > 0,
        "{total:?}"
    );
    assert!(
        total.executions > 0 && total.duplicates > 0 && total.snapshots > 0 && total.repeated_calls > 0,
        "{total:?}"
    );
}
