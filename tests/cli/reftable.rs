//! Clones whose refs lie in a reftable, as git 3.0 makes them: all works there as it does with files. Where the git at hand
//! does not know them, there is nothing to test. `GIT_DISPATCH_TEST_REFS=reftable` makes all of the suite's such.

use std::fs::File;
use std::time::{Duration, Instant, SystemTime};

use crate::sandbox::{Out, PATIENCE, Repo, Sandbox, eventually, race};
use crate::steps::{done, enqueue, enqueue_lines, file, line, merges, refs_below, states, task};

/// A hub and clones of it, or a repository alone; `None` where this git makes no reftable.
fn clones(names: &[&str]) -> Option<Sandbox> {
    let sandbox = Sandbox::with_clones(&[]);
    for name in names {
        let node = format!("dispatch.node={name}");
        let args = ["clone", "--quiet", "--ref-format=reftable", "-c", &node, "hub.git", name];
        if sandbox.repo(".").git_try(&args).code != 0 {
            return None;
        }
    }
    Some(sandbox)
}

fn alone() -> Option<Sandbox> {
    let sandbox = Sandbox::bare();
    if sandbox.repo(".").git_try(&["init", "--quiet", "--ref-format=reftable", "solo"]).code != 0 {
        return None;
    }
    let solo = sandbox.solo();
    solo.write("src/one.txt", "one\n");
    solo.commit("First commit");
    solo.git(&["config", "dispatch.node", "solo"]);
    Some(sandbox)
}

fn is_in_tables(repo: &Repo) -> bool {
    repo.git(&["rev-parse", "--show-ref-format"]) == "reftable"
}

/// All that can be done in a day, in the repository itself and in a worktree beside it.
fn a_day(sandbox: &Sandbox, a: &Repo, hub: &Repo) {
    assert!(is_in_tables(a));
    a.git(&["worktree", "add", "--quiet", "-b", "beside", "../beside"]);
    let beside = sandbox.repo("beside");
    assert!(a.dispatch(&["init"]).success().stdout.contains("git-dispatch.toml"));
    a.commit("Set up");
    if a.path() != hub.path() {
        a.git(&["push", "--quiet", "origin", "HEAD:main"]);
    }
    let by_hand = |repo: &Repo, id: &str| {
        let claimed = repo.dispatch(&["claim", id, "--json"]).success().json();
        let head = repo.git(&["branch", "--show-current"]);
        repo.git(&["checkout", "--quiet", claimed["claimed"][0]["branch"].as_str().unwrap()]);
        repo.write(&format!("{id}.txt"), "by hand\n");
        repo.commit("By hand");
        repo.dispatch(&["finish", id]).success();
        assert_eq!(task(repo, id)["state"], "completed");
        repo.git(&["checkout", "--quiet", &head]);
    };
    enqueue_lines(
        a,
        &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > 2.txt"), ("hand", ""), ("left", ""), ("no", "")],
    );
    assert_eq!(states(&beside), ["hand pending", "left pending", "no pending", "one pending", "two pending"]);
    by_hand(&beside, "hand");
    beside.dispatch(&["claim", "left"]).success();
    a.dispatch(&["release", "left"]).success();
    a.dispatch(&["cancel", "no", "left"]).success();
    a.dispatch(&["run", "one", "two", "--slots", "2"]).success();
    // Where the branch is checked out it is followed, and the other worktree stays.
    let head = beside.git(&["symbolic-ref", "HEAD"]);
    a.dispatch(&["collect"]).success();
    assert_eq!(states(a), ["hand merged", "left cancelled", "no cancelled", "one merged", "two merged"]);
    assert_eq!((file(hub, "1.txt"), file(hub, "hand.txt")), ("1".to_owned(), "by hand".to_owned()));
    assert_eq!(a.git(&["rev-parse", "HEAD"]), hub.git(&["rev-parse", "main"]));
    assert_eq!(a.git(&["status", "--porcelain", "--untracked-files=no"]), "");
    assert_eq!(beside.git(&["symbolic-ref", "HEAD"]), head);

    // One of two that write one file is set aside.
    enqueue_lines(a, &[("x", "echo x > same.txt"), ("y", "echo y > same.txt")]);
    a.dispatch(&["run", "x", "y"]).success();
    a.dispatch(&["collect"]);
    let all = states(a);
    assert!(all.contains(&"x merged".to_owned()) && all.contains(&"y conflict".to_owned()), "{all:?}");
    for args in [&["status"][..], &["show", "one"], &["log"], &["conflicts"], &["report"], &["gc", "--keep", "0s"]]
    {
        beside.dispatch(args).success();
    }
    let checked = a.dispatch(&["doctor", "--json"]).json();
    let findings = checked["findings"].as_array().unwrap();
    assert!(findings.iter().all(|finding| finding["level"] != "broken"), "{checked}");
    a.git(&["fsck", "--no-dangling", "--no-progress"]);
    assert!(is_in_tables(a));
}

#[test]
fn a_whole_day_without_one() {
    let Some(sandbox) = alone() else { return };
    a_day(&sandbox, &sandbox.solo(), &sandbox.solo());
}

#[test]
fn a_whole_day_with_a_hub_where_git_makes_nothing_else() {
    let mut sandbox = Sandbox::bare();
    sandbox.set("GIT_DEFAULT_REF_FORMAT", "reftable");
    let root = sandbox.repo(".");
    root.git(&["init", "--quiet", "--bare", "hub.git"]);
    root.git(&["clone", "--quiet", "hub.git", "a"]);
    let a = sandbox.repo("a");
    if a.git_try(&["rev-parse", "--show-ref-format"]).stdout.trim() != "reftable" {
        return;
    }
    a.write("src/one.txt", "one\n");
    a.commit("First commit");
    a.git(&["push", "--quiet", "origin", "main"]);
    a.git(&["remote", "set-head", "origin", "main"]);
    a_day(&sandbox, &a, &sandbox.hub());
}

#[test]
fn a_bare_repository_is_worked_in_as_well() {
    let sandbox = Sandbox::with_clones(&[]);
    let root = sandbox.repo(".");
    if root.git_try(&["clone", "--quiet", "--bare", "--ref-format=reftable", "hub.git", "bare.git"]).code != 0 {
        return;
    }
    let bare = sandbox.repo("bare.git");
    bare.git(&["remote", "remove", "origin"]);
    done(&bare, &[("one", "echo 1 > 1.txt")]);
    bare.dispatch(&["collect"]).success();
    assert_eq!((states(&bare), file(&bare, "1.txt")), (vec!["one merged".to_owned()], "1".to_owned()));
}

#[test]
fn of_many_who_claim_each_task_has_one_holder() {
    let Some(sandbox) = clones(&["a", "b"]) else { return };
    sandbox.repo("a").git(&["worktree", "add", "--quiet", "-b", "beside", "../beside"]);
    enqueue_lines(&sandbox.repo("a"), &[("one", "true"), ("two", "true")]);
    let places = ["a", "b", "beside"];
    let outs = race(6, |at| sandbox.repo(places[at % 3]).dispatch(&["claim", "--json"]));
    let won = |out: &Out| if out.code == 0 { out.json()["claimed"].as_array().map_or(0, Vec::len) } else { 0 };
    assert_eq!(outs.iter().map(won).sum::<usize>(), 2, "{outs:?}");
    assert_eq!(states(&sandbox.repo("b")), ["one running", "two running"]);

    let Some(sandbox) = alone() else { return };
    let solo = sandbox.solo();
    enqueue_lines(&solo, &[("one", "true"), ("two", "true"), ("three", "true")]);
    let outs = race(5, |_| solo.dispatch(&["claim", "--json"]));
    assert_eq!(outs.iter().map(won).sum::<usize>(), 3, "{outs:?}");
    assert_eq!(states(&solo), ["one running", "three running", "two running"]);
}

#[test]
fn a_bundle_goes_there_and_back() {
    let Some(sandbox) = clones(&["a"]) else { return };
    let (a, root) = (sandbox.repo("a"), sandbox.repo("."));
    enqueue_lines(&a, &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > 2.txt")]);
    for (number, is_in_tables_there) in [(1, false), (2, true)] {
        let (out, back) = (format!("../out{number}"), format!("../back{number}"));
        let id = ["one", "two"][number - 1];
        a.dispatch(&["bundle", "create", &out, "--for", "vault", id]).success();
        root.dispatch(&["bundle", "open", &out[3..], "vault"]).success();
        let vault = sandbox.repo("vault");
        if is_in_tables_there {
            // git does not take logs along.
            let _ = std::fs::remove_dir_all(vault.path().join(".git/logs"));
            if vault.git_try(&["refs", "migrate", "--ref-format=reftable"]).code != 0 {
                return; // git 2.45 cannot
            }
        }
        assert_eq!(is_in_tables(&vault), is_in_tables_there);
        vault.dispatch(&["run"]).success();
        vault.dispatch(&["bundle", "create", &back, "--results"]).success();
        a.dispatch(&["collect", "--bundle", &back]).success();
    }
    assert_eq!(states(&a), ["one merged", "two merged"]);
    assert_eq!(merges(&sandbox.hub()).len(), 2);
}

#[test]
fn a_node_hears_of_what_lands_on_a_hub_on_this_machine() {
    let Some(sandbox) = alone() else { return };
    let solo = sandbox.solo();
    // Two seconds after a look a hint is heeded; without one the next look is twenty after it.
    let slow = [("GIT_DISPATCH_NODE_POLL", "20s"), ("GIT_DISPATCH_NODE_POLL_MAX", "1h")];
    let mut node = solo.spawn_env(&slow, &["run", "--watch"]);
    eventually(PATIENCE, || !refs_below(&solo, "refs/dispatch/nodes/").is_empty());
    enqueue(&solo, &[("one", line("true"))]);
    eventually(Duration::from_secs(15), || states(&solo) == ["one completed"]);
    node.term();
    node.wait(PATIENCE).code(143);
}

#[test]
fn what_a_killed_git_left_goes_away() {
    let Some(sandbox) = alone() else { return };
    let solo = sandbox.solo();
    let folder = solo.path().join(".git/reftable");
    let plant = |name: &str, age: u64| {
        let lock = File::create(folder.join(name)).unwrap();
        lock.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
    };
    plant("tables.list.lock", 120);
    enqueue(&solo, &[("one", line("true"))]);
    assert_eq!((states(&solo), folder.join("tables.list.lock").exists()), (vec!["one pending".to_owned()], false));
    // One on a single table is in nobody's way.
    plant("tables.list.lock", 120);
    plant("0x000000000001-0x000000000002-aaaaaaaa.ref.lock", 120);
    let told = solo.dispatch(&["doctor", "--json"]).json().to_string();
    assert!(told.contains("removed") && told.contains("aaaaaaaa.ref.lock"), "{told}");
    assert!(!folder.join("tables.list.lock").exists());
    // One that somebody may hold is waited for.
    plant("tables.list.lock", 58);
    solo.dispatch(&["claim", "one"]).success();
    assert_eq!(states(&solo), ["one running"]);
}

#[test]
fn a_command_that_is_killed_is_given_again() {
    let Some(sandbox) = alone() else { return };
    let solo = sandbox.solo();
    let folder = crate::steps::specs(&solo, "specs", &[("one", line("echo 1 > 1.txt")), ("two", line("true"))]);
    for (number, args) in [&["enqueue", &folder][..], &["run"], &["collect"]].into_iter().enumerate() {
        // A run that is killed may have cost its task an attempt, of which there are few.
        for round in 0..if number == 1 { 1 } else { 3 } {
            let mut running = solo.spawn(args);
            let (begun, after) = (Instant::now(), Duration::from_millis(5 + 17 * (round + number as u64)));
            while begun.elapsed() < after && running.is_running() {
                std::thread::sleep(Duration::from_millis(1));
            }
            running.kill9();
            running.wait(PATIENCE);
        }
        solo.dispatch(args).success();
    }
    assert_eq!(states(&solo), ["one merged", "two merged"]);
    assert_eq!(refs_below(&solo, "refs/dispatch/claims/"), [""; 0]);
    assert_eq!(file(&solo, "1.txt"), "1");
}

#[test]
fn reading_starts_no_more_processes_than_with_files() {
    let Some(sandbox) = clones(&["a"]) else { return };
    let a = sandbox.repo("a");
    sandbox.repo(".").git(&["clone", "--quiet", "--ref-format=files", "hub.git", "b"]);
    done(&a, &[("one", "echo 1 > 1.txt"), ("two", "true")]);
    enqueue_lines(&a, &[("three", "true")]);
    let costs = |repo: &Repo| {
        assert_eq!(states(repo), ["one completed", "three pending", "two completed"]);
        [&["list", "--offline"][..], &["list"], &["status", "--offline"]].map(|args| {
            let (out, trace) = repo.traced(args);
            out.success();
            trace.processes()
        })
    };
    assert_eq!((costs(&a), costs(&sandbox.repo("b"))), ([0, 1, 0], [0, 1, 0]));
}
