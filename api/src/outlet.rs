//! From the shards to the sinks and back: each emitted event goes to every sink that takes it, and the shard hears when all
//! of them are done with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trinity_actors::handle::Handle;
use trinity_actors::node::Publication;
use trinity_engine::event::CloudEvent;
use trinity_engine::ids::ShardId;
use trinity_ingest::config::{ConfigError, MatchConfig, SinkConfig};
use trinity_ingest::sink::{self, Delivery, Outcome, Sink};

use crate::rest::metrics::Metrics;

/// Deliveries that a sink takes before it has finished the first.
const SINK_CAPACITY: usize = 1024;
/// Outcomes that are told to the shards at once.
const OUTCOMES_MAX: usize = 4096;
/// How long a stopping node waits for its sinks; what has not arrived is delivered after the next start.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A sink and the way to it.
struct Way {
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
    told: mpsc::Sender<Outcome>,
    outcomes: mpsc::Receiver<Outcome>,
}

/// Name of the sink at a place in the settings, for metrics and logs.
fn sink_name(at: usize, config: &SinkConfig) -> String {
    let kind = match (&config.kafka, &config.mqtt) {
        (Some(_), _) => "kafka",
        (None, Some(_)) => "mqtt",
        (None, None) => "http",
    };
    format!("{kind}-{at}")
}

impl Outlet {
    /// Starts all sinks. Whom they deliver to need not answer yet.
    pub fn start(configs: &[SinkConfig]) -> Result<Outlet, ConfigError> {
        let (told, outcomes) = mpsc::channel(OUTCOMES_MAX);
        let mut ways = Vec::new();
        for config in configs {
            let (bounded, taken) = mpsc::channel(SINK_CAPACITY);
            let sink = sink::start(config, taken, told.clone())?;
            let (deliveries, waiting) = mpsc::unbounded_channel();
            let feeder = tokio::spawn(feed(waiting, bounded));
            ways.push(Way { matches: config.matches.clone(), deliveries, sink, feeder });
        }
        Ok(Outlet { ways, told, outcomes })
    }

    /// Name, and state and counters of each sink.
    pub fn endpoints(&self, configs: &[SinkConfig]) -> Vec<(String, Arc<trinity_ingest::status::Status>)> {
        let named = self.ways.iter().zip(configs).enumerate();
        named.map(|(at, (way, config))| (sink_name(at, config), way.sink.status().clone())).collect()
    }

    /// Moves publications until `stopped`, and then what is on its way for a few seconds more.
    pub async fn run(
        mut self,
        mut publications: mpsc::UnboundedReceiver<Publication>,
        node: Handle,
        metrics: Arc<Metrics>,
        stopped: CancellationToken,
    ) {
        let mut desk = Desk { node, metrics, next: 0, pending: HashMap::new() };
        let mut outcomes = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = stopped.cancelled() => break,
                _ = self.outcomes.recv_many(&mut outcomes, OUTCOMES_MAX) => desk.settle(&mut outcomes),
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
                desk.settle(&mut outcomes);
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

/// A publication that some sinks are not done with.
struct Pending {
    shard: ShardId,
    publication: u64,
    event: Arc<CloudEvent>,
    left: usize,
}

/// Who knows which publication is with how many sinks.
struct Desk {
    node: Handle,
    metrics: Arc<Metrics>,
    next: u64,
    pending: HashMap<u64, Pending>,
}

impl Desk {
    fn dispatch(&mut self, publication: Publication, ways: &[Way]) {
        let Publication { shard, publication, event } = publication;
        let id = self.next;
        self.next += 1;
        let mut left = 0;
        for way in ways.iter().filter(|way| way.matches.accepts(&event.event_type)) {
            // A sink that has ended was told so in the log; the publication stays in the outbox.
            let _ = way.deliveries.send(Delivery { event: event.clone(), id });
            left += 1;
        }
        if left == 0 {
            // The settings have changed since it was published: nobody wants it any more.
            self.node.delivered(shard, vec![publication]);
        } else {
            self.pending.insert(id, Pending { shard, publication, event, left });
        }
    }

    fn settle(&mut self, outcomes: &mut Vec<Outcome>) {
        let mut done: BTreeMap<ShardId, Vec<u64>> = BTreeMap::new();
        for outcome in outcomes.drain(..) {
            let Some(pending) = self.pending.get_mut(&outcome.id) else { continue };
            if let Err(reason) = outcome.result {
                self.metrics.undeliverable.fetch_add(1, Ordering::Relaxed);
                let event = &pending.event;
                tracing::error!(id = %event.id, event_type = %event.event_type, reason, "a sink refuses an event for good");
            }
            pending.left -= 1;
            if pending.left == 0 {
                done.entry(pending.shard).or_default().push(pending.publication);
                self.pending.remove(&outcome.id);
            }
        }
        for (shard, publications) in done {
            self.node.delivered(shard, publications);
        }
    }
}
