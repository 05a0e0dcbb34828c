//! The clone on the other side: what it does, what it leaves to the hub's side, and what it is made into.

use std::fs;

use serde_json::json;

use crate::sandbox::{PATIENCE, Sandbox, eventually};
use crate::steps::{done, each, enqueue_lines, file, refs, refused, shown, specs, states, task, text};

use super::{Gap, queue};

#[test]
fn what_belongs_to_the_hub_is_refused_there() {
    let gap = Gap::new();
    queue(&gap.boss, &["a", "b"]);
    gap.boss.dispatch(&["bundle", "create", "../job", "--for", "vault", "a"]).success();
    gap.open("job");
    let away = gap.away();
    let folder = specs(&away, "more", &[("new", "run: 'true'")]);
    let before = refs(&away);
    let json = |args: &[&str]| away.dispatch(&[args, &["--json"]].concat());
    refused(&json(&["enqueue", &folder]), "dispatch::bundle::no_enqueue", 2);
    refused(&json(&["collect"]), "dispatch::bundle::no_collect", 2);
    refused(&json(&["collect", "--bundle", "../job"]), "dispatch::bundle::no_collect", 2);
    for args in [&["cancel", "a"][..], &["schedule"], &["assign", "a", "--node", "vault"]] {
        refused(&json(args), "dispatch::bundle::not_here", 2);
    }
    refused(&json(&["bundle", "create", "../x", "--for", "other"]), "dispatch::bundle::not_here", 2);
    refused(
        &gap.boss.dispatch(&["bundle", "create", "../x", "--results", "--json"]),
        "dispatch::bundle::not_away",
        2,
    );
    // What the file did not reserve is not this node's, by hand neither.
    refused(&json(&["claim", "b"]), "dispatch::claim::not_claimable", 1);
    assert_eq!(refs(&away), before);
    gap.run();
    assert_eq!(states(&away), ["a completed", "b pending"]);
    away.dispatch(&["run"]).code(3);
}

#[test]
fn by_hand_works_there_too() {
    let gap = Gap::new();
    queue(&gap.boss, &["a"]);
    gap.work("job");
    gap.open("job");
    let away = gap.away();
    away.dispatch(&["claim", "a"]).success();
    away.git(&["checkout", "--quiet", "task/p-a-vault"]);
    away.write("a.txt", "by hand\n");
    away.commit("Do a");
    away.git(&["checkout", "--quiet", "main"]);
    away.dispatch(&["finish", "a"]).success();
    gap.results("back");
    assert_eq!(each(&gap.collect("back")["merged"], "task"), ["p/a"]);
    assert_eq!(file(&gap.hub, "a.txt"), "by hand");
}

#[test]
fn an_attempt_that_was_lost_or_failed_there_is_made_again_there() {
    let gap = Gap::new();
    let pid = gap.sandbox.root().join("pid");
    let first = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 600", shown(&pid));
    let script = format!("if [ $DISPATCH_ATTEMPT = 1 ]; then {first}; fi; echo $DISPATCH_ATTEMPT > lost.txt");
    let fails = "[ $DISPATCH_ATTEMPT = 2 ] && echo two > failed.txt";
    enqueue_lines(&gap.boss, &[("lost", &script), ("failed", fails)]);
    gap.work("job");
    gap.open("job");
    let away = gap.away();
    let mut running = away.spawn(&["run"]);
    eventually(PATIENCE, || pid.exists());
    // What is under way is not packed.
    assert_eq!(each(&gap.results("early")["tasks"], "task"), ["p/failed"]);
    running.kill9();
    running.wait(PATIENCE).code(137);
    gap.run();
    assert_eq!(states(&away), ["failed failed", "lost completed"]);
    away.dispatch(&["retry", "failed"]).success();
    gap.run();
    gap.results("back");
    assert_eq!(each(&gap.collect("back")["merged"], "task"), ["p/failed", "p/lost"]);
    assert_eq!((file(&gap.hub, "lost.txt"), file(&gap.hub, "failed.txt")), ("2".into(), "two".into()));
    gap.sound();
}

#[test]
fn a_folder_that_is_something_else_is_left_alone() {
    let gap = Gap::new();
    queue(&gap.boss, &["a"]);
    gap.work("job.bundle");
    let root = gap.sandbox.repo(".");
    let open = |args: &[&str]| root.dispatch(&[&["bundle", "open"], args, &["--json"]].concat());
    root.write("full/mine.txt", "mine");
    refused(&open(&["job.bundle", "full"]), "dispatch::bundle::not_opened", 2);
    refused(&open(&["job.bundle", "n1"]), "dispatch::bundle::not_opened", 2);
    refused(&open(&["job.bundle", "job.bundle"]), "dispatch::bundle::not_opened", 2);
    assert_eq!(fs::read_dir(gap.path("full")).unwrap().count(), 1);
    // Without a name, after the file; an empty folder will do.
    fs::create_dir(gap.path("job")).unwrap();
    assert_eq!(text(&open(&["job.bundle"]).success().json()["folder"]), shown(&gap.path("job")));
    // In a clone that was opened, that one.
    let inside = gap.sandbox.repo("job").dispatch(&["bundle", "open", "../job.bundle", "--json"]).success().json();
    assert_eq!((&inside["already"], text(&inside["folder"])), (&json!(true), shown(&gap.path("job")).to_owned()));
    gap.boss.dispatch(&["bundle", "create", "../other", "--for", "attic", "--whole"]).success();
    refused(&open(&["other", "job"]), "dispatch::bundle::other_node", 2);
}

#[test]
fn changes_in_the_way_are_not_written_over() {
    let gap = Gap::new();
    queue(&gap.boss, &["a"]);
    gap.trip(1);
    let away = gap.away();
    away.write("README.md", "mine\n");
    away.write("a.txt", "mine too\n");
    queue(&gap.boss, &["b"]);
    gap.work("out2");
    let root = gap.sandbox.repo(".");
    let before = refs(&away);
    let out = root.dispatch(&["bundle", "open", "out2", "vault", "--json"]);
    refused(&out, "dispatch::collect::dirty_checkout", 1);
    assert_eq!(refs(&away), before);
    fs::remove_file(away.path().join("a.txt")).unwrap();
    gap.open("out2");
    assert_eq!(away.git(&["status", "--porcelain"]).trim(), "M README.md", "what is not in the way stays");
    // Commits of one's own on the target are another matter.
    away.commit("Mine");
    done(&gap.sandbox.repo("n1"), &[("m", "echo m > m.txt")]);
    gap.boss.dispatch(&["collect"]).success();
    queue(&gap.boss, &["c"]);
    gap.work("out3");
    let out = root.dispatch(&["bundle", "open", "out3", "vault", "--json"]);
    refused(&out, "dispatch::bundle::diverged", 2);
    away.git(&["branch", "mine"]);
    away.git(&["reset", "--quiet", "--keep", "HEAD~1"]);
    gap.open("out3");
    assert_eq!(task(&away, "c")["state"], "assigned");
}

#[test]
fn a_clone_that_is_gone_is_made_again_from_a_whole_file() {
    let gap = Gap::new();
    queue(&gap.boss, &["a", "b"]);
    gap.trip(1);
    fs::remove_dir_all(gap.away().path()).unwrap();
    queue(&gap.boss, &["c"]);
    gap.work("out2");
    let out = gap.sandbox.repo(".").dispatch(&["bundle", "open", "out2", "vault", "--json"]);
    refused(&out, "dispatch::bundle::missing_prerequisite", 2);
    assert!(!gap.away().path().exists());
    let args = ["bundle", "create", "../whole", "--for", "vault", "--whole"];
    gap.boss.dispatch(&args).success();
    gap.open("whole");
    gap.run();
    gap.results("back");
    assert_eq!(each(&gap.collect("back")["merged"], "task"), ["p/c"]);
}

#[test]
fn a_moved_prefix_and_another_target_work_as_well() {
    let config = "project = \"p\"\nref_prefix = \"refs/heads/fleet/\"\nbranch_prefix = \"jobs/\"\n";
    let sandbox = Sandbox::with_clones_of(&[("git-dispatch.toml", config)], &["boss"]);
    let boss = sandbox.repo("boss");
    boss.git(&["push", "--quiet", "origin", "HEAD:refs/heads/next"]);
    crate::steps::enqueue(&boss, &[("a", "run: echo a > a.txt\ntarget: next"), ("b", "run: echo b > b.txt")]);
    boss.dispatch(&["bundle", "create", "../job", "--for", "vault"]).success();
    sandbox.repo(".").dispatch(&["bundle", "open", "job", "vault"]).success();
    let vault = sandbox.repo("vault");
    vault.dispatch(&["run"]).success();
    vault.dispatch(&["bundle", "create", "../back", "--results"]).success();
    boss.dispatch(&["collect", "--bundle", "../back"]).success();
    assert_eq!(states(&boss), ["a merged", "b merged"]);
    assert_eq!(sandbox.hub().git(&["show", "next:a.txt"]), "a");
}
