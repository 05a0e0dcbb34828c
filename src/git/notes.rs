//! Git notes as a map from objects to texts, kept in a tree.
//!
//! Owns the fan-out: notes are written with one level (`ab/cdef…`) and read at any. What a note says is `hub`'s.

use std::collections::HashMap;

use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::object::tree::EntryKind;

use super::error::{Error, Result};
use super::repo::Repo;

/// A folder of a notes' tree: all notes whose objects' ids begin with `prefix`, or, with none, those in no folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    /// What the ids begin with.
    pub prefix: String,
    /// The tree, which says all that is in it.
    pub tree: ObjectId,
}

impl Repo {
    /// Lists the folders of the notes of `tip`, those in none last; `None` where there is no such commit or tree.
    pub fn note_folds(&self, tip: ObjectId) -> Option<Vec<Fold>> {
        let root = self.commit(tip)?.tree;
        let tree = self.gix.find_tree(root).ok()?;
        let entries = tree.iter().filter_map(std::result::Result::ok).filter(|entry| entry.mode().is_tree());
        let fold = |entry: gix::object::tree::EntryRef<'_, '_>| {
            let prefix = entry.filename().to_str().ok().filter(|name| is_hex(name))?;
            Some(Fold { prefix: prefix.to_owned(), tree: entry.object_id() })
        };
        let mut folds: Vec<Fold> = entries.filter_map(fold).collect();
        folds.push(Fold { prefix: String::new(), tree: root });
        Some(folds)
    }

    /// Lists the notes in a folder, object and blob, and says whether all of it could be read.
    pub fn notes_in(&self, fold: &Fold) -> (Vec<(ObjectId, ObjectId)>, bool) {
        let mut found = Vec::new();
        let is_whole = self.walk_notes(fold.tree, &fold.prefix, !fold.prefix.is_empty(), &mut |object, blob| {
            found.push((object, blob));
        });
        (found, is_whole)
    }

    /// Maps each annotated object to its note's blob, for the notes commit `tip`.
    pub fn notes(&self, tip: ObjectId) -> HashMap<ObjectId, ObjectId> {
        let mut found = HashMap::new();
        let Some(commit) = self.commit(tip) else {
            return found;
        };
        self.walk_notes(commit.tree, "", true, &mut |object, blob| {
            found.insert(object, blob);
        });
        found
    }

    /// Says whether all of it could be read.
    fn walk_notes(
        &self,
        tree: ObjectId,
        prefix: &str,
        deeper: bool,
        found: &mut impl FnMut(ObjectId, ObjectId),
    ) -> bool {
        let Ok(tree) = self.gix.find_tree(tree) else {
            return false;
        };
        let mut is_whole = true;
        for entry in tree.iter().filter_map(std::result::Result::ok) {
            let Ok(name) = entry.filename().to_str() else {
                continue;
            };
            let path = format!("{prefix}{name}");
            if path.len() > 64 || !is_hex(name) {
                continue;
            }
            if entry.mode().is_tree() {
                is_whole &= !deeper || self.walk_notes(entry.object_id(), &path, deeper, found);
            } else if let Ok(id) = ObjectId::from_hex(path.as_bytes()) {
                found(id, entry.object_id());
            }
        }
        is_whole
    }

    /// Returns the text of the note on `object`, if there is one.
    pub fn note(&self, tip: ObjectId, object: ObjectId) -> Option<Vec<u8>> {
        let tree = self.gix.find_object(tip).ok()?.peel_to_tree().ok()?;
        let hex = object.to_string();
        for path in note_paths(&hex) {
            if let Some(entry) = tree.lookup_entry_by_path(&path).ok().flatten()
                && entry.mode().is_blob()
            {
                return self.blob(entry.object_id());
            }
        }
        None
    }

    /// Writes a tree with `texts` set on top of the notes of `tip`, replacing what stood on those objects.
    pub fn write_notes(&self, tip: Option<ObjectId>, texts: &[(ObjectId, Vec<u8>)]) -> Result<ObjectId> {
        let failed = |error: gix::Error| Error::storage("cannot write notes", &error);
        let old = match tip {
            Some(tip) => self.gix.find_object(tip).map_err(failed)?.peel_to_tree().map_err(failed)?.id,
            None => ObjectId::empty_tree(self.gix.object_hash()),
        };
        let mut editor = self.gix.edit_tree(old).map_err(failed)?;
        for (object, text) in texts {
            let blob = self.write_blob(text)?;
            let hex = object.to_string();
            // Another fan-out that somebody's git wrote would hold the same note twice.
            for path in note_paths(&hex).into_iter().filter(|path| path.matches('/').count() != 1) {
                editor.remove(path.as_str()).map_err(failed)?;
            }
            editor.upsert(format!("{}/{}", &hex[..2], &hex[2..]), EntryKind::Blob, blob).map_err(failed)?;
        }
        Ok(editor.write().map_err(failed)?.detach())
    }

    /// Writes a tree of the notes of `tip` without those on `objects`; `None` where no other is left.
    pub fn notes_without(&self, tip: ObjectId, objects: &[ObjectId]) -> Result<Option<ObjectId>> {
        let failed = |error: gix::Error| Error::storage("cannot write notes", &error);
        let tree = self.gix.find_object(tip).map_err(failed)?.peel_to_tree().map_err(failed)?.id;
        let mut editor = self.gix.edit_tree(tree).map_err(failed)?;
        for object in objects {
            for path in note_paths(&object.to_string()) {
                editor.remove(path.as_str()).map_err(failed)?;
            }
        }
        let tree = editor.write().map_err(failed)?.detach();
        Ok((tree != ObjectId::empty_tree(self.gix.object_hash())).then_some(tree))
    }
}

fn is_hex(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The paths at which a note may stand: one level of fan-out first, since that is what we write.
fn note_paths(hex: &str) -> [String; 3] {
    [format!("{}/{}", &hex[..2], &hex[2..]), hex.to_owned(), format!("{}/{}/{}", &hex[..2], &hex[2..4], &hex[4..])]
}
