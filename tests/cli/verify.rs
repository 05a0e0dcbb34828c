//! `collect --verify`: what breaks the target is found and left out; what is pushed is what passed.

use std::fs;

use serde_json::{Value, json};

use crate::rig::{Fleet, PATIENT};
use crate::sandbox::{Out, PATIENCE, Repo, Sandbox, eventually};
use crate::steps::{
    done, each, each_hub, enqueue, file, line, lives, merges, refs, refs_below, refused, shown, states, task, text,
};

/// Writes down each commit that it is run on, and passes unless there is a file whose name begins with `bad`.
const NO_BAD: &str =
    "echo $DISPATCH_COMMIT >> $HOME/runs; for f in bad*; do test ! -e $f || { echo $f is bad; exit 7; }; done";

/// The commits that were verified, in order.
fn runs(sandbox: &Sandbox) -> Vec<String> {
    let runs = fs::read_to_string(sandbox.root().join("home/runs")).unwrap_or_default();
    runs.lines().map(str::to_owned).collect()
}

fn forget_runs(sandbox: &Sandbox) {
    let _ = fs::remove_file(sandbox.root().join("home/runs"));
}

fn collect(repo: &Repo, verify: &str) -> Out {
    repo.dispatch(&["collect", "--verify", verify, "--json"])
}

fn rejected(out: &Out) -> Vec<(String, String)> {
    let list = out.json()["rejected"].clone();
    each(&list, "task").into_iter().zip(each(&list, "reason")).collect()
}

fn pair(task: &str, reason: &str) -> (String, String) {
    (task.to_owned(), reason.to_owned())
}

#[test]
fn what_passes_is_what_is_pushed() {
    each_hub(|sandbox, a, hub| {
        done(a, &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > 2.txt")]);
        let before = hub.git(&["rev-parse", "main"]);
        let verify = "test -z \"$DISPATCH_TASK$GIT_DIR\" && git rev-parse HEAD HEAD^{tree} > $HOME/said && \
                      env | grep ^DISPATCH_ | grep -v _LOG_FILE= | sort >> $HOME/said && \
                      test -f \"$DISPATCH_LOG_FILE\" && test -z \"$(git status --porcelain)\" && \
                      git branch --show-current >> $HOME/said && echo $DISPATCH_COMMIT >> $HOME/runs";
        let out = a.dispatch_env(&[("DISPATCH_TASK", "p/x")], &["collect", "--verify", verify]).success();
        let main = hub.git(&["rev-parse", "main"]);
        assert_eq!(runs(sandbox), [main.as_str()], "once, and on what was pushed: {out}");
        let said = fs::read_to_string(sandbox.root().join("home/said")).unwrap();
        let node = text(&task(a, "one")["node"]);
        let tree = hub.git(&["rev-parse", "main^{tree}"]);
        let expected = format!(
            "{main}\n{tree}\nDISPATCH_BASE={before}\nDISPATCH_COMMIT={main}\nDISPATCH_NODE={node}\n\
             DISPATCH_TARGET=main\nmain\n"
        );
        assert_eq!(said, expected);
        assert_eq!(states(a), ["one merged", "two merged"]);
        // Nothing to merge: nothing to verify.
        a.dispatch(&["collect", "--verify", NO_BAD]).success();
        a.dispatch(&["collect", "--verify", "false", "--dry-run"]).success();
        assert_eq!(runs(sandbox).len(), 1);
    });
}

#[test]
fn what_breaks_the_target_is_found_by_halves_and_the_rest_lands() {
    each_hub(|sandbox, a, hub| {
        let ids: Vec<String> = (0..16).map(|i| format!("t{i:02}")).collect();
        let lines: Vec<String> = ids.iter().map(|id| format!("echo said by {id}; echo x > {id}.txt")).collect();
        let mut tasks: Vec<(&str, &str)> =
            ids.iter().map(String::as_str).zip(lines.iter().map(String::as_str)).collect();
        tasks[5].1 = "echo said by t05; echo x > bad5";
        tasks[11].1 = "echo x > bad11";
        done(a, &tasks);
        let results = [text(&task(a, "t05")["result"]), text(&task(a, "t11")["result"])];
        let out = collect(a, NO_BAD).code(4);
        assert_eq!(rejected(&out), [pair("p/t05", "verify"), pair("p/t11", "verify")]);
        assert_eq!(out.json()["merged"].as_array().unwrap().len(), 14, "{out}");
        assert_eq!(
            (file(hub, "bad5"), file(hub, "bad11"), file(hub, "t15.txt")),
            (String::new(), String::new(), "x".into())
        );
        let runs = runs(sandbox);
        // The whole and the start, then for each of the two at most four halves and the whole of what is left.
        assert!(runs.len() <= 2 + 2 * 5, "{} runs", runs.len());
        assert_eq!(*runs.last().unwrap(), hub.git(&["rev-parse", "main"]), "what was pushed passed last");

        let broken = task(a, "t05");
        assert_eq!((&broken["state"], &broken["reason"]), (&json!("failed"), &json!("verify")));
        assert!(text(&broken["error"]).contains("exit code 7: bad5 is bad"), "{broken}");
        assert_eq!(
            a.dispatch(&["logs", "t05"]).success().stdout,
            "said by t05\n== verification of the merge\nbad5 is bad\n"
        );
        let tip = "refs/dispatch/claims/p/t05";
        assert_eq!(hub.git(&["show", &format!("{tip}:log")]), "bad5 is bad");
        assert_eq!(hub.git(&["rev-parse", &format!("{tip}^2")]), results[0], "the work is kept");
        let record = hub.git(&["log", "-1", "--format=%B", tip]);
        assert!(
            record.contains("Dispatch-Reason: verify\n") && record.contains("Dispatch-Charged: 1\n"),
            "{record}"
        );
        // It is said once, and a person may try it again.
        assert_eq!(collect(a, NO_BAD).success().json()["rejected"], json!([]));
        a.dispatch(&["retry", "t05"]).success();
        assert_eq!(task(a, "t05")["state"], "pending");
        hub.git(&["fsck", "--strict"]);
    });
}

/// The promise of issue 6: neither is merged, and the second runs again on what landed.
#[test]
fn what_was_built_on_broken_work_leaves_with_it_and_runs_again() {
    each_hub(|_, a, hub| {
        let ground = "if [ $DISPATCH_ATTEMPT = 1 ]; then echo x > bad; else echo good > ground.txt; fi";
        enqueue(
            a,
            &[
                ("ground", line(ground)),
                ("on-it", format!("{}\ndepends_on: ground", line("cat ground.txt > on-it.txt || true"))),
                ("on-top", format!("{}\ndepends_on: on-it", line("cat on-it.txt > on-top.txt"))),
                ("apart", line("echo x > apart.txt")),
            ],
        );
        a.dispatch(&["run"]).success();
        let early = text(&task(a, "on-it")["result"]);
        let out = collect(a, NO_BAD).code(4);
        assert_eq!(each(&out.json()["merged"], "task"), ["p/apart"]);
        assert_eq!(
            rejected(&out),
            [pair("p/ground", "verify"), pair("p/on-it", "stale"), pair("p/on-top", "stale")]
        );
        assert_eq!(
            (merges(hub), file(hub, "on-it.txt")),
            (vec!["Merge p/apart: Task apart".to_owned()], String::new())
        );
        assert_eq!(states(a).join(", "), "apart merged, ground failed, on-it pending, on-top pending");
        let kept = refs_below(hub, "refs/dispatch/attempts/p/on-it");
        assert_eq!(hub.git(&["rev-parse", &kept[0]]), early, "stale work is kept");

        a.dispatch(&["retry", "ground"]).success();
        a.dispatch(&["run"]).success();
        collect(a, NO_BAD).success();
        assert_eq!(states(a).join(", "), "apart merged, ground merged, on-it merged, on-top merged");
        assert_eq!((file(hub, "on-it.txt"), file(hub, "on-top.txt")), ("good".to_owned(), "good".to_owned()));
        hub.git(&["fsck", "--strict"]);
    });
}

#[test]
fn a_target_that_is_broken_itself_rejects_nobody() {
    each_hub(|sandbox, a, hub| {
        done(a, &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > 2.txt")]);
        let before = refs(hub);
        let verify = "echo run >> $HOME/runs; echo the tests are red; exit 3";
        let error = refused(&collect(a, verify), "dispatch::collect::target_broken", 1);
        assert!(
            text(&error["message"]).contains("main")
                && text(&error["message"]).contains("exit code 3: the tests are red"),
            "{error}"
        );
        assert!(text(&error["help"]).contains("verify.log"), "{error}");
        assert_eq!(
            (refs(hub), runs(sandbox).len()),
            (before, 2),
            "the whole and the start, and nothing is changed"
        );
        let log = fs::read_to_string(a.path().join(".git/dispatch/verify.log")).unwrap();
        assert_eq!(log, "the tests are red\n");
        // A task that mends it lands.
        let verify = "test -e mended";
        done(a, &[("mend", "touch mended; echo 3 > mended")]);
        a.dispatch(&["collect", "--verify", verify]).success();
        assert_eq!(states(a), ["mend merged", "one merged", "two merged"]);
    });
}

#[test]
fn what_is_not_the_tasks_fault_rejects_nobody_and_merges_nothing() {
    each_hub(|sandbox, a, hub| {
        done(a, &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > 2.txt")]);
        let before = refs(hub);
        for (verify, code) in [
            ("kill -9 $$", "verify_killed"),
            ("sh -c 'kill -TERM $$'; exit $?", "verify_killed"),
            ("no-such-program", "verify_not_started"),
        ] {
            refused(&collect(a, verify), &format!("dispatch::collect::{code}"), 1);
            assert_eq!(refs(hub), before, "{verify}");
        }
        a.git(&["config", "dispatch.collect.verifyTimeout", "300ms"]);
        let pid = sandbox.root().join("pid");
        let verify = format!("echo $$ > {0}; sleep 600 & wait", shown(&pid));
        refused(&collect(a, &verify), "dispatch::collect::verify_timeout", 1);
        assert!(!lives(&fs::read_to_string(&pid).unwrap()), "ended with all that it started");
        assert_eq!(refs(hub), before);
        a.git(&["config", "--unset", "dispatch.collect.verifyTimeout"]);
        a.dispatch(&["collect", "--verify", ""]).success();
        assert_eq!(states(a), ["one merged", "two merged"]);
    });
}

/// Else one task could stop the queue for ever.
#[test]
fn a_task_that_takes_the_verification_away_or_crashes_it_is_rejected() {
    let settings = format!("{PATIENT}[collect]\nverify = [\"./check\", \"a b\", \"{{task}}\"]\n");
    let fleet = Fleet::new(&["a"], &settings);
    let a = fleet.clone("a");
    a.write("check", "#!/bin/sh\ntest \"$#$1$2\" = '2a b{task}' && test ! -e crash || kill -SEGV $$\n");
    a.git(&["update-index", "--add", "--chmod=+x", "check"]);
    a.run("chmod", &[], &["+x", "check"]).success();
    a.commit("A check");
    a.git(&["push", "--quiet"]);
    fleet.enqueue(&[("fine", "echo x > fine.txt"), ("gone", "git rm -q check"), ("crash", "touch crash")]);
    a.dispatch(&["run"]).success();
    let out = a.dispatch(&["collect", "--json"]).code(4);
    assert_eq!(rejected(&out), [pair("p/crash", "verify"), pair("p/gone", "verify")]);
    assert_eq!(each(&out.json()["merged"], "task"), ["p/fine"]);
    assert!(text(&task(&a, "gone")["error"]).contains("could not be started"));
}

#[test]
fn a_flaky_command_is_asked_again() {
    each_hub(|sandbox, a, _| {
        done(a, &[("one", "echo 1 > 1.txt")]);
        // Fails on each odd run.
        let verify = "echo run >> $HOME/runs; test $(($(wc -l < $HOME/runs) % 2)) = 0";
        a.git(&["config", "dispatch.collect.verifyRetries", "1"]);
        a.dispatch(&["collect", "--verify", verify]).success();
        assert_eq!((states(a), runs(sandbox).len()), (vec!["one merged".to_owned()], 2));
        done(a, &[("two", "echo 2 > bad")]);
        forget_runs(sandbox);
        collect(a, NO_BAD).code(4);
        assert_eq!(runs(sandbox).len(), 3, "the bad one twice, the start once");
    });
}

#[test]
fn broken_work_is_tried_again_as_often_as_is_wanted() {
    let fleet = Fleet::new(&["a"], &format!("retry_failed = 1\n{PATIENT}"));
    let a = fleet.clone("a");
    fleet.enqueue(&[("one", "echo x > bad$DISPATCH_ATTEMPT")]);
    for (attempt, state) in [(1, "pending"), (2, "failed")] {
        a.dispatch(&["run"]).success();
        assert_eq!(rejected(&collect(&a, NO_BAD).code(4)), [pair("p/one", "verify")]);
        let one = task(&a, "one");
        assert_eq!(
            (&one["state"], &one["attempt"], &one["reason"]),
            (&json!(state), &json!(attempt), &json!("verify"))
        );
    }
    assert_eq!(fleet.phases("one"), ["running", "completed", "released", "running", "completed", "failed"]);
    // The output of the first attempt and of its verification is still there.
    let first = a.dispatch(&["logs", "one", "--attempt", "1"]).success().stdout;
    assert!(first.ends_with("== verification of the merge\nbad1 is bad\n"), "{first}");
}

#[test]
fn a_target_that_moves_while_it_is_verified_is_merged_and_verified_again() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b, hub) = (sandbox.repo("a"), sandbox.repo("b"), sandbox.hub());
    done(&a, &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > 2.txt"), ("three", "echo x > bad.txt")]);
    a.dispatch(&["cancel", "three"]).success();
    done(&a, &[("four", "echo 4 > 4.txt")]);
    b.write("by-hand.txt", "x\n");
    b.commit("By hand");
    // The first run pushes, and calls a task off, while this collect verifies.
    let clone = shown(b.path()).to_owned();
    let verify = format!(
        "{NO_BAD}; [ $(wc -l < $HOME/runs) != 1 ] || {{ git -C {clone} push -q origin main && git-dispatch -C {clone} cancel four; }}"
    );
    let out = collect(&a, &verify).success();
    let runs = runs(&sandbox);
    assert_eq!(each(&out.json()["merged"], "task"), ["p/one", "p/two"]);
    assert_eq!((runs.len(), runs.last().cloned().unwrap()), (2, hub.git(&["rev-parse", "main"])));
    assert_eq!(merges(&hub), ["Merge p/two: Task two", "Merge p/one: Task one", "By hand"]);
    assert_eq!(task(&a, "four")["state"], "cancelled");
}

#[test]
fn a_checkout_in_the_way_is_refused_before_anything_is_verified() {
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    done(&solo, &[("one", "echo 1 > src/one.txt")]);
    solo.write("src/one.txt", "mine\n");
    refused(&collect(&solo, NO_BAD), "dispatch::collect::dirty_checkout", 1);
    assert_eq!(runs(&sandbox), Vec::<String>::new());
}

#[test]
fn the_scratch_clone_stays_warm_and_clean() {
    let fleet = Fleet::new(&["a"], &PATIENT.replace("[node]\n", "[node]\nkeep_ignored = [\"cache\"]\n"));
    let a = fleet.clone("a");
    a.write(".gitignore", "cache\nother\n");
    a.commit("Ignore");
    a.git(&["push", "--quiet"]);
    let verify = "ls cache other left 2>/dev/null | tr '\\n' ' ' >> $HOME/seen; stat -c %Y README.md >> $HOME/seen; \
                  touch cache other left; rm README.md; ln -s / README.md";
    for id in ["one", "two"] {
        fleet.enqueue(&[(id, &format!("echo x > {id}.txt"))]);
        a.dispatch(&["run"]).success();
        a.dispatch(&["collect", "--verify", verify]).success();
    }
    let seen = fs::read_to_string(fleet.home("seen")).unwrap();
    assert!(seen.lines().nth(1).unwrap().starts_with("cache "), "{seen}");
    assert_eq!(a.git(&["status", "--porcelain", "README.md"]), "", "the person's own checkout is not its place");
}

/// A killed collect leaves its command running in the scratch clone: the next one ends it.
#[test]
fn a_collect_that_is_killed_or_stopped_while_it_verifies_leaves_nothing_behind() {
    each_hub(|sandbox, a, hub| {
        done(a, &[("one", "echo 1 > 1.txt")]);
        let before = refs(hub);
        let pid = sandbox.root().join("pid");
        let hang = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 600 & wait", shown(&pid));
        let mut killed = a.spawn(&["collect", "--verify", &hang]);
        eventually(PATIENCE, || pid.exists());
        let orphan = fs::read_to_string(&pid).unwrap();
        killed.kill9();
        killed.wait(PATIENCE).code(137);
        assert!(lives(&orphan));
        fs::remove_file(&pid).unwrap();
        // One that is told to stop ends its command itself.
        let mut stopped = a.spawn(&["collect", "--verify", &hang]);
        eventually(PATIENCE, || pid.exists());
        assert!(!lives(&orphan), "the killed one's command is ended first");
        stopped.term();
        stopped.wait(PATIENCE).code(143);
        assert!(!lives(&fs::read_to_string(&pid).unwrap()));
        assert_eq!(refs(hub), before);
        a.dispatch(&["collect", "--verify", NO_BAD]).success();
        assert_eq!(states(a), ["one merged"]);
    });
}

#[test]
fn two_collects_at_once_that_verify_are_both_safe() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b, hub) = (sandbox.repo("a"), sandbox.repo("b"), sandbox.hub());
    done(&a, &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > bad"), ("three", "echo 3 > 3.txt")]);
    let outs = crate::sandbox::race(3, |i| collect([&a, &a, &b][i], NO_BAD));
    for out in &outs {
        assert!([0, 4].contains(&out.code), "{out}");
    }
    let times =
        |key: &str| -> usize { outs.iter().map(|out| out.json()[key].as_array().map_or(0, Vec::len)).sum() };
    assert_eq!(times("merged"), 2, "{outs:?}");
    let log: Vec<String> = merges(&hub);
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!(states(&a), ["one merged", "three merged", "two failed"]);
    let document: Value = task(&a, "two");
    assert_eq!(document["attempt"], 1);
    hub.git(&["fsck", "--strict"]);
}
