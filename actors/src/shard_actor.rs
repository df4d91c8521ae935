//! The actor of a shard: brings inputs to the core, its decisions to the committer, and what they release to the outside.
//!
//! Inputs that come while a step runs or its commit is on its way wait and are taken together by the next one. What it
//! decides besides that is in [`crate::pipeline`].

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ecow::EcoString;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trinity_engine::error::{StandardError, WorkflowError};
use trinity_engine::ids::{ExecutionId, ShardId};
use trinity_engine::input::{ReplyToken, ShardInput};
use trinity_engine::shard::{CommitReceipt, LostWakeUp, Ready, Released, Reply, Shard, ShardEffect};
use trinity_engine::time::Timestamp;

use crate::admission::Part;
use crate::calls::Calls;
use crate::clock::SystemClock;
use crate::committer::Committer;
use crate::execution_actor::{Call, Callers};
use crate::expected::{Expected, Hold};
use crate::node::{Outlets, Publication};
use crate::pipeline::{Pipeline, SnapshotRule, Step};
use crate::status::NodeStatus;

/// How long a timer sleeps at most before it looks at the time again: the wall clock may be set forward meanwhile.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// How often some of the live executions are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What the actor takes.
pub(crate) enum ShardMessage {
    /// Events of one submission.
    Events(Vec<ShardInput>, Part),
    /// An input that somebody waits for; it is made with the tokens that stand for them.
    Command(Box<dyn FnOnce(&mut Replies) -> ShardInput + Send>),
    /// An input that nobody waits for.
    Input(ShardInput),
    /// Inputs from a shard.
    Peer(Vec<ShardInput>),
    /// Take a step.
    Step,
    /// A timer is due.
    Wake(Timestamp),
    /// A step is durable.
    Committed { ready: Ready, receipt: CommitReceipt },
    /// See that some of the live executions have something that will move them.
    Check,
    /// Say when nothing is under way any more, with everything in a snapshot.
    Drain(oneshot::Sender<()>),
}

/// The addresses of all shards of the node; an entry changes when a shard is restarted.
#[derive(Clone)]
pub(crate) struct Directory {
    addresses: Arc<RwLock<Vec<Option<ActorRef<ShardMessage>>>>>,
    expected: Arc<Expected>,
}

impl Directory {
    /// An empty one; what is sent through it is announced to the committer.
    pub fn new(expected: Arc<Expected>) -> Directory {
        Directory { addresses: Arc::default(), expected }
    }

    pub fn set(&self, id: ShardId, actor: Option<ActorRef<ShardMessage>>) {
        let mut shards = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        let at = usize::from(id.0);
        if shards.len() <= at {
            shards.resize(at + 1, None);
        }
        shards[at] = actor;
    }

    /// Sets all addresses in one go: who looks for one meanwhile waits until it is there.
    pub fn fill<E>(
        &self,
        mut address: impl FnMut(ShardId) -> Result<Option<ActorRef<ShardMessage>>, E>,
        count: u16,
    ) -> Result<(), E> {
        let mut shards = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        *shards = (0..count).map(|id| address(ShardId(id))).collect::<Result<_, E>>()?;
        Ok(())
    }

    pub fn get(&self, id: ShardId) -> Option<ActorRef<ShardMessage>> {
        self.addresses.read().unwrap_or_else(PoisonError::into_inner).get(usize::from(id.0)).cloned().flatten()
    }

    /// Sends to a shard.
    pub fn send(&self, id: ShardId, message: ShardMessage) -> Result<(), Away> {
        let actor = self.get(id).ok_or(Away)?;
        self.expected.announce(id);
        actor.send_message(message).map_err(|_| {
            self.expected.settle(id);
            Away
        })
    }

    /// More will be sent to several shards at once, as long as this is held.
    pub fn hold(&self) -> Hold<'_> {
        self.expected.hold()
    }

    /// A shard takes no step for now.
    pub fn settle(&self, id: ShardId) {
        self.expected.settle(id);
    }
}

/// Who waits for replies. Dropped with the shard, they hear that there will be none.
#[derive(Default)]
pub(crate) struct Replies {
    waiting: FxHashMap<ReplyToken, oneshot::Sender<Reply>>,
    tokens: u64,
}

impl Replies {
    /// A token for one who waits.
    pub fn token(&mut self, asked: oneshot::Sender<Reply>) -> ReplyToken {
        self.tokens += 1;
        let token = ReplyToken(self.tokens);
        self.waiting.insert(token, asked);
        token
    }

    fn tell(&mut self, token: ReplyToken, reply: Reply) {
        if let Some(asked) = self.waiting.remove(&token) {
            // Who does not wait any more need not be told.
            let _ = asked.send(reply);
        }
    }
}

/// A shard is being restarted; what was sent to it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Away;

/// What all shards of a node share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub clock: SystemClock,
    pub committer: Committer,
    pub directory: Directory,
    pub callers: Callers,
    pub outlets: Outlets,
    pub status: Arc<NodeStatus>,
    pub snapshots: SnapshotRule,
}

pub(crate) struct ShardActor;

pub(crate) struct State {
    shard: Shard,
    around: Surroundings,
    pipeline: Pipeline<Part>,
    replies: Replies,
    step_ordered: bool,
    timer: Option<(Timestamp, JoinHandle<()>)>,
    calls: Calls,
    draining: Option<oneshot::Sender<()>>,
    drained: bool,
}

impl Actor for ShardActor {
    type Msg = ShardMessage;
    type State = State;
    type Arguments = (Shard, Surroundings);

    async fn pre_start(
        &self,
        myself: ActorRef<ShardMessage>,
        (shard, around): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        // What was expected of a predecessor does not come.
        around.directory.settle(shard.id());
        around.directory.set(shard.id(), Some(myself));
        // Those of a predecessor that failed ended with it.
        around.status.shard(shard.id()).calls.set(0);
        Ok(State {
            pipeline: Pipeline::new(around.snapshots, around.clock.now()),
            shard,
            around,
            replies: Replies::default(),
            step_ordered: false,
            timer: None,
            calls: Calls::default(),
            draining: None,
            drained: false,
        })
    }

    async fn post_start(&self, myself: ActorRef<ShardMessage>, state: &mut State) -> Result<(), ActorProcessingErr> {
        let now = state.around.clock.now();
        let step = state.pipeline.recovered(&mut state.shard, now);
        state.hand_over(step, &myself);
        // It ends with the actor.
        drop(myself.send_interval(CHECK_INTERVAL, || ShardMessage::Check));
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<ShardMessage>,
        message: ShardMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // Behind a gap nothing is taken: dropped, the part tells its sender.
            ShardMessage::Events(_, part) if part.is_broken() => {}
            ShardMessage::Events(inputs, part) => {
                state.queue(inputs);
                state.pipeline.mark(part);
            }
            ShardMessage::Command(make) => {
                let input = make(&mut state.replies);
                state.queue([input]);
            }
            ShardMessage::Input(input) => {
                if let ShardInput::Call { execution, activation, attempt, .. } = &input {
                    let host = state.calls.ended((*execution, *activation), *attempt);
                    state.start_calls(host, &myself).await;
                }
                state.queue([input]);
            }
            ShardMessage::Peer(inputs) => state.queue(inputs),
            ShardMessage::Step => {
                state.step_ordered = false;
                state.step(&myself);
            }
            ShardMessage::Wake(at) => {
                if state.timer.as_ref().is_some_and(|(set, _)| *set == at) {
                    state.timer = None;
                }
                state.step(&myself);
            }
            ShardMessage::Committed { mut ready, receipt } => {
                state.shard.recycle(ready.take_records());
                let (released, parts) = state.pipeline.committed(ready, receipt);
                state.release(released, &myself).await;
                for part in parts {
                    part.committed();
                }
            }
            ShardMessage::Check => state.pipeline.check(&state.shard),
            ShardMessage::Drain(done) => state.draining = Some(done),
        }
        state.order_step(&myself)?;
        if !state.step_ordered {
            state.around.directory.settle(state.shard.id());
        }
        state.set_timer(&myself);
        state.drain(&myself);
        state.tell();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<ShardMessage>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(who, error) => {
                if let Some(((execution, activation), attempt, host)) = state.calls.failed(who.get_id()) {
                    let detail = format!("the call's actor failed: {error}");
                    let result = Err(WorkflowError::standard(StandardError::Runtime, detail));
                    state.queue([ShardInput::Call { execution, activation, attempt, result }]);
                    state.start_calls(Some(host), &myself).await;
                    state.order_step(&myself)?;
                }
            }
            // It has said how its call ended, or it was stopped by us.
            SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl State {
    fn queue(&mut self, inputs: impl IntoIterator<Item = ShardInput>) {
        self.pipeline.push(&self.shard, inputs);
    }

    fn may_step(&self) -> bool {
        self.pipeline.may_step(&self.shard, self.around.clock.now())
    }

    /// Orders a step behind the messages that are already there, so that one step takes them all.
    fn order_step(&mut self, myself: &ActorRef<ShardMessage>) -> Result<(), ActorProcessingErr> {
        if !self.step_ordered && self.may_step() {
            self.step_ordered = true;
            myself.send_message(ShardMessage::Step)?;
        }
        Ok(())
    }

    fn step(&mut self, myself: &ActorRef<ShardMessage>) {
        if self.may_step() {
            let step = self.pipeline.step(&mut self.shard, self.around.clock.now());
            self.hand_over(step, myself);
        }
    }

    fn hand_over(&mut self, step: Step, myself: &ActorRef<ShardMessage>) {
        self.around.committer.commit(step, myself.clone());
    }

    /// Lets go what a durable step releases. Shards come before clients: whoever hears of a commit finds its
    /// subscriptions in place.
    async fn release(&mut self, released: Released, myself: &ActorRef<ShardMessage>) {
        let from = self.shard.id();
        let mut mail: Vec<(ShardId, Vec<ShardInput>)> = Vec::new();
        for effect in released.effects {
            match effect {
                ShardEffect::Peer { to, sequence, message } => {
                    put(&mut mail, to, ShardInput::Peer { from, sequence, message });
                }
                ShardEffect::Note { to, note } => put(&mut mail, to, ShardInput::Note { from, note }),
                ShardEffect::Call { execution, activation, attempt, request } => {
                    let host = self.calls.ask(Call { execution, activation, attempt, request });
                    self.start_calls(Some(host), myself).await;
                }
                ShardEffect::ConfirmCall { execution, activation, attempt } => {
                    let runs = self.calls.has((execution, activation), attempt);
                    let lost = self.pipeline.lost_call(&self.shard, (execution, activation, attempt), runs);
                    if let Some(ShardEffect::Call { request, .. }) = lost {
                        self.lost(execution, LostWakeUp::Call);
                        let host = self.calls.ask(Call { execution, activation, attempt, request });
                        self.start_calls(Some(host), myself).await;
                    }
                }
                ShardEffect::CancelCall { execution, activation } => {
                    let host = self.calls.cancel((execution, activation));
                    self.start_calls(host, myself).await;
                }
                ShardEffect::Publish { publication, event } => {
                    // Nobody publishes when there are no sinks; then the outbox says so.
                    let _ = self.around.outlets.publications.send(Publication { shard: from, publication, event });
                }
            }
        }
        for (to, inputs) in mail {
            // A shard that is away asks for what it has missed when it is back.
            let _ = self.around.directory.send(to, ShardMessage::Peer(inputs));
        }
        for (token, reply) in released.replies {
            self.replies.tell(token, reply);
        }
        if released.duplicates > 0 {
            self.around.status.duplicates.add(released.duplicates);
        }
        if released.panics > 0 {
            self.around.status.panics.add(released.panics);
        }
        for (execution, what) in released.lost {
            self.lost(execution, what);
        }
        if !released.measurements.is_empty() {
            let _ = self.around.outlets.measurements.send(released.measurements).await;
        }
    }

    fn lost(&self, execution: ExecutionId, what: LostWakeUp) {
        tracing::error!(%execution, lost = what.as_str(), "a live execution had lost what should move it");
        self.around.status.lost_wakeups.add(1);
    }

    /// Lets calls that wait for a host begin, if it has room for them.
    async fn start_calls(&mut self, host: Option<EcoString>, myself: &ActorRef<ShardMessage>) {
        let failed = match host {
            Some(host) => self.calls.start(&host, &self.around.callers, myself).await,
            None => Vec::new(),
        };
        for ((execution, activation), attempt, error) in failed {
            let detail = format!("the call can't be made: {error}");
            let result = Err(WorkflowError::standard(StandardError::Runtime, detail));
            self.queue([ShardInput::Call { execution, activation, attempt, result }]);
        }
        self.around.status.shard(self.shard.id()).calls.set(self.calls.len() as u64);
    }

    fn set_timer(&mut self, myself: &ActorRef<ShardMessage>) {
        let wake = self.shard.next_wake();
        if self.timer.as_ref().map(|(at, _)| *at) == wake {
            return;
        }
        if let Some((_, timer)) = self.timer.take() {
            timer.abort();
        }
        if let Some(at) = wake {
            let myself = myself.clone();
            let pause = Duration::from_micros(at.micros_since(self.around.clock.now()));
            let timer = tokio::spawn(async move {
                tokio::time::sleep(pause.min(SLEEP_MAX)).await;
                let _ = myself.send_message(ShardMessage::Wake(at));
            });
            self.timer = Some((at, timer));
        }
    }

    /// Goes on with draining: when nothing is under way, a last commit with a snapshot, then the answer.
    fn drain(&mut self, myself: &ActorRef<ShardMessage>) {
        let idle = self.pipeline.is_idle() && self.calls.is_empty();
        if self.draining.is_none() || !idle {
            return;
        }
        if !std::mem::replace(&mut self.drained, true)
            && let Some(step) = self.pipeline.last(&self.shard, self.around.clock.now())
        {
            return self.hand_over(step, myself);
        }
        if let Some(done) = self.draining.take() {
            let _ = done.send(());
        }
    }

    fn tell(&self) {
        let status = self.around.status.shard(self.shard.id());
        status.live.set(self.shard.live() as u64);
        status.queued.set(self.pipeline.queued() as u64);
        status.outbox.set(self.shard.outbox() as u64);
        status.publications_bytes.set(self.shard.publications_bytes() as u64);
        status.open.store(self.shard.is_open(), Ordering::Relaxed);
    }
}

fn put(mail: &mut Vec<(ShardId, Vec<ShardInput>)>, to: ShardId, input: ShardInput) {
    match mail.iter_mut().find(|(own, _)| *own == to) {
        Some((_, inputs)) => inputs.push(input),
        None => mail.push((to, vec![input])),
    }
}
