//! A node as a whole: everything started in order, and stopped in the reverse of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trinity_actors::call::Egress;
use trinity_actors::handle::Handle;
use trinity_actors::journal;
use trinity_actors::node::{Node, NodeOptions, Outlets, StartError};
use trinity_actors::pipeline::SnapshotRule;
use trinity_analytics::{Analytics, AnalyticsError, Retention};
use trinity_engine::shard::TypePattern;
use trinity_ingest::config::{ConfigError, MatchConfig, SinkConfig, SourceConfig};
use trinity_ingest::mapping::Decoder;
use trinity_ingest::source::{CHANNEL_CAPACITY, Source};

use crate::config::{Config, Durability};
use crate::library::Definitions;
use crate::measure;
use crate::metadata::{KeySource, Metadata, MetadataError};
use crate::outlet::{Outlet, SecondTry, sink_name};
use crate::published::to_sinks::{self, Feeder};
use crate::pump::Pump;
use crate::rest::metrics::Metrics;
use crate::rest::{self, Api, Endpoint};

/// Batches of measurements that wait for the analytics.
const MEASUREMENTS_CAPACITY: usize = 64;
/// How long requests that are under way may take when the node stops.
const REQUESTS_PATIENCE: Duration = Duration::from_secs(5);
/// How long a start waits for the shards, and how often it looks.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);
const OPEN_POLL: Duration = Duration::from_millis(2);
/// How long the analytics may take to keep what was measured.
const MEASUREMENTS_PATIENCE: Duration = Duration::from_secs(10);
/// How long sources may take to stop.
const SOURCES_PATIENCE: Duration = Duration::from_secs(10);

/// Why a node can't start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The metadata store.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The journal and the shards.
    #[error(transparent)]
    Node(#[from] StartError),
    /// The time series.
    #[error(transparent)]
    Analytics(#[from] AnalyticsError),
    /// A source or sink.
    #[error("{0}")]
    Endpoint(#[from] ConfigError),
    /// The port.
    #[error("can't listen on {host}:{port}: {error}")]
    Listen {
        /// Host of the settings.
        host: String,
        /// Port of the settings.
        port: u16,
        /// Why.
        error: std::io::Error,
    },
}

/// A running node.
pub struct App {
    address: SocketAddr,
    handle: Handle,
    node: Node,
    metadata: Arc<Metadata>,
    sources: Vec<Source>,
    pumps: Vec<JoinHandle<()>>,
    /// Lifecycle events to sinks.
    feeders: Vec<JoinHandle<()>>,
    outlet: JoinHandle<()>,
    measurements: JoinHandle<()>,
    server: JoinHandle<()>,
    /// Nothing new from here on.
    stopping: CancellationToken,
    /// Pumps end, whatever they have.
    pumps_stopped: CancellationToken,
    outlet_stopped: CancellationToken,
}

impl App {
    /// Starts everything: metadata, definitions, shards, sinks, the API, and sources last.
    ///
    /// # Errors
    /// What is in the way.
    pub async fn start(config: &Config) -> Result<App, AppError> {
        // The port first: when another node has it, nothing below is touched.
        let listener = listen(config).await?;
        let address = listener.local_addr().map_err(|error| unable_to_listen(config, error))?;
        let metadata = Arc::new(open_metadata(config).await?);
        let node_name = metadata.node_name().await?;
        let patterns = config.sinks.iter().map(|sink| pattern(&sink.matches.event_type)).collect();
        let definitions = Arc::new(Definitions::load(metadata.clone(), config.engine.shards, patterns).await?);
        let (outlet, second_tries) = Outlet::start(&config.sinks)?;
        let decoders = decoders(&config.sources)?;
        let analytics = Arc::new(Analytics::open(Some(config.analytics_path()), Retention::default())?);

        let (measured, measurements) = mpsc::channel(MEASUREMENTS_CAPACITY);
        let (published, publications) = mpsc::unbounded_channel();
        let outlets = Outlets { measurements: measured, publications: published };
        let node = Node::start(node_options(config), definitions.catalog(), outlets).await?;
        let handle = node.handle();
        let (stopping, pumps_stopped, outlet_stopped) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let metrics = Arc::new(Metrics::default());
        let mut endpoints: Vec<Endpoint> =
            outlet.endpoints().into_iter().map(|(name, status)| Endpoint { name, kind: "sink", status }).collect();
        let measurements = tokio::spawn(measure::record(analytics.clone(), metrics.clone(), measurements));
        let ways = (handle.clone(), metadata.clone(), metrics.clone());
        let outlet = tokio::spawn(outlet.run(publications, ways, outlet_stopped.clone()));
        open(&handle).await;
        let feeders = start_feeders(config, &definitions, &handle, &second_tries, &stopping);
        let (mut sources, mut pumps) = (Vec::new(), Vec::new());
        for source in &config.sources {
            let (intake, intakes) = mpsc::channel(CHANNEL_CAPACITY);
            let started = match &source.mqtt {
                Some(_) => trinity_ingest::mqtt::start(source, &node_name, intake)?,
                None => trinity_ingest::kafka::start(source, intake)?,
            };
            endpoints.push(Endpoint { name: source.name.clone(), kind: "source", status: started.status().clone() });
            let pump = Pump::new(&source.name, handle.clone(), metadata.clone(), pumps_stopped.clone());
            pumps.push(tokio::spawn(pump.run(intakes)));
            sources.push(started);
        }
        let api = Api {
            definitions,
            node: handle.clone(),
            node_name,
            body_max: config.server.body_max,
            room: rest::body::Room::default(),
            lifecycle_events: config.engine.lifecycle_events,
            analytics,
            second_tries,
            decoders,
            endpoints,
            metrics,
            host: config.server.host.clone(),
            stopping: stopping.clone(),
        };
        let server = tokio::spawn(serve(listener, rest::router(Arc::new(api)), stopping.clone()));
        tracing::info!(%address, shards = config.engine.shards, "the node is up");
        Ok(App {
            address,
            handle,
            node,
            metadata,
            sources,
            pumps,
            feeders,
            outlet,
            measurements,
            server,
            stopping,
            pumps_stopped,
            outlet_stopped,
        })
    }

    /// Where the API listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The way to the shards.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Stops everything in order: nothing new, what is under way to its end, all of it on the disk.
    pub async fn stop(mut self) {
        tracing::info!("the node stops");
        self.stopping.cancel();
        let sources = self.sources.drain(..).map(Source::stop);
        if tokio::time::timeout(SOURCES_PATIENCE, futures::future::join_all(sources)).await.is_err() {
            tracing::warn!("a source did not stop in time; its broker delivers again what was not acknowledged");
        }
        self.pumps_stopped.cancel();
        for pump in self.pumps {
            join(pump, "a pump").await;
        }
        if tokio::time::timeout(REQUESTS_PATIENCE, &mut self.server).await.is_err() {
            self.server.abort();
        }
        for feeder in self.feeders {
            join(feeder, "a feeder of a sink").await;
        }
        self.outlet_stopped.cancel();
        join(self.outlet, "the outlet").await;
        self.node.drain().await;
        if tokio::time::timeout(MEASUREMENTS_PATIENCE, join(self.measurements, "the analytics")).await.is_err() {
            tracing::error!("somebody measures still; what was measured last is lost");
        }
        self.metadata.close().await;
        tracing::info!("the node has stopped");
    }
}

/// What feeds lifecycle events to the sinks that take them.
fn start_feeders(
    config: &Config,
    definitions: &Arc<Definitions>,
    node: &Handle,
    deliveries: &mpsc::Sender<SecondTry>,
    stopping: &CancellationToken,
) -> Vec<JoinHandle<()>> {
    let wanted = |matches: &MatchConfig| config.engine.lifecycle_events && to_sinks::wants_lifecycle(matches);
    let sinks = config.sinks.iter().enumerate().filter(|(_, sink)| wanted(&sink.matches));
    let feeder = |(at, sink): (usize, &SinkConfig)| Feeder {
        sink: sink_name(at, sink),
        matches: sink.matches.clone(),
        node: node.clone(),
        definitions: definitions.clone(),
        deliveries: deliveries.clone(),
    };
    sinks.map(feeder).map(|feeder| tokio::spawn(feeder.run(stopping.clone()))).collect()
}

/// Waits for the shards to have told each other who listens where, so that who hears of the address finds the node ready.
/// A node that takes longer says so at `/readyz`.
async fn open(handle: &Handle) {
    let all_open = async {
        while !handle.status().is_ready() {
            tokio::time::sleep(OPEN_POLL).await;
        }
    };
    if tokio::time::timeout(OPEN_PATIENCE, all_open).await.is_err() {
        tracing::warn!("the shards are not open yet");
    }
}

async fn join(task: JoinHandle<()>, what: &str) {
    if let Err(error) = task.await {
        tracing::error!(%error, what, "failed");
    }
}

async fn serve(listener: TcpListener, router: axum::Router, stopping: CancellationToken) {
    // A stream of events writes little at a time: it must not wait until the client has confirmed what came before.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection can't be told to send at once");
        }
    });
    let served = axum::serve(listener, router).with_graceful_shutdown(stopping.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the API has ended");
    }
}

async fn listen(config: &Config) -> Result<TcpListener, AppError> {
    let host = config.server.host.trim_matches(['[', ']']);
    TcpListener::bind((host, config.server.port)).await.map_err(|error| unable_to_listen(config, error))
}

fn unable_to_listen(config: &Config, error: std::io::Error) -> AppError {
    AppError::Listen { host: config.server.host.clone(), port: config.server.port, error }
}

async fn open_metadata(config: &Config) -> Result<Metadata, MetadataError> {
    let path = config.secret_key_path();
    let key = config.secrets.key.as_deref().map_or(KeySource::File(&path), KeySource::Given);
    let connections = config.database.pool_size.saturating_add(config.database.max_overflow);
    Metadata::open(&config.database_path(), connections, key).await
}

fn node_options(config: &Config) -> NodeOptions {
    let standard = NodeOptions::in_directory(config.journal_path());
    let egress = Egress {
        deny_private: config.egress.deny_private,
        allow_loopback: config.is_loopback(),
        allow: config.egress.allow.clone().into(),
    };
    let journal = journal::Options {
        durability: match config.engine.durability {
            Durability::Sync => journal::Durability::Sync,
            Durability::Relaxed => journal::Durability::Relaxed,
        },
        retention: journal::Retention { age: config.engine.retention.age(), bytes: config.engine.retention.bytes() },
        segment_bytes: config.engine.segment_bytes().unwrap_or(standard.journal.segment_bytes),
        seed: None,
    };
    let after_bytes = config.engine.snapshot_bytes().and_then(|bytes| usize::try_from(bytes).ok());
    let after_bytes = after_bytes.unwrap_or(standard.snapshots.after_bytes);
    NodeOptions {
        shards: config.engine.shards,
        egress,
        journal,
        publications_max: config.engine.outbox_bytes().unwrap_or(standard.publications_max),
        snapshots: SnapshotRule { after_bytes, ..standard.snapshots },
        ..standard
    }
}

/// As `match.type` of a sink writes it.
fn pattern(text: &str) -> TypePattern {
    match text.strip_suffix('*') {
        Some(prefix) => TypePattern::Prefix(prefix.into()),
        None => TypePattern::Exact(text.into()),
    }
}

fn decoders(sources: &[SourceConfig]) -> Result<BTreeMap<String, Decoder>, ConfigError> {
    sources.iter().map(|source| Ok((source.name.clone(), Decoder::new(source)?))).collect()
}
