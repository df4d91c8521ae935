//! Admission: how much may be on its way to a commit. Mailboxes have no bound; permits do.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use trinity_engine::ids::ShardId;
use trinity_engine::input::{ShardInput, SourceEvent};

/// What each shard takes of events, in their order; the place in the list is the number of the shard.
#[must_use]
pub fn by_shard(events: Vec<SourceEvent>, shards: u16) -> Vec<Vec<ShardInput>> {
    // Half as many again as an even share: few lists have to grow, and those of few events take no memory before they need it.
    let share = events.len() / usize::from(shards.max(1)) * 3 / 2;
    let mut by_shard: Vec<Vec<ShardInput>> = (0..shards).map(|_| Vec::with_capacity(share)).collect();
    for SourceEvent { event, origin, .. } in events {
        let shard = ShardId::of_key(event.partition_key().as_bytes(), shards);
        by_shard[usize::from(shard.0)].push(ShardInput::Event { event, origin });
    }
    by_shard
}

/// A session of a source: broken once a part of it was lost.
#[derive(Clone, Debug, Default)]
pub struct Line(Arc<AtomicBool>);

impl Line {
    /// Whether a part of it was lost: nothing that follows is taken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Travels with the inputs of one submission that one shard takes. When the last part is committed the sender hears of it.
/// A part that is dropped uncommitted (its shard crashed) breaks the line, and the sender hears that.
#[derive(Debug)]
pub struct Part {
    submission: Arc<Submission>,
    line: Line,
    committed: bool,
}

#[derive(Debug)]
struct Submission {
    left: AtomicUsize,
    done: Mutex<Option<oneshot::Sender<()>>>,
    _permit: OwnedSemaphorePermit,
}

impl Part {
    /// The parts of a submission, and what says that all are committed: at once, when there are none.
    #[must_use]
    pub fn split(parts: usize, permit: OwnedSemaphorePermit, line: &Line) -> (Vec<Part>, oneshot::Receiver<()>) {
        let (done, heard) = oneshot::channel();
        if parts == 0 {
            let _ = done.send(());
            return (Vec::new(), heard);
        }
        let submission =
            Arc::new(Submission { left: AtomicUsize::new(parts), done: Mutex::new(Some(done)), _permit: permit });
        let part = || Part { submission: submission.clone(), line: line.clone(), committed: false };
        ((0..parts).map(|_| part()).collect(), heard)
    }

    /// Whether something before it on its line was lost: then it must not be taken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.line.is_broken()
    }

    /// This part is committed.
    pub fn committed(mut self) {
        self.committed = true;
        if self.submission.left.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(done) = self.submission.done.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // Who does not wait any more need not be told.
            let _ = done.send(());
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.committed {
            self.line.0.store(true, Ordering::Release);
            self.submission.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    fn parts(count: usize, line: &Line) -> (Vec<Part>, oneshot::Receiver<()>, Arc<Semaphore>) {
        let permits = Arc::new(Semaphore::new(1));
        let permit = permits.clone().try_acquire_owned().expect("a permit");
        let (parts, heard) = Part::split(count, permit, line);
        (parts, heard, permits)
    }

    #[test]
    fn a_submission_is_done_with_its_last_part_and_gives_its_permit_back() {
        let line = Line::default();
        let (mut parts, mut heard, permits) = parts(2, &line);
        parts.pop().expect("a part").committed();
        assert!(heard.try_recv().is_err());
        assert_eq!(permits.available_permits(), 0);
        parts.pop().expect("a part").committed();
        assert_eq!(heard.try_recv(), Ok(()));
        assert_eq!(permits.available_permits(), 1);
        assert!(!line.is_broken());
    }

    #[test]
    fn a_lost_part_breaks_the_line_and_is_heard_of() {
        let line = Line::default();
        let (mut parts, mut heard, permits) = parts(2, &line);
        parts.pop().expect("a part").committed();
        drop(parts);
        assert_eq!(heard.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(line.is_broken());
        assert_eq!(permits.available_permits(), 1);
    }
}
