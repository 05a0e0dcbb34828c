//! A slot: a private clone that shares the node's objects and stays warm between tasks (DESIGN.md 1, 3).
//!
//! Owns its folder. Everything git keeps there but the index is made anew for each task, so nothing that an executor
//! did to configuration, hooks, branches or locks outlives its task, nor runs in a git command of ours.

mod beside;
pub mod harvest;
mod merge;
pub mod record;
mod trash;

use std::fs;
use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::exec::{end_group, group_alive, groups_started_with, start_time};
use crate::fail;
use crate::git::repo::Identity;
use crate::git::{Git, ObjectId, Repo};

pub use record::SlotRecord;

/// How long orphaned executors get after SIGTERM.
const ORPHAN_GRACE: std::time::Duration = std::time::Duration::from_secs(5);

/// What the names of slots begin with that a collect verifies in; each is locked by its name.
pub const SCRATCH: &str = "verify-";

/// A slot's folder: the clone, what the task is given, and its output, side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    root: PathBuf,
}

/// What a slot is made for.
#[derive(Debug, Clone)]
pub struct Setup<'a> {
    /// The hub's address, for fetching.
    pub origin: &'a str,
    /// The task branch.
    pub branch: &'a str,
    /// Where the work starts.
    pub base: ObjectId,
    /// Globs of ignored files that stay.
    pub keep_ignored: &'a [String],
    /// Who commits, where the user's own configuration names nobody.
    pub by: &'a Identity,
}

impl Slot {
    /// Names the slot of that number below the node's folder.
    pub fn at(work_dir: &Path, number: usize) -> Self {
        Self { root: work_dir.join(number.to_string()) }
    }

    /// Names the slot that has this folder.
    pub fn of_root(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Names a place of the same kind that is no node's slot.
    pub fn named(work_dir: &Path, name: &str) -> Self {
        Self { root: work_dir.join(name) }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The clone that the executor works in.
    pub fn clone_dir(&self) -> PathBuf {
        self.root.join("clone")
    }

    /// What the task is given: spec, prompt, and the place for its own result.
    pub fn task_dir(&self) -> PathBuf {
        self.root.join("task")
    }

    /// The executor's output.
    pub fn log_dir(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Points git(1) at the clone, explicitly: a `.git` that is gone must not make git look further up.
    pub(in crate::executor) fn git(&self) -> Git {
        let clone = self.clone_dir();
        Git::at(&clone.join(".git"), Some(&clone))
    }

    /// Brings the clone to the base of a new task: files that differ are rewritten, what the last task left is gone.
    pub fn prepare(&self, repo: &Repo, setup: &Setup<'_>) -> Result<()> {
        let clone = self.clone_dir();
        trash::empty(&self.root);
        if !is_folder(&clone) {
            // A link that an executor put there may lead into somebody's repository: nothing is done through it.
            remove_all(&clone)?;
        }
        fs::create_dir_all(&clone).map_err(|error| Error::slot(&clone, error))?;
        for folder in [self.task_dir(), self.log_dir()] {
            remove_all(&folder)?;
            fs::create_dir_all(&folder).map_err(|error| Error::slot(&folder, error))?;
        }
        if let Some(index) = self.take_index()? {
            let is_plain = marks_nothing(&index);
            self.make_git_dir(repo, setup, Some(&index))?;
            // An index that the last executor broke, or made to look away: without it every file is written.
            if (is_plain || self.index_sees_all()) && self.check_out(setup).is_ok() {
                return Ok(());
            }
        }
        self.make_git_dir(repo, setup, None)?;
        if self.check_out(setup).is_ok() {
            return Ok(());
        }
        // Something there cannot be removed, such as folders without write permission: then all of it goes.
        make_writable(&clone);
        trash::put(&self.root, &clone)?;
        self.make_git_dir(repo, setup, None)?;
        self.check_out(setup)
    }

    /// Says whether the index has no entries marked `skip-worktree`: git would leave their files as they are.
    fn index_sees_all(&self) -> bool {
        let listed = self.git().run(&["ls-files", "-t", "-z"], None);
        listed.is_ok_and(|output| {
            output.is_success() && output.stdout.split(|byte| *byte == 0).all(|line| !line.starts_with(b"S "))
        })
    }

    fn check_out(&self, setup: &Setup<'_>) -> Result<()> {
        let base = setup.base.to_string();
        // Of git's ways to this the cheapest: it looks at the files by several threads.
        self.git().check(&["checkout", "--quiet", "--force", "-B", setup.branch, &base, "--"])?;
        if setup.keep_ignored.is_empty() {
            return self.sweep();
        }
        // Twice `-f`: nested repositories that the last executor made go too.
        let mut args = vec!["clean".to_owned(), "-ffdxq".to_owned()];
        for glob in setup.keep_ignored {
            args.extend(["-e".to_owned(), glob.clone()]);
        }
        self.git().check(&args)?;
        Ok(())
    }

    /// Removes whatever is not of the base, big folders at once.
    fn sweep(&self) -> Result<()> {
        use std::os::unix::ffi::OsStrExt as _;
        match beside::beside(&self.clone_dir()) {
            Some(found) if found.is_empty() => return Ok(()),
            // A repository in a folder of the base: git lists neither it nor what it holds.
            Some(found) => found
                .iter()
                .filter(|path| beside::is_git(path))
                .try_for_each(|path| trash::put(&self.root, path))?,
            None => {}
        }
        let listed = self.git().check(&["ls-files", "--others", "--directory", "-z"])?;
        for path in listed.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
            let path = path.strip_suffix(b"/").unwrap_or(path);
            trash::put(&self.root, &self.clone_dir().join(std::ffi::OsStr::from_bytes(path)))?;
        }
        Ok(())
    }

    /// Takes the index out of the old git folder: it knows which files need not be written again. It is moved, not
    /// written anew: by its own time git knows which files may have changed just after it.
    fn take_index(&self) -> Result<Option<PathBuf>> {
        let (index, kept) = (self.clone_dir().join(".git/index"), self.root.join("index"));
        remove_all(&kept)?;
        let is_file = is_folder(&self.clone_dir().join(".git"))
            && fs::symlink_metadata(&index).is_ok_and(|meta| meta.is_file());
        Ok((is_file && fs::rename(&index, &kept).is_ok()).then_some(kept))
    }

    /// Makes the git folder anew, with nothing in it but what we put there.
    pub(super) fn make_git_dir(&self, repo: &Repo, setup: &Setup<'_>, index: Option<&Path>) -> Result<()> {
        let git_dir = self.clone_dir().join(".git");
        trash::put(&self.root, &git_dir)?;
        fail::point("slot.cleared");
        let failed = |error| Error::slot(&git_dir, error);
        for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info"] {
            fs::create_dir_all(git_dir.join(folder)).map_err(failed)?;
        }
        let objects = repo.common_dir().join("objects");
        let mut alternates = objects.as_os_str().as_encoded_bytes().to_vec();
        alternates.push(b'\n');
        fs::write(git_dir.join("objects/info/alternates"), alternates).map_err(failed)?;
        fs::write(git_dir.join("HEAD"), format!("ref: refs/heads/{}\n", setup.branch)).map_err(failed)?;
        self.write_config(setup)?;
        if let Some(index) = index {
            fs::rename(index, git_dir.join("index")).map_err(failed)?;
        }
        Ok(())
    }

    /// Writes the clone's configuration from nothing.
    pub(super) fn write_config(&self, setup: &Setup<'_>) -> Result<()> {
        let path = self.clone_dir().join(".git/config");
        let quoted = |text: &str| {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("\"{escaped}\"")
        };
        let config = format!(
            "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n\
             [gc]\n\tauto = 0\n[remote \"origin\"]\n\turl = {}\n\tpushurl = {}\n\
             \tfetch = +refs/heads/*:refs/remotes/origin/*\n[user]\n\tname = {}\n\temail = {}\n",
            quoted(setup.origin),
            quoted("no-push://the-node-publishes-what-is-committed-here"),
            quoted(&setup.by.name),
            quoted(&setup.by.email),
        );
        remove_all(&path)?;
        fs::write(&path, config).map_err(|error| Error::slot(&path, error))
    }
}

/// Ends what still works in a slot from an earlier start of the program. Says whether the slot may be used again: what
/// cannot be told apart from somebody else's processes is not touched.
pub fn end_orphans(slot: &Slot, record: &SlotRecord) -> Result<bool> {
    let Some(group) = record.group else {
        return Ok(!record.begun || end_unnoted(slot));
    };
    if !group_alive(group) {
        return Ok(true);
    }
    let is_ours = record.started.is_some() && start_time(group) == record.started;
    if !is_ours {
        return Ok(false);
    }
    Ok(end_group(group, ORPHAN_GRACE).is_ok())
}

/// Ends an executor whose start was not noted any more, as we were killed in between: it is known by what it was told.
/// Where nobody is found, nobody knows whether one lives.
fn end_unnoted(slot: &Slot) -> bool {
    let told = [b"DISPATCH_LOG_FILE=", slot.root().as_os_str().as_encoded_bytes(), b"/"].concat();
    let groups = groups_started_with(&told);
    !groups.is_empty() && groups.into_iter().all(|group| end_group(group, ORPHAN_GRACE).is_ok())
}

/// Moves a slot out of the way for good: something lives in it that we may not end, or that cannot be taken out. Returns
/// where it is now.
pub fn set_aside(folder: &Path) -> Result<PathBuf> {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let free = (0..)
        .map(|number| folder.with_file_name(format!("aside-{name}-{number}")))
        .find(|path| fs::symlink_metadata(path).is_err());
    match free {
        Some(aside) => fs::rename(folder, &aside).map(|()| aside).map_err(|error| Error::slot(folder, error)),
        None => Ok(folder.to_owned()),
    }
}

/// Removes a slot's folder with all that is in it, also what its executor made unwritable.
pub fn remove_folder(folder: &Path) -> Result<()> {
    make_writable(folder);
    remove_all(folder)
}

/// Gives back the right to remove what is in a folder; links are not followed.
fn make_writable(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(std::result::Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

/// Says whether an index is of the version in which no entry can be marked `skip-worktree`: git's own choice unless
/// something is marked, so that most need not be looked through.
fn marks_nothing(index: &Path) -> bool {
    use std::io::Read as _;
    let mut header = [0; 8];
    let read = fs::File::open(index).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header == *b"DIRC\0\0\0\x02"
}

/// Says whether a folder is there itself, not a link to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

/// Removes a file, a link or a folder; what is gone already is no error. A link is removed, never followed.
pub(super) fn remove_all(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::slot(path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests start what they need")]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::exec::spawn;

    #[test]
    fn an_executor_whose_start_was_not_noted_is_known_by_what_it_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let (slot, other) = (Slot::at(folder.path(), 1), Slot::at(folder.path(), 10));
        let start = |slot: &Slot| {
            spawn(Command::new("sleep").arg("600").env("DISPATCH_LOG_FILE", slot.log_dir().join("log"))).unwrap()
        };
        let (orphan, stranger) = (start(&slot), start(&other));
        // What a process was told can be read a moment after it was started.
        let told = [b"DISPATCH_LOG_FILE=", slot.root().as_os_str().as_encoded_bytes()].concat();
        while cfg!(target_os = "linux") && groups_started_with(&told).len() < 2 {
            std::thread::yield_now();
        }
        let mut record = SlotRecord::default();
        assert!(end_orphans(&slot, &record).unwrap(), "nothing was begun");
        record.begun = true;
        if cfg!(target_os = "linux") {
            assert!(end_orphans(&slot, &record).unwrap());
            assert!(!group_alive(orphan.id()) && group_alive(stranger.id()));
        }
        // Nobody is found: one that was told something else may live.
        assert!(!end_orphans(&Slot::at(folder.path(), 2), &record).unwrap());
    }
}
