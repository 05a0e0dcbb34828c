//! Merging two commits into a tree, in memory, with git's answer.
//!
//! Owns the decision of who merges. Where the two sides touch different paths and no rename of one side can reach
//! into the other, the answer follows from the trees alone and gix writes it; everything else is asked of
//! `git merge-tree`, whose answer is the right one by definition (FACTS.md, "Merging").

use std::collections::BTreeMap;

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice};
use gix::diff::tree_with_rewrites::Change;
use gix::object::tree::EntryMode;

use super::error::{Error, Result};
use super::porcelain;
use super::repo::Repo;

/// What came of a merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The tree; it holds conflict markers where there are conflicts.
    pub tree: ObjectId,
    /// The paths that conflict, each with the kind of conflict; empty for a clean merge.
    pub conflicts: Vec<(String, String)>,
}

/// What one side did to the paths that it touched: the new entry, or `None` for a deletion.
#[derive(Debug, Clone, PartialEq)]
pub struct Side {
    changes: BTreeMap<BString, Option<(EntryMode, ObjectId)>>,
    adds: bool,
    deletes: bool,
}

impl Repo {
    /// Merges `theirs` into `ours` and writes the tree. The attributes that count are those of `ours`.
    pub fn merge(&self, ours: ObjectId, theirs: ObjectId) -> Result<Merged> {
        match self.merge_apart(ours, theirs)? {
            Some(tree) => Ok(Merged { tree, conflicts: Vec::new() }),
            None => self.merge_by_git(ours, theirs),
        }
    }

    /// Merges sides that have nothing to do with each other; `None` where that is not certain.
    fn merge_apart(&self, ours: ObjectId, theirs: ObjectId) -> Result<Option<ObjectId>> {
        let failed = |error: gix::Error| Error::storage("cannot merge", &error);
        let Ok(bases) = self.gix.merge_bases_many(ours, &[theirs]) else {
            return Ok(None);
        };
        // Several bases have to be merged into a virtual one first: git's business.
        let [base] = bases.as_slice() else {
            return Ok(None);
        };
        let base = base.detach();
        let (our_side, their_side) = (self.side(base, ours)?, self.side(base, theirs)?);
        if !our_side.is_apart_from(&their_side) {
            return Ok(None);
        }
        let tree = self.gix.find_object(ours).and_then(gix::Object::peel_to_tree).map_err(failed)?;
        let mut editor = self.gix.edit_tree(tree.id).map_err(failed)?;
        for (path, entry) in &their_side.changes {
            match entry {
                Some((mode, id)) => editor.upsert(path.as_bstr(), mode.kind(), *id).map_err(failed)?,
                None => editor.remove(path.as_bstr()).map_err(failed)?,
            };
        }
        Ok(Some(editor.write().map_err(failed)?.detach()))
    }

    /// Reads what was changed from one commit or tree to another.
    pub fn side(&self, base: ObjectId, tip: ObjectId) -> Result<Side> {
        let failed = |error: gix::Error| Error::storage("cannot compare trees", &error);
        let tree = |id| self.gix.find_object(id).and_then(gix::Object::peel_to_tree).map_err(failed);
        let options = gix::diff::Options::default();
        let changes = self.gix.diff_tree_to_tree(&tree(base)?, &tree(tip)?, options).map_err(failed)?;
        let mut side = Side { changes: BTreeMap::new(), adds: false, deletes: false };
        for change in changes {
            if change.entry_mode().is_tree() {
                continue;
            }
            match change {
                Change::Addition { location, entry_mode, id, .. } => {
                    side.adds = true;
                    side.changes.insert(location, Some((entry_mode, id)));
                }
                Change::Deletion { location, .. } => {
                    side.deletes = true;
                    // A file that becomes a folder, or the reverse, is listed twice under one path.
                    side.changes.entry(location).or_insert(None);
                }
                Change::Modification { location, entry_mode, id, .. } => {
                    side.changes.insert(location, Some((entry_mode, id)));
                }
                Change::Rewrite { .. } => {
                    return Err(Error::Storage {
                        what: "cannot compare trees".to_owned(),
                        detail: "renames were tracked although switched off".to_owned(),
                    });
                }
            }
        }
        Ok(side)
    }

    /// Merges many pairs, and returns the paths that conflict of each, with the kind of conflict. The attributes that
    /// count are those of `attributes`.
    pub fn conflicts_of(
        &self,
        pairs: &[(ObjectId, ObjectId)],
        attributes: ObjectId,
    ) -> Result<Vec<Vec<(String, String)>>> {
        // One process after another costs more than the merges; more pairs than this would outlast its deadline.
        const AT_ONCE: usize = 2_000;
        // Only the answers are wanted: the trees go to a folder that goes away.
        let scratch = tempfile::tempdir().map_err(|error| Error::file(std::env::temp_dir(), error))?;
        let git = self
            .git()
            .with_env("GIT_ATTR_SOURCE", attributes.to_string())
            .with_env("GIT_OBJECT_DIRECTORY", scratch.path())
            .with_env("GIT_ALTERNATE_OBJECT_DIRECTORIES", self.common_dir().join("objects"));
        let args = ["merge-tree", "--write-tree", "--stdin", "-z", "--name-only", "--messages"];
        let mut conflicts = Vec::with_capacity(pairs.len());
        for part in pairs.chunks(AT_ONCE) {
            let input: String = part.iter().map(|(ours, theirs)| format!("{ours} {theirs}\n")).collect();
            let output = git.check_with(&args, Some(input.into_bytes()))?;
            let merges = porcelain::merge_trees(&output.stdout, part.len()).ok_or_else(|| Error::Failed {
                command: args.join(" "),
                code: output.code,
                stderr: output.stderr.clone(),
            })?;
            conflicts.extend(merges.into_iter().map(|merge| merge.conflicts));
        }
        Ok(conflicts)
    }

    fn merge_by_git(&self, ours: ObjectId, theirs: ObjectId) -> Result<Merged> {
        let (ours, theirs) = (ours.to_string(), theirs.to_string());
        // Without it the attributes of whatever happens to be checked out would decide (git 2.41 and newer listen).
        let git = self.git().with_env("GIT_ATTR_SOURCE", &ours);
        let args = ["merge-tree", "--write-tree", "-z", "--name-only", "--messages", &ours, &theirs];
        let output = git.run(&args, None)?;
        match (output.code, porcelain::merge_tree(&output.stdout)) {
            (Some(0), Some(merge)) => Ok(Merged { tree: merge.tree, conflicts: Vec::new() }),
            (Some(1), Some(merge)) => Ok(Merged { tree: merge.tree, conflicts: merge.conflicts }),
            (code, _) => Err(Error::Failed { command: args.join(" "), code, stderr: output.stderr }),
        }
    }
}

impl Side {
    /// Says whether no change of one side can have to do with one of the other; both from the same base.
    ///
    /// The paths must differ, and none may be a folder of another. A rename matters only where its source or its
    /// destination is touched by the other side (then the paths meet), or where a folder was renamed and the other
    /// side adds files to it: so a side that both deletes and adds needs the other to add nothing.
    pub fn is_apart_from(&self, other: &Self) -> bool {
        let renames_reach = |one: &Self, other: &Self| one.adds && one.deletes && other.adds;
        if renames_reach(self, other) || renames_reach(other, self) {
            return false;
        }
        let (few, many) = if self.changes.len() < other.changes.len() { (self, other) } else { (other, self) };
        let paths = &many.changes;
        few.changes.keys().all(|path| {
            let own_folders = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
            let below = BString::from([path.as_slice(), b"/"].concat());
            let has_below = paths.range(below.clone()..).next().is_some_and(|(next, _)| next.starts_with(&below));
            !paths.contains_key(path)
                && !has_below
                && !own_folders.into_iter().any(|folder| paths.contains_key(folder.as_bstr()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::git::Git;
    use crate::git::objects::NewCommit;
    use crate::git::repo::Identity;

    /// Folders that are renamed whole, files that share a prefix with a folder, contents alike enough to be renames.
    const PATHS: &[&str] = &["a/one", "a/two", "a/deep/x", "b/one", "b/two", "c", "a.txt", "d/new", "e/new"];

    type Files = BTreeMap<&'static str, String>;

    /// What one side does.
    #[derive(Debug, Clone)]
    enum Edit {
        Write(usize, u8),
        Delete(usize),
        Move(usize, usize),
    }

    fn edits() -> impl Strategy<Value = Vec<Edit>> {
        let path = 0..PATHS.len();
        let one = prop_oneof![
            (path.clone(), 0u8..4).prop_map(|(at, text)| Edit::Write(at, text)),
            path.clone().prop_map(Edit::Delete),
            (path.clone(), path).prop_map(|(from, to)| Edit::Move(from, to)),
        ];
        proptest::collection::vec(one, 0..4)
    }

    fn text(path: usize, variant: u8) -> String {
        (0..20)
            .map(|line| {
                format!("line {line} of {}\n", if line == 3 { u8::try_from(path).unwrap() + variant } else { 0 })
            })
            .collect()
    }

    fn apply(files: &Files, edits: &[Edit]) -> Files {
        let mut files = files.clone();
        for edit in edits {
            match *edit {
                Edit::Write(at, variant) => {
                    files.insert(PATHS[at], text(at, variant));
                }
                Edit::Delete(at) => {
                    files.remove(PATHS[at]);
                }
                Edit::Move(from, to) => {
                    if let Some(text) = files.remove(PATHS[from]) {
                        files.insert(PATHS[to], text);
                    }
                }
            }
        }
        files
    }

    fn commit(repo: &Repo, files: &Files, parents: &[ObjectId]) -> ObjectId {
        let mut editor = repo.gix.edit_tree(ObjectId::empty_tree(repo.gix.object_hash())).unwrap();
        for (path, text) in files {
            let blob = repo.write_blob(text.as_bytes()).unwrap();
            editor.upsert(*path, gix::object::tree::EntryKind::Blob, blob).unwrap();
        }
        let by = Identity { name: "t".into(), email: "t@example.invalid".into() };
        let tree = editor.write().unwrap().detach();
        let new = NewCommit { tree, parents, message: "m\n", by: &by, at: jiff::Timestamp::UNIX_EPOCH };
        repo.write_commit(&new).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn a_merge_without_git_is_what_git_would_have_said(start in 0u16..512, ours in edits(), theirs in edits()) {
            let folder = tempfile::tempdir().unwrap();
            Git::outside(folder.path()).check(&["init", "--quiet", "--bare", "."]).unwrap();
            let repo = Repo::open(folder.path()).unwrap();
            let files: Files = PATHS.iter().enumerate()
                .filter(|(at, _)| start & (1 << at) != 0)
                .map(|(at, path)| (*path, text(at, 0)))
                .collect();
            let base = commit(&repo, &files, &[]);
            let one = commit(&repo, &apply(&files, &ours), &[base]);
            let two = commit(&repo, &apply(&files, &theirs), &[base]);
            let conflicts = repo.merge_by_git(one, two).unwrap().conflicts;
            prop_assert_eq!(repo.conflicts_of(&[(one, two), (two, two)], one).unwrap(), vec![conflicts, vec![]]);
            if let Some(tree) = repo.merge_apart(one, two).unwrap() {
                let by_git = repo.merge_by_git(one, two).unwrap();
                prop_assert_eq!(by_git, Merged { tree, conflicts: vec![] });
            }
        }
    }
}
