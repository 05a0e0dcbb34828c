//! A folder of an inbox: what stands in it, reading a file whole, and putting it away under another name.
//!
//! Owns when two looks saw the same file, and that nothing is overwritten. Names that begin with a dot are nobody's yet:
//! editors and copying tools write under such names first.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::fail;

/// A file larger than any spec is not read whole to find that out.
const READ_LIMIT: u64 = 8 << 20;

/// How many files of one name are kept apart by a number.
const MOST_OF_ONE_NAME: u32 = 10_000;

/// What the name of a file that was enqueued ends in.
pub(super) const DISPATCHED: &str = ".dispatched";
/// What the name of a file that was refused ends in.
pub(super) const REJECTED: &str = ".rejected";
/// What the name of the file beside it, which says why, ends in.
const REASON: &str = ".error";

/// A file in the state in which it was seen: when any of this differs, it was written to or is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    place: (u64, u64),
    pub(super) bytes: u64,
    modified: (i64, i64),
    pub(super) is_file: bool,
}

impl Seen {
    fn of(meta: &Metadata) -> Self {
        Self {
            place: (meta.dev(), meta.ino()),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            is_file: meta.is_file(),
        }
    }
}

/// A file that waits in a folder.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) path: PathBuf,
    /// The path for people, as the folder was given.
    pub(super) shown: String,
    /// The name of the subfolder that it is in: its project.
    pub(super) project: Option<String>,
    pub(super) seen: Seen,
}

impl Waiting {
    /// What a file is known by, whichever way leads to it: where it is on the disk, and its name there.
    pub(super) fn identity(&self) -> ((u64, u64), Option<OsString>) {
        (self.seen.place, self.path.file_name().map(OsStr::to_owned))
    }
}

/// Lists the specs that wait in a folder and in its subfolders, in order of their names. What cannot be listed below it
/// is passed over.
pub(super) fn list(folder: &Path, shown: &Path) -> io::Result<Vec<Waiting>> {
    let mut found = Vec::new();
    let mut subfolders = Vec::new();
    for (name, meta) in entries(folder)? {
        if meta.is_dir() {
            subfolders.push(name);
        } else if is_spec(&name) {
            found.push(waiting(folder, shown, &name, None, &meta));
        }
    }
    for subfolder in subfolders {
        let (path, shown) = (folder.join(&subfolder), shown.join(&subfolder));
        let project = subfolder.to_string_lossy().into_owned();
        for (name, meta) in entries(&path).unwrap_or_default() {
            if !meta.is_dir() && is_spec(&name) {
                found.push(waiting(&path, &shown, &name, Some(project.clone()), &meta));
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn entries(folder: &Path) -> io::Result<Vec<(OsString, Metadata)>> {
    let entries = fs::read_dir(folder)?.filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.file_name();
        // What is gone by now is another's, or was only there for a moment.
        (!name.as_encoded_bytes().starts_with(b"."))
            .then(|| entry.metadata().ok())
            .flatten()
            .map(|meta| (name, meta))
    });
    Ok(entries.collect())
}

fn is_spec(name: &OsStr) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "md")
}

fn waiting(folder: &Path, shown: &Path, name: &OsStr, project: Option<String>, meta: &Metadata) -> Waiting {
    let shown = shown.join(name).to_string_lossy().into_owned();
    Waiting { path: folder.join(name), shown, project, seen: Seen::of(meta) }
}

impl Waiting {
    /// Reads the file, if it still is the one that was seen and stays it to the end; never through a link.
    pub(super) fn read(&self) -> io::Result<Option<Vec<u8>>> {
        // Whoever may drop a file may also drop a pipe in its place: that must neither hang us nor be read.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let file = File::options().read(true).custom_flags(flags.cast_signed()).open(&self.path)?;
        let mut bytes = Vec::new();
        let is_same = |file: &File| Ok::<_, io::Error>(Seen::of(&file.metadata()?) == self.seen);
        if !is_same(&file)? {
            return Ok(None);
        }
        (&file).take(READ_LIMIT).read_to_end(&mut bytes)?;
        Ok(is_same(&file)?.then_some(bytes))
    }

    /// Puts the file away as enqueued. Says whether it was still the one that was seen; another one stays.
    pub(super) fn dispatched(&self) -> io::Result<bool> {
        let is_put_away = self.put_away(DISPATCHED)?.is_some();
        // A reason of an earlier try, whose file was mended under the same name, would mislead.
        if is_put_away && !with_ending(&self.path, 0, REJECTED).exists() {
            let _ = fs::remove_file(with_ending(&self.path, 0, REASON));
        }
        Ok(is_put_away)
    }

    /// Puts the file away as refused, with the reason beside it.
    pub(super) fn rejected(&self, reason: &str) -> io::Result<bool> {
        let number = self.free_number(REJECTED)?;
        // First the reason: a crash in between finds the file again, and refuses it again.
        self.write_reason(&with_ending(&self.path, number, REASON), reason)?;
        fail::point("inbox.reason_written");
        Ok(self.put_away(REJECTED)?.is_some())
    }

    fn write_reason(&self, path: &Path, reason: &str) -> io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(".reason").tempfile_in(folder)?;
        io::Write::write_all(&mut file, reason.as_bytes())?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }

    fn put_away(&self, ending: &str) -> io::Result<Option<PathBuf>> {
        let is_ours = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| Seen::of(&meta) == self.seen);
        if !is_ours(&self.path) {
            return Ok(None);
        }
        let to = with_ending(&self.path, self.free_number(ending)?, ending);
        fail::point("inbox.before_renaming");
        match fs::rename(&self.path, &to) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            result => result?,
        }
        fail::point("inbox.renamed");
        if is_ours(&to) {
            return Ok(Some(to));
        }
        // Another file took its place at the last moment: that one has not been read.
        if !self.path.exists() {
            fs::rename(&to, &self.path)?;
        }
        Ok(None)
    }

    /// The first number under which nothing else stands: the very same content may be written over.
    fn free_number(&self, ending: &str) -> io::Result<u32> {
        for number in 0..MOST_OF_ONE_NAME {
            let path = with_ending(&self.path, number, ending);
            match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(number),
                Err(error) => return Err(error),
                Ok(meta) if meta.is_file() && meta.len() == self.seen.bytes && self.seen.is_file => {
                    if fs::read(&path)? == fs::read(&self.path)? {
                        return Ok(number);
                    }
                }
                Ok(_) => {}
            }
        }
        Err(io::Error::other("too many files of that name"))
    }
}

/// `x.md` becomes `x.md.dispatched`, and from the second on `x.2.md.dispatched`.
fn with_ending(path: &Path, number: u32, ending: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    if number > 0 {
        name.push(format!(".{}", number + 1));
    }
    name.push(".md");
    name.push(ending);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(folder: &Path) -> Waiting {
        let mut found = list(folder, Path::new("in")).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn specs_are_found_with_their_projects_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("q/deeper")).unwrap();
        for name in ["b.md", "a.md", ".c.md", "d.txt", "e.md.dispatched", "q/f.md", "q/deeper/g.md"] {
            fs::write(root.join(name), name).unwrap();
        }
        let found: Vec<(String, Option<String>)> =
            list(root, Path::new("in")).unwrap().into_iter().map(|one| (one.shown, one.project)).collect();
        let expected = [("in/a.md", None), ("in/b.md", None), ("in/q/f.md", Some("q"))];
        assert_eq!(found, expected.map(|(shown, project)| (shown.to_owned(), project.map(str::to_owned))));
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.md");
        fs::write(&path, "one").unwrap();
        let waiting = only(folder.path());
        assert_eq!(waiting.read().unwrap(), Some(b"one".to_vec()));
        fs::write(&path, "one and two").unwrap();
        assert_eq!(waiting.read().unwrap(), None);
        assert!(!waiting.dispatched().unwrap() && path.exists(), "what has not been read stays");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        let link = only(folder.path());
        assert!(!link.seen.is_file && link.read().is_err());
        assert!(link.rejected("a link").unwrap());
        assert_eq!(names(folder.path()), ["a.md.error", "a.md.rejected"]);
    }

    #[test]
    fn nothing_is_overwritten_but_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.md");
        for text in ["one", "two", "one", "two", "three"] {
            fs::write(&path, text).unwrap();
            assert!(only(folder.path()).dispatched().unwrap());
        }
        let expected = ["a.2.md.dispatched", "a.3.md.dispatched", "a.md.dispatched"];
        assert_eq!(names(folder.path()), expected);
        assert_eq!(fs::read_to_string(folder.path().join("a.3.md.dispatched")).unwrap(), "three");
    }

    #[test]
    fn a_reason_stands_beside_its_file_until_that_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.md");
        fs::write(&path, "bad").unwrap();
        assert!(only(folder.path()).rejected("why").unwrap());
        fs::write(&path, "worse").unwrap();
        assert!(only(folder.path()).rejected("why again").unwrap());
        let expected = ["a.2.md.error", "a.2.md.rejected", "a.md.error", "a.md.rejected"];
        assert_eq!(names(folder.path()), expected);
        fs::rename(folder.path().join("a.md.rejected"), &path).unwrap();
        assert!(only(folder.path()).dispatched().unwrap());
        assert_eq!(names(folder.path()), ["a.2.md.error", "a.2.md.rejected", "a.md.dispatched"]);
    }
}
