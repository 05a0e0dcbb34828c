//! Where objects lie in the packs: the order in which many of them are read with the least work.
//!
//! In a pack the objects that are alike stand side by side, most as differences from one that stands before them. Read in the
//! order of their names, which is no order at all, each is unpacked together with all that it builds on; read in the order of
//! the pack, what it builds on was unpacked just before. That order is a hint: whatever is read is the same in any. Owns it,
//! and that the packs do not become too many.

use std::path::PathBuf;
use std::time::Duration;

use gix::odb::pack::index::File as Index;

use super::ObjectId;
use super::error::Result;
use super::repo::Repo;

/// From how many objects on the packs are looked at.
const WORTH_IT: usize = 256;

/// From how many packs on they are gathered: git's own limit (gc.autoPackLimit).
const MANY: usize = 50;

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

impl Repo {
    /// Sorts what is to be read as it lies in the packs; what is in none comes last, as it stood.
    pub fn sort_as_packed<T>(&self, things: &mut [T], id: impl Fn(&T) -> ObjectId) {
        if things.len() < WORTH_IT {
            return;
        }
        let packs = self.pack_indices();
        things.sort_by_cached_key(|thing| {
            let id = id(thing);
            let offset = |index: &Index| Some(index.pack_offset_at_index(index.lookup(id)?));
            packs
                .iter()
                .enumerate()
                .find_map(|(pack, index)| Some((pack, offset(index)?)))
                .unwrap_or((usize::MAX, 0))
        });
    }

    /// Gathers small packs into larger ones, where there are many: a fetch of a hundred objects leaves one, and of the git
    /// commands of ours none keeps house. No object is removed. Nothing is done where the user wants none of that, nor in a
    /// partial clone, where git tells packs apart by what they may lack.
    pub fn gather_packs(&self) -> Result<()> {
        if self.packs("pack").len().saturating_sub(self.packs("keep").len()) < MANY
            || self.is_partial()
            || self.wants_no_housekeeping()
        {
            return Ok(());
        }
        let args = ["repack", "--geometric=2", "-d", "--quiet", "--no-write-bitmap-index"];
        self.git().with_deadline(PATIENCE).check(&args).map(drop)
    }

    fn wants_no_housekeeping(&self) -> bool {
        let is = |key: &str, value: &str| self.config_string(key).as_deref() == Some(value);
        is("gc.auto", "0") || is("gc.autoPackLimit", "0") || is("maintenance.auto", "false")
    }

    /// Opens the indices of this repository's own packs. Of those that cannot be opened, reading will say so.
    fn pack_indices(&self) -> Vec<Index> {
        let indices = self.packs("idx").into_iter();
        indices.filter_map(|path| Index::at(path, self.gix.object_hash()).ok()).collect()
    }

    /// Lists the files of this repository's own packs that have this extension.
    fn packs(&self, extension: &str) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.common_dir().join("objects/pack"));
        let paths = folder.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Git;

    #[test]
    fn what_is_packed_is_sorted_as_git_says_it_lies_and_the_rest_comes_last() {
        let folder = tempfile::tempdir().unwrap();
        let git = Git::outside(folder.path());
        git.check(&["init", "--quiet", "."]).unwrap();
        let repo = Repo::open(folder.path()).unwrap();
        let write =
            |number: usize| repo.write_blob(format!("{number} is what it is\n").repeat(5).as_bytes()).unwrap();
        let mut ids: Vec<ObjectId> = (0..WORTH_IT).map(write).collect();
        let names: String = ids.iter().map(|id| format!("{id}\n")).collect();
        let pack = ["pack-objects", "--quiet", "objects/pack/pack"];
        let hash = Git::at(repo.git_dir(), None).check_with(&pack, Some(names.into_bytes())).unwrap();
        let hash = String::from_utf8(hash.stdout).unwrap();
        let loose = write(WORTH_IT);
        ids.insert(7, loose);

        repo.sort_as_packed(&mut ids, |id| *id);

        let shown = Git::at(repo.git_dir(), None);
        let path = format!("objects/pack/pack-{}.idx", hash.trim());
        let shown = shown.check(&["verify-pack", "--verbose", &path]).unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        let mut expected: Vec<(u64, &str)> = shown
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                let (id, kind) = (words.next()?, words.next()?);
                (kind == "blob").then_some((words.nth(2)?.parse().ok()?, id))
            })
            .collect();
        expected.sort_unstable();
        let mut expected: Vec<String> = expected.into_iter().map(|(_, id)| id.to_owned()).collect();
        expected.push(loose.to_string());
        assert_eq!(ids.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_comes_in_many_packs_while_a_repository_is_open_is_found_also_when_they_are_gathered() {
        let folder = tempfile::tempdir().unwrap();
        Git::outside(folder.path()).check(&["init", "--quiet", "."]).unwrap();
        let (repo, other) = (Repo::open(folder.path()).unwrap(), Repo::open(folder.path()).unwrap());
        let git = || Git::at(repo.git_dir(), None);
        let mut ids = Vec::new();
        for number in 0..80 {
            let text = format!("what comes in pack {number}");
            let id = other.write_blob(text.as_bytes()).unwrap();
            let pack = ["pack-objects", "--quiet", "objects/pack/pack"];
            git().check_with(&pack, Some(format!("{id}\n").into_bytes())).unwrap();
            git().check(&["prune-packed", "--quiet"]).unwrap();
            assert_eq!(repo.blob(id).as_deref(), Some(text.as_bytes()), "pack {number}");
            ids.push((id, text));
        }
        let kept = repo.packs("pack")[0].with_extension("keep");
        std::fs::write(&kept, "").unwrap();
        git().check(&["config", "gc.auto", "0"]).unwrap();
        Repo::open(folder.path()).unwrap().gather_packs().unwrap();
        assert_eq!(repo.packs("pack").len(), 80, "as the user wants it");
        git().check(&["config", "--unset", "gc.auto"]).unwrap();
        repo.gather_packs().unwrap();
        assert_eq!(repo.packs("pack").len(), 2);
        assert!(kept.with_extension("pack").exists());
        for (id, text) in ids {
            assert_eq!(repo.blob(id).as_deref(), Some(text.as_bytes()), "in an open repository too");
        }
    }
}
