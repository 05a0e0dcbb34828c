//! `run`: nodes that claim and work at the same time, and what they leave on the hub.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::sandbox::{PATIENCE, Sandbox, eventually};
use crate::steps::{
    done, each, each_hub, enqueue, enqueue_lines, file, line, merges, refs_below, refused, shown, states, task,
    tasks, text, until,
};

/// Writes a shell line that puts a file of the task's name into a folder and waits until that holds `count` of them.
fn meet(folder: &std::path::Path, count: usize) -> String {
    fs::create_dir_all(folder).unwrap();
    let folder = shown(folder);
    format!("touch {folder}/$DISPATCH_ID; {}", until(&format!("[ $(ls {folder} | wc -l) -ge {count} ]")))
}

/// Two nodes that each run one task at a time meet in pairs, so tasks end only if both nodes work at once.
#[test]
fn two_nodes_run_disjoint_tasks_at_the_same_time() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    let script = format!("{}; echo $DISPATCH_NODE > $DISPATCH_ID.txt", meet(&sandbox.root().join("meet"), 2));
    let ids = ["t1", "t2", "t3", "t4", "t5", "t6"];
    enqueue_lines(&a, &ids.map(|id| (id, script.as_str())));
    let other = b.spawn(&["run", "--json"]);
    let one = a.dispatch(&["run", "--json"]).success().json();
    let other = other.wait(PATIENCE).success().json();
    let (by_a, by_b) = (each(&one["ran"], "id"), each(&other["ran"], "id"));
    let mut all = [by_a.clone(), by_b.clone()].concat();
    all.sort();
    assert_eq!(all, ids);
    assert!(!by_a.is_empty() && !by_b.is_empty());
    for (id, task) in tasks(&a) {
        let node = if by_a.contains(&id) { "a" } else { "b" };
        assert_eq!(
            (&task["state"], &task["node"], &task["attempt"]),
            (&json!("completed"), &json!(node), &json!(1))
        );
    }
    a.dispatch(&["collect"]).success();
    assert_eq!(merges(&sandbox.hub()).len(), 6);
    for id in ids {
        let node = if by_a.iter().any(|own| own == id) { "a" } else { "b" };
        assert_eq!(file(&sandbox.hub(), &format!("{id}.txt")), node);
    }
}

#[test]
fn slots_work_side_by_side_and_max_is_a_bound() {
    each_hub(|sandbox, a, _| {
        let script = meet(&sandbox.root().join("meet"), 3);
        enqueue_lines(a, &["t1", "t2", "t3", "t4", "t5"].map(|id| (id, script.as_str())));
        let document = a.dispatch(&["run", "--slots", "3", "--max", "4", "--json"]).success().json();
        assert_eq!(document["ran"].as_array().unwrap().len(), 4);
        let pending: Vec<String> = states(a).into_iter().filter(|state| state.ends_with(" pending")).collect();
        assert_eq!(pending.len(), 1);
        a.dispatch(&["run", "--max", "0"]).code(3);
        a.dispatch(&["run", "--slots", "0"]).code(2);
        a.dispatch(&["run"]).success();
        assert_eq!(a.dispatch(&["run", "--json"]).code(3).json(), json!({"ran": []}));
    });
}

#[test]
fn only_the_tasks_named_are_run() {
    each_hub(|_, a, _| {
        enqueue_lines(a, &[("one", "true"), ("two", "true"), ("three", "true")]);
        let document = a.dispatch(&["run", "p/two", "three", "--json"]).success().json();
        let mut ran = each(&document["ran"], "id");
        ran.sort();
        assert_eq!(ran, ["three", "two"]);
        assert_eq!(states(a), ["one pending", "three completed", "two completed"]);
        refused(&a.dispatch(&["run", "four", "--json"]), "dispatch::task::unknown", 2);
    });
}

#[test]
fn tasks_run_by_dependency_and_priority() {
    each_hub(|sandbox, a, _| {
        let order = sandbox.root().join("order");
        let script = line(&format!("echo $DISPATCH_ID >> {}", shown(&order)));
        let with = |rest: &str| format!("{script}\n{rest}");
        enqueue(
            a,
            &[
                ("a-last", with("priority: low")),
                ("b-after", with("priority: critical\ndepends_on: d-plain")),
                ("c-high", with("priority: high")),
                ("d-plain", with("")),
                ("e-chain", with("priority: critical\ndepends_on: b-after")),
            ],
        );
        a.dispatch(&["run"]).success();
        let ran = fs::read_to_string(order).unwrap();
        assert_eq!(ran.lines().collect::<Vec<_>>(), ["c-high", "d-plain", "b-after", "e-chain", "a-last"]);
    });
}

#[test]
fn work_starts_from_that_of_its_dependencies() {
    each_hub(|_, a, hub| {
        enqueue(
            a,
            &[
                ("one", line("echo 1 > 1.txt")),
                ("two", line("echo 2 > 2.txt")),
                ("sum", format!("{}\ndepends_on: [one, two]", line("cat 1.txt 2.txt > sum.txt"))),
                ("on-top", format!("{}\ndepends_on: sum", line("wc -l < sum.txt > lines.txt"))),
            ],
        );
        a.dispatch(&["run"]).success();
        let result = text(&task(a, "on-top")["result"]);
        assert_eq!(hub.git(&["show", &format!("{result}:sum.txt")]), "1\n2");
        assert_eq!(hub.git(&["rev-parse", "main"]), hub.git(&["rev-list", "--max-parents=0", "main"]));
        // Also of dependencies that are merged already.
        a.dispatch(&["collect"]).success();
        enqueue(a, &[("later", format!("{}\ndepends_on: on-top", line("grep 2 lines.txt > later.txt")))]);
        a.dispatch(&["run"]).success();
        a.dispatch(&["collect"]).success();
        assert_eq!(file(hub, "later.txt").trim(), "2");
    });
}

#[test]
fn a_base_that_conflicts_is_found_before_claiming() {
    each_hub(|_, a, _| {
        enqueue(
            a,
            &[
                ("one", line("echo from one > src/one.txt")),
                ("two", line("echo from two > src/one.txt")),
                ("both", format!("{}\ndepends_on: [one, two]", line("true"))),
                ("other", line("true")),
            ],
        );
        let out = a.dispatch(&["run"]).success();
        assert!(out.stderr.contains("p/both waits") && out.stderr.contains("src/one.txt"), "{out}");
        assert_eq!(states(a), ["both pending", "one completed", "other completed", "two completed"]);
        assert_eq!(task(a, "both")["attempt"], json!(null));
        let claim = a.dispatch(&["claim", "both"]).code(3);
        assert!(claim.stderr.contains("src/one.txt"), "{claim}");
    });
}

#[test]
fn a_failed_task_is_kept_and_nothing_of_it_is_merged() {
    each_hub(|_, a, hub| {
        let script = "echo half > half.txt; git add half.txt; git commit -qm 'Half of it'; echo rest > rest.txt; echo why >&2; exit 7";
        enqueue_lines(a, &[("bad", script), ("good", "echo good > good.txt")]);
        enqueue(a, &[("after", format!("{}\ndepends_on: bad", line("true")))]);
        let document = a.dispatch(&["run", "--json"]).code(4).json();
        let mut ran = each(&document["ran"], "id");
        ran.sort();
        assert_eq!(ran, ["bad", "good"]);
        let bad = task(a, "bad");
        assert_eq!(
            (&bad["state"], &bad["reason"], &bad["exit_code"]),
            (&json!("failed"), &json!("exit"), &json!(7))
        );
        assert!(text(&bad["error"]).contains("exit code 7: why"), "{bad}");
        // Kept: on the branch, and in the claim's own chain.
        let branch = text(&bad["branch"]);
        let result = hub.git(&["rev-parse", "refs/dispatch/claims/p/bad^2"]);
        assert_eq!((&result, &json!(result)), (&hub.git(&["rev-parse", &branch]), &bad["result"]));
        assert_eq!(hub.git(&["show", &format!("{result}:rest.txt")]), "rest");
        assert_eq!(hub.git(&["log", "-1", "--format=%s", &format!("{result}^")]), "Half of it");
        let status = hub.git(&["show", "refs/dispatch/claims/p/bad:status.json"]);
        assert_eq!(serde_json::from_str::<Value>(&status).unwrap()["exit_code"], 7);
        assert!(hub.git(&["show", "refs/dispatch/claims/p/bad:log"]).contains("why"));

        assert_eq!(a.dispatch(&["collect", "--json"]).success().json()["merged"].as_array().unwrap().len(), 1);
        assert_eq!(
            (file(hub, "half.txt"), file(hub, "rest.txt"), file(hub, "good.txt")),
            (String::new(), String::new(), "good".into())
        );
        assert_eq!(states(a), ["after pending", "bad failed", "good merged"]);
        assert_eq!(hub.git(&["rev-parse", &branch]), result);
        a.dispatch(&["run"]).code(3);
    });
}

#[test]
fn a_second_run_in_one_clone_is_refused() {
    each_hub(|sandbox, a, _| {
        let (begun, go) = (sandbox.root().join("begun"), sandbox.root().join("go"));
        let script = format!("touch {}; {}", shown(&begun), until(&format!("[ -e {} ]", shown(&go))));
        enqueue_lines(a, &[("one", &script)]);
        let first = a.spawn(&["run"]);
        eventually(PATIENCE, || begun.exists());
        let start = std::time::Instant::now();
        refused(&a.dispatch(&["run", "--json"]), "dispatch::run::already_running", 1);
        assert!(start.elapsed() >= Duration::from_secs(5), "it waits for one that is about to end");
        // Other commands go on.
        assert_eq!(states(a), ["one running"]);
        fs::write(go, "").unwrap();
        first.wait(PATIENCE).success();
        a.dispatch(&["run"]).code(3);
    });
}

#[test]
fn everything_is_visible_with_plain_git() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    done(&a, &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > 2.txt")]);
    let log = hub.git(&["log", "--format=%s", "refs/dispatch/queue"]);
    assert_eq!(log, "p/two: Task two\np/one: Task one");
    let life = hub.git(&["log", "--first-parent", "--format=%s", "refs/dispatch/claims/p/one"]);
    assert_eq!(life, "completed p/one on a\nrunning p/one on a");
    let notes = hub.git(&["log", "--notes=dispatch/*", "--format=%N", "refs/dispatch/queue"]);
    let events: Vec<Value> =
        notes.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2);
    for event in &events {
        assert_eq!(
            (&event["event"], &event["node"], &event["attempt"]),
            (&json!("completed"), &json!("a"), &json!(1))
        );
    }
    let node: Value = serde_json::from_str(&hub.git(&["show", "refs/dispatch/nodes/a:node.json"])).unwrap();
    assert_eq!((&node["name"], &node["state"], &node["claims"]), (&json!("a"), &json!("stopped"), &json!([])));
    assert_eq!(hub.git(&["rev-list", "--count", "refs/dispatch/nodes/a"]), "1");

    a.dispatch(&["collect"]).success();
    assert_eq!(refs_below(&hub, "refs/dispatch/claims"), Vec::<String>::new());
    let sealed = hub.git(&["log", "--notes=dispatch-sealed", "--format=%N", "refs/dispatch/queue"]);
    assert_eq!(sealed.matches("\"event\":\"merged\"").count(), 2, "{sealed}");
}
