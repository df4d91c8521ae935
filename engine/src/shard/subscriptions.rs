//! Who listens to what. A subscription is kept at the home of each interest, and can be told anew by the execution's shard
//! at any time: it is derived from the execution's state, never stored.
//!
//! The home of an interest with a known correlation value is the shard of that value. Most correlations are by subject, and
//! events of a subject and the executions they start live on the shard of the subject: so nothing leaves that shard, and an
//! event concerns only those who wait for its value, however many others listen. Other interests live on the home of their
//! type, and are candidates for every event of it.
//!
//! Of an interest only a hash is kept: the listening task decides whether an event matches, so one that comes to it by chance
//! does no harm.

use std::collections::BTreeSet;

use ecow::EcoString;
use xxhash_rust::xxh3::Xxh3;

use crate::effect::Interest;
use crate::ids::{ActivationId, ExecutionId, ShardId};
use crate::input::Subscription;
use crate::value::Value;

/// Which events may concern a listening task: those of a type, or all; or only those with a correlation value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    /// The type; `None`: every event.
    pub event_type: Option<EcoString>,
    /// The value, when it is known beforehand.
    pub correlation: Option<CorrelationValue>,
}

/// A value that `from` must give for an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CorrelationValue {
    /// Source of the expression.
    pub from: EcoString,
    /// The value, as text.
    pub value: EcoString,
}

/// A listening task.
pub(super) type Listener = (ExecutionId, ActivationId);

/// The home of the subscriptions to a type; those to every type live on shard 0.
pub(super) fn home_of_type(event_type: Option<&str>, shards: u16) -> ShardId {
    event_type.map_or(ShardId(0), |event_type| ShardId::of_key(event_type.as_bytes(), shards))
}

/// The home of the subscriptions to a correlation value.
pub(super) fn home_of_value(value: &str, shards: u16) -> ShardId {
    ShardId::of_key(value.as_bytes(), shards)
}

fn home(wanted: &Wanted, shards: u16) -> ShardId {
    match &wanted.correlation {
        Some(correlation) => home_of_value(&correlation.value, shards),
        None => home_of_type(wanted.event_type.as_deref(), shards),
    }
}

/// A correlation value as text: different values may have the same, equal ones never differ. `None`: null, which matches nothing.
pub(super) fn text_of_value(value: &Value) -> Option<EcoString> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        // The order of keys does not count in a comparison, so it must not here.
        Value::Array(_) | Value::Object(_) => Some("{}".into()),
        scalar => Some(scalar.to_json().into()),
    }
}

/// What a task wants, each once. Who wants every type needs nothing else, lest an event come to it from two homes.
pub(super) fn wanted(interests: &[Interest]) -> Vec<Wanted> {
    if interests.iter().any(|interest| interest.event_type.is_none()) {
        return vec![Wanted { event_type: None, correlation: None }];
    }
    let mut all: Vec<Wanted> = Vec::new();
    for interest in interests {
        let correlation = match &interest.correlation {
            None => None,
            Some((from, value)) => match text_of_value(value) {
                None => continue,
                Some(value) => Some(CorrelationValue { from: from.clone(), value }),
            },
        };
        let wanted = Wanted { event_type: interest.event_type.clone(), correlation };
        if !all.contains(&wanted) {
            all.push(wanted);
        }
    }
    all
}

/// What stands for an interest on its home.
fn key(event_type: Option<&str>, correlation: Option<&CorrelationValue>) -> u64 {
    let mut hash = Xxh3::new();
    let correlation = correlation.map(|correlation| [&correlation.from, &correlation.value]);
    let parts = [event_type].into_iter().chain(correlation.into_iter().flatten().map(|text| Some(text.as_str())));
    for part in parts {
        hash.update(&part.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        hash.update(part.unwrap_or_default().as_bytes());
    }
    hash.digest()
}

/// What a listening task subscribes to, by the homes of its interests and in their order.
pub(super) fn by_home(
    (execution, activation): Listener,
    interests: &[Interest],
    shards: u16,
) -> Vec<(ShardId, Subscription)> {
    let subscription = |wanted: &Wanted| {
        let key = key(wanted.event_type.as_deref(), wanted.correlation.as_ref());
        (home(wanted, shards), Subscription { key, execution, activation })
    };
    let mut all: Vec<_> = wanted(interests).iter().map(subscription).collect();
    all.sort_by_key(|(home, _)| *home);
    all
}

/// The subscriptions that live on one shard: 32 bytes each and what the tree adds, about 50 in all.
#[derive(Default, Debug)]
pub(super) struct Subscriptions {
    entries: BTreeSet<Entry>,
}

/// By its key. The halves of the id: as one number it would be aligned to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    key: u64,
    id: [u64; 2],
    activation: u32,
}

impl Entry {
    fn new(Subscription { key, execution, activation }: Subscription) -> Entry {
        let bits = execution.as_u128();
        Entry { key, id: [(bits >> 64) as u64, bits as u64], activation: activation.0 }
    }

    fn listener(&self) -> Listener {
        let execution = ExecutionId::from_u128(u128::from(self.id[0]) << 64 | u128::from(self.id[1]));
        (execution, ActivationId(self.activation))
    }
}

impl Subscriptions {
    /// Keeps a subscription; whether it was not there.
    pub fn add(&mut self, subscription: Subscription) -> bool {
        self.entries.insert(Entry::new(subscription))
    }

    pub fn remove(&mut self, subscription: Subscription) {
        self.entries.remove(&Entry::new(subscription));
    }

    /// Those whom an event may concern, each once: of its type with one of its correlation values, of its type whatever the
    /// value, and of every type.
    pub fn of(&self, event_type: &str, correlations: Vec<CorrelationValue>) -> Vec<Listener> {
        let keyed = correlations.iter().map(Some).chain([None]);
        let of_type = keyed.map(|correlation| key(Some(event_type), correlation));
        let mut keys: Vec<u64> = of_type.chain([key(None, None)]).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut found = Vec::new();
        for key in keys {
            let from = Entry { key, id: [0; 2], activation: 0 };
            found.extend(self.entries.range(from..).take_while(|entry| entry.key == key).map(Entry::listener));
        }
        // A task wants a type in one way only; so only chance brings one here twice.
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn interest(event_type: Option<&str>, value: Option<&str>) -> Interest {
        let correlation = value.map(|value| (".k".into(), Value::from(value)));
        Interest { filter: 0, event_type: event_type.map(EcoString::from), correlation }
    }

    #[test]
    fn an_event_finds_those_of_its_value_of_its_type_and_of_every_type() {
        let mut subscriptions = Subscriptions::default();
        let wants =
            [(Some("a"), Some("1")), (Some("a"), Some("2")), (Some("a"), None), (Some("b"), None), (None, None)];
        let listener = |number: usize| {
            let id = ExecutionId::new(Timestamp::from_millis(5), ShardId(0), number as u64);
            (id, ActivationId(7))
        };
        for (number, (event_type, value)) in wants.into_iter().enumerate() {
            for (_, subscription) in by_home(listener(number), &[interest(event_type, value)], 4) {
                assert!(subscriptions.add(subscription));
                assert!(!subscriptions.add(subscription), "told again it changes nothing");
            }
        }
        let of = |subscriptions: &Subscriptions, event_type: &str, value: &str| -> Vec<u64> {
            let value = CorrelationValue { from: ".k".into(), value: value.into() };
            subscriptions.of(event_type, vec![value]).iter().map(|(id, _)| id.sequence()).collect()
        };
        assert_eq!(of(&subscriptions, "a", "1"), [0, 2, 4]);
        assert_eq!(of(&subscriptions, "a", "3"), [2, 4]);
        assert_eq!(of(&subscriptions, "b", "1"), [3, 4]);
        for (_, subscription) in by_home(listener(2), &[interest(Some("a"), None)], 4) {
            subscriptions.remove(subscription);
        }
        assert_eq!(of(&subscriptions, "a", "2"), [1, 4]);
        assert_eq!(of(&subscriptions, "c", "2"), [4]);
    }

    #[test]
    fn the_parts_of_a_key_are_kept_apart() {
        let by = |from: &str, value: &str| CorrelationValue { from: from.into(), value: value.into() };
        assert_ne!(key(Some("a"), Some(&by("bc", "d"))), key(Some("a"), Some(&by("b", "cd"))));
        assert_ne!(key(Some(""), None), key(None, None));
    }
}
