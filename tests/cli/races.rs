//! Many at once, let loose at a barrier: nothing is shared, lost, or done twice.

use std::collections::BTreeSet;

use serde_json::json;

use crate::sandbox::{Sandbox, race};
use crate::steps::{
    done, each, each_hub, enqueue, enqueue_lines, file, merges, refs_below, specs, states, task, tasks, text,
};

const CLONES: [&str; 8] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];

#[test]
fn eight_clones_that_claim_everything_share_nothing_and_leave_nothing() {
    let sandbox = Sandbox::with_clones(&CLONES);
    let clones = CLONES.map(|name| sandbox.repo(name));
    let ids: Vec<String> = (0..40).map(|i| format!("t{i:02}")).collect();
    let batch: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "")).collect();
    enqueue(&clones[0], &batch);
    race(8, |i| clones[i].dispatch(&["list"]).success());
    let claimed = race(8, |i| {
        let out = clones[i].dispatch(&["claim", "--count", "40", "--json"]);
        assert!(out.code == 0 || out.code == 3, "{out}");
        each(&out.json()["claimed"], "id")
    });
    let mut all: Vec<&String> = claimed.iter().flatten().collect();
    all.sort();
    assert_eq!(all, ids.iter().collect::<Vec<_>>(), "each by one");
    let listed = tasks(&clones[0]);
    for (clone, own) in CLONES.iter().zip(&claimed) {
        for id in own {
            assert_eq!((&listed[id]["node"], &listed[id]["attempt"]), (&json!(clone), &json!(1)), "{id}");
        }
    }
    sandbox.hub().git(&["fsck", "--strict"]);
}

#[test]
fn eight_enqueuers_all_get_through() {
    let sandbox = Sandbox::with_clones(&CLONES);
    let clones = CLONES.map(|name| sandbox.repo(name));
    let folders: Vec<String> = (0..8)
        .map(|i| {
            let ids: Vec<String> = (0..5).map(|n| format!("t{i}-{n}")).collect();
            let batch: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "")).collect();
            specs(&clones[i], &format!("batch{i}"), &batch)
        })
        .collect();
    let shared = specs(&clones[0], "shared", &[("shared", "priority: 1")]);
    let outs = race(8, |i| clones[i].dispatch(&["enqueue", &folders[i], &shared, "--json"]).success().json());
    let by: usize =
        outs.iter().filter(|out| each(&out["enqueued"], "task").contains(&"p/shared".to_owned())).count();
    assert_eq!(by, 1, "what all of them enqueue, one has");
    let hub = sandbox.hub();
    let subjects = hub.git(&["log", "--format=%s", "refs/dispatch/queue"]);
    assert_eq!(subjects.lines().collect::<BTreeSet<_>>().len(), 41);
    assert_eq!(subjects.lines().count(), 41);
    assert_eq!(tasks(&clones[3]).len(), 41);
    // Each batch is there as one piece, in order.
    for i in 0..8 {
        let places: Vec<usize> = (0..5)
            .map(|n| subjects.lines().position(|line| line.starts_with(&format!("p/t{i}-{n}:"))).unwrap())
            .collect();
        assert!(places.windows(2).all(|pair| pair[0] == pair[1] + 1), "{places:?}");
    }
}

#[test]
fn four_nodes_run_each_task_once() {
    const NODES: [&str; 4] = ["n0", "n1", "n2", "n3"];
    let sandbox = Sandbox::with_clones(&NODES);
    let clones = NODES.map(|name| sandbox.repo(name));
    let runs = sandbox.root().join("runs");
    std::fs::create_dir(&runs).unwrap();
    let ids: Vec<String> = (0..10).map(|i| format!("t{i:02}")).collect();
    let script = format!("mkdir {}/$DISPATCH_ID && echo $DISPATCH_NODE > $DISPATCH_ID.txt", runs.display());
    let batch: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), script.as_str())).collect();
    enqueue_lines(&clones[0], &batch);
    let ran = race(4, |i| {
        let out = clones[i].dispatch(&["run", "--json"]);
        assert!(out.code == 0 || out.code == 3, "{out}");
        each(&out.json()["ran"], "id")
    });
    let mut all: Vec<&String> = ran.iter().flatten().collect();
    all.sort();
    assert_eq!(all, ids.iter().collect::<Vec<_>>());
    clones[0].dispatch(&["collect"]).success();
    assert_eq!(merges(&sandbox.hub()).len(), 10);
    for (clone, own) in NODES.iter().zip(&ran) {
        for id in own {
            assert_eq!(&file(&sandbox.hub(), &format!("{id}.txt")), clone);
        }
    }
}

#[test]
fn two_collectors_merge_each_task_once() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (clones, hub) = ([sandbox.repo("a"), sandbox.repo("b")], sandbox.hub());
    let mut expected = Vec::new();
    for round in 0..5 {
        let ids = [0, 1].map(|n| format!("r{round}-{n}"));
        let lines = ids.each_ref().map(|id| (id.as_str(), format!("echo {id} > {id}.txt")));
        done(&clones[0], &lines.each_ref().map(|(id, script)| (*id, script.as_str())));
        race(2, |i| clones[i].dispatch(&["collect"]).success());
        expected.extend(ids.iter().map(|id| format!("Merge p/{id}: Task {id}")));
    }
    let mut merged = merges(&hub);
    merged.sort();
    assert_eq!(merged, expected);
    assert!(states(&clones[1]).iter().all(|state| state.ends_with(" merged")));
    assert_eq!(refs_below(&hub, "refs/dispatch/claims"), Vec::<String>::new());
    assert_eq!(refs_below(&hub, "refs/heads"), ["refs/heads/main"]);
    for line in hub.git(&["log", "--notes=dispatch-sealed", "--format=%N", "refs/dispatch/queue"]).lines() {
        assert!(line.is_empty() || serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    hub.git(&["fsck", "--strict"]);
}

/// Other people push to the target while collects go on.
#[test]
fn a_target_that_moves_all_the_time_loses_nothing() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b, hub) = (sandbox.repo("a"), sandbox.repo("b"), sandbox.hub());
    for round in 0..3 {
        let id = format!("t{round}");
        done(&a, &[(&id, &format!("echo x > {id}.txt"))]);
        race(2, |i| {
            if i == 0 {
                a.dispatch(&["collect"]).success();
                return;
            }
            for n in 0..3 {
                b.write(&format!("by-hand-{round}-{n}.txt"), "x");
                b.commit("By hand");
                while b.git_try(&["push", "--quiet"]).code != 0 {
                    b.git(&["pull", "--quiet", "--no-rebase", "--no-edit"]);
                }
            }
        });
    }
    let files = hub.git(&["ls-tree", "--name-only", "main"]);
    assert_eq!(files.lines().filter(|name| name.starts_with("by-hand")).count(), 9);
    let merged =
        hub.git(&["log", "--format=%s", "main"]).lines().filter(|line| line.starts_with("Merge p/")).count();
    assert_eq!((merged, files.lines().filter(|name| name.starts_with('t')).count()), (3, 3));
}

/// Both hands of one person: claims and lists in one repository.
#[test]
fn one_repository_stands_many_commands_at_once() {
    each_hub(|_, a, _| {
        let ids: Vec<String> = (0..24).map(|i| format!("t{i:02}")).collect();
        let batch: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "")).collect();
        enqueue(a, &batch);
        let claimed = race(6, |i| {
            let listed = a.dispatch(&["list"]).success();
            assert!(listed.stderr.is_empty(), "{listed}");
            let node = format!("--node=n{i}");
            let out = a.dispatch(&["claim", "--count", "24", "--json", &node]);
            assert!(out.code == 0 || out.code == 3, "{out}");
            each(&out.json()["claimed"], "id")
        });
        let mut all: Vec<&String> = claimed.iter().flatten().collect();
        all.sort();
        assert_eq!(all, ids.iter().collect::<Vec<_>>());
        let one = claimed.iter().position(|own| own.contains(&ids[0])).unwrap();
        assert_eq!(text(&task(a, &ids[0])["node"]), format!("n{one}"));
    });
}
