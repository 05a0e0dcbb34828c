//! Work that is dangerous to check out, here or elsewhere: refused where it is made, and where it is merged.

use serde_json::json;

use crate::sandbox::{Repo, Sandbox};
use crate::steps::{done, each, each_hub, enqueue_lines, file, refs_below, states, task, tasks, text};

/// A tree with one file of this name, committed past all that git would say; names are given to `printf`.
fn named(name: &str) -> String {
    format!(
        "blob=$(echo x | git hash-object -w --stdin); tree=$(git rev-parse HEAD^{{tree}}); \
         tree=$( (git ls-tree -z $tree; printf '100644 blob %s\\t{name}\\0' $blob) | git mktree -z); {}",
        commit("$tree")
    )
}

/// The same with a name that `git mktree` refuses: the tree's bytes are written as they are.
fn raw(name: &str) -> String {
    // `echo x` as a blob.
    const BLOB: &str = "587be6b4c3f93f93c489c0111bba5596147a26cb";
    let bytes: String = BLOB.as_bytes().chunks(2).map(|pair| octal(std::str::from_utf8(pair).unwrap())).collect();
    format!(
        "echo x | git hash-object -w --stdin; \
         tree=$(printf '100644 {name}\\000{bytes}' | git hash-object -w -t tree --literally --stdin); {}",
        commit("$tree")
    )
}

fn octal(hex: &str) -> String {
    format!("\\{:03o}", u8::from_str_radix(hex, 16).unwrap())
}

fn commit(tree: &str) -> String {
    format!("git reset -q --soft $(git commit-tree {tree} -p HEAD -m x)")
}

#[test]
fn work_that_cannot_be_checked_out_safely_stays_where_it_was_made() {
    let link = |target: &str| format!("ln -s {target} link; git add -A; git commit -qm x");
    let tasks_of = [
        ("absolute", link("/etc/passwd"), "link: the link leads out of the tree"),
        ("big", "truncate -s 101M big.bin".to_owned(), "big.bin: the file has 101 MiB"),
        ("case", "echo x > readme.MD".to_owned(), "differ in letter case alone"),
        ("control", "echo x > \"$(printf 'a\\033[2Jb')\"".to_owned(), "control characters"),
        ("device", "mkdir -p src/x; echo x > src/x/CON.txt".to_owned(), "src/x/CON.txt: it is a device on Windows"),
        ("dotgit", named(".GIT"), ".GIT: it is git's own folder in disguise"),
        ("dots", named(".. "), ".. : it leads elsewhere"),
        ("hidden", named(".g\\342\\200\\214it"), "git's own folder in disguise"),
        ("into", link(".git/config"), "link: the link leads into git's own folder"),
        (
            "modules",
            "printf '[submodule \"a\"]\\n\\tpath = a\\n\\turl = -u./x\\n' > .gitmodules".to_owned(),
            ".gitmodules: it would run",
        ),
        ("parent", raw(".."), "..: it leads elsewhere"),
        ("short", named("git~1"), "git~1: it is git's own folder in disguise"),
        ("slash", raw("a/b"), "a/b: not a name"),
        ("up", link("../../x"), "link: the link leads out of the tree"),
    ];
    each_hub(|_, a, hub| {
        let scripts: Vec<(&str, &str)> = tasks_of.iter().map(|(id, script, _)| (*id, script.as_str())).collect();
        enqueue_lines(
            a,
            &[
                &scripts[..],
                &[("fine", "ln -s README.md link; mkdir -p d/e; ln -s ../../src d/e/up; echo x > 'é b'")],
            ]
            .concat(),
        );
        let run = a.dispatch(&["run"]).code(4);
        let documents = tasks(a);
        for (id, _, why) in tasks_of.iter() {
            let task = &documents[*id];
            let told = task["error"].as_str().unwrap_or_default();
            assert_eq!(
                (&task["state"], &task["reason"], &task["files_changed"]),
                (&json!("failed"), &json!("exit"), &json!(0)),
                "{id}: {task}\n{run}"
            );
            assert!(told.contains("cannot be checked out safely") && told.contains(why), "{id}: {told}");
        }
        assert_eq!(documents["fine"]["state"], "completed");
        a.dispatch(&["collect"]).success();
        assert_eq!(file(hub, "é b"), "x");
        if a.path() != hub.path() {
            let all = hub.git(&["rev-list", "--objects", "--all"]);
            assert!(
                !["big.bin", "CON.txt", "git~1", ".GIT", "link\n/etc"].iter().any(|name| all.contains(name)),
                "{all}"
            );
        }
        a.git(&["fsck", "--no-dangling", "--no-progress", "--connectivity-only"]);
    });
}

/// Puts another result into a completed claim, as somebody could who pushes past this program.
fn swap_result(hub: &Repo, id: &str, result: &str) {
    let name = format!("refs/dispatch/claims/p/{id}");
    let message = hub.git(&["log", "-1", "--format=%B", &name]);
    let args =
        ["commit-tree", &format!("{name}^{{tree}}"), "-p", &format!("{name}^1"), "-p", result, "-m", &message];
    let claim = hub.git(&args);
    hub.git(&["update-ref", &name, &claim]);
}

/// Makes a commit with a link out of the tree on the target's tip.
fn evil(repo: &Repo) -> String {
    let script = "t=$( (git ls-tree main; printf '120000 blob %s\\tlink\\n' $(printf /etc/passwd | git hash-object -w --stdin)) | git mktree); \
         git commit-tree $t -p main -m evil";
    repo.run("sh", &[], &["-c", script]).success().stdout.trim().to_owned()
}

#[test]
fn what_was_pushed_past_us_is_not_merged() {
    each_hub(|_, a, hub| {
        done(a, &[("bad", "echo bad > bad.txt"), ("good", "echo good > good.txt")]);
        let before = hub.git(&["rev-parse", "main"]);
        swap_result(hub, "bad", &evil(hub));
        let dry = a.dispatch(&["collect", "--dry-run", "--json"]).code(4).json();
        assert_eq!(dry["rejected"], json!([{"task": "p/bad", "reason": "verify"}]));
        assert_eq!(hub.git(&["rev-parse", "main"]), before);
        let collected = a.dispatch(&["collect", "--json"]).code(4);
        let document = collected.json();
        assert_eq!(document["rejected"], json!([{"task": "p/bad", "reason": "verify"}]), "{collected}");
        assert_eq!(each(&document["merged"], "task"), ["p/good"]);
        let bad = task(a, "bad");
        assert_eq!((&bad["state"], &bad["reason"]), (&json!("failed"), &json!("verify")));
        assert!(text(&bad["error"]).contains("link: the link leads out of the tree"), "{bad}");
        assert!(!hub.git(&["ls-tree", "-r", "--name-only", "main"]).contains("link"));
        a.dispatch(&["collect"]).success();
        assert_eq!(states(a), ["bad failed", "good merged"]);
    });
}

#[test]
fn what_came_in_a_file_is_not_merged_either() {
    let sandbox = Sandbox::with_clones(&["boss"]);
    let (boss, hub, vault) = (sandbox.repo("boss"), sandbox.hub(), sandbox.repo("vault"));
    enqueue_lines(&boss, &[("a", "echo a > a.txt")]);
    boss.dispatch(&["bundle", "create", "../out.bundle", "--for", "vault"]).success();
    sandbox.repo(".").dispatch(&["bundle", "open", "out.bundle", "vault"]).success();
    vault.dispatch(&["run"]).success();
    let target = vault.git(&["rev-parse", "refs/dispatch/claims/p/a^2^"]);
    vault.git(&["update-ref", "refs/heads/main", &target]);
    swap_result(&vault, "a", &evil(&vault));
    vault.dispatch(&["bundle", "create", "../back.bundle", "--results"]).success();
    let collected = boss.dispatch(&["collect", "--bundle", "../back.bundle", "--json"]).code(4);
    assert_eq!(collected.json()["rejected"], json!([{"task": "p/a", "reason": "verify"}]), "{collected}");
    assert_eq!(states(&boss), ["a failed"]);
    assert_eq!(refs_below(&hub, "refs/heads/main"), ["refs/heads/main"]);
    assert!(!hub.git(&["ls-tree", "main"]).contains("link"));
}
