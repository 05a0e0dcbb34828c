//! Answers that never arrive and hubs that are away, seen by a `run`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::sandbox::{PATIENCE, Sandbox, eventually};
use crate::steps::{enqueue_lines, shown, states, task};

/// The claim had been taken back, the result landed on its release, and the node was killed before it knew. Started
/// again it said that it was fenced off, although its result had been accepted.
#[test]
fn a_late_result_that_landed_unheard_is_published_and_not_fenced_off() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    let [begun, go, pid] = ["begun", "go", "pid"].map(|name| sandbox.root().join(name));
    let wait = format!("touch {}; until [ -e {} ]; do sleep 0.02; done; echo x > x.txt", shown(&begun), shown(&go));
    enqueue_lines(&a, &[("one", &wait)]);
    let hook = sandbox.hub().path().join("hooks/post-receive");
    let kill = "#!/bin/sh\nwhile read -r old new ref; do case $ref in refs/dispatch/claims/*)\n\
                git log -1 --format=%s \"$new\" | grep -q '^completed' && kill -9 $(cat PID);; esac; done\n";
    fs::write(&hook, kill.replace("PID", shown(&pid))).unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();

    // It does not look at the hub before it is done.
    let slow = [("GIT_DISPATCH_NODE_POLL", "1h"), ("GIT_DISPATCH_NODE_POLL_MAX", "1h")];
    let mut running = a.spawn_env(&slow, &["run"]);
    fs::write(&pid, running.id().to_string()).unwrap();
    eventually(PATIENCE, || begun.exists());
    b.dispatch(&["reap", "--force"]).success();
    assert_eq!(states(&b), ["one pending"]);
    fs::write(&go, "").unwrap();
    eventually(PATIENCE, || !running.is_running());
    running.wait(PATIENCE).code(137);
    fs::remove_file(&hook).unwrap();

    let out = a.dispatch(&["run"]).code(3);
    assert!(out.stderr.contains("published the waiting result of p/one"), "{out}");
    assert!(!out.to_string().contains("fenced") && !out.to_string().contains("attempts/"), "{out}");
    assert_eq!((states(&a), task(&a, "one")["attempt"].as_u64()), (vec!["one completed".to_owned()], Some(1)));
    assert_eq!(sandbox.hub().git(&["for-each-ref", "refs/dispatch/attempts"]), "");
}

/// An executor out of quota, while the hub was away, ended the whole daemon.
#[test]
fn a_node_stays_when_it_cannot_give_a_task_back() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    let [begun, go] = ["begun", "go"].map(|name| sandbox.root().join(name));
    let wait = format!("touch {}; until [ -e {} ]; do sleep 0.02; done; exit 75", shown(&begun), shown(&go));
    enqueue_lines(&a, &[("one", &wait)]);
    let quick = [("GIT_DISPATCH_NODE_POLL", "100ms"), ("GIT_DISPATCH_NODE_POLL_MAX", "200ms")];
    let mut running = a.spawn_env(&quick, &["run", "--watch"]);
    eventually(PATIENCE, || begun.exists());
    let (hub, away) = (sandbox.hub().path().to_owned(), sandbox.root().join("away"));
    fs::rename(&hub, &away).unwrap();
    eventually(PATIENCE, || running.output().stderr.contains("does not answer"));
    fs::write(&go, "").unwrap();
    eventually(PATIENCE, || !running.is_running() || running.output().stderr.contains("could not be given back"));
    // Some polls more, in which it would fall.
    let start = Instant::now();
    while running.is_running() && start.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(10));
    }
    fs::rename(&away, &hub).unwrap();
    // It is given back once the hub answers, and tried again.
    let is_given_back =
        || sandbox.hub().git(&["log", "--format=%s", "refs/dispatch/claims/p/one"]).contains("released");
    eventually(PATIENCE, || !running.is_running() || is_given_back());
    assert!(running.is_running(), "{}", running.output());
    running.kill9();
    running.wait(PATIENCE);
}
