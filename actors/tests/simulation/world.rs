//! The run of one seed: what happens is drawn, until all comes to rest and the invariants are looked at.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Semaphore;
use trinity_actors::journal::{MemoryDisk, Place};
use trinity_actors::pipeline::SnapshotRule;
use trinity_engine::ids::ShardId;
use trinity_engine::input::{Control, ReplyToken, ShardInput};
use trinity_engine::wire::record::ExecutionHeader;

use crate::choices::{Case, Choices};
use crate::defects::Handicap;
use crate::invariants::{Invariant, violated};
use crate::ledger::Ledger;
use crate::log::Log;
use crate::neighbours::{Ask, Kind, Published, Running, Seen, Source};
use crate::node::{Node, Setup};
use crate::time::Time;
use crate::workflows::{SHARDS_MAX, Stage, TICK, catalog};

macro_rules! totals {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What was seen, to know that the simulation tests something.
        #[derive(Default, Clone, Copy, Debug)]
        pub struct Totals { $($(#[$doc])* pub $name: u64,)* }

        impl Totals {
            pub fn add(&mut self, other: &Totals) {
                $(self.$name += other.$name;)*
            }

            /// All of them by name.
            pub fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

totals! {
    seeds,
    happenings,
    executions,
    blocks,
    kills,
    power_losses,
    crashes_in_recovery,
    shard_failures,
    full_disks,
    failed_syncs,
    flipped_bits,
    clock_settings,
    reconnections,
    updates,
    restarts,
    dropped_segments,
    duplicates,
    repeated_calls,
    compared_states,
    /// Virtual time that passed, in microseconds.
    micros,
}

/// What may happen, in the order of the weights; the first is the plainest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happening {
    Act,
    Commit,
    Pass,
    Publish,
    Read,
    Acknowledge,
    Ask,
    Answer,
    Sink,
    Revive,
    Compare,
    Crash,
    FailShard,
    SetClock,
    Disk,
    Reconnect,
    Update,
    Restart,
    Tidy,
}

/// All of them with how often they happen when nothing is left out.
const HAPPENINGS: [(Happening, u64); 19] = [
    (Happening::Act, 300),
    (Happening::Commit, 150),
    (Happening::Pass, 80),
    (Happening::Publish, 70),
    (Happening::Read, 60),
    (Happening::Acknowledge, 30),
    (Happening::Ask, 70),
    (Happening::Answer, 50),
    (Happening::Sink, 25),
    (Happening::Revive, 40),
    (Happening::Compare, 8),
    (Happening::Crash, 14),
    (Happening::FailShard, 12),
    (Happening::SetClock, 10),
    (Happening::Disk, 12),
    (Happening::Reconnect, 8),
    (Happening::Update, 6),
    (Happening::Restart, 3),
    (Happening::Tidy, 8),
];

/// Everything must come to rest within so many rounds, and so much virtual time.
const ROUNDS_MAX: u64 = 5_000;
const REST_MAX_MICROS: u64 = 400_000_000;

/// The first of the happenings that a world may do without.
const OPTIONAL: usize = 10;

pub struct World {
    pub choices: Choices,
    pub time: Time,
    pub node: Node,
    pub sources: Vec<Source>,
    pub running: Vec<Running>,
    pub published: VecDeque<Published>,
    pub seen: Seen,
    pub ledger: Ledger,
    /// What was in the journal before old segments went.
    pub archive: BTreeMap<Place, (ExecutionHeader, Vec<u8>)>,
    pub totals: Totals,
    pub log: Log,
    /// Questions of clients that wait for an answer, with the shard's incarnation.
    pub asked: BTreeMap<ReplyToken, (ShardId, u64, Ask)>,
    /// Questions that got none and are asked again.
    pub again: Vec<Ask>,
    pub tokens: u64,
    pub messages: u64,
    pub permits: Arc<Semaphore>,
    pub stage: Stage,
    /// Whether the disk has no room at the moment.
    pub full: bool,
    /// No faults any more.
    pub calm: bool,
    pub blind: bool,
    weights: Vec<u64>,
    /// How many things happen before the calm.
    happenings: u64,
    /// Which workflows clients start: bits.
    pub workflows: u64,
}

impl World {
    pub fn new(mut choices: Choices, handicap: Handicap, log: Log) -> World {
        let happenings = choices.of(&[40, 80, 160, 300]);
        let mut weights: Vec<u64> = HAPPENINGS.iter().map(|(_, weight)| *weight).collect();
        for weight in &mut weights[OPTIONAL..] {
            *weight *= choices.of(&[0, 1, 1, 2]);
        }
        let setup = Setup {
            shards: u16::try_from(1 + choices.below(u64::from(SHARDS_MAX))).expect("few"),
            segment_bytes: choices.of(&[16 << 10, 4 << 10, 2 << 10]),
            retained_bytes: choices.of(&[None, None, Some(4_000)]),
            relaxed: choices.chance(15),
            snapshots: SnapshotRule {
                after_bytes: choices.of(&[usize::MAX / 8, 200, 2_000, 8_000]),
                after_micros: choices.of(&[u64::MAX, 3_000_000]),
            },
            defect: handicap.defect,
        };
        let workflows = choices.below(1 << 9);
        let time = Time::new();
        let stage = Stage { newest_pause: 0, scheduled: true };
        let node = Node::open(MemoryDisk::new(), setup, catalog(setup.shards, stage), time.now()).expect("it opens");
        let kinds = [Kind::Log, Kind::Session, Kind::Client, Kind::Log];
        let mut world = World {
            choices,
            time,
            node,
            sources: kinds.into_iter().enumerate().map(|(number, kind)| Source::new(kind, number)).collect(),
            running: Vec::new(),
            published: VecDeque::new(),
            seen: Seen::default(),
            ledger: Ledger::default(),
            archive: BTreeMap::new(),
            totals: Totals { seeds: 1, ..Totals::default() },
            log,
            asked: BTreeMap::new(),
            again: Vec::new(),
            tokens: 0,
            messages: 0,
            permits: Arc::new(Semaphore::new(1 << 20)),
            stage,
            full: false,
            calm: false,
            blind: handicap.blind,
            weights,
            happenings,
            workflows,
        };
        // The schedules begin now, whatever happens later.
        world.commit_all();
        world
    }

    pub fn note(&mut self, what: impl FnOnce() -> String) {
        self.log.note(self.time.now().steady, what);
    }

    /// Runs to the end; what was chosen, when that was kept.
    pub fn run(&mut self) {
        for _ in 0..self.happenings {
            if !self.choices.begin() {
                break;
            }
            self.totals.happenings += 1;
            let happening = HAPPENINGS[self.choices.weighted(&self.weights)].0;
            self.happen(happening);
            self.time.pass(200);
            if self.full || !self.node.is_whole() {
                self.time.hinder();
            }
        }
        self.choices.begin_last();
        self.come_to_rest();
        self.check();
        self.totals.micros = self.time.now().steady;
        self.totals.blocks = self.node.newest;
    }

    pub fn chosen(self) -> (Case, Log) {
        (self.choices.made(), self.log)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Act => self.act(),
            Happening::Commit => self.commit(),
            Happening::Pass => self.pass(),
            Happening::Publish => self.publish(),
            Happening::Read => self.read(),
            Happening::Acknowledge => self.acknowledge(),
            Happening::Ask => self.ask(),
            Happening::Answer => self.answer(),
            Happening::Sink => self.sink(),
            Happening::Revive => self.revive(),
            Happening::Compare => self.compare(),
            Happening::Crash => self.crash(),
            Happening::FailShard => self.fail_shard(),
            Happening::SetClock => self.set_clock(),
            Happening::Disk => self.harm_disk(),
            Happening::Reconnect => self.reconnect(),
            Happening::Update => self.update(),
            Happening::Restart => self.restart(),
            Happening::Tidy => self.tidy(),
        }
    }

    /// No more faults: everything goes on to its end.
    fn come_to_rest(&mut self) {
        self.calm = true;
        self.full = false;
        self.node.disk.set_capacity(None);
        self.node.disk.fail_syncs(0, 0);
        self.note(|| "calm".to_owned());
        if self.node.disk.will_fail() {
            self.crash();
        }
        self.rest();
        self.schedules_go_on();
        self.stage.scheduled = false;
        self.set_stage();
        self.rest();
        self.compare_all();
        self.nothing_is_left();
        // What comes back from the disk alone comes to the same end.
        self.crash();
        for execution in self.ledger.live().collect::<Vec<_>>() {
            self.tokens += 1;
            let (control, reply) = (Control::Resume, ReplyToken(self.tokens));
            self.node.mail(execution.shard(), vec![ShardInput::Control { execution, control, reply }]);
        }
        self.rest();
        self.compare_all();
    }

    /// Twenty seconds without a fault bring some of what starts every five.
    fn schedules_go_on(&mut self) {
        let ticks = |world: &World| world.ledger.executions.values().filter(|e| e.definition == TICK).count();
        let before = ticks(self);
        for _ in 0..20 {
            self.time.pass(1_000_000);
            self.rest();
        }
        if ticks(self) < before + 2 {
            violated(Invariant::EverythingComesToRest, "a schedule has stopped".to_owned());
        }
    }

    /// Lets everything go on until nothing is left to do.
    pub fn rest(&mut self) {
        let (begun, mut rounds) = (self.time.now().steady, 0);
        while self.rest_once() {
            rounds += 1;
            if rounds > ROUNDS_MAX || self.time.now().steady > begun + REST_MAX_MICROS {
                let live: Vec<_> = self.ledger.live().map(|id| (id, self.ledger.executions[&id].definition)).collect();
                violated(Invariant::EverythingComesToRest, format!("it goes on for ever; live are {live:?}"));
            }
        }
    }

    fn rest_once(&mut self) -> bool {
        self.commit_all();
        let mut moved = false;
        while self.revive_one() {
            moved = true;
            self.commit_all();
        }
        for id in (0..self.node.setup.shards).map(ShardId) {
            while self.node.can_act(id, self.time.now()) {
                self.act_of(id);
                moved = true;
            }
        }
        moved |= self.acknowledge_all();
        while !self.running.is_empty() {
            self.answer();
            moved = true;
        }
        while !self.published.is_empty() {
            self.sink();
            moved = true;
        }
        for source in 0..self.sources.len() {
            moved |= self.read_from(source, 8);
        }
        while let Some(ask) = self.again.pop() {
            self.ask_for(ask);
            moved = true;
        }
        // Schedules alone do not keep the world awake, and who is suspended sleeps.
        if !moved
            && self.ledger.waits()
            && let Some(pause) = self.node.pause(self.time.now())
        {
            self.time.pass(pause + pause / 8 + 1);
            return true;
        }
        moved
    }
}
