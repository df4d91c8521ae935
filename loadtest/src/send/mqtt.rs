//! Over MQTT 5 with QoS 1, on several connections. A key's messages go over one of them, so that the broker keeps their order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Outgoing};
use tokio::task::JoinSet;
use url::Url;

use super::answered;
use crate::message::Naming;
use crate::pace::Due;
use crate::step::Step;

/// Messages that wait in a client for the broker; beyond it the broker holds the sender up.
const QUEUE: usize = 4_096;
/// How long a broker may take to answer.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long a session outlives its connection, so that a message is not lost with it.
const SESSION_SECONDS: u32 = 60;
/// Connections in a row that may fail before a sender gives up.
const FAILURES_MAX: u32 = 100;

/// A topic of a broker.
pub struct Mqtt {
    broker: Broker,
    /// With `{key}` where the key goes.
    topic: String,
    connections: u64,
    naming: Arc<Naming>,
    /// Messages that the broker had no subscriber for.
    unheard: Arc<AtomicU64>,
}

/// How a broker is reached.
#[derive(Clone, Debug)]
pub struct Broker {
    host: String,
    port: u16,
    credentials: Option<(String, String)>,
}

impl Broker {
    /// The broker of an address such as `mqtt://user:password@127.0.0.1:1883`.
    ///
    /// # Errors
    /// It is no such address.
    pub fn at(address: &str) -> Result<Broker, String> {
        let wrong = || format!("\"{address}\" is not the address of a broker: it should be like mqtt://127.0.0.1:1883");
        let url = Url::parse(address).ok().filter(|url| url.scheme() == "mqtt").ok_or_else(wrong)?;
        let host = url.host_str().ok_or_else(wrong)?.to_owned();
        let credentials = (!url.username().is_empty())
            .then(|| (url.username().to_owned(), url.password().unwrap_or_default().to_owned()));
        Ok(Broker { host, port: url.port().unwrap_or(1_883), credentials })
    }

    /// Connects; with it comes the client. `id` names the session.
    ///
    /// # Errors
    /// Nobody answers there.
    pub async fn connect(&self, id: String) -> Result<(AsyncClient, EventLoop), String> {
        let mut options = MqttOptions::new(id, &self.host, self.port);
        options.set_keep_alive(Duration::from_secs(30)).set_clean_start(false);
        options.set_session_expiry_interval(Some(SESSION_SECONDS)).set_receive_maximum(Some(u16::MAX));
        if let Some((name, password)) = &self.credentials {
            options.set_credentials(name, password);
        }
        // Else TCP would keep small packets until the broker has answered for those before.
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        let (client, mut events) = AsyncClient::new(options, QUEUE);
        let unreachable = |cause: String| format!("no MQTT broker answers at {}:{} ({cause})", self.host, self.port);
        let connected = async {
            while !matches!(events.poll().await, Ok(Event::Incoming(Packet::ConnAck(_)))) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let connected = tokio::time::timeout(CONNECT_PATIENCE, connected).await;
        connected.map_err(|_| unreachable(format!("within {} s", CONNECT_PATIENCE.as_secs())))?;
        Ok((client, events))
    }
}

/// A connection of the sender.
pub struct Line {
    client: AsyncClient,
    poller: JoinSet<String>,
    answered: Arc<AtomicU64>,
    step: Arc<Step>,
    naming: Arc<Naming>,
    topic: String,
    turn: Turn,
}

/// Which messages are a line's: every so many, from its own number on.
#[derive(Clone, Copy)]
struct Turn {
    first: u64,
    every: u64,
}

impl Mqtt {
    /// Messages go to this topic, with `{key}` where the key goes, over so many connections.
    #[must_use]
    pub fn new(broker: Broker, topic: &str, connections: u64, naming: Arc<Naming>) -> Mqtt {
        Mqtt { broker, topic: topic.to_owned(), connections, naming, unheard: Arc::default() }
    }

    /// Messages that nobody was subscribed to.
    #[must_use]
    pub fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::Relaxed)
    }

    pub(super) async fn open(&self, step: &Arc<Step>) -> Result<Vec<Line>, String> {
        let mut lines = Vec::new();
        for first in 0..self.connections {
            let id = format!("trinity-load-{}-{}-{first}", self.naming.run, step.number);
            let (client, events) = self.broker.connect(id).await?;
            let turn = Turn { first, every: self.connections };
            let answered = Arc::new(AtomicU64::new(0));
            let reader = Reader {
                step: step.clone(),
                turn,
                answered: answered.clone(),
                unheard: self.unheard.clone(),
                handed: 0,
            };
            let mut poller = JoinSet::new(); // ends with the line
            poller.spawn(reader.run(events));
            let (naming, topic) = (self.naming.clone(), self.topic.clone());
            lines.push(Line { client, poller, answered, step: step.clone(), naming, topic, turn });
        }
        Ok(lines)
    }
}

impl Line {
    pub(super) async fn run(mut self, mut due: Due) -> Result<(), String> {
        let (mut next, mut sent, mut free) = (self.turn.first, 0, Instant::now());
        loop {
            let (open, until) = (due.changed().await.is_ok(), *due.borrow_and_update());
            while next < until {
                let topic = self.topic.replace("{key}", &self.naming.key(next));
                let payload = self.naming.payload(self.step.number, next);
                let now = Instant::now();
                if let Err(refused) = self.client.try_publish(&topic, QoS::AtLeastOnce, false, payload.clone()) {
                    // The queue is full because the broker does not acknowledge: that is not the sender's fault.
                    drop(refused);
                    tokio::select! {
                        published = self.client.publish(&topic, QoS::AtLeastOnce, false, payload) => published.map_err(|e| e.to_string())?,
                        Some(ended) = self.poller.join_next() => return Err(ended.unwrap_or_else(|error| error.to_string())),
                    }
                    free = Instant::now();
                    self.step.sent(next, free, free);
                } else {
                    self.step.sent(next, free, now);
                }
                (next, sent) = (next + self.turn.every, sent + 1);
            }
            if !open {
                break;
            }
        }
        answered(sent, &self.answered).await;
        // The broker sees the end of the connection in any case.
        let _ = self.client.disconnect().await;
        Ok(())
    }
}

/// Reads what the broker answers.
struct Reader {
    step: Arc<Step>,
    turn: Turn,
    answered: Arc<AtomicU64>,
    unheard: Arc<AtomicU64>,
    /// Messages that the client has sent at least once.
    handed: u64,
}

impl Reader {
    /// Until the broker can't be reached any more; returns why.
    async fn run(mut self, mut events: EventLoop) -> String {
        let mut numbers: Vec<Option<u64>> = vec![None; usize::from(u16::MAX) + 1];
        let mut failures = 0;
        loop {
            match events.poll().await {
                // The client sends in the order in which it was given; what it sends again has its packet id already.
                Ok(Event::Outgoing(Outgoing::Publish(id))) => {
                    numbers[usize::from(id)].get_or_insert_with(|| {
                        self.handed += 1;
                        self.turn.first + (self.handed - 1) * self.turn.every
                    });
                }
                Ok(Event::Incoming(Packet::PubAck(ack))) => {
                    failures = 0;
                    if let Some(n) = numbers[usize::from(ack.pkid)].take() {
                        self.answer(n, ack.reason);
                    }
                }
                Ok(_) => {}
                Err(error) if failures == FAILURES_MAX => return format!("the broker is gone: {error}"),
                Err(_) => {
                    failures += 1;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn answer(&self, n: u64, reason: PubAckReason) {
        match reason {
            PubAckReason::Success => self.step.acked(n, Instant::now()),
            PubAckReason::NoMatchingSubscribers => {
                self.unheard.fetch_add(1, Ordering::Relaxed);
                self.step.acked(n, Instant::now());
            }
            other => self.step.refused(&format!("{other:?}")),
        }
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}
