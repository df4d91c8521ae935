//! Crashes, flipped bits, failing syncs and full disks.

use std::ops::ControlFlow;

use proptest::prelude::*;
use trinity_engine::history::Phase;
use trinity_engine::wire::record::ExecutionHeader;

use super::super::segment::SEGMENT_HEADER_BYTES;
use super::super::*;
use super::support::{Commit, Op, World, commit, commits, journal_with, open, options};

/// A disk on which the last commit was written and not synced, and what is stored without and with it.
fn last_unsynced(commits: &[Commit]) -> (MemoryDisk, World, World) {
    let (last, before) = commits.split_last().expect("at least one");
    let (disk, mut journal, world) = journal_with(before);
    let mut after = world.clone();
    let batches = after.commit(last);
    // Both the sync of the old segment and that of a new one fail: the caller is told that nothing was stored.
    disk.fail_syncs(2, 0);
    let appended = journal.append(after.time(), &batches);
    assert!(matches!(appended, Err(JournalError::Disk { .. })), "{appended:?}");
    world.check(&journal.reader());
    (disk.crashed(0), world, after)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn after_a_crash_at_any_byte_of_the_last_append_all_acknowledged_is_there(commits in commits(12), mut last in commit()) {
        // It would be stored before the sync returned, as it can't be.
        last.snapshots.clear();
        let (disk, mut journal, world) = journal_with(&commits);
        let mut after = world.clone();
        let batches = after.commit(&last);
        // The write is caught between the write and the sync.
        disk.hold_syncs(true);
        journal.append(after.time(), &batches).expect("it believes so");
        let written = disk.unsynced_bytes();
        for kept in 0..=written {
            let crashed = disk.crashed(kept);
            let (mut reopened, recovery) = open(&Storage::Memory(crashed.clone()));
            let whole = reopened.reader().list(&ListQuery { limit: usize::MAX, ..ListQuery::default() }).expect("a list");
            let stored = if whole.items == after.list(&ListQuery { limit: usize::MAX, ..ListQuery::default() })
                && reopened.next == journal.next { &after } else { &world };
            if stored.records.len() == after.records.len() && after.records.len() > world.records.len() {
                prop_assert!(kept + 24 >= written, "only the whole block counts, whatever is torn of its padding and end");
            }
            stored.check_recovery(&recovery);
            stored.check(&reopened.reader());
            // And it goes on from there.
            let mut world = stored.clone();
            let batches = world.commit(&last);
            reopened.append(world.time(), &batches).expect("appended");
            drop(reopened);
            let (reopened, recovery) = open(&Storage::Memory(crashed));
            world.check_recovery(&recovery);
            world.check(&reopened.reader());
        }
    }

    #[test]
    fn a_flipped_bit_is_found_or_changes_nothing(commits in commits(12), file: prop::sample::Index, place: prop::sample::Index) {
        let (disk, journal, world) = journal_with(&commits);
        drop(journal);
        let names = disk.names();
        let name = file.get(&names);
        let bits = disk.content(name).expect("a file").len() * 8;
        prop_assume!(bits > 0);
        disk.flip(name, place.index(bits));
        let (journal, recovery) = match Journal::open(Storage::Memory(disk), options()) {
            Ok(opened) => opened,
            Err(JournalError::Damaged { .. } | JournalError::Version { .. }) => return Ok(()),
            Err(error) => panic!("{error}"),
        };
        let replayed = recovery.replay(|_, _| Ok::<(), JournalError>(()));
        if matches!(replayed, Err(JournalError::Damaged { .. })) {
            return Ok(());
        }
        // A full segment whose blocks nobody has to replay is not read when the journal is opened, but when it is read.
        let mut each = |_: Place, _: ExecutionHeader, _: &[u8]| ControlFlow::Continue(());
        if matches!(journal.reader().records_forward(None, &mut each), Err(JournalError::Damaged { .. })) {
            return Ok(());
        }
        // It hit zeros behind the last block, the mark, or something that the blocks make up for.
        world.check_recovery(&recovery);
        world.check(&journal.reader());
    }
}

#[test]
fn after_failed_syncs_the_same_batches_go_to_a_new_segment_and_are_served_once() {
    for (failing, reached) in [(1, 0), (1, usize::MAX), (2, 0), (2, usize::MAX), (3, 0), (3, usize::MAX)] {
        let (disk, mut journal, mut world) = journal_with(&[begin(), begin(), begin()]);
        let stored = world.clone();
        let batches = world.commit(&begin());
        disk.fail_syncs(failing, reached);
        while let Err(error) = journal.append(world.time(), &batches) {
            assert!(matches!(error, JournalError::Disk { .. }), "{error}");
            stored.check(&journal.reader());
        }
        world.check(&journal.reader());
        for left in [disk.crashed(0), disk.crashed(usize::MAX), disk.killed()] {
            let (reopened, recovery) = open(&Storage::Memory(left));
            world.check_recovery(&recovery);
            world.check(&reopened.reader());
        }
        let more = world.commit(&begin());
        journal.append(world.time(), &more).expect("it goes on");
        drop(journal);
        let (reopened, recovery) = open(&Storage::Memory(disk));
        world.check_recovery(&recovery);
        world.check(&reopened.reader());
    }
}

#[test]
fn what_was_cut_never_comes_back_behind_a_block_of_the_same_length() {
    let disk = MemoryDisk::new();
    let relaxed = Options { durability: Durability::Relaxed, ..options() };
    let (mut journal, _) = Journal::open(Storage::Memory(disk.clone()), relaxed.clone()).expect("opened");
    let own = Commit { ops: vec![Op::Own { shard: 1 }], millis: 3, back: false, snapshots: Vec::new() };
    let mut world = World::new();
    let mut kept = world.clone();
    for at in 0..3 {
        let batches = world.commit(&own);
        journal.append(world.time(), &batches).expect("appended");
        if at == 0 {
            kept = world.clone();
        }
    }
    // The first block is synced with its segment; of the other two the disk stored only the later one.
    let crashed = disk.crashed_keeping(|_, number| number == 1);
    let (mut reopened, recovery) = Journal::open(Storage::Memory(crashed.clone()), relaxed).expect("opened");
    kept.check_recovery(&recovery);
    let batches = kept.commit(&own);
    reopened.append(kept.time(), &batches).expect("appended");
    reopened.sync().expect("synced");
    let (_, recovery) = open(&Storage::Memory(crashed.copy()));
    kept.check_recovery(&recovery);
}

#[test]
fn an_append_that_failed_for_good_may_be_there_after_a_crash_but_never_in_part() {
    let (disk, without, _) = last_unsynced(&[begin(), begin(), begin()]);
    let (reopened, recovery) = open(&Storage::Memory(disk));
    without.check_recovery(&recovery);
    without.check(&reopened.reader());
}

/// The sync of a block failed, and the power failed while it was written to a new segment: of that its header is left, whole or
/// damaged, or less. The block in the old segment counts or not, but the same in each case.
#[test]
fn a_header_without_a_block_hides_nothing() {
    let (disk, mut journal, world) = journal_with(&[begin(), begin(), begin()]);
    let mut after = world.clone();
    let batches = after.commit(&begin());
    disk.fail_syncs(1, usize::MAX);
    // It is written, and its sync fails; a new segment is made, and the power fails with the write to it.
    disk.fail_at(4);
    let appended = journal.append(after.time(), &batches);
    assert!(matches!(appended, Err(JournalError::Disk { .. })), "{appended:?}");
    let header = disk.crashed(SEGMENT_HEADER_BYTES);
    let last = header.names().into_iter().rfind(|name| name.ends_with(".segment")).expect("a segment");
    let written = header.content(&last).expect("it is there").iter().rposition(|&byte| byte != 0);
    assert!(written < Some(SEGMENT_HEADER_BYTES), "{written:?}");
    let flipped = (0..SEGMENT_HEADER_BYTES * 8).map(|bit| {
        let flipped = header.copy();
        assert!(flipped.flip(&last, bit));
        flipped
    });
    let torn = (0..=SEGMENT_HEADER_BYTES + 40).map(|kept| disk.crashed(kept));
    for left in torn.chain(flipped) {
        let (mut reopened, recovery) = open(&Storage::Memory(left.clone()));
        after.check_recovery(&recovery);
        after.check(&reopened.reader());
        let mut world = after.clone();
        let batches = world.commit(&begin());
        reopened.append(world.time(), &batches).expect("it goes on");
        let (reopened, recovery) = open(&Storage::Memory(left.crashed(0)));
        world.check_recovery(&recovery);
        world.check(&reopened.reader());
    }
}

#[test]
fn what_a_killed_process_had_written_is_on_the_disk_before_it_is_served() {
    let unsynced = |disk: &MemoryDisk| disk.hold_syncs(true);
    let failed = |disk: &MemoryDisk| disk.fail_syncs(2, 0);
    for (harm, blocks) in [(&unsynced as &dyn Fn(&MemoryDisk), 1), (&unsynced, 4), (&failed, 1), (&failed, 4)] {
        let (disk, mut journal, world) = journal_with(&vec![begin(); blocks]);
        let mut after = world.clone();
        let batches = after.commit(&begin());
        harm(&disk);
        let _ = journal.append(after.time(), &batches);
        let without = disk.crashed(0);
        let (_, recovery) = open(&Storage::Memory(without));
        world.check_recovery(&recovery);
        // Nobody lost the power: it can be read.
        let left = disk.killed();
        let (_, recovery) = open(&Storage::Memory(left.clone()));
        after.check_recovery(&recovery);
        // It was served, so that it must not be lost any more.
        let (reopened, recovery) = open(&Storage::Memory(left.crashed(0)));
        after.check_recovery(&recovery);
        after.check(&reopened.reader());
    }
}

#[test]
fn a_full_disk_refuses_and_takes_the_same_batches_when_there_is_space_again() {
    let (disk, mut journal, mut world) = journal_with(&[]);
    disk.set_capacity(Some(4_500));
    let mut refused = 0;
    for _ in 0..60 {
        let stored = world.clone();
        let batches = world.commit(&begin());
        if let Err(error) = journal.append(world.time(), &batches) {
            assert!(matches!(error, JournalError::Full), "{error}");
            refused += 1;
            stored.check(&journal.reader());
            let (reopened, recovery) = open(&Storage::Memory(disk.copy()));
            stored.check_recovery(&recovery);
            stored.check(&reopened.reader());
            disk.set_capacity(Some(disk.bytes_used() + 2_000));
            journal.append(world.time(), &batches).expect("there is space again");
        }
        world.check(&journal.reader());
    }
    assert!(refused > 2, "{refused}");
}

fn begin() -> Commit {
    let ops = vec![Op::Begin { shard: 1, definition: 2, phase: Phase::Completed }];
    Commit { ops, millis: 3, back: false, snapshots: Vec::new() }
}
