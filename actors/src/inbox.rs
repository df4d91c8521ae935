//! The inbox of a shard: what waits for its next step, and which parts of submissions each step completes.

use std::collections::VecDeque;

use trinity_engine::input::ShardInput;
use trinity_engine::shard::{Ready, Shard};
use trinity_engine::time::Timestamp;

/// Inputs in the order they came. `P` stands for what is to be told once the inputs before it are committed.
#[derive(Debug)]
pub struct Inbox<P> {
    inputs: VecDeque<ShardInput>,
    /// Inputs that somebody waits for: they go before the others, or a client would wait for all that sources have sent.
    commands: VecDeque<ShardInput>,
    /// Notes that came before the shard was open: they open it, and must not wait behind inputs.
    notes: VecDeque<ShardInput>,
    /// How many inputs but commands were ever queued.
    queued: u64,
    /// Each part with the number of inputs that were queued with and before it.
    parts: VecDeque<(u64, P)>,
}

impl<P> Default for Inbox<P> {
    fn default() -> Inbox<P> {
        Inbox {
            inputs: VecDeque::new(),
            commands: VecDeque::new(),
            notes: VecDeque::new(),
            queued: 0,
            parts: VecDeque::new(),
        }
    }
}

impl<P> Inbox<P> {
    /// Queues inputs for `shard`.
    pub fn push(&mut self, shard: &Shard, inputs: impl IntoIterator<Item = ShardInput>) {
        let inputs = inputs.into_iter();
        self.inputs.reserve(inputs.size_hint().0);
        for input in inputs {
            if !shard.is_open() && matches!(input, ShardInput::Note { .. }) {
                self.notes.push_back(input);
            } else if is_command(&input) {
                self.commands.push_back(input);
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
        self.inputs.len() + self.commands.len()
    }

    /// Whether no input waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether one of the inputs that wait is such.
    pub fn any(&self, wanted: impl Fn(&ShardInput) -> bool) -> bool {
        self.commands.iter().chain(&self.inputs).any(wanted)
    }

    /// Whether a step of `shard` would have something to do.
    #[must_use]
    pub fn has_work(&self, shard: &Shard, now: Timestamp) -> bool {
        if !shard.is_open() {
            return !self.notes.is_empty();
        }
        !self.is_empty() || shard.next_wake().is_some_and(|at| at <= now)
    }

    /// Lets `shard` take a step; the parts whose last input it took are complete once the step is committed.
    pub fn step(&mut self, shard: &mut Shard, now: Timestamp) -> (Ready, Vec<P>) {
        if !shard.is_open() {
            return (shard.step(&mut self.notes, now), Vec::new());
        }
        let others = self.inputs.len();
        self.commands.drain(..).rev().for_each(|command| self.inputs.push_front(command));
        let ready = shard.step(&mut self.inputs, now);
        // While a command is left, none of the others was taken.
        let left = self.inputs.len();
        self.commands.extend(self.inputs.drain(..left.saturating_sub(others)));
        let taken = self.queued - self.inputs.len() as u64;
        let mut complete = Vec::new();
        while self.parts.front().is_some_and(|(last, _)| *last <= taken) {
            complete.extend(self.parts.pop_front().map(|(_, part)| part));
        }
        (ready, complete)
    }
}

/// Whether it goes before events and the like. A new catalog goes with the commands, for what is asked for after it must see it.
fn is_command(input: &ShardInput) -> bool {
    matches!(
        input,
        ShardInput::Execute { .. } | ShardInput::Control { .. } | ShardInput::Await { .. } | ShardInput::Catalog(_)
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use trinity_engine::event::CloudEvent;
    use trinity_engine::execution::RuntimeInfo;
    use trinity_engine::expression::Limits;
    use trinity_engine::ids::{ExecutionId, ShardId};
    use trinity_engine::input::{Origin, ReplyToken};
    use trinity_engine::shard::{Catalog, CommitReceipt, INPUTS_PER_STEP_MAX, Settings};
    use trinity_engine::value::Value;

    use super::*;

    #[test]
    fn commands_go_first_and_parts_are_complete_with_their_own_last_input() {
        let runtime = RuntimeInfo { name: "trinity".into(), version: "0".into() };
        let catalog = Arc::new(Catalog::new(1, Vec::new(), Value::Null));
        let mut shard = Shard::new(ShardId(0), Settings { runtime, limits: Limits::default() }, catalog);
        let now = Timestamp(1);
        let _ = shard.recovered(now);
        let event = Arc::new(CloudEvent::new("1", "/test", "reading"));
        let event = || ShardInput::Event { event: event.clone(), origin: Origin::Internal };
        let command = |token| ShardInput::Await { execution: ExecutionId::from_u128(0), reply: ReplyToken(token) };
        let mut inbox = Inbox::default();
        inbox.push(&shard, (0..INPUTS_PER_STEP_MAX).map(|_| event()));
        inbox.mark("events");
        inbox.push(&shard, [command(1), command(2)]);
        let receipt = CommitReceipt { block: 0 };
        let (ready, complete) = inbox.step(&mut shard, now);
        let answered: Vec<u64> = ready.release(receipt).replies.iter().map(|(token, _)| token.0).collect();
        assert_eq!((answered, complete.as_slice(), inbox.len()), (vec![1, 2], &[][..], 2));
        inbox.push(&shard, (0..=INPUTS_PER_STEP_MAX as u64).map(command));
        let (_, complete) = inbox.step(&mut shard, now);
        assert_eq!((complete.as_slice(), inbox.len()), (&[][..], 3));
        let (_, complete) = inbox.step(&mut shard, now);
        assert_eq!((complete.as_slice(), inbox.len()), (&["events"][..], 0));
    }
}
