//! What lies in a clone beside the files that its index names.
//!
//! Owns a look that costs no process: most tasks leave nothing behind, and then this is all there is to find out. It knows
//! nothing of names that a file system changes (case, composition), so that what it finds may still be git's: what is to go is
//! for git to say. Nothing that it does not find is there.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use gix::index::{Entry, File, State};

/// What the index has of a name in a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    /// A file or a link.
    File,
    /// A submodule: a folder whose inside is not ours.
    Submodule,
    /// A folder that entries lie in, by the number of the first and of the one behind the last.
    Folder(usize, usize),
}

/// Returns what the index of a clone does not name: files, links, and folders as a whole. `None` where the index cannot be
/// read.
pub(super) fn beside(clone: &Path) -> Option<Vec<PathBuf>> {
    let index = File::at(clone.join(".git/index"), gix::hash::Kind::Sha1, true, Default::default()).ok()?;
    let mut found = Vec::new();
    look(&index, index.entries(), clone, 0, &mut found).ok()?;
    found.retain(|path| path.parent() != Some(clone) || !is_git(path));
    Some(found)
}

/// Says whether git would take this for a repository of its own, which it never lists.
pub(super) fn is_git(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.eq_ignore_ascii_case(".git"))
}

/// Looks through a folder, whose entries these are: `depth` bytes of their paths are the folder's own.
fn look(
    index: &State,
    entries: &[Entry],
    folder: &Path,
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    let named = names(index, entries, depth);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name: OsString = entry.file_name();
        let is_folder = entry.file_type()?.is_dir();
        match (named.get(name.as_bytes()), is_folder) {
            (Some(Named::File), false) | (Some(Named::Submodule), true) => {}
            (Some(&Named::Folder(from, to)), true) => {
                look(index, &entries[from..to], &folder.join(&name), depth + name.len() + 1, found)?;
            }
            _ => found.push(folder.join(name)),
        }
    }
    Ok(())
}

/// What the index has of each name in a folder.
fn names<'a>(index: &'a State, entries: &'a [Entry], depth: usize) -> HashMap<&'a [u8], Named> {
    let mut named = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let rest: &[u8] = &entry.path(index)[depth..];
        match rest.iter().position(|byte| *byte == b'/') {
            Some(end) => {
                let Named::Folder(_, to) = named.entry(&rest[..end]).or_insert(Named::Folder(at, at)) else {
                    continue;
                };
                *to = at + 1;
            }
            None if entry.mode.is_submodule() => drop(named.insert(rest, Named::Submodule)),
            None => drop(named.insert(rest, Named::File)),
        }
    }
    named
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests start what they need")]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use super::*;

    #[test]
    fn all_that_the_index_does_not_name_is_found_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let git =
            |args: &[&str]| assert!(Command::new("git").arg("-C").arg(root).args(args).status().unwrap().success());
        git(&["init", "--quiet"]);
        assert_eq!(beside(root), None, "there is no index yet");
        for path in ["a", "a-b/c", "a.b", "d/e/f", "d/e-f", "g/h"] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), path).unwrap();
        }
        symlink("nowhere", root.join("d/link")).unwrap();
        git(&["add", "."]);
        git(&["update-index", "--add", "--cacheinfo", "160000,4b825dc642cb6eb9a060e54bf8d69288fbee4904,d/module"]);
        fs::create_dir_all(root.join("d/module/inside")).unwrap();
        assert_eq!(beside(root), Some(vec![]));
        // A file that is gone is not beside anything.
        fs::remove_file(root.join("g/h")).unwrap();
        fs::remove_file(root.join("a")).unwrap();
        for new in ["a/inside", "a-b/.git/config", "d/e/new", "d/empty/x", "other/deep/file"] {
            fs::create_dir_all(root.join(new).parent().unwrap()).unwrap();
            fs::write(root.join(new), new).unwrap();
        }
        fs::remove_file(root.join("d/empty/x")).unwrap();
        symlink("..", root.join("up")).unwrap();
        let mut found = beside(root).unwrap();
        found.sort();
        let expected = ["a", "a-b/.git", "d/e/new", "d/empty", "other", "up"];
        assert_eq!(found, expected.map(|path| root.join(path)));
    }
}
