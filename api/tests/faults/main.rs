//! The whole node among faults: killed again and again, on a full disk, without its brokers, with a clock that jumps, fed
//! with more than it can do. `docs/reliability.md` says which promise each of these holds.
//!
//! Each test loads the machine, so they run one after the other. The long ones are ignored: `make torture` and `make soak`.

mod brokers;
mod chance;
mod clock;
mod disk;
mod hostile;
mod ledger;
mod load;
mod metrics;
mod node;
mod outbox;
mod plot;
#[path = "../process/mod.rs"]
mod process;
mod races;
mod soak;
mod torture;
