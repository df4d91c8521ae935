//! To the node's API: events one by one or in batches, executions that are waited for, and executions that are read.
//!
//! A line has one request under way, as a client's connection does. What becomes due while it waits goes late, and that counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::message::Naming;
use crate::pace::Due;
use crate::server::Server;
use crate::step::Step;

/// What is asked of the node.
#[derive(Clone)]
pub enum Request {
    /// Publish up to so many events at once.
    Events {
        /// Events of one request at most.
        batch: u64,
    },
    /// Execute the workflow with this id, and wait so long for its end.
    Execute {
        /// Id of the workflow.
        workflow: String,
        /// How long.
        wait: Duration,
    },
    /// Read one of these executions, in turns.
    Get {
        /// Their ids, renewed meanwhile.
        executions: watch::Receiver<Arc<Vec<String>>>,
    },
}

/// The API of a node.
pub struct Http {
    server: Server,
    request: Request,
    connections: u64,
    naming: Arc<Naming>,
}

/// A connection.
pub struct Line {
    server: Server,
    request: Request,
    step: Arc<Step>,
    naming: Arc<Naming>,
    turn: Turn,
}

/// Which messages are a line's.
enum Turn {
    /// Every so many: keeps the order of keys.
    Own { next: u64, every: u64 },
    /// Whoever is free takes the next.
    Shared(Arc<AtomicU64>),
}

impl Turn {
    /// The next message, when it is due.
    fn take(&mut self, due: u64) -> Option<u64> {
        match self {
            Turn::Own { next, every } if *next < due => {
                *next += *every;
                Some(*next - *every)
            }
            Turn::Own { .. } => None,
            Turn::Shared(next) => {
                let step = |next| (next < due).then_some(next + 1);
                next.try_update(Ordering::Relaxed, Ordering::Relaxed, step).ok()
            }
        }
    }
}

impl Http {
    /// Requests of this kind, over so many connections.
    #[must_use]
    pub fn new(server: Server, request: Request, connections: u64, naming: Arc<Naming>) -> Http {
        Http { server, request, connections, naming }
    }

    pub(super) fn open(&self, step: &Arc<Step>) -> Vec<Line> {
        let shared = Arc::new(AtomicU64::new(0));
        let line = |number| Line {
            server: self.server.clone(),
            request: self.request.clone(),
            step: step.clone(),
            naming: self.naming.clone(),
            turn: match self.request {
                Request::Events { .. } => Turn::Own { next: number, every: self.connections },
                Request::Execute { .. } | Request::Get { .. } => Turn::Shared(shared.clone()),
            },
        };
        (0..self.connections).map(line).collect()
    }
}

impl Line {
    pub(super) async fn run(mut self, mut due: Due) -> Result<(), String> {
        let batch = if let Request::Events { batch } = self.request { batch } else { 1 };
        let mut free = Instant::now();
        let mut numbers = Vec::new();
        loop {
            let (open, until) = (due.changed().await.is_ok(), *due.borrow_and_update());
            loop {
                numbers.clear();
                numbers.extend(std::iter::from_fn(|| self.turn.take(until)).take(usize::try_from(batch).unwrap_or(1)));
                if numbers.is_empty() {
                    break;
                }
                let now = Instant::now();
                numbers.iter().for_each(|n| self.step.sent(*n, free, now));
                if let Err(reason) = self.ask(&numbers).await {
                    numbers.iter().for_each(|_| self.step.refused(&reason));
                }
                free = Instant::now();
            }
            if !open {
                return Ok(());
            }
        }
    }

    async fn ask(&self, numbers: &[u64]) -> Result<(), String> {
        let step = self.step.number;
        match &self.request {
            Request::Events { batch } => {
                let events: Vec<String> = numbers.iter().map(|n| self.naming.event(step, *n)).collect();
                let (kind, body) = if *batch == 1 {
                    ("application/cloudevents+json", events.concat())
                } else {
                    ("application/cloudevents-batch+json", format!("[{}]", events.join(",")))
                };
                self.server.publish(kind, body).await?;
                let now = Instant::now();
                numbers.iter().for_each(|n| self.step.acked(*n, now));
            }
            Request::Execute { workflow, wait } => {
                for n in numbers {
                    let (id, input) = (self.naming.id(step, *n), self.naming.payload(step, *n));
                    let execution = self.server.execute(workflow, *wait, &id, format!("[{input}]")).await?;
                    let now = Instant::now();
                    self.step.acked(*n, now);
                    if execution.status == "completed" && execution.output_id() == Some(&id) {
                        self.step.ended(*n, &execution.id, now);
                    } else {
                        return Err(format!("an execution is {} with another output", execution.status));
                    }
                }
            }
            Request::Get { executions } => {
                let executions = executions.borrow().clone();
                for n in numbers {
                    // In turns, in steps of a prime number: one after the other would find each block in memory.
                    let at = usize::try_from(n * 7_919).unwrap_or(0) % executions.len().max(1);
                    let wanted = executions.get(at).ok_or("there are no executions to read")?;
                    let execution = self.server.execution(wanted).await?;
                    if &execution.id != wanted {
                        return Err("another execution than the one that was asked for".into());
                    }
                    self.step.acked(*n, Instant::now());
                }
            }
        }
        Ok(())
    }
}
