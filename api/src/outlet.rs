//! From the shards to the sinks and back: each emitted event goes to every sink that takes it, and the shard hears when all
//! of them are done with it. What a sink refuses for good becomes a dead letter first.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trinity_actors::clock::now;
use trinity_actors::handle::Handle;
use trinity_actors::node::Publication;
use trinity_engine::event::CloudEvent;
use trinity_engine::ids::ShardId;
use trinity_ingest::binding;
use trinity_ingest::config::{ConfigError, MatchConfig, SinkConfig};
use trinity_ingest::dead_letter::DeadLetter;
use trinity_ingest::decode::Stage;
use trinity_ingest::sink::{self, Delivery, Outcome, Sink};
use trinity_ingest::status::Status;

use crate::metadata::Metadata;
use crate::rest::metrics::Metrics;

/// Deliveries that a sink takes before it has finished the first.
const SINK_CAPACITY: usize = 1024;
/// Outcomes that are told to the shards at once.
const OUTCOMES_MAX: usize = 4096;
/// Second tries that wait.
const SECOND_TRIES_MAX: usize = 64;
/// How long a stopping node waits for its sinks; what has not arrived is delivered after the next start.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before dead letters are stored once more.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// A delivery that is not of a shard's outbox: a second try, or a lifecycle event.
#[derive(Debug)]
pub(crate) struct SecondTry {
    /// Name of the sink.
    pub sink: String,
    /// The event.
    pub event: Arc<CloudEvent>,
    /// How it ended; dropped when there is no such sink.
    pub outcome: oneshot::Sender<Result<(), String>>,
}

/// A sink and the way to it.
struct Way {
    name: String,
    matches: MatchConfig,
    /// Not bounded here: what is in it lies in the outbox of its shard, which is.
    deliveries: mpsc::UnboundedSender<Delivery>,
    sink: Sink,
    feeder: JoinHandle<()>,
}

/// All sinks.
pub(crate) struct Outlet {
    ways: Vec<Way>,
    /// Given to every sink; held here, so that the channel is open when there is none.
    told: mpsc::Sender<(usize, Outcome)>,
    outcomes: mpsc::Receiver<(usize, Outcome)>,
    second_tries: mpsc::Receiver<SecondTry>,
}

/// Name of the sink at a place in the settings.
pub(crate) fn sink_name(at: usize, config: &SinkConfig) -> String {
    let kind = match (&config.kafka, &config.mqtt) {
        (Some(_), _) => "kafka",
        (None, Some(_)) => "mqtt",
        (None, None) => "http",
    };
    format!("{kind}-{at}")
}

impl Outlet {
    /// Starts all sinks. Whom they deliver to need not answer yet. With it comes the way for second tries.
    pub fn start(configs: &[SinkConfig]) -> Result<(Outlet, mpsc::Sender<SecondTry>), ConfigError> {
        let (told, outcomes) = mpsc::channel(OUTCOMES_MAX);
        let (again, second_tries) = mpsc::channel(SECOND_TRIES_MAX);
        let mut ways = Vec::new();
        for (at, config) in configs.iter().enumerate() {
            let (bounded, taken) = mpsc::channel(SINK_CAPACITY);
            let (own, own_outcomes) = mpsc::channel(SINK_CAPACITY);
            let sink = sink::start(config, taken, own)?;
            let (deliveries, waiting) = mpsc::unbounded_channel();
            let feeder = tokio::spawn(feed(waiting, bounded));
            tokio::spawn(name_outcomes(at, own_outcomes, told.clone()));
            let (name, matches) = (sink_name(at, config), config.matches.clone());
            ways.push(Way { name, matches, deliveries, sink, feeder });
        }
        Ok((Outlet { ways, told, outcomes, second_tries }, again))
    }

    /// Name, and state and counters of each sink.
    pub fn endpoints(&self) -> Vec<(String, Arc<Status>)> {
        self.ways.iter().map(|way| (way.name.clone(), way.sink.status().clone())).collect()
    }

    /// Moves publications until `stopped`, and then what is on its way for a few seconds more.
    pub async fn run(
        mut self,
        mut publications: mpsc::UnboundedReceiver<Publication>,
        (node, metadata, metrics): (Handle, Arc<Metadata>, Arc<Metrics>),
        stopped: CancellationToken,
    ) {
        let names = self.ways.iter().map(|way| way.name.clone()).collect();
        let mut desk = Desk { names, node, metadata, metrics, next: 0, pending: HashMap::new() };
        let mut outcomes = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stopped.cancelled() => break,
                _ = self.outcomes.recv_many(&mut outcomes, OUTCOMES_MAX) => desk.settle(&mut outcomes).await,
                Some(again) = self.second_tries.recv() => desk.try_again(again, &self.ways),
                publication = publications.recv() => match publication {
                    Some(publication) => desk.dispatch(publication, &self.ways),
                    None => break,
                },
            }
        }
        self.finish(desk).await;
    }

    async fn finish(mut self, mut desk: Desk) {
        drop(self.told);
        let mut sinks = Vec::new();
        for way in self.ways {
            drop(way.deliveries);
            sinks.push((way.feeder, way.sink));
        }
        let mut outcomes = Vec::new();
        let rest = async {
            while !desk.pending.is_empty() && self.outcomes.recv_many(&mut outcomes, OUTCOMES_MAX).await > 0 {
                desk.settle(&mut outcomes).await;
            }
        };
        if tokio::time::timeout(STOP_PATIENCE, rest).await.is_err() {
            tracing::warn!("events that have not arrived will be delivered after the next start");
        }
        for (feeder, sink) in sinks {
            feeder.abort();
            drop(sink);
        }
    }
}

/// Hands deliveries to a sink as fast as it takes them.
async fn feed(mut waiting: mpsc::UnboundedReceiver<Delivery>, sink: mpsc::Sender<Delivery>) {
    while let Some(delivery) = waiting.recv().await {
        if sink.send(delivery).await.is_err() {
            return;
        }
    }
}

/// Says whose outcomes they are.
async fn name_outcomes(at: usize, mut own: mpsc::Receiver<Outcome>, all: mpsc::Sender<(usize, Outcome)>) {
    while let Some(outcome) = own.recv().await {
        if all.send((at, outcome)).await.is_err() {
            return;
        }
    }
}

/// For whom an event is delivered.
enum Owner {
    Shard { shard: ShardId, publication: u64 },
    SecondTry(oneshot::Sender<Result<(), String>>),
}

/// An event that some sinks are not done with.
struct Pending {
    owner: Owner,
    event: Arc<CloudEvent>,
    left: usize,
}

/// Who knows which event is with how many sinks.
struct Desk {
    names: Vec<String>,
    node: Handle,
    metadata: Arc<Metadata>,
    metrics: Arc<Metrics>,
    next: u64,
    pending: HashMap<u64, Pending>,
}

impl Desk {
    fn dispatch(&mut self, publication: Publication, ways: &[Way]) {
        let Publication { shard, publication, event } = publication;
        let wanted: Vec<&Way> = ways.iter().filter(|way| way.matches.accepts(&event.event_type)).collect();
        if wanted.is_empty() {
            // The settings have changed since it was published: nobody wants it any more.
            self.node.delivered(shard, vec![publication]);
        } else {
            self.deliver(Owner::Shard { shard, publication }, event, &wanted);
        }
    }

    fn try_again(&mut self, again: SecondTry, ways: &[Way]) {
        // Without its sink it is dropped, which tells who asked.
        if let Some(way) = ways.iter().find(|way| way.name == again.sink) {
            self.deliver(Owner::SecondTry(again.outcome), again.event, &[way]);
        }
    }

    fn deliver(&mut self, owner: Owner, event: Arc<CloudEvent>, ways: &[&Way]) {
        let id = self.next;
        self.next += 1;
        for way in ways {
            // A sink that has ended was told of in the log; the publication stays in the outbox.
            let _ = way.deliveries.send(Delivery { event: event.clone(), id });
        }
        self.pending.insert(id, Pending { owner, event, left: ways.len() });
    }

    async fn settle(&mut self, outcomes: &mut Vec<(usize, Outcome)>) {
        let mut letters = Vec::new();
        let mut done: BTreeMap<ShardId, Vec<u64>> = BTreeMap::new();
        for (sink, Outcome { id, result }) in outcomes.drain(..) {
            let Some(pending) = self.pending.get_mut(&id) else { continue };
            if let (Err(reason), Owner::Shard { .. }) = (&result, &pending.owner) {
                let name = self.names.get(sink).map(String::as_str).unwrap_or_default();
                letters.push(letter(name, &pending.event, reason));
            }
            pending.left -= 1;
            if pending.left > 0 {
                continue;
            }
            match self.pending.remove(&id).map(|pending| pending.owner) {
                Some(Owner::Shard { shard, publication }) => done.entry(shard).or_default().push(publication),
                Some(Owner::SecondTry(told)) => {
                    // Who asked may have gone.
                    let _ = told.send(result);
                }
                None => {}
            }
        }
        self.store(&letters).await;
        for (shard, publications) in done {
            self.node.delivered(shard, publications);
        }
    }

    /// Stores dead letters, however long that takes: before it the shards do not forget the events.
    async fn store(&self, letters: &[DeadLetter]) {
        if letters.is_empty() {
            return;
        }
        self.metrics.undeliverable.fetch_add(letters.len() as u64, Ordering::Relaxed);
        for letter in letters {
            tracing::warn!(sink = %letter.source, reason = letter.reason, "a sink refuses an event for good");
        }
        let letters: Vec<&DeadLetter> = letters.iter().collect();
        while let Err(error) = self.metadata.keep_dead_letters(&letters).await {
            tracing::error!(%error, "dead letters can't be stored; trying again");
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }
}

/// What a sink refuses for good.
pub(crate) fn letter(sink: &str, event: &CloudEvent, reason: &str) -> DeadLetter {
    DeadLetter {
        source: sink.into(),
        received_at: now(),
        topic: event.event_type.to_string(),
        place: None,
        key: None,
        headers: vec![("content-type".to_owned(), binding::STRUCTURED.into())],
        payload: Some(binding::json::render(event).into()),
        stage: Stage::Delivery,
        reason: reason.to_owned(),
    }
}
