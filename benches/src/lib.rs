//! Benchmarks of Trinity: what they run on and how they measure. `make bench` runs them.
#![warn(missing_docs)]

pub mod cost;
pub mod feed;
pub mod in_process;
pub mod kafka;
pub mod live;
pub mod measure;
pub mod mqtt;
pub mod peers;
pub mod w1;
pub mod waiting;
