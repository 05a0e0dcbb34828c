//! `collect --watch`: lands what is finished as it comes, and leaves when it is told to.

use std::fs;

use serde_json::json;

use crate::rig::{Fleet, PATIENT};
use crate::sandbox::{PATIENCE, Running, eventually};
use crate::steps::{each, shown, states, task, until};

fn fleet() -> Fleet {
    Fleet::new(&["boss", "n1"], PATIENT)
}

fn until_merged(fleet: &Fleet, ids: &[&str]) {
    let n1 = fleet.clone("n1");
    eventually(PATIENCE, || ids.iter().all(|id| task(&n1, id)["state"] == "merged"));
}

/// Waits until it has said something so often.
fn until_said(running: &Running, what: &str, times: usize) {
    eventually(PATIENCE, || running.output().stderr.matches(what).count() == times);
}

#[test]
fn it_lands_what_comes_and_leaves_at_a_signal() {
    let fleet = fleet();
    let report = fleet.home("report.md");
    let mut watch = fleet.clone("boss").spawn(&["collect", "--watch", "--json", "--report", shown(&report)]);
    let n1 = fleet.clone("n1");
    for id in ["a", "b"] {
        fleet.enqueue(&[(id, &format!("echo {id} > {id}.txt"))]);
        n1.dispatch(&["run"]).success();
        until_merged(&fleet, &[id]);
        // Written after each collect, of all together.
        eventually(PATIENCE, || fs::read_to_string(&report).unwrap().contains(&format!("| `p/{id}` |")));
    }
    assert!(fs::read_to_string(&report).unwrap().contains("2 merged, 0 conflicting"));
    watch.term();
    let out = watch.wait(PATIENCE).code(143);
    let document = out.json();
    assert_eq!(
        (each(&document["merged"], "task"), &document["target"]),
        (vec!["p/a".into(), "p/b".into()], &json!("main"))
    );
    assert_eq!(document["new"], fleet.sandbox.hub().git(&["rev-parse", "main"]));
    fleet.check(&["a".to_owned(), "b".to_owned()]);
}

#[test]
fn the_first_signal_lets_the_collect_under_way_end_and_the_second_stops_it() {
    let fleet = fleet();
    let (boss, n1) = (fleet.clone("boss"), fleet.clone("n1"));
    let (began, go) = (fleet.home("began"), fleet.home("go"));
    let verify = format!("touch {}; {}", shown(&began), until(&format!("[ -e {} ]", shown(&go))));
    fleet.enqueue(&[("a", "echo a > a.txt")]);
    n1.dispatch(&["run"]).success();
    let mut watch = boss.spawn(&["collect", "--watch", "--verify", &verify]);
    eventually(PATIENCE, || began.exists());
    watch.term();
    fs::write(&go, "").unwrap();
    watch.wait(PATIENCE).code(143);
    assert_eq!(states(&n1), ["a merged"]);

    fs::remove_file(&go).unwrap();
    fs::remove_file(&began).unwrap();
    fleet.enqueue(&[("b", "echo b > b.txt")]);
    n1.dispatch(&["run"]).success();
    let mut watch = boss.spawn(&["collect", "--watch", "--verify", &verify]);
    eventually(PATIENCE, || began.exists());
    watch.term();
    // Signals within a second are one: so it is asked until it has heard.
    eventually(PATIENCE, || {
        watch.term();
        !watch.is_running()
    });
    watch.wait(PATIENCE).code(143);
    assert_eq!(states(&n1), ["a merged", "b completed"]);
}

#[test]
fn a_hub_that_is_away_is_said_once_and_outlived() {
    let fleet = fleet();
    let hub = fleet.sandbox.hub().path().to_owned();
    let away = fleet.sandbox.root().join("away.git");
    fleet.enqueue(&[("a", "echo a > a.txt")]);
    fleet.clone("n1").dispatch(&["run"]).success();
    fs::rename(&hub, &away).unwrap();
    let mut watch = fleet.clone("boss").spawn(&["collect", "--watch"]);
    until_said(&watch, "the hub does not answer", 1);
    fs::rename(&away, &hub).unwrap();
    until_said(&watch, "the hub answers again", 1);
    until_merged(&fleet, &["a"]);
    watch.term();
    let out = watch.wait(PATIENCE).code(143);
    assert_eq!(out.stderr.matches("the hub does not answer").count(), 1, "{out}");
}

#[test]
fn a_broken_target_is_said_once_and_left_alone_until_something_changes() {
    let fleet = fleet();
    let (boss, n1) = (fleet.clone("boss"), fleet.clone("n1"));
    fleet.enqueue(&[("a", "echo a > a.txt")]);
    n1.dispatch(&["run"]).success();
    let verify = "echo run >> $HOME/runs; test -e mended";
    let mut watch = boss.spawn_env(
        &[("GIT_DISPATCH_RETRY_WAIT", "1h"), ("GIT_DISPATCH_RETRY_WAIT_MAX", "1h")],
        &["collect", "--watch", "--verify", verify],
    );
    until_said(&watch, "fails verification before anything is merged", 1);
    let runs = || fs::read_to_string(fleet.home("runs")).unwrap().lines().count();
    assert_eq!(runs(), 2);
    // A heartbeat of looks goes by without another run: the mirror tells how often it looked.
    let looked = || fs::metadata(boss.path().join(".git/dispatch/hub.json")).unwrap().modified().unwrap();
    for _ in 0..3 {
        let before = looked();
        eventually(PATIENCE, || looked() != before);
    }
    assert_eq!(runs(), 2, "nothing has changed");
    n1.write("mended", "x\n");
    n1.commit("Mend it");
    n1.git(&["pull", "--quiet", "--rebase"]);
    n1.git(&["push", "--quiet", "origin", "HEAD:main"]);
    until_merged(&fleet, &["a"]);
    watch.term();
    let out = watch.wait(PATIENCE).code(143);
    assert_eq!(out.stderr.matches("fails verification before").count(), 1, "{out}");
}
