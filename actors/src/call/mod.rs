//! Outside calls of tasks.

mod egress;
mod http;

pub use egress::Egress;
pub use http::HttpCaller;

#[cfg(test)]
pub(crate) use http::tests::request;
