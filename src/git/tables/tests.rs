use proptest::prelude::*;

use super::*;
use crate::git::Repo;

/// Makes a repository with its refs in a reftable; `None` where this git does not know them.
fn repository(folder: &Path) -> Option<Repo> {
    let git = Git::outside(folder).with_env("GIT_DEFAULT_REF_FORMAT", "reftable");
    git.run(&["init", "--quiet", "--bare", "--ref-format=reftable", "."], None).ok()?;
    Repo::open(folder).ok().filter(Repo::keeps_tables)
}

/// What git itself says of all refs.
fn listed(repo: &Repo) -> Vec<(String, String)> {
    let text = repo.git().check(&["for-each-ref", "--format=%(refname) %(objectname)"]).unwrap().text();
    text.lines().filter_map(|line| line.split_once(' ')).map(|(name, id)| (name.into(), id.into())).collect()
}

fn read(repo: &Repo) -> Vec<(String, String)> {
    let refs = repo.refs_with_prefix("refs/").unwrap();
    refs.into_iter().map(|(name, id)| (name, id.to_string())).collect()
}

#[test]
fn what_is_read_is_what_git_says_whatever_others_move() {
    let folder = tempfile::tempdir().unwrap();
    let Some(repo) = repository(folder.path()) else { return };
    let ids = [b"a", b"b"].map(|text| repo.write_blob(text).unwrap());
    let name = |at: usize| format!("refs/{}/a-name-that-is-long-{}/{at}", at % 7, at * 31 % 5);
    // More than one block, some of them index blocks.
    let changes: Vec<_> = (0..2000).map(|at| RefChange::new(name(at), None, Some(ids[at % 2]))).collect();
    repo.change_refs(&changes, "made").unwrap();
    assert_eq!(read(&repo).len(), 2000);
    assert_eq!(read(&repo), listed(&repo));
    // Another process: one gone, one moved, one made, one symbolic.
    let git = repo.git();
    git.check(&["update-ref", "-d", &name(3)]).unwrap();
    assert_eq!(repo.ref_value(&name(3)), None);
    git.check(&["update-ref", &name(4), &ids[1].to_string()]).unwrap();
    assert_eq!(repo.ref_value(&name(4)), Some(ids[1]));
    git.check(&["update-ref", "refs/one", &ids[0].to_string()]).unwrap();
    git.check(&["symbolic-ref", "refs/other", "refs/one"]).unwrap();
    assert_eq!((repo.ref_value("refs/other"), repo.symbolic_ref("refs/one")), (Some(ids[0]), None));
    assert_eq!(repo.symbolic_ref("refs/other").as_deref(), Some("refs/one"));
    assert_eq!(repo.ref_value("refs/on"), None);
    let mut all = listed(&repo);
    all.retain(|(name, _)| name != "refs/other");
    assert_eq!(read(&repo), all);
    // All in one table, and those that were known gone.
    repo.pack_refs().unwrap();
    assert_eq!(read(&repo), all);
    let below: Vec<_> = all.iter().filter(|(name, _)| name.starts_with("refs/3/")).collect();
    assert_eq!(repo.refs_with_prefix("refs/3/").unwrap().len(), below.len());
}

#[test]
fn all_is_changed_or_nothing_and_only_from_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let Some(repo) = repository(folder.path()) else { return };
    let [a, b] = [b"a", b"b"].map(|text| repo.write_blob(text).unwrap());
    let change = |name: &str, old, new| RefChange::new(name, old, new);
    repo.change_refs(&[change("refs/x/1", None, Some(a)), change("refs/x/2", None, Some(a))], "made").unwrap();
    let before = read(&repo);
    for wrong in [
        change("refs/x/2", None, Some(b)),
        change("refs/x/2", Some(b), None),
        change("refs/x/3", Some(a), Some(b)),
        change("refs/x/3", Some(a), None),
        change("refs/x/2", None, None),
        change("refs/x/..", None, Some(a)),
    ] {
        let changes = [change("refs/x/1", Some(a), Some(b)), wrong];
        repo.change_refs(&changes, "refused").unwrap_err();
        assert_eq!(read(&repo), before, "{changes:?}");
    }
    let changes =
        [change("refs/x/1", Some(a), Some(b)), change("refs/x/2", Some(a), None), change("refs/x/3", None, None)];
    repo.change_refs(&changes, "moved").unwrap();
    assert_eq!(read(&repo), [("refs/x/1".to_owned(), b.to_string())]);
}

#[test]
fn many_write_at_once_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let Some(repo) = repository(folder.path()) else { return };
    let id = repo.write_blob(b"a").unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let repo = repo.clone();
            scope.spawn(move || {
                for at in 0..5 {
                    let change = RefChange::new(format!("refs/{writer}/{at}"), None, Some(id));
                    repo.change_refs(&[change], "made").unwrap();
                    assert_eq!(repo.refs_with_prefix(&format!("refs/{writer}/")).unwrap().len(), at + 1);
                }
            });
        }
    });
    assert_eq!(read(&repo).len(), 20);
}

#[test]
fn what_is_damaged_is_not_taken_for_no_refs() {
    let folder = tempfile::tempdir().unwrap();
    let Some(repo) = repository(folder.path()) else { return };
    let id = repo.write_blob(b"a").unwrap();
    repo.change_refs(&[RefChange::new("refs/x", None, Some(id))], "made").unwrap();
    let tables = folder.path().join("reftable");
    let list = fs::read_to_string(tables.join("tables.list")).unwrap();
    let table = tables.join(list.lines().next().unwrap());
    let whole = fs::read(&table).unwrap();
    for length in [0, 10, 30, whole.len() - 1] {
        fs::write(&table, &whole[..length]).unwrap();
        assert!(matches!(Repo::open(folder.path()), Err(Error::Storage { .. })), "{length}");
    }
    fs::remove_file(&table).unwrap();
    assert!(matches!(Repo::open(folder.path()), Err(Error::File { .. })));
    fs::write(&table, whole).unwrap();
    assert_eq!(Repo::open(folder.path()).unwrap().ref_value("refs/x"), Some(id));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), block in 0..80_u8) {
        let _ = format::records(&bytes);
        // Behind a header that is right, and before a footer that is.
        let header = [&b"REFT\x01\x00\x00"[..], &[block], &[0; 16]].concat();
        let footer = [&header[..], &[0; 44]].concat();
        bytes.insert(0, b'r');
        let _ = format::records(&[&header[..], &bytes, &footer].concat());
    }
}
