//! Deliberate defects, to know that the simulator finds such: each is switched on alone. They sit where the real code meets
//! its surroundings (what is stored, what is released, the disk, the clock), so the product knows nothing of them.

use std::sync::Arc;

use trinity_actors::journal::{JournalError, Recovery, ShardBatch};
use trinity_actors::pipeline::Step;
use trinity_engine::history::Phase;
use trinity_engine::ids::ShardId;
use trinity_engine::input::{Note, ShardInput};
use trinity_engine::shard::{Catalog, Settings, Shard, ShardEffect};
use trinity_engine::time::Timestamp;
use trinity_engine::wire::codec::{Reader, Writer};
use trinity_engine::wire::record::{KIND_SHARD_MIN, RecordRef, Records, write_execution, write_shard};

use crate::node::Cell;
use crate::time::Moment;
use crate::workflows::PARENT;

macro_rules! defects {
    ($($name:ident: $what:literal,)*) => {
        /// What can be wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Defect { $(#[doc = $what] $name,)* }

        impl Defect {
            /// All of them, with what is wrong.
            pub const ALL: &[(Defect, &str)] = &[$((Defect::$name, $what),)*];
        }
    };
}

defects! {
    EffectsBeforeCommit: "what a step releases leaves before the step is durable",
    AcknowledgedOnArrival: "a source is acknowledged when the shard has its messages",
    CheckpointAhead: "a source is acknowledged when one of its shards has committed",
    GapTaken: "a source goes on behind messages that were lost with a shard",
    LostSync: "the disk says that a sync was done, and it was not",
    OpenedUnsynced: "what a killed process had written is served before it is synced",
    BatchLeftOut: "of a block of several shards the last batch is not stored",
    SeenNotStored: "keys of messages that were seen are not stored",
    WindowTooSmall: "only the last of the keys that a step has seen is remembered",
    OffsetNotStored: "how far a log was read is not stored",
    RequestNotStored: "idempotency keys of requests are not stored",
    MarkNotStored: "which messages of other shards were taken is not stored",
    OutboxNotStored: "messages for other shards are not stored",
    OutboxNotInSnapshot: "a snapshot leaves out the messages for other shards",
    ScheduleNotStored: "when a schedule is next due is not stored",
    CancelNotStored: "that an execution was cancelled is not stored",
    ParentNotTold: "how a child ended is not stored with its parent",
    EndForgotten: "a shard that comes back forgets which executions ended",
    SnapshotEarly: "a snapshot holds the state before the step that it comes with",
    NoFence: "a shard comes back before its last steps are durable",
    TimersForgotten: "a shard that comes back looks at its timers only when something else happens",
    CallsForgotten: "a shard that comes back does not make again the calls that were under way",
    KeyChanges: "a call that is made again has another idempotency key",
    DeliveredEarly: "an event counts as delivered before a sink has it",
    ClockFollowsBack: "the node follows its wall clock back",
    TimersEarly: "a clock that was set back makes timers early",
    NewestVersion: "executions go on with the newest version of their definition",
}

/// What a run is made with besides its choices.
#[derive(Clone, Copy, Default, Debug)]
pub struct Handicap {
    pub defect: Option<Defect>,
    /// The states of shards are not looked at: what is wrong must show outside.
    pub blind: bool,
}

/// The kinds of a shard's own records (`docs/journal.md`).
const SEEN: u8 = KIND_SHARD_MIN;
const OFFSET: u8 = KIND_SHARD_MIN + 1;
const OUTBOX: u8 = KIND_SHARD_MIN + 2;
const MARK: u8 = KIND_SHARD_MIN + 3;
const REQUEST: u8 = KIND_SHARD_MIN + 4;
const SCHEDULE: u8 = KIND_SHARD_MIN + 7;

/// What a step hands over.
pub fn on_step(defect: Defect, cell: &Cell, settings: &Settings, catalog: &Arc<Catalog>, step: &mut Step) {
    match defect {
        Defect::SeenNotStored => leave_out(step, |record| is_own(record, SEEN)),
        Defect::OffsetNotStored => leave_out(step, |record| is_own(record, OFFSET)),
        Defect::OutboxNotStored => leave_out(step, |record| is_own(record, OUTBOX)),
        Defect::MarkNotStored => leave_out(step, |record| is_own(record, MARK)),
        Defect::RequestNotStored => leave_out(step, |record| is_own(record, REQUEST)),
        Defect::ScheduleNotStored => leave_out(step, |record| is_own(record, SCHEDULE)),
        Defect::WindowTooSmall => step.records = rewritten(&step.records, only_last_seen),
        Defect::CancelNotStored => leave_out(
            step,
            |record| matches!(record, RecordRef::Execution { header, .. } if header.phase == Phase::Cancelled),
        ),
        Defect::ParentNotTold => leave_out(step, |record| {
            let ended = matches!(record, RecordRef::Execution { header, .. } if header.ends && !header.begins);
            ended && matches!(record, RecordRef::Execution { header, .. } if header.definition == PARENT)
        }),
        Defect::SnapshotEarly => step.snapshot = step.snapshot.take().and(cell.before.clone().map(Into::into)),
        // A shard that waits for others takes notes and does nothing else: the state stays the same otherwise.
        Defect::OutboxNotInSnapshot if catalog.shards() > 1 => {
            step.snapshot = step.snapshot.take().map(|state| {
                let id = step.shard;
                let shard = Shard::from_snapshot(id, settings.clone(), catalog.clone(), &state.to_vec());
                let mut shard = shard.expect("a readable snapshot");
                drop(shard.recovered(Timestamp(0)));
                let arrived = |to| ShardInput::Note { from: ShardId(to), note: Note::Absorbed { sequence: u64::MAX } };
                shard.step(&mut (0..catalog.shards()).map(arrived).collect(), Timestamp(0));
                shard.snapshot()
            });
        }
        _ => {}
    }
}

fn is_own(record: &RecordRef<'_>, wanted: u8) -> bool {
    matches!(record, RecordRef::Shard { kind, .. } if *kind == wanted)
}

fn leave_out(step: &mut Step, which: impl Fn(&RecordRef<'_>) -> bool) {
    step.records = rewritten(&step.records, |record, out| {
        if !which(record) {
            copy(record, out)
        }
    });
}

fn rewritten(records: &[u8], write: impl Fn(&RecordRef<'_>, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    for record in Records::new(records) {
        write(&record.expect("what was just written"), &mut out);
    }
    out
}

fn copy(record: &RecordRef<'_>, out: &mut Vec<u8>) {
    match record {
        RecordRef::Shard { kind, bytes } => write_shard(out, *kind, |out| out.extend_from_slice(bytes)),
        RecordRef::Execution { header, history, tail } => {
            write_execution(out, header, |out| out.extend_from_slice(history), |out| out.extend_from_slice(tail));
        }
    }
}

fn only_last_seen(record: &RecordRef<'_>, out: &mut Vec<u8>) {
    match record {
        RecordRef::Shard { kind: SEEN, bytes } => {
            let keys = Reader::new(bytes).list(Reader::u128).expect("what was just written");
            write_shard(out, SEEN, |out| Writer { out }.list(keys.iter().rev().take(1), |w, key| w.u128(*key)));
        }
        other => copy(other, out),
    }
}

/// Whether the state before a step is needed.
pub fn wants_state_before(defect: Option<Defect>) -> bool {
    defect == Some(Defect::SnapshotEarly)
}

/// What a shard releases; `first`: what it asks for again when it comes back.
pub fn on_release(defect: Option<Defect>, first: bool, effects: &mut Vec<ShardEffect>) {
    match defect {
        Some(Defect::CallsForgotten) if first => effects.retain(|effect| !matches!(effect, ShardEffect::Call { .. })),
        Some(Defect::KeyChanges) if first => {
            for effect in effects {
                if let ShardEffect::Call { request, .. } = effect {
                    request.idempotency_key.push_str("-again");
                }
            }
        }
        _ => {}
    }
}

/// What the committer appends.
pub fn on_append(defect: Option<Defect>, batches: &[ShardBatch]) -> &[ShardBatch] {
    match batches {
        [kept @ .., last] if defect == Some(Defect::BatchLeftOut) && kept.iter().any(|b| b.shard != last.shard) => kept,
        all => all,
    }
}

/// The time of a step.
pub fn time(defect: Option<Defect>, now: Timestamp, moment: Moment) -> Timestamp {
    match defect {
        Some(Defect::TimersEarly) => Timestamp(now.micros() + moment.back),
        _ => now,
    }
}

/// A shard as it comes back without knowing who ended.
pub fn forgetful(recovery: &Recovery, id: ShardId, settings: Settings, catalog: Arc<Catalog>) -> Shard {
    let mut shard = match recovery.snapshot(id).expect("a readable snapshot") {
        Some(bytes) => Shard::from_snapshot(id, settings, catalog, &bytes).expect("a readable snapshot"),
        None => Shard::new(id, settings, catalog),
    };
    let replayed = recovery.replay(|other, records: &[u8]| {
        if other == id {
            let kept = rewritten(records, |record, out| {
                let ends = matches!(record, RecordRef::Execution { header, .. } if header.ends && !header.begins);
                if !ends {
                    copy(record, out);
                }
            });
            shard.replay(&kept).expect("readable records");
        }
        Ok::<(), JournalError>(())
    });
    replayed.expect("a readable journal");
    shard
}
