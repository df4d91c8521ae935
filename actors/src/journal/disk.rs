//! Where a journal's files lie: a directory, or memory with the same bytes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::memory::{MemoryDisk, MemoryLock};

const LOCK_NAME: &str = "lock";
/// A file with this ending is not finished: it is removed when the journal is opened.
const TEMPORARY: &str = ".tmp";
/// So many zeros go to the disk at a time: a commit that comes meanwhile waits behind no more than these.
const ZEROS_BYTES: usize = 2 << 20;

/// Where a journal is kept.
#[derive(Clone, Debug)]
pub enum Storage {
    /// In the files of a directory, made when it is not there.
    Directory(PathBuf),
    /// In memory, for tests and simulations.
    Memory(MemoryDisk),
}

/// Files by name. Cloning shares them.
#[derive(Clone, Debug)]
pub(super) enum Disk {
    Directory(Arc<PathBuf>),
    Memory(MemoryDisk),
}

/// Held as long as the journal is open: nobody else may write.
#[derive(Debug)]
pub(super) enum DiskLock {
    Directory(#[expect(dead_code, reason = "the lock ends with the file")] File),
    Memory(#[expect(dead_code, reason = "the lock ends with it")] MemoryLock),
}

/// An open file to write to.
#[derive(Debug)]
pub(super) enum DiskFile {
    Directory(File),
    Memory(MemoryDisk, String),
}

impl Disk {
    /// Opens and locks it; `None` when somebody else holds the lock.
    pub fn open(storage: Storage) -> io::Result<Option<(Disk, DiskLock)>> {
        match storage {
            Storage::Memory(disk) => Ok(disk.lock().map(|lock| (Disk::Memory(disk.clone()), DiskLock::Memory(lock)))),
            Storage::Directory(path) => {
                fs::create_dir_all(&path)?;
                let file = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK_NAME))?;
                match file.try_lock() {
                    Ok(()) => {}
                    Err(TryLockError::WouldBlock) => return Ok(None),
                    Err(TryLockError::Error(error)) => return Err(error),
                }
                let disk = Disk::Directory(Arc::new(path));
                disk.remove_unfinished()?;
                Ok(Some((disk, DiskLock::Directory(file))))
            }
        }
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        for name in self.names()?.iter().filter(|name| name.ends_with(TEMPORARY)) {
            self.remove(name)?;
        }
        Ok(())
    }

    /// The names of all files, in order.
    pub fn names(&self) -> io::Result<Vec<String>> {
        match self {
            Disk::Memory(disk) => Ok(disk.names()),
            Disk::Directory(path) => {
                let mut names = Vec::new();
                for entry in fs::read_dir(&**path)? {
                    names.extend(entry?.file_name().into_string());
                }
                names.sort_unstable();
                Ok(names)
            }
        }
    }

    /// The length of a file.
    pub fn bytes(&self, name: &str) -> io::Result<u64> {
        match self {
            Disk::Memory(disk) => disk.with(name, |content| content.len() as u64),
            Disk::Directory(path) => Ok(fs::metadata(path.join(name))?.len()),
        }
    }

    /// `length` bytes of a file from `offset` on.
    pub fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        match self {
            Disk::Memory(disk) => {
                let at = usize::try_from(offset).map_err(io::Error::other)?;
                let part = disk.with(name, |content| Some(content.get(at..at.checked_add(length)?)?.to_vec()))?;
                part.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
            }
            Disk::Directory(path) => {
                let mut bytes = vec![0; length];
                File::open(path.join(name))?.read_exact_at(&mut bytes, offset)?;
                Ok(bytes)
            }
        }
    }

    /// A whole file.
    pub fn read_all(&self, name: &str) -> io::Result<Vec<u8>> {
        match self {
            Disk::Memory(disk) => disk.with(name, <[u8]>::to_vec),
            Disk::Directory(path) => fs::read(path.join(name)),
        }
    }

    /// Makes a file of `bytes` zeros that are on the disk when this returns, so that writes into it need no space and a
    /// sync of them no metadata. Nothing is left of it after an error.
    pub fn create(&self, name: &str, bytes: u64) -> io::Result<DiskFile> {
        match self {
            Disk::Memory(disk) => {
                disk.create(name, bytes)?;
                Ok(DiskFile::Memory(disk.clone(), name.to_owned()))
            }
            Disk::Directory(path) => {
                let temporary = path.join(format!("{name}{TEMPORARY}"));
                let made = create_zeros(&temporary, bytes).and_then(|file| {
                    fs::rename(&temporary, path.join(name))?;
                    sync_directory(path)?;
                    Ok(file)
                });
                if made.is_err() {
                    // It may not be there, and the first error is the one to tell.
                    let _ = fs::remove_file(&temporary);
                }
                made.map(DiskFile::Directory)
            }
        }
    }

    /// Opens a file to write to.
    pub fn open_file(&self, name: &str) -> io::Result<DiskFile> {
        match self {
            Disk::Memory(disk) => {
                disk.with(name, |_| ())?;
                Ok(DiskFile::Memory(disk.clone(), name.to_owned()))
            }
            Disk::Directory(path) => {
                Ok(DiskFile::Directory(OpenOptions::new().read(true).write(true).open(path.join(name))?))
            }
        }
    }

    /// Puts a whole file in place at once: afterwards it is on the disk, after an error or a crash the old one is.
    pub fn put(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.put_written(name, |file| file.write_all(content))
    }

    /// As [`Disk::put`], of what `write` writes: it need not be in memory as a whole.
    pub fn put_written(&self, name: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match self {
            Disk::Memory(disk) => {
                let mut content = Vec::new();
                write(&mut content)?;
                disk.put(name, &content)
            }
            Disk::Directory(path) => {
                let temporary = path.join(format!("{name}{TEMPORARY}"));
                let written = put_file(&temporary, write).and_then(|()| {
                    fs::rename(&temporary, path.join(name))?;
                    sync_directory(path)
                });
                if written.is_err() {
                    // As above.
                    let _ = fs::remove_file(&temporary);
                }
                written
            }
        }
    }

    /// Removes a file, before anything that is done later; no error when there is none.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match self {
            Disk::Memory(disk) => disk.remove(name),
            Disk::Directory(path) => match fs::remove_file(path.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed.and_then(|()| sync_directory(path)),
            },
        }
    }
}

impl DiskFile {
    /// Writes `bytes` at `offset`.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self {
            DiskFile::Memory(disk, name) => disk.write(name, offset, bytes),
            DiskFile::Directory(file) => file.write_all_at(bytes, offset),
        }
    }

    /// Waits until all that was written is on the disk. After an error it must not be called again: what was written
    /// may be lost although a second call says otherwise.
    pub fn sync(&self) -> io::Result<()> {
        match self {
            DiskFile::Memory(disk, name) => disk.sync(name),
            DiskFile::Directory(file) => file.sync_data(),
        }
    }
}

fn create_zeros(path: &Path, bytes: u64) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    if let Err(error) = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        // Not every file system can; the zeros below take the space as well.
        if error != rustix::io::Errno::OPNOTSUPP {
            return Err(error.into());
        }
    }
    let zeros = vec![0; ZEROS_BYTES];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(ZEROS_BYTES as u64);
        file.write_all(&zeros[..part as usize])?;
        file.sync_data()?;
        left -= part;
    }
    file.sync_all()?;
    Ok(file)
}

fn put_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut file = File::create(path)?;
    write(&mut file)?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
