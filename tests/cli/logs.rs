//! `logs`: what an executor wrote, while it runs and afterwards.

use std::fs;

use crate::rig::{Fleet, PATIENT};
use crate::sandbox::{PATIENCE, Sandbox, eventually};
use crate::steps::{done, each_hub, enqueue, enqueue_lines, refused, shown, until};

#[test]
fn output_is_kept_as_it_was() {
    each_hub(|_, a, _| {
        let script = "echo out; echo err >&2; printf '== attempt 7 on x: 2 bytes\\nno end of line'";
        done(a, &[("one", script), ("two", "echo second"), ("quiet", "true")]);
        let out = a.dispatch(&["logs", "one"]).success();
        assert_eq!(out.stdout, "out\nerr\n== attempt 7 on x: 2 bytes\nno end of line");
        assert!(out.stderr.is_empty(), "{out}");
        assert_eq!(a.dispatch(&["logs", "p/two"]).success().stdout, "second\n");
        let document = a.dispatch(&["logs", "two", "--json"]).success().json();
        assert_eq!((document["task"].as_str(), document["log"].as_str()), (Some("p/two"), Some("second\n")));
        // Still there when the task is merged.
        a.dispatch(&["collect"]).success();
        assert_eq!(a.dispatch(&["logs", "two", "--attempt", "1"]).success().stdout, "second\n");
        refused(&a.dispatch(&["logs", "two", "--attempt", "2", "--json"]), "dispatch::logs::none", 1);
    });
}

#[test]
fn output_is_fetched_from_another_node() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    done(&a, &[("one", "echo from a"), ("two", "echo too")]);
    b.dispatch(&["list"]).success();
    assert_eq!(b.git(&["for-each-ref", "refs/notes/dispatch-logs"]), "", "logs are fetched only when asked for");
    assert_eq!(b.dispatch(&["logs", "one"]).success().stdout, "from a\n");
    assert_eq!(b.dispatch(&["logs", "two"]).success().stdout, "too\n");
    // Plain git can read it too.
    let spec = sandbox.hub().git(&["rev-parse", "refs/dispatch/queue"]);
    let note = sandbox.hub().git(&["notes", "--ref", "refs/notes/dispatch-logs/a", "show", &spec]);
    assert!(note.contains("too"), "{note}");
}

#[test]
fn output_of_a_running_task_is_shown() {
    each_hub(|sandbox, a, _| {
        let go = sandbox.root().join("go");
        let script = format!("echo begun; {}; echo ended", until(&format!("[ -e {} ]", shown(&go))));
        enqueue_lines(a, &[("one", &script)]);
        let running = a.spawn(&["run"]);
        eventually(PATIENCE, || {
            let out = a.dispatch(&["logs", "one", "--json"]);
            out.code == 0 && out.json()["log"] == "begun\n" && out.json()["live"] == true
        });
        fs::write(go, "").unwrap();
        running.wait(PATIENCE).success();
        assert_eq!(a.dispatch(&["logs", "one"]).success().stdout, "begun\nended\n");
    });
}

/// A shell line that says the time, and again once a new second has begun.
const CLOCK: &str =
    "date -u +%FT%TZ; s=$(date +%s); until [ $(date +%s) != $s ]; do sleep 0.02; done; date -u +%FT%TZ";

/// Demands that each line stands behind a time that is its own or a little later, and that times go on.
#[track_caller]
fn timed(shown: &str) {
    let lines: Vec<(&str, &str)> =
        shown.lines().map(|line| line.split_once(' ').expect("a time and a line")).collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(lines.iter().all(|(at, said)| at.len() == 20 && at >= said), "{shown}");
    assert!(lines[0].0 < lines[1].0, "{shown}");
}

#[test]
fn each_line_can_be_shown_with_its_time() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    let go = sandbox.root().join("go");
    enqueue_lines(&a, &[("one", &format!("{CLOCK}; {}", until(&format!("[ -e {} ]", shown(&go)))))]);
    let running = a.spawn(&["run"]);
    eventually(PATIENCE, || a.dispatch(&["logs", "one"]).stdout.lines().count() == 2);
    timed(&a.dispatch(&["logs", "one", "--timestamps"]).success().stdout);
    let follower = a.spawn(&["logs", "-ft", "one"]);
    fs::write(go, "").unwrap();
    running.wait(PATIENCE).success();
    timed(&follower.wait(PATIENCE).success().stdout);
    let plain = b.dispatch(&["logs", "one"]).success().stdout;
    assert!(plain.lines().all(|line| line.len() == 20), "{plain}");
    timed(&b.dispatch(&["logs", "-t", "one"]).success().stdout);
    let document = b.dispatch(&["logs", "one", "--json"]).success().json();
    let times = document["times"].as_array().unwrap();
    assert_eq!((times.len(), &times[0]["line"], &times[1]["line"]), (2, &1.into(), &2.into()), "{document}");
    done(&a, &[("quiet", "true")]);
    assert_eq!(a.dispatch(&["logs", "-t", "quiet"]).success().stdout, "");
}

#[test]
fn a_flood_is_cut_in_the_middle() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    done(&a, &[("one", "echo first; yes abcdefghijklmnopqrstuvwxyz | head -n 400000; echo last")]);
    let log = a.dispatch(&["logs", "one"]).success().stdout;
    assert!(log.starts_with("first\n") && log.ends_with("last\n"), "both ends are kept");
    assert!(log.len() < 2 << 20, "{} bytes", log.len());
}

#[test]
fn there_is_none_of_a_task_that_never_ran() {
    each_hub(|_, a, _| {
        enqueue(a, &[("one", "")]);
        refused(&a.dispatch(&["logs", "one", "--json"]), "dispatch::logs::none", 1);
        refused(&a.dispatch(&["logs", "other", "--json"]), "dispatch::task::unknown", 2);
        refused(&a.dispatch(&["logs", "p/../x", "--json"]), "dispatch::name::invalid", 2);
    });
}

#[test]
fn a_running_task_is_followed_to_its_end_here_and_from_afar() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let script = |before: &str, after: &str| {
        let wait = until(&format!("[ -e {} ]", shown(&fleet.home("go"))));
        format!("printf '{before}'; {wait}; printf '{after}'")
    };
    fleet.enqueue(&[("a", &script("begun\\nhalf a ", "line\\nended"))]);
    let mut node = fleet.watch("n1");
    fleet.until("a", "running");
    let (boss, n1) = (fleet.clone("boss"), fleet.clone("n1"));
    // The last lines ride on the heartbeats, for plain git too.
    eventually(PATIENCE, || boss.dispatch(&["logs", "a", "--json"]).json()["log"] == "begun\nhalf a ");
    let tail = fleet.sandbox.hub().git(&["cat-file", "-p", "refs/dispatch/nodes/n1:logs/p/a"]);
    assert_eq!(tail, "begun\nhalf a ");
    let (afar, here, whole) = (
        boss.spawn(&["logs", "-f", "a"]),
        n1.spawn(&["logs", "-f", "a"]),
        boss.spawn(&["logs", "-f", "a", "--json"]),
    );
    eventually(PATIENCE, || afar.output().stdout.ends_with('\n') && here.output().stdout.ends_with('\n'));
    assert_eq!((afar.output().stdout, here.output().stdout), ("begun\n".to_owned(), "begun\n".to_owned()));
    fleet.touch("go");
    for follower in [afar, here] {
        assert_eq!(follower.wait(PATIENCE).success().stdout, "begun\nhalf a line\nended");
    }
    assert_eq!(whole.wait(PATIENCE).success().json()["log"], "begun\nhalf a line\nended");
    // What has ended is shown whole, and the command comes to its end.
    assert_eq!(boss.dispatch(&["logs", "-f", "a"]).success().stdout, "begun\nhalf a line\nended");
    node.term();
    node.wait(PATIENCE).code(143);
}

#[test]
fn output_is_still_there_when_a_task_was_reopened() {
    each_hub(|_, a, _| {
        enqueue_lines(a, &[("one", "echo first; exit 1")]);
        a.dispatch(&["run"]).code(4);
        a.dispatch(&["cancel", "one"]).success();
        assert_eq!(a.dispatch(&["logs", "one"]).success().stdout, "first\n");
        a.dispatch(&["retry", "one"]).success();
        assert_eq!(a.dispatch(&["logs", "one"]).success().stdout, "first\n");
        a.dispatch(&["run"]).code(4);
        let second = a.dispatch(&["logs", "one", "--json"]).success().json();
        assert_eq!(second["attempt"], 2);
        assert_eq!(a.dispatch(&["logs", "one", "--attempt", "1"]).success().stdout, "first\n");
    });
}
