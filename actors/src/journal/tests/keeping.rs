//! What is kept beside the blocks, and for how long: indexes, live executions, snapshots, retention, relaxed syncs.

use std::time::Duration;

use proptest::prelude::*;
use trinity_engine::history::Phase;
use trinity_engine::ids::ShardId;
use trinity_engine::time::Timestamp;

use super::super::*;
use super::support::{Commit, Op, World, commits, journal_with, on_each_storage, open, options};

fn begin(shard: u16, phase: Phase, snapshots: &[u16]) -> Commit {
    let ops = vec![Op::Begin { shard, definition: 2, phase }];
    Commit { ops, millis: 10, back: false, snapshots: snapshots.to_vec() }
}

fn append(journal: &mut Journal, world: &mut World, commit: &Commit) {
    let batches = world.commit(commit);
    journal.append(world.time(), &batches).expect("appended");
}

/// Takes from the model what is gone with the segments before a block.
fn drop_before(world: &mut World, reader: &Reader, block: u64) {
    let mut records = world.records.clone();
    let mut first = None;
    let mut each = |place: Place, header: trinity_engine::wire::record::ExecutionHeader, _: &[u8]| {
        first.get_or_insert((place.block, header.id));
        std::ops::ControlFlow::Break(())
    };
    reader.records_forward(None, &mut each).expect("records");
    let (found, id) = first.expect("a record");
    assert!(found >= block);
    let at = records.iter().position(|(other, _)| *other == id).expect("known");
    records.drain(..at);
    let begins =
        |id| world.records[at..].iter().filter(|(other, _)| *other == id).count() == world.stored[&id].history.len();
    let gone: Vec<_> = world.stored.keys().copied().filter(|&id| !begins(id)).collect();
    gone.iter().for_each(|id| drop(world.stored.remove(id)));
    world.records = records;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn indexes_and_live_executions_only_repeat_what_the_blocks_say(commits in commits(120), lost: prop::sample::Index) {
        let (disk, journal, world) = journal_with(&commits);
        drop(journal);
        let kept_beside = |name: &&String| name.ends_with(".index") || name.ends_with(".live");
        let names: Vec<String> = disk.names().iter().filter(kept_beside).cloned().collect();
        // All of them there, one lost, one damaged, all lost.
        for damage in 0..4 {
            let disk = disk.copy();
            match damage {
                1 if !names.is_empty() => disk.lose(&names[lost.index(names.len())]),
                2 if !names.is_empty() => {
                    let bits = disk.content(&names[lost.index(names.len())]).expect("a file").len() * 8;
                    disk.flip(&names[lost.index(names.len())], lost.index(bits));
                }
                3 => names.iter().for_each(|name| disk.lose(name)),
                _ => {}
            }
            let (journal, recovery) = open(&Storage::Memory(disk.clone()));
            world.check_recovery(&recovery);
            world.check(&journal.reader());
            // And when they are lost while it is open.
            names.iter().for_each(|name| disk.lose(name));
            world.check(&journal.reader());
        }
    }

    #[test]
    fn with_snapshots_the_shards_recover_what_they_do_without(commits in commits(60)) {
        let (disk, journal, world) = journal_with(&commits);
        drop(journal);
        let without = disk.copy();
        for name in without.names().iter().filter(|name| name.ends_with(".snapshot")) {
            without.lose(name);
        }
        for disk in [disk, without] {
            let (_journal, recovery) = open(&Storage::Memory(disk));
            world.check_recovery(&recovery);
        }
    }

    #[test]
    fn what_relaxed_syncs_lose_is_only_the_end(
        commits in commits(20), sync_at in 0..20_usize, kept in prop::collection::vec(any::<bool>(), 40),
    ) {
        let disk = MemoryDisk::new();
        let relaxed = Options { durability: Durability::Relaxed, segment_bytes: 3_000, ..options() };
        let (mut journal, _) = Journal::open(Storage::Memory(disk.clone()), relaxed.clone()).expect("opened");
        let (mut world, mut worlds) = (World::new(), vec![World::new()]);
        let mut synced = 0;
        for (at, commit) in commits.iter().enumerate() {
            append(&mut journal, &mut world, commit);
            worlds.push(world.clone());
            if at == sync_at {
                journal.sync().expect("synced");
                synced = at + 1;
            }
        }
        world.check(&journal.reader());
        // The disk stored some of the writes that were not synced, in any order.
        let crashed = disk.crashed_keeping(|_, number| kept[number % kept.len()]);
        let (reopened, recovery) = Journal::open(Storage::Memory(crashed), relaxed).expect("opened");
        let blocks = usize::try_from(reopened.next - 1).expect("few");
        prop_assert!((synced..=commits.len()).contains(&blocks), "{blocks} blocks are left, {synced} were synced");
        worlds[blocks].check_recovery(&recovery);
        worlds[blocks].check(&reopened.reader());
    }

    #[test]
    fn after_a_failed_relaxed_sync_all_of_it_goes_to_a_new_segment(commits in commits(20), fails_at in 0..20_usize) {
        let disk = MemoryDisk::new();
        let relaxed = Options { durability: Durability::Relaxed, segment_bytes: 3_000, ..options() };
        let (mut journal, _) = Journal::open(Storage::Memory(disk.clone()), relaxed.clone()).expect("opened");
        let mut world = World::new();
        for (at, commit) in commits.iter().enumerate() {
            append(&mut journal, &mut world, commit);
            if at == fails_at {
                disk.fail_syncs(1, 0);
                // Nothing may wait for a sync just then.
                let _ = journal.sync();
                disk.fail_syncs(0, 0);
                world.check(&journal.reader());
            }
        }
        world.check(&journal.reader());
        append(&mut journal, &mut world, &begin(0, Phase::Running, &[]));
        journal.sync().expect("synced");
        let (reopened, recovery) = Journal::open(Storage::Memory(disk.crashed(0)), relaxed).expect("opened");
        world.check_recovery(&recovery);
        world.check(&reopened.reader());
    }
}

#[test]
fn old_segments_go_when_nothing_needs_them_and_what_needs_them_is_told() {
    on_each_storage(|storage| {
        let retention = Retention { age: Some(Duration::from_millis(100)), bytes: None };
        let with_retention = Options { retention, ..options() };
        let (mut journal, _) = Journal::open(storage.clone(), with_retention.clone()).expect("opened");
        let mut world = World::new();
        append(&mut journal, &mut world, &begin(1, Phase::Waiting, &[]));
        let waiting = *world.stored.keys().next().expect("one");
        for _ in 0..30 {
            append(&mut journal, &mut world, &begin(0, Phase::Completed, &[]));
        }
        assert_eq!(journal.retain(Timestamp::from_millis(world.now - 300)).expect("retained"), 0);
        assert_eq!(journal.held_back(), None, "nothing is old enough");
        let now = Timestamp::from_millis(world.now + 50);
        assert_eq!(journal.retain(now).expect("retained"), 0);
        assert_eq!(journal.held_back(), Some(HeldBack::Execution(waiting)));
        world.check(&journal.reader());

        let goes_on = Op::GoOn { which: index(), phase: Phase::Completed };
        append(&mut journal, &mut world, &Commit { ops: vec![goes_on], ..begin(1, Phase::Completed, &[1]) });
        journal.settle();
        assert_eq!(journal.retain(now).expect("retained"), 0);
        assert_eq!(journal.held_back(), Some(HeldBack::Shard(ShardId(0))));
        append(&mut journal, &mut world, &begin(0, Phase::Completed, &[0]));
        journal.settle();
        let (bytes, oldest) = (journal.reader().bytes(), journal.reader().oldest());
        let dropped = journal.retain(now).expect("retained");
        assert!(dropped >= 3, "{dropped} segments were dropped");
        assert_eq!(journal.held_back(), None);
        assert!(journal.reader().bytes() < bytes && journal.reader().oldest() > oldest);
        assert_eq!(journal.reader().execution(waiting).expect("readable"), None, "it is gone with its beginning");
        drop_before(&mut world, &journal.reader(), 2);
        world.check(&journal.reader());
        drop(journal);
        let (journal, recovery) = Journal::open(storage, with_retention).expect("opened");
        world.check_recovery(&recovery);
        world.check(&journal.reader());
    });
}

fn index() -> prop::sample::Index {
    use proptest::strategy::ValueTree;
    any::<prop::sample::Index>()
        .new_tree(&mut proptest::test_runner::TestRunner::deterministic())
        .expect("one")
        .current()
}

#[test]
fn retention_by_length_keeps_the_newest_segments() {
    on_each_storage(|storage| {
        let retention = Retention { age: None, bytes: Some(5_000) };
        let (mut journal, _) = Journal::open(storage, Options { retention, ..options() }).expect("opened");
        let mut world = World::new();
        for _ in 0..60 {
            append(&mut journal, &mut world, &begin(0, Phase::Completed, &[0]));
        }
        journal.settle();
        assert!(journal.reader().bytes() > 10_000);
        assert!(journal.retain(world.time()).expect("retained") > 4);
        assert!((4_000..=5_000).contains(&journal.reader().bytes()), "{} bytes", journal.reader().bytes());
        drop_before(&mut world, &journal.reader(), 10);
        world.check(&journal.reader());
        // By index again from its files, after the first ones are gone.
        append(&mut journal, &mut world, &begin(0, Phase::Waiting, &[]));
        world.check(&journal.reader());
    });
}

#[test]
fn a_snapshot_of_blocks_that_are_gone_is_damage() {
    let (disk, journal, _) = journal_with(&[begin(0, Phase::Completed, &[]), begin(0, Phase::Completed, &[0])]);
    drop(journal);
    for name in disk.names().iter().filter(|name| name.ends_with(".segment")) {
        disk.lose(name);
    }
    let opened = Journal::open(Storage::Memory(disk), options());
    assert!(matches!(opened, Err(JournalError::Damaged { .. })), "{opened:?}");
}

#[test]
fn the_keeper_syncs_what_was_appended_relaxed_and_stores_what_it_was_given() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage = Storage::Directory(directory.path().to_owned());
    let relaxed = Options { durability: Durability::Relaxed, ..options() };
    let (mut journal, _) = Journal::open(storage.clone(), relaxed.clone()).expect("opened");
    let mut world = World::new();
    for at in 0..100 {
        append(&mut journal, &mut world, &begin(at % 3, Phase::Waiting, &[at % 3]));
    }
    journal.settle();
    let names =
        || std::fs::read_dir(directory.path()).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let of = |ending: &str| names().filter(|name| name.to_string_lossy().ends_with(ending)).count();
    assert_eq!(of(".snapshot"), 3);
    assert!(of(".index") > 5 && of(".live") == 1 && of(".tmp") == 0);
    drop(journal);
    let (journal, recovery) = Journal::open(storage, relaxed).expect("opened");
    world.check_recovery(&recovery);
    world.check(&journal.reader());
}
