//! Where objects lie in the packs: the order in which many of them are read with the least work.
//!
//! In a pack the objects that are alike stand side by side, most as differences from one that stands before them. Read in the
//! order of their names, which is no order at all, each is unpacked together with all that it builds on; read in the order of
//! the pack, what it builds on was unpacked just before. Owns that order and nothing else: it is a hint, and whatever is read
//! is the same in any.

use gix::odb::pack::index::File as Index;

use super::ObjectId;
use super::repo::Repo;

/// From how many objects on the packs are looked at.
const WORTH_IT: usize = 256;

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

    /// Opens the indices of this repository's own packs. Of those that cannot be opened, reading will say so.
    fn pack_indices(&self) -> Vec<Index> {
        let folder = std::fs::read_dir(self.common_dir().join("objects/pack"));
        let paths = folder.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let indices = paths.filter(|path| path.extension().is_some_and(|extension| extension == "idx"));
        indices.filter_map(|path| Index::at(path, self.gix.object_hash()).ok()).collect()
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
}
