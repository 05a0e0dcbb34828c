//! A conflict comes back as a task that resolves it, and what a person does in between wins.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::sandbox::{Repo, Sandbox};
use crate::steps::{done, file, merges, refs_below, states, task, text};

/// Keeps both sides of every conflict, as the stand-in for an agent; leaves its prompt in the home folder.
const KEEPS_BOTH: &str = "#!/bin/sh\ncat > $HOME/prompt.$DISPATCH_ID\n\
    for file in $(git diff --name-only --diff-filter=U); do\n\
    sed -i -e '/^|||||||/,/^=======/d' -e '/^<<<<<<< /d' -e '/^>>>>>>> /d' $file; done\n";

/// A hub with one clone whose conflicts are resolved by this script; both hubs.
fn each_hub_with(script: &str, check: impl Fn(&Sandbox, &Repo, &Repo)) {
    let config = "project = \"p\"\nretry_wait = \"0s\"\n[executors.mender]\nkind = \"command\"\ncommand = [\"./mender\"]\n\
        stdin = \"prompt\"\n[collect]\nconflict_executor = \"mender\"\n";
    for embedded in [false, true] {
        let sandbox = if embedded { Sandbox::embedded() } else { Sandbox::with_clones(&["a"]) };
        let (a, hub) = if embedded { (sandbox.solo(), sandbox.solo()) } else { (sandbox.repo("a"), sandbox.hub()) };
        a.write("git-dispatch.toml", config);
        a.write("mender", script);
        fs::set_permissions(a.path().join("mender"), fs::Permissions::from_mode(0o755)).unwrap();
        a.write("list.txt", "top\n\nbottom\n");
        a.commit("A list");
        if !embedded {
            a.git(&["push", "--quiet", "origin", "main"]);
        }
        check(&sandbox, &a, &hub);
    }
}

/// Two that write the same line, one of them merged: the other one conflicts.
fn two_in_conflict(a: &Repo) {
    let line = |word: &str| format!("sed -i 's/^$/{word}/' list.txt");
    done(a, &[("one", &line("one")), ("two", &line("two"))]);
}

#[test]
fn a_conflict_is_resolved_by_a_task_of_its_own_and_both_intentions_live() {
    each_hub_with(KEEPS_BOTH, |sandbox, a, hub| {
        two_in_conflict(a);
        let collected = a.dispatch(&["collect", "--json"]).code(4).json();
        assert_eq!(collected["merged"][0]["task"], "p/one");
        assert_eq!(collected["conflicts"][0]["repair"], "p/two-repair-1");
        assert_eq!(states(a), ["one merged", "two conflict", "two-repair-1 pending"]);
        assert_eq!(task(a, "two")["repair"], "p/two-repair-1");
        let spec = text(&a.dispatch(&["show", "two-repair-1", "--json"]).success().json()["spec_text"]);
        assert!(spec.contains("- `list.txt`: ") && spec.contains("`p/one`: "), "{spec}");
        assert!(hub.git(&["log", "-1", "--format=%B", "refs/dispatch/queue"]).contains("Dispatch-Repairs: p/two@"));

        a.dispatch(&["run"]).success();
        let prompt = fs::read_to_string(sandbox.root().join("home/prompt.two-repair-1")).unwrap();
        assert!(prompt.contains("Resolve the conflict of p/two with main"), "{prompt}");
        let collected = a.dispatch(&["collect", "--json"]).success().json();
        let merged: Vec<_> = collected["merged"].as_array().unwrap().iter().map(|one| text(&one["task"])).collect();
        assert_eq!(merged, ["p/two-repair-1", "p/two"]);
        assert_eq!(states(a), ["one merged", "two merged", "two-repair-1 merged"]);
        assert_eq!(file(hub, "list.txt"), "top\none\ntwo\nbottom");
        let story = hub.git(&["log", "--first-parent", "--format=%s", "-2", "main"]);
        assert_eq!(story, "Merge p/two-repair-1: Resolve the conflict of p/two with main\nMerge p/one: Task one");
        assert_eq!(task(a, "two")["merge_commit"], json!(hub.git(&["rev-parse", "main"])));
        // Nothing is left of either, and both sides' commits are in the history.
        assert_eq!(refs_below(hub, "refs/dispatch/claims"), Vec::<String>::new());
        assert_eq!(refs_below(hub, "refs/heads"), ["refs/heads/main"]);
        assert_eq!(hub.git(&["rev-list", "--count", "--merges", "--first-parent", "main"]), "2");
        a.dispatch(&["run"]).code(3);
        hub.git(&["fsck", "--strict"]);
    });
}

#[test]
fn what_does_not_resolve_it_is_no_result() {
    for (script, why) in [
        ("#!/bin/sh\ngit add -A; git commit -qm 'Markers and all'\n", "conflict markers are left in list.txt"),
        ("#!/bin/sh\ngit merge --abort; echo x > x.txt\n", "does not hold the work of p/two"),
        ("#!/bin/sh\nrm -rf .git\n", "does not hold the work of p/two"),
    ] {
        each_hub_with(script, |_, a, hub| {
            two_in_conflict(a);
            a.dispatch(&["collect"]).code(4);
            a.dispatch(&["run"]).code(4);
            let repair = task(a, "two-repair-1");
            assert_eq!(repair["state"], "failed");
            assert!(text(&repair["error"]).contains(why), "{repair}");
            assert_eq!(task(a, "two")["state"], "conflict", "it waits for a person");
            a.dispatch(&["collect"]).success();
            assert_eq!(merges(hub), ["Merge p/one: Task one", "A list"]);
        });
    }
}

#[test]
fn a_person_who_retries_or_cancels_the_original_wins() {
    for verb in ["retry", "cancel"] {
        each_hub_with(KEEPS_BOTH, |_, a, hub| {
            two_in_conflict(a);
            a.dispatch(&["collect"]).code(4);
            a.dispatch(&["run"]).success();
            assert_eq!(task(a, "two-repair-1")["state"], "completed");
            a.dispatch(&[verb, "two"]).success();
            assert_eq!(task(a, "two-repair-1")["state"], "cancelled");
            a.dispatch(&["collect"]).success();
            assert_eq!(merges(hub), ["Merge p/one: Task one", "A list"]);
            // What it had made is kept.
            assert!(!refs_below(hub, "refs/dispatch/attempts/p/two-repair-1").is_empty());
        });
    }
}

#[test]
fn a_repair_that_comes_too_late_is_repaired_up_to_a_bound() {
    each_hub_with(KEEPS_BOTH, |_, a, hub| {
        a.git(&["config", "dispatch.collect.maxRepairs", "2"]);
        two_in_conflict(a);
        a.dispatch(&["collect"]).code(4);
        a.dispatch(&["run"]).success();
        // Somebody else changes the same place meanwhile, again and again.
        let push = |word: &str| {
            a.write("list.txt", &format!("top\n{word}\nbottom\n"));
            a.commit(word);
            if a.path() != hub.path() {
                a.git(&["push", "--quiet", "origin", "main"]);
            }
        };
        push("three");
        let collected = a.dispatch(&["collect", "--json"]).code(4).json();
        assert_eq!(collected["conflicts"][0]["repair"], "p/two-repair-2");
        a.dispatch(&["run"]).success();
        a.dispatch(&["collect"]).success();
        assert_eq!(states(a), ["one merged", "two merged", "two-repair-1 merged", "two-repair-2 merged"]);
        let list = file(hub, "list.txt");
        assert!(["three", "two"].iter().all(|word| list.contains(word)), "{list}");
        assert_eq!(refs_below(hub, "refs/dispatch/claims"), Vec::<String>::new());
        hub.git(&["fsck", "--strict"]);
    });
}

#[test]
fn without_an_executor_for_it_or_with_no_repair_a_conflict_waits_for_a_person() {
    each_hub_with(KEEPS_BOTH, |_, a, _| {
        two_in_conflict(a);
        let collected = a.dispatch(&["collect", "--no-repair", "--json"]).code(4).json();
        assert_eq!(collected["conflicts"][0]["repair"], json!(null));
        assert_eq!(states(a), ["one merged", "two conflict"]);
    });
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    a.write("list.txt", "top\n\nbottom\n");
    a.commit("A list");
    a.git(&["push", "--quiet", "origin", "main"]);
    two_in_conflict(&a);
    a.dispatch(&["collect"]).code(4);
    assert_eq!(states(&a), ["one merged", "two conflict"]);
}

#[test]
fn a_person_can_resolve_it_by_hand() {
    each_hub_with(KEEPS_BOTH, |_, a, hub| {
        two_in_conflict(a);
        a.dispatch(&["collect"]).code(4);
        let claimed = a.dispatch(&["claim", "two-repair-1", "--json"]).success().json();
        let branch = text(&claimed["claimed"][0]["branch"]);
        a.git(&["checkout", "--quiet", &branch]);
        a.write("list.txt", "top\none\nbottom\n");
        a.git(&["commit", "--quiet", "--allow-empty", "-am", "No merge"]);
        let out = a.dispatch(&["finish", "two-repair-1", "--json"]).code(1);
        assert_eq!(out.json()["error"]["code"], "dispatch::finish::unresolved");
        let spec = text(&a.dispatch(&["show", "two-repair-1", "--json"]).success().json()["spec_text"]);
        let line = spec.split("`git merge --no-ff ").nth(1).unwrap();
        let work = &line[..40];
        a.run("git", &[], &["merge", "--quiet", "--no-ff", work]);
        a.write("list.txt", "top\none\ntwo\nbottom\n");
        a.git(&["commit", "--quiet", "-am", "Both"]);
        a.git(&["checkout", "--quiet", "main"]);
        a.dispatch(&["finish", "two-repair-1"]).success();
        a.dispatch(&["collect"]).success();
        assert_eq!(states(a), ["one merged", "two merged", "two-repair-1 merged"]);
        assert_eq!(file(hub, "list.txt"), "top\none\ntwo\nbottom");
    });
}

#[test]
fn what_depends_on_the_original_waits_for_its_repair_and_lands_after_it() {
    each_hub_with(KEEPS_BOTH, |_, a, hub| {
        two_in_conflict(a);
        a.spec("tasks/three.md", "depends_on: [two]\nrun: |\n  echo 3 > three.txt", "# Task three");
        a.dispatch(&["enqueue", "tasks/three.md"]).success();
        a.dispatch(&["run", "three"]).success();
        a.dispatch(&["collect"]).code(4);
        assert_eq!(states(a), ["one merged", "three completed", "two conflict", "two-repair-1 pending"]);
        a.dispatch(&["run"]).success();
        a.dispatch(&["collect"]).success();
        assert_eq!(states(a), ["one merged", "three merged", "two merged", "two-repair-1 merged"]);
        assert_eq!((file(hub, "three.txt"), file(hub, "list.txt")), ("3".into(), "top\none\ntwo\nbottom".into()));
    });
}
