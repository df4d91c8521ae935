//! The live executions of a shard, as bytes in pages: one that waits costs what its state needs and next to nothing more.
//!
//! A page holds some executions in the order of their ids, each in the form it has in a snapshot, one after the other; the
//! pages are in order as well. New ids are the highest, so what begins is put behind the last. A snapshot is the list of
//! pages: it shares them, and a page that changes while a snapshot has it is copied first.

use std::ops::Range;
use std::sync::Arc;

use crate::execution::Execution;
use crate::ids::{DefinitionId, ExecutionId};
use crate::time::Timestamp;
use crate::wire::codec::{CodecError, Reader, Writer};

/// Bytes of a page, unless one execution alone is longer. Moving so much takes less than a microsecond.
const PAGE_BYTES: usize = 16 << 10;
/// Neighbours that have together no more than this become one.
const JOINED_BYTES_MAX: usize = PAGE_BYTES / 4 * 3;

/// Executions one after the other: id (16 bytes), definition (count), length (count), tail.
pub(super) type Page = Arc<Vec<u8>>;

/// A live execution between its steps.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Live<'a> {
    pub definition: DefinitionId,
    /// When its timers are next due.
    pub wake: Option<Timestamp>,
    /// Whether something outside was asked for that must be asked for again after a crash.
    pub asks: bool,
    /// As [`Execution::encode`] writes it.
    pub state: &'a [u8],
}

impl<'a> Live<'a> {
    fn read(definition: DefinitionId, tail: &'a [u8]) -> Result<Live<'a>, CodecError> {
        let mut r = Reader::new(tail);
        let (wake, asks) = (r.option(Reader::time)?, r.u8()? != 0);
        // What a newer release has written shows now, and not when the execution has to move.
        Execution::check_version(r.rest())?;
        Ok(Live { definition, wake, asks, state: r.rest() })
    }

    pub fn execution(&self) -> Result<Execution, CodecError> {
        Execution::decode(self.state)
    }
}

/// Writes the stored form of a live execution: the tail of its record, and a part of snapshots. What recovery needs of every
/// execution stands in front, so that it need not read the state of those that only wait for a moment.
pub(super) fn write_tail(out: &mut Vec<u8>, execution: &Execution) {
    let mut w = Writer { out };
    w.option(execution.next_wake(), Writer::time);
    w.u8(u8::from(execution.asks()));
    execution.encode(w.out);
}

/// By id.
#[derive(Default, Debug)]
pub(super) struct LiveTable {
    pages: Vec<Slot>,
    len: usize,
    /// No id is higher.
    highest: Option<ExecutionId>,
}

#[derive(Debug)]
struct Slot {
    /// No id in the page is lower, and none in the page before is as high.
    first: ExecutionId,
    page: Page,
}

/// One execution in a page.
struct Entry<'a> {
    id: ExecutionId,
    definition: DefinitionId,
    tail: &'a [u8],
    /// Where it stands in the page.
    place: Range<usize>,
}

impl Entry<'_> {
    fn live(&self) -> Live<'_> {
        Live::read(self.definition, self.tail).expect("it was read before it was put there")
    }
}

fn read_entry<'a>(r: &mut Reader<'a>) -> Result<(ExecutionId, DefinitionId, &'a [u8]), CodecError> {
    Ok((ExecutionId::from_u128(r.u128()?), DefinitionId(r.count_u32()?), r.bytes()?))
}

fn entries(page: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &page[at..];
        if rest.is_empty() {
            return None;
        }
        let mut r = Reader::new(rest);
        let (id, definition, tail) = read_entry(&mut r).expect("a page holds what was put there");
        let place = at..page.len() - r.rest().len();
        at = place.end;
        Some(Entry { id, definition, tail, place })
    })
}

/// Where an execution stands in a page, or would.
fn place(page: &[u8], id: ExecutionId) -> (Range<usize>, Option<Entry<'_>>) {
    match entries(page).find(|entry| entry.id >= id) {
        Some(entry) if entry.id == id => (entry.place.clone(), Some(entry)),
        Some(entry) => (entry.place.start..entry.place.start, None),
        None => (page.len()..page.len(), None),
    }
}

/// Puts `new` where `old` was.
fn replace(page: &mut Vec<u8>, old: Range<usize>, new: [&[u8]; 2]) {
    let (before, added) = (page.len(), new[0].len() + new[1].len());
    let end = old.start + added;
    if added > old.len() {
        // Most pages grow seldom: no room is kept for it.
        page.reserve_exact(added - old.len());
        page.resize(before + added - old.len(), 0);
    }
    page.copy_within(old.end..before, end);
    page.truncate(before + added - old.len());
    page[old.start..old.start + new[0].len()].copy_from_slice(new[0]);
    page[old.start + new[0].len()..end].copy_from_slice(new[1]);
}

impl LiveTable {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The pages, for a snapshot.
    pub fn pages(&self) -> impl ExactSizeIterator<Item = &Page> {
        self.pages.iter().map(|slot| &slot.page)
    }

    pub fn get(&self, id: ExecutionId) -> Option<Live<'_>> {
        let slot = &self.pages[self.slot_of(id)?];
        let entry = entries(&slot.page).find(|entry| entry.id >= id)?;
        (entry.id == id).then(|| Live::read(entry.definition, entry.tail).expect("it was read before it was put there"))
    }

    pub fn contains(&self, id: ExecutionId) -> bool {
        self.get(id).is_some()
    }

    /// All with a higher id, by id.
    pub fn after(&self, id: Option<ExecutionId>) -> impl Iterator<Item = (ExecutionId, Live<'_>)> {
        let from = id.and_then(|id| self.slot_of(id)).unwrap_or(0);
        let all = self.pages[from..].iter().flat_map(|slot| entries(&slot.page));
        all.skip_while(move |entry| id.is_some_and(|id| entry.id <= id)).map(|entry| {
            let live = Live::read(entry.definition, entry.tail).expect("it was read before it was put there");
            (entry.id, live)
        })
    }

    /// All, by id.
    pub fn iter(&self) -> impl Iterator<Item = (ExecutionId, Live<'_>)> {
        self.after(None)
    }

    /// Keeps an execution, as [`write_tail`] wrote it; when it was there: when its timers were due.
    ///
    /// # Errors
    /// The tail can't be read; nothing was changed.
    pub fn insert(
        &mut self,
        id: ExecutionId,
        definition: DefinitionId,
        tail: &[u8],
    ) -> Result<Option<Timestamp>, CodecError> {
        Live::read(definition, tail)?;
        let mut head = Vec::with_capacity(32);
        let mut w = Writer { out: &mut head };
        w.u128(id.as_u128());
        w.count(u64::from(definition.0));
        w.count(tail.len() as u64);
        if self.highest.is_none_or(|highest| highest < id) {
            self.append(id, [&head, tail]);
            return Ok(None);
        }
        let at = self.slot_of(id).unwrap_or(0);
        let Some(slot) = self.pages.get_mut(at) else {
            self.append(id, [&head, tail]);
            return Ok(None);
        };
        slot.first = slot.first.min(id);
        let (place, before) = place(&slot.page, id);
        let (known, wake) = (before.is_some(), before.and_then(|entry| entry.live().wake));
        self.len += usize::from(!known);
        replace(Arc::make_mut(&mut slot.page), place, [&head, tail]);
        if slot.page.len() > PAGE_BYTES {
            self.split(at);
        }
        self.join(at);
        Ok(wake)
    }

    /// Takes an execution out; when its timers were due.
    pub fn remove(&mut self, id: ExecutionId) -> Option<Timestamp> {
        let at = self.slot_of(id)?;
        let slot = &mut self.pages[at];
        let (place, entry) = place(&slot.page, id);
        let wake = entry?.live().wake;
        self.len -= 1;
        if place.len() == slot.page.len() {
            self.pages.remove(at);
        } else {
            replace(Arc::make_mut(&mut slot.page), place, [&[], &[]]);
        }
        self.join(at);
        wake
    }

    /// Reads the list of a snapshot: they must be in order.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(&mut self, r: &mut Reader<'_>) -> Result<(), CodecError> {
        for _ in 0..r.count()? {
            let bytes = r.rest();
            let (id, definition, tail) = read_entry(r)?;
            Live::read(definition, tail)?;
            if self.highest.is_some_and(|highest| highest >= id) {
                return Err(r.invalid("list of live executions", "disorder"));
            }
            self.append(id, [&bytes[..bytes.len() - r.rest().len()], &[]]);
        }
        Ok(())
    }

    /// The page that has the execution, if any has.
    fn slot_of(&self, id: ExecutionId) -> Option<usize> {
        self.pages.partition_point(|slot| slot.first <= id).checked_sub(1)
    }

    fn append(&mut self, id: ExecutionId, entry: [&[u8]; 2]) {
        let bytes = entry[0].len() + entry[1].len();
        self.len += 1;
        self.highest = Some(id);
        let room = self.pages.last_mut().filter(|slot| slot.page.len() + bytes <= PAGE_BYTES);
        let slot = match room {
            Some(slot) => slot,
            None => {
                let page = Arc::new(Vec::with_capacity(PAGE_BYTES.max(bytes)));
                self.pages.push(Slot { first: id, page });
                self.pages.last_mut().expect("it was just put there")
            }
        };
        let page = Arc::make_mut(&mut slot.page);
        if page.capacity() < page.len() + bytes {
            page.reserve_exact(PAGE_BYTES.max(bytes) - page.len());
        }
        page.extend_from_slice(entry[0]);
        page.extend_from_slice(entry[1]);
    }

    /// Makes two pages of one, unless it holds a single execution.
    fn split(&mut self, at: usize) {
        let page = Arc::make_mut(&mut self.pages[at].page);
        let half = page.len() / 2;
        let second =
            entries(page).skip(1).find(|entry| entry.place.end > half).map(|entry| (entry.place.start, entry.id));
        let Some((start, first)) = second else { return };
        let moved = Arc::new(page.split_off(start));
        page.shrink_to_fit();
        self.pages.insert(at + 1, Slot { first, page: moved });
    }

    /// After a page has changed: joins small neighbours around it, and gives back space that it no longer needs.
    fn join(&mut self, at: usize) {
        let small = |pages: &[Slot], first: usize| {
            let pair = pages.get(first..first + 2);
            pair.is_some_and(|pair| pair[0].page.len() + pair[1].page.len() <= JOINED_BYTES_MAX)
        };
        let mut first = at.saturating_sub(1);
        // A page that was split has its second half behind it.
        while first <= at + 1 {
            if !small(&self.pages, first) {
                first += 1;
                continue;
            }
            let second = self.pages.remove(first + 1);
            let page = Arc::make_mut(&mut self.pages[first].page);
            page.reserve_exact(second.page.len());
            page.extend_from_slice(&second.page);
        }
        // The last one will soon grow again.
        if at + 1 < self.pages.len() && self.pages[at].page.len() < self.pages[at].page.capacity() / 2 {
            Arc::make_mut(&mut self.pages[at].page).shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::ids::ShardId;

    fn id(number: u64) -> ExecutionId {
        ExecutionId::new(Timestamp::from_millis(1_795_000_000_000), ShardId(3), number)
    }

    fn tail(wake: Option<u64>, state: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut w = Writer { out: &mut out };
        w.option(wake.map(Timestamp), Writer::time);
        w.u8(1);
        w.u8(1);
        w.out.extend_from_slice(state);
        out
    }

    fn snapshot(table: &LiveTable) -> Vec<u8> {
        let mut out = Vec::new();
        Writer { out: &mut out }.count(table.len() as u64);
        table.pages().for_each(|page| out.extend_from_slice(page));
        out
    }

    fn bytes(table: &LiveTable) -> usize {
        table.pages().map(|page| page.len()).sum()
    }

    type Model = BTreeMap<ExecutionId, (DefinitionId, Option<Timestamp>, Vec<u8>)>;

    fn same(table: &LiveTable, model: &Model) -> Result<(), TestCaseError> {
        let content: Vec<_> = table.iter().map(|(id, l)| (id, (l.definition, l.wake, l.state[1..].to_vec()))).collect();
        prop_assert_eq!(content, model.clone().into_iter().collect::<Vec<_>>());
        prop_assert_eq!(table.len(), model.len());
        for (page, next) in table.pages().zip(table.pages().skip(1)) {
            prop_assert!(page.len() + next.len() > JOINED_BYTES_MAX, "two small pages side by side");
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_is_a_map_in_order(
            changes in proptest::collection::vec((0..200_u64, proptest::option::of(any::<u64>()), 0..3_000_usize, 0..3), 1..400),
        ) {
            let (mut table, mut model) = (LiveTable::default(), Model::new());
            let mut frozen: Option<(Vec<Page>, Vec<u8>)> = None;
            for (step, (number, wake, length, kind)) in changes.into_iter().enumerate() {
                let id = id(number);
                if kind == 0 {
                    let before = model.remove(&id).and_then(|(_, wake, _)| wake);
                    prop_assert_eq!(table.remove(id), before);
                } else {
                    let state = vec![number as u8; length * length / 3_000];
                    let definition = DefinitionId(u32::try_from(step).expect("few"));
                    let kept = (definition, wake.map(Timestamp), state.clone());
                    let before = model.insert(id, kept).and_then(|(_, wake, _)| wake);
                    prop_assert_eq!(table.insert(id, definition, &tail(wake, &state)), Ok(before));
                }
                prop_assert_eq!(table.contains(id), kind != 0);
                if step == 50 {
                    frozen = Some((table.pages().cloned().collect(), snapshot(&table)));
                }
            }
            same(&table, &model)?;
            // What a snapshot shares does not change under it.
            if let Some((pages, bytes)) = frozen {
                prop_assert!(bytes.ends_with(&pages.iter().flat_map(|page| page.to_vec()).collect::<Vec<_>>()));
            }
            let (mut read, bytes) = (LiveTable::default(), snapshot(&table));
            prop_assert_eq!(read.read(&mut Reader::new(&bytes)), Ok(()));
            let content: Vec<_> = read.iter().map(|(id, l)| (id, (l.definition, l.wake, l.state[1..].to_vec()))).collect();
            prop_assert_eq!(content, model.clone().into_iter().collect::<Vec<_>>());
            let middle = id(100);
            let after: Vec<_> = table.after(Some(middle)).map(|(id, _)| id).collect();
            prop_assert_eq!(after, model.range(middle..).map(|(id, _)| *id).filter(|id| *id != middle).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_list_out_of_order_is_no_snapshot() {
        let mut out = Vec::new();
        let mut w = Writer { out: &mut out };
        w.count(2);
        for number in [2, 1] {
            w.u128(id(number).as_u128());
            w.count(0);
            w.bytes(&tail(None, b"x"));
        }
        assert!(LiveTable::default().read(&mut Reader::new(&out)).is_err());
    }

    #[test]
    fn a_million_costs_its_bytes() {
        let mut table = LiveTable::default();
        let tail = tail(Some(1), &[7; 400]);
        for number in 0..100_000 {
            table.insert(id(number), DefinitionId(1), &tail).expect("readable");
        }
        let held: usize = table.pages.iter().map(|slot| slot.page.capacity() + size_of::<Slot>() + 40).sum();
        assert!(held < bytes(&table) * 103 / 100, "{held} for {}", bytes(&table));
        // Every second one ends: their space is given back.
        for number in (0..100_000).step_by(2) {
            table.remove(id(number));
        }
        let held: usize = table.pages.iter().map(|slot| slot.page.capacity()).sum();
        assert!(held < bytes(&table) * 22 / 10, "{held} for {}", bytes(&table));
    }
}
