//! What both storages promise alike.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use trinity_engine::history::Phase;
use trinity_engine::ids::{DefinitionId, ExecutionId, ShardId};
use trinity_engine::time::Timestamp;

use super::super::*;
use super::support::{Commit, Op, World, commits, journal_with, on_each_storage, open};

fn begin(phase: Phase) -> Commit {
    commit(vec![Op::Begin { shard: 0, definition: 1, phase }])
}

fn commit(ops: Vec<Op>) -> Commit {
    Commit { ops, millis: 5, back: false, snapshots: Vec::new() }
}

/// So many commits of everything, the same each time.
fn everything(count: usize) -> Vec<Commit> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let commit = super::support::commit();
    (0..count).map(|_| commit.new_tree(&mut runner).expect("a commit").current()).collect()
}

#[test]
fn what_was_appended_is_read_before_and_after_opening_again() {
    on_each_storage(|storage| {
        let mut world = World::new();
        let mut blocks = 0;
        for part in everything(60).chunks(20) {
            let (mut journal, recovery) = open(&storage);
            assert_eq!(recovery.is_empty(), blocks == 0);
            world.check_recovery(&recovery);
            world.check(&journal.reader());
            for commit in part {
                let batches = world.commit(commit);
                let receipt = journal.append(world.time(), &batches).expect("appended");
                blocks += 1;
                assert_eq!(receipt.block, blocks);
            }
            world.check(&journal.reader());
            let commit = begin(Phase::Completed);
            journal.append(world.time(), &world.commit(&commit)).expect("appended");
            blocks += 1;
            let (newest, _) = *world.records.last().expect("a record");
            assert!(journal.reader().recent(newest).expect("readable").is_some(), "what was appended last is recent");
        }
        let (journal, recovery) = open(&storage);
        world.check_recovery(&recovery);
        world.check(&journal.reader());
        assert!(world.records.len() > 100 && journal.reader().bytes() > 4_000, "several segments were filled");
    });
}

#[test]
fn only_one_opens_it_at_a_time() {
    on_each_storage(|storage| {
        let first = open(&storage);
        let second = Journal::open(storage.clone(), Options::default());
        assert!(matches!(second, Err(JournalError::InUse { .. })), "{second:?}");
        drop(first);
        open(&storage);
    });
}

#[test]
fn batches_that_contradict_what_is_stored_are_refused_and_nothing_of_them_stays() {
    on_each_storage(|storage| {
        let (mut journal, _) = open(&storage);
        let mut world = World::new();
        let running = world.commit(&begin(Phase::Running));
        journal.append(world.time(), &running).expect("appended");
        let stored = world.clone();
        let goes_on = world.commit(&commit(vec![Op::GoOn { which: index(0), phase: Phase::Completed }]));
        let mut of_another_shard = goes_on.clone();
        of_another_shard[0].shard = ShardId(2);
        let mut cut = goes_on.clone();
        cut[0].records.pop();
        let mut two_snapshots = vec![goes_on[0].clone(), goes_on[0].clone()];
        two_snapshots[0].snapshot = Some(Vec::new().into());
        let of_an_unknown = {
            let mut other = World::new();
            other.commit(&begin(Phase::Running));
            other.now += 1;
            other.commit(&begin(Phase::Running));
            other.commit(&commit(vec![Op::GoOn { which: index(usize::MAX), phase: Phase::Completed }]))
        };
        for batches in [running, of_another_shard, cut, two_snapshots, of_an_unknown] {
            let refused = journal.append(world.time(), &batches);
            assert!(matches!(refused, Err(JournalError::Refused { .. })), "{refused:?}");
            stored.check(&journal.reader());
        }
        journal.append(world.time(), &goes_on).expect("appended");
        world.check(&journal.reader());
    });
}

/// Of any number of things the first, or with `usize::MAX` the last.
fn index(at: usize) -> prop::sample::Index {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let any = any::<prop::sample::Index>();
    let mut indexes = (0..1_000).map(|_| any.new_tree(&mut runner).expect("an index").current());
    indexes.find(|found| found.index(2) == at.min(1)).expect("one of them")
}

#[test]
fn records_are_walked_in_both_directions_from_any_place() {
    on_each_storage(|storage| {
        let (mut journal, _) = open(&storage);
        let mut world = World::new();
        for commit in everything(30) {
            let batches = world.commit(&commit);
            journal.append(world.time(), &batches).expect("appended");
        }
        let reader = journal.reader();
        let mut places = Vec::new();
        let mut each = |place: Place, _: trinity_engine::wire::record::ExecutionHeader, history: &[u8]| {
            assert!(!history.is_empty());
            places.push(place);
            ControlFlow::Continue(())
        };
        reader.records_forward(None, &mut each).expect("records");
        assert!(places.is_sorted() && places.len() == world.records.len());
        for at in 0..places.len() {
            let (mut next, mut previous) = (None, None);
            let mut first = |place, _, _: &[u8]| {
                next = Some(place);
                ControlFlow::Break(())
            };
            reader.records_forward(Some(places[at]), &mut first).expect("records");
            let mut last = |place, _, _: &[u8]| {
                previous = Some(place);
                ControlFlow::Break(())
            };
            reader.records_back(Some(places[at]), &mut last).expect("records");
            assert_eq!(next, places.get(at + 1).copied());
            assert_eq!(previous, at.checked_sub(1).map(|before| places[before]));
        }
    });
}

#[test]
fn what_was_never_stored_is_not_found() {
    on_each_storage(|storage| {
        let (journal, _) = open(&storage);
        let reader = journal.reader();
        let id = ExecutionId::new(Timestamp::from_millis(1), ShardId(0), 0);
        assert_eq!(reader.execution(id).expect("readable"), None);
        assert_eq!((reader.oldest(), reader.bytes()), (None, 0));
        World::new().check(&reader);
    });
}

#[test]
fn a_block_longer_than_a_segment_gets_one_of_its_length() {
    on_each_storage(|storage| {
        let mut world = World::new();
        let (mut journal, _) = open(&storage);
        let ops = (0..200).map(|at| Op::Begin { shard: at % 3, definition: 9, phase: Phase::Completed }).collect();
        for commit in [begin(Phase::Completed), commit(ops), begin(Phase::Waiting)] {
            let batches = world.commit(&commit);
            journal.append(world.time(), &batches).expect("appended");
        }
        world.check(&journal.reader());
    });
}

#[test]
fn a_list_made_while_executions_end_has_each_of_them_once() {
    on_each_storage(|storage| {
        let (mut journal, _) = open(&storage);
        let mut world = World::new();
        let ops = (0..60).map(|at| Op::Begin { shard: at % 3, definition: 1, phase: Phase::Waiting }).collect();
        let batches = world.commit(&commit(ops));
        journal.append(world.time(), &batches).expect("appended");
        let ids: Vec<_> = world.stored.keys().rev().copied().collect();
        let reader = journal.reader();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let lister = scope.spawn(|| {
                let mut lists = 0;
                while (!done.load(Ordering::Acquire) && lists < 100_000) || lists == 0 {
                    let page = reader.list(&ListQuery { limit: usize::MAX, ..ListQuery::default() }).expect("a list");
                    assert!(page.items.iter().map(|item| item.id).eq(ids.iter().copied()), "{:?}", page.items);
                    lists += 1;
                }
            });
            for _ in 0..60 {
                let batches = world.commit(&commit(vec![Op::GoOn { which: index(0), phase: Phase::Completed }]));
                journal.append(world.time(), &batches).expect("appended");
            }
            done.store(true, Ordering::Release);
            lister.join().expect("every list is whole");
        });
        world.check(&reader);
    });
}

#[test]
fn one_faulted_among_many_is_found_without_reading_all_blocks() {
    let many = |count| (0..count).map(|_| begin(Phase::Completed));
    let commits: Vec<_> = many(300).chain([begin(Phase::Faulted)]).chain(many(300)).collect();
    let (disk, journal, world) = journal_with(&commits);
    let reader = journal.reader();
    let query = ListQuery { phase: Some(Phase::Faulted), limit: 10, ..ListQuery::default() };
    let before = disk.reads();
    let page = reader.list(&query).expect("a page");
    assert_eq!(page.items, world.list(&query));
    let id = page.items[0].id;
    assert_eq!(reader.execution(id).expect("readable").as_ref(), Some(&world.stored[&id]));
    // The index of its segment, in two parts, and its block twice.
    assert!(disk.reads() - before <= 4, "{} reads", disk.reads() - before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_list_equals_that_of_a_plain_model(
        commits in commits(40),
        phase in prop::option::of(prop::sample::select(Phase::ALL.to_vec())),
        definitions in prop::option::of(prop::collection::vec(0..5_u32, 0..3)),
        (from, to) in (prop::option::of(0..300_u64), prop::option::of(0..300_u64)),
        limit in 0..12_usize,
    ) {
        let (_, journal, world) = journal_with(&commits);
        let start = World::new().now;
        let definitions = definitions.map(|all| all.into_iter().map(DefinitionId).collect());
        let time = |millis: u64| Timestamp(Timestamp::from_millis(start + millis).0 - 100 + millis % 3 * 100);
        let (from, to) = (from.map(time), to.map(time));
        let mut query = ListQuery { definitions, phase, from, to, before: None, limit };
        loop {
            let page = journal.reader().list(&query).expect("a page");
            let expected = world.list(&query);
            prop_assert_eq!(&page.items, &expected);
            query.before = page.next;
            if page.next.is_none() {
                let rest = world.list(&ListQuery { before: expected.last().map(|last| last.id).or(query.before), ..query.clone() });
                prop_assert!(limit == 0 || expected.is_empty() || rest.is_empty(), "the last page is the last");
                break;
            }
        }
    }
}
