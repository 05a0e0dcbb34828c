//! A fleet of nodes that stay, through the binary: what is picked up, stopped, tried again, and what it costs.

mod lost; // nodes that die, hang or come back
mod outage; // a hub that goes away

use std::fs;
use std::process::Command;

use crate::rig::{Fleet, PATIENT, gated, quick, write_specs};
use crate::sandbox::{PATIENCE, Repo, Running, Trace, eventually};

/// What a node has said so far.
fn said(node: &Running, text: &str) -> usize {
    node.output().stderr.matches(text).count()
}

#[track_caller]
fn until_said(node: &Running, text: &str) {
    eventually(PATIENCE, || said(node, text) > 0);
}

fn ids(tasks: &[&str]) -> Vec<String> {
    tasks.iter().map(|&id| id.to_owned()).collect()
}

#[test]
fn what_is_enqueued_elsewhere_is_picked_up_and_merged() {
    let fleet = Fleet::new(&["boss", "n1", "n2"], PATIENT);
    let (mut one, mut two) = (fleet.watch("n1"), fleet.watch("n2"));
    let lines: Vec<String> = ["a", "b", "c", "d"].iter().map(|id| quick(id)).collect();
    fleet.enqueue(&[("a", &lines[0]), ("b", &lines[1])]);
    fleet.until("b", "completed");
    // The queue was empty meanwhile: they are still there.
    fleet.enqueue(&[("a", &lines[0]), ("b", &lines[1]), ("c", &lines[2]), ("d", &lines[3])]);
    for id in ["a", "b", "c", "d"] {
        fleet.until(id, "completed");
    }
    assert!(one.is_running());
    fleet.collect_and_check(&ids(&["a", "b", "c", "d"]));
    one.term();
    two.term();
    assert_eq!((one.wait(PATIENCE).code, two.wait(PATIENCE).code), (143, 143));
    let nodes = fleet.clone("boss").dispatch(&["nodes", "--json"]).success().json();
    let nodes: Vec<_> = nodes["nodes"].as_array().unwrap().clone();
    let shown: Vec<_> = nodes.iter().map(|node| (node["name"].as_str(), node["state"].as_str())).collect();
    assert_eq!(shown, [(Some("n1"), Some("stopped")), (Some("n2"), Some("stopped"))]);
}

#[test]
fn cancelling_from_another_clone_stops_the_executor() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    fleet.enqueue(&[("a", &format!("echo $$ > $HOME/pid; {}", gated("a", "never"))), ("b", &quick("b"))]);
    let node = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    fleet.clone("boss").dispatch(&["cancel", "a"]).success();
    let pid = fs::read_to_string(fleet.home("pid")).unwrap();
    eventually(PATIENCE, || !fs::exists(format!("/proc/{}", pid.trim())).unwrap());
    fleet.until("b", "completed");
    until_said(&node, "it was cancelled or taken over");
    let task = &fleet.list()["a"];
    assert_eq!((task["state"].as_str(), fleet.tip("a").as_str()), (Some("cancelled"), ""));
    fleet.clone("boss").dispatch(&["collect"]).success();
    fleet.sound();
}

#[test]
fn the_first_signal_drains_and_the_second_gives_back() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    fleet.enqueue(&[("a", &gated("a", "go"))]);
    let mut node = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    node.term();
    until_said(&node, "taking no more");
    fleet.enqueue(&[("a", &gated("a", "go")), ("b", &gated("b", "never"))]);
    let draining = || {
        let nodes = fleet.clone("boss").dispatch(&["nodes", "--json"]).success().json();
        nodes["nodes"][0]["state"] == "draining"
    };
    eventually(PATIENCE, draining);
    fleet.touch("go");
    assert_eq!(node.wait(PATIENCE).code, 143, "told to end, by a signal");
    assert!(fleet.tip("a").starts_with("completed") && fleet.tip("b").is_empty());

    let mut node = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("b.began").exists());
    node.term();
    until_said(&node, "taking no more");
    // Signals within a second of one another count as one, by design: asked again until it hears.
    eventually(PATIENCE, || {
        node.term();
        !node.is_running()
    });
    assert_eq!(fleet.phases("b"), ["running", "released"]);
    assert_eq!((fleet.trailer("b", "Reason").as_str(), fleet.trailer("b", "Charged").as_str()), ("drained", "0"));
    fleet.sound();
}

#[test]
fn a_paused_node_and_a_paused_fleet_take_nothing() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let boss = fleet.clone("boss");
    boss.dispatch(&["pause", "--node", "n1"]).success();
    let node = fleet.watch("n1");
    until_said(&node, "paused; ");
    fleet.enqueue(&[("a", &quick("a"))]);
    boss.dispatch(&["pause", "--all"]).success();
    boss.dispatch(&["resume", "--node", "n1"]).success();
    // Two more polls with the task in sight; each reads the same refs.
    let beat = || fleet.sandbox.hub().git(&["rev-parse", "refs/dispatch/nodes/n1"]);
    for _ in 0..2 {
        let before = beat();
        eventually(PATIENCE, || beat() != before);
    }
    assert_eq!(fleet.tip("a"), "");
    boss.dispatch(&["resume", "--all"]).success();
    fleet.until("a", "completed");
    until_said(&node, "resumed");
    fleet.collect_and_check(&ids(&["a"]));
}

#[test]
fn a_second_clone_of_the_same_name_is_refused_by_name() {
    let fleet = Fleet::new(&["boss", "n1", "n2"], PATIENT);
    let node = fleet.watch("n1");
    eventually(PATIENCE, || fleet.sandbox.hub().git_try(&["rev-parse", "refs/dispatch/nodes/n1"]).code == 0);
    let out = fleet.clone("n2").dispatch(&["run", "--node", "n1"]).code(1);
    assert!(out.stderr.contains("dispatch::run::name_taken"), "{out}");
    let out = fleet.clone("n2").dispatch(&["run", "--watch", "--node", "n1"]).code(1);
    assert!(out.stderr.contains("dispatch::run::name_taken"), "{out}");
    drop(node);
}

/// What the system tells a process of, by the masks of its inotify watches (proc_pid_fdinfo(5)).
fn watched(node: &Running) -> Vec<u32> {
    let files = fs::read_dir(format!("/proc/{}/fdinfo", node.id())).into_iter().flatten().flatten();
    let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    let masks = |text: String| -> Vec<u32> {
        let masks = text.lines().filter(|line| line.starts_with("inotify "));
        let masks = masks.filter_map(|line| line.split_whitespace().find_map(|word| word.strip_prefix("mask:")));
        masks.map(|mask| u32::from_str_radix(mask, 16).unwrap()).collect()
    };
    texts.flat_map(masks).collect()
}

#[test]
fn a_node_is_told_of_what_changes_on_the_hub_and_not_of_each_ref_that_somebody_reads() {
    const IN_OPEN: u32 = 0x20;
    const IN_MOVED_TO: u32 = 0x80;
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let node = fleet.watch("n1");
    if cfg!(target_os = "linux") {
        eventually(PATIENCE, || !watched(&node).is_empty());
        // With that, sixteen nodes that poll two hundred claims were told fifty thousand times in each round.
        assert!(watched(&node).iter().all(|mask| mask & IN_OPEN == 0 && mask & IN_MOVED_TO != 0));
    }
}

/// Says whether a clone holds all that its refs name, and none of git's locks; our own are files that stay.
fn is_whole(clone: &Repo) -> bool {
    let locked = clone.run("find", &[], &[".git", "-name", "*.lock", "-not", "-path", ".git/dispatch/*"]).success();
    locked.stdout.is_empty() && clone.git_try(&["fsck", "--connectivity-only"]).code == 0
}

#[test]
fn a_copied_clone_is_a_node_of_its_own_and_takes_nothing_from_the_first() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    fleet.enqueue(&[("a", "touch $HOME/a.began; until [ -e $HOME/go ]; do sleep 0.02; done; echo a > a.txt")]);
    let one = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    let copy = fleet.clone("copy");
    // The node writes meanwhile: a copy that caught it in the middle of something is made again.
    eventually(PATIENCE, || {
        let _ = fs::remove_dir_all(copy.path());
        let cp = Command::new("cp").arg("-R").args([fleet.clone("n1").path(), copy.path()]).output().unwrap();
        cp.status.success() && is_whole(&copy)
    });
    // By its own name it is no other node than by the one that it brought along.
    let out = copy.dispatch(&["run"]).code(1);
    assert!(out.stderr.contains("dispatch::run::name_taken"), "{out}");
    let ran = copy.dispatch(&["run", "--node", "n2"]).code(3);
    assert!(!ran.stderr.contains("released"), "{ran}");
    fleet.touch("go");
    fleet.until("a", "completed");
    assert_eq!(fleet.phases("a"), ["running", "completed"]);
    drop(one);
    fleet.collect_and_check(&ids(&["a"]));
}

#[test]
fn what_fails_is_tried_again_after_a_rest_and_not_for_ever() {
    let settings = format!("retry_failed = 1\nretry_wait = \"1s\"\n{PATIENT}");
    let fleet = Fleet::new(&["boss", "n1"], &settings);
    let once = "[ -e $HOME/tried ] && echo a > a.txt || { touch $HOME/tried; exit 3; }";
    fleet.enqueue(&[("a", once), ("b", "echo because; exit 4")]);
    let node = fleet.watch("n1");
    fleet.until("a", "completed");
    fleet.until("b", "failed");
    assert_eq!(fleet.phases("a"), ["running", "released", "running", "completed"]);
    assert_eq!(fleet.phases("b"), ["running", "released", "running", "failed"]);
    let tasks = fleet.list();
    assert_eq!(tasks["b"]["error"], "exit code 4: because");
    assert_eq!(tasks["b"]["attempt"], 2);
    assert!(said(&node, "failed    p/b (exit)") == 2, "{}", node.output());
    let format = "--format=%(trailers:key=Dispatch-Phase,valueonly,separator=%x2C) %ct";
    let chain = fleet.sandbox.hub().git(&["log", "--first-parent", format, "refs/dispatch/claims/p/b"]);
    let at: Vec<i64> = chain.lines().map(|line| line.split_once(' ').unwrap().1.parse().unwrap()).collect();
    assert!(at[1] - at[2] >= 1, "the second attempt began after a rest: {chain}");
}

#[test]
fn idle_a_node_costs_a_fetch_a_poll_and_its_beats() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let trace = fleet.sandbox.root().join("trace");
    let environment = [("GIT_TRACE2_EVENT", trace.to_str().unwrap())];
    let mut node = fleet.clone("n1").spawn_env(&environment, &["run", "--watch"]);
    let count = |what: &str| {
        // The last line may be half written.
        let text = fs::read_to_string(&trace).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let copy = fleet.sandbox.root().join("trace-copy");
        fs::write(&copy, whole).unwrap();
        let trace = Trace::read(&copy);
        if what.is_empty() {
            trace.command_lines()
        } else {
            trace.command_lines().into_iter().filter(|line| line.contains(what)).collect()
        }
    };
    eventually(PATIENCE, || count(" push ").len() > 4);
    node.term();
    node.wait(PATIENCE);
    let all = count("");
    let pushes = count(" push ");
    let beats: Vec<_> = pushes.iter().filter(|line| line.contains(":refs/dispatch/nodes/n1")).collect();
    assert_eq!(beats.len(), pushes.len(), "{pushes:#?}");
    assert!(pushes.iter().all(|line| line.matches("--force-with-lease").count() == 1), "{pushes:#?}");
    assert_eq!(all.len(), pushes.len() + count(" fetch ").len(), "{all:#?}");
}

#[test]
fn an_empty_outbox_says_so() {
    let fleet = Fleet::new(&["boss"], PATIENT);
    let boss = fleet.clone("boss");
    let out = boss.dispatch(&["outbox"]).success();
    assert!(out.stderr.contains("nothing waits"), "{out}");
    write_specs(&boss, &[("a", &quick("a"))]);
    boss.dispatch(&["enqueue", "tasks"]).success();
    boss.dispatch(&["run"]).success();
    assert_eq!((fleet.waiting("boss"), boss.dispatch(&["outbox", "--flush"]).success().stdout), (0, String::new()));
}
