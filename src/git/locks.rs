//! Lock files of refs: waiting for those of others, and removing what a killed process left.
//!
//! git and gix hold a lock file for the moment of a write. A process that is killed in that moment leaves it, and the
//! ref could never be written again: after a while it is taken for what it is. Git itself we start in a process group of
//! its own, so it ends its writes even when we are killed; of our own writes we keep a mark while they last.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use tempfile::NamedTempFile;

use super::error::{Error, Result};
use super::refs::RefChange;
use super::repo::Repo;
use super::tables;

/// How old a lock file is that nobody holds any more: writes of refs take milliseconds.
const STALE: Duration = Duration::from_secs(5);

/// The same for lock files that commands of the user's may hold, too.
const STALE_FOR_THE_USER: Duration = Duration::from_secs(60);

/// The same for those of which a mark says that they were ours, and that we are dead.
const STALE_OF_THE_DEAD: Duration = Duration::from_secs(1);

/// How long is waited at most: until whatever stands in the way now is stale.
pub(super) const PATIENCE: Duration = Duration::from_secs(6);

impl Repo {
    /// Waits until no lock file stands in the way of the changes, and says whether one did; [`Error::Locked`] where one
    /// stays.
    pub(super) fn await_locks_of(&self, changes: &[RefChange]) -> Result<bool> {
        self.await_locks(changes.iter().map(|change| self.lock_of(&change.name)).collect())
    }

    /// Waits until a ref can be written by somebody else, such as a fetch.
    pub fn await_lock_of(&self, name: &str) -> Result<bool> {
        self.await_locks(vec![self.lock_of(name)])
    }

    /// Waits until no lock file stands below a prefix of refs.
    pub fn await_locks_below(&self, prefix: &str) -> Result<bool> {
        let mut locks = Vec::new();
        match &self.tables {
            Some(_) => locks.push(tables::lock(self.common_dir())),
            None => find_locks(&self.common_dir().join(prefix), &mut locks),
        }
        self.await_locks(locks)
    }

    /// Marks these refs as being written by this process, until the answer is dropped. The mark is locked: when the
    /// process is killed it stays behind unlocked, and tells whose the lock files are. Without it (a full disk) they
    /// only have to grow older.
    pub(super) fn mark_writing(&self, changes: &[RefChange]) -> Option<NamedTempFile> {
        let marks = self.marks();
        let mark = || NamedTempFile::new_in(&marks);
        let mut mark = mark().or_else(|_| fs::create_dir_all(&marks).and_then(|()| mark())).ok()?;
        mark.as_file().try_lock().ok()?;
        let names: String = changes.iter().map(|change| format!("{}\n", change.name)).collect();
        mark.write_all(names.as_bytes()).ok()?;
        Some(mark)
    }

    /// The lock files that processes killed while writing may have left, and when those began to write.
    fn locks_of_the_dead(&self) -> BTreeMap<PathBuf, SystemTime> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(self.marks()).into_iter().flatten().flatten() {
            let Ok(mark) = File::open(entry.path()) else { continue };
            let Ok(began) = mark.metadata().and_then(|metadata| metadata.modified()) else { continue };
            if mark.try_lock().is_err() {
                continue;
            }
            let names = fs::read_to_string(entry.path()).unwrap_or_default();
            let mut locks: Vec<PathBuf> = names.lines().map(|name| self.lock_of(name)).collect();
            locks.push(self.packed_refs_lock());
            if locks.iter().any(|lock| lock.exists()) {
                found.extend(locks.into_iter().map(|lock| (lock, began)));
            } else if began.elapsed().is_ok_and(|age| age >= STALE) {
                // One that is not locked yet may be about to be.
                let _ = fs::remove_file(entry.path());
            }
        }
        found
    }

    fn marks(&self) -> PathBuf {
        self.common_dir().join("dispatch/writing")
    }

    fn packed_refs_lock(&self) -> PathBuf {
        self.common_dir().join("packed-refs.lock")
    }

    fn lock_of(&self, name: &str) -> PathBuf {
        match &self.tables {
            // There is one for all of them.
            Some(_) => tables::lock(self.common_dir()),
            None => self.common_dir().join(format!("{name}.lock")),
        }
    }

    fn await_locks(&self, mut locks: Vec<PathBuf>) -> Result<bool> {
        locks.push(self.packed_refs_lock());
        let start = Instant::now();
        let mut waited = false;
        let stood: Vec<Option<SystemTime>> = locks.iter().map(|path| made_at(path)).collect();
        loop {
            let mut standing: Vec<_> = locks.iter().filter_map(|path| Some((path, made_at(path)?))).collect();
            if self.tables.is_some() {
                // All writers share one lock: where others took it since, it was free in between.
                standing.retain(|(path, made)| {
                    locks.iter().zip(&stood).any(|(known, stood)| known == *path && *stood == Some(*made))
                });
            }
            let Some((first, _)) = standing.first() else { return Ok(waited) };
            if start.elapsed() >= PATIENCE {
                return Err(Error::Locked { path: (*first).clone() });
            }
            waited = true;
            let of_the_dead = self.locks_of_the_dead();
            for (path, made) in standing {
                let is_of_the_dead = of_the_dead.get(path).is_some_and(|began| made >= *began);
                let stale = if is_of_the_dead { STALE_OF_THE_DEAD } else { stale_after(path) };
                // A clock that went back makes it new.
                if made.elapsed().is_ok_and(|age| age >= stale) {
                    let _ = fs::remove_file(path);
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What killed processes, or a machine that lost its power, may have left among the refs of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftBehind {
    /// Locks that are older than any write takes.
    pub locks: Vec<PathBuf>,
    /// Ref files without content.
    pub empty: Vec<PathBuf>,
}

/// Looks for it below a folder of a git directory, such as `refs`.
pub fn left_behind(git_dir: &Path, folder: &str) -> LeftBehind {
    let mut left = LeftBehind::default();
    find_left(&git_dir.join(folder), &mut left);
    left.locks.push(git_dir.join("packed-refs.lock"));
    left.locks.extend(tables::locks(git_dir));
    left.locks.retain(|lock| made_at(lock).and_then(|made| made.elapsed().ok()).is_some_and(|age| age >= STALE));
    left.locks.sort();
    left.empty.sort();
    left
}

fn find_left(folder: &Path, left: &mut LeftBehind) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(about) = fs::symlink_metadata(&path) else { continue };
        if about.is_dir() {
            find_left(&path, left);
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            left.locks.push(path);
        } else if about.is_file() && about.len() == 0 {
            left.empty.push(path);
        }
    }
}

/// How old a lock file must be to count as left behind. The user's own branches and the packed refs are also locked by
/// commands of theirs, and for as long as a hook of theirs takes.
fn stale_after(path: &Path) -> Duration {
    let is_shared = path.file_name().is_some_and(|name| name == "packed-refs.lock" || name == "tables.list.lock")
        || path.components().any(|part| part.as_os_str() == "heads");
    if is_shared { STALE_FOR_THE_USER } else { STALE }
}

/// When a file was made; `None` where there is none.
fn made_at(path: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(path).ok()?.modified().ok()
}

fn find_locks(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find_locks(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            found.push(path);
        }
    }
}
