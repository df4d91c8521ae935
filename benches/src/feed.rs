//! W1's messages put into a node, with a count of those that are durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use trinity_actors::clock;
use trinity_actors::handle::{Admitted, Handle, Lane};
use trinity_engine::event::CloudEvent;
use trinity_engine::input::SourceEvent;

use crate::w1::Messages;

/// Messages in one batch of a source, and batches that may wait for their receipts, as in [`crate::in_process`].
const BATCH: u64 = 1_024;
const BATCHES_UNDER_WAY: usize = 24;

/// What is done to the event with this number before it goes in.
pub type Dress = Arc<dyn Fn(u64, &mut CloudEvent) + Send + Sync>;

/// Two sources that go on where they stopped.
pub struct Feed {
    sources: Vec<Messages>,
    dress: Dress,
    durable: Arc<AtomicU64>,
}

impl Feed {
    /// Sources of W1's messages as they are, of two partitions from this one on.
    #[must_use]
    pub fn of_partitions(first: u64) -> Feed {
        let sources = (first..first + 2).map(Messages::new).collect();
        Feed { sources, dress: Arc::new(|_, _| ()), durable: Arc::default() }
    }

    /// From here on each event is dressed so.
    pub fn dress(&mut self, dress: impl Fn(u64, &mut CloudEvent) + Send + Sync + 'static) {
        self.dress = Arc::new(dress);
    }

    /// How many are durable; it may be looked at while they are poured.
    #[must_use]
    pub fn durable(&self) -> Arc<AtomicU64> {
        self.durable.clone()
    }

    /// Puts so many messages in and waits until all are durable.
    ///
    /// # Errors
    /// The node failed; the feed can't go on then.
    pub async fn pour(&mut self, handle: &Handle, count: u64) -> Result<(), String> {
        let share = count / 2;
        let pour = |messages| pour(handle.lane(), messages, share, self.dress.clone(), self.durable.clone());
        let pouring: Vec<_> = std::mem::take(&mut self.sources).into_iter().map(pour).map(tokio::spawn).collect();
        for source in pouring {
            self.sources.push(source.await.map_err(|error| error.to_string())??);
        }
        Ok(())
    }
}

async fn pour(
    lane: Lane,
    mut messages: Messages,
    count: u64,
    dress: Dress,
    durable: Arc<AtomicU64>,
) -> Result<Messages, String> {
    let mut under_way: VecDeque<(u64, Admitted)> = VecDeque::new();
    let mut left = count;
    while left > 0 || !under_way.is_empty() {
        if left > 0 && under_way.len() < BATCHES_UNDER_WAY {
            let size = left.min(BATCH);
            let mut events = messages.take(usize::try_from(size).unwrap_or(0), clock::now());
            for SourceEvent { event, token, .. } in &mut events {
                // Nobody else has seen it yet.
                Arc::get_mut(event).into_iter().for_each(|event| dress(*token, event));
            }
            under_way.push_back((size, lane.submit(events).await.map_err(|error| error.to_string())?));
            left -= size;
        } else if let Some((size, admitted)) = under_way.pop_front() {
            admitted.durable().await.map_err(|error| error.to_string())?;
            durable.fetch_add(size, Ordering::Relaxed);
        }
    }
    Ok(messages)
}
