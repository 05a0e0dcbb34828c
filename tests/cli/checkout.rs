//! The checkout that has the target checked out: it follows a collect, or stays and says so.

use std::fs;

use crate::sandbox::{Repo, Sandbox};
use crate::steps::{done, each_hub, file, refs, refused, states, text};

fn one_done(a: &Repo) {
    done(a, &[("one", "echo merged > src/one.txt; echo new > new.txt; git rm -q src/two.txt")]);
}

#[test]
fn a_clean_checkout_follows() {
    each_hub(|_, a, hub| {
        one_done(a);
        a.write("untracked.txt", "mine");
        a.write("README.md", "changed here, and not by the task\n");
        let out = a.dispatch(&["collect"]).success();
        assert!(!out.stderr.contains("warning"), "{out}");
        assert_eq!(a.git(&["rev-parse", "HEAD"]), hub.git(&["rev-parse", "main"]));
        assert_eq!(a.git(&["status", "--porcelain"]), " M README.md\n?? untracked.txt");
        assert_eq!(fs::read_to_string(a.path().join("src/one.txt")).unwrap(), "merged\n");
        assert!(!a.path().join("src/two.txt").exists());
    });
}

#[test]
fn a_checkout_with_changes_in_the_way_stays_with_a_remote_hub() {
    for (path, text) in [("src/one.txt", "mine\n"), ("new.txt", "untracked\n")] {
        let sandbox = Sandbox::with_clones(&["a"]);
        let (a, hub) = (sandbox.repo("a"), sandbox.hub());
        one_done(&a);
        a.write(path, text);
        let (head, status) = (a.git(&["rev-parse", "HEAD"]), a.git(&["status", "--porcelain"]));
        let out = a.dispatch(&["collect"]).success();
        assert!(out.stderr.contains("changes in the way") && out.stderr.contains("pull"), "{out}");
        assert_eq!(file(&hub, "src/one.txt"), "merged");
        assert_eq!((a.git(&["rev-parse", "HEAD"]), a.git(&["status", "--porcelain"])), (head, status));
        assert_eq!(fs::read_to_string(a.path().join(path)).unwrap(), text);
        assert_eq!(states(&a), ["one merged"]);
        a.git(&["checkout", "--quiet", "--", "."]);
        let _ = fs::remove_file(a.path().join("new.txt"));
        a.git(&["pull", "--quiet"]);
        assert_eq!(a.git(&["rev-parse", "HEAD"]), hub.git(&["rev-parse", "main"]));
    }
}

#[test]
fn a_checkout_with_changes_in_the_way_refuses_an_embedded_collect() {
    for (path, content) in [("src/one.txt", "mine\n"), ("new.txt", "untracked\n")] {
        let sandbox = Sandbox::embedded();
        let solo = sandbox.solo();
        one_done(&solo);
        solo.write(path, content);
        let (before, status) = (refs(&solo), solo.git(&["status", "--porcelain"]));
        let error = refused(&solo.dispatch(&["collect", "--json"]), "dispatch::collect::dirty_checkout", 1);
        assert!(text(&error["message"]).contains("main") && !text(&error["help"]).is_empty(), "{error}");
        assert_eq!((refs(&solo), solo.git(&["status", "--porcelain"])), (before, status));
        fs::remove_file(solo.path().join(path)).unwrap();
        solo.git(&["checkout", "--quiet", "--", "."]);
        solo.dispatch(&["collect"]).success();
        assert_eq!(solo.git(&["status", "--porcelain"]), "");
        assert_eq!(states(&solo), ["one merged"]);
    }
}

#[test]
fn staged_changes_are_kept() {
    each_hub(|_, a, hub| {
        one_done(a);
        a.write("staged.txt", "staged\n");
        a.git(&["add", "staged.txt"]);
        a.dispatch(&["collect"]).success();
        assert_eq!(a.git(&["status", "--porcelain"]), "A  staged.txt");
        assert_eq!(a.git(&["rev-parse", "HEAD"]), hub.git(&["rev-parse", "main"]));
    });
}

#[test]
fn local_commits_are_not_moved() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    one_done(&a);
    a.write("local.txt", "local");
    let own = a.commit("Not pushed");
    let out = a.dispatch(&["collect"]).success();
    assert!(out.stderr.contains("commits of its own"), "{out}");
    assert_eq!((a.git(&["rev-parse", "main"]), a.git(&["status", "--porcelain"])), (own, String::new()));
    assert_eq!((file(&hub, "new.txt"), file(&hub, "local.txt")), ("new".to_owned(), String::new()));
}

#[test]
fn a_checkout_that_is_behind_follows_too() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b, hub) = (sandbox.repo("a"), sandbox.repo("b"), sandbox.hub());
    one_done(&a);
    b.write("b.txt", "b");
    b.commit("From b");
    b.git(&["push", "--quiet"]);
    a.dispatch(&["collect"]).success();
    assert_eq!(a.git(&["rev-parse", "HEAD"]), hub.git(&["rev-parse", "main"]));
    assert_eq!(a.git(&["status", "--porcelain"]), "");
}

#[test]
fn a_linked_worktree_with_the_target_follows_and_others_stay() {
    each_hub(|sandbox, a, hub| {
        one_done(a);
        a.git(&["checkout", "--quiet", "-b", "mine"]);
        a.git(&["worktree", "add", "--quiet", "../linked", "main"]);
        let mine = a.git(&["rev-parse", "HEAD"]);
        a.dispatch(&["collect"]).success();
        let linked = sandbox.repo("linked");
        assert_eq!(linked.git(&["rev-parse", "HEAD"]), hub.git(&["rev-parse", "main"]));
        assert_eq!((linked.git(&["status", "--porcelain"]), a.git(&["status", "--porcelain"])), Default::default());
        assert_eq!(
            (a.git(&["rev-parse", "HEAD"]), a.git(&["symbolic-ref", "HEAD"])),
            (mine, "refs/heads/mine".to_owned())
        );
        assert_eq!(fs::read_to_string(linked.path().join("src/one.txt")).unwrap(), "merged\n");
    });
}

#[test]
fn collect_works_without_a_checkout() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    one_done(&a);
    a.git(&["checkout", "--quiet", "--detach"]);
    let head = a.git(&["rev-parse", "HEAD"]);
    a.dispatch(&["collect"]).success();
    assert_eq!((a.git(&["rev-parse", "HEAD"]), file(&hub, "new.txt")), (head, "new".to_owned()));
    done(&a, &[("two", "echo 2 > 2.txt")]);
    sandbox.repo(".").git(&["clone", "--quiet", "--bare", "hub.git", "bare.git"]);
    let bare = sandbox.repo("bare.git");
    bare.dispatch(&["collect"]).success();
    assert_eq!(file(&hub, "2.txt"), "2");
}
