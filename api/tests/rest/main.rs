//! The API as its clients meet it: a whole node in a folder of its own, asked over HTTP.

mod dead_letters;
mod events;
mod executions;
mod mqtt;
mod node;
mod secrets;
mod server;
mod sinks;
mod workflows;
