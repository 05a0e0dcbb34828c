//! Checkouts of this repository that must follow a branch which we move.
//!
//! Owns the care for the user's working tree: it is changed only where nothing of theirs is in the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gix::ObjectId;

use super::error::Result;
use super::porcelain;
use super::process::Git;
use super::repo::Repo;
use super::tables;

impl Repo {
    /// Finds the checkout that has the branch (a full name) checked out, if one has.
    pub fn checkout_of(&self, branch: &str) -> Result<Option<PathBuf>> {
        match self.work_tree() {
            Some(own) if self.is_own_head(branch) && own.is_dir() => Ok(Some(own.to_owned())),
            _ if self.is_any_head(branch) => Ok(self.checkouts()?.remove(branch)),
            _ => Ok(None),
        }
    }

    /// Says whether the HEAD of this worktree names this branch, by this very name.
    fn is_own_head(&self, branch: &str) -> bool {
        if self.tables.is_some() {
            return tables::head_of(self.git_dir()).is_ok_and(|head| head.as_deref() == Some(branch));
        }
        let text = std::fs::read_to_string(self.git_dir().join("HEAD"));
        text.is_ok_and(|text| text.strip_prefix("ref: ").map(str::trim) == Some(branch))
    }

    /// Says whether the HEAD of any worktree names this branch, or cannot be told without git.
    fn is_any_head(&self, branch: &str) -> bool {
        let linked = match std::fs::read_dir(self.common_dir().join("worktrees")) {
            Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        let Ok(mut folders) = linked else { return true };
        folders.push(self.common_dir().to_owned());
        // A branch may be another name of this one.
        let is_it = |named: &str| named == branch || self.symbolic_ref(named).is_some();
        if self.tables.is_some() {
            let head = |folder: &PathBuf| tables::head_of(folder);
            return folders
                .iter()
                .any(|folder| head(folder).map_or(true, |head| head.is_some_and(|named| is_it(&named))));
        }
        folders.iter().any(|folder| {
            let path = folder.join("HEAD");
            let text = match std::fs::read_to_string(&path) {
                Ok(text) if !path.is_symlink() => text,
                // A folder that is on its way out.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return false,
                _ => return true,
            };
            text.strip_prefix("ref: ").map(str::trim).is_some_and(is_it)
        })
    }

    /// Lists the checkouts that are there, by the full name of the branch that each has checked out.
    pub fn checkouts(&self) -> Result<BTreeMap<String, PathBuf>> {
        let output = self.git().check(&["worktree", "list", "--porcelain", "-z"])?;
        let is_there = |worktree: &porcelain::Worktree| !worktree.bare && Path::new(&worktree.path).is_dir();
        let worktrees = porcelain::worktrees(&output.stdout).into_iter().filter(is_there);
        Ok(worktrees.filter_map(|worktree| Some((worktree.branch?, PathBuf::from(worktree.path)))).collect())
    }

    /// Says whether a checkout has no changes, staged or not; untracked files do not count.
    pub fn checkout_is_clean(&self, checkout: &Path) -> Result<bool> {
        let git = Checkout::at(self, checkout)?;
        let args = ["status", "--porcelain=v1", "-z", "--untracked-files=no", "--ignore-submodules=none"];
        let output = git.0.run(&args, None)?;
        Ok(output.is_success() && output.stdout.is_empty())
    }

    /// Says whether moving the checkout from `old` to `new` would leave everything there that is the user's: changed
    /// files, staged changes and untracked files in the way all say no.
    pub fn checkout_can_follow(&self, checkout: &Path, old: ObjectId, new: ObjectId) -> Result<bool> {
        Checkout::at(self, checkout)?.read_tree(old, new, true)
    }

    /// Moves files and index of a checkout from `old` to `new`; its branch must have been moved already. Says whether
    /// it could be done.
    pub fn checkout_follow(&self, checkout: &Path, old: ObjectId, new: ObjectId) -> Result<bool> {
        Checkout::at(self, checkout)?.read_tree(old, new, false)
    }
}

struct Checkout(Git);

impl Checkout {
    fn at(repo: &Repo, checkout: &Path) -> Result<Self> {
        let worktree = Repo::open(checkout)?;
        Ok(Self(repo.git_at(worktree.git_dir(), checkout)))
    }

    fn read_tree(&self, old: ObjectId, new: ObjectId, dry_run: bool) -> Result<bool> {
        let (old, new) = (old.to_string(), new.to_string());
        let mut args = vec!["read-tree", "-m", "-u"];
        if dry_run {
            args.push("-n");
        }
        args.extend([old.as_str(), new.as_str()]);
        if self.0.run(&args, None)?.is_success() {
            return Ok(true);
        }
        // It changed nothing. Files whose times alone changed look changed until they are looked at again.
        self.0.run(&["update-index", "-q", "--refresh"], None)?;
        Ok(self.0.run(&args, None)?.is_success())
    }
}
