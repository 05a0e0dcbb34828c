//! A hub that loses its memory: emptied, wound back, given back from one clone; nothing lost, nothing run twice.

use std::fs;

use crate::rig::{Fleet, PATIENT, gated, quick, write_specs};
use crate::sandbox::{PATIENCE, Repo, Running, eventually};
use crate::steps::{merges, refs_below, refused, states};

/// A shell line that leaves the task's file and counts how often it was run.
fn counted(id: &str) -> String {
    format!("echo {id} >> $HOME/ran; {}", quick(id))
}

fn ran(fleet: &Fleet, id: &str) -> usize {
    fs::read_to_string(fleet.home("ran")).unwrap_or_default().lines().filter(|line| *line == id).count()
}

/// What a clone knows of the hub: the mirror, and the target as it was last read.
fn mirror(repo: &Repo) -> Vec<String> {
    let format = "--format=%(refname) %(objectname)";
    let names = ["refs/dispatch/claims", "refs/dispatch/queue", "refs/notes/dispatch-sealed"];
    let known = repo.git(&[&["for-each-ref", format][..], &names, &["refs/dispatch-local/target"]].concat());
    known.lines().map(str::to_owned).collect()
}

/// Deletes the hub and makes an empty one in its place.
fn empty_hub(fleet: &Fleet) {
    let hub = fleet.sandbox.hub().path().to_owned();
    fs::rename(&hub, hub.with_extension("gone")).unwrap();
    fleet.sandbox.repo(".").git(&["init", "--quiet", "--bare", "--initial-branch=main", "hub.git"]);
}

#[track_caller]
fn until_said(node: &Running, text: &str) {
    eventually(PATIENCE, || node.output().stderr.contains(text));
}

fn all_refs(repo: &Repo) -> Vec<String> {
    refs_below(repo, "refs/")
}

#[test]
fn an_emptied_hub_under_a_running_fleet_gets_everything_back_from_one_clone() {
    let fleet = Fleet::new(&["boss", "n1", "n2"], PATIENT);
    let boss = fleet.clone("boss");
    let mut tasks = vec![("landed", counted("landed")), ("done", counted("done"))];
    let lines = |tasks: &[(&'static str, String)]| tasks.to_vec();
    let enqueue = |tasks: &[(&str, String)]| {
        let tasks: Vec<(&str, &str)> = tasks.iter().map(|(id, line)| (*id, line.as_str())).collect();
        fleet.enqueue(&tasks);
    };
    enqueue(&tasks);
    fleet.clone("n1").dispatch(&["run", "--slots", "2"]).success();
    boss.dispatch(&["collect", "landed"]).success();
    for id in ["one", "two"] {
        tasks.push((id, format!("echo {id} >> $HOME/ran; {}", gated(id, "go"))));
    }
    tasks.push(("later", counted("later")));
    enqueue(&lines(&tasks));
    let (mut one, mut two) = (fleet.watch("n1"), fleet.watch("n2"));
    eventually(PATIENCE, || fleet.home("one.began").exists() && fleet.home("two.began").exists());
    boss.dispatch(&["list"]).success();
    let mirrors = || ["boss", "n1", "n2"].map(|name| mirror(&fleet.clone(name)));
    // Each node has read what the other claimed: from here on nothing is new.
    eventually(PATIENCE, || mirrors().windows(2).all(|two| two[0] == two[1]));
    let known = mirrors();

    empty_hub(&fleet);
    for node in [&one, &two] {
        until_said(node, "the hub has lost its memory");
    }
    let out = boss.dispatch(&["list"]).success();
    assert!(out.stderr.contains("lost its memory") && out.stdout.contains("later"), "{out}");
    refused(&boss.dispatch(&["claim", "later", "--json"]), "dispatch::hub::memory_lost", 1);
    refused(&boss.dispatch(&["collect", "--json"]), "dispatch::hub::memory_lost", 1);
    let out = boss.dispatch(&["doctor"]).code(1);
    assert!(out.stdout.contains("doctor --republish"), "{out}");
    // What ends meanwhile waits on its node.
    fleet.touch("go");
    eventually(PATIENCE, || fleet.waiting("n1") > 0 && fleet.waiting("n2") > 0);
    assert_eq!(all_refs(&fleet.sandbox.hub()), Vec::<String>::new(), "nobody writes to it");
    assert_eq!(mirrors(), known, "nobody prunes");

    let out = boss.dispatch(&["doctor", "--republish"]).success();
    assert!(out.stdout.contains("gave"), "{out}");
    for id in ["one", "two", "later"] {
        fleet.until(id, "completed");
    }
    one.term();
    two.term();
    assert_eq!((one.wait(PATIENCE).code, two.wait(PATIENCE).code), (143, 143));
    let ids: Vec<String> = tasks.iter().map(|(id, _)| (*id).to_owned()).collect();
    fleet.collect_and_check(&ids);
    for id in &ids {
        assert_eq!(ran(&fleet, id), 1, "{id} was run once");
    }
    boss.dispatch(&["doctor"]).success();
}

#[test]
fn a_claim_that_the_republisher_never_saw_is_given_back_by_its_node() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    fleet.enqueue(&[("a", &format!("echo a >> $HOME/ran; {}", gated("a", "go")))]);
    let mut node = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    assert!(!mirror(&fleet.clone("boss")).iter().any(|line| line.contains("claims")), "boss has not looked");
    empty_hub(&fleet);
    until_said(&node, "lost its memory");
    fleet.clone("boss").dispatch(&["doctor", "--republish"]).success();
    until_said(&node, "gave the claim of p/a back");
    fleet.touch("go");
    fleet.until("a", "completed");
    node.term();
    node.wait(PATIENCE);
    fleet.collect_and_check(&["a".to_owned()]);
    assert_eq!(ran(&fleet, "a"), 1);
}

/// A hub that is wound back to an old copy, and a clone that knows better.
#[test]
fn a_hub_wound_back_goes_forward_again_and_what_it_did_since_stays() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let (boss, hub) = (fleet.clone("boss"), fleet.sandbox.hub());
    fleet.enqueue(&[("a", &counted("a")), ("b", &counted("b")), ("c", &counted("c"))]);
    fleet.clone("n1").dispatch(&["run", "a"]).success();
    let copy = hub.path().with_extension("copy");
    fleet.sandbox.repo(".").run("cp", &[], &["-r", "hub.git", "hub.copy"]).success();
    fleet.clone("n1").dispatch(&["run", "b", "c"]).success();
    boss.dispatch(&["collect", "a", "b"]).success();
    let (before, seals) = (all_refs(&hub), hub.git(&["notes", "--ref=dispatch-sealed", "list"]));
    fs::rename(hub.path(), hub.path().with_extension("gone")).unwrap();
    fs::rename(&copy, hub.path()).unwrap();
    refused(&boss.dispatch(&["run", "--json"]), "dispatch::hub::memory_lost", 1);
    boss.dispatch(&["doctor", "--republish"]).success();
    assert_eq!(all_refs(&hub), before);
    assert_eq!(hub.git(&["notes", "--ref=dispatch-sealed", "list"]), seals);
    assert_eq!(merges(&hub).len(), 2);
    fleet.collect_and_check(&["a", "b", "c"].map(str::to_owned));
    assert!(["a", "b", "c"].iter().all(|id| ran(&fleet, id) == 1));
    // There is nothing left to give.
    let out = boss.dispatch(&["doctor", "--republish", "--json"]).success().json();
    assert_eq!(out["republished"]["given"], serde_json::json!([]));
}

#[test]
fn seals_are_made_again_from_merge_commits() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let (boss, hub) = (fleet.clone("boss"), fleet.sandbox.hub());
    fleet.enqueue(&[("a", &counted("a")), ("b", &counted("b"))]);
    fleet.clone("n1").dispatch(&["run", "a"]).success();
    boss.dispatch(&["collect"]).success();
    let seal =
        |repo: &Repo| repo.git(&["log", "-1", "--format=%N", "--notes=dispatch-sealed", "refs/dispatch/queue~1"]);
    let told: serde_json::Value = serde_json::from_str(seal(&hub).trim()).unwrap();
    empty_hub(&fleet);
    // A clone that has the target and lacks the seals.
    boss.git(&["update-ref", "-d", "refs/notes/dispatch-sealed"]);
    boss.git(&["update-ref", "-d", "refs/notes/dispatch/boss"]);
    let out = boss.dispatch(&["doctor", "--republish", "--json"]).success().json();
    assert_eq!(out["republished"]["resealed"], serde_json::json!(["p/a"]), "{out}");
    let made: serde_json::Value = serde_json::from_str(seal(&fleet.sandbox.hub()).trim()).unwrap();
    for key in ["event", "task", "attempt", "node", "target", "merge_commit", "result"] {
        assert_eq!(made[key], told[key], "{key}");
    }
    assert_eq!(states(&boss), ["a merged", "b pending"]);
    fleet.clone("n1").git(&["update-ref", "-d", "refs/notes/dispatch-sealed"]);
    fleet.clone("n1").dispatch(&["run"]).success();
    fleet.collect_and_check(&["a", "b"].map(str::to_owned));
    assert_eq!((ran(&fleet, "a"), ran(&fleet, "b")), (1, 1));
}

/// Kills whoever pushes for the `$CUT`th time, before that push.
const WRAPPER: &str = r#"#!/bin/sh
case " $* " in *" push "*) ;; *) exec "$CUT_GIT" "$@" ;; esac
count=$(cat "$HOME/pushes" 2>/dev/null || echo 0)
count=$((count + 1))
echo $count > "$HOME/pushes"
[ "$count" -eq "$CUT" ] && kill -9 $PPID && exit 1
exec "$CUT_GIT" "$@"
"#;

#[test]
fn a_republish_that_is_cut_off_anywhere_is_taken_up_and_shows_no_ended_task_as_open() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let boss = fleet.clone("boss");
    fleet.enqueue(&[("a", &counted("a")), ("b", &counted("b")), ("c", &counted("c"))]);
    fleet.clone("n1").dispatch(&["run", "a", "b"]).success();
    boss.dispatch(&["collect", "a"]).success();
    let (path, git) = fleet.wrap_git(WRAPPER);
    let wanted = all_refs(&fleet.sandbox.hub());
    let mut cuts = 0;
    // Every third push in the normal run.
    let step = if std::env::var_os("GIT_DISPATCH_TEST_LONG").is_none() { 3 } else { 1 };
    for cut in (2..).step_by(step) {
        let _ = fs::remove_dir_all(fleet.sandbox.hub().path().with_extension("gone"));
        let _ = fs::remove_file(fleet.home("pushes"));
        empty_hub(&fleet);
        let number = cut.to_string();
        let environment = [("PATH", &*path), ("CUT_GIT", &*git), ("CUT", &number)];
        if boss.dispatch_env(&environment, &["doctor", "--republish"]).code == 0 {
            break;
        }
        cuts += 1;
        // Somebody who knows nothing yet sees no task, rather than one that has ended as open.
        let _ = fs::remove_dir_all(fleet.sandbox.root().join("late"));
        let hub = fleet.sandbox.hub();
        if hub.git_try(&["rev-parse", "main"]).code == 0 {
            fleet.sandbox.repo(".").git(&["clone", "--quiet", hub.path().to_str().unwrap(), "late"]);
            let seen = states(&fleet.sandbox.repo("late"));
            assert!(seen.is_empty() || seen == ["a merged", "b completed", "c pending"], "cut {cut}: {seen:?}");
        }
        boss.dispatch(&["doctor", "--republish"]).success();
        assert_eq!(all_refs(&fleet.sandbox.hub()), wanted, "cut {cut}");
    }
    assert!(cuts * step >= 5, "only {cuts} pushes were cut off");
    fleet.clone("n1").dispatch(&["run"]).success();
    fleet.collect_and_check(&["a", "b", "c"].map(str::to_owned));
    assert!(["a", "b", "c"].iter().all(|id| ran(&fleet, id) == 1));
}

#[test]
fn what_went_two_ways_is_left_to_a_person() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let (boss, n1) = (fleet.clone("boss"), fleet.clone("n1"));
    fleet.enqueue(&[("a", &counted("a"))]);
    boss.dispatch(&["list"]).success();
    empty_hub(&fleet);
    n1.git(&["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
    write_specs(&n1, &[("b", &counted("b"))]);
    n1.dispatch(&["enqueue", "tasks"]).success();
    let before = fleet.sandbox.hub().git(&["rev-parse", "refs/dispatch/queue"]);
    let out = boss.dispatch(&["doctor", "--republish"]).code(1);
    assert!(out.stdout.contains("gone another way") && out.stdout.contains("refs/dispatch/queue"), "{out}");
    assert_eq!(fleet.sandbox.hub().git(&["rev-parse", "refs/dispatch/queue"]), before);
}
