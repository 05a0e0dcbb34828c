//! A hub that will not have a result, and one that only seems so.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::rig::{Fleet, PATIENT, quick};
use crate::sandbox::{PATIENCE, eventually};

/// Gives the hub an `update` hook: `$1` is the ref, `$3` the new value.
fn update_hook(fleet: &Fleet, script: &str) {
    let path = fleet.sandbox.hub().path().join("hooks/update");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_result_that_the_hub_will_never_have_fails_its_task_and_stays_here() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let secret = "case $1 in refs/heads/task/*) tree=$3;; refs/dispatch/claims/*) tree=$3^2;; *) exit 0;; esac; \
        ! git cat-file -e \"$tree:secret.txt\" 2> /dev/null";
    update_hook(&fleet, secret);
    fleet.enqueue(&[("a", "echo $DISPATCH_ATTEMPT > a.txt; [ $DISPATCH_ATTEMPT -gt 1 ] || echo x > secret.txt")]);
    let mut node = fleet.watch("n1");
    fleet.until("a", "failed");
    assert_eq!(
        (fleet.phases("a"), fleet.trailer("a", "Reason")),
        (vec!["running".into(), "failed".into()], "publish".into())
    );
    assert_eq!(fleet.trailer("a", "Charged"), "0", "the task is not to blame");
    let n1 = fleet.clone("n1");
    let error = fleet.list()["a"]["error"].as_str().unwrap().to_owned();
    let kept = error.split_whitespace().last().unwrap();
    assert!(error.contains("kept on n1") && n1.git(&["show", &format!("{kept}:secret.txt")]) == "x", "{error}");
    eventually(PATIENCE, || n1.dispatch(&["outbox"]).success().stdout.contains("refused: the hub will not have"));
    assert!(node.is_running());

    // A person has it tried again: that result is taken, and the node has gone on with other work.
    fleet.clone("boss").dispatch(&["retry", "a"]).success();
    fleet.until("a", "completed");
    node.term();
    node.wait(PATIENCE).code(143);
    fleet.collect_and_check(&["a".to_owned()]);
    assert_eq!(fleet.sandbox.hub().git(&["show", "main:a.txt"]), "2");
}

#[test]
fn a_hub_that_takes_nothing_for_a_while_refuses_nothing_for_good() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    fleet.enqueue(&[("a", &quick("a"))]);
    let pushes = fleet.home("pushes");
    // Each push of an ending is counted; the first twenty are refused, whatever is in them.
    let busy = format!(
        "case $1 in refs/dispatch/claims/*) ;; *) exit 0;; esac; git log -1 --format=%s $3 | grep -q '^running' && exit 0; \
         echo x >> {0}; [ $(wc -l < {0}) -gt 20 ]",
        pushes.display()
    );
    update_hook(&fleet, &busy);
    let node = fleet.watch("n1");
    fleet.until("a", "completed");
    assert_eq!(fleet.phases("a"), ["running", "completed"]);
    eventually(PATIENCE, || fleet.waiting("n1") == 0);
    drop(node);
    fleet.collect_and_check(&["a".to_owned()]);
}
