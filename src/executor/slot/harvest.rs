//! Taking the work out of a slot: what is uncommitted is committed, and the result is brought into the node's
//! repository and pinned there.
//!
//! Agents delete `.git`, leave locks and half-finished rebases behind, and plant configuration: the result is what
//! HEAD resolves to, and no setting of theirs is in force while our git commands run in the slot.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Setup, Slot, is_folder, remove_all};
use crate::executor::{Error, Result};
use crate::git::refs::RefChange;
use crate::git::{Git, ObjectId, Repo};

/// What was taken out of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Harvest {
    /// The result, in the node's repository.
    pub result: ObjectId,
    /// Whether it descends from the base, as a result must.
    pub descends: bool,
}

/// Says whether a git folder has links where git would write through them, into another repository perhaps.
fn has_links(git_dir: &Path) -> bool {
    let is_link = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let objects = git_dir.join("objects");
    let mut folders = vec![git_dir.join("refs")];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if is_link(&path) {
                return true;
            }
            folders.extend(is_folder(&path).then_some(path));
        }
    }
    entries(git_dir).chain(entries(&objects)).any(|path| is_link(&path))
        || ["info", "pack"].iter().any(|name| entries(&objects.join(name)).any(|path| is_link(&path)))
}

impl Slot {
    /// Commits what is uncommitted under `message`, brings HEAD into `repo` and pins it as `pin`.
    pub fn harvest(&self, repo: &Repo, setup: &Setup<'_>, message: &str, pin: &str) -> Result<Harvest> {
        self.disarm(repo, setup)?;
        if self.commit_rest(setup, message)? == Some(setup.base) {
            // Nothing was made, and the base is here.
            let old = repo.ref_value(pin);
            if old != Some(setup.base) {
                repo.change_refs(&[RefChange::new(pin, old, Some(setup.base))], "git dispatch: nothing was made")?;
            }
            return Ok(Harvest { result: setup.base, descends: true });
        }
        let source = self.clone_dir().join(".git");
        // The clone is only ever fetched from: nothing that it says is run here.
        let spec = format!("+HEAD:{pin}");
        let source = source.to_string_lossy().into_owned();
        let args = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
            "--refmap=",
            "--",
            &source,
            &spec,
        ];
        // A start of ours that was killed while it fetched the same may have left its lock.
        repo.await_lock_of(pin)?;
        repo.git().with_setting("core.fsync=committed").check(&args)?;
        let result = repo.ref_value(pin).unwrap_or(setup.base);
        Ok(Harvest { result, descends: repo.is_ancestor(setup.base, result) })
    }

    /// Saves the work of an attempt that ended with its node; `None` where there is nothing beyond the base.
    pub fn save(&self, repo: &Repo, setup: &Setup<'_>, message: &str, pin: &str) -> Result<Option<ObjectId>> {
        let harvest = self.harvest(repo, setup, message, pin)?;
        if harvest.result == setup.base || !harvest.descends {
            let _ = repo
                .change_refs(&[RefChange::new(pin, Some(harvest.result), None)], "git dispatch: nothing to keep");
            return Ok(None);
        }
        Ok(Some(harvest.result))
    }

    /// Takes everything out of force that an executor may have planted in its git folder.
    fn disarm(&self, repo: &Repo, setup: &Setup<'_>) -> Result<()> {
        let git_dir = self.clone_dir().join(".git");
        if !is_folder(&self.clone_dir()) {
            // Gone, or a link to somewhere else: then nothing was made here.
            remove_all(&self.clone_dir())?;
            self.make_git_dir(repo, setup, None)?;
            self.git().check(&["reset", "--quiet", "--hard", &setup.base.to_string()])?;
            return Ok(());
        }
        if !is_folder(&git_dir) || has_links(&git_dir) || !self.git_head_is_sound() {
            // The files are still there: on a git folder made anew they become one commit on the base.
            self.make_git_dir(repo, setup, None)?;
            let base = setup.base.to_string();
            self.git().check(&["reset", "--quiet", "--mixed", &base])?;
            return Ok(());
        }
        // Also what git would write into as it stands: a hard link may make it somebody else's.
        for name in [
            "hooks",
            "info",
            "logs",
            "index.lock",
            "HEAD.lock",
            "config.lock",
            "config.worktree",
            "commondir",
            "shallow",
            "COMMIT_EDITMSG",
        ] {
            remove_all(&git_dir.join(name))?;
        }
        let objects = repo.common_dir().join("objects");
        let alternates = git_dir.join("objects/info/alternates");
        let mut text = objects.as_os_str().as_encoded_bytes().to_vec();
        text.push(b'\n');
        remove_all(&alternates)?;
        fs::create_dir_all(git_dir.join("objects/info")).map_err(|error| Error::slot(&git_dir, error))?;
        fs::write(&alternates, text).map_err(|error| Error::slot(&alternates, error))?;
        self.write_config(setup)
    }

    fn git_head_is_sound(&self) -> bool {
        let path = self.clone_dir().join(".git/HEAD");
        let is_file = fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
        let text = if is_file { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        text.starts_with("ref: refs/") || ObjectId::from_hex(text.trim().as_bytes()).is_ok()
    }

    /// Commits what is uncommitted, untracked files that are not ignored included. Returns HEAD where there is nothing.
    fn commit_rest(&self, setup: &Setup<'_>, message: &str) -> Result<Option<ObjectId>> {
        let git: Git = self.git();
        let mut status = self.dissolve_nested(&git)?;
        if status.head.is_none() {
            // A HEAD that points at nothing: the work is whatever lies there, on the base.
            if !git.run(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], None)?.is_success() {
                let base = setup.base.to_string();
                git.check(&["update-ref", "--no-deref", "HEAD", &base])?;
            }
            status = self.dissolve_nested(&git)?;
        }
        if status.is_read && status.is_clean && !self.is_merging() {
            return Ok(status.head);
        }
        if !status.is_read {
            // An index that is broken beyond reading.
            remove_all(&self.clone_dir().join(".git/index"))?;
        }
        git.check(&["add", "--all", "--", "."])?;
        let git = git
            .with_env("GIT_AUTHOR_NAME", setup.by.name.as_str())
            .with_env("GIT_AUTHOR_EMAIL", setup.by.email.as_str())
            .with_env("GIT_COMMITTER_NAME", setup.by.name.as_str())
            .with_env("GIT_COMMITTER_EMAIL", setup.by.email.as_str());
        // What is staged may come to nothing (only modes that the file system does not know): no commit then. A merge is
        // concluded even where one side is taken whole.
        if self.is_merging() || !git.run(&["diff", "--cached", "--quiet"], None)?.is_success() {
            git.check(&["commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", message])?;
        }
        Ok(None)
    }

    /// Makes plain folders of repositories that the executor made or cloned among its files, and returns the status
    /// after it: git would record no more of them than a commit id that nobody has, or refuse to add anything at all.
    fn dissolve_nested(&self, git: &Git) -> Result<Status> {
        // One may hold another; each round finds the next floor.
        for _ in 0..16 {
            let (status, nested) = Status::read(git)?;
            if nested.is_empty() {
                return Ok(status);
            }
            for folder in nested {
                remove_all(&self.clone_dir().join(OsStr::from_bytes(&folder)).join(".git"))?;
            }
        }
        Ok(Status::read(git)?.0)
    }
}

/// How a clone stands.
struct Status {
    /// Whether it could be read at all.
    is_read: bool,
    /// Whether there is nothing to commit.
    is_clean: bool,
    /// What HEAD resolves to.
    head: Option<ObjectId>,
}

impl Status {
    /// Reads it, and the untracked folders: with all files listed singly, these can only be repositories.
    fn read(git: &Git) -> Result<(Self, Vec<Vec<u8>>)> {
        let args = ["status", "--porcelain=v2", "--branch", "--no-ahead-behind", "-z", "--untracked-files=all"];
        let output = git.run(&args, None)?;
        let lines = || output.stdout.split(|byte| *byte == 0).filter(|line| !line.is_empty());
        let oid = lines().find_map(|line| line.strip_prefix(b"# branch.oid "));
        let nested = lines().filter_map(|line| line.strip_prefix(b"? ")?.strip_suffix(b"/"));
        let status = Self {
            is_read: output.is_success(),
            is_clean: lines().all(|line| line.starts_with(b"# ")),
            head: oid.filter(|_| output.is_success()).and_then(|oid| ObjectId::from_hex(oid).ok()),
        };
        let nested = if status.is_read { nested.map(<[u8]>::to_vec).collect() } else { Vec::new() };
        Ok((status, nested))
    }
}
