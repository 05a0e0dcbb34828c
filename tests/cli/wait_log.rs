//! `wait` and `log`: following what happens.

use std::time::Duration;

use crate::hubs::{as_json, enqueue, on_both, refused};
use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};

fn events(repo: &Repo, since: Option<&str>) -> (Vec<String>, String) {
    let mut args = vec!["log", "--json"];
    args.extend(since.iter().flat_map(|cursor| ["--since", cursor]));
    let document = repo.dispatch(&args).success().json();
    let told = document["events"].as_array().unwrap().iter().map(|event| {
        let text = |key: &str| event[key].as_str().unwrap().to_owned();
        assert!(text("at").ends_with('Z'), "{event}");
        format!("{} {}", text("event"), text("task").rsplit('/').next().unwrap())
    });
    (told.collect(), document["cursor"].as_str().unwrap().to_owned())
}

#[test]
fn each_event_is_told_once_to_each_follower() {
    on_both(|repo| {
        let (none, cursor) = events(repo, None);
        assert_eq!(none, Vec::<String>::new());
        enqueue(repo, "one", "run: echo x > x.txt", "# One");
        let (told, cursor) = events(repo, Some(&cursor));
        assert_eq!(told, ["enqueued one"]);
        repo.dispatch(&["run"]).success();
        enqueue(repo, "two", "", "# Two");
        let (mut told, next) = events(repo, Some(&cursor));
        told.sort();
        assert_eq!(told, ["completed one", "enqueued two", "running one"]);
        assert_eq!(events(repo, Some(&next)).0, Vec::<String>::new(), "nothing happened since");
        assert_eq!(events(repo, Some(&cursor)).0.len(), 3, "a cursor is not used up");
        repo.dispatch(&["collect"]).success();
        repo.dispatch(&["cancel", "two"]).success();
        let (mut told, _) = events(repo, Some(&next));
        told.sort();
        assert_eq!(told, ["cancelled two", "merged one"]);
        let (all, _) = events(repo, None);
        let mut once = all.clone();
        once.sort();
        once.dedup();
        assert_eq!((all.len(), once.len()), (6, 6), "{all:?}");
    });
}

#[test]
fn what_another_clone_did_is_told_too() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    let (_, cursor) = events(&a, None);
    enqueue(&b, "one", "run: exit 3", "# One");
    b.dispatch(&["run"]).code(4);
    b.dispatch(&["retry", "one"]).success();
    let (told, _) = events(&a, Some(&cursor));
    assert_eq!(told, ["enqueued one", "running one", "failed one", "released one"]);
}

/// All within one second, more often than not: times alone do not say what came first.
#[test]
fn what_happened_to_a_task_is_told_in_its_order() {
    on_both(|repo| {
        enqueue(repo, "one", "run: exit 3", "# One");
        repo.dispatch(&["run"]).code(4);
        repo.dispatch(&["retry", "one"]).success();
        repo.dispatch(&["cancel", "one"]).success();
        repo.dispatch(&["retry", "one"]).success();
        let expected =
            ["enqueued one", "running one", "failed one", "released one", "cancelled one", "released one"];
        assert_eq!(events(repo, None).0, expected);
    });
}

#[test]
fn a_cursor_of_another_clone_is_refused() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        for cursor in ["nonsense", "", "-x", &"0".repeat(40)] {
            let given = format!("--since={cursor}");
            let error = refused(repo, &["log", &given], 1, "dispatch::log::unknown_cursor");
            assert!(error["help"].as_str().unwrap().contains("without `--since`"), "{error}");
        }
    });
}

#[test]
fn people_are_told_how_to_go_on() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        let out = repo.dispatch(&["log"]).success();
        assert!(out.stdout.contains("enqueued") && out.stdout.contains("/one"), "{out}");
        let (_, cursor) = out.stderr.split_once("--since ").expect("a cursor is named");
        assert_eq!(events(repo, Some(cursor.trim())).0, Vec::<String>::new());
    });
}

#[test]
fn waiting_ends_when_all_are_past_running() {
    on_both(|repo| {
        repo.dispatch(&["wait"]).success();
        enqueue(repo, "good", "run: echo x > x.txt", "# Good");
        repo.dispatch(&["run"]).success();
        let document = as_json(repo, &["wait", "good"]).success().json();
        assert_eq!(document["tasks"][0]["state"], "completed");
        enqueue(repo, "bad", "run: exit 1", "# Bad");
        repo.dispatch(&["run"]).code(4);
        assert_eq!(as_json(repo, &["wait"]).code(4).json()["tasks"].as_array().unwrap().len(), 2);
        repo.dispatch(&["wait", "good"]).success();
        repo.dispatch(&["cancel", "bad"]).success();
        repo.dispatch(&["wait"]).success();
    });
}

#[test]
fn the_time_that_was_given_is_kept() {
    on_both(|repo| {
        enqueue(repo, "never", "", "# Never");
        let error = refused(repo, &["wait", "--timeout", "200ms"], 1, "dispatch::wait::timeout");
        assert!(error["message"].as_str().unwrap().contains("/never"), "{error}");
        refused(repo, &["wait", "nope"], 2, "dispatch::task::unknown");
        repo.dispatch(&["wait", "--timeout", "soon"]).code(2);
    });
}

/// Waits in one clone for what happens in another.
#[test]
fn waiting_sees_what_happens_elsewhere() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(&a, "one", "run: echo x > x.txt", "# One");
    let mut waiting = a.spawn_env(&[("GIT_DISPATCH_NODE_POLL", "50ms")], &["wait", "one", "--json"]);
    // It has read the hub once its mirror is there.
    let mirror = ["for-each-ref", "refs/dispatch-local/hub/dispatch/queue"];
    eventually(PATIENCE, || !a.git(&mirror).is_empty());
    assert!(waiting.is_running());
    b.dispatch(&["run"]).success();
    let out = waiting.wait(PATIENCE).success();
    assert_eq!(out.json()["tasks"][0]["node"], "b");
}

#[test]
fn waiting_can_be_interrupted() {
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    enqueue(&solo, "never", "", "# Never");
    let file = sandbox.root().join("trace");
    let mut waiting = solo.spawn_env(&[("GIT_TRACE2_EVENT", file.to_str().unwrap())], &["wait"]);
    // Its handlers are in place before it does anything at all.
    let caught = |id: u32| {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim();
        u64::from_str_radix(mask, 16).unwrap_or(0) & (1 << 14) != 0
    };
    eventually(PATIENCE, || caught(waiting.id()));
    waiting.term();
    waiting.wait(Duration::from_secs(20)).code(128 + 15);
}

/// The recipe of the README is the file that is run here, and hands each event over once, also after a restart.
#[test]
fn the_recipe_for_followers_tells_each_event_once() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let recipe = std::fs::read_to_string(root.join("fixtures/recipes/follow.sh")).unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    assert!(readme.contains(&format!("```sh\n{recipe}```\n")), "the README shows another one");
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    if a.run("jq", &[], &["--version"]).code != 0 {
        println!("skipped: there is no jq");
        return;
    }
    a.write("../handle", "#!/bin/sh\njq -r '\"\\(.event) \\(.task)\"' >> ../told\n");
    a.write("../follow.sh", &recipe);
    let follow = || {
        a.run("sh", &[("ONCE", "1")], &["../follow.sh", "../handle.sh"]).success();
        std::fs::read_to_string(sandbox.root().join("told")).unwrap_or_default()
    };
    a.write("../handle.sh", "sh ../handle\n");
    a.run("chmod", &[], &["+x", "../handle.sh"]).success();
    enqueue(&a, "one", "project: p\nrun: echo x > x.txt", "# One");
    assert_eq!(follow(), "enqueued p/one\n");
    assert_eq!(follow(), "enqueued p/one\n", "nothing new");
    a.dispatch(&["run"]).success();
    assert_eq!(follow(), "enqueued p/one\nrunning p/one\ncompleted p/one\n");
}
