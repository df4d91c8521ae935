//! How the end of an execution is seen. The workflow's last task emits an event with the id of the message; such an event leaves
//! the node only after the block with the execution's end is on the disk. So the moment it arrives here is an upper bound of
//! when the end was durable: the way back is in it.

mod kafka;
mod mqtt;
mod stream;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::message::Naming;
use crate::send::mqtt::Broker;
use crate::server::Server;
use crate::step::Step;

/// The way on which ends are seen.
#[derive(Clone, Debug)]
pub enum Ends {
    /// Server-sent events of the node.
    Stream,
    /// A topic of an MQTT broker that a sink publishes to.
    Mqtt {
        /// The broker.
        broker: Broker,
        /// The topic, as a filter.
        topic: String,
    },
    /// A topic of Kafka that a sink writes to.
    Kafka {
        /// The brokers.
        brokers: String,
        /// The topic.
        topic: String,
    },
    /// The list of executions, once all is sent. Without latencies.
    List,
    /// By the answer to the request itself.
    Answer,
    /// Not at all.
    Unseen,
}

impl Ends {
    /// Whether ends are seen as they come.
    #[must_use]
    pub fn are_seen(&self) -> bool {
        matches!(self, Ends::Stream | Ends::Mqtt { .. } | Ends::Kafka { .. })
    }

    /// Whether it is known in the end which executions ended.
    #[must_use]
    pub fn are_checked(&self) -> bool {
        self.are_seen() || matches!(self, Ends::List | Ends::Answer)
    }
}

/// All steps of a run, to find the one that an end belongs to.
#[derive(Debug)]
pub struct Steps {
    naming: Arc<Naming>,
    steps: RwLock<Vec<Arc<Step>>>,
}

/// An event that tells an end.
#[derive(Deserialize)]
struct Done {
    id: String,
    data: Value,
}

impl Steps {
    /// No steps yet.
    #[must_use]
    pub fn new(naming: Arc<Naming>) -> Steps {
        Steps { naming, steps: RwLock::default() }
    }

    /// Adds the next.
    pub fn push(&self, step: Arc<Step>) {
        self.steps.write().unwrap_or_else(PoisonError::into_inner).push(step);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.steps.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn find(&self, id: &str) -> Option<(Arc<Step>, u64)> {
        let (step, n) = self.naming.parse(id)?;
        let steps = self.steps.read().unwrap_or_else(PoisonError::into_inner);
        Some((steps.get(step)?.clone(), n))
    }

    /// The end of the message with this id was told by an event. Those of other runs are none of ours.
    fn ended(&self, id: &str, event: &str, now: Instant) {
        if let Some((step, n)) = self.find(id) {
            step.ended(n, event, now);
        }
    }

    /// As [`Steps::ended`], with the event as JSON.
    fn done(&self, event: &[u8], now: Instant) {
        if let Ok(done) = serde_json::from_slice::<Done>(event)
            && let Some(id) = message_id(&done.data)
        {
            self.ended(id, &done.id, now);
        }
    }

    /// As [`Steps::ended`], with the event's id and data.
    fn done_binary(&self, event: &str, data: &[u8], now: Instant) {
        if let Ok(data) = serde_json::from_slice::<Value>(data)
            && let Some(id) = message_id(&data)
        {
            self.ended(id, event, now);
        }
    }

    /// Looks up all executions of a workflow since a time, oldest first.
    ///
    /// # Errors
    /// The node does not tell.
    pub async fn look_up(&self, server: &Server, workflow: &str, from: &str) -> Result<(), String> {
        let mut all = Vec::new();
        let each = |executions: Vec<crate::server::Execution>| {
            let ours = executions.into_iter().filter(|own| own.status == "completed");
            all.extend(ours.filter_map(|own| Some((self.find(own.output_id()?)?, own.id))));
            true
        };
        server.executions(&[("workflowId", workflow), ("from", from)], each).await?;
        for ((step, n), execution) in all.into_iter().rev() {
            step.found(n, &execution);
        }
        Ok(())
    }
}

fn message_id(data: &Value) -> Option<&str> {
    data.get("id")?.as_str()
}

/// Watches for ends until the tasks are dropped; when it returns nothing is missed any more.
///
/// # Errors
/// Nobody answers there.
pub async fn watch(ends: &Ends, server: &Server, steps: &Arc<Steps>) -> Result<JoinSet<String>, String> {
    let mut watcher = JoinSet::new();
    match ends {
        Ends::Stream => {
            let follower = stream::Follower::start(server.clone(), steps.clone()).await?;
            watcher.spawn(follower.run());
        }
        Ends::Mqtt { broker, topic } => {
            let events = mqtt::subscribe(broker, topic, &steps.naming.run).await?;
            watcher.spawn(mqtt::run(events, steps.clone()));
        }
        Ends::Kafka { brokers, topic } => {
            let (brokers, topic) = (brokers.clone(), topic.clone());
            let assigned = tokio::task::spawn_blocking(move || kafka::assign(&brokers, &topic));
            let consumer = assigned.await.map_err(|error| error.to_string())??;
            watcher.spawn(kafka::run(consumer, steps.clone()));
        }
        Ends::List | Ends::Answer | Ends::Unseen => {}
    }
    Ok(watcher)
}
