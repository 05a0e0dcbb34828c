//! This clone's own state in `<git-common-dir>/dispatch/`: its id, its lock, small records.
//!
//! Owns how they are written, so that a crash leaves the old or the new content and never half of it. Nothing here is
//! shared; what the hub holds can be read again.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{Error, Result};
use crate::ambient::Ambient;
use crate::fail;
use crate::git::Error as GitError;

/// The file of the clone's id.
const ID: &str = "clone-id";

/// How long a command waits for another one that draws the id.
const DRAWING: Duration = Duration::from_secs(10);

/// The folder of this clone's own state.
#[derive(Debug, Clone)]
pub struct LocalState {
    root: PathBuf,
    /// The clone's id, drawn once.
    pub clone_id: String,
    /// The clone's id and this start of the program: what claims are told apart by.
    pub instance: String,
}

/// A lock of this clone, given up when dropped or when the process ends.
#[derive(Debug)]
pub struct CloneLock(File);

/// The lock on claiming by hand. Its file is not empty while a command is under way: the next one sees by it that the last
/// did not come to its end, and may have won what it never followed up.
#[derive(Debug)]
pub struct ClaimsLock {
    lock: CloneLock,
    /// Whether the command before came to its end.
    pub is_clean: bool,
}

impl ClaimsLock {
    /// Marks that a command is under way.
    fn begin(mut lock: CloneLock) -> std::io::Result<Self> {
        let is_clean = lock.0.metadata()?.len() == 0;
        lock.0.write_all(b"under way\n")?;
        Ok(Self { lock, is_clean })
    }

    /// Gives the lock up at the end of a command that followed up what it won.
    pub fn end(self) {
        // Where that fails the next command looks at the hub before it claims: no more than that.
        let _ = self.lock.0.set_len(0);
    }
}

impl LocalState {
    /// Opens the folder, and draws the clone's id where it has none.
    pub fn open(common_dir: &Path, ambient: &Ambient) -> Result<Self> {
        let root = common_dir.join("dispatch");
        std::fs::create_dir_all(&root).map_err(|error| GitError::file(&root, error))?;
        let mut state = Self { root, clone_id: String::new(), instance: String::new() };
        state.clone_id = match state.read_id() {
            Some(id) => id,
            None => state.draw_id(ambient)?,
        };
        let start = ambient.nonce().map_err(Error::Random)?;
        state.instance = format!("{}.{}", state.clone_id, &start[24..]);
        Ok(state)
    }

    /// The id of this clone; `None` where none was drawn, or it came with a copy of the folder. A copied clone is another
    /// clone: under one id each of the two would take the other for dead and its claims for its own. The file names its own
    /// inode, which no copy has; where there are no inodes, a copy is not told apart.
    fn read_id(&self) -> Option<String> {
        let mut file = File::open(self.path(ID)).ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        let mut lines = text.lines().map(str::trim);
        let id = lines.next().filter(|id| !id.is_empty())?;
        let is_here = lines.next().unwrap_or_default() == inode(&file).ok()?;
        is_here.then(|| id.to_owned())
    }

    /// Draws an id. Of two commands at once in a fresh clone the first one's stays.
    fn draw_id(&self, ambient: &Ambient) -> Result<String> {
        let _lock = self.wait_for_lock_file("clone-id.lock", DRAWING)?;
        if let Some(id) = self.read_id() {
            return Ok(id);
        }
        let id = ambient.nonce().map_err(Error::Random)?[..16].to_owned();
        persist_with(&self.path(ID), |file| {
            let line = inode(file)?;
            writeln!(file, "{id}\n{line}")
        })?;
        Ok(id)
    }

    /// Returns the path of a file in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Says whether a claim's instance is of this clone, now or earlier.
    pub fn is_own(&self, instance: &str) -> bool {
        instance.split('.').next() == Some(&self.clone_id)
    }

    /// Reads a record; `None` where there is none. A record that cannot be read counts as none: all that is kept here
    /// and not on the hub is the outbox, which names what is broken by itself.
    pub fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.path(name);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(GitError::file(path, error).into()),
        }
    }

    /// Writes a record, whole or not at all, and onto the disk.
    pub fn write<T: Serialize>(&self, name: &str, record: &T) -> Result<()> {
        let path = self.path(name);
        let text = serde_json::to_vec_pretty(record)
            .map_err(|error| Error::State { path: path.clone(), detail: error.to_string() })?;
        persist(&path, &text)
    }

    /// Writes a record of what can be read again, whole or not at all; what the disk has of it after a loss of power is left
    /// to chance.
    pub fn note<T: Serialize>(&self, name: &str, record: &T) -> Result<()> {
        let path = self.path(name);
        let text = serde_json::to_vec_pretty(record)
            .map_err(|error| Error::State { path: path.clone(), detail: error.to_string() })?;
        let file = written(&path, |file| file.write_all(&text))?;
        put(file, &path)
    }

    /// Removes a record; one that is gone already is no error.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        fail::point("file.before_removal");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(GitError::file(path, error).into()),
            _ => Ok(()),
        }
    }

    /// Tries to take the clone's lock; `None` while another process holds it.
    pub fn try_lock(&self) -> Result<Option<CloneLock>> {
        self.try_lock_file("lock")
    }

    /// Tries to take the lock on something else of this clone, such as a scratch folder; `None` while another process
    /// holds it.
    pub fn try_lock_of(&self, name: &str) -> Result<Option<CloneLock>> {
        self.try_lock_file(&format!("{name}.lock"))
    }

    /// Waits for the lock on the mirror: two fetches of one clone at once would trip over each other's refs, which looks
    /// like a hub that does not answer. After `patience` it goes on without: the lock is a courtesy.
    pub fn lock_mirror(&self, patience: Duration) -> Result<Option<CloneLock>> {
        self.wait_for_lock_file("mirror.lock", patience)
    }

    /// Waits for the lock on claiming by hand in this clone, in the same way.
    pub fn lock_claims(&self, patience: Duration) -> Result<Option<ClaimsLock>> {
        let lock = self.wait_for_lock_file("claim.lock", patience)?;
        let failed = |error| Error::from(GitError::file(self.path("claim.lock"), error));
        lock.map(|lock| ClaimsLock::begin(lock).map_err(failed)).transpose()
    }

    fn wait_for_lock_file(&self, name: &str, patience: Duration) -> Result<Option<CloneLock>> {
        let until = Instant::now() + patience;
        loop {
            let lock = self.try_lock_file(name)?;
            if lock.is_some() || Instant::now() >= until {
                return Ok(lock);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn try_lock_file(&self, name: &str) -> Result<Option<CloneLock>> {
        let path = self.path(name);
        let failed = |error| Error::from(GitError::file(&path, error));
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(CloneLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Writes a file whole: to a temporary one beside it, synced, renamed, and the folder synced.
pub fn persist(path: &Path, content: &[u8]) -> Result<()> {
    persist_with(path, |file| file.write_all(content))
}

fn persist_with(path: &Path, fill: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<()> {
    let failed = |error| Error::from(GitError::file(path, error));
    let file = written(path, |file| fill(file).and_then(|()| file.sync_all()))?;
    put(file, path)?;
    // Without it the rename itself may be lost with the power.
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Fills a temporary file beside `path`.
fn written(path: &Path, fill: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<tempfile::NamedTempFile> {
    let failed = |error| Error::from(GitError::file(path, error));
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    fill(file.as_file_mut()).map_err(failed)?;
    Ok(file)
}

fn put(file: tempfile::NamedTempFile, path: &Path) -> Result<()> {
    fail::point("file.written");
    file.persist(path).map_err(|error| Error::from(GitError::file(path, error.error)))?;
    fail::point("file.renamed");
    Ok(())
}

/// The line that names a file's inode; empty where there are none.
#[cfg(unix)]
fn inode(file: &File) -> std::io::Result<String> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(format!("inode {}", file.metadata()?.ino()))
}

#[cfg(not(unix))]
fn inode(_: &File) -> std::io::Result<String> {
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clone_id_stays_and_the_instance_changes() {
        let folder = tempfile::tempdir().unwrap();
        let ambient = Ambient::fixed(1);
        let one = LocalState::open(folder.path(), &ambient).unwrap();
        let two = LocalState::open(folder.path(), &ambient).unwrap();
        assert_eq!(one.clone_id, two.clone_id);
        assert_ne!(one.instance, two.instance);
        assert!(one.is_own(&two.instance) && !one.is_own("other.1"));
    }

    #[cfg(unix)]
    #[test]
    fn a_copy_is_another_clone_and_one_that_was_moved_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (one, moved) = (folder.path().join("one"), folder.path().join("moved"));
        let ambient = Ambient::system().unwrap();
        let id = LocalState::open(&one, &ambient).unwrap().clone_id;
        std::fs::rename(&one, &moved).unwrap();
        assert_eq!(LocalState::open(&moved, &ambient).unwrap().clone_id, id);
        std::fs::create_dir_all(one.join("dispatch")).unwrap();
        std::fs::copy(moved.join("dispatch/clone-id"), one.join("dispatch/clone-id")).unwrap();
        let copy = LocalState::open(&one, &ambient).unwrap().clone_id;
        assert_ne!(copy, id);
        assert_eq!(LocalState::open(&one, &ambient).unwrap().clone_id, copy);
    }

    #[test]
    fn the_lock_is_for_one_and_free_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let state = LocalState::open(folder.path(), &Ambient::fixed(1)).unwrap();
        let lock = state.try_lock().unwrap();
        assert!(lock.is_some() && state.try_lock().unwrap().is_none());
        drop(lock);
        assert!(state.try_lock().unwrap().is_some());
    }
}
