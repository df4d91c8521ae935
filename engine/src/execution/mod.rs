//! Executions: the state machine that walks a plan.
