//! Bugs that were found by attacking: each test is named after what went wrong.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::sandbox::{Repo, Sandbox, eventually, race};

/// Puts a hook into the hub.
fn hook(sandbox: &Sandbox, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = sandbox.hub().path().join("hooks").join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Enqueues one task that runs a line of shell.
#[track_caller]
fn enqueue(repo: &Repo, id: &str, more: &str, run: &str) {
    let file = format!("../specs/{id}.md");
    repo.spec(&file, &format!("task_id: {id}\nproject: p\nrun: {run:?}\n{more}"), &format!("# {id}"));
    repo.dispatch(&["enqueue", &file]).success();
}

/// The state of each task, in queue order.
#[track_caller]
fn states(repo: &Repo) -> Vec<(String, String)> {
    let list = repo.dispatch(&["list", "--json"]).success().json();
    let text = |task: &serde_json::Value, key: &str| task[key].as_str().unwrap().to_owned();
    list["tasks"].as_array().unwrap().iter().map(|task| (text(task, "id"), text(task, "state"))).collect()
}

#[track_caller]
fn state(repo: &Repo, id: &str) -> String {
    states(repo).into_iter().find(|(other, _)| other == id).unwrap().1
}

#[test]
fn a_task_whose_seal_cannot_be_read_is_unknown_and_does_not_run_again() {
    for seal in ["{\"v\":99,\"event\":\"merged\"}", "rubbish"] {
        let sandbox = Sandbox::with_clones(&["a", "b"]);
        let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
        enqueue(&a, "X", "", "echo x > x");
        a.dispatch(&["run"]).success();
        a.dispatch(&["collect"]).success();
        let spec = a.git(&["rev-parse", "refs/dispatch/queue"]);
        a.git(&["notes", "--ref=refs/notes/dispatch-sealed", "add", "-f", "-m", seal, &spec]);
        a.git(&["push", "-q", "origin", "refs/notes/dispatch-sealed"]);
        assert_eq!(state(&b, "X"), "unknown");
        b.dispatch(&["run"]).code(3);
        b.dispatch(&["collect"]).success();
        assert_eq!(b.git(&["rev-list", "--count", "--merges", "origin/main"]), "0");
    }
}

#[test]
fn without_readable_seals_nothing_is_claimed() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(&a, "X", "", "echo x > x");
    a.dispatch(&["run"]).success();
    a.dispatch(&["collect"]).success();
    let blob = a.git(&["rev-parse", "HEAD:README.md"]);
    a.git(&["push", "-q", "-f", "origin", &format!("{blob}:refs/notes/dispatch-sealed")]);
    assert_eq!(state(&b, "X"), "unknown");
    b.dispatch(&["run"]).code(3);
}

#[test]
fn the_work_on_an_older_branch_outlives_the_next_sync() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(&a, "X", "", "true");
    a.git(&["checkout", "-q", "-b", "task/p-X-a"]);
    a.write("mine.txt", "mine\n");
    let mine = a.commit("Mine");
    a.git(&["checkout", "-q", "main"]);
    a.dispatch(&["claim", "X"]).success();
    a.dispatch(&["list"]).success();
    a.dispatch(&["list"]).success();
    assert_ne!(a.git(&["for-each-ref", "--contains", &mine]), "", "the work is lost");
    assert_eq!(a.git(&["rev-parse", "task/p-X-a"]), a.git(&["rev-parse", "main"]));
}

#[test]
fn a_claim_never_moves_the_branch_that_is_checked_out() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(&a, "X", "", "true");
    a.git(&["checkout", "-q", "-b", "task/p-X-a"]);
    a.write("mine.txt", "mine\n");
    let mine = a.commit("Mine");
    let out = a.dispatch(&["claim", "X", "--json"]).code(1);
    assert_eq!(out.json()["error"]["code"], "dispatch::claim::checked_out");
    assert_eq!(a.git(&["rev-parse", "HEAD"]), mine);
    assert_eq!(a.git(&["status", "--porcelain"]), "");
    assert_eq!(state(&a, "X"), "pending");
}

#[test]
fn a_claim_that_was_killed_after_its_push_is_finished_by_the_same_command() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(&a, "X", "", "true");
    a.dispatch(&["claim", "X"]).success();
    // As if it had died between the push and the branch.
    let die = || {
        a.git(&["branch", "-q", "-D", "task/p-X-a"]);
        a.git(&["update-ref", "-d", "refs/dispatch-local/hand/p/X"]);
    };
    die();
    let out = a.dispatch(&["claim", "X", "--json"]).success();
    assert_eq!(out.json()["claimed"][0]["id"], "X");
    a.git(&["rev-parse", "--verify", "-q", "task/p-X-a"]);
    // What was done on it meanwhile stays.
    a.git(&["checkout", "-q", "task/p-X-a"]);
    a.write("mine.txt", "mine\n");
    let mine = a.commit("Mine");
    let again = a.dispatch(&["claim", "X"]).code(3);
    assert!(again.stderr.contains("is claimed in this clone already, on branch task/p-X-a"), "{again}");
    assert_eq!(a.git(&["rev-parse", "task/p-X-a"]), mine);
    b.dispatch(&["claim", "X"]).code(3);
    a.git(&["checkout", "-q", "main"]);
    die();
    a.dispatch(&["claim"]).success();
    a.git(&["rev-parse", "--verify", "-q", "task/p-X-a"]);
}

#[test]
fn a_claim_that_the_hub_refuses_is_not_called_lost() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(&a, "X", "", "true");
    hook(&sandbox, "update", "case $1 in refs/dispatch/claims/*) exit 1;; esac");
    let out = a.dispatch(&["claim", "X", "--json"]).code(1);
    assert_eq!(out.json()["error"]["code"], "dispatch::hub::refused");
}

#[test]
fn a_hub_that_goes_away_stops_nothing_that_runs() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    let go = sandbox.root().join("go");
    let wait = |name: &str| {
        format!("while [ ! -e {}/{name} ]; do sleep 0.02; done; echo x > {name}", sandbox.root().display())
    };
    enqueue(&a, "S1", "", &wait("go"));
    enqueue(&a, "S2", "", &wait("go2"));
    enqueue(&a, "S3", "", "echo x > s3");
    let running = a.spawn(&["run", "--slots", "2"]);
    let claims = || sandbox.hub().git(&["for-each-ref", "refs/dispatch/claims"]).lines().count();
    eventually(Duration::from_secs(30), || claims() == 2);
    // Both executors are at work before the hub goes.
    eventually(Duration::from_secs(30), || started(&a) == 2);
    let (hub, away) = (sandbox.hub().path().to_owned(), sandbox.root().join("away"));
    fs::rename(&hub, &away).unwrap();
    fs::write(&go, "").unwrap();
    let outbox = a.path().join(".git/dispatch/outbox");
    let waiting = |n: usize| fs::read_dir(&outbox).is_ok_and(|entries| entries.count() == n);
    eventually(Duration::from_secs(30), || waiting(1));
    fs::write(sandbox.root().join("go2"), "").unwrap();
    running.wait(Duration::from_secs(60));
    assert!(waiting(2), "both results wait");
    fs::rename(&away, &hub).unwrap();
    a.dispatch(&["run"]).success();
    let list = a.dispatch(&["list", "--json"]).success().json();
    for task in list["tasks"].as_array().unwrap() {
        assert_eq!((&task["state"], &task["attempt"]), (&"completed".into(), &1.into()), "{task}");
    }
    assert!(waiting(0));
}

/// How many executors of the clone's node have been started.
fn started(repo: &Repo) -> usize {
    let _ = repo;
    let home = repo.path().parent().unwrap().join("home/.local/state/git-dispatch");
    let slots = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        entries
            .filter(|slot| {
                let record = fs::read_to_string(slot.path().join("slot.json")).unwrap_or_default();
                record.contains("\"group\": ") && !record.contains("\"group\": null")
            })
            .count()
    };
    fs::read_dir(home).into_iter().flatten().filter_map(Result::ok).map(|node| slots(&node.path())).sum()
}

#[test]
fn a_broken_outbox_record_stops_nothing_else() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(&a, "X", "", "echo x > x");
    let id = "1".repeat(40);
    for (file, task) in [("1", "p/gone"), ("2", "../x")] {
        a.write(
            &format!(".git/dispatch/outbox/{file}.json"),
            &format!(
                r#"{{"v":1,"task":"{task}","claim":"{id}","finish":"{id}","log":null,"node":"a","fenced":null}}"#
            ),
        );
    }
    a.dispatch(&["run"]).success();
    assert_eq!(state(&a, "X"), "completed");
    assert!(a.path().join(".git/dispatch/outbox/1.json").exists());
}

#[test]
fn a_hub_that_refuses_the_whole_push_for_its_branch_still_gets_the_claim() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(&a, "X", "", "echo x > x");
    hook(&sandbox, "pre-receive", "while read old new ref; do case $ref in refs/heads/task/*) exit 1;; esac; done");
    a.dispatch(&["run"]).success();
    assert_eq!(state(&a, "X"), "completed");
    let notes = sandbox.hub().git(&["for-each-ref", "refs/notes/dispatch/a"]);
    assert_ne!(notes, "", "the notes are not refused, and are there");
    a.dispatch(&["collect"]).success();
    assert_eq!(sandbox.hub().git(&["show", "main:x"]), "x");
}

#[test]
fn a_refused_claim_or_seal_does_not_make_the_notes_grow() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(&a, "X", "", "echo x > x");
    a.dispatch(&["run"]).success();
    hook(&sandbox, "update", "case $1 in refs/notes/dispatch-sealed) exit 1;; esac");
    let out = a.dispatch(&["collect", "--json"]).code(1);
    assert_eq!(out.json()["error"]["code"], "dispatch::hub::refused");
    fs::remove_file(sandbox.hub().path().join("hooks/update")).unwrap();
    a.dispatch(&["collect"]).success();
    assert_eq!(state(&a, "X"), "merged");
    let spec = a.git(&["rev-parse", "refs/dispatch/queue"]);
    let note = a.git(&["notes", "--ref=refs/notes/dispatch/a", "show", &spec]);
    assert_eq!(note.lines().count(), 2, "{note}");
}

#[test]
fn a_spec_for_a_branch_that_is_not_there_stops_only_its_own_task() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(&a, "Y", "target: nope\n", "echo y > y");
    enqueue(&a, "X", "", "echo x > x");
    b.dispatch(&["list"]).success();
    let out = b.dispatch(&["run"]).success();
    assert!(out.stderr.contains("nope"), "{out}");
    b.dispatch(&["collect"]).success();
    assert_eq!((state(&a, "X"), state(&a, "Y")), ("merged".into(), "pending".into()));
    // Once the branch is there, the task runs; once it is gone again, nothing stops.
    a.git(&["push", "-q", "origin", "main:nope"]);
    b.dispatch(&["run"]).success();
    a.git(&["push", "-q", "origin", ":nope"]);
    assert_eq!(state(&b, "Y"), "completed");
    b.dispatch(&["collect"]).success();
}

#[test]
fn a_record_whose_branch_is_a_refspec_is_unreadable() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(&a, "X", "", "echo x > x");
    let tree = a.git(&["rev-parse", "refs/dispatch/queue^{tree}"]);
    let message = "p/Y: y\n\nDispatch-Task: p/Y\nDispatch-Target: *\n";
    let spec = a.git(&["commit-tree", "-p", "refs/dispatch/queue", "-m", message, &tree]);
    a.git(&["push", "-q", "origin", &format!("{spec}:refs/dispatch/queue")]);
    let out = a.dispatch(&["list"]).success();
    assert!(out.stderr.contains("Dispatch-Target"), "{out}");
    a.dispatch(&["run"]).success();
    assert_eq!(a.git(&["for-each-ref", "refs/dispatch-local/target"]).lines().count(), 1);
}

#[test]
fn rubbish_under_a_claims_name_may_be_removed_by_hand() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(&a, "X", "", "echo x > x");
    let blob = a.git(&["rev-parse", "HEAD:README.md"]);
    a.git(&["push", "-q", "origin", &format!("{blob}:refs/dispatch/claims/p/X")]);
    assert_eq!(state(&a, "X"), "unknown");
    a.git(&["push", "-q", "origin", ":refs/dispatch/claims/p/X"]);
    assert_eq!(state(&a, "X"), "pending");
    a.dispatch(&["run"]).success();
}

#[test]
fn commands_side_by_side_in_one_clone_never_take_each_other_for_a_hub_without_memory() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    for number in 0..8 {
        enqueue(&a, &format!("S{number}"), "", "echo x > x$DISPATCH_ID");
    }
    let outs = race(3, |number| match number {
        0 => vec![a.dispatch(&["run", "--slots", "2"]).success()],
        _ => (0..12).map(|_| a.dispatch(&["list"]).success()).collect(),
    });
    for out in outs.into_iter().flatten() {
        assert!(!out.stderr.contains("memory") && !out.stderr.contains("does not answer"), "{out}");
    }
    assert!(states(&a).iter().all(|(_, state)| state == "completed"));
}

/// Leaves a lock file as a process that was killed would, some time ago.
fn stale_lock(repo: &Repo, name: &str) {
    let path = repo.path().join(".git").join(format!("{name}.lock"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "").unwrap();
    repo.run("touch", &[], &["-d", "1 hour ago", path.to_str().unwrap()]).success();
}

#[test]
fn lock_files_of_a_killed_process_are_repaired_by_the_next_start() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(&a, "X", "", "echo x > x");
    for name in
        ["refs/dispatch/queue", "refs/dispatch-local/hub/dispatch/queue", "refs/dispatch/claims/p/Y", "packed-refs"]
    {
        stale_lock(&a, name);
    }
    enqueue(&b, "Y", "", "echo y > y");
    assert_eq!(states(&a).len(), 2);
    a.dispatch(&["run"]).success();
    a.dispatch(&["collect"]).success();
    assert!(states(&a).iter().all(|(_, state)| state == "merged"));
}

#[test]
fn lock_files_of_a_killed_process_are_repaired_in_the_embedded_hub_too() {
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    enqueue(&solo, "X", "", "echo x > x");
    stale_lock(&solo, "refs/dispatch/queue");
    enqueue(&solo, "Y", "", "echo y > y");
    stale_lock(&solo, "refs/dispatch/claims/p/X");
    solo.dispatch(&["run"]).success();
    stale_lock(&solo, "refs/heads/main");
    solo.dispatch(&["collect"]).success();
    assert!(states(&solo).iter().all(|(_, state)| state == "merged"));
}

#[test]
fn a_fresh_lock_of_the_users_goes_only_where_we_died_holding_it() {
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    enqueue(&solo, "X", "", "echo x > x");
    solo.dispatch(&["run"]).success();
    let (lock, mark) = (solo.path().join(".git/refs/heads/main.lock"), ".git/dispatch/writing/dead");
    fs::write(&lock, "").unwrap();
    let refused = solo.dispatch(&["collect"]).code(1);
    assert!(lock.exists() && refused.stderr.contains("dispatch::repo::locked"), "{refused}");
    fs::remove_file(&lock).unwrap();
    solo.write(mark, "refs/heads/main\n");
    fs::write(&lock, "").unwrap();
    solo.dispatch(&["collect"]).success();
    assert_eq!(states(&solo)[0].1, "merged");
}

#[test]
fn what_an_executor_hides_from_its_index_does_not_reach_the_next_task() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(&a, "S1", "", "git update-index --skip-worktree src/one.txt; echo evil > src/one.txt; echo 1 > n1");
    enqueue(&a, "S2", "", "cp src/one.txt n2");
    a.dispatch(&["run", "--slots", "1"]).success();
    a.dispatch(&["collect"]).success();
    assert_eq!(sandbox.hub().git(&["show", "main:n2"]), "one");
}

#[test]
fn a_history_that_an_executor_cut_off_does_not_lose_its_work() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    a.write("second.txt", "second\n");
    a.commit("Second");
    a.git(&["push", "-q", "origin", "main"]);
    enqueue(&a, "X", "", "git rev-parse HEAD > .git/shallow; echo x > x; git add x; git commit -qm x");
    a.dispatch(&["run"]).success();
    a.dispatch(&["collect"]).success();
    assert_eq!(sandbox.hub().git(&["show", "main:x"]), "x");
}

#[test]
fn a_slot_that_was_moved_aside_is_forgotten() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    let stranger = a.start("sleep", &[], &["60"]);
    a.git(&["config", "dispatch.node.workDir", "../../slots"]);
    a.write(
        "../slots/1/slot.json",
        &format!(
            r#"{{"task":"p/X","claim":"","base":"","branch":"","begun":true,"group":{},"started":"other","slot":1}}"#,
            stranger.id()
        ),
    );
    a.dispatch(&["run"]).code(3);
    assert!(sandbox.root().join("slots/aside-1-0").exists());
    a.dispatch(&["run"]).code(3);
    enqueue(&a, "X", "", "echo x > x");
    a.dispatch(&["run"]).success();
    a.dispatch(&["run"]).code(3);
    assert!(!sandbox.root().join("slots/aside-1-1").exists());
}

#[test]
fn a_merge_whose_claim_was_not_moved_is_sealed_with_its_merge_commit() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    enqueue(&a, "X", "", "echo x > x");
    a.dispatch(&["run"]).success();
    let completed = hub.git(&["rev-parse", "refs/dispatch/claims/p/X"]);
    let merged = a.dispatch(&["collect", "--json"]).success().json()["merged"][0]["merge_commit"].clone();
    // As if the collect had died in the push, with the target moved and the claim not.
    hub.git(&["update-ref", "refs/dispatch/claims/p/X", &completed]);
    hub.git(&["update-ref", "-d", "refs/notes/dispatch-sealed"]);
    sandbox.repo(".").git(&["clone", "-q", "hub.git", "b"]);
    let b = sandbox.repo("b");
    let again = b.dispatch(&["collect", "--json"]).success().json();
    assert_eq!(again["merged"][0]["merge_commit"], merged);
    assert_eq!(again["old"], again["new"]);
    assert_eq!(b.dispatch(&["list", "--json"]).json()["tasks"][0]["merge_commit"], merged);
}

#[test]
fn collect_goes_into_a_branch_that_this_clone_has_not_seen() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    sandbox.hub().git(&["branch", "release", "main"]);
    enqueue(&a, "X", "", "echo x > x");
    a.dispatch(&["run"]).success();
    a.dispatch(&["collect", "--into", "release"]).success();
    assert_eq!(sandbox.hub().git(&["show", "release:x"]), "x");
    assert_eq!(state(&a, "X"), "merged");
    // What is for another branch is not passed over in silence.
    enqueue(&a, "Y", "target: release\n", "echo y > y");
    a.dispatch(&["run"]).success();
    let out = a.dispatch(&["collect", "--json"]).success().json();
    assert_eq!(out["others"][0]["merged"][0]["task"], "p/Y");
    assert_eq!(sandbox.hub().git(&["show", "release:y"]), "y");
}

#[test]
fn a_collect_that_died_before_the_clean_up_leaves_no_branch() {
    for last in ["collect", "run"] {
        let sandbox = Sandbox::with_clones(&["a"]);
        let (a, hub) = (sandbox.repo("a"), sandbox.hub());
        enqueue(&a, "X", "", "echo x > x");
        a.dispatch(&["run"]).success();
        // What is not deleted now is as if the collect had died before it.
        hook(&sandbox, "update", "case $3 in 0000000000000000000000000000000000000000) exit 1;; esac");
        a.dispatch(&["collect"]);
        fs::remove_file(hub.path().join("hooks/update")).unwrap();
        assert_ne!(hub.git(&["for-each-ref", "refs/heads/task"]), "");
        a.dispatch(&[last]);
        assert_eq!(hub.git(&["for-each-ref", "refs/heads/task", "refs/dispatch/claims"]), "", "{last}");
    }
}
