//! Bundle files: the whole loop for a node that never sees the hub, and every way in which a file may be late, twice, lost
//! or not what it should be.

mod away; // the clone on the other side
mod bad_files; // what is refused, by name, with no ref written
mod killed; // commands that die in between
mod outbox; // a hub that stays away
mod reserve; // races and deaths while tasks are reserved

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};
use crate::steps::{
    done, each, enqueue, enqueue_lines, file, line, merges, plant_node, refs, refs_below, refused, states, task,
    text,
};

/// A hub with clones `boss` and `n1`, and beside it whatever is carried.
struct Gap {
    sandbox: Sandbox,
    boss: Repo,
    hub: Repo,
}

impl Gap {
    fn new() -> Gap {
        Gap::with("")
    }

    /// The same, with more in the committed configuration.
    fn with(settings: &str) -> Gap {
        let config = format!("project = \"p\"\nretry_wait = \"0s\"\n{settings}");
        let sandbox = Sandbox::with_clones_of(
            &[("README.md", "# A project\n"), ("git-dispatch.toml", &config)],
            &["boss", "n1"],
        );
        let (boss, hub) = (sandbox.repo("boss"), sandbox.hub());
        Gap { sandbox, boss, hub }
    }

    fn away(&self) -> Repo {
        self.sandbox.repo("vault")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sandbox.root().join(name)
    }

    /// Packs what is reserved for the node, or may be.
    fn work(&self, name: &str) -> Value {
        self.boss
            .dispatch(&["bundle", "create", &format!("../{name}"), "--for", "vault", "--json"])
            .success()
            .json()
    }

    /// Opens a file on the other side.
    fn open(&self, name: &str) -> Value {
        self.sandbox.repo(".").dispatch(&["bundle", "open", name, "vault", "--json"]).success().json()
    }

    fn run(&self) {
        self.away().dispatch(&["run"]).success();
    }

    /// Packs the results on the other side.
    fn results(&self, name: &str) -> Value {
        self.away().dispatch(&["bundle", "create", &format!("../{name}"), "--results", "--json"]).success().json()
    }

    /// Collects a file at the hub.
    fn collect(&self, name: &str) -> Value {
        self.boss.dispatch(&["collect", "--bundle", &format!("../{name}"), "--json"]).success().json()
    }

    /// There and back, once.
    fn trip(&self, number: u32) -> Value {
        self.work(&format!("out{number}"));
        self.open(&format!("out{number}"));
        self.run();
        self.results(&format!("back{number}"));
        self.collect(&format!("back{number}"))
    }

    fn sound(&self) {
        for repo in [&self.boss, &self.hub, &self.away()] {
            repo.git(&["fsck", "--no-dangling", "--no-progress"]);
        }
    }

    fn size(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).unwrap().len()
    }
}

fn lines(ids: &[&str]) -> Vec<(String, String)> {
    ids.iter().map(|id| ((*id).to_owned(), format!("echo {id} > {id}.txt"))).collect()
}

fn queue(repo: &Repo, ids: &[&str]) {
    let lines = lines(ids);
    let tasks: Vec<(&str, &str)> = lines.iter().map(|(id, script)| (id.as_str(), script.as_str())).collect();
    enqueue_lines(repo, &tasks);
}

#[test]
fn three_trips_with_growing_work_one_lost_one_twice() {
    let gap = Gap::new();
    queue(&gap.boss, &["a", "b"]);
    let made = gap.work("out1");
    assert_eq!((each(&made["tasks"], "task").join(" "), &made["written"]), ("p/a p/b".to_owned(), &json!(true)));
    assert_eq!(states(&gap.boss), ["a assigned", "b assigned"], "reserved, so that nobody else runs them");
    gap.sandbox.repo("n1").dispatch(&["run"]).code(3);
    let until = text(&task(&gap.boss, "a")["hold_until"]).parse::<jiff::Timestamp>().unwrap();
    let enqueued = text(&task(&gap.boss, "a")["enqueued_at"]).parse::<jiff::Timestamp>().unwrap();
    assert_eq!(until.duration_since(enqueued).as_hours(), 72, "three days");

    assert_eq!(gap.open("out1")["new"], true);
    assert_eq!(gap.open("out1")["already"], true, "opened twice");
    assert_eq!(gap.away().git(&["status", "--porcelain"]), "");
    gap.run();
    gap.results("back1");
    let taken = gap.collect("back1");
    assert_eq!(each(&taken["merged"], "task"), ["p/a", "p/b"]);
    assert_eq!(each(&taken["bundle"]["taken_in"], "state"), ["completed", "completed"]);
    let before = refs(&gap.hub);
    let twice = gap.collect("back1");
    assert_eq!((&twice["bundle"]["already"], &twice["merged"]), (&json!(["p/a", "p/b"]), &json!([])));
    assert_eq!(refs(&gap.hub), before, "imported twice");

    // The second file is lost on the way and made again.
    queue(&gap.boss, &["c", "d", "e"]);
    gap.work("lost");
    let again = gap.work("out2");
    assert_eq!(each(&again["tasks"], "task"), ["p/c", "p/d", "p/e"]);
    assert_eq!(again["reserved"], json!([]), "the reservations are those of the lost file");
    let shown = gap.boss.dispatch(&["bundle", "show", "../out2", "--json"]).success().json();
    assert!(!shown["prerequisites"].as_array().unwrap().is_empty(), "only what is new: {shown}");
    assert_eq!(gap.open("out2")["already"], false);
    assert_eq!(gap.away().git(&["status", "--porcelain"]), "", "the checkout follows what was merged");
    assert!(gap.away().path().join("a.txt").exists());
    gap.run();
    // So are the results.
    gap.results("lost-back");
    gap.results("back2");
    assert_eq!(each(&gap.collect("back2")["merged"], "task"), ["p/c", "p/d", "p/e"]);
    // And here they are, later.
    assert_eq!(gap.collect("lost-back")["bundle"]["already"], json!(["p/c", "p/d", "p/e"]));

    queue(&gap.boss, &["f", "g", "h", "i"]);
    let third = gap.trip(3);
    assert_eq!(third["merged"].as_array().unwrap().len(), 4);
    assert_eq!(gap.open("out1")["already"], true, "an older file changes nothing");
    let all = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let mut merged = merges(&gap.hub);
    merged.sort();
    let expected: Vec<String> = all.iter().map(|id| format!("Merge p/{id}: Task {id}")).collect();
    assert_eq!(merged, expected, "each once");
    assert!(all.iter().all(|id| file(&gap.hub, &format!("{id}.txt")) == *id));
    assert_eq!(refs_below(&gap.hub, "refs/heads"), ["refs/heads/main"], "branches of sealed tasks go");
    assert_eq!(refs_below(&gap.hub, "refs/dispatch/claims"), Vec::<String>::new());
    gap.sound();
}

#[test]
fn what_was_done_arrives_as_if_the_node_had_been_online() {
    let gap = Gap::new();
    enqueue(&gap.boss, &[("one", format!("{}\ntitle: First", line("echo said; sleep 1; echo x > x.txt")))]);
    enqueue_lines(&gap.boss, &[("two", "echo why it failed; exit 3")]);
    gap.work("job");
    gap.open("job");
    gap.away().dispatch(&["run"]).code(4);
    gap.results("back");
    gap.boss.dispatch(&["collect", "--bundle", "../back"]).success();
    let one = task(&gap.boss, "one");
    assert_eq!((&one["state"], &one["node"], &one["exit_code"]), (&json!("merged"), &json!("vault"), &json!(0)));
    assert!(one["duration_seconds"].as_f64().unwrap() >= 1.0, "{one}");
    let two = task(&gap.boss, "two");
    assert_eq!((&two["state"], &two["reason"], &two["exit_code"]), (&json!("failed"), &json!("exit"), &json!(3)));
    assert!(gap.boss.dispatch(&["logs", "one"]).success().stdout.contains("said"));
    // Another clone sees the same.
    let n1 = gap.sandbox.repo("n1");
    assert!(n1.dispatch(&["logs", "two"]).success().stdout.contains("why it failed"));
    let events = each(&gap.boss.dispatch(&["show", "one", "--json"]).success().json()["events"], "event");
    assert_eq!(events, ["enqueued", "assigned", "running", "completed", "merged"]);
    assert!(n1.dispatch(&["nodes"]).success().stdout.contains("vault"));
    // Tried again at the hub, it goes out again, and the attempts go on.
    gap.boss.dispatch(&["retry", "two"]).success();
    gap.work("out2");
    gap.open("out2");
    gap.away().dispatch(&["run"]).code(4);
    assert_eq!(task(&gap.away(), "two")["attempt"], 2);
    gap.results("back2");
    gap.collect("back2");
    assert_eq!(task(&gap.boss, "two")["attempt"], 2);
    let notes = gap.hub.git(&["log", "-p", "refs/notes/dispatch-logs/vault"]);
    assert!(notes.contains("== attempt 1 on vault") && notes.contains("== attempt 2 on vault"), "{notes}");
}

#[test]
fn nothing_new_writes_nothing_and_says_so() {
    let gap = Gap::new();
    let none = gap.work("out0");
    assert_eq!((&none["written"], &none["file"]), (&json!(false), &Value::Null), "nothing was ever enqueued");
    queue(&gap.boss, &["a"]);
    gap.trip(1);
    let out = gap.away().dispatch(&["bundle", "create", "../more", "--results"]).success();
    // Not known to have arrived: the same again.
    assert!(out.stdout.contains("wrote ../more"), "{out}");
    assert_eq!(gap.collect("more")["bundle"]["already"], json!(["p/a"]));
    gap.work("out2");
    gap.open("out2");
    let out = gap.away().dispatch(&["bundle", "create", "../none", "--results"]).success();
    assert!(out.stdout.is_empty() && out.stderr.contains("nothing new: no file was written"), "{out}");
    assert!(!gap.path("none").exists());
    queue(&gap.boss, &["b"]);
    gap.trip(3);
    gap.work("out4");
    gap.open("out4");
    queue(&gap.boss, &["c"]);
    gap.trip(5);
    assert!(gap.size("out5") < gap.size("out1") * 4, "each file holds what is new");
}

#[test]
fn a_dry_run_reserves_nothing_and_writes_nothing() {
    let gap = Gap::new();
    queue(&gap.boss, &["a", "b"]);
    gap.boss.dispatch(&["list"]).success();
    let (hub, own) = (refs(&gap.hub), refs(&gap.boss));
    let out = gap.boss.dispatch(&["bundle", "create", "../job", "--for", "vault", "--count", "1", "--dry-run"]);
    assert_eq!(out.success().stdout, "would reserve p/a\n");
    assert_eq!((refs(&gap.hub), refs(&gap.boss)), (hub, own));
    assert!(!gap.path("job").exists());
    gap.work("job");
    gap.open("job");
    gap.run();
    let dry = gap.away().dispatch(&["bundle", "create", "../back", "--results", "--dry-run", "--json"]).success();
    assert_eq!(each(&dry.json()["tasks"], "state"), ["completed", "completed"]);
    assert!(!gap.path("back").exists());
    gap.results("back");
    let before = refs(&gap.hub);
    let out = gap.boss.dispatch(&["collect", "--bundle", "../back", "--dry-run"]).success();
    assert!(out.stdout.contains("would take in p/a"), "{out}");
    assert_eq!(refs(&gap.hub), before);
}

#[test]
fn what_is_wanted_is_reserved_and_no_more() {
    let gap = Gap::with("[nodes.vault]\nlabels = [\"dark\"]\n");
    let run = |more: &str| format!("{}\n{more}", line("echo x > $DISPATCH_ID.txt"));
    enqueue(
        &gap.boss,
        &[
            ("pull", run("mode: pull")),
            ("push", run("mode: push")),
            ("dark", run("labels: [dark]")),
            ("gpu", run("labels: [gpu]")),
            ("empty", String::new()),
            ("late", run("priority: 3")),
        ],
    );
    let create = |args: &[&str]| {
        let all: Vec<&str> =
            ["bundle", "create", "../x", "--for", "vault", "--json"].iter().chain(args).copied().collect();
        let out = gap.boss.dispatch(&all);
        let _ = fs::remove_file(gap.path("x"));
        out
    };
    assert_eq!(each(&create(&["--count", "1"]).success().json()["tasks"], "task"), ["p/dark"]);
    // In all, not once more: so the same command makes a lost file again.
    assert_eq!(create(&["--count", "1"]).success().json()["reserved"], json!([]));
    assert_eq!(create(&["--count", "2"]).success().json()["reserved"], json!(["p/push"]));
    refused(&create(&["gpu"]), "dispatch::claim::not_claimable", 1);
    refused(&create(&["empty"]), "dispatch::claim::not_claimable", 1);
    gap.sandbox.repo("n1").dispatch(&["run", "pull"]).success();
    refused(&create(&["pull"]), "dispatch::assign::not_pending", 1);
    assert_eq!(create(&["--hold", "1h"]).success().json()["reserved"], json!(["p/late"]));
    refused(&create(&["nope"]), "dispatch::task::unknown", 2);
    let odd = gap.boss.dispatch(&["bundle", "create", "../y", "--for", "../x", "--json"]);
    refused(&odd, "dispatch::name::invalid", 2);
}

#[test]
fn what_depends_on_each_other_goes_together() {
    let gap = Gap::new();
    done(&gap.sandbox.repo("n1"), &[("base", "echo base > base.txt")]);
    let with = |script: &str, on: &str| format!("{}\ndepends_on: [{on}]", line(script));
    enqueue(
        &gap.boss,
        &[
            ("top", with("cat base.txt > top.txt", "base")),
            ("tower", with("cat top.txt base.txt > tower.txt", "top, base")),
        ],
    );
    // Not merged yet: the dependency's result is in the file.
    assert_eq!(task(&gap.boss, "base")["state"], "completed");
    assert_eq!(each(&gap.work("job")["tasks"], "task"), ["p/top", "p/tower"]);
    gap.open("job");
    gap.run();
    gap.results("back");
    assert_eq!(each(&gap.collect("back")["merged"], "task"), ["p/base", "p/top", "p/tower"]);
    assert_eq!(file(&gap.hub, "tower.txt"), "base\nbase");
    gap.sound();
}

#[test]
fn a_conflict_is_mended_on_the_other_side() {
    let gap = Gap::with(
        "[collect]\nconflict_executor = \"mender\"\n[executors.mender]\nkind = \"command\"\n\
         command = [\"sh\", \"-c\", \"echo both > x.txt\"]\n",
    );
    enqueue_lines(&gap.boss, &[("a", "echo a > x.txt"), ("b", "echo b > x.txt")]);
    gap.work("job");
    gap.open("job");
    gap.run();
    gap.results("back");
    gap.boss.dispatch(&["collect", "--bundle", "../back"]).code(4);
    assert_eq!(states(&gap.boss), ["a merged", "b conflict", "b-repair-1 pending"]);
    let second = gap.trip(2);
    assert_eq!(each(&second["bundle"]["taken_in"], "task"), ["p/b-repair-1"]);
    assert_eq!(file(&gap.hub, "x.txt"), "both");
    assert_eq!(states(&gap.boss), ["a merged", "b merged", "b-repair-1 merged"]);
}

#[test]
fn a_reservation_that_ended_is_fenced_off_and_its_work_kept() {
    let gap = Gap::new();
    queue(&gap.boss, &["a", "b"]);
    let args = ["bundle", "create", "../job", "--for", "vault", "--hold", "1s"];
    gap.boss.dispatch(&args).success();
    gap.open("job");
    gap.away().dispatch(&["run"]);
    // Its clock may have been faster than the run; the files say what was done.
    let done: Vec<String> = states(&gap.away()).into_iter().filter(|state| state.ends_with("completed")).collect();
    assert!(!done.is_empty());
    let n1 = gap.sandbox.repo("n1");
    eventually(PATIENCE, || {
        gap.boss.dispatch(&["schedule"]).success();
        n1.dispatch(&["run"]);
        states(&n1).iter().all(|state| state.ends_with("completed"))
    });
    gap.results("back");
    let out = gap.boss.dispatch(&["collect", "--bundle", "../back"]).code(4);
    assert!(out.stderr.contains("does not count: the task is completed by n1"), "{out}");
    let kept = refs_below(&gap.hub, "refs/dispatch/attempts");
    assert_eq!(kept.len(), done.len(), "{kept:?}");
    assert!(kept[0].ends_with("-vault"), "{kept:?}");
    let twice = gap.boss.dispatch(&["collect", "--bundle", "../back"]).success();
    assert!(twice.stdout.contains("already here"), "{twice}");
    assert_eq!(merges(&gap.hub).len(), 2, "once each, by the one that has it");
    assert!(merges(&gap.hub).iter().all(|merge| merge.starts_with("Merge p/")));
    gap.sound();
}

#[test]
fn a_reservation_given_back_that_nobody_retook_takes_a_late_result() {
    let gap = Gap::new();
    queue(&gap.boss, &["a"]);
    gap.boss.dispatch(&["bundle", "create", "../job", "--for", "vault", "--hold", "1s"]).success();
    gap.open("job");
    gap.run();
    gap.results("back");
    eventually(PATIENCE, || {
        gap.boss.dispatch(&["schedule"]).success();
        states(&gap.boss) == ["a pending"]
    });
    assert_eq!(each(&gap.collect("back")["merged"], "task"), ["p/a"]);
    assert_eq!((file(&gap.hub, "a.txt"), &task(&gap.boss, "a")["attempt"]), ("a".to_owned(), &json!(1)));
}

#[test]
fn what_was_cancelled_meanwhile_is_fenced_off_and_its_work_kept() {
    let gap = Gap::new();
    queue(&gap.boss, &["a", "b", "c"]);
    gap.work("job");
    gap.open("job");
    gap.run();
    gap.boss.dispatch(&["cancel", "a"]).success();
    gap.results("back");
    let out = gap.boss.dispatch(&["collect", "--bundle", "../back", "--json"]).code(4).json();
    assert_eq!(each(&out["bundle"]["fenced"], "task"), ["p/a"]);
    assert_eq!(each(&out["merged"], "task"), ["p/b", "p/c"]);
    let kept = text(&out["bundle"]["fenced"][0]["kept"]);
    assert_eq!(gap.hub.git(&["show", &format!("{kept}:a.txt")]), "a");
    assert_eq!(task(&gap.boss, "a")["state"], "cancelled");

    // The other side hears of it, also where its results had not been carried.
    queue(&gap.boss, &["d", "e"]);
    gap.work("out2");
    gap.open("out2");
    assert_eq!(task(&gap.away(), "a")["state"], "cancelled");
    gap.run();
    gap.boss.dispatch(&["cancel", "d"]).success();
    queue(&gap.boss, &["f"]);
    gap.work("out3");
    let heard = gap.open("out3");
    assert_eq!(each(&heard["fenced"], "task"), ["p/d"]);
    let kept = text(&heard["fenced"][0]["kept"]);
    assert_eq!(gap.away().git(&["show", &format!("{kept}:d.txt")]), "d");
    gap.run();
    gap.results("back3");
    let out = gap.boss.dispatch(&["collect", "--bundle", "../back3", "--json"]).code(4).json();
    assert_eq!(each(&out["bundle"]["fenced"], "kept"), [kept.as_str()]);
    assert_eq!(gap.hub.git(&["show", &format!("{kept}:d.txt")]), "d", "the work came all the same");
    assert_eq!(each(&out["merged"], "task"), ["p/e", "p/f"]);
    gap.sound();
}

#[test]
fn a_project_that_goes_by_bundle_is_not_claimed_online() {
    let gap = Gap::with("[projects.p]\nsync = \"bundle\"\n");
    queue(&gap.boss, &["a"]);
    let n1 = gap.sandbox.repo("n1");
    n1.dispatch(&["run"]).code(3);
    n1.dispatch(&["claim"]).code(3);
    refused(&n1.dispatch(&["claim", "a", "--json"]), "dispatch::claim::not_claimable", 1);
    plant_node(&gap.sandbox, "n1", &json!({}));
    refused(&gap.boss.dispatch(&["assign", "a", "--node", "n1", "--json"]), "dispatch::bundle::only", 2);
    let scheduled = gap.boss.dispatch(&["schedule", "--json"]).success().json();
    assert_eq!((&scheduled["assigned"], &scheduled["pull"]), (&json!([]), &json!([])), "{scheduled}");
    assert_eq!(gap.boss.dispatch(&["schedule"]).success().stdout, "by bundle p/a\n");
    let why = gap.boss.dispatch(&["show", "a", "--json"]).success().json()["waits_for"].clone();
    assert_eq!(each(&why, "kind"), ["bundle"]);
    assert_eq!(each(&gap.trip(1)["merged"], "task"), ["p/a"]);
}

#[test]
fn a_node_of_the_same_name_does_not_take_what_is_under_way() {
    let gap = Gap::new();
    queue(&gap.boss, &["a"]);
    gap.work("job");
    gap.sandbox.repo("n1").dispatch(&["run", "--node", "vault"]).code(3);
    assert_eq!(states(&gap.boss), ["a assigned"]);
}
