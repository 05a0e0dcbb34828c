//! `run --repo A --repo B`: one daemon for several clones, with shared slots, fair between them.

use std::fs;

use crate::rig::{Fleet, PATIENT, gated, quick};
use crate::sandbox::{PATIENCE, Sandbox, eventually};
use crate::steps::{enqueue_lines, refused, states};

/// Two hubs, each with a clone of a node.
fn two() -> (Fleet, Fleet) {
    let settings = PATIENT;
    (Fleet::new(&["boss", "n1"], settings), Fleet::new(&["boss", "n1"], settings))
}

fn path(fleet: &Fleet) -> String {
    fleet.clone("n1").path().display().to_string()
}

/// Each task notes when it begins, in the home of the first hub's sandbox, which is that of the daemon.
fn noted(id: &str) -> String {
    format!("echo {id} >> $HOME/order; {}", quick(id))
}

#[test]
fn one_slot_goes_from_one_clone_to_the_other() {
    let (one, other) = two();
    let ids = ["1", "2", "3", "4"];
    for (fleet, letter) in [(&one, "a"), (&other, "b")] {
        let tasks: Vec<(String, String)> =
            ids.iter().map(|nth| (format!("{letter}{nth}"), noted(&format!("{letter}{nth}")))).collect();
        let tasks: Vec<(&str, &str)> = tasks.iter().map(|(id, line)| (id.as_str(), line.as_str())).collect();
        fleet.enqueue(&tasks);
    }
    let (a, b) = (path(&one), path(&other));
    let args = ["run", "--slots", "1", "--repo", &a, "--repo", &b, "--json"];
    let ran = one.clone("n1").dispatch(&args).success().json();
    assert_eq!(ran["ran"].as_array().unwrap().len(), 8);
    let order = fs::read_to_string(one.home("order")).unwrap();
    let letters: String = order.lines().map(|id| id.chars().next().unwrap()).collect();
    // The first may have begun twice before the other had looked.
    let longest = letters.split('b').map(str::len).max().unwrap();
    assert!(letters.len() == 8 && longest <= 2, "{letters}");
    for (fleet, letter) in [(&one, "a"), (&other, "b")] {
        fleet.collect_and_check(&ids.map(|nth| format!("{letter}{nth}")));
    }
}

#[test]
fn slots_are_shared_and_one_hub_that_is_away_stops_nobody_else() {
    let (one, other) = two();
    let gates = |letter: &str| {
        ["1", "2", "3"]
            .map(|nth| (format!("{letter}{nth}"), gated(&format!("{letter}{nth}"), &format!("go-{letter}{nth}"))))
    };
    for (fleet, letter) in [(&one, "a"), (&other, "b")] {
        let tasks = gates(letter);
        let tasks: Vec<(&str, &str)> = tasks.iter().map(|(id, line)| (id.as_str(), line.as_str())).collect();
        fleet.enqueue(&tasks);
    }
    let (a, b) = (path(&one), path(&other));
    let args = ["run", "--watch", "--slots", "2", "--repo", &a, "--repo", &b];
    let mut daemon = one.clone("n1").spawn(&args);
    let began = || {
        let names =
            fs::read_dir(one.home(".")).unwrap().flatten().map(|file| file.file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".began")).collect();
        names.sort();
        names
    };
    eventually(PATIENCE, || began().len() == 2);
    let first = began();
    for name in &first {
        one.touch(&format!("go-{}", name.trim_end_matches(".began")));
    }
    eventually(PATIENCE, || began().len() == 4);
    let running = |fleet: &Fleet| fleet.list().values().filter(|task| task["state"] == "running").count();
    eventually(PATIENCE, || running(&one) + running(&other) == 2);
    // The other's hub goes away: its work waits, and the first's goes on.
    let hub = other.sandbox.hub().path().to_owned();
    fs::rename(&hub, hub.with_extension("away")).unwrap();
    for letter in ["a", "b"] {
        for nth in ["1", "2", "3"] {
            one.touch(&format!("go-{letter}{nth}"));
        }
    }
    eventually(PATIENCE, || states(&one.clone("boss")) == ["a1 completed", "a2 completed", "a3 completed"]);
    fs::rename(hub.with_extension("away"), &hub).unwrap();
    eventually(PATIENCE, || states(&other.clone("boss")) == ["b1 completed", "b2 completed", "b3 completed"]);
    daemon.term();
    daemon.wait(PATIENCE).code(143);
    one.collect_and_check(&["a1", "a2", "a3"].map(str::to_owned));
    other.collect_and_check(&["b1", "b2", "b3"].map(str::to_owned));
}

#[test]
fn a_clone_is_given_once_and_alone() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    a.git(&["worktree", "add", "--quiet", "-b", "beside", "../beside"]);
    refused(
        &a.dispatch(&["run", "--repo", ".", "--repo", "../beside", "--json"]),
        "dispatch::usage::repo_twice",
        2,
    );
    enqueue_lines(&a, &[("x", "true")]);
    a.dispatch(&["run", "x", "--repo", "."]).code(2);
    sandbox.repo(".").dispatch(&["run", "--repo", "a"]).success();
    assert_eq!(states(&a), ["x completed"]);
}
