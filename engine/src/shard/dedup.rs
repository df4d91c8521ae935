//! What was seen before: repetitions of events and of requests.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::event::CloudEvent;
use crate::ids::{DefinitionId, ExecutionId};

/// How many (source, id) pairs and how many idempotency keys a shard remembers; the oldest are forgotten first.
pub const WINDOW: usize = 100_000;

/// The key of an event by its source and id.
pub(super) fn event_key(event: &CloudEvent) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&(event.source.len() as u64).to_le_bytes());
    hash.update(event.source.as_bytes());
    hash.update(event.id.as_bytes());
    hash.digest128()
}

/// The key of a request to start an execution of a definition.
pub(super) fn request_key(definition: DefinitionId, key: &str) -> u128 {
    let mut bytes = definition.0.to_le_bytes().to_vec();
    bytes.extend_from_slice(key.as_bytes());
    xxh3_128(&bytes)
}

/// The keys seen last, in order.
#[derive(Default, Debug)]
pub(super) struct Seen {
    keys: FxHashSet<u128>,
    order: VecDeque<u128>,
}

impl Seen {
    pub fn contains(&self, key: u128) -> bool {
        self.keys.contains(&key)
    }

    /// Whether it is new.
    pub fn insert(&mut self, key: u128) -> bool {
        if !self.keys.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        true
    }

    /// Oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u128> {
        self.order.iter().copied()
    }
}

/// The executions that the last idempotency keys stand for.
#[derive(Default, Debug)]
pub(super) struct Requests {
    found: FxHashMap<u128, ExecutionId>,
    order: VecDeque<u128>,
}

impl Requests {
    pub fn get(&self, key: u128) -> Option<ExecutionId> {
        self.found.get(&key).copied()
    }

    pub fn insert(&mut self, key: u128, execution: ExecutionId) {
        if self.found.insert(key, execution).is_none() {
            self.order.push_back(key);
            if self.order.len() > WINDOW
                && let Some(oldest) = self.order.pop_front()
            {
                self.found.remove(&oldest);
            }
        }
    }

    /// Oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u128, ExecutionId)> {
        self.order.iter().map(|key| (*key, self.found[key]))
    }
}

/// The highest offset absorbed of each source partition. A shard reads few partitions, so they stand in a list.
#[derive(Default, Debug)]
pub(super) struct Absorbed {
    partitions: Vec<(Arc<str>, u64)>,
}

impl Absorbed {
    /// Whether the offset is above what was absorbed; then it is absorbed.
    pub fn advance(&mut self, partition: &Arc<str>, offset: u64) -> bool {
        match self.partitions.iter_mut().find(|(name, _)| Arc::ptr_eq(name, partition) || name == partition) {
            Some((_, highest)) if *highest >= offset => false,
            Some((_, highest)) => {
                *highest = offset;
                true
            }
            None => {
                self.partitions.push((partition.clone(), offset));
                true
            }
        }
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, u64)> {
        self.partitions.iter().map(|(name, offset)| (name, *offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_forgets_the_oldest() {
        let mut seen = Seen::default();
        for key in 0..=WINDOW as u128 {
            assert!(seen.insert(key));
        }
        assert!(!seen.contains(0));
        assert!(seen.contains(1));
        assert!(!seen.insert(WINDOW as u128));
        assert_eq!(seen.iter().len(), WINDOW);
    }

    #[test]
    fn an_offset_is_absorbed_once() {
        let mut absorbed = Absorbed::default();
        let (a, b): (Arc<str>, Arc<str>) = ("orders/0".into(), "orders/1".into());
        assert!(absorbed.advance(&a, 0));
        assert!(!absorbed.advance(&"orders/0".into(), 0));
        assert!(absorbed.advance(&a, 7));
        assert!(!absorbed.advance(&a, 3));
        assert!(absorbed.advance(&b, 3));
    }

    #[test]
    fn source_and_id_are_kept_apart() {
        let (ab_c, a_bc) = (CloudEvent::new("c", "ab", "t"), CloudEvent::new("bc", "a", "t"));
        assert_ne!(event_key(&ab_c), event_key(&a_bc));
    }
}
