//! The handle: the only way into a node. It admits by permits, so that what is on its way has a bound, finds the shard, and
//! answers when what was asked is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use ecow::EcoString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use trinity_engine::history::{Phase, Trigger};
use trinity_engine::ids::{DefinitionId, ExecutionId, ShardId};
use trinity_engine::input::{Control, ReplyToken, ShardInput, SourceEvent};
use trinity_engine::shard::{Catalog, Reply};
use trinity_engine::value::Value;

use crate::admission::{Line, Part, by_shard};
use crate::journal::{JournalError, Reader};
use crate::shard_actor::{Away, Directory, Replies, ShardMessage};
use crate::status::NodeStatus;

/// How much may be admitted and not yet committed, in units of [`UNIT_BYTES`] of memory; an input is at least one.
pub const ADMITTED_MAX: usize = 65_536;
/// The same for what clients ask for, who need not wait behind all that sources have sent.
pub const CLIENTS_ADMITTED_MAX: usize = 16_384;
/// An input takes a permit for each so many bytes that it takes in memory.
const UNIT_BYTES: usize = 1024;
/// How long a client waits for admission before it is told to come back.
const ADMISSION_PATIENCE: Duration = Duration::from_secs(2);
/// How often a source looks whether sinks have caught up.
const BEHIND_POLL: Duration = Duration::from_millis(50);
/// When it should come back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a node does not take something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too much is on its way, or a shard is being restarted.
    #[error("the node is busy")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// It is on its way down.
    #[error("the node is shutting down")]
    Draining,
    /// Nothing can be committed at the moment.
    #[error("the node can't store anything at the moment: {0}")]
    Degraded(String),
    /// No such definition, or nothing may start it.
    #[error("{0}")]
    Definition(EcoString),
    /// A shard failed on the way: whether it was done can't be told. With an idempotency key it can be asked again.
    #[error("a shard failed on the way; whether it was done is not known")]
    Lost,
}

/// Why an execution can't be controlled.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is none of that id.
    #[error("there is no such execution")]
    Unknown,
    /// It has ended.
    #[error("the execution has ended: it is {}", .0.as_str())]
    Ended(Phase),
    /// The node does not take it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The journal can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// An execution that has started.
#[derive(Debug)]
pub struct Started {
    /// Its id.
    pub execution: ExecutionId,
    ended: oneshot::Receiver<Reply>,
}

impl Started {
    /// Waits until it has ended, at most so long; whether it has.
    pub async fn ended(self, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.ended).await, Ok(Ok(Reply::NotLive)))
    }
}

/// What has been admitted and will be durable.
#[derive(Debug)]
pub struct Admitted(oneshot::Receiver<()>);

impl Admitted {
    /// Waits until all of it is durable.
    ///
    /// # Errors
    /// A shard failed first: what it had not committed must be given again, in the same order, over a new [`Lane`].
    pub async fn durable(self) -> Result<(), Lost> {
        self.0.await.map_err(|_| Lost)
    }
}

/// A shard failed before it had committed what was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a shard failed before it had committed all that was admitted")]
pub struct Lost;

/// The way of one session of a source into the node: keeps its order. Once a part of it is lost nothing that follows is
/// taken any more, for a later offset must not overtake one that was lost.
#[derive(Clone, Debug)]
pub struct Lane {
    handle: Handle,
    line: Line,
}

impl Lane {
    /// Admits a batch; waits while too much is on its way.
    ///
    /// # Errors
    /// The node is on its way down, or the lane is broken: [`Refused::Lost`].
    pub async fn submit(&self, events: Vec<SourceEvent>) -> Result<Admitted, Refused> {
        if self.line.is_broken() {
            return Err(Refused::Lost);
        }
        while self.handle.0.status.is_behind() {
            self.handle.check_open()?;
            tokio::time::sleep(BEHIND_POLL).await;
        }
        let permit = self.handle.admit(units(&events)).await?;
        Ok(self.handle.distribute(events, permit, &self.line))
    }
}

/// The way into a node.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Inner>);

pub(crate) struct Inner {
    pub directory: Directory,
    pub shards: u16,
    /// For sources.
    pub permits: Arc<Semaphore>,
    /// For clients, who need not wait behind all that sources have sent.
    pub client_permits: Arc<Semaphore>,
    pub next: AtomicUsize,
    pub status: Arc<NodeStatus>,
    pub reader: Reader,
    pub newest: watch::Receiver<u64>,
    pub catalog: Arc<ArcSwap<Catalog>>,
    pub closed: AtomicBool,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("shards", &self.shards).finish_non_exhaustive()
    }
}

impl Handle {
    pub(crate) fn new(inner: Inner) -> Handle {
        Handle(Arc::new(inner))
    }

    /// A way for a session of a source.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane { handle: self.clone(), line: Line::default() }
    }

    /// Takes events of a client; when it answers they are durable.
    ///
    /// # Errors
    /// The node does not take them, or [`Refused::Lost`]: sending them again is safe where their origin is recognised.
    pub async fn submit(&self, events: Vec<SourceEvent>) -> Result<(), Refused> {
        let permit = self.admit_new(units(&events)).await?;
        let line = Line::default();
        self.distribute(events, permit, &line).durable().await.map_err(|Lost| Refused::Lost)
    }

    /// Starts an execution; when it answers it is durable. The same key for the same definition gives the same execution.
    ///
    /// # Errors
    /// The node does not take it.
    pub async fn execute(
        &self,
        definition: DefinitionId,
        input: Value,
        trigger: Trigger,
        idempotency_key: Option<EcoString>,
    ) -> Result<ExecutionId, Refused> {
        self.begin(definition, input, trigger, idempotency_key, None).await
    }

    /// As [`Handle::execute`], for who waits for the end, too.
    ///
    /// # Errors
    /// The node does not take it.
    pub async fn start(
        &self,
        definition: DefinitionId,
        input: Value,
        trigger: Trigger,
        idempotency_key: Option<EcoString>,
    ) -> Result<Started, Refused> {
        let (tell, ended) = oneshot::channel();
        let execution = self.begin(definition, input, trigger, idempotency_key, Some(tell)).await?;
        Ok(Started { execution, ended })
    }

    async fn begin(
        &self,
        definition: DefinitionId,
        input: Value,
        trigger: Trigger,
        idempotency_key: Option<EcoString>,
        tell: Option<oneshot::Sender<Reply>>,
    ) -> Result<ExecutionId, Refused> {
        let _permit = self.admit_new(1 + input.size() / UNIT_BYTES).await?;
        let shard = match &idempotency_key {
            Some(key) => ShardId::of_key(key.as_bytes(), self.0.shards),
            None => {
                let next = self.0.next.fetch_add(1, Ordering::Relaxed) % usize::from(self.0.shards);
                ShardId(u16::try_from(next).unwrap_or(0))
            }
        };
        let make = move |reply, replies: &mut Replies| {
            let ended = tell.map(|tell| replies.token(tell));
            ShardInput::Execute { definition, input, trigger, idempotency_key, reply, ended }
        };
        match self.command(shard, make).await? {
            Reply::Started { execution, .. } => Ok(execution),
            Reply::Refused(reason) => Err(Refused::Definition(reason)),
            Reply::Done | Reply::NotLive => Err(Refused::Lost),
        }
    }

    /// Waits until an execution has ended, at most so long; whether it has.
    pub async fn ended(&self, execution: ExecutionId, within: Duration) -> bool {
        let make = move |reply, _: &mut Replies| ShardInput::Await { execution, reply };
        let told = tokio::time::timeout(within, self.command(execution.shard(), make)).await;
        matches!(told, Ok(Ok(Reply::NotLive)))
    }

    /// Gives a command to an execution; when it answers its effect is durable.
    ///
    /// # Errors
    /// There is none that lives, or the node does not take it.
    pub async fn control(&self, execution: ExecutionId, control: Control) -> Result<(), ControlError> {
        if execution.shard().0 >= self.0.shards {
            return Err(ControlError::Unknown);
        }
        let _permit = self.admit_soon(1).await?;
        let make = move |reply, _: &mut Replies| ShardInput::Control { execution, control, reply };
        if self.command(execution.shard(), make).await? == Reply::Done {
            return Ok(());
        }
        let reader = self.0.reader.clone();
        let found = tokio::task::spawn_blocking(move || reader.execution(execution)).await;
        match found.map_err(|_| Refused::Lost)?? {
            Some(found) => Err(ControlError::Ended(found.phase)),
            None => Err(ControlError::Unknown),
        }
    }

    /// Sinks are done with publications of a shard.
    pub fn delivered(&self, shard: ShardId, publications: Vec<u64>) {
        // A shard that is away publishes again what it has not heard of.
        let _ = self.0.directory.send(shard, ShardMessage::Input(ShardInput::Delivered(publications)));
    }

    /// All definitions as they are from now on: what is asked for after it sees them. One call after the other.
    pub fn set_catalog(&self, catalog: Arc<Catalog>) {
        self.0.catalog.store(catalog.clone());
        for id in (0..self.0.shards).map(ShardId) {
            // One that is away gets it when it is back.
            let _ = self.0.directory.send(id, ShardMessage::Input(ShardInput::Catalog(catalog.clone())));
        }
    }

    /// The present definitions.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.0.catalog.load_full()
    }

    /// What is stored. Its calls block.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.0.reader
    }

    /// How the node is.
    #[must_use]
    pub fn status(&self) -> &Arc<NodeStatus> {
        &self.0.status
    }

    /// The number of the newest commit, to follow the journal.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.0.newest.clone()
    }

    /// Lets nothing new in.
    pub(crate) fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.status.set_draining();
    }

    /// Waits until all that was admitted is committed.
    pub(crate) async fn settled(&self) {
        for (permits, all) in [(&self.0.permits, ADMITTED_MAX), (&self.0.client_permits, CLIENTS_ADMITTED_MAX)] {
            let _ = permits.acquire_many(u32::try_from(all).unwrap_or(u32::MAX)).await;
        }
    }

    fn check_open(&self) -> Result<(), Refused> {
        if self.0.closed.load(Ordering::Acquire) { Err(Refused::Draining) } else { Ok(()) }
    }

    async fn admit(&self, units: usize) -> Result<OwnedSemaphorePermit, Refused> {
        self.check_open()?;
        acquire(&self.0.permits, units.min(ADMITTED_MAX)).await
    }

    /// For what starts something: not while sinks are behind.
    async fn admit_new(&self, units: usize) -> Result<OwnedSemaphorePermit, Refused> {
        match self.0.status.unable() {
            Some(reason) => Err(Refused::Degraded(reason)),
            None => self.admit_soon(units).await,
        }
    }

    async fn admit_soon(&self, units: usize) -> Result<OwnedSemaphorePermit, Refused> {
        if let Some(reason) = self.0.status.degraded() {
            return Err(Refused::Degraded(reason));
        }
        self.check_open()?;
        let admitted = acquire(&self.0.client_permits, units.min(CLIENTS_ADMITTED_MAX));
        match tokio::time::timeout(ADMISSION_PATIENCE, admitted).await {
            Ok(permit) => permit,
            Err(_) => Err(Refused::Busy { retry_after: RETRY_AFTER }),
        }
    }

    async fn command(
        &self,
        shard: ShardId,
        make: impl FnOnce(ReplyToken, &mut Replies) -> ShardInput + Send + 'static,
    ) -> Result<Reply, Refused> {
        let (reply, told) = oneshot::channel();
        let message = ShardMessage::Command(Box::new(move |replies| make(replies.token(reply), replies)));
        self.0.directory.send(shard, message).map_err(|Away| Refused::Busy { retry_after: RETRY_AFTER })?;
        told.await.map_err(|_| Refused::Lost)
    }

    fn distribute(&self, events: Vec<SourceEvent>, permit: OwnedSemaphorePermit, line: &Line) -> Admitted {
        self.0.status.events.add(events.len() as u64);
        let by_shard = by_shard(events, self.0.shards);
        let used = by_shard.iter().filter(|inputs| !inputs.is_empty()).count();
        let (mut parts, durable) = Part::split(used, permit, line);
        // Or the first shard's step might be committed before the others were sent theirs.
        let _hold = self.0.directory.hold();
        for (shard, inputs) in (0..self.0.shards).map(ShardId).zip(by_shard) {
            if !inputs.is_empty()
                && let Some(part) = parts.pop()
            {
                // A part that can't be sent is lost when it is dropped here.
                let _ = self.0.directory.send(shard, ShardMessage::Events(inputs, part));
            }
        }
        Admitted(durable)
    }
}

async fn acquire(permits: &Arc<Semaphore>, units: usize) -> Result<OwnedSemaphorePermit, Refused> {
    let wanted = u32::try_from(units).unwrap_or(u32::MAX);
    permits.clone().acquire_many_owned(wanted).await.map_err(|_| Refused::Draining)
}

/// How many permits events take.
fn units(events: &[SourceEvent]) -> usize {
    events.iter().map(|event| 1 + event.event.size() / UNIT_BYTES).sum()
}
