//! Merging two commits into a tree, in memory, with git's answer.
//!
//! Owns the decision of who merges. Where the two sides touch different paths and no rename of one side can reach
//! into the other, the answer follows from the trees alone and gix writes it; everything else is asked of
//! `git merge-tree`, whose answer is the right one by definition (FACTS.md, "Merging").

use std::collections::{BTreeMap, HashMap};

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice};
use gix::diff::tree::recorder::Change;
use gix::diff::tree::{Recorder, State};
use gix::object::tree::EntryMode;
use gix::objs::TreeRefIter;

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

/// What sides changed, by the base and the tree that they came to.
#[derive(Default)]
pub struct Sides(HashMap<(ObjectId, ObjectId), Side>);

impl Repo {
    /// Merges `theirs` into `ours` and writes the tree. The attributes that count are those of `ours`.
    pub fn merge(&self, ours: ObjectId, theirs: ObjectId) -> Result<Merged> {
        match self.merge_apart(ours, theirs)? {
            Some(tree) => Ok(Merged { tree, conflicts: Vec::new() }),
            None => self.merge_by_git(ours, theirs),
        }
    }

    /// Does the same where the caller knows the one merge base of the two, and remembers what each side changed since: a
    /// side that grows by merge after merge is not compared as a whole each time.
    pub fn merge_from(
        &self,
        base: ObjectId,
        ours: ObjectId,
        theirs: ObjectId,
        sides: &mut Sides,
    ) -> Result<Merged> {
        match self.merge_sides(base, ours, theirs, sides)? {
            Some(tree) => Ok(Merged { tree, conflicts: Vec::new() }),
            None => self.merge_by_git(ours, theirs),
        }
    }

    /// Lists the best common ancestors of two commits; none where they cannot be told.
    pub fn merge_bases(&self, one: ObjectId, other: ObjectId) -> Vec<ObjectId> {
        let bases = self.gix.merge_bases_many(one, &[other]);
        bases.map(|bases| bases.into_iter().map(gix::Id::detach).collect()).unwrap_or_default()
    }

    /// Merges sides that have nothing to do with each other; `None` where that is not certain.
    fn merge_apart(&self, ours: ObjectId, theirs: ObjectId) -> Result<Option<ObjectId>> {
        match self.merge_bases(ours, theirs).as_slice() {
            [base] => self.merge_sides(*base, ours, theirs, &mut Sides::default()),
            // Several bases have to be merged into a virtual one first: git's business.
            _ => Ok(None),
        }
    }

    fn merge_sides(
        &self,
        base: ObjectId,
        ours: ObjectId,
        theirs: ObjectId,
        sides: &mut Sides,
    ) -> Result<Option<ObjectId>> {
        let failed = |error: gix::Error| Error::storage("cannot merge", &error);
        let tree = self.gix.find_object(ours).and_then(gix::Object::peel_to_tree).map_err(failed)?;
        let our_side = match sides.0.remove(&(base, tree.id)) {
            Some(side) => side,
            None => self.side(base, ours)?,
        };
        let their_side = self.side(base, theirs)?;
        if !our_side.is_apart_from(&their_side) {
            sides.0.insert((base, tree.id), our_side);
            return Ok(None);
        }
        let mut editor = self.gix.edit_tree(tree.id).map_err(failed)?;
        for (path, entry) in &their_side.changes {
            match entry {
                Some((mode, id)) => editor.upsert(path.as_bstr(), mode.kind(), *id).map_err(failed)?,
                None => editor.remove(path.as_bstr()).map_err(failed)?,
            };
        }
        let merged = editor.write().map_err(failed)?.detach();
        sides.0.insert((base, merged), our_side.with(their_side));
        Ok(Some(merged))
    }

    /// Reads what was changed from one commit or tree to another.
    pub fn side(&self, base: ObjectId, tip: ObjectId) -> Result<Side> {
        let failed = |error: gix::Error| Error::storage("cannot compare trees", &error);
        let tree = |id| self.gix.find_object(id).and_then(gix::Object::peel_to_tree).map_err(failed);
        let (base, tip) = (tree(base)?, tree(tip)?);
        let kind = self.gix.object_hash();
        let (base, tip) = (TreeRefIter::from_bytes(&base.data, kind), TreeRefIter::from_bytes(&tip.data, kind));
        // Below `Repository::diff_tree_to_tree`, which reads index and attributes for renames that are not asked for.
        let mut changes = Recorder::default();
        gix::diff::tree(base, tip, State::default(), &self.gix.objects, &mut changes).map_err(|error| {
            Error::Storage { what: "cannot compare trees".to_owned(), detail: error.to_string() }
        })?;
        let mut side = Side { changes: BTreeMap::new(), adds: false, deletes: false };
        for change in changes.records {
            match change {
                Change::Addition { entry_mode, .. }
                | Change::Deletion { entry_mode, .. }
                | Change::Modification { entry_mode, .. }
                    if entry_mode.is_tree() => {}
                Change::Addition { path, entry_mode, oid, .. } => {
                    side.adds = true;
                    side.changes.insert(path, Some((entry_mode, oid)));
                }
                Change::Deletion { path, .. } => {
                    side.deletes = true;
                    // A file that becomes a folder, or the reverse, is listed twice under one path.
                    side.changes.entry(path).or_insert(None);
                }
                Change::Modification { path, entry_mode, oid, .. } => {
                    side.changes.insert(path, Some((entry_mode, oid)));
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
        self.keep()?;
        let (ours, theirs) = (ours.to_string(), theirs.to_string());
        // Without it the attributes of whatever happens to be checked out would decide (git 2.41 and newer listen).
        let git = self.git().with_env("GIT_ATTR_SOURCE", &ours);
        let args = ["merge-tree", "--write-tree", "-z", "--name-only", "--messages", &ours, &theirs];
        let output = git.run(&args, None)?;
        match (output.code, porcelain::merge_tree(&output.stdout)) {
            (Some(0), Some(merge)) => Ok(Merged { tree: merge.tree, conflicts: Vec::new() }),
            (Some(1), Some(merge)) => {
                // A file that stands where the other side has a folder is set aside under its side's name.
                let sides = [format!("~{ours}"), format!("~{theirs}")];
                let plain = |path: String| {
                    let end = sides.iter().find_map(|side| path.find(side.as_str()));
                    end.map(|end| path[..end].to_owned()).unwrap_or(path)
                };
                let conflicts = merge.conflicts.into_iter().map(|(path, kind)| (plain(path), kind)).collect();
                Ok(Merged { tree: merge.tree, conflicts })
            }
            (code, _) => Err(Error::Failed { command: args.join(" "), code, stderr: output.stderr }),
        }
    }
}

impl Side {
    /// Both, where they have nothing to do with each other.
    fn with(mut self, other: Self) -> Self {
        self.changes.extend(other.changes);
        self.adds |= other.adds;
        self.deletes |= other.deletes;
        self
    }

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
mod tests;
