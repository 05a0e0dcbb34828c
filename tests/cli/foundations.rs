//! Work that is built on work which has not landed: what the base holds, that it lands once, and what becomes of it when
//! its foundation never does.

use crate::hubs::as_json;
use crate::rig::{Fleet, PATIENT, gated};
use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};
use crate::steps::{each, each_hub, enqueue, file, line, merges, refs_below, states, task, text};

/// A task that leaves its file, and fails unless the files of these are there already.
fn on(dependencies: &[&str], id: &str) -> String {
    let there: String = dependencies.iter().map(|id| format!("test -e {id}.txt && ")).collect();
    let depends_on = match dependencies {
        [] => String::new(),
        some => format!("depends_on: [{}]\n", some.join(", ")),
    };
    format!("{depends_on}{}", line(&format!("{there}echo {id} >> {id}.txt")))
}

fn trailers(hub: &Repo, id: &str, key: &str) -> Vec<String> {
    let format = format!("--format=%(trailers:key=Dispatch-{key},valueonly)");
    let name = format!("refs/dispatch/claims/p/{id}");
    let found = hub.git(&["log", "-1", &format, &name]);
    found.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_diamond_on_two_nodes_lands_each_once() {
    let fleet = Fleet::new(&["boss", "n1", "n2"], PATIENT);
    let (boss, hub) = (fleet.clone("boss"), fleet.sandbox.hub());
    let both = ["B", "C"].map(|id| format!("depends_on: A\n{}", line(&gated(id, "go"))));
    enqueue(
        &boss,
        &[("A", on(&[], "A")), ("B", both[0].clone()), ("C", both[1].clone()), ("D", on(&["A", "B", "C"], "D"))],
    );
    // The dependency on A is in B and C; D names those two alone.
    let spec = format!(
        "depends_on: [B, C]\n{}",
        line("test -e A.txt && test -e B.txt && test -e C.txt && echo D2 > D2.txt")
    );
    enqueue(&boss, &[("D2", spec)]);
    let nodes = [fleet.watch("n1"), fleet.watch("n2")];
    // Both sides at the same time, so one on each node.
    eventually(PATIENCE, || fleet.home("B.began").exists() && fleet.home("C.began").exists());
    let on_node = |id: &str| text(&task(&boss, id)["node"]);
    assert_ne!(on_node("B"), on_node("C"));
    fleet.touch("go");
    for id in ["D", "D2"] {
        fleet.until(id, "completed");
    }
    // Before anything was collected.
    assert_eq!(merges(&hub), Vec::<String>::new());
    for id in ["D", "D2"] {
        let base = trailers(&hub, id, "Base").remove(0);
        let files = hub.git(&["ls-tree", "-r", "--name-only", &base]);
        for file in ["A.txt", "B.txt", "C.txt"] {
            assert!(files.lines().any(|line| line == file), "{file} is not in the base of {id}:\n{files}");
        }
        let mut built_on: Vec<String> =
            trailers(&hub, id, "Built-On").iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        built_on.sort();
        assert_eq!(built_on, if id == "D" { vec!["p/A", "p/B", "p/C"] } else { vec!["p/B", "p/C"] });
    }
    // Taken alone, the last one waits for what it was built on: nothing comes into the target by the back door.
    let alone = as_json(&boss, &["collect", "D2"]).success().json();
    assert_eq!(each(&alone["waiting"], "task"), ["p/D2"]);
    assert_eq!(merges(&hub), Vec::<String>::new());
    drop(nodes);
    fleet.collect_and_check(&["A", "B", "C", "D", "D2"].map(str::to_owned));
    assert_eq!(file(&hub, "A.txt"), "A", "appended to once");
    let count = hub.git(&["rev-list", "--count", "--no-merges", "main"]);
    assert_eq!(count, "6", "the first commit, and one of each task");
}

/// Enqueues A and B on top of it, runs both, and returns B's result.
#[track_caller]
fn built(repo: &Repo) -> String {
    enqueue(
        repo,
        &[
            ("A", line("echo $DISPATCH_ATTEMPT > a.txt")),
            ("B", format!("depends_on: A\n{}", line("cat a.txt > b.txt"))),
        ],
    );
    repo.dispatch(&["run"]).success();
    assert_eq!(states(repo), ["A completed", "B completed"]);
    text(&task(repo, "B")["result"])
}

/// Demands that B came back as stale with its work kept, and nothing of A's first attempt is in the target.
#[track_caller]
fn is_stale(repo: &Repo, hub: &Repo, result: &str) {
    let document = as_json(repo, &["collect"]).code(4).json();
    assert_eq!(each(&document["rejected"], "task"), ["p/B"], "{document}");
    assert_eq!(document["rejected"][0]["reason"], "stale");
    let task = task(repo, "B");
    assert_eq!((&task["state"], &task["reason"]), (&"pending".into(), &"stale".into()));
    assert_eq!(trailers(hub, "B", "Charged"), ["0"], "it is not B's fault");
    let kept = refs_below(hub, "refs/dispatch/attempts/p/B");
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(hub.git(&["rev-parse", &kept[0]]), result, "the work is kept");
    assert_eq!((file(hub, "a.txt"), file(hub, "b.txt")), (String::new(), String::new()));
}

#[test]
fn of_a_cancelled_foundation_nothing_lands_and_what_was_built_on_it_runs_again() {
    each_hub(|_, repo, hub| {
        let result = built(repo);
        repo.dispatch(&["cancel", "p/A"]).success();
        is_stale(repo, hub, &result);
        // It cannot run on nothing: it is blocked, and says by what.
        let shown = repo.dispatch(&["list"]).success().stdout;
        assert!(shown.contains("blocked by p/A, which was cancelled"), "{shown}");
        repo.dispatch(&["run"]).code(3);
        repo.dispatch(&["retry", "p/A"]).success();
        repo.dispatch(&["run"]).success();
        repo.dispatch(&["collect"]).success();
        assert_eq!(states(repo), ["A merged", "B merged"]);
        assert_eq!((file(hub, "a.txt"), file(hub, "b.txt")), ("2".into(), "2".into()), "B has what landed");
        assert_eq!(merges(hub).len(), 2);
        let is_in = hub.git_try(&["merge-base", "--is-ancestor", &result, "main"]);
        assert_eq!(is_in.code, 1, "B's first work never came in");
    });
}

#[test]
fn of_a_foundation_that_was_tried_again_only_the_second_work_lands() {
    each_hub(|_, repo, hub| {
        let result = built(repo);
        // The target goes another way, so that A does not merge: B waits, since A may yet be mended.
        repo.write("a.txt", "another way\n");
        repo.commit("Another way");
        if repo.path() != hub.path() {
            repo.git(&["push", "--quiet", "origin", "main"]);
        }
        let document = as_json(repo, &["collect"]).code(4).json();
        assert_eq!(each(&document["conflicts"], "task"), ["p/A"]);
        assert_eq!(each(&document["waiting"], "task"), ["p/B"]);
        repo.dispatch(&["retry", "p/A"]).success();
        let document = as_json(repo, &["collect"]).code(4).json();
        assert_eq!(each(&document["rejected"], "task"), ["p/B"], "{document}");
        assert_eq!(file(hub, "b.txt"), "");
        let kept = refs_below(hub, "refs/dispatch/attempts/p/B");
        assert_eq!(hub.git(&["rev-parse", &kept[0]]), result);
        repo.dispatch(&["run", "p/A", "p/B"]).success();
        repo.dispatch(&["collect"]).success();
        assert_eq!((file(hub, "a.txt"), file(hub, "b.txt")), ("2".into(), "2".into()));
        assert_eq!(merges(hub).len(), 3, "the other way, and one of each");
    });
}

#[test]
fn a_foundation_that_goes_while_the_work_is_under_way_is_found_at_collect() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    enqueue(&a, &[("A", line("echo old > a.txt")), ("B", "depends_on: A".to_owned())]);
    a.dispatch(&["run", "A"]).success();
    a.dispatch(&["claim", "B"]).success();
    let result = crate::hubs::work_on(&a, "B", "b.txt", "by hand");
    a.dispatch(&["cancel", "A"]).success();
    // The work itself is not lost: it is finished as it was begun, and only then found to be stale.
    a.dispatch(&["finish", "B"]).success();
    assert_eq!(task(&a, "B")["state"], "completed");
    is_stale(&a, &hub, &result);
}

#[test]
fn work_on_a_chain_of_foundations_goes_with_the_first() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    enqueue(&a, &[("A", on(&[], "A")), ("B", on(&["A"], "B")), ("C", on(&["B"], "C")), ("free", on(&[], "free"))]);
    a.dispatch(&["run"]).success();
    a.dispatch(&["cancel", "A"]).success();
    // One collect or several: in the end both are pending, and what has nothing to do with it is merged.
    eventually(PATIENCE, || {
        a.dispatch(&["collect"]);
        states(&a) == ["A cancelled", "B pending", "C pending", "free merged"]
    });
    assert_eq!(refs_below(&hub, "refs/dispatch/attempts/p").len(), 3, "with what was cancelled");
    assert_eq!((file(&hub, "C.txt"), file(&hub, "free.txt")), (String::new(), "free".into()));
    a.dispatch(&["retry", "A"]).success();
    a.dispatch(&["run"]).success();
    a.dispatch(&["collect"]).success();
    assert_eq!(merges(&hub).len(), 4);
    assert_eq!(file(&hub, "A.txt"), "A");
}
