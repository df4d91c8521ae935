//! The inbox of a shard: what waits for its next step, and which parts of submissions each step completes.

use std::collections::VecDeque;

use trinity_engine::input::ShardInput;
use trinity_engine::shard::{Ready, Shard};
use trinity_engine::time::Timestamp;

/// Inputs in the order they came. `P` stands for what is to be told once the inputs before it are committed.
#[derive(Debug)]
pub struct Inbox<P> {
    inputs: VecDeque<ShardInput>,
    /// Notes that came before the shard was open: they open it, and must not wait behind inputs.
    notes: VecDeque<ShardInput>,
    /// How many inputs were ever queued.
    queued: u64,
    /// Each part with the number of inputs that were queued with and before it.
    parts: VecDeque<(u64, P)>,
}

impl<P> Default for Inbox<P> {
    fn default() -> Inbox<P> {
        Inbox { inputs: VecDeque::new(), notes: VecDeque::new(), queued: 0, parts: VecDeque::new() }
    }
}

impl<P> Inbox<P> {
    /// Queues inputs for `shard`.
    pub fn push(&mut self, shard: &Shard, inputs: impl IntoIterator<Item = ShardInput>) {
        for input in inputs {
            if !shard.is_open() && matches!(input, ShardInput::Note { .. }) {
                self.notes.push_back(input);
            } else {
                self.inputs.push_back(input);
                self.queued += 1;
            }
        }
    }

    /// Marks what was queued last as the end of a part.
    pub fn mark(&mut self, part: P) {
        self.parts.push_back((self.queued, part));
    }

    /// How many inputs wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Whether no input waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// Whether one of the inputs that wait is such.
    pub fn any(&self, wanted: impl Fn(&ShardInput) -> bool) -> bool {
        self.inputs.iter().any(wanted)
    }

    /// Whether a step of `shard` would have something to do.
    #[must_use]
    pub fn has_work(&self, shard: &Shard, now: Timestamp) -> bool {
        if !shard.is_open() {
            return !self.notes.is_empty();
        }
        !self.inputs.is_empty() || shard.next_wake().is_some_and(|at| at <= now)
    }

    /// Lets `shard` take a step; the parts whose last input it took are complete once the step is committed.
    pub fn step(&mut self, shard: &mut Shard, now: Timestamp) -> (Ready, Vec<P>) {
        let queue = if shard.is_open() { &mut self.inputs } else { &mut self.notes };
        let ready = shard.step(queue, now);
        let taken = self.queued - self.inputs.len() as u64;
        let mut complete = Vec::new();
        while self.parts.front().is_some_and(|(last, _)| *last <= taken) {
            complete.extend(self.parts.pop_front().map(|(_, part)| part));
        }
        (ready, complete)
    }
}
