//! What one evaluation has left of its budgets.

use std::sync::Arc;

use super::Context;
use super::builtins::regex::Kept;
use super::errors::Stop;
use crate::value::Value;

/// The state of one evaluation that all parts of it share.
pub(super) struct Run<'c> {
    pub cx: &'c Context<'c>,
    steps_left: u64,
    memory_left: usize,
    /// Regular expressions that are written out in the program, and those of this evaluation.
    pub written: Option<Arc<Kept>>,
    pub regexes: Kept,
}

impl<'c> Run<'c> {
    pub fn new(cx: &'c Context<'c>, written: Option<&Arc<Kept>>) -> Run<'c> {
        Run {
            cx,
            steps_left: cx.limits.steps_max,
            memory_left: cx.limits.memory_max,
            written: written.cloned(),
            regexes: Kept::default(),
        }
    }

    /// Counts work.
    #[inline]
    pub fn charge(&mut self, steps: u64) -> Result<(), Stop> {
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => Err(Stop::Limit("steps")),
        }
    }

    /// Counts what is built, in bytes, and the work of it: small things cost a step each, too.
    #[inline]
    pub fn allocate(&mut self, bytes: usize) -> Result<(), Stop> {
        match self.memory_left.checked_sub(bytes) {
            Some(left) => {
                self.memory_left = left;
                self.charge(1 + bytes as u64 / 64)
            }
            None => Err(Stop::Limit("memory")),
        }
    }

    /// Counts an array of that many elements.
    pub fn allocate_items(&mut self, items: usize) -> Result<(), Stop> {
        self.allocate(items.saturating_mul(size_of::<Value>()))
    }

    /// Steps that are left: what walks a value takes from them.
    pub const fn steps_left(&mut self) -> &mut u64 {
        &mut self.steps_left
    }

    /// Bytes that may still be built.
    pub const fn memory_left(&self) -> usize {
        self.memory_left
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if let Some(spent) = self.cx.spent {
            spent.set(spent.get() + (self.cx.limits.steps_max - self.steps_left));
        }
    }
}
