//! The node: opens the journal, brings the shards back, supervises them, and takes them down in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use rustc_hash::FxHashMap;
use tokio::sync::{Semaphore, mpsc, oneshot};
use trinity_engine::error::WorkflowError;
use trinity_engine::event::CloudEvent;
use trinity_engine::execution::RuntimeInfo;
use trinity_engine::expression::Limits;
use trinity_engine::history::Measurement;
use trinity_engine::ids::ShardId;
use trinity_engine::input::ShardInput;
use trinity_engine::shard::{Catalog, ReplayError, Settings, Shard};

use crate::call::{Egress, HttpCaller};
use crate::clock::SystemClock;
use crate::committer::Committer;
use crate::execution_actor::Callers;
use crate::expected::Expected;
use crate::handle::{ADMITTED_MAX, CLIENTS_ADMITTED_MAX, Handle, Inner};
use crate::journal::{self, Journal, JournalError, Reader, Recovery, Storage};
use crate::pipeline::SnapshotRule;
use crate::recovery::Beginning;
use crate::shard_actor::{Directory, ShardActor, ShardMessage, Surroundings};
use crate::status::NodeStatus;

/// How many outside calls may run at once.
const CALLS_MAX: usize = 4_096;
/// How long draining waits for outside calls; those that have not ended are made again after the next start.
const DRAIN_PATIENCE: Duration = Duration::from_secs(10);
/// The pauses before a shard that failed is restarted.
const RESTART: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// How a node is set up.
#[derive(Debug)]
pub struct NodeOptions {
    /// Where the journal is.
    pub storage: Storage,
    /// How it is written.
    pub journal: journal::Options,
    /// Into how many shards executions are divided; fixed once there is a journal.
    pub shards: u16,
    /// Where tasks may call.
    pub egress: Egress,
    /// Budgets of each expression.
    pub limits: Limits,
    /// Above so many bytes of events that wait for sinks nothing is admitted.
    pub publications_max: u64,
    /// When shards write snapshots.
    pub snapshots: SnapshotRule,
}

/// [`NodeOptions::publications_max`] unless it is set.
const PUBLICATIONS_BYTES_MAX: u64 = 256 << 20;

impl NodeOptions {
    /// A node in this directory with what is usual.
    #[must_use]
    pub fn in_directory(directory: PathBuf) -> NodeOptions {
        NodeOptions {
            storage: Storage::Directory(directory),
            journal: journal::Options::default(),
            shards: 8,
            egress: Egress::local(),
            limits: Limits::default(),
            publications_max: PUBLICATIONS_BYTES_MAX,
            snapshots: SnapshotRule::default(),
        }
    }
}

/// Where the node gives what it has committed.
#[derive(Clone, Debug)]
pub struct Outlets {
    /// What was measured. A full channel holds the shards up.
    pub measurements: mpsc::Sender<Vec<Measurement>>,
    /// Events for sinks. Its bound is the outbox: what is in here is there, too.
    pub publications: mpsc::UnboundedSender<Publication>,
}

/// An event for the sinks, to be answered by [`Handle::delivered`].
#[derive(Clone, Debug)]
pub struct Publication {
    /// Of this shard.
    pub shard: ShardId,
    /// Its number there.
    pub publication: u64,
    /// The event.
    pub event: Arc<CloudEvent>,
}

/// Why a node can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What is in the journal can't be read.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// There must be 1 to 4,096 shards.
    #[error("{0} shards can't be: from 1 to 4096 are possible")]
    Shards(u16),
    /// The journal was begun with another number of shards.
    #[error(
        "the journal was begun with {stored} shards and can't be opened with {wanted}: set engine.shards to {stored}"
    )]
    OtherShards {
        /// With how many.
        stored: u16,
        /// What the configuration says.
        wanted: u16,
    },
    /// Calls can't be made.
    #[error("calls can't be set up: {}", .0.detail.as_deref().unwrap_or_default())]
    Calls(WorkflowError),
    /// The operating system refuses something.
    #[error("the node can't start: {0}")]
    System(#[from] std::io::Error),
    /// An actor did not start.
    #[error("the node can't start: {0}")]
    Actor(#[from] ractor::SpawnErr),
}

/// A running node.
pub struct Node {
    handle: Handle,
    actor: ActorRef<NodeMessage>,
    committer: Committer,
    thread: JoinHandle<()>,
    directory: Directory,
    shards: u16,
}

impl Node {
    /// Opens the journal, recovers all shards and starts them.
    ///
    /// # Errors
    /// What is in the way; nothing was changed then.
    pub async fn start(options: NodeOptions, catalog: Arc<Catalog>, outlets: Outlets) -> Result<Node, StartError> {
        let NodeOptions { storage, journal, shards: count, egress, limits, publications_max, snapshots } = options;
        if count == 0 || count > ShardId::COUNT_MAX {
            return Err(StartError::Shards(count));
        }
        let runtime = RuntimeInfo { name: "trinity".into(), version: env!("CARGO_PKG_VERSION").into() };
        let settings = Settings { runtime, limits };
        let (journal, newest, mut shards) = {
            let (settings, catalog) = (settings.clone(), catalog.clone());
            let open = move || recover(storage, journal, count, &settings, &catalog);
            tokio::task::spawn_blocking(open).await.map_err(std::io::Error::other)??
        };
        let publications_share = usize::try_from(publications_max / u64::from(count)).unwrap_or(usize::MAX);
        for shard in &mut shards {
            shard.hold_schedules_above(publications_share);
        }
        let status = Arc::new(NodeStatus::new(count, publications_max));
        let reader = journal.reader();
        // Time never goes back: it begins with what was stored last.
        let clock = SystemClock::new(shards.iter().map(Shard::time).fold(reader.time(), Ord::max));
        let expected = Arc::new(Expected::new(count));
        let (committer, thread) = Committer::start(journal, newest, status.clone(), clock.clone(), expected.clone())?;
        let http = HttpCaller::new(egress).map_err(StartError::Calls)?;
        let directory = Directory::new(expected);
        let around = Surroundings {
            clock,
            committer: committer.clone(),
            directory: directory.clone(),
            callers: Callers { http, permits: Arc::new(Semaphore::new(CALLS_MAX)) },
            outlets,
            status: status.clone(),
            snapshots,
        };
        let newest_catalog = Arc::new(ArcSwap::new(catalog));
        let keep = Keeper { settings, catalog: newest_catalog.clone(), reader: reader.clone(), publications_share };
        let (actor, _) = Actor::spawn(None, NodeActor, (keep, around, shards)).await?;
        let handle = Handle::new(Inner {
            directory: directory.clone(),
            shards: count,
            permits: Arc::new(Semaphore::new(ADMITTED_MAX)),
            client_permits: Arc::new(Semaphore::new(CLIENTS_ADMITTED_MAX)),
            next: AtomicUsize::new(0),
            status,
            reader,
            newest: committer.newest(),
            catalog: newest_catalog,
            closed: AtomicBool::new(false),
        });
        Ok(Node { handle, actor, committer, thread, directory, shards: count })
    }

    /// The way into it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes nothing new, finishes what is under way, snapshots every shard and closes the journal.
    pub async fn drain(self) {
        self.handle.close();
        self.handle.settled().await;
        let mut drained = Vec::new();
        for id in (0..self.shards).map(ShardId) {
            let (done, is_done) = oneshot::channel();
            if self.directory.send(id, ShardMessage::Drain(done)).is_ok() {
                drained.push(is_done);
            }
        }
        let all = async {
            for shard in drained {
                let _ = shard.await;
            }
        };
        if tokio::time::timeout(DRAIN_PATIENCE, all).await.is_err() {
            tracing::warn!("outside calls that have not ended will be made again after the next start");
        }
        self.stop().await;
    }

    async fn stop(self) {
        // From here on the end of a shard is no failure.
        let _ = self.actor.send_message(NodeMessage::Stop);
        let _ = self.actor.wait(Some(DRAIN_PATIENCE)).await;
        self.committer.close().await;
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the committer failed");
        }
    }
}

/// Opens the journal and brings all shards back as they were; also answers the number of the newest block.
///
/// # Errors
/// What is in the way; nothing was changed then.
pub fn recover(
    storage: Storage,
    options: journal::Options,
    count: u16,
    settings: &Settings,
    catalog: &Arc<Catalog>,
) -> Result<(Journal, u64, Vec<Shard>), StartError> {
    check_shards(&storage, count)?;
    // What is in memory is brought back on one thread: a simulation has no other.
    let alone = matches!(storage, Storage::Memory(_));
    let (journal, recovery) = Journal::open(storage, options)?;
    let beginning = Beginning { recovery: &recovery, settings, catalog };
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(usize::from(count));
    let shards = if alone { beginning.all_here(count)? } else { beginning.all(count, workers)? };
    let newest = recovery.newest();
    Ok((journal, newest, shards))
}

/// The number of shards decides where everything lies, so it is written down with the first start.
fn check_shards(storage: &Storage, wanted: u16) -> Result<(), StartError> {
    let Storage::Directory(directory) = storage else { return Ok(()) };
    std::fs::create_dir_all(directory)?;
    let file = directory.join("shards");
    match std::fs::read_to_string(&file) {
        Ok(text) => match text.trim().parse() {
            Ok(stored) if stored == wanted => Ok(()),
            Ok(stored) => Err(StartError::OtherShards { stored, wanted }),
            Err(_) => Err(std::io::Error::other(format!("{} does not hold a number", file.display())).into()),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let fresh = directory.join("shards.new");
            std::fs::write(&fresh, format!("{wanted}\n"))?;
            std::fs::File::open(&fresh)?.sync_all()?;
            std::fs::rename(&fresh, &file)?;
            Ok(std::fs::File::open(directory)?.sync_all()?)
        }
        Err(error) => Err(error.into()),
    }
}

/// What brings a shard back.
#[derive(Clone)]
pub(crate) struct Keeper {
    settings: Settings,
    /// As the handle has it: always the newest.
    catalog: Arc<ArcSwap<Catalog>>,
    reader: Reader,
    /// [`NodeOptions::publications_max`], of one shard.
    publications_share: usize,
}

impl Keeper {
    fn rebuild(&self, id: ShardId) -> Result<Shard, StartError> {
        let mut shard = rebuild(&self.reader.recovery()?, id, &self.settings, &self.catalog.load_full())?;
        shard.hold_schedules_above(self.publications_share);
        Ok(shard)
    }
}

/// Brings one shard back as it was.
///
/// # Errors
/// What is stored of it can't be read.
pub fn rebuild(
    recovery: &Recovery,
    id: ShardId,
    settings: &Settings,
    catalog: &Arc<Catalog>,
) -> Result<Shard, StartError> {
    Beginning { recovery, settings, catalog }.one(id)
}

/// What the node's actor takes.
pub(crate) enum NodeMessage {
    /// Bring a shard back.
    Restart(ShardId),
    /// A shard was rebuilt, or could not be.
    Rebuilt(ShardId, Result<Box<Shard>, StartError>),
    /// Stop all shards, then yourself.
    Stop,
}

pub(crate) struct NodeActor;

pub(crate) struct State {
    keep: Keeper,
    around: Surroundings,
    actors: FxHashMap<ActorId, ShardId>,
    pauses: FxHashMap<ShardId, Duration>,
    stopping: bool,
}

impl Actor for NodeActor {
    type Msg = NodeMessage;
    type State = State;
    type Arguments = (Keeper, Surroundings, Vec<Shard>);

    async fn pre_start(
        &self,
        myself: ActorRef<NodeMessage>,
        (keep, around, shards): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let (actors, pauses) = (FxHashMap::default(), FxHashMap::default());
        let mut state = State { keep, around, actors, pauses, stopping: false };
        // Every shard asks all others who listens at it, and begins as soon as it is spawned: so they get their addresses
        // in one go. What is sent to one without an address is lost, and the asking shard would wait for ever.
        let mut waiting = Vec::new();
        let (around, actors) = (state.around.clone(), &mut state.actors);
        let (count, mut shards) = (u16::try_from(shards.len())?, shards.into_iter());
        let spawn = |id| {
            let Some(shard) = shards.next() else { return Ok(None) };
            let arguments = (shard, around.clone());
            let (actor, started) =
                ractor::ActorRuntime::spawn_linked_instant(None, ShardActor, arguments, myself.get_cell())?;
            actors.insert(actor.get_id(), id);
            waiting.push(started);
            Ok::<_, ractor::SpawnErr>(Some(actor))
        };
        around.directory.fill(spawn, count)?;
        for started in waiting {
            started.await??;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<NodeMessage>,
        message: NodeMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            NodeMessage::Restart(id) => state.rebuild(id, myself),
            NodeMessage::Rebuilt(id, Ok(shard)) if !state.stopping => {
                let arguments = (*shard, state.around.clone());
                let (actor, _) = Actor::spawn_linked(None, ShardActor, arguments, myself.get_cell()).await?;
                state.actors.insert(actor.get_id(), id);
                // A newer catalog may have been sent there before this one: the newest is the last that it gets.
                loop {
                    let catalog = state.keep.catalog.load_full();
                    actor.send_message(ShardMessage::Input(ShardInput::Catalog(catalog.clone())))?;
                    if Arc::ptr_eq(&catalog, &state.keep.catalog.load()) {
                        break;
                    }
                }
                tracing::info!(shard = id.0, "shard restarted");
            }
            NodeMessage::Rebuilt(_, Ok(_)) => {}
            NodeMessage::Rebuilt(id, Err(error)) => {
                tracing::error!(shard = id.0, %error, "shard can't be rebuilt; trying again");
                state.restart_later(id, myself);
            }
            NodeMessage::Stop => {
                state.stopping = true;
                myself.stop_children_and_wait(None, Some(DRAIN_PATIENCE)).await;
                myself.stop(None);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<NodeMessage>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (who, why) = match event {
            SupervisionEvent::ActorFailed(who, error) => (who, error.to_string()),
            SupervisionEvent::ActorTerminated(who, _, reason) => (who, reason.unwrap_or_else(|| "stopped".to_owned())),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        if let Some(id) = state.actors.remove(&who.get_id())
            && !state.stopping
        {
            tracing::error!(shard = id.0, why, "shard failed; restarting it from the journal");
            state.around.directory.set(id, None);
            let status = state.around.status.shard(id);
            status.restarts.add(1);
            status.open.store(false, std::sync::atomic::Ordering::Relaxed);
            state.restart_later(id, myself);
        }
        Ok(())
    }
}

impl State {
    fn restart_later(&mut self, id: ShardId, myself: ActorRef<NodeMessage>) {
        let pause = self.pauses.entry(id).or_insert(RESTART.0);
        let now = *pause;
        *pause = (*pause * 2).min(RESTART.1);
        tokio::spawn(async move {
            tokio::time::sleep(now).await;
            let _ = myself.send_message(NodeMessage::Restart(id));
        });
    }

    /// Rebuilds a shard from what is durable once nothing of its predecessor is on its way there any more.
    fn rebuild(&self, id: ShardId, myself: ActorRef<NodeMessage>) {
        let (keep, committer) = (self.keep.clone(), self.around.committer.clone());
        tokio::spawn(async move {
            committer.fence().await;
            let rebuilt = tokio::task::spawn_blocking(move || keep.rebuild(id)).await;
            let rebuilt = rebuilt.unwrap_or_else(|error| Err(std::io::Error::other(error).into()));
            let _ = myself.send_message(NodeMessage::Rebuilt(id, rebuilt.map(Box::new)));
        });
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod tests;
