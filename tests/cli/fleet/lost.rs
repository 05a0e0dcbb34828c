//! Nodes that die, hang, or come back: their tasks go to others, and what they make late counts for nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use super::{ids, said, until_said};
use crate::rig::{Fleet, HASTY, PATIENT, gated, quick};
use crate::sandbox::{PATIENCE, eventually};

/// Says whether a process is there and no zombie.
fn lives(pid: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    state.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.starts_with(" Z"))
}

/// Says whether a slot's record names its executor: a node that is killed in the moment before cannot end it later, and
/// sets the slot aside instead.
fn names_its_executor(fleet: &Fleet) -> bool {
    let nodes = fs::read_dir(fleet.home(".local/state/git-dispatch")).into_iter().flatten().flatten();
    let records = nodes.filter_map(|node| fs::read_to_string(node.path().join("1/slot.json")).ok());
    let named = |record: String| {
        serde_json::from_str::<serde_json::Value>(&record).is_ok_and(|record| record["group"].is_u64())
    };
    records.into_iter().any(named)
}

/// The first attempt waits for ever, and says by which process; any later one works.
const FIRST_HANGS: &str = "if [ $DISPATCH_ATTEMPT = 1 ]; then echo $$ > $HOME/pid; touch $HOME/a.began; \
    until [ -e $HOME/never ]; do sleep 0.02; done; fi; echo $DISPATCH_NODE > a.txt";

#[test]
fn a_killed_node_s_task_goes_to_another_and_the_node_goes_on() {
    let fleet = Fleet::new(&["boss", "n1", "n2"], HASTY);
    fleet.enqueue(&[("a", FIRST_HANGS)]);
    let mut one = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    eventually(PATIENCE, || names_its_executor(&fleet));
    let two = fleet.watch("n2");
    one.kill9();
    fleet.until("a", "completed");
    // Taken over by one compare-and-swap, and told.
    assert_eq!(fleet.phases("a"), ["running", "running", "completed"]);
    assert_eq!((fleet.trailer("a", "Attempt").as_str(), fleet.trailer("a", "Charged").as_str()), ("2", "1"));
    until_said(&two, "took over p/a from n1, as attempt 2");
    let shown = fleet.clone("boss").dispatch(&["show", "a", "--json"]).success().json();
    let events = shown["events"].as_array().unwrap().iter();
    let told = events.map(|event| format!("{} {} {}", event["event"], event["attempt"], event["node"]));
    let told: Vec<String> = told.map(|event| event.replace('"', "")).skip(1).collect();
    assert_eq!(told, ["running 1 n1", "lost 1 n1", "running 2 n2", "completed 2 n2"]);
    let orphan = fs::read_to_string(fleet.home("pid")).unwrap();
    assert!(lives(&orphan), "killed alone, as in a crash: its executor lives on");

    // The dead node comes back: it ends its orphan before its slot is used again, says what became of the task, and works.
    let again = fleet.watch("n1");
    eventually(PATIENCE, || !lives(&orphan));
    until_said(&again, "fenced    p/a: the task is completed by n2, attempt 2");
    drop(two);
    fleet.enqueue(&[("a", FIRST_HANGS), ("b", &quick("b"))]);
    fleet.until("b", "completed");
    assert!(fleet.tip("b").ends_with("n1"), "{}", fleet.tip("b"));
    eventually(PATIENCE, || fleet.waiting("n1") == 0);
    fleet.collect_and_check(&ids(&["a", "b"]));
    assert_eq!(fleet.sandbox.hub().git(&["show", "main:a.txt"]), "n2");
}

#[test]
fn a_node_that_hung_is_fenced_off_and_its_work_is_kept() {
    let fleet = Fleet::new(&["boss", "n1", "n2"], HASTY);
    let slow_first = "touch $HOME/a.began; if [ $DISPATCH_ATTEMPT = 1 ]; then \
        until [ -e $HOME/go ]; do sleep 0.02; done; fi; echo $DISPATCH_NODE > a.txt; touch $HOME/ended.$DISPATCH_NODE";
    fleet.enqueue(&[("a", slow_first)]);
    let mut one = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    one.signal(Signal::STOP);
    let _two = fleet.watch("n2");
    fleet.until("a", "completed");
    // Its executor ends while it hangs; then it goes on with a result for a task that is another's.
    fleet.touch("go");
    eventually(PATIENCE, || fleet.home("ended.n1").exists());
    one.signal(Signal::CONT);
    until_said(&one, "fenced");
    until_said(&one, "refs/dispatch/attempts/p/a/1-n1");
    let hub = fleet.sandbox.hub();
    assert_eq!(hub.git(&["show", "refs/dispatch/attempts/p/a/1-n1:a.txt"]), "n1");
    assert_eq!(fleet.phases("a").iter().filter(|phase| *phase == "completed").count(), 1);
    fleet.enqueue(&[("a", slow_first), ("b", &quick("b"))]);
    fleet.until("b", "completed");
    assert!(one.is_running());
    eventually(PATIENCE, || fleet.waiting("n1") == 0);
    fleet.collect_and_check(&ids(&["a", "b"]));
    assert_eq!(hub.git(&["show", "main:a.txt"]), "n2");
}

#[test]
fn a_node_that_hung_tells_of_nothing_that_it_did_not_do() {
    let fleet = Fleet::new(&["boss", "n1", "n2"], HASTY);
    let first_hangs =
        "touch $HOME/a.began; if [ $DISPATCH_ATTEMPT = 1 ]; then sleep 600; fi; echo $DISPATCH_NODE > a.txt";
    fleet.enqueue(&[("a", first_hangs)]);
    let mut one = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    one.signal(Signal::STOP);
    let _two = fleet.watch("n2");
    fleet.until("a", "completed");
    // Its executor still runs: it is ended, and there is nothing to give back.
    one.signal(Signal::CONT);
    until_said(&one, "fenced");
    one.term();
    one.wait(PATIENCE);
    let events = fleet.clone("boss").dispatch(&["log", "--json"]).success().json();
    let mut told: Vec<&str> =
        events["events"].as_array().unwrap().iter().filter_map(|event| event["event"].as_str()).collect();
    // What two nodes say of one second stands in no order.
    told.sort_unstable();
    assert_eq!(told, ["completed", "enqueued", "lost", "running", "running"], "{events:#}");
}

#[test]
fn a_task_that_loses_its_node_too_often_fails() {
    let fleet = Fleet::new(&["boss", "n1"], &format!("max_attempts = 2\n{PATIENT}"));
    fleet.enqueue(&[("a", &gated("a", "never"))]);
    for _ in 0..2 {
        let mut node = fleet.watch("n1");
        eventually(PATIENCE, || fleet.home("a.began").exists());
        fs::remove_file(fleet.home("a.began")).unwrap();
        node.kill9();
        node.wait(PATIENCE);
    }
    let node = fleet.watch("n1");
    fleet.until("a", "failed");
    assert_eq!(fleet.phases("a"), ["running", "released", "running", "failed"]);
    assert_eq!(fleet.trailer("a", "Reason"), "lost");
    assert_eq!(said(&node, "started"), 0);
    // A person says: once more, and for the full number of attempts.
    fleet.clone("boss").dispatch(&["retry", "a"]).success();
    fleet.touch("never");
    fleet.until("a", "completed");
    assert_eq!(fleet.trailer("a", "Attempt"), "3");
    fleet.collect_and_check(&ids(&["a"]));
}

#[test]
fn what_cannot_be_started_on_one_node_is_tried_on_another() {
    let tool = "[executors.tool]\nkind = \"command\"\ncommand = [\"a-tool\"]\n";
    let fleet = Fleet::new(&["boss", "n1", "n2"], &format!("{PATIENT}{tool}"));
    let (boss, bin) = (fleet.clone("boss"), fleet.home("bin"));
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("a-tool"), "#!/bin/sh\necho made > a.txt\n").unwrap();
    fs::set_permissions(bin.join("a-tool"), fs::Permissions::from_mode(0o755)).unwrap();
    boss.dispatch(&["pause", "--node", "n2"]).success();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let two = fleet.clone("n2").spawn_env(&[("PATH", &path)], &["run", "--watch", "-v"]);
    until_said(&two, "paused");
    let mut one = fleet.watch("n1");
    boss.spec("tasks/a.md", "executor: tool", "# Do a");
    boss.dispatch(&["enqueue", "tasks"]).success();
    // Without a rest between attempts, it would try until the maximum is reached.
    fleet.until("a", "released");
    assert_eq!(fleet.trailer("a", "Reason"), "spawn");
    boss.dispatch(&["resume", "--node", "n2"]).success();
    fleet.until("a", "completed");
    assert_eq!(fleet.phases("a"), ["running", "released", "running", "completed"]);
    assert!(fleet.tip("a").ends_with("n2") && one.is_running(), "{}", fleet.tip("a"));
}

#[test]
fn reap_takes_back_what_it_is_told_to() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let boss = fleet.clone("boss");
    fleet.enqueue(&[("a", &gated("a", "never"))]);
    let mut node = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    // It lives, so there is nothing to take; and what is asked for has to be all of it.
    assert!(boss.dispatch(&["reap"]).success().stderr.contains("nothing to take back"));
    for not_meant in [["--older-than", "1h"], ["--node", "n2"]] {
        let out = boss.dispatch(&[&["reap", "--force"][..], &not_meant].concat()).success();
        assert!(out.stderr.contains("nothing to take back"), "{out}");
    }
    node.kill9();
    node.wait(PATIENCE);
    let out = boss.dispatch(&["reap", "--force", "--node", "n1", "--json"]).success();
    assert_eq!(out.json()["reaped"][0], "p/a");
    assert_eq!(
        (fleet.phases("a").join(" "), fleet.trailer("a", "Reason")),
        ("running released".into(), "lost".into())
    );
}

#[test]
fn reap_gives_up_on_all_that_runs_for_too_long_in_one_push() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let (boss, all) = (fleet.clone("boss"), ids(&["a", "b", "c"]));
    fleet.enqueue(&[("a", &gated("a", "go")), ("b", &gated("b", "go")), ("c", &gated("c", "go"))]);
    let mut node = fleet.clone("n1").spawn(&["run", "--watch", "--slots", "3"]);
    eventually(PATIENCE, || all.iter().all(|id| fleet.home(&format!("{id}.began")).exists()));
    node.kill9();
    node.wait(PATIENCE);
    let (out, trace) = boss.traced(&["reap", "--older-than", "1h", "--force", "--json"]);
    assert_eq!((out.success().json()["reaped"].clone(), trace.count("push")), (serde_json::json!([]), 0));
    let (out, trace) = boss.traced(&["reap", "--older-than", "0s", "--force", "--json"]);
    let reaped = out.success().json()["reaped"].clone();
    assert_eq!((reaped, trace.count("push")), (serde_json::json!(["p/a", "p/b", "p/c"]), 1));
    for id in &all {
        assert_eq!(
            (fleet.phases(id).join(" "), fleet.trailer(id, "Reason")),
            ("running released".into(), "lost".into())
        );
    }
    fleet.touch("go");
    fleet.clone("n1").dispatch(&["run"]).success();
    fleet.collect_and_check(&all);
}

#[test]
fn reap_listens_before_it_takes() {
    let fleet = Fleet::new(&["boss", "n1"], HASTY);
    fleet.enqueue(&[("a", &gated("a", "never"))]);
    let mut node = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    node.kill9();
    // A beat that was under way when it was killed may land yet: that is a sign of life.
    eventually(PATIENCE, || fleet.clone("boss").dispatch(&["reap"]).success().stdout == "took back p/a\n");
    fleet.until("a", "released");
}

/// A ref's lock that a crash left would block the ref for ever, and this node's beats with it.
#[test]
fn locks_that_a_crash_left_in_the_clone_are_removed() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    fleet.enqueue(&[("a", &quick("a"))]);
    fleet.clone("n1").dispatch(&["run"]).success();
    fleet.enqueue(&[("a", &quick("a")), ("b", &quick("b"))]);
    for name in ["nodes/n1", "queue", "claims/p/b"] {
        fleet.clone("n1").write(&format!(".git/refs/dispatch/{name}.lock"), "");
    }
    fleet.clone("n1").write(".git/refs/dispatch-local/slots/1.lock", "");
    fleet.clone("n1").write(".git/refs/dispatch-local/hub/dispatch/queue.lock", "");
    fleet.clone("n1").dispatch(&["run"]).success();
    fleet.collect_and_check(&ids(&["a", "b"]));
}
