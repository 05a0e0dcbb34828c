//! Shows `exec` as a whole with real children of `sh`: limits, groups, and what they leave behind.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

mod captures;

use super::{Cancel, Child, Ended, Limits, collect_output, end_group, group_alive, spawn};

/// Far more than anything here takes, far less than the children would: it is never waited for.
const LONG: Duration = Duration::from_secs(60);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn limits(deadline: Duration, grace: Duration) -> Limits {
    Limits { deadline, stall: None, grace }
}

fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "it never came true");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a child and sees that nothing of its group is left, in good time.
fn wait(child: Child, limits: &Limits, cancel: &Cancel) -> Ended {
    let (start, group) = (Instant::now(), child.id());
    let ended = child.wait(limits, cancel).unwrap();
    assert!(start.elapsed() < LONG);
    assert!(!group_alive(group));
    ended
}

fn exited(ended: Ended) -> Option<i32> {
    match ended {
        Ended::Exited(status) => status.code(),
        _ => None,
    }
}

#[test]
fn tells_exit_codes_and_foreign_signals() {
    let none = limits(LONG, LONG);
    for code in [0, 1, 75, 255] {
        let child = spawn(&mut sh(&format!("exit {code}"))).unwrap();
        let ended = wait(child, &none, &Cancel::new());
        assert_eq!((exited(ended), ended.success()), (Some(code), code == 0));
    }
    let killed = wait(spawn(&mut sh("kill -9 $$")).unwrap(), &none, &Cancel::new());
    assert!(matches!(killed, Ended::Exited(status) if status.code().is_none()));
    assert!(spawn(&mut Command::new("/nowhere/to/be/found")).is_err());
}

#[test]
fn a_child_past_its_deadline_is_asked_to_leave() {
    let dir = tempfile::tempdir().unwrap();
    let (ready, left) = (dir.path().join("ready"), dir.path().join("left"));
    let script = format!(
        "trap 'echo > {}; exit 0' TERM; echo > {}; while :; do sleep 0.05; done",
        left.display(),
        ready.display()
    );
    let child = spawn(&mut sh(&script)).unwrap();
    until(|| ready.exists());
    assert_eq!(wait(child, &limits(Duration::ZERO, LONG), &Cancel::new()), Ended::TimedOut);
    assert!(left.exists());
}

#[test]
fn a_child_that_will_not_leave_is_killed() {
    let child = spawn(&mut sh("trap '' TERM; while :; do sleep 600; done")).unwrap();
    let brief = limits(Duration::from_millis(100), Duration::from_millis(100));
    assert_eq!(wait(child, &brief, &Cancel::new()), Ended::TimedOut);
}

#[test]
fn a_stopped_child_may_still_tidy_up() {
    let dir = tempfile::tempdir().unwrap();
    let left = dir.path().join("left");
    let child = spawn(&mut sh(&format!("trap 'echo > {}; exit' TERM; kill -STOP $$", left.display()))).unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    until(|| fs::read_to_string(&stat).map_or(true, |line| line.contains(") T ")));
    assert_eq!(wait(child, &limits(Duration::ZERO, LONG), &Cancel::new()), Ended::TimedOut);
    assert!(left.exists());
}

#[test]
fn background_children_are_ended_with_the_group() {
    // One that outlives a child which ends by itself, deaf to SIGTERM even; one under a child that
    // is cancelled.
    let quick = spawn(&mut sh("(trap '' TERM; sleep 600) & sleep 600 & exit 7")).unwrap();
    assert_eq!(exited(wait(quick, &limits(LONG, Duration::from_millis(100)), &Cancel::new())), Some(7));

    let cancel = Cancel::new();
    cancel.raise();
    let slow = spawn(&mut sh("sleep 600 & sh -c 'sleep 600 & wait' & wait")).unwrap();
    assert_eq!(wait(slow, &limits(LONG, LONG), &cancel), Ended::Cancelled);
}

#[test]
fn cancelling_wakes_the_waiting_side() {
    let cancel = Cancel::new();
    let child = spawn(&mut sh("sleep 600")).unwrap();
    let waiter = thread::spawn({
        let cancel = cancel.clone();
        move || wait(child, &Limits::within(Duration::MAX), &cancel)
    });
    cancel.raise();
    assert_eq!(waiter.join().unwrap(), Ended::Cancelled);
}

#[test]
fn a_dropped_child_is_ended() {
    let child = spawn(&mut sh("sleep 600 & sleep 600")).unwrap();
    let group = child.id();
    drop(child);
    assert!(!group_alive(group));
}

#[test]
fn a_group_can_be_ended_by_its_number_alone() {
    let child = spawn(&mut sh("trap '' TERM; sleep 600 & wait; sleep 600")).unwrap();
    end_group(child.id(), Duration::from_millis(50)).unwrap();
    assert!(matches!(wait(child, &limits(LONG, LONG), &Cancel::new()), Ended::Exited(_)));
}

#[test]
fn collects_what_a_tool_says_and_feeds_it() {
    let none = limits(LONG, LONG);
    let script = "cat; echo on stderr >&2; exit 3";
    let big = vec![b'x'; 300_000];
    let (ended, stdout, stderr) =
        collect_output(&mut sh(script), Some(big.clone()), &none, &Cancel::new()).unwrap();
    assert_eq!((exited(ended), stdout.len(), &*stderr), (Some(3), big.len(), &b"on stderr\n"[..]));
    // Without input there is none, rather than ours; and a child that does not read its input
    // breaks nothing.
    let (_, stdout, _) = collect_output(&mut sh("cat"), None, &none, &Cancel::new()).unwrap();
    assert_eq!(stdout, b"");
    let (ended, ..) = collect_output(&mut sh("exit 0"), Some(big), &none, &Cancel::new()).unwrap();
    assert!(ended.success());
}

#[test]
fn a_tool_that_opens_its_output_anew_leaves_no_hole() {
    let script = "echo lost >&2; echo fresh > /dev/stderr; echo after >&2";
    let (.., stderr) = collect_output(&mut sh(script), None, &limits(LONG, LONG), &Cancel::new()).unwrap();
    assert_eq!(String::from_utf8(stderr).unwrap(), "fresh\nafter\n");
}

#[test]
fn what_a_tool_leaves_in_the_background_lives_on() {
    let start = Instant::now();
    let script = "sleep 600 & echo $$";
    let (ended, stdout, _) = collect_output(&mut sh(script), None, &limits(LONG, LONG), &Cancel::new()).unwrap();
    assert!(ended.success() && start.elapsed() < LONG);
    let group = String::from_utf8(stdout).unwrap().trim().parse().unwrap();
    assert!(group_alive(group));
    end_group(group, LONG).unwrap();
}

#[test]
fn a_tool_is_bounded_and_not_even_started_when_cancelled() {
    let brief = limits(Duration::from_millis(200), Duration::from_millis(200));
    let (ended, stdout, _) =
        collect_output(&mut sh("echo so far; sleep 600"), None, &brief, &Cancel::new()).unwrap();
    assert_eq!((ended, &*stdout), (Ended::TimedOut, &b"so far\n"[..]));
    let cancel = Cancel::new();
    cancel.raise();
    let mut nowhere = Command::new("/nowhere/to/be/found");
    assert_eq!(collect_output(&mut nowhere, None, &brief, &cancel).unwrap().0, Ended::Cancelled);
}
