//! What is done beside appending: preparing the next segment, storing snapshots and indexes, syncing now and then.
//!
//! On a directory a thread does it; in memory it is done at once, so that a test sees the same each time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use trinity_engine::ids::ShardId;

use super::disk::{Disk, DiskFile};
use super::error::JournalError;
use super::index::Live;
use super::segment::segment_name;
use super::shared::{Sealed, Shared};
use super::sidecar::{live_name, live_next, load_changes, load_live, put_live};
use super::snapshot::{Snapshot, put_snapshot};
use super::summary::Summary;
use super::writer::Unsynced;

/// How long what was appended may wait for a sync with [`super::Durability::Relaxed`].
const SYNC_DELAY: Duration = Duration::from_millis(100);

/// After so many full segments the live executions are stored anew.
const LIVE_EVERY: usize = 8;

#[derive(Debug)]
pub(super) struct Keeper {
    work: Arc<Work>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Work {
    shared: Arc<Shared>,
    unsynced: Arc<Unsynced>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Bounded: one segment, one snapshot a shard; indexes come with full segments only.
#[derive(Debug, Default)]
struct Queue {
    /// Number and length of the segment to prepare.
    prepare: Option<(u64, u64)>,
    preparing: bool,
    prepared: Option<Prepared>,
    snapshots: BTreeMap<ShardId, Snapshot>,
    indexes: VecDeque<Arc<Sealed>>,
    /// There may be something to sync.
    unsynced: bool,
    busy: bool,
    closed: bool,
}

/// A segment file of zeros, ready to be written to.
#[derive(Debug)]
pub(super) struct Prepared {
    pub number: u64,
    pub bytes: u64,
    pub file: DiskFile,
}

enum Task {
    Sync,
    Prepare(u64, u64),
    Snapshot(Snapshot),
    Index(Arc<Sealed>),
}

impl Keeper {
    pub fn new(shared: Arc<Shared>, unsynced: Arc<Unsynced>) -> Result<Keeper, JournalError> {
        let threaded = matches!(shared.disk, Disk::Directory(_));
        let work = Arc::new(Work { shared, unsynced, queue: Mutex::default(), changed: Condvar::new() });
        let run = work.clone();
        let start = || std::thread::Builder::new().name("journal-keeper".to_owned()).spawn(move || run.run());
        let thread = threaded.then(start).transpose();
        let thread = thread.map_err(|error| JournalError::disk("start its thread", error))?;
        Ok(Keeper { work, thread })
    }

    /// Prepares the segment with this number; in memory there is nothing to gain by that.
    pub fn prepare(&self, number: u64, bytes: u64) {
        if self.thread.is_some() {
            self.post(|queue| queue.prepare = Some((number, bytes)));
        }
    }

    /// The segment that was prepared, if it is this one and long enough. One that is being made is waited for: making
    /// another would not be faster.
    pub fn take_prepared(&self, number: u64, bytes: u64) -> Option<Prepared> {
        let mut queue = self.work.lock();
        queue.prepare = None;
        while queue.preparing {
            queue = self.work.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.prepared.take().filter(|prepared| prepared.number == number && prepared.bytes >= bytes)
    }

    /// Stores a snapshot; a newer one of its shard takes its place if it comes before that.
    pub fn store(&self, snapshot: Snapshot) {
        self.post(|queue| {
            queue.snapshots.insert(snapshot.shard, snapshot);
        });
    }

    /// Stores the index of a full segment.
    pub fn save(&self, sealed: Arc<Sealed>) {
        self.post(|queue| queue.indexes.push_back(sealed));
    }

    /// Syncs what was appended, soon. In memory that is left to [`super::Journal::sync`].
    pub fn sync_soon(&self) {
        if self.thread.is_some() {
            self.post(|queue| queue.unsynced = true);
        }
    }

    /// Waits until all that was asked for so far is done.
    pub fn settle(&self) {
        let mut queue = self.work.lock();
        while queue.busy || queue.prepare.is_some() || !queue.snapshots.is_empty() || !queue.indexes.is_empty() {
            queue = self.work.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn post(&self, change: impl FnOnce(&mut Queue)) {
        change(&mut self.work.lock());
        if self.thread.is_some() {
            self.work.changed.notify_all();
            return;
        }
        while let Some(task) = self.work.lock().next_task() {
            self.work.perform(task);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.work.lock().closed = true;
        self.work.changed.notify_all();
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!(?panic, "the journal's keeper panicked");
        }
    }
}

impl Queue {
    fn is_idle(&self) -> bool {
        !self.closed && self.prepare.is_none() && self.snapshots.is_empty() && self.indexes.is_empty()
    }

    fn next_task(&mut self) -> Option<Task> {
        if let Some((number, bytes)) = self.prepare.take() {
            self.preparing = true;
            return Some(Task::Prepare(number, bytes));
        }
        if let Some((_, snapshot)) = self.snapshots.pop_first() {
            return Some(Task::Snapshot(snapshot));
        }
        self.indexes.pop_front().map(Task::Index)
    }
}

impl Work {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        while let Some(task) = self.wait() {
            self.perform(task);
            self.lock().busy = false;
            self.changed.notify_all();
        }
    }

    /// The next task; `None` when all is done and the journal is closed.
    fn wait(&self) -> Option<Task> {
        let mut queue = self.lock();
        loop {
            let next = queue.next_task();
            if let Some(task) = next {
                queue.busy = true;
                return Some(task);
            }
            if queue.closed {
                return None;
            }
            if std::mem::take(&mut queue.unsynced) {
                let waited = self.changed.wait_timeout_while(queue, SYNC_DELAY, |queue| queue.is_idle());
                queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                queue.busy = true;
                return Some(Task::Sync);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn perform(&self, task: Task) {
        let Shared { disk, seed, .. } = &*self.shared;
        match task {
            // That it failed is kept there, for the next append.
            Task::Sync => {
                let synced = self.unsynced.sync();
                if synced.is_ok() && self.unsynced.is_behind() {
                    self.lock().unsynced = true;
                }
            }
            Task::Prepare(number, bytes) => {
                // If it fails, the append that needs it tries itself and says why.
                let file = disk.create(&segment_name(number), bytes).ok();
                let mut queue = self.lock();
                queue.prepared = file.map(|file| Prepared { number, bytes, file });
                queue.preparing = false;
            }
            Task::Snapshot(snapshot) => {
                // A snapshot of a block that is not on the disk would say later that the block was lost.
                let stored = self.unsynced.sync().and_then(|()| put_snapshot(disk, *seed, &snapshot));
                match stored {
                    Ok(()) => drop(self.shared.snapshots().insert(snapshot.shard, snapshot.block)),
                    // Recovery only takes longer without it.
                    Err(error) => tracing::warn!(%error, shard = snapshot.shard.0, "could not store a snapshot"),
                }
            }
            Task::Index(sealed) => {
                // Who reads what was written last needs it next.
                if let Ok(index) = self.shared.index(&sealed) {
                    self.shared.remember(sealed.summary.number, index);
                }
                if let Err(error) = sealed.save(disk, *seed).and_then(|()| self.store_live(&sealed.summary)) {
                    // It stays in memory, and is made anew when the journal is opened.
                    tracing::warn!(%error, segment = sealed.summary.number, "could not store an index");
                }
            }
        }
    }

    /// Stores the live executions as they were at the end of this segment, when that was not done for some segments. They
    /// come from the ones stored before and the changes since then, so that no append waits for it.
    fn store_live(&self, last: &Summary) -> Result<(), JournalError> {
        let Shared { disk, seed, .. } = &*self.shared;
        let segments = self.shared.read().sealed.clone();
        let names = disk.names().map_err(|error| JournalError::disk("list the directory", error))?;
        let stored = names.iter().rev().find_map(|name| live_next(name));
        let after = |segment: &&Arc<Sealed>| {
            stored.is_none_or(|next| segment.summary.first >= next) && segment.summary.number <= last.number
        };
        let segments: Vec<_> = segments.iter().filter(after).collect();
        if segments.len() < LIVE_EVERY {
            return Ok(());
        }
        // When the ones stored before end within what was dropped, no live execution is older than the segments.
        let joins = segments.first().map(|segment| segment.summary.first) == stored;
        let mut live = match stored.filter(|_| joins) {
            None => Live::default(),
            Some(next) => load_live(disk, *seed, next).or_else(|error| {
                // Without it the next time begins with the first segment.
                let name = live_name(next);
                disk.remove(&name).map_err(|error| JournalError::disk(format!("remove {name}"), error))?;
                Err(error)
            })?,
        };
        for segment in segments {
            for change in load_changes(disk, *seed, segment.summary.number)? {
                live.change(&change);
            }
        }
        put_live(disk, *seed, last.next, &live)
    }
}
