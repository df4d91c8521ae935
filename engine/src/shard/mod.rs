//! Shards: many executions, one writer.
