//! What is tried on the hub before it is read: it goes through where nothing has changed, and harms nothing where something has.

use std::fs;

use crate::hubs::work_on;
use crate::sandbox::{Repo, Sandbox, Trace};
use crate::steps::{enqueue_lines, refs_below, refused, specs, states, task};

/// The fetches and pushes of a command.
fn asked(trace: &Trace) -> (usize, usize) {
    (trace.count("fetch"), trace.count("push"))
}

fn write(repo: &Repo, folder: &str, ids: &[&str]) -> String {
    specs(repo, folder, &ids.iter().map(|id| (*id, "run: \"true\"")).collect::<Vec<_>>())
}

#[test]
fn what_somebody_else_did_meanwhile_is_seen_by_every_command() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue_lines(&a, &[("one", "true"), ("two", "true"), ("three", "true")]);
    b.dispatch(&["list"]).success();
    // Claimed by another: the next one is taken.
    a.dispatch(&["claim", "one"]).success();
    let (out, trace) = b.traced(&["claim", "--json"]);
    assert_eq!(out.success().json()["claimed"][0]["id"], "three");
    assert_eq!(asked(&trace), (2, 2), "{:?}", trace.command_lines());
    // Named, it is lost, and by whom is said.
    a.dispatch(&["claim", "two"]).success();
    let out = b.dispatch(&["claim", "two"]).code(3);
    assert!(out.stderr.contains("running on a"), "{out}");
    // A queue that grew: behind what came meanwhile.
    let (four, five) = (write(&a, "four", &["four"]), write(&b, "five", &["five"]));
    a.dispatch(&["enqueue", &four]).success();
    let (out, trace) = b.traced(&["enqueue", &five]);
    out.success();
    assert_eq!(asked(&trace), (1, 2), "{:?}", trace.command_lines());
    // The same name, and other content.
    let (six, other) = (write(&a, "six", &["six"]), specs(&b, "other-six", &[("six", "run: \"false\"")]));
    a.dispatch(&["enqueue", &six]).success();
    refused(&b.dispatch(&["enqueue", &other, "--json"]), "dispatch::enqueue::exists", 2);
    // A target that moved: the work starts from where it is now.
    a.write("new.txt", "new\n");
    a.commit("New");
    a.git(&["push", "--quiet", "origin", "HEAD:main"]);
    let claimed = b.dispatch(&["claim", "five", "--json"]).success().json();
    let branch = claimed["claimed"][0]["branch"].as_str().unwrap();
    assert_eq!(b.git(&["rev-parse", branch]), a.git(&["rev-parse", "HEAD"]));
    assert_eq!(states(&a), states(&b));
}

#[test]
fn a_hub_that_forgot_everything_is_given_nothing() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue_lines(&a, &[("one", "true"), ("two", "true")]);
    a.dispatch(&["claim", "one"]).success();
    work_on(&a, "one", "one.txt", "one\n");
    let more = write(&a, "more", &["more"]);
    let hub = sandbox.hub().path().to_owned();
    fs::rename(&hub, hub.with_extension("gone")).unwrap();
    sandbox.repo(".").git(&["init", "--quiet", "--bare", "--initial-branch=main", "hub.git"]);
    for args in [&["claim", "two"][..], &["claim"], &["enqueue", &more], &["finish", "one"]] {
        let out = a.dispatch(&[args, &["--json"]].concat());
        refused(&out, "dispatch::hub::memory_lost", 1);
        assert_eq!(refs_below(&sandbox.hub(), "refs/"), Vec::<String>::new(), "{args:?}");
    }
    // The hub is back: what was refused is done, once.
    fs::remove_dir_all(&hub).unwrap();
    fs::rename(hub.with_extension("gone"), &hub).unwrap();
    for args in [&["claim", "two"][..], &["enqueue", &more], &["finish", "one"]] {
        a.dispatch(args).success();
    }
    assert_eq!(states(&a), ["more pending", "one completed", "two running"]);
}

#[test]
fn a_branch_that_is_in_the_way_does_not_keep_a_result_back() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue_lines(&a, &[("one", "true")]);
    a.dispatch(&["claim", "one"]).success();
    let made = work_on(&a, "one", "one.txt", "one\n");
    let branch = task(&a, "one")["branch"].as_str().unwrap().to_owned();
    let foreign = sandbox.hub().git(&["rev-parse", "main"]);
    sandbox.hub().git(&["branch", &branch, &foreign]);
    a.dispatch(&["finish", "one"]).success();
    assert_eq!(
        (task(&a, "one")["state"].as_str(), task(&a, "one")["result"].as_str()),
        (Some("completed"), Some(&*made))
    );
}

/// A command that was killed may have won what it never followed up: the next one looks before it claims.
#[test]
fn a_claim_after_one_that_was_killed_looks_first() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue_lines(&a, &[("one", "true"), ("two", "true"), ("three", "true")]);
    let claim = || asked(&a.traced(&["claim"]).1);
    assert_eq!(claim(), (1, 1));
    fs::write(a.path().join(".git/dispatch/claim.lock"), "under way\n").unwrap();
    assert_eq!((claim(), claim()), ((2, 1), (1, 1)));
}

#[test]
fn many_specs_are_written_as_one_pack() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    let ids: Vec<String> = (0..100).map(|number| format!("t{number:03}")).collect();
    let loose = || a.git(&["count-objects"]).split(' ').next().unwrap().parse::<usize>().unwrap();
    let folder = write(&a, "many", &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let before = loose();
    let (out, trace) = a.traced(&["enqueue", &folder]);
    out.success();
    assert!(trace.count("index-pack") >= 1, "{:?}", trace.command_lines());
    assert_eq!(loose(), before);
    assert_eq!(states(&a).len(), 100);
    sandbox.hub().git(&["fsck", "--strict"]);
}
