//! What the node lets go, and how its neighbours answer.

use tokio::sync::oneshot::error::TryRecvError;
use trinity_actors::admission::{Line, Part, by_shard};
use trinity_engine::effect::{HttpRequest, HttpResponse};
use trinity_engine::error::{StandardError, WorkflowError};
use trinity_engine::history::Phase;
use trinity_engine::ids::{ActivationId, ExecutionId, ShardId};
use trinity_engine::input::{Control, ShardInput};
use trinity_engine::shard::{Reply, ShardEffect};

use crate::defects::Defect;
use crate::invariants::{Invariant, violated};
use crate::neighbours::{Ask, Batch, Published, Running};
use crate::node::Outgoing;
use crate::world::World;

impl World {
    pub fn go_out(&mut self, outgoing: Outgoing) {
        let Outgoing { shard, effects, replies, duplicates, panics, lost } = outgoing;
        self.totals.duplicates += duplicates;
        if panics > 0 {
            violated(Invariant::NoStepPanics, format!("{panics} steps of shard {shard}"));
        }
        if let Some((execution, what)) = lost.first() {
            violated(Invariant::NothingLosesItsWakeUp, format!("{execution} has lost its {}", what.as_str()));
        }
        for effect in effects {
            match effect {
                ShardEffect::ConfirmCall { execution, activation, attempt } => {
                    let call = (execution, activation, attempt);
                    let runs = self.running.iter().any(|own| (own.execution, own.activation, own.attempt) == call);
                    if self.node.misses(shard, call, runs) {
                        violated(Invariant::NothingLosesItsWakeUp, format!("{execution} has lost its call"));
                    }
                }
                ShardEffect::Call { execution, activation, attempt, request } => {
                    self.called(execution, activation, attempt, request);
                }
                ShardEffect::CancelCall { execution, activation } => {
                    self.running.retain(|call| (call.execution, call.activation) != (execution, activation));
                }
                ShardEffect::Publish { publication, event } => {
                    if self.node.setup.defect == Some(Defect::DeliveredEarly) {
                        self.node.mail(shard, vec![ShardInput::Delivered(vec![publication])]);
                    }
                    self.published.push_back(Published { shard, publication, event });
                }
                ShardEffect::Peer { .. } | ShardEffect::Note { .. } => unreachable!("posted among the shards"),
            }
        }
        for (token, reply) in replies {
            if let Some((_, _, ask)) = self.asked.remove(&token) {
                self.answered(ask, &reply);
            }
        }
    }

    /// A client is answered: what it is told is durable.
    fn answered(&mut self, ask: Ask, reply: &Reply) {
        self.note(|| format!("client hears {reply:?} to {ask:?}"));
        match (ask, reply) {
            (Ask::Execute { key, number, .. }, Reply::Started { execution, .. }) => {
                let execution = *execution;
                if self.ledger.phase(execution).is_none() {
                    violated(Invariant::NothingLeavesBeforeItIsDurable, format!("a client is told of {execution}"));
                }
                self.promise(execution);
                let first_asked = key.map_or(number, |key| self.seen.first_asked[&key]);
                self.seen.told.entry(execution).or_insert((self.tokens, first_asked));
                if let Some(key) = key {
                    let first = *self.seen.requests.entry(key).or_insert(execution);
                    if first != execution {
                        let both = format!("key {key} stands for {first} and {execution}");
                        violated(Invariant::NoInputActsTwice, both);
                    }
                }
            }
            (Ask::Control(execution, Control::Cancel), Reply::Done) => {
                let phase = self.ledger.phase(execution);
                if phase != Some(Phase::Cancelled) {
                    let told = format!("{execution} was said to be cancelled and is {phase:?}");
                    violated(Invariant::NothingLeavesBeforeItIsDurable, told);
                }
            }
            (Ask::Await(execution) | Ask::Control(execution, _), Reply::NotLive) => {
                let phase = self.ledger.phase(execution);
                if !phase.is_some_and(Phase::is_terminal) {
                    let told = format!("{execution} was said to have ended and is {phase:?}");
                    violated(Invariant::NothingLeavesBeforeItIsDurable, told);
                }
            }
            _ => {}
        }
    }

    fn called(&mut self, execution: ExecutionId, activation: ActivationId, attempt: u32, request: HttpRequest) {
        if self.ledger.phase(execution).is_none() {
            violated(Invariant::NothingLeavesBeforeItIsDurable, format!("a call of {execution}"));
        }
        let (key, body) = (request.idempotency_key.to_string(), request.body.unwrap_or_default());
        let (whose, what, count) = self.seen.calls.entry(key.clone()).or_insert_with(|| (execution, body.clone(), 0));
        *count += 1;
        self.totals.repeated_calls += u64::from(*count > 1);
        let known = self.seen.keys.entry((execution, body.clone())).or_insert_with(|| key.clone());
        if (*whose, &*what) != (execution, &body) || *known != key {
            violated(Invariant::IdempotencyKeysAreStable, format!("{execution} calls with {key} and {known}"));
        }
        let (status, micros) = match self.calm {
            true => (200, 0),
            false => (self.choices.of(&[200, 200, 200, 503, 503, 500, 0, 1]), self.choices.below(3_000_000)),
        };
        let (result, micros) = match status {
            0 => (Err(WorkflowError::standard(StandardError::Communication, "no connection")), micros),
            // It never answers: the caller gives up.
            1 => (Err(WorkflowError::standard(StandardError::Timeout, "no answer")), request.timeout_micros),
            status => (Ok(HttpResponse { status, headers: Vec::new(), body: b"1".to_vec() }), micros),
        };
        self.note(|| format!("call {key} of {execution}, attempt {attempt}: {status} in {micros} µs"));
        let arrives = self.time.now().steady + micros;
        self.running.push(Running { execution, activation, attempt, arrives, result });
    }

    /// An answer of the callee arrives.
    pub fn answer(&mut self) {
        let now = self.time.now().steady;
        let due: Vec<usize> =
            (0..self.running.len()).filter(|at| self.calm || self.running[*at].arrives <= now).collect();
        if due.is_empty() {
            return;
        }
        let at = if self.calm { 0 } else { self.choices.of(&due) };
        let Running { execution, activation, attempt, result, .. } = self.running.remove(at);
        self.note(|| format!("{execution} has an answer, attempt {attempt}"));
        if !self.calm && self.choices.chance(10) {
            // It comes twice.
            let (arrives, result) = (now + self.choices.below(2_000_000), result.clone());
            self.running.push(Running { execution, activation, attempt, arrives, result });
        }
        self.node.mail(execution.shard(), vec![ShardInput::Call { execution, activation, attempt, result }]);
    }

    /// The sink takes an event, or does not, or its answer is lost.
    pub fn sink(&mut self) {
        let Some(Published { shard, publication, event }) = self.published.pop_front() else { return };
        let outcome = if self.calm { 0 } else { self.choices.below(10) };
        if outcome < 8 {
            let content = format!("{event:?}");
            let first = self.seen.delivered.entry(event.id.to_string()).or_insert_with(|| content.clone());
            if *first != content {
                violated(Invariant::EmittedEventsArrive, format!("{first} and {content} have the same id"));
            }
        }
        if outcome < 7 {
            self.node.mail(shard, vec![ShardInput::Delivered(vec![publication])]);
        } else {
            self.published.push_back(Published { shard, publication, event });
        }
    }

    /// A source hands over its next messages; those of a broken line go again first, as in the pump of the node.
    pub fn read_from(&mut self, source: usize, most: usize) -> bool {
        if self.sources[source].line.is_broken() {
            self.begin_again(source);
        }
        let batch = self.sources[source].take(most);
        if batch.numbers.is_empty() {
            return false;
        }
        self.submit(source, batch);
        true
    }

    /// The lane of a source: by shards, each part told when it is durable.
    fn submit(&mut self, source: usize, mut batch: Batch) {
        let (defect, shards) = (self.node.setup.defect, self.node.setup.shards);
        let lane = &mut self.sources[source];
        let by_shard = by_shard(lane.events(&batch), shards);
        let used = by_shard.iter().filter(|inputs| !inputs.is_empty()).count();
        let permit = self.permits.clone().try_acquire_owned().expect("there are many");
        let (mut parts, heard) = Part::split(used, permit, &lane.line);
        batch.heard = Some(heard);
        self.log.note(self.time.now().steady, || format!("source {source} submits {:?}", batch.numbers));
        lane.under_way.push_back(batch);
        if defect == Some(Defect::CheckpointAhead) {
            parts.drain(1..).for_each(Part::committed);
        }
        for (shard, inputs) in (0..shards).map(ShardId).zip(by_shard) {
            if inputs.is_empty() {
                continue;
            }
            match parts.pop() {
                Some(part) => self.node.mail_events(shard, inputs, part),
                None => drop(self.node.mail(shard, inputs)),
            }
        }
    }

    /// A part was lost: all that is not known to be durable goes again, in order.
    fn begin_again(&mut self, source: usize) {
        self.note(|| format!("source {source} hands over again"));
        let lane = &mut self.sources[source];
        lane.line = Line::default();
        for batch in std::mem::take(&mut lane.under_way) {
            self.submit(source, Batch { redelivered: true, ..batch });
        }
    }

    /// The source hears which of its batches are durable; whether it heard something.
    pub fn hear(&mut self, source: usize) -> bool {
        let mut heard = false;
        while let Some(batch) = self.sources[source].under_way.front_mut() {
            match batch.heard.as_mut().map(|heard| heard.try_recv()) {
                Some(Ok(())) => {
                    let batch = self.sources[source].under_way.pop_front().expect("it is there");
                    self.log.note(self.time.now().steady, || format!("source {source} hears {:?}", batch.numbers));
                    self.sources[source].heard(batch.numbers);
                    heard = true;
                }
                Some(Err(TryRecvError::Closed)) if self.node.setup.defect != Some(Defect::GapTaken) => {
                    self.begin_again(source);
                    return true;
                }
                Some(Err(TryRecvError::Closed)) => {
                    let batch = self.sources[source].under_way.pop_front().expect("it is there");
                    let numbers = batch.numbers.clone();
                    self.sources[source].under_way.push_back(Batch { heard: None, ..batch });
                    self.log.note(self.time.now().steady, || format!("source {source} lost {numbers:?}"));
                    return false;
                }
                Some(Err(TryRecvError::Empty)) | None => return heard,
            }
        }
        heard
    }

    /// Compares the state of a shard with what its durable records give.
    pub fn compare(&mut self) {
        let id = ShardId(u16::try_from(self.choices.below(u64::from(self.node.setup.shards))).expect("few"));
        self.compare_one(id);
    }

    pub fn compare_all(&mut self) {
        (0..self.node.setup.shards).map(ShardId).for_each(|id| self.compare_one(id));
    }

    fn compare_one(&mut self, id: ShardId) {
        if self.blind {
            return;
        }
        let Some((own, stored)) = self.node.both_states(id, self.time.now()) else { return };
        self.totals.compared_states += 1;
        if own != stored {
            let place = own.iter().zip(&stored).position(|(a, b)| a != b);
            let lengths = (own.len(), stored.len());
            violated(Invariant::TheFoldIsTheState, format!("shard {id}: lengths {lengths:?}, differ at {place:?}"));
        }
    }
}
