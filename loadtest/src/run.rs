//! One step after the other: open the connections, send, watch, wait for the ends, and say what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::ends::{Ends, Steps};
use crate::ledger::Audit;
use crate::pace::Pacer;
use crate::progress::Progress;
use crate::schedule::Schedule;
use crate::send::Target;
use crate::server::Server;
use crate::step::{Measured, Step};
use crate::verdict::{Bounds, Facts, Kind, Reason, reasons};

/// Between the opening of the connections and the first message.
const RUN_UP: Duration = Duration::from_millis(50);
/// How much of its messages a server may owe, in seconds at the present rate, before a search gives the step up.
const BEHIND_SECONDS: f64 = 2.0;
/// How long ends that would come twice are waited for after the last.
const AFTERMATH: Duration = Duration::from_millis(500);

/// How steps are run.
pub struct Runner {
    /// Where messages go.
    pub target: Target,
    /// How ends are seen.
    pub ends: Ends,
    /// The node.
    pub server: Server,
    /// All steps so far.
    pub steps: Arc<Steps>,
    /// Id of the workflow, where executions are looked up.
    pub workflow: String,
    /// Keys of the messages.
    pub keys: u64,
    /// How long nothing may come before what is missing counts as lost.
    pub patience: Duration,
    /// Percentiles to keep below.
    pub bounds: Bounds,
    /// What is shown meanwhile.
    pub progress: Progress,
    /// How often somebody asked to stop.
    pub stops: watch::Receiver<u32>,
    /// When the run began.
    pub begun: Instant,
}

/// What a step came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its schedule.
    pub schedule: Schedule,
    /// When it began, after the begin of the run.
    pub offset: Duration,
    /// From the first message until all was settled.
    pub wall: Duration,
    /// The ledger's word.
    pub audit: Audit,
    /// What was measured.
    pub measured: Measured,
    /// Whether the latency is that of the ends, not of the acknowledgements.
    pub ends_are_seen: bool,
    /// Why it did not pass.
    pub reasons: Vec<Reason>,
    /// Whether somebody stopped it.
    pub interrupted: bool,
}

impl Outcome {
    /// Whether it passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Whether a reason of this kind is among those why it did not pass.
    #[must_use]
    pub fn failed_by(&self, kind: Kind) -> bool {
        self.reasons.iter().any(|reason| reason.kind == kind)
    }
}

/// What ended the sending.
#[derive(Default)]
struct Sending {
    sent_in_time: u64,
    behind: Option<String>,
    broken: Option<String>,
}

impl Runner {
    /// Runs a step; `gives_up` when it may end early because the server falls behind.
    ///
    /// # Errors
    /// It can't begin.
    pub async fn step(&mut self, schedule: Schedule, warmup: Duration, gives_up: bool) -> Result<Outcome, String> {
        let number = self.steps.count();
        let step = Arc::new(Step::new(number, schedule, warmup, self.keys));
        self.steps.push(step.clone());
        let since = chrono::DateTime::from(std::time::SystemTime::now() - Duration::from_secs(1));
        let lanes = self.target.open(&step).await?;
        let begun = Instant::now() + RUN_UP;
        step.begin(begun);
        let (pacer, due) = Pacer::start(schedule, begun).map_err(|error| error.to_string())?;
        let mut senders = JoinSet::new();
        for lane in lanes {
            senders.spawn(lane.run(due.clone()));
        }
        drop(due);
        let sending = self.send(&step, &pacer, &mut senders, gives_up).await;
        drop(pacer);
        self.settle(&step, &since).await?;
        let wall = step.elapsed(Instant::now());
        Ok(self.outcome(&step, begun, wall, &sending))
    }

    /// Until all is sent and answered, or it is stopped.
    async fn send(
        &mut self,
        step: &Step,
        pacer: &Pacer,
        senders: &mut JoinSet<Result<(), String>>,
        gives_up: bool,
    ) -> Sending {
        let mut sending = Sending::default();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut last = Instant::now();
        tick.tick().await;
        let end = tokio::time::sleep(RUN_UP + step.schedule.length);
        tokio::pin!(end);
        let mut is_over = false;
        let mut stopped = false;
        loop {
            tokio::select! {
                ended = senders.join_next() => match ended {
                    None => break,
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(why))) => sending.broken = Some(why),
                    Some(Err(why)) => sending.broken = Some(why.to_string()),
                },
                () = &mut end, if !is_over => {
                    is_over = true;
                    sending.sent_in_time = step.counts_so_far().0;
                }
                now = tick.tick() => {
                    let second = self.progress.tick(step, now.into_std(), now.into_std() - last, &self.ends);
                    last = now.into_std();
                    if gives_up && !is_over && second.open as f64 > second.target * BEHIND_SECONDS && step.elapsed(last) > Duration::from_secs(2) {
                        sending.behind.get_or_insert(format!("{} messages behind after {:.0} s: given up", second.open, second.at));
                        pacer.stop();
                    }
                }
                Ok(()) = self.stops.changed() => {
                    pacer.stop();
                    if stopped {
                        senders.abort_all();
                    }
                    stopped = true;
                }
            }
            if sending.broken.is_some() {
                pacer.stop();
            }
        }
        if !is_over {
            sending.sent_in_time = step.counts_so_far().0;
        }
        sending
    }

    /// Waits until all that was acknowledged has ended, or nothing comes any more.
    async fn settle(&mut self, step: &Step, since: &chrono::DateTime<chrono::Utc>) -> Result<(), String> {
        if matches!(self.ends, Ends::List) {
            let from = since.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            return self.look_up(step, &from).await;
        }
        if !self.ends.are_seen() {
            return Ok(());
        }
        let (mut last, mut changed) = (0, Instant::now());
        let (mut second, mut settled): (_, Option<Instant>) = (Instant::now(), None);
        loop {
            let (now, ended) = (Instant::now(), step.counts_so_far().2);
            if ended != last {
                (last, changed) = (ended, now);
            }
            if settled.is_none() && step.is_settled() {
                settled = Some(now);
            }
            let is_over = settled.is_some_and(|at| at.elapsed() > AFTERMATH) || changed.elapsed() > self.patience;
            if is_over || *self.stops.borrow() > 1 {
                return Ok(());
            }
            if second.elapsed() >= Duration::from_secs(1) {
                self.progress.tick(step, now, second.elapsed(), &self.ends);
                second = now;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Looks executions up until all are found, or no more are.
    async fn look_up(&self, step: &Step, from: &str) -> Result<(), String> {
        let (mut last, mut changed) = (0, Instant::now());
        loop {
            self.steps.look_up(&self.server, &self.workflow, from).await?;
            let (_, acked, ended) = step.counts_so_far();
            if ended != last {
                (last, changed) = (ended, Instant::now());
            }
            if ended >= acked || changed.elapsed() > self.patience || *self.stops.borrow() > 1 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    fn outcome(&self, step: &Step, begun: Instant, wall: Duration, sending: &Sending) -> Outcome {
        let audit = step.audit(self.ends.are_checked());
        let measured = step.measured();
        let ends_are_seen = self.ends.are_seen();
        let latency = if ends_are_seen { measured.end.summary() } else { measured.ack.summary() };
        let interrupted = *self.stops.borrow() > 0;
        let facts = Facts {
            audit: &audit,
            due: step.schedule.count(),
            sent_in_time: sending.sent_in_time,
            lag: measured.lag.summary(),
            latency,
            behind: sending.behind.as_deref(),
            interrupted,
        };
        let mut reasons = reasons(&facts, &self.bounds);
        reasons.extend(sending.broken.iter().map(|why| Reason::new(Kind::Broken, why.clone())));
        if let Target::Mqtt(mqtt) = &self.target
            && mqtt.unheard() > 0
        {
            let text = format!(
                "the broker had no subscriber for {} messages: has the node a source for this topic?",
                mqtt.unheard()
            );
            reasons.push(Reason::new(Kind::Broken, text));
        }
        Outcome {
            schedule: step.schedule,
            offset: begun.saturating_duration_since(self.begun),
            wall,
            audit,
            measured,
            ends_are_seen,
            reasons,
            interrupted,
        }
    }
}
