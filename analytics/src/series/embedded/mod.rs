//! Closed windows in append-only files: one set of segments per resolution, and an index in memory.
//!
//! A block is known by (resolution, window start, part). Writing it again replaces it, so whatever is repeated is never
//! counted twice. Windows of a minute and an hour are made from the finer ones when they are over, and anew whenever one of
//! those changes; a digest of what they were made of tells after a restart whether they still hold.

mod cover;
mod segment;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use trinity_engine::time::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

pub use self::cover::Span;
use self::segment::Segment;
use crate::error::AnalyticsError;
use crate::rollup::Window;
use crate::window::Resolution;
use crate::wire::{self, Header};

/// A segment that is longer than this share of all bytes gets no more blocks: what is kept or deleted as one.
const SEGMENT_SHARE: u64 = 64;
/// As [`SEGMENT_SHARE`], but never more: a start reads segments whole.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;
/// Younger blocks are kept whatever the limits say: coarser windows may still have to be made from them.
pub(crate) const RETENTION_MIN: Duration = Duration::from_secs(2 * 3_600);
/// Blocks that wait in memory for a disk that refuses them; beyond, the oldest are dropped.
const UNSAVED_MAX: usize = 1_024;

/// How long windows are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// By resolution, the finest first; at least two hours each.
    pub age: [Duration; 3],
    /// All files together; the oldest segment of the resolution that takes most goes first. What is younger than two hours
    /// stays even beyond it.
    pub bytes: u64,
}

impl Default for Retention {
    /// 10 s for two days, 1 min for 30 days, 1 h for two years; 1 GiB.
    fn default() -> Retention {
        const DAY: u64 = 24 * 3_600;
        Retention { age: [2, 30, 730].map(|days| Duration::from_secs(days * DAY)), bytes: 1 << 30 }
    }
}

/// The windows that are kept.
pub struct Series {
    dir: Option<Dir>,
    retention: Retention,
    levels: [Level; 3],
    /// Coarser windows that do not hold what the finer ones do.
    stale: BTreeSet<(Resolution, Timestamp)>,
    unsaved: VecDeque<(Resolution, BlockKey)>,
}

struct Dir {
    path: PathBuf,
    /// Locked as long as we live.
    _lock: File,
}

/// Window start and part.
type BlockKey = (Timestamp, u32);

#[derive(Default)]
struct Level {
    segments: Vec<Segment>,
    blocks: BTreeMap<BlockKey, Block>,
}

#[derive(Clone)]
struct Block {
    place: Place,
    checksum: u64,
    /// Of what it was made.
    digest: u64,
}

#[derive(Clone)]
enum Place {
    Memory(Arc<[u8]>),
    Segment { number: u64, at: u64, length: u32 },
}

impl Series {
    /// What the directory holds; `None`: kept in memory only.
    pub fn open(dir: Option<&Path>, retention: Retention) -> Result<Series, AnalyticsError> {
        let (levels, stale, unsaved) = Default::default();
        let mut series = Series { dir: None, retention, levels, stale, unsaved };
        if let Some(dir) = dir {
            series.dir = Some(Dir::open(dir)?);
            for resolution in Resolution::ALL {
                series.load(dir, resolution)?;
            }
            series.find_stale();
        }
        Ok(series)
    }

    /// Keeps a part of a window of the finest resolution.
    ///
    /// Memory has it even when this fails; then [`Series::sync`] tries the disk again.
    pub fn append(&mut self, start: Timestamp, window: &Window) -> Result<(), AnalyticsError> {
        let of_window = self.level(Resolution::Seconds).blocks.range((start, 0)..=(start, u32::MAX));
        let part = of_window.last().map_or(0, |((_, part), _)| part.saturating_add(1));
        self.put(Resolution::Seconds, Header { start, part, digest: 0 }, window)
    }

    /// Makes the coarser windows that are over at `now` and do not hold yet what the finer ones do.
    pub fn compact(&mut self, now: Timestamp) -> Result<(), AnalyticsError> {
        for resolution in [Resolution::Minute, Resolution::Hour] {
            let stale = self.stale.range((resolution, Timestamp(0))..=(resolution, Timestamp(u64::MAX)));
            let over: Vec<_> = stale.map(|(_, start)| *start).filter(|start| resolution.end(*start) <= now).collect();
            for start in over {
                let (digest, window) = self.merge_below(resolution, start)?;
                self.stale.remove(&(resolution, start));
                self.put(resolution, Header { start, part: 0, digest }, &window)?;
            }
        }
        Ok(())
    }

    /// Drops what is too old at `now`, and the oldest of what is too much.
    pub fn retire(&mut self, now: Timestamp) -> Result<(), AnalyticsError> {
        for resolution in Resolution::ALL {
            let age = self.retention.age[resolution as usize].max(RETENTION_MIN);
            self.retire_before(resolution, before(now, age))?;
        }
        let youngest = before(now, RETENTION_MIN);
        while self.bytes() > self.retention.bytes {
            let oldest = |resolution: Resolution| {
                // So far that the next coarser window keeps all or none of its parts.
                let end = self.level(resolution).oldest_end(resolution)?;
                Some((resolution, resolution.coarser().unwrap_or(resolution).ceil(end)))
            };
            let retirable = Resolution::ALL.into_iter().filter_map(oldest).filter(|(_, end)| *end <= youngest);
            let largest = retirable.max_by_key(|(resolution, _)| self.level(*resolution).bytes());
            let Some((resolution, end)) = largest else { break };
            self.retire_before(resolution, end)?;
        }
        Ok(())
    }

    /// Waits until all is on disk, trying again what could not be written before.
    pub fn sync(&mut self) -> Result<(), AnalyticsError> {
        while let Some((resolution, key)) = self.unsaved.front().copied() {
            if let Some(block) = self.level(resolution).blocks.get(&key).cloned()
                && let Place::Memory(bytes) = &block.place
            {
                let place = self.write(resolution, key.0, bytes, block.checksum)?;
                self.level_mut(resolution).blocks.insert(key, Block { place, ..block });
            }
            self.unsaved.pop_front();
        }
        for segment in self.levels.iter_mut().flat_map(|level| &mut level.segments) {
            segment.sync()?;
        }
        Ok(())
    }

    /// Bytes of all blocks.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.levels.iter().map(Level::bytes).sum()
    }

    fn level(&self, resolution: Resolution) -> &Level {
        &self.levels[resolution as usize]
    }

    fn level_mut(&mut self, resolution: Resolution) -> &mut Level {
        &mut self.levels[resolution as usize]
    }

    fn load(&mut self, dir: &Path, resolution: Resolution) -> Result<(), AnalyticsError> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(dir).map_err(AnalyticsError::file(dir, "read"))? {
            let entry = entry.map_err(AnalyticsError::file(dir, "read"))?;
            numbers.extend(entry.file_name().to_str().and_then(|name| segment::number_in(name, resolution)));
        }
        numbers.sort_unstable();
        let level = self.level_mut(resolution);
        for number in numbers {
            let (segment, found) = Segment::open(dir, resolution, number)?;
            for found in found {
                let place = Place::Segment { number, at: found.at, length: found.length };
                let block = Block { place, checksum: found.checksum, digest: found.header.digest };
                level.blocks.insert((found.header.start, found.header.part), block);
            }
            level.segments.push(segment);
        }
        // Only the last one is appended to; what is torn in another one stays as evidence.
        if let Some(last) = level.segments.last()
            && !last.is_whole()?
        {
            last.repair()?;
        }
        Ok(())
    }

    /// After a start: the recent coarser windows that were not made, or not from what is there now.
    fn find_stale(&mut self) {
        for coarse in [Resolution::Minute, Resolution::Hour] {
            let Some(fine) = coarse.finer() else { continue };
            let Some((newest, _)) = self.level(fine).blocks.last_key_value() else { continue };
            // What is older may be retired in part: made anew, it would lose what it holds.
            let recent = coarse.ceil(before(newest.0, RETENTION_MIN));
            let starts: BTreeSet<_> =
                self.level(fine).blocks.range((recent, 0)..).map(|((start, _), _)| coarse.floor(*start)).collect();
            for start in starts {
                let made_of = self.level(coarse).blocks.get(&(start, 0)).map(|block| block.digest);
                if made_of != Some(self.digest_below(fine, start, coarse)) {
                    self.stale.insert((coarse, start));
                }
            }
        }
    }

    /// The digest of the finer blocks in a window. It does not depend on their order.
    fn digest_below(&self, fine: Resolution, start: Timestamp, coarse: Resolution) -> u64 {
        let blocks = self.level(fine).blocks.range((start, 0)..(coarse.end(start), 0));
        blocks.fold(0, |digest, (_, block)| digest.wrapping_add(block.checksum))
    }

    /// A window made from the finer ones, and their digest. A damaged one is dropped: the next try does without it.
    fn merge_below(&mut self, coarse: Resolution, start: Timestamp) -> Result<(u64, Window), AnalyticsError> {
        let mut window = Window::default();
        let Some(fine) = coarse.finer() else { return Ok((0, window)) };
        for (key, block) in self.level(fine).blocks.range((start, 0)..(coarse.end(start), 0)) {
            let bytes = match self.read_block(fine, block) {
                Ok(bytes) => bytes,
                Err(error) => {
                    let key = *key;
                    self.level_mut(fine).blocks.remove(&key);
                    return Err(error);
                }
            };
            wire::visit(&bytes, |key, cell| wire::add_cell(cell, window.cell(key)))?;
        }
        Ok((self.digest_below(fine, start, coarse), window))
    }

    fn put(&mut self, resolution: Resolution, header: Header, window: &Window) -> Result<(), AnalyticsError> {
        let bytes = wire::encode(header, window);
        let checksum = xxh3_64(&bytes);
        let key = (header.start, header.part);
        let written = match &self.dir {
            Some(_) => self.write(resolution, header.start, &bytes, checksum).map(Some),
            None => Ok(None),
        };
        let (place, result) = match written {
            Ok(Some(place)) => (place, Ok(())),
            Ok(None) => (Place::Memory(bytes.into()), Ok(())),
            Err(error) => {
                self.unsaved.push_back((resolution, key));
                (Place::Memory(bytes.into()), Err(error))
            }
        };
        self.level_mut(resolution).blocks.insert(key, Block { place, checksum, digest: header.digest });
        if let Some(coarser) = resolution.coarser() {
            self.stale.insert((coarser, coarser.floor(header.start)));
        }
        if self.unsaved.len() > UNSAVED_MAX
            && let Some((resolution, key)) = self.unsaved.pop_front()
        {
            self.level_mut(resolution).blocks.remove(&key);
        }
        result
    }

    fn write(
        &mut self,
        resolution: Resolution,
        start: Timestamp,
        bytes: &[u8],
        checksum: u64,
    ) -> Result<Place, AnalyticsError> {
        let Series { dir: Some(dir), levels, retention, .. } = self else {
            return Ok(Place::Memory(bytes.into()));
        };
        let segments = &mut levels[resolution as usize].segments;
        let full = (retention.bytes / SEGMENT_SHARE).min(SEGMENT_BYTES_MAX);
        if segments.last().is_none_or(|last| last.length >= full) {
            let number = segments.last().map_or(0, |last| last.number + 1);
            if let Some(last) = segments.last_mut() {
                last.sync()?;
            }
            segments.push(Segment::create(&dir.path, resolution, number)?);
        }
        let last = segments.len() - 1;
        let segment = &mut segments[last];
        let at = segment.append(bytes, checksum, resolution.end(start))?;
        Ok(Place::Segment { number: segment.number, at, length: bytes.len() as u32 })
    }

    fn read_block(&self, resolution: Resolution, block: &Block) -> Result<Arc<[u8]>, AnalyticsError> {
        match &block.place {
            Place::Memory(bytes) => Ok(bytes.clone()),
            Place::Segment { number, at, length } => {
                let segments = &self.level(resolution).segments;
                // Segments are in the order of their numbers, and one is deleted only when none of its blocks is indexed.
                let place = segments.partition_point(|segment| segment.number < *number);
                Ok(segments[place].read(*at, *length, block.checksum)?.into())
            }
        }
    }

    /// Drops the windows of a resolution that end before `cut`, rounded so that a coarser window keeps all or none of its
    /// parts.
    fn retire_before(&mut self, resolution: Resolution, cut: Timestamp) -> Result<(), AnalyticsError> {
        let cut = resolution.coarser().unwrap_or(resolution).floor(cut);
        let level = self.level_mut(resolution);
        if level.blocks.first_key_value().is_some_and(|((start, _), _)| *start < cut) {
            level.blocks = level.blocks.split_off(&(cut, 0));
        }
        let last = level.segments.last().map(|segment| segment.number);
        let over = |segment: &mut Segment| segment.end <= cut && Some(segment.number) != last;
        for segment in level.segments.extract_if(.., over) {
            segment.delete()?;
        }
        Ok(())
    }
}

impl Level {
    fn bytes(&self) -> u64 {
        let memory = self.blocks.values().map(|block| match &block.place {
            Place::Memory(bytes) => bytes.len() as u64,
            Place::Segment { .. } => 0,
        });
        memory.sum::<u64>() + self.segments.iter().map(|segment| segment.length).sum::<u64>()
    }

    /// The end of the oldest segment that may go; in memory, of the oldest window.
    fn oldest_end(&self, resolution: Resolution) -> Option<Timestamp> {
        match &self.segments[..] {
            [] => self.blocks.first_key_value().map(|((start, _), _)| resolution.end(*start)),
            [finished @ .., _] => finished.iter().map(|segment| segment.end).min(),
        }
    }
}

impl Dir {
    fn open(path: &Path) -> Result<Dir, AnalyticsError> {
        fs::create_dir_all(path).map_err(AnalyticsError::file(path, "created"))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(AnalyticsError::file(&lock_path, "created"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Dir { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(AnalyticsError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(AnalyticsError::file(&lock_path, "locked")(error)),
        }
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    Timestamp(now.0.saturating_sub(u64::try_from(age.as_micros()).unwrap_or(u64::MAX)))
}
