//! Lock files of refs: waiting for those of others, and removing what a killed process left.
//!
//! git and gix hold a lock file for the moment of a write. A process that is killed in that moment leaves it, and the
//! ref could never be written again: after a while it is taken for what it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::refs::RefChange;
use super::repo::Repo;

/// How old a lock file is that nobody holds any more: writes of refs take milliseconds.
const STALE: Duration = Duration::from_secs(5);

/// The same for lock files that commands of the user's may hold, too.
const STALE_FOR_THE_USER: Duration = Duration::from_secs(60);

/// How long is waited at most: until whatever stands in the way now is stale.
const PATIENCE: Duration = Duration::from_secs(6);

impl Repo {
    /// Waits until no lock file stands in the way of the changes, and says whether one did.
    pub(super) fn await_locks_of(&self, changes: &[RefChange]) -> bool {
        self.await_locks(changes.iter().map(|change| self.lock_of(&change.name)).collect())
    }

    /// Waits until a ref can be written by somebody else, such as a fetch.
    pub fn await_lock_of(&self, name: &str) {
        self.await_locks(vec![self.lock_of(name)]);
    }

    /// Waits until no lock file stands below a prefix of refs.
    pub fn await_locks_below(&self, prefix: &str) {
        let mut locks = Vec::new();
        find_locks(&self.common_dir().join(prefix), &mut locks);
        self.await_locks(locks);
    }

    fn lock_of(&self, name: &str) -> PathBuf {
        self.common_dir().join(format!("{name}.lock"))
    }

    fn await_locks(&self, mut locks: Vec<PathBuf>) -> bool {
        locks.push(self.common_dir().join("packed-refs.lock"));
        let start = Instant::now();
        let mut waited = false;
        while start.elapsed() < PATIENCE {
            let ages: Vec<_> = locks.iter().filter_map(|path| Some((path, age(path)?))).collect();
            if ages.is_empty() {
                break;
            }
            waited = true;
            for (path, _) in ages.iter().filter(|(path, age)| *age >= stale_after(path)) {
                let _ = fs::remove_file(path);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        waited
    }
}

/// How old a lock file must be to count as left behind. The user's own branches and the packed refs are also locked by
/// commands of theirs, and for as long as a hook of theirs takes.
fn stale_after(path: &Path) -> Duration {
    let is_shared = path.file_name().is_some_and(|name| name == "packed-refs.lock")
        || path.components().any(|part| part.as_os_str() == "heads");
    if is_shared { STALE_FOR_THE_USER } else { STALE }
}

/// How long ago a file was made; `None` where there is none. A clock that went back makes it new.
fn age(path: &Path) -> Option<Duration> {
    let made = fs::symlink_metadata(path).ok()?.modified().ok()?;
    Some(made.elapsed().unwrap_or_default())
}

fn find_locks(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find_locks(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            found.push(path);
        }
    }
}
