//! What commits bring that was not there before: each file of each new commit that none of its parents has.
//!
//! Owns the walk. Trees are read as they are, entry by entry, so that names that no checkout would write are seen as what
//! they are. Whether anything is wrong with them is the caller's to say.

use std::collections::HashSet;

use gix::ObjectId;
use gix::objs::TreeRefIter;
use gix::objs::tree::EntryKind;

use super::error::{Error, Result};
use super::objects::Commit;
use super::repo::Repo;

/// How deep folders may lie in one another: git itself reads no deeper.
const DEEPEST: usize = 1000;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A file.
    File,
    /// A symbolic link.
    Link,
    /// Another repository's commit.
    Submodule,
    /// A folder; of those only what is unusual about their names matters.
    Folder,
}

/// Something that a commit has and its parents have not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduced {
    /// The names on the way to it; one that holds a `/` is none that git would make.
    pub names: Vec<Vec<u8>>,
    /// What it is.
    pub what: What,
    /// Its object.
    pub id: ObjectId,
    /// What the parents have at this path, where they have a file.
    pub before: Vec<ObjectId>,
}

impl Introduced {
    /// Returns the path, lossily decoded.
    pub fn path(&self) -> String {
        String::from_utf8_lossy(&self.names.join(&b'/')).into_owned()
    }
}

/// The entries of a tree by name, each with its mode's kind and its object.
#[derive(Default)]
struct Entries(Vec<(Vec<u8>, (EntryKind, ObjectId))>);

impl Entries {
    fn get(&self, name: &[u8]) -> Option<(EntryKind, ObjectId)> {
        let at = self.0.binary_search_by(|(known, _)| known.as_slice().cmp(name)).ok()?;
        Some(self.0[at].1)
    }
}

/// What the walk is over: whom it tells, and what it has told.
struct Walk<'a> {
    repo: &'a Repo,
    visit: &'a mut dyn FnMut(&Introduced) -> bool,
    told: HashSet<(Vec<Vec<u8>>, ObjectId)>,
}

impl Repo {
    /// Lists the commits that are reachable from `tip` and from none of `known`, newest first.
    pub fn new_commits(&self, tip: ObjectId, known: &[ObjectId]) -> Result<Vec<Commit>> {
        let failed = |error: gix::Error| Error::storage("cannot walk the history", &error);
        let known = known.iter().copied().filter(|id| self.has(*id));
        let walk = self.gix.rev_walk([tip]).with_hidden(known).all().map_err(failed)?;
        let mut commits = Vec::new();
        for info in walk {
            let info = info.map_err(|error| Error::storage("cannot walk the history", &error))?;
            commits.extend(self.commit(info.id));
        }
        Ok(commits)
    }

    /// Tells `visit` of everything that these commits have and their parents have not, once for each path and content,
    /// until it says no.
    pub fn introduced(&self, commits: &[Commit], visit: &mut dyn FnMut(&Introduced) -> bool) -> Result<()> {
        let mut walk = Walk { repo: self, visit, told: HashSet::new() };
        for commit in commits {
            let parents: Vec<ObjectId> =
                commit.parents.iter().filter_map(|id| Some(self.commit(*id)?.tree)).collect();
            if !parents.contains(&commit.tree) && !walk.tree(commit.tree, &parents, &mut Vec::new())? {
                break;
            }
        }
        Ok(())
    }

    /// Lists the names in a folder of a commit, as they stand there; nothing where it is not one.
    pub fn names_in(&self, commit: ObjectId, folder: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let Some(mut tree) = self.commit(commit).map(|commit| commit.tree) else { return Vec::new() };
        for name in folder {
            match self.entries(tree).ok().and_then(|entries| entries.get(name)) {
                Some((EntryKind::Tree, id)) => tree = id,
                _ => return Vec::new(),
            }
        }
        self.entries(tree).map(|entries| entries.0.into_iter().map(|(name, _)| name).collect()).unwrap_or_default()
    }

    /// Returns how large an object is, in bytes, without reading it; `None` where it is not here.
    pub fn size_of(&self, id: ObjectId) -> Option<u64> {
        self.gix.find_header(id).ok().map(|header| header.size())
    }

    fn entries(&self, tree: ObjectId) -> Result<Entries> {
        let broken = |detail: String| Error::Storage { what: format!("cannot read the tree {tree}"), detail };
        let object = self.gix.find_tree(tree).map_err(|error| broken(error.to_string()))?;
        let mut entries = Entries::default();
        for entry in TreeRefIter::from_bytes(&object.data, tree.kind()) {
            let entry = entry.map_err(|error| broken(error.to_string()))?;
            entries.0.push((entry.filename.to_vec(), (entry.mode.kind(), entry.oid.to_owned())));
        }
        // git sorts folders as if their names ended with a `/`.
        entries.0.sort_by(|one, other| one.0.cmp(&other.0));
        if entries.0.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(broken("a name stands in it twice".to_owned()));
        }
        Ok(entries)
    }
}

impl Walk<'_> {
    fn tree(&mut self, tree: ObjectId, parents: &[ObjectId], names: &mut Vec<Vec<u8>>) -> Result<bool> {
        if names.len() > DEEPEST {
            return Err(Error::Storage { what: "cannot read the tree".to_owned(), detail: "too deep".to_owned() });
        }
        let before = parents.iter().map(|id| self.repo.entries(*id)).collect::<Result<Vec<_>>>()?;
        for (name, (kind, id)) in self.repo.entries(tree)?.0 {
            let there: Vec<(EntryKind, ObjectId)> =
                before.iter().filter_map(|entries| entries.get(&name)).collect();
            if there.contains(&(kind, id)) {
                continue;
            }
            names.push(name);
            let go_on = self.entry(kind, id, &there, names)?;
            names.pop();
            if !go_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn entry(
        &mut self,
        kind: EntryKind,
        id: ObjectId,
        there: &[(EntryKind, ObjectId)],
        names: &mut Vec<Vec<u8>>,
    ) -> Result<bool> {
        let of = |wanted: fn(EntryKind) -> bool| {
            there.iter().filter(move |(kind, _)| wanted(*kind)).map(|(_, id)| *id).collect::<Vec<_>>()
        };
        let what = match kind {
            EntryKind::Blob | EntryKind::BlobExecutable => What::File,
            EntryKind::Link => What::Link,
            EntryKind::Commit => What::Submodule,
            EntryKind::Tree => What::Folder,
        };
        let is_blob = |kind| matches!(kind, EntryKind::Blob | EntryKind::BlobExecutable);
        let is_tree = |kind| kind == EntryKind::Tree;
        let folders = of(is_tree);
        // A folder that was there under this name is looked into, and not told of.
        let is_new = what != What::Folder || folders.is_empty();
        if is_new && self.told.insert((names.clone(), id)) {
            let entry = Introduced { names: names.clone(), what, id, before: of(is_blob) };
            if !(self.visit)(&entry) {
                return Ok(false);
            }
        }
        if what == What::Folder { self.tree(id, &folders, names) } else { Ok(true) }
    }
}
