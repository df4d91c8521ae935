//! A disk in memory that a test can crash, fill and damage. It survives the journal on it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files in memory, with the same bytes as on a real disk. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, MemoryFile>,
    capacity: Option<u64>,
    locked: bool,
    syncs: u64,
    reads: u64,
    syncs_to_fail: u32,
    /// How many bytes of what a failing sync was for reach the disk all the same.
    kept_of_failed: usize,
    syncs_held: bool,
    /// How many changes are asked for until one fails, that one included; 0 from then on.
    changes_left: Option<u64>,
}

#[derive(Debug, Default)]
struct MemoryFile {
    /// What a read sees, as long as the machine has power.
    content: Vec<u8>,
    /// What is on the disk.
    stored: Vec<u8>,
    /// What was written since the last sync, in order. A failed sync forgets it as the kernel does: it can still be read,
    /// no later sync is for it, and only writing it again brings it to the disk.
    unsynced: Vec<Write>,
}

#[derive(Clone, Debug)]
struct Write {
    at: usize,
    bytes: Vec<u8>,
}

impl MemoryFile {
    /// A file that is on the disk as a whole.
    fn synced(content: Vec<u8>) -> MemoryFile {
        MemoryFile { stored: content.clone(), content, unsynced: Vec::new() }
    }

    /// Brings the first `kept` bytes of each of these writes to the disk.
    fn store(&mut self, writes: &[Write], kept: impl IntoIterator<Item = usize>) {
        for (write, kept) in writes.iter().zip(kept) {
            self.stored[write.at..write.at + kept].copy_from_slice(&write.bytes[..kept]);
        }
    }
}

/// Of writes one after another only so many bytes: how many of each.
fn first_bytes(bytes: usize) -> impl FnMut(&Write) -> usize {
    let mut left = bytes;
    move |write| {
        let kept = left.min(write.bytes.len());
        left -= kept;
        kept
    }
}

/// The lock of a [`MemoryDisk`]: dropping it ends it.
#[derive(Debug)]
pub(super) struct MemoryLock(MemoryDisk);

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.state().locked = false;
    }
}

impl MemoryDisk {
    /// An empty disk without an end.
    #[must_use]
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// What is left after a loss of power now: of the writes to a file that no sync covered, the first `kept_bytes` bytes
    /// survive and the rest never happened.
    #[must_use]
    pub fn crashed(&self, kept_bytes: usize) -> MemoryDisk {
        self.image(|_, unsynced| unsynced.iter().map(first_bytes(kept_bytes)).collect())
    }

    /// As [`MemoryDisk::crashed`], when the disk had stored writes in another order: of those to a file that no sync covered,
    /// the ones survive for which `kept` answers true (by file name and their number in that file).
    #[must_use]
    pub fn crashed_keeping(&self, mut kept: impl FnMut(&str, usize) -> bool) -> MemoryDisk {
        self.image(|name, unsynced| {
            let kept = |(number, write): (usize, &Write)| if kept(name, number) { write.bytes.len() } else { 0 };
            unsynced.iter().enumerate().map(kept).collect()
        })
    }

    /// What is left when the process was killed and the machine goes on: all that was written can be read, and is lost with
    /// the power unless somebody syncs it; what a sync failed for, unless somebody writes it again.
    #[must_use]
    pub fn killed(&self) -> MemoryDisk {
        let same = |file: &MemoryFile| MemoryFile {
            content: file.content.clone(),
            stored: file.stored.clone(),
            unsynced: file.unsynced.clone(),
        };
        self.with_files(same)
    }

    /// A disk of its own with the same files, all of it synced.
    #[must_use]
    pub fn copy(&self) -> MemoryDisk {
        self.with_files(|file| MemoryFile::synced(file.content.clone()))
    }

    /// A disk of its own with what is stored here, and so many bytes of the writes that no sync covered.
    fn image(&self, mut kept: impl FnMut(&str, &[Write]) -> Vec<usize>) -> MemoryDisk {
        let state = self.state();
        let mut files = BTreeMap::new();
        for (name, file) in &state.files {
            let mut left = MemoryFile { stored: file.stored.clone(), ..MemoryFile::default() };
            left.store(&file.unsynced, kept(name, &file.unsynced));
            files.insert(name.clone(), MemoryFile::synced(left.stored));
        }
        MemoryDisk { state: Arc::new(Mutex::new(State { files, capacity: state.capacity, ..State::default() })) }
    }

    fn with_files(&self, made: impl Fn(&MemoryFile) -> MemoryFile) -> MemoryDisk {
        let state = self.state();
        let files = state.files.iter().map(|(name, file)| (name.clone(), made(file))).collect();
        MemoryDisk { state: Arc::new(Mutex::new(State { files, capacity: state.capacity, ..State::default() })) }
    }

    /// Changes one bit of a file, as it is read and as it is on the disk; `false` when there is no such place.
    pub fn flip(&self, name: &str, bit: usize) -> bool {
        let mut state = self.state();
        let Some(file) = state.files.get_mut(name) else { return false };
        let place = file.content.get_mut(bit / 8).zip(file.stored.get_mut(bit / 8));
        let Some((read, stored)) = place else { return false };
        *read ^= 1 << (bit % 8);
        *stored ^= 1 << (bit % 8);
        true
    }

    /// Loses a file.
    pub fn lose(&self, name: &str) {
        self.state().files.remove(name);
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.files.remove(name);
        Ok(())
    }

    /// From now on its files may hold so many bytes together; `None` for no end.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// The next `count` syncs fail. Of what each should have stored the first `kept` bytes reach the disk; the rest can be
    /// read, and is lost with the power whatever later syncs say.
    pub fn fail_syncs(&self, count: u32, kept: usize) {
        let mut state = self.state();
        (state.syncs_to_fail, state.kept_of_failed) = (count, kept);
    }

    /// From now on, or no longer, syncs answer at once and store nothing: a disk that lies, or the moment before a sync returns.
    pub fn hold_syncs(&self, held: bool) {
        self.state().syncs_held = held;
    }

    /// The `count`-th further change (a write, a sync, a file made, put or removed) fails, and all after it: the machine is
    /// about to lose its power. If it is a write, a part of it may still survive.
    pub fn fail_at(&self, count: u64) {
        self.state().changes_left = Some(count.max(1));
    }

    /// Whether it will still fail because of [`MemoryDisk::fail_at`], or has.
    #[must_use]
    pub fn will_fail(&self) -> bool {
        self.state().changes_left.is_some()
    }

    /// Whether a change was refused because of [`MemoryDisk::fail_at`].
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.state().changes_left == Some(0)
    }

    /// The longest run of bytes written to one file that no sync covered.
    #[must_use]
    pub fn unsynced_bytes(&self) -> usize {
        let bytes = |file: &MemoryFile| file.unsynced.iter().map(|write| write.bytes.len()).sum();
        self.state().files.values().map(bytes).max().unwrap_or(0)
    }

    /// How often a part of a file was read since it was made.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.state().reads
    }

    /// How many syncs of files were asked for since it was made.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// The names of all files, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().files.keys().cloned().collect()
    }

    /// The bytes of all files together.
    #[must_use]
    pub fn bytes_used(&self) -> u64 {
        self.state().bytes_used()
    }

    /// The content of a file.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.state().files.get(name).map(|file| file.content.clone())
    }

    pub(super) fn lock(&self) -> Option<MemoryLock> {
        let mut state = self.state();
        if state.locked {
            return None;
        }
        state.locked = true;
        Some(MemoryLock(self.clone()))
    }

    pub(super) fn with<R>(&self, name: &str, read: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let mut state = self.state();
        state.reads += 1;
        state.files.get(name).map(|file| read(&file.content)).ok_or_else(not_found)
    }

    pub(super) fn create(&self, name: &str, bytes: u64) -> io::Result<()> {
        let length = usize::try_from(bytes).map_err(io::Error::other)?;
        let mut state = self.state();
        state.change()?;
        state.claim(name, bytes)?;
        state.files.insert(name.to_owned(), MemoryFile::synced(vec![0; length]));
        Ok(())
    }

    pub(super) fn put(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.claim(name, content.len() as u64)?;
        state.files.insert(name.to_owned(), MemoryFile::synced(content.to_vec()));
        Ok(())
    }

    pub(super) fn write(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let mut state = self.state();
        let dead = state.changes_left == Some(0);
        let done = state.change();
        if dead {
            return done;
        }
        let file = state.files.get_mut(name).ok_or_else(not_found)?;
        let place = file.content.get_mut(at..at + bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        place.copy_from_slice(bytes);
        file.unsynced.push(Write { at, bytes: bytes.to_vec() });
        done
    }

    pub(super) fn sync(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.change()?;
        state.syncs += 1;
        let held = state.syncs_held;
        let fails = state.syncs_to_fail > 0;
        state.syncs_to_fail = state.syncs_to_fail.saturating_sub(1);
        let kept_bytes = if fails { state.kept_of_failed } else { usize::MAX };
        let file = state.files.get_mut(name).ok_or_else(not_found)?;
        if held && !fails {
            return Ok(());
        }
        let writes = std::mem::take(&mut file.unsynced);
        file.store(&writes, writes.iter().map(first_bytes(kept_bytes)));
        if fails { Err(io::Error::other("a sync that was told to fail")) } else { Ok(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether another change is done.
    fn change(&mut self) -> io::Result<()> {
        let Some(left) = &mut self.changes_left else { return Ok(()) };
        *left = left.saturating_sub(1);
        if *left == 0 { Err(io::Error::other("the power fails")) } else { Ok(()) }
    }

    fn bytes_used(&self) -> u64 {
        self.files.values().map(|file| file.content.len() as u64).sum()
    }

    /// Whether a file of that length may take the place of the one with this name.
    fn claim(&self, name: &str, bytes: u64) -> io::Result<()> {
        let old = self.files.get(name).map_or(0, |file| file.content.len() as u64);
        match self.capacity {
            Some(capacity) if self.bytes_used() - old + bytes > capacity => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}
