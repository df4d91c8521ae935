//! Objects: members in insertion order, found by scan while few and by an index when many.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ecow::{EcoString, EcoVec};
use rustc_hash::{FxHashMap, FxHasher};

use super::{Value, bury};

/// Members up to which a scan finds a key.
const SCAN_MAX: usize = 16;

/// The members of an object, in insertion order, each key once.
#[derive(Clone, Debug, Default)]
pub struct Map(Store);

#[derive(Clone, Debug)]
enum Store {
    Few(EcoVec<(EcoString, Value)>),
    Many(Arc<Indexed>),
}

#[derive(Clone, Debug, Default)]
struct Indexed {
    members: EcoVec<(EcoString, Value)>,
    /// Places of the members by the hash of their key.
    places: FxHashMap<u64, Places>,
}

/// Nearly always one place; several when hashes collide.
#[derive(Clone, Debug)]
enum Places {
    One(u32),
    Several(Vec<u32>),
}

impl Default for Store {
    fn default() -> Store {
        Store::Few(EcoVec::new())
    }
}

fn hash(key: &str) -> u64 {
    let mut hasher = FxHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Indexed {
    fn new(members: EcoVec<(EcoString, Value)>) -> Indexed {
        let mut indexed = Indexed { members, places: FxHashMap::default() };
        indexed.index();
        indexed
    }

    fn index(&mut self) {
        self.places.clear();
        self.places.reserve(self.members.len());
        for place in 0..self.members.len() {
            let hash = hash(&self.members[place].0);
            self.note(hash, place as u32);
        }
    }

    fn note(&mut self, hash: u64, place: u32) {
        match self.places.get_mut(&hash) {
            None => {
                self.places.insert(hash, Places::One(place));
            }
            Some(Places::Several(list)) => list.push(place),
            Some(entry) => {
                if let Places::One(first) = *entry {
                    *entry = Places::Several(vec![first, place]);
                }
            }
        }
    }

    fn place(&self, key: &str) -> Option<usize> {
        let is = |place: &u32| self.members[*place as usize].0 == key;
        match self.places.get(&hash(key))? {
            Places::One(place) => is(place).then_some(*place as usize),
            Places::Several(list) => list.iter().copied().find(is).map(|place| place as usize),
        }
    }
}

impl Map {
    /// An empty object.
    #[must_use]
    pub const fn new() -> Map {
        Map(Store::Few(EcoVec::new()))
    }

    /// An empty object with room for some members.
    #[must_use]
    pub fn with_capacity(members: usize) -> Map {
        Map(Store::Few(EcoVec::with_capacity(members)))
    }

    fn members(&self) -> &EcoVec<(EcoString, Value)> {
        match &self.0 {
            Store::Few(members) => members,
            Store::Many(indexed) => &indexed.members,
        }
    }

    fn place(&self, key: &str) -> Option<usize> {
        match &self.0 {
            Store::Few(members) => members.iter().position(|(name, _)| name == key),
            Store::Many(indexed) => indexed.place(key),
        }
    }

    fn member_mut(&mut self, place: usize) -> &mut (EcoString, Value) {
        match &mut self.0 {
            Store::Few(members) => &mut members.make_mut()[place],
            Store::Many(indexed) => &mut Arc::make_mut(indexed).members.make_mut()[place],
        }
    }

    /// The member `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.place(key).map(|place| &self.members()[place].1)
    }

    /// The member `key` for change; the members are copied first when they are shared.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.place(key).map(|place| &mut self.member_mut(place).1)
    }

    /// Whether there is a member `key`.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.place(key).is_some()
    }

    /// Sets a member: a new one comes last, an old one keeps its place and its value is returned.
    pub fn insert(&mut self, key: impl Into<EcoString>, value: Value) -> Option<Value> {
        let key = key.into();
        if let Some(place) = self.place(&key) {
            return Some(std::mem::replace(&mut self.member_mut(place).1, value));
        }
        match &mut self.0 {
            Store::Few(members) if members.len() < SCAN_MAX => members.push((key, value)),
            Store::Few(members) => {
                members.push((key, value));
                self.0 = Store::Many(Arc::new(Indexed::new(std::mem::take(members))));
            }
            Store::Many(indexed) => {
                let indexed = Arc::make_mut(indexed);
                indexed.note(hash(&key), indexed.members.len() as u32);
                indexed.members.push((key, value));
            }
        }
        None
    }

    /// Takes a member out; the others keep their order.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let place = self.place(key)?;
        match &mut self.0 {
            Store::Few(members) => Some(members.remove(place).1),
            Store::Many(indexed) => {
                let indexed = Arc::make_mut(indexed);
                let (_, value) = indexed.members.remove(place);
                indexed.index();
                Some(value)
            }
        }
    }

    /// Keeps the members that pass.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Value) -> bool) {
        match &mut self.0 {
            Store::Few(members) => members.retain(|(key, value)| keep(key, value)),
            Store::Many(indexed) => {
                let indexed = Arc::make_mut(indexed);
                indexed.members.retain(|(key, value)| keep(key, value));
                indexed.index();
            }
        }
    }

    /// Whether it is the same storage as `other`.
    pub(super) fn is_same(&self, other: &Map) -> bool {
        std::ptr::eq(self.members().as_ptr(), other.members().as_ptr()) && self.len() == other.len()
    }

    /// How many members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members().is_empty()
    }

    /// Key and value of each member, in insertion order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&EcoString, &Value)> + ExactSizeIterator {
        self.members().iter().map(|(key, value)| (key, value))
    }

    /// The member at a place in insertion order.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<(&EcoString, &Value)> {
        self.members().get(place).map(|(key, value)| (key, value))
    }

    /// The keys, in insertion order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &EcoString> + ExactSizeIterator {
        self.members().iter().map(|(key, _)| key)
    }

    /// The values, in insertion order.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Value> + ExactSizeIterator {
        self.members().iter().map(|(_, value)| value)
    }

    /// The members sorted by key as jq sorts them (by code point).
    #[must_use]
    pub fn sorted(&self) -> Vec<(&EcoString, &Value)> {
        let mut members: Vec<_> = self.iter().collect();
        members.sort_unstable_by(|a, b| a.0.cmp(b.0));
        members
    }

    /// Whether nobody else holds the members.
    #[must_use]
    pub fn is_unique(&mut self) -> bool {
        match &mut self.0 {
            Store::Few(members) => members.is_unique(),
            Store::Many(indexed) => Arc::get_mut(indexed).is_some(),
        }
    }

    /// Adds a member that is known to be new.
    pub(crate) fn push_new(&mut self, key: EcoString, value: Value) {
        match &mut self.0 {
            Store::Few(members) if members.len() < SCAN_MAX => members.push((key, value)),
            _ => {
                self.insert(key, value);
            }
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        match &mut self.0 {
            Store::Few(members) => {
                if !members.is_empty() && members.is_unique() && members.iter().any(|(_, value)| value.is_container()) {
                    bury(std::mem::take(members));
                }
            }
            Store::Many(indexed) => {
                if Arc::get_mut(indexed).is_some() {
                    bury(std::mem::take(&mut self.0));
                }
            }
        }
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = (&'a EcoString, &'a Value);
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, (EcoString, Value)>,
        fn(&'a (EcoString, Value)) -> (&'a EcoString, &'a Value),
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.members().iter().map(|(key, value)| (key, value))
    }
}

impl<K: Into<EcoString>> FromIterator<(K, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(members: I) -> Map {
        let mut map = Map::new();
        for (key, value) in members {
            map.insert(key, value);
        }
        map
    }
}
