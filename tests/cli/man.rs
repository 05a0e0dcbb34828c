//! `man`: pages for each command, which git opens for `git dispatch --help`.

use std::fs;

use crate::hubs::{as_json, refused};
use crate::sandbox::Sandbox;
use crate::steps::shown;

#[test]
fn pages_are_written_where_man_looks_and_git_opens_them() {
    let sandbox = Sandbox::embedded();
    let root = sandbox.repo(".");
    root.dispatch(&["man", "--dir", "share/man"]).success();
    let folder = sandbox.root().join("share/man/man1");
    let pages = fs::read_dir(&folder).unwrap().count();
    let listed = root.dispatch(&["-h"]).success().stdout;
    let commands = listed.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let names: Vec<&str> =
        names.filter(|name| *name != "help" && folder.join(format!("git-dispatch-{name}.1")).exists()).collect();
    assert!(names.len() > 30 && pages > names.len(), "{names:?} of {pages}");
    assert_eq!(
        root.dispatch(&["man", "run"]).success().stdout,
        fs::read_to_string(folder.join("git-dispatch-run.1")).unwrap()
    );
    assert_eq!(as_json(&root, &["man", "bundle", "create"]).success().json()["name"], "git-dispatch-bundle-create");
    let error = refused(&root, &["man", "rnu"], 2, "dispatch::man::unknown");
    assert_eq!(error["help"], "did you mean `run`?");

    // A man that is only a note of its absence is none.
    let man = shown(&sandbox.root().join("share/man")).to_owned();
    let environment = [("MANPATH", man.as_str()), ("MANPAGER", "cat"), ("MANWIDTH", "90"), ("TERM", "dumb")];
    if !root.run("man", &environment, &["-w", "git-dispatch"]).stdout.contains("git-dispatch.1") {
        println!("SKIPPED: there is no man here");
        return;
    }
    for args in [&["dispatch", "--help"][..], &["help", "dispatch"]] {
        let page = root.run("git", &environment, args).success().stdout;
        assert!(page.contains("SYNOPSIS") && page.contains("EXIT STATUS"), "{page}");
    }
    // Nothing in a page is misread.
    let page = root.run("man", &environment, &["--warnings", "git-dispatch-list"]).success();
    assert!(page.stderr.is_empty() && page.stdout.contains("--state S"), "{page}");
}
