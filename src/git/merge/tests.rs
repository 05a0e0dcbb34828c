//! That a merge says what `git merge` says in a checkout of the target: for each kind of change that can meet another, and
//! for generated histories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gix::object::tree::EntryKind;
use proptest::prelude::*;

use super::*;
use crate::git::Git;
use crate::git::objects::NewCommit;
use crate::git::repo::Identity;

/// A tree's files: by path, kind and content; of a submodule, the content stands for its commit.
type Files = BTreeMap<String, (EntryKind, Vec<u8>)>;

/// A repository with a checkout, in which both merge.
struct World {
    _folder: tempfile::TempDir,
    repo: Repo,
    git: Git,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Git::outside(folder.path()).check(&["init", "--quiet", "."]).unwrap();
        let repo = Repo::open(folder.path()).unwrap();
        let git = Git::at(&folder.path().join(".git"), Some(folder.path()))
            .with_setting("user.name=t")
            .with_setting("user.email=t@example.invalid");
        Self { repo, git, _folder: folder }
    }

    fn commit(&self, files: &Files, parents: &[ObjectId]) -> ObjectId {
        let repo = &self.repo;
        let mut editor = repo.gix.edit_tree(ObjectId::empty_tree(repo.gix.object_hash())).unwrap();
        for (path, (kind, content)) in files {
            let blob = repo.write_blob(content).unwrap();
            // A submodule's commit is in another repository: any id will do.
            editor.upsert(path.as_str(), *kind, blob).unwrap();
        }
        let by = Identity { name: "t".into(), email: "t@example.invalid".into() };
        let tree = editor.write().unwrap().detach();
        let new = NewCommit { tree, parents, message: "m\n", by: &by, at: jiff::Timestamp::UNIX_EPOCH };
        repo.write_commit(&new).unwrap()
    }

    /// What `git merge` does in a checkout of `ours`: the tree, or the paths that conflict.
    fn by_checkout(&self, ours: ObjectId, theirs: ObjectId) -> std::result::Result<ObjectId, BTreeSet<String>> {
        let (ours, theirs) = (ours.to_string(), theirs.to_string());
        self.git.check(&["checkout", "--quiet", "--force", "--detach", &ours]).unwrap();
        self.git.check(&["clean", "-ffdxq"]).unwrap();
        let out = self.git.run(&["merge", "--quiet", "--no-ff", "--no-edit", &theirs], None).unwrap();
        if out.is_success() {
            let tree = self.git.check(&["rev-parse", "HEAD^{tree}"]).unwrap().text();
            return Ok(ObjectId::from_hex(tree.as_bytes()).unwrap());
        }
        let listed = self.git.check(&["ls-files", "--unmerged", "-z"]).unwrap();
        let unmerged = String::from_utf8(listed.stdout).unwrap();
        let paths = unmerged.split_terminator('\0').filter_map(|line| Some(line.split_once('\t')?.1.to_owned()));
        // What is set aside stands under its side's name.
        let paths: BTreeSet<String> = paths.map(|path| path.split('~').next().unwrap().to_owned()).collect();
        self.git.check(&["reset", "--quiet", "--hard"]).unwrap();
        assert!(!paths.is_empty(), "git merge failed, and not for a conflict: {}", out.stderr);
        Err(paths)
    }

    /// Merges both ways and compares; returns what conflicts, with the kinds.
    fn agree(&self, base: &Files, ours: &Files, theirs: &Files) -> Vec<(String, String)> {
        let root = self.commit(base, &[]);
        let (one, two) = (self.commit(ours, &[root]), self.commit(theirs, &[root]));
        let merged = self.repo.merge(one, two).unwrap();
        let own = match merged.conflicts.is_empty() {
            true => Ok(merged.tree),
            false => Err(merged.conflicts.iter().map(|(path, _)| path.clone()).collect()),
        };
        assert_eq!(own, self.by_checkout(one, two), "{:?}\n{:?}\n{:?}", named(base), named(ours), named(theirs));
        // Where git is not asked at all, its answer is a clean merge to the same tree.
        if let Some(tree) = self.repo.merge_apart(one, two).unwrap() {
            assert_eq!((own, merged.conflicts.len()), (Ok(tree), 0));
        }
        merged.conflicts
    }
}

/// A tree in few words.
fn named(files: &Files) -> Vec<String> {
    let line = |content: &[u8]| String::from_utf8_lossy(content).lines().nth(3).unwrap_or_default().to_owned();
    files.iter().map(|(path, (kind, content))| format!("{path} {kind:?} {}", line(content))).collect()
}

fn lines(mark: &str) -> String {
    (0..20).map(|line| if line == 3 { format!("{mark}\n") } else { format!("line {line}\n") }).collect()
}

/// Reads `path=text` (a file), `path*=text` (one that is executable), `path@=target` (a link), `path%=text` (a submodule).
fn files(given: &[&str]) -> Files {
    let entry = |given: &&str| {
        let (path, text) = given.split_once('=').unwrap();
        let (path, kind) = match path.strip_suffix(['*', '@', '%']) {
            Some(plain) if path.ends_with('*') => (plain, EntryKind::BlobExecutable),
            Some(plain) if path.ends_with('@') => (plain, EntryKind::Link),
            Some(plain) => (plain, EntryKind::Commit),
            None => (path, EntryKind::Blob),
        };
        // One word stands for twenty lines, so that renames are seen; what has line ends of its own is taken as it is.
        let is_whole = text.contains(['\n', '\0']) || matches!(kind, EntryKind::Link | EntryKind::Commit);
        let content = if is_whole { text.to_owned() } else { lines(text) };
        (path.to_owned(), (kind, content.into_bytes()))
    };
    given.iter().map(entry).collect()
}

/// A kind of change: its name, base, ours, theirs, and the kinds of conflict that git sees in it.
type Kind = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

const KINDS: &[Kind] = &[
    ("apart", &["a=x", "b=x"], &["a=1", "b=x"], &["a=x", "b=2"], &[]),
    ("same change", &["a=x"], &["a=1"], &["a=1"], &[]),
    ("content", &["a=x"], &["a=1"], &["a=2"], &["contents"]),
    ("content, other lines", &["a=1\n2\n3\n4\n5\n6\n"], &["a=0\n2\n3\n4\n5\n6\n"], &["a=1\n2\n3\n4\n5\n7\n"], &[]),
    ("rename and change", &["a=x"], &["b=x"], &["a=2"], &[]),
    ("rename and change that meet", &["a=x"], &["b=1"], &["a=2"], &["contents"]),
    (
        "rename/rename, one to two",
        &["a=x"],
        &["b=x"],
        &["c=x"],
        &["rename/rename", "rename/rename", "rename/rename"],
    ),
    ("rename/rename, two to one", &["a=x", "b=y"], &["c=x", "b=y"], &["a=x", "c=y"], &["contents"]),
    ("rename/delete", &["a=x", "k=k"], &["b=x", "k=k"], &["k=k"], &["rename/delete"]),
    ("rename/add", &["a=x"], &["b=x"], &["a=x", "b=other\n"], &["contents"]),
    (
        "directory rename",
        &["d/a=x", "d/b=y"],
        &["e/a=x", "e/b=y"],
        &["d/a=x", "d/b=y", "d/c=z"],
        &["directory rename suggested"],
    ),
    ("directory rename and change", &["d/a=x", "d/b=y"], &["e/a=x", "e/b=y"], &["d/a=1", "d/b=y"], &[]),
    ("add/add", &["k=k"], &["k=k", "a=1"], &["k=k", "a=2"], &["contents"]),
    ("add/add, alike", &["k=k"], &["k=k", "a=1"], &["k=k", "a=1"], &[]),
    ("modify/delete", &["a=x", "k=k"], &["a=1", "k=k"], &["k=k"], &["modify/delete"]),
    ("delete/delete", &["a=x", "k=k"], &["k=k"], &["k=k"], &[]),
    ("mode", &["a=x"], &["a*=x"], &["a=2"], &[]),
    ("mode on both sides", &["a=x", "b=x"], &["a*=x", "b=x"], &["a=x", "b*=x"], &[]),
    ("mode and rename", &["a=x"], &["a*=x"], &["b=x"], &[]),
    ("file and folder", &["k=k"], &["k=k", "a=1"], &["k=k", "a/b=2"], &["file/directory"]),
    ("file becomes folder", &["a=x", "k=k"], &["a/b=other\n", "k=k"], &["a=2", "k=k"], &["file/directory"]),
    ("symlink", &["a@=x", "b=x"], &["a@=1", "b=x"], &["a@=x", "b=2"], &[]),
    ("symlink on both sides", &["a@=x"], &["a@=1"], &["a@=2"], &["contents"]),
    ("file becomes symlink", &["a=x"], &["a@=k"], &["a=2"], &["distinct modes", "distinct modes"]),
    ("submodule", &["a%=x", "b=x"], &["a%=1", "b=x"], &["a%=x", "b=2"], &[]),
    ("submodule on both sides", &["a%=x"], &["a%=1"], &["a%=2"], &["submodule not initialized"]),
    ("submodule deleted", &["a%=x", "k=k"], &["k=k"], &["a%=x", "k=2"], &[]),
    ("binary", &["a=\0x", "b=x"], &["a=\0one", "b=x"], &["a=\0x", "b=2"], &[]),
    ("binary on both sides", &["a=\0x"], &["a=\0one"], &["a=\0two"], &["binary"]),
    ("case twins", &["a=x", "A=x"], &["a=1", "A=x"], &["a=x", "A=2"], &[]),
    ("case twins added", &["k=k"], &["k=k", "n=1"], &["k=k", "N=2"], &[]),
    ("folders that are case twins", &["d/a=x"], &["d/a=1"], &["d/a=x", "D/a=2"], &[]),
    (
        "line ends, with the target's attributes",
        &[".gitattributes=* text eol=crlf\n", "a=1\n2\n3\n4\n5\n6\n", "b=x\n"],
        &[".gitattributes=* text eol=crlf\n", "a=0\n2\n3\n4\n5\n6\n", "b=x\n"],
        &[".gitattributes=* text eol=crlf\n", "a=1\n2\n3\n4\n5\n7\n", "b=y\n"],
        &[],
    ),
    ("line ends that changed", &["a=1\n2\n3\n"], &["a=1\r\n2\r\n3\r\n"], &["a=1\n2\n4\n"], &["contents"]),
    (
        "union, by the target's attributes",
        &[".gitattributes=log merge=union\n", "log=1\n"],
        &[".gitattributes=log merge=union\n", "log=1\n2\n"],
        &[".gitattributes=log merge=union\n", "log=1\n3\n"],
        &[],
    ),
    (
        "never by lines, by the target's attributes",
        &["a=1\n2\n3\n4\n5\n6\n"],
        &[".gitattributes=a -merge\n", "a=0\n2\n3\n4\n5\n6\n"],
        &["a=1\n2\n3\n4\n5\n7\n"],
        &["binary"],
    ),
    (
        "attributes of the other side do not count",
        &["a=1\n2\n3\n4\n5\n6\n"],
        &["a=0\n2\n3\n4\n5\n6\n"],
        &[".gitattributes=a -merge\n", "a=1\n2\n3\n4\n5\n7\n"],
        &[],
    ),
];

#[test]
fn each_kind_of_change_is_merged_as_git_does_in_a_checkout() {
    let world = World::new();
    let mut wrong = Vec::new();
    for (name, base, ours, theirs, expected) in KINDS {
        let kinds: Vec<String> =
            world.agree(&files(base), &files(ours), &files(theirs)).into_iter().map(|(_, kind)| kind).collect();
        if kinds != *expected {
            wrong.push(format!("{name}: {kinds:?}"));
        }
        let kinds = world.agree(&files(base), &files(theirs), &files(ours));
        let is_by_attributes = name.contains("attributes");
        assert!(
            is_by_attributes || kinds.is_empty() == expected.is_empty(),
            "{name}, the other way round: {kinds:?}"
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is checked out where we merge is a person's, and decides nothing.
#[test]
fn the_attributes_that_are_checked_out_do_not_count() {
    let world = World::new();
    let (base, ours, theirs) =
        (files(&["a=1\n2\n3\n4\n5\n6\n"]), files(&["a=0\n2\n3\n4\n5\n6\n"]), files(&["a=1\n2\n3\n4\n5\n7\n"]));
    let root = world.commit(&base, &[]);
    let (one, two) = (world.commit(&ours, &[root]), world.commit(&theirs, &[root]));
    let folder: &Path = world.repo.work_tree().unwrap();
    std::fs::write(folder.join(".gitattributes"), "a -merge\n").unwrap();
    assert_eq!(world.repo.merge(one, two).unwrap().conflicts, vec![]);
}

/// Folders that are renamed whole, files that share a prefix with a folder, names that differ in case.
const PATHS: &[&str] =
    &["a/one", "a/two", "a/deep/x", "b/one", "b/two", "c", "a.txt", "A/one", "C", "d/new", "e/new"];

/// What one side does to one path.
#[derive(Debug, Clone)]
enum Change {
    Write(usize, u8),
    Binary(usize, u8),
    Link(usize, u8),
    Module(usize, u8),
    Mode(usize),
    Ends(usize),
    Delete(usize),
    Move(usize, usize),
    MoveFolder,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let path = || 0..PATHS.len();
    let one = prop_oneof![
        4 => (path(), 0u8..4).prop_map(|(at, text)| Change::Write(at, text)),
        2 => path().prop_map(Change::Delete),
        3 => (path(), path()).prop_map(|(from, to)| Change::Move(from, to)),
        1 => (path(), 0u8..3).prop_map(|(at, text)| Change::Binary(at, text)),
        1 => (path(), 0u8..3).prop_map(|(at, text)| Change::Link(at, text)),
        1 => (path(), 0u8..3).prop_map(|(at, text)| Change::Module(at, text)),
        1 => path().prop_map(Change::Mode),
        1 => path().prop_map(Change::Ends),
        1 => Just(Change::MoveFolder),
    ];
    proptest::collection::vec(one, 0..4)
}

/// Contents alike enough to be taken for renames of each other.
fn text(path: usize, variant: u8) -> Vec<u8> {
    lines(&format!("line 3 of {}", path + usize::from(variant))).into_bytes()
}

fn apply(files: &Files, changes: &[Change]) -> Files {
    let mut files = files.clone();
    let name = |at: usize| PATHS[at].to_owned();
    for change in changes {
        match *change {
            Change::Write(at, variant) => {
                files.insert(name(at), (EntryKind::Blob, text(at, variant)));
            }
            Change::Binary(at, variant) => {
                files.insert(name(at), (EntryKind::Blob, vec![0, variant, 0]));
            }
            Change::Link(at, variant) => {
                files.insert(name(at), (EntryKind::Link, vec![b'x' + variant]));
            }
            Change::Module(at, variant) => {
                files.insert(name(at), (EntryKind::Commit, vec![variant]));
            }
            Change::Mode(at) => {
                if let Some((kind @ EntryKind::Blob, _)) = files.get_mut(PATHS[at]) {
                    *kind = EntryKind::BlobExecutable;
                }
            }
            Change::Ends(at) => {
                if let Some((EntryKind::Blob, content)) = files.get_mut(PATHS[at]) {
                    *content = String::from_utf8_lossy(content).replace('\n', "\r\n").into_bytes();
                }
            }
            Change::Delete(at) => {
                files.remove(PATHS[at]);
            }
            Change::Move(from, to) => {
                if let Some(file) = files.remove(PATHS[from]) {
                    files.insert(name(to), file);
                }
            }
            Change::MoveFolder => {
                let moved: Vec<String> = files.keys().filter(|path| path.starts_with("a/")).cloned().collect();
                for path in moved {
                    let file = files.remove(&path).unwrap();
                    files.insert(path.replacen("a/", "moved/", 1), file);
                }
            }
        }
    }
    files
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_merge_is_what_git_would_have_said(start in 0u16..2048, ours in changes(), theirs in changes()) {
        let files: Files = (0..PATHS.len())
            .filter(|at| start & (1 << at) != 0)
            .map(|at| (PATHS[at].to_owned(), (EntryKind::Blob, text(at, 0))))
            .collect();
        World::new().agree(&files, &apply(&files, &ours), &apply(&files, &theirs));
    }
}
