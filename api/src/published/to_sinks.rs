//! Lifecycle events on their way to sinks: read out of the journal from where each sink has them, at least once.
//!
//! Emitted events go another way, through the outbox of their shard.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use trinity_actors::handle::Handle;
use trinity_actors::journal::JournalError;
use trinity_engine::event::CloudEvent;
use trinity_engine::value::Value;
use trinity_ingest::binding;
use trinity_ingest::config::MatchConfig;

use super::{Filter, Position, newest};
use crate::library::Definitions;
use crate::metadata::MetadataError;
use crate::outlet::{SecondTry, letter};

/// Events that are read, and delivered, at once.
const BATCH: usize = 500;
/// How long a batch may take when the node stops; what it had not finished comes again.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait after something failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a batch was not delivered.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    #[error("the reader failed: {0}")]
    Reader(#[from] tokio::task::JoinError),
    #[error("the sink has ended")]
    SinkEnded,
}

/// Whether a sink may take lifecycle events.
pub(crate) fn wants_lifecycle(matches: &MatchConfig) -> bool {
    let pattern = matches.event_type.as_str();
    match pattern.strip_suffix('*') {
        Some(prefix) => super::is_lifecycle(prefix) || super::lifecycle::PREFIX.starts_with(prefix),
        None => super::is_lifecycle(pattern),
    }
}

/// Feeds one sink.
pub(crate) struct Feeder {
    pub sink: String,
    pub matches: MatchConfig,
    pub node: Handle,
    pub definitions: Arc<Definitions>,
    pub deliveries: mpsc::Sender<SecondTry>,
}

impl Feeder {
    /// Delivers until `stopped`. A sink that is new gets what comes from now on.
    pub async fn run(self, stopped: CancellationToken) {
        let mut commits = self.node.commits();
        let patience = async {
            stopped.cancelled().await;
            tokio::time::sleep(STOP_PATIENCE).await;
        };
        tokio::select! {
            () = patience => {}
            () = self.feed(&mut commits, &stopped) => {}
        }
    }

    async fn feed(&self, commits: &mut watch::Receiver<u64>, stopped: &CancellationToken) {
        let mut position = None;
        while !stopped.is_cancelled() {
            match self.batch(&mut position).await {
                Ok(true) => {}
                Ok(false) => tokio::select! {
                    () = stopped.cancelled() => return,
                    changed = commits.changed() => if changed.is_err() {
                        return;
                    },
                },
                Err(error) => {
                    tracing::error!(sink = self.sink, %error, "lifecycle events can't be delivered; trying again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Delivers what comes after a position, and moves it. Whether there may be more at once.
    async fn batch(&self, position: &mut Option<Position>) -> Result<bool, Failed> {
        let after = match *position {
            Some(position) => position,
            None => self.begin().await?,
        };
        let (reader, library) = (self.node.reader().clone(), self.definitions.library());
        let filter = Filter { event_type: Some(self.matches.event_type.clone()), lifecycle: true, emitted: false };
        let found = super::forward(reader, library, filter, BATCH, Some(after)).await??;
        let end = found.next.or(found.seen).unwrap_or(after);
        if !found.events.is_empty() {
            let events: Vec<Value> = found.events.into_iter().map(|(_, event)| event).collect();
            self.deliver(&events).await?;
            self.definitions.metadata().set_setting(&self.key(), &end.to_string()).await?;
        }
        *position = Some(end);
        Ok(found.next.is_some())
    }

    /// Where the sink has got to; the end of the journal for one that is new.
    async fn begin(&self) -> Result<Position, Failed> {
        let metadata = self.definitions.metadata();
        if let Some(known) = metadata.setting(&self.key()).await?.and_then(|text| text.parse().ok()) {
            return Ok(known);
        }
        let reader = self.node.reader().clone();
        let end = tokio::task::spawn_blocking(move || newest(&reader)).await??.unwrap_or(Position::BEGIN);
        metadata.set_setting(&self.key(), &end.to_string()).await?;
        Ok(end)
    }

    fn key(&self) -> String {
        format!("lifecycle of {}", self.sink)
    }

    /// Delivers events; what the sink refuses for good becomes a dead letter.
    async fn deliver(&self, events: &[Value]) -> Result<(), Failed> {
        let mut under_way = Vec::with_capacity(events.len());
        for event in events {
            // They are ours: each is one.
            let Ok(event) = binding::json::from_value(event) else { continue };
            let event = Arc::new(event);
            let (outcome, told) = oneshot::channel();
            let delivery = SecondTry { sink: self.sink.clone(), event: event.clone(), outcome };
            self.deliveries.send(delivery).await.map_err(|_| Failed::SinkEnded)?;
            under_way.push((event, told));
        }
        let mut refused: Vec<(Arc<CloudEvent>, String)> = Vec::new();
        for (event, told) in under_way {
            if let Err(reason) = told.await.map_err(|_| Failed::SinkEnded)? {
                refused.push((event, reason));
            }
        }
        let letters: Vec<_> = refused.iter().map(|(event, reason)| letter(&self.sink, event, reason)).collect();
        if !letters.is_empty() {
            self.definitions.metadata().keep_dead_letters(&letters.iter().collect::<Vec<_>>()).await?;
        }
        Ok(())
    }
}
