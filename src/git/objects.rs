//! Objects: reading commits and blobs, writing them, asking who descends from whom.

use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::prelude::FindExt;
use jiff::Timestamp;

use super::error::{Error, Result};
use super::repo::{Identity, Repo};

/// What is read of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents, in order.
    pub parents: Vec<ObjectId>,
    /// Its message, lossily decoded.
    pub message: String,
    /// When it was committed.
    pub at: Timestamp,
}

/// What is to be written as a commit.
#[derive(Debug, Clone)]
pub struct NewCommit<'a> {
    /// Its tree.
    pub tree: ObjectId,
    /// Its parents, in order.
    pub parents: &'a [ObjectId],
    /// Its message.
    pub message: &'a str,
    /// Author and committer.
    pub by: &'a Identity,
    /// Author's and committer's time, in UTC.
    pub at: Timestamp,
}

impl NewCommit<'_> {
    /// The object that it is to be.
    pub(super) fn to_object(&self) -> gix::objs::Commit {
        let who = gix::actor::Signature {
            name: self.by.name.as_str().into(),
            email: self.by.email.as_str().into(),
            time: gix::date::Time::new(self.at.as_second(), 0),
        };
        gix::objs::Commit {
            tree: self.tree,
            parents: self.parents.iter().copied().collect(),
            author: who.clone(),
            committer: who,
            encoding: None,
            message: self.message.into(),
            extra_headers: Vec::new(),
        }
    }
}

/// One entry of a new tree.
#[derive(Debug, Clone)]
pub struct NewEntry<'a> {
    /// The file's name.
    pub name: &'a str,
    /// The file's content.
    pub content: &'a [u8],
}

impl Repo {
    /// Reads a commit; `None` where the object is missing, is no commit, or cannot be read.
    pub fn commit(&self, id: ObjectId) -> Option<Commit> {
        let mut buffer = Vec::new();
        self.commit_with(id, &mut buffer)
    }

    /// Like [`Repo::commit`], with a buffer that a loop over many commits uses again.
    pub fn commit_with(&self, id: ObjectId, buffer: &mut Vec<u8>) -> Option<Commit> {
        let commit = self.gix.objects.find_commit(&id, buffer).ok()?;
        let at = commit.committer().ok().and_then(|who| who.time().ok()).map_or(0, |time| time.seconds);
        Some(Commit {
            id,
            tree: commit.tree(),
            parents: commit.parents().collect(),
            message: commit.message.to_str_lossy().into_owned(),
            at: Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH),
        })
    }

    /// Says whether the object is here.
    pub fn has(&self, id: ObjectId) -> bool {
        self.gix.has_object(id)
    }

    /// Reads a file of a commit's or tree's tree; `None` where it is missing or is no file.
    pub fn file_in(&self, tree: ObjectId, path: &str) -> Option<Vec<u8>> {
        let tree = self.gix.find_object(tree).ok()?.peel_to_tree().ok()?;
        let entry = tree.lookup_entry_by_path(path).ok()??;
        let object = entry.object().ok()?;
        (object.kind == gix::object::Kind::Blob).then(|| object.data.clone())
    }

    /// Reads a blob.
    pub fn blob(&self, id: ObjectId) -> Option<Vec<u8>> {
        let object = self.gix.find_object(id).ok()?;
        (object.kind == gix::object::Kind::Blob).then(|| object.data.clone())
    }

    /// Writes a tree of the files given, which lie side by side.
    pub fn write_tree(&self, entries: &[NewEntry<'_>]) -> Result<ObjectId> {
        let failed = |error: gix::Error| Error::storage("cannot write a tree", &error);
        if entries.is_empty() {
            return Ok(self.gix.write_object(gix::objs::Tree::empty()).map_err(failed)?.detach());
        }
        let mut editor = self.gix.edit_tree(ObjectId::empty_tree(self.gix.object_hash())).map_err(failed)?;
        for entry in entries {
            let blob = self.write_blob(entry.content)?;
            editor.upsert(entry.name, gix::object::tree::EntryKind::Blob, blob).map_err(failed)?;
        }
        Ok(editor.write().map_err(failed)?.detach())
    }

    /// Writes a blob.
    pub fn write_blob(&self, content: &[u8]) -> Result<ObjectId> {
        let id = self.gix.write_blob(content).map_err(|error| Error::storage("cannot write a blob", &error))?;
        Ok(id.detach())
    }

    /// Writes a commit object; no ref is moved.
    pub fn write_commit(&self, new: &NewCommit<'_>) -> Result<ObjectId> {
        let id = self
            .gix
            .write_object(new.to_object())
            .map_err(|error| Error::storage("cannot write a commit", &error))?;
        Ok(id.detach())
    }

    /// Says whether `ancestor` is `descendant` or one of its ancestors. What cannot be read has no ancestors.
    pub fn is_ancestor(&self, ancestor: ObjectId, descendant: ObjectId) -> bool {
        if ancestor == descendant {
            return true;
        }
        let base = self.gix.merge_base(ancestor, descendant);
        base.is_ok_and(|base| base.is_some_and(|base| base.detach() == ancestor))
    }

    /// Walks first parents from `tip` to the root, newest first, until `keep_on` says no.
    pub fn first_parents(&self, tip: ObjectId, mut keep_on: impl FnMut(&Commit) -> bool) {
        let (mut next, mut buffer) = (Some(tip), Vec::new());
        while let Some(commit) = next.and_then(|id| self.commit_with(id, &mut buffer)) {
            next = commit.parents.first().copied();
            if !keep_on(&commit) {
                break;
            }
        }
    }
}
