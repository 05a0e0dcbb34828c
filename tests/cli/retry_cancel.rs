//! `cancel` and `retry`: what may be called off, what may be tried again, and what is kept.

use crate::hubs::{as_json, enqueue, on_both, refs, refused, show, state, work_on};
use crate::sandbox::Sandbox;

#[test]
fn a_pending_task_is_called_off_for_good_and_can_be_reopened() {
    on_both(|repo| {
        enqueue(repo, "one", "run: echo x > x.txt", "# One");
        enqueue(repo, "two", "", "# Two");
        let document = as_json(repo, &["cancel", "one", "two"]).success().json();
        assert_eq!(document["cancelled"].as_array().unwrap().len(), 2);
        assert_eq!(document["already"], serde_json::json!([]));
        assert_eq!(repo.git(&["for-each-ref", "refs/dispatch/claims"]), "", "sealed: no claim is left");
        repo.dispatch(&["run"]).code(3);

        let before = refs(repo);
        let again = as_json(repo, &["cancel", "one"]).success().json();
        assert_eq!(
            (again["cancelled"].as_array().unwrap().len(), again["already"].as_array().unwrap().len()),
            (0, 1)
        );
        assert_eq!(refs(repo), before, "nothing is written by a second cancel");

        let document = as_json(repo, &["retry", "one"]).success().json();
        assert_eq!(document["retried"].as_array().unwrap().len(), 1);
        assert_eq!(state(repo, "one"), "pending");
        assert_eq!(as_json(repo, &["retry", "one"]).success().json()["already"].as_array().unwrap().len(), 1);
        repo.dispatch(&["run"]).success();
        repo.dispatch(&["collect"]).success();
        assert_eq!((state(repo, "one"), state(repo, "two")), ("merged".into(), "cancelled".into()));
    });
}

#[test]
fn attempts_go_on_counting_and_the_charge_starts_again() {
    on_both(|repo| {
        enqueue(repo, "one", "run: exit 7", "# One");
        for attempt in 1..=5 {
            repo.dispatch(&["run"]).code(4);
            let failed = show(repo, "one");
            assert_eq!((&failed["state"], &failed["attempt"]), (&"failed".into(), &attempt.into()));
            assert_eq!((&failed["exit_code"], &failed["reason"]), (&7.into(), &"exit".into()));
            if attempt == 2 {
                repo.dispatch(&["cancel", "one"]).success();
            }
            repo.dispatch(&["retry", "one"]).success();
            assert_eq!(state(repo, "one"), "pending", "also past max_attempts: a person asked for it");
        }
    });
}

#[test]
fn what_is_merged_is_neither_called_off_nor_tried_again() {
    on_both(|repo| {
        enqueue(repo, "one", "run: echo x > x.txt", "# One");
        repo.dispatch(&["run"]).success();
        repo.dispatch(&["collect"]).success();
        let merge = show(repo, "one")["merge_commit"].as_str().unwrap().to_owned();
        let before = refs(repo);
        let error = refused(repo, &["retry", "one"], 1, "dispatch::retry::merged");
        let command = format!("git revert -m 1 {merge}");
        assert!(error["help"].as_str().unwrap().contains(&command), "{error}");
        refused(repo, &["cancel", "one"], 1, "dispatch::cancel::too_late");
        assert_eq!(refs(repo), before);
        // The way out works as it is written.
        repo.git(&["checkout", "--quiet", "-B", "main", &merge]);
        let revert: Vec<&str> = command.split(' ').skip(1).chain(["--no-edit"]).collect();
        repo.git(&revert);
        assert!(!repo.path().join("x.txt").exists());
    });
}

#[test]
fn what_is_under_way_or_done_is_not_retried() {
    on_both(|repo| {
        enqueue(repo, "hand", "", "# By hand");
        enqueue(repo, "done", "run: echo x > x.txt", "# Done");
        repo.dispatch(&["claim", "hand"]).success();
        repo.dispatch(&["run"]).success();
        let before = refs(repo);
        refused(repo, &["retry", "hand"], 1, "dispatch::retry::not_ended");
        refused(repo, &["retry", "done"], 1, "dispatch::retry::not_ended");
        refused(repo, &["retry", "nope"], 2, "dispatch::task::unknown");
        assert_eq!(refs(repo), before);
    });
}

/// All are looked at before any is touched.
#[test]
fn one_that_cannot_be_called_off_keeps_the_others_as_they_are() {
    on_both(|repo| {
        enqueue(repo, "merged", "run: echo x > x.txt", "# Merged");
        repo.dispatch(&["run"]).success();
        repo.dispatch(&["collect"]).success();
        enqueue(repo, "open", "", "# Open");
        refused(repo, &["cancel", "open", "merged"], 1, "dispatch::cancel::too_late");
        refused(repo, &["cancel", "open", "nope"], 2, "dispatch::task::unknown");
        refused(repo, &["retry", "open", "merged"], 1, "dispatch::retry::merged");
        assert_eq!(state(repo, "open"), "pending");
    });
}

#[test]
fn the_work_of_a_cancelled_task_is_kept() {
    on_both(|repo| {
        enqueue(repo, "done", "run: echo x > x.txt", "# Done");
        repo.dispatch(&["run"]).success();
        let result = show(repo, "done")["result"].as_str().unwrap().to_owned();
        repo.dispatch(&["cancel", "done"]).success();
        let document = show(repo, "done");
        assert_eq!((&document["state"], &document["result"]), (&"cancelled".into(), &result.clone().into()));
        let kept = repo.git(&["for-each-ref", "--contains", &result, "--format=%(refname)", "refs/dispatch"]);
        assert!(kept.contains("refs/dispatch/attempts/"), "{kept}");
        assert_eq!(as_json(repo, &["collect"]).success().json()["merged"], serde_json::json!([]));
        // Reopened, it starts with a next attempt; the old work stays where it is.
        repo.dispatch(&["retry", "done"]).success();
        repo.dispatch(&["run"]).success();
        assert_eq!(show(repo, "done")["attempt"], 2);
        assert!(repo.git(&["for-each-ref", "--contains", &result, "refs/dispatch/attempts"]).contains("/1-"));
    });
}

#[test]
fn a_conflict_is_retried_from_the_target_as_it_is_then() {
    on_both(|repo| {
        enqueue(repo, "one", "run: echo one > both.txt", "# One");
        enqueue(repo, "two", "run: echo two > both.txt", "# Two");
        repo.dispatch(&["run", "--slots", "2"]).success();
        repo.dispatch(&["collect"]).code(4);
        let conflict = show(repo, "two");
        assert_eq!(
            (&conflict["state"], &conflict["conflict_files"][0]["path"]),
            (&"conflict".into(), &"both.txt".into())
        );
        repo.dispatch(&["retry", "two"]).success();
        repo.dispatch(&["run"]).success();
        repo.dispatch(&["collect"]).success();
        let target = show(repo, "two")["merge_commit"].as_str().unwrap().to_owned();
        assert_eq!(repo.git(&["show", &format!("{target}:both.txt")]), "two");
    });
}

#[test]
fn a_cancelled_task_of_another_node_is_seen_at_once() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(&a, "one", "", "# One");
    a.dispatch(&["claim", "one"]).success();
    work_on(&a, "one", "x.txt", "x\n");
    b.dispatch(&["cancel", "one"]).success();
    assert_eq!(state(&a, "one"), "cancelled");
    refused(&a, &["release", "one"], 1, "dispatch::finish::not_claimed");
}
