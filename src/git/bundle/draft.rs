//! The file of a bundle until it is whole.
//!
//! It stands in the folder where it shall be, under a hidden name that nobody else takes, and is locked for as long as its
//! maker lives. Owns that name and that lock: of two who write one file the second is refused, and what a process that was
//! killed left goes when the same file is written again.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tempfile::TempPath;

use super::{BundleError, Result};
use crate::fail;

/// What the name ends with.
const SUFFIX: &str = ".partial";

/// How many characters of it are drawn.
const DRAWN: usize = 6;

/// How often it is tried where somebody else writes the same file, with pauses of a few milliseconds.
const TRIES: u32 = 6;

/// A file that is not whole yet. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    temporary: TempPath,
    file: File,
}

impl Draft {
    /// Begins a file; refuses where somebody else is writing one of that name.
    pub(super) fn begin(path: &Path) -> Result<Self> {
        let unusable = |source| BundleError::Unreadable { path: path.to_owned(), source };
        for turn in 1..=TRIES {
            let mut builder = tempfile::Builder::new();
            let prefix = prefix_of(path);
            let builder = builder.prefix(&prefix).suffix(SUFFIX).rand_bytes(DRAWN);
            let made = builder.permissions(Permissions::from_mode(0o666)).tempfile_in(folder_of(path));
            let (file, temporary) = made.map_err(unusable)?.into_parts();
            let is_locked = !matches!(file.try_lock(), Err(TryLockError::WouldBlock));
            let draft = Self { path: path.to_owned(), temporary, file };
            // Somebody may just have taken it for left behind.
            if is_locked && draft.temporary.exists() && draft.is_alone() {
                // Or the other has ended.
                super::check_free(path)?;
                return Ok(draft);
            }
            // Of two who began in the same moment each sees the other.
            let pause = u64::from(turn) * u64::from(draft.drawn() % 16);
            drop(draft);
            thread::sleep(Duration::from_millis(pause));
        }
        Err(BundleError::Busy { path: path.to_owned() })
    }

    /// A number that was drawn with the name.
    fn drawn(&self) -> u32 {
        let name = self.temporary.file_name().unwrap_or_default().as_encoded_bytes();
        name.iter().fold(0, |sum, byte| sum + u32::from(*byte))
    }

    /// Removes what the dead left of the same file; says whether nobody who lives is writing it.
    fn is_alone(&self) -> bool {
        let prefix = prefix_of(&self.path);
        let is_drawn = |name: &OsStr| {
            let name = name.as_encoded_bytes();
            let drawn =
                name.strip_prefix(prefix.as_encoded_bytes()).and_then(|name| name.strip_suffix(SUFFIX.as_bytes()));
            drawn.is_some_and(|drawn| drawn.len() == DRAWN && drawn.iter().all(u8::is_ascii_alphanumeric))
        };
        let own: &Path = &self.temporary;
        let beside = fs::read_dir(folder_of(&self.path)).into_iter().flatten().flatten();
        let others =
            beside.filter(|entry| is_drawn(&entry.file_name()) && Some(&*entry.file_name()) != own.file_name());
        others.fold(true, |is_alone, other| {
            let Ok(file) = File::open(other.path()) else { return is_alone };
            match file.try_lock() {
                Ok(()) => drop(fs::remove_file(other.path())),
                Err(TryLockError::WouldBlock) => return false,
                // Where nothing can be locked nobody knows.
                Err(TryLockError::Error(_)) => {}
            }
            is_alone
        })
    }

    /// Writes what stands before the pack.
    pub(super) fn write(&mut self, text: &str) -> Result<()> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|source| BundleError::Unreadable { path: self.path.clone(), source })
    }

    /// Opens it once more, for who writes the rest: it holds no lock, which must end with us.
    pub(super) fn for_output(&self) -> Result<File> {
        let file = File::options().append(true).open(&self.temporary);
        file.map_err(|source| BundleError::Unreadable { path: self.path.clone(), source })
    }

    /// Where it will be.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, unless there is a file of that name. Returns its size in bytes.
    pub(super) fn finish(self) -> Result<u64> {
        let Self { path, temporary, file } = self;
        let unusable = |source| BundleError::Unreadable { path: path.clone(), source };
        file.sync_all().map_err(unusable)?;
        let size = file.metadata().map_err(unusable)?.len();
        fail::point("bundle.written");
        match temporary.persist_noclobber(&path) {
            Ok(()) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(BundleError::Exists { path });
            }
            Err(error) => return Err(unusable(error.error)),
        }
        fail::point("bundle.renamed");
        // Without it the name itself may be lost with the power; not every medium can.
        let _ = File::open(folder_of(&path)).and_then(|folder| folder.sync_all());
        Ok(size)
    }
}

/// The folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn prefix_of(path: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(path.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn of_two_who_write_one_file_the_second_is_refused_and_what_the_dead_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        for left in [".x.abcdef.partial", ".x.y.abcdef.partial", ".x.partial", ".x.abc.partial"] {
            fs::write(folder.path().join(left), "left").unwrap();
        }
        let mut first = Draft::begin(&path).unwrap();
        assert!(matches!(Draft::begin(&path), Err(BundleError::Busy { .. })));
        assert_eq!(Draft::begin(&folder.path().join("y")).unwrap().path(), folder.path().join("y"), "another file");
        first.write("one ").unwrap();
        first.for_output().unwrap().write_all(b"two").unwrap();
        assert_eq!(first.finish().unwrap(), 7);
        assert_eq!(names(folder.path()), [".x.abc.partial", ".x.partial", ".x.y.abcdef.partial", "x"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "one two");
        assert!(matches!(Draft::begin(&path), Err(BundleError::Exists { .. })));
        let late = Draft::begin(&folder.path().join("late")).unwrap();
        fs::write(folder.path().join("late"), "").unwrap();
        assert!(matches!(late.finish(), Err(BundleError::Exists { .. })));
        fs::remove_file(folder.path().join("late")).unwrap();
        assert_eq!(names(folder.path()).len(), 4, "taken back");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        let usual = folder.path().join("usual");
        fs::write(&usual, "").unwrap();
        assert_eq!(mode, fs::metadata(usual).unwrap().permissions().mode());
    }

    #[test]
    fn who_still_writes_for_the_dead_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let first = Draft::begin(&path).unwrap();
        let mut orphan = first.for_output().unwrap();
        // As when the process is killed: its lock goes, the file stays.
        std::mem::forget(first.temporary);
        drop(first.file);
        let second = Draft::begin(&path).unwrap();
        orphan.write_all(b"late").unwrap();
        assert_eq!(second.finish().unwrap(), 0);
        assert_eq!(names(folder.path()), ["x"]);
    }
}
