//! Shows captures of real children: order, bounds, readers beside the writer, and pipes that never
//! end.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{LONG, exited, limits, sh, until, wait};
use crate::ambient::Ambient;
use crate::exec::capture::{self, Capture, Keep};
use crate::exec::{Cancel, Child, Ended, Limits, Mask, end_group, group_alive, spawn};

/// Runs a script with its output captured.
fn captured(dir: &Path, limit: u64, script: &str) -> (Child, Capture) {
    let (capture, stdout, stderr) =
        Capture::start(dir, &Keep { limit, mask: &Mask::default(), clock: &Ambient::fixed(7) }).unwrap();
    (spawn(sh(script).stdout(stdout).stderr(stderr)).unwrap(), capture)
}

#[test]
fn captures_both_streams_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (child, capture) = captured(&dir.path().join("new/one"), 1_000, "echo a; echo b >&2; echo c");
    wait(child, &limits(LONG, LONG), &Cancel::new());
    let captured = capture.finish(LONG).unwrap();
    assert_eq!((&*captured.text, captured.total_bytes), (&b"a\nb\nc\n"[..], 6));
}

#[test]
fn fifty_megabytes_stay_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let script = "echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last";
    let (child, capture) = captured(dir.path(), 10_000, script);
    wait(child, &limits(LONG, LONG), &Cancel::new());
    let captured = capture.finish(LONG).unwrap();
    assert_eq!(captured.total_bytes, 50_000_012);
    let text = String::from_utf8(captured.text).unwrap();
    assert!(text.starts_with("first\nxxx") && text.ends_with("xxx\nlast\n"));
    assert!(text.contains("x\n[git-dispatch: 49980012 bytes left out]\nx") && text.len() < 20_100);
    let kept: u64 = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(kept <= 30_000);
    assert_eq!(capture::tail(dir.path(), 6).unwrap().1, b"\nlast\n");
}

#[test]
fn can_be_read_and_followed_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let go = dir.path().join("go");
    let script = format!("echo one; until [ -e {} ]; do sleep 0.02; done; echo two", go.display());
    let (child, capture) = captured(dir.path(), 1_000, &script);
    until(|| capture::tail(dir.path(), 4).unwrap() == (0, b"one\n".to_vec()));
    assert_eq!(capture::since(dir.path(), 2).unwrap(), (2, b"e\n".to_vec()));
    fs::write(go, "").unwrap();
    wait(child, &limits(LONG, LONG), &Cancel::new());
    assert_eq!(capture.finish(LONG).unwrap().text, capture::read(dir.path()).unwrap());
    assert_eq!(capture::since(dir.path(), 4).unwrap(), (4, b"two\n".to_vec()));
}

#[test]
fn a_daemon_that_holds_the_pipe_does_not_hold_us_up() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    // In a session of its own, so that ending the group does not reach it.
    let script = format!(
        "echo before; setsid sh -c 'echo $$ > {0}; exec sleep 600' & \
         until [ -s {0} ]; do sleep 0.02; done",
        pid.display()
    );
    let (child, capture) = captured(dir.path(), 1_000, &script);
    let start = Instant::now();
    wait(child, &limits(LONG, LONG), &Cancel::new());
    let captured = capture.finish(Duration::from_millis(50)).unwrap();
    assert!(start.elapsed() < LONG);
    assert_eq!(captured.text, b"before\n");
    let daemon = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    assert!(group_alive(daemon));
    end_group(daemon, LONG).unwrap();
}

#[test]
fn a_daemon_that_floods_the_pipe_loses_its_reader() {
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script =
        format!("setsid sh -c 'echo $$ > {}; exec yes' & until [ -s {0} ]; do sleep 0.02; done", pid.display());
    let (child, capture) = captured(dir.path(), 1_000, &script);
    wait(child, &limits(LONG, LONG), &Cancel::new());
    capture.finish(Duration::ZERO).unwrap();
    let kept = capture::read(dir.path()).unwrap();
    // `yes` dies of SIGPIPE, and nothing more is written.
    let daemon = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    until(|| !group_alive(daemon));
    assert_eq!(capture::read(dir.path()).unwrap(), kept);
}

#[test]
fn silence_is_a_stall_and_output_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let stalling = |script: &str, silence: Duration| {
        let (child, capture) = captured(dir.path(), 1_000, script);
        let stall = Some((silence, capture.progress()));
        let ended = wait(child, &Limits { deadline: LONG, stall, grace: LONG }, &Cancel::new());
        (ended, capture.finish(LONG).unwrap().total_bytes)
    };
    assert_eq!(stalling("echo hi; sleep 600", Duration::from_millis(300)), (Ended::Stalled, 3));
    // Longer than the silence allowed in all, but never silent for so long.
    let (ended, bytes) =
        stalling("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo; sleep 0.2; done", Duration::from_secs(2));
    assert_eq!((exited(ended), bytes), (Some(0), 12));
}
