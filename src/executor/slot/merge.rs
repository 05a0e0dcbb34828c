//! A merge that is begun in a slot and left half-done, for whoever resolves its conflicts (DESIGN.md 5).

use super::{Setup, Slot};
use crate::executor::{Error, Result};
use crate::git::ObjectId;

impl Slot {
    /// Begins to merge `theirs` into the base that the slot was prepared with. What conflicts stands in the files with
    /// markers; nothing is committed, even where nothing conflicts.
    pub fn begin_merge(&self, setup: &Setup<'_>, theirs: ObjectId) -> Result<()> {
        let git = self
            .git()
            .with_setting("merge.conflictStyle=zdiff3")
            .with_setting("rerere.enabled=false")
            .with_env("GIT_AUTHOR_NAME", setup.by.name.as_str())
            .with_env("GIT_AUTHOR_EMAIL", setup.by.email.as_str())
            .with_env("GIT_COMMITTER_NAME", setup.by.name.as_str())
            .with_env("GIT_COMMITTER_EMAIL", setup.by.email.as_str());
        let id = theirs.to_string();
        let args = [
            "merge",
            "--no-commit",
            "--no-ff",
            "--no-stat",
            "--no-verify",
            "--no-gpg-sign",
            "--no-autostash",
            "--",
            &id,
        ];
        let output = git.run(&args, None)?;
        // It ends with 1 where something conflicts, and so it does where it could not begin.
        if output.is_success() || self.is_merging() {
            return Ok(());
        }
        Err(Error::Spawn(format!("the merge of {id} could not be begun: {}", output.stderr.trim())))
    }

    /// Says whether a merge stands half-done.
    pub(super) fn is_merging(&self) -> bool {
        self.clone_dir().join(".git/MERGE_HEAD").is_file()
    }
}
