//! The pacer: a thread that says how many messages are due by now. It knows nothing of who sends them, so nobody slows it down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::schedule::Schedule;

/// How often it looks at most: what is due waits that long at most, and that counts as latency.
const TICK: Duration = Duration::from_micros(250);

/// A running pacer.
#[derive(Debug)]
pub struct Pacer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How many are due; closed when no more will be.
pub type Due = watch::Receiver<u64>;

impl Pacer {
    /// Starts it; the schedule begins at `begun`.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start(schedule: Schedule, begun: Instant) -> std::io::Result<(Pacer, Due)> {
        let (tell, due) = watch::channel(0);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let pace = move || pace(&schedule, begun, &tell, &stopped);
        let thread = std::thread::Builder::new().name("pacer".into()).spawn(pace)?;
        Ok((Pacer { stop, thread: Some(thread) }, due))
    }

    /// Nothing more is due.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // It has panicked at worst, which the senders see as its end.
            let _ = thread.join();
        }
    }
}

fn pace(schedule: &Schedule, begun: Instant, tell: &watch::Sender<u64>, stopped: &AtomicBool) {
    let (count, mut told) = (schedule.count(), 0);
    std::thread::sleep(begun.saturating_duration_since(Instant::now()));
    while told < count && !stopped.load(Ordering::Relaxed) && !tell.is_closed() {
        let now = Instant::now();
        let due = schedule.due(now.saturating_duration_since(begun));
        if due > told {
            told = due;
            tell.send_replace(due);
        }
        let next = begun + schedule.at(told.min(count));
        // Not longer than a moment, so that a stop is heard.
        std::thread::sleep(next.saturating_duration_since(now).clamp(TICK, Duration::from_millis(50)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_become_due_in_time_and_then_no_more() {
        let begun = Instant::now();
        let (_pacer, mut due) =
            Pacer::start(Schedule::constant(1_000.0, Duration::from_millis(100)), begun).expect("a thread");
        let mut told = 0;
        while due.changed().await.is_ok() {
            told = *due.borrow_and_update();
            assert!(told <= begun.elapsed().as_millis() as u64 + 1, "not before its time");
        }
        assert_eq!(told, 100);
        assert!(begun.elapsed() >= Duration::from_millis(99));
    }

    #[tokio::test]
    async fn a_stopped_pacer_says_no_more() {
        let schedule = Schedule::constant(1_000.0, Duration::from_secs(60));
        let (pacer, mut due) = Pacer::start(schedule, Instant::now()).expect("a thread");
        due.changed().await.expect("the first");
        pacer.stop();
        while due.changed().await.is_ok() {}
        assert!(*due.borrow() < 60_000);
    }
}
