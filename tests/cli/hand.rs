//! Work by hand: `claim` a task, work on its branch, `finish` it, or `release` it; what becomes of it when somebody else
//! was faster.

use crate::hubs::{as_json, enqueue, keys, on_both, refs, refused, show, state, work_on};
use crate::sandbox::Sandbox;

#[test]
fn a_task_done_by_hand_is_collected_like_any_other() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        let document = as_json(repo, &["claim", "one"]).success().json();
        assert_eq!(keys(&document), ["claimed", "lost"]);
        let claimed = &document["claimed"][0];
        assert_eq!((&claimed["state"], &claimed["attempt"]), (&"running".into(), &1.into()));
        let branch = claimed["branch"].as_str().unwrap();
        assert_eq!(repo.git(&["rev-parse", branch]), repo.git(&["rev-parse", "main"]), "made at its base");
        let made = work_on(repo, "one", "one-made.txt", "by hand\n");
        let finished = as_json(repo, &["finish", "one"]).success().json();
        assert_eq!(
            (&finished["task"], &finished["state"], &finished["published"]),
            (&claimed["task"], &"completed".into(), &true.into())
        );
        let done = show(repo, "one");
        assert_eq!((&done["state"], &done["result"]), (&"completed".into(), &made.into()));
        assert_eq!((&done["files_changed"], &done["hold_until"]), (&1.into(), &serde_json::Value::Null));
        repo.dispatch(&["collect"]).success();
        assert_eq!(repo.git(&["show", "main:one-made.txt"]), "by hand");
        assert_eq!(state(repo, "one"), "merged");
    });
}

#[test]
fn a_hold_lasts_a_day_unless_said_otherwise() {
    on_both(|repo| {
        for (id, hold, hours) in [("day", None, 24), ("short", Some("2h"), 2)] {
            enqueue(repo, id, "", "# A task");
            let mut args = vec!["claim", id, "--json"];
            args.extend(hold.iter().flat_map(|hold| ["--hold", hold]));
            let claimed = repo.dispatch(&args).success().json()["claimed"][0].clone();
            let time = |key: &str| claimed[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
            let held = time("hold_until").duration_since(time("started_at")).as_secs();
            assert!((0..=2).contains(&(hours * 3600 - held)), "{held} s instead of {hours} h");
        }
        repo.dispatch(&["claim", "--hold", "soon"]).code(2);
    });
}

#[test]
fn what_is_next_is_claimed_where_no_task_is_named() {
    on_both(|repo| {
        enqueue(repo, "later", "", "# Later");
        enqueue(repo, "first", "priority: 0", "# First");
        enqueue(repo, "last", "priority: 3", "# Last");
        let claimed = |args: &[&str]| -> Vec<String> {
            let document = as_json(repo, args).success().json();
            let ids =
                document["claimed"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().into());
            ids.collect()
        };
        assert_eq!(claimed(&["claim"]), ["first"]);
        assert_eq!(claimed(&["claim", "--count", "5"]), ["later", "last"]);
        let none = as_json(repo, &["claim"]).code(3).json();
        assert_eq!(none, serde_json::json!({"claimed": [], "lost": []}));
    });
}

#[test]
fn what_somebody_else_has_is_lost_and_what_cannot_start_says_why() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(&a, "one", "", "# One");
    enqueue(&a, "two", "depends_on: [one]", "# Two");
    a.dispatch(&["claim", "one"]).success();
    let lost = as_json(&b, &["claim", "one"]).code(3).json();
    assert_eq!(lost, serde_json::json!({"claimed": [], "lost": ["hub/one"]}));
    let told = b.dispatch(&["claim", "one"]).code(3).stderr;
    assert!(told.contains("hub/one, which is running on a"), "{told}");
    let error = refused(&b, &["claim", "two"], 1, "dispatch::claim::not_claimable");
    assert!(error["message"].as_str().unwrap().contains("hub/one"), "{error}");
    refused(&b, &["finish", "one"], 1, "dispatch::finish::not_claimed");
    refused(&b, &["release", "one"], 1, "dispatch::finish::not_claimed");
    assert_eq!(state(&a, "one"), "running");
}

#[test]
fn a_task_given_back_is_pending_and_its_work_is_kept() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        repo.dispatch(&["claim", "one"]).success();
        let made = work_on(repo, "one", "half.txt", "half\n");
        let document = as_json(repo, &["release", "one"]).success().json();
        assert_eq!(document["released"].as_array().unwrap().len(), 1);
        let released = show(repo, "one");
        assert_eq!((&released["state"], &released["attempt"]), (&"pending".into(), &1.into()));
        assert!(repo.git(&["rev-list", "--all"]).contains(&made), "its work is on the hub");
        refused(repo, &["release", "one"], 1, "dispatch::finish::not_claimed");
        let again = as_json(repo, &["claim", "one"]).success().json();
        assert_eq!(again["claimed"][0]["attempt"], 2);
        // The branch begins anew; what was on it is kept beside.
        let branch = again["claimed"][0]["branch"].as_str().unwrap();
        assert_eq!(repo.git(&["rev-parse", branch]), repo.git(&["rev-parse", "main"]));
        let kept = repo.git(&["for-each-ref", "--contains", &made, "--format=%(refname)"]);
        assert!(kept.contains("/attempts/"), "{kept}");
    });
}

#[test]
fn work_that_failed_says_so() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        repo.dispatch(&["claim", "one"]).success();
        let args = ["finish", "one", "--failed", "--error", "no \u{1b}[31midea"];
        assert_eq!(as_json(repo, &args).success().json()["state"], "failed");
        let failed = show(repo, "one");
        assert_eq!((&failed["state"], &failed["reason"]), (&"failed".into(), &"exit".into()));
        assert_eq!(failed["error"], "no \u{1b}[31midea");
        let told = repo.dispatch(&["show", "one"]).success().stdout;
        assert!(told.contains("no \\u{1b}[31midea"), "{told}");
        repo.dispatch(&["finish", "one", "--error", "x"]).code(2);
    });
}

/// What a person is told leads to the end, and tells when nothing was made.
#[test]
fn each_step_names_the_next() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        let told = repo.dispatch(&["claim", "one"]).success().stderr;
        let commands: Vec<&str> = told.split('`').skip(1).step_by(2).collect();
        assert_eq!(commands.len(), 2, "{told}");
        let git = |command: &str| repo.git(&command.split(' ').skip(1).collect::<Vec<_>>());
        git(commands[0]);
        git(commands[1]);
        assert_eq!(state(repo, "one"), "completed");
        enqueue(repo, "two", "", "# Two");
        repo.dispatch(&["claim", "two"]).success();
        let out = repo.dispatch(&["finish", "two"]).success();
        assert!(out.stderr.contains("nothing was committed"), "{out}");
        enqueue(repo, "three", "", "# Three");
        repo.dispatch(&["claim", "three"]).success();
        repo.git(&["checkout", "--quiet", "main"]);
        work_on(repo, "three", "x.txt", "x\n");
        assert_eq!(repo.dispatch(&["finish", "three"]).success().stderr, "");
    });
}

#[test]
fn finishing_twice_is_finishing_once() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        repo.dispatch(&["claim", "one"]).success();
        work_on(repo, "one", "x.txt", "x\n");
        repo.dispatch(&["finish", "one"]).success();
        let before = refs(repo);
        repo.dispatch(&["finish", "one"]).success();
        assert_eq!(refs(repo), before);
    });
}

#[test]
fn a_dirty_checkout_is_not_finished() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        repo.dispatch(&["claim", "one"]).success();
        let branch = show(repo, "one")["branch"].as_str().unwrap().to_owned();
        repo.git(&["checkout", "--quiet", &branch]);
        repo.write("src/one.txt", "changed\n");
        let before = refs(repo);
        refused(repo, &["finish", "one"], 1, "dispatch::finish::dirty");
        assert_eq!((refs(repo), state(repo, "one")), (before, "running".into()));
        repo.git(&["add", "."]);
        refused(repo, &["finish", "one"], 1, "dispatch::finish::dirty");
        repo.commit("All of it");
        repo.dispatch(&["finish", "one"]).success();
    });
}

#[test]
fn a_branch_that_is_gone_or_rewritten_is_not_finished() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        repo.dispatch(&["claim", "one"]).success();
        let branch = show(repo, "one")["branch"].as_str().unwrap().to_owned();
        repo.git(&["branch", "--quiet", "-D", &branch]);
        refused(repo, &["finish", "one"], 1, "dispatch::finish::no_branch");
        let tree = repo.git(&["rev-parse", "main^{tree}"]);
        let foreign = repo.git(&["commit-tree", "-m", "Of no ancestry", &tree]);
        repo.git(&["branch", &branch, &foreign]);
        refused(repo, &["finish", "one"], 1, "dispatch::finish::not_descended");
        assert_eq!(state(repo, "one"), "running");
        refused(repo, &["finish", "main"], 2, "dispatch::task::unknown");
    });
}

#[test]
fn a_branch_that_is_checked_out_is_not_moved_by_a_claim() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        repo.dispatch(&["claim", "one"]).success();
        let made = work_on(repo, "one", "half.txt", "half\n");
        let branch = show(repo, "one")["branch"].as_str().unwrap().to_owned();
        repo.git(&["checkout", "--quiet", &branch]);
        repo.dispatch(&["release", "one"]).success();
        let out = repo.dispatch(&["claim", "one"]);
        assert!(out.code != 0, "the checkout would show what was not made in it:\n{out}");
        assert_eq!((repo.git(&["rev-parse", "HEAD"]), repo.git(&["status", "--porcelain"])), (made, String::new()));
        assert_eq!(state(repo, "one"), "pending", "nobody holds it");
        repo.git(&["checkout", "--quiet", "main"]);
        repo.dispatch(&["claim", "one"]).success();
    });
}

/// Cancelled while somebody worked on it: the work is kept where the message says, and counts for nothing.
#[test]
fn what_was_called_off_meanwhile_is_fenced_off_with_its_work_kept() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(&a, "one", "", "# One");
    a.dispatch(&["claim", "one"]).success();
    let made = work_on(&a, "one", "late.txt", "late\n");
    b.dispatch(&["cancel", "one"]).success();
    let error = refused(&a, &["finish", "one"], 1, "dispatch::finish::fenced");
    let kept = "refs/dispatch/attempts/hub/one/1-a";
    assert!(error["help"].as_str().unwrap().contains(kept), "{error}");
    assert_eq!(sandbox.hub().git(&["rev-parse", kept]), made);
    assert_eq!((state(&a, "one"), state(&b, "one")), ("cancelled".into(), "cancelled".into()));
    assert_eq!(b.dispatch(&["collect", "--json"]).success().json()["merged"], serde_json::json!([]));
}

/// Taken over by another after it was called off and retried: neither disturbs the other.
#[test]
fn what_somebody_else_took_over_is_fenced_off() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(&a, "one", "", "# One");
    a.dispatch(&["claim", "one"]).success();
    let late = work_on(&a, "one", "late.txt", "late\n");
    b.dispatch(&["cancel", "one"]).success();
    b.dispatch(&["retry", "one"]).success();
    b.dispatch(&["claim", "one"]).success();
    let theirs = work_on(&b, "one", "theirs.txt", "theirs\n");
    refused(&a, &["finish", "one"], 1, "dispatch::finish::fenced");
    assert_eq!(show(&b, "one")["node"], "b");
    b.dispatch(&["finish", "one"]).success();
    assert_eq!(show(&a, "one")["result"], theirs.as_str());
    a.dispatch(&["collect"]).success();
    assert!(a.git_try(&["show", "origin/main:late.txt"]).code != 0);
    assert!(sandbox.hub().git(&["rev-list", "--all"]).contains(&late), "kept on the hub");
}

#[test]
fn work_is_finished_while_the_hub_is_away() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let a = sandbox.repo("a");
    enqueue(&a, "one", "", "# One");
    a.dispatch(&["claim", "one"]).success();
    let made = work_on(&a, "one", "x.txt", "x\n");
    std::fs::rename(sandbox.hub().path(), sandbox.root().join("away.git")).unwrap();
    let out = as_json(&a, &["finish", "one"]).success();
    assert_eq!(out.json()["published"], false, "{out}");
    assert_eq!(as_json(&a, &["status"]).success().json()["outbox"], 1);
    std::fs::rename(sandbox.root().join("away.git"), sandbox.hub().path()).unwrap();
    a.dispatch(&["run"]).code(3);
    assert_eq!(show(&sandbox.repo("b"), "one")["result"], made);
    assert_eq!(as_json(&a, &["status"]).success().json()["outbox"], 0);
}

#[test]
fn a_claim_in_the_name_of_another_node_is_that_nodes() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        let document = as_json(repo, &["claim", "one", "--node", "desk"]).success().json();
        assert_eq!(document["claimed"][0]["node"], "desk");
        work_on(repo, "one", "x.txt", "x\n");
        repo.dispatch(&["finish", "one"]).success();
        assert_eq!(state(repo, "one"), "completed");
    });
}
