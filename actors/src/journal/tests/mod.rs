//! The journal's contract, on both storages.

mod contract;
mod crash;
mod keeping;
mod support;
