//! What `status` says of what is ahead: when the queue would be empty, the longest chain, and what estimates are worth.

use serde_json::{Value, json};

use crate::hubs::{as_json, on_both};
use crate::sandbox::{Repo, Sandbox};
use crate::steps::{enqueue, line, plant_node};

fn forecast(repo: &Repo) -> Value {
    as_json(repo, &["status"]).success().json()["forecast"].clone()
}

fn told(repo: &Repo) -> String {
    repo.dispatch(&["status"]).success().stdout
}

fn estimated(minutes: u32, rest: &str) -> String {
    format!("estimated_minutes: {minutes}\n{rest}\n{}", line("true"))
}

#[test]
fn the_queue_is_foreseen_with_the_nodes_that_are_up() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(
        &a,
        &[
            ("one", estimated(60, "")),
            ("two", estimated(30, "depends_on: one")),
            ("three", estimated(45, "")),
            ("four", estimated(15, "")),
            ("gpu", estimated(600, "labels: gpu")),
            ("by-hand", String::new()),
        ],
    );
    let none = forecast(&a);
    assert_eq!((&none["seconds"], &none["empty_at"], &none["left_out"]), (&Value::Null, &Value::Null, &json!(5)));
    assert!(told(&a).contains("not empty before long: no node is up"), "{}", told(&a));

    plant_node(&sandbox, "n1", &json!({}));
    let alone = forecast(&a);
    assert_eq!((&alone["seconds"], &alone["tasks"], &alone["left_out"]), (&json!(150 * 60), &json!(4), &json!(1)));
    plant_node(&sandbox, "n2", &json!({}));
    let both = forecast(&a);
    // The long chain on one, the rest on the other.
    assert_eq!((&both["seconds"], &both["slots"]), (&json!(90 * 60), &json!(2)));
    assert!(both["empty_at"].as_str().unwrap().ends_with('Z'));
    let said = told(&a);
    let empty = said.lines().find(|line| line.starts_with("empty in about ")).unwrap_or_else(|| panic!("{said}"));
    assert!(empty.starts_with("empty in about 90 min (20"), "{empty}");
    assert!(empty.ends_with("with 2 slots on 2 nodes, but for 1 task that no node that is up can do"), "{empty}");
    // What nobody can do now is the longest chain all the same.
    assert_eq!(both["longest_chain"], json!({"tasks": ["p/gpu"], "seconds": 600 * 60}));
    assert!(said.contains("longest chain 10 h: p/gpu\n"), "{said}");

    // With a node for it the rest is in its shadow; paused, lost and stopped ones do not count.
    plant_node(&sandbox, "n3", &json!({"labels": ["gpu"]}));
    assert_eq!((&forecast(&a)["seconds"], &forecast(&a)["left_out"]), (&json!(600 * 60), &json!(0)));
    a.dispatch(&["cancel", "gpu"]).success();
    assert_eq!(forecast(&a)["longest_chain"], json!({"tasks": ["p/one", "p/two"], "seconds": 90 * 60}));
    assert!(told(&a).contains("longest chain 90 min: p/one > p/two\n"), "{}", told(&a));
    a.dispatch(&["pause", "--node", "n3"]).success();
    plant_node(&sandbox, "n2", &json!({"state": "stopped"}));
    plant_node(&sandbox, "n1", &json!({"beat_at": "2020-01-01T00:00:00Z"}));
    assert_eq!((&forecast(&a)["slots"], &forecast(&a)["seconds"]), (&json!(0), &Value::Null));
}

#[test]
fn what_tasks_took_corrects_what_was_estimated() {
    on_both(|repo| {
        let done = |ids: &[&str]| {
            let specs: Vec<(&str, String)> = ids.iter().map(|id| (*id, estimated(1, ""))).collect();
            enqueue(repo, &specs);
            repo.dispatch(&["run"]).success();
        };
        enqueue(repo, &[("later", format!("labels: gpu\n{}", estimated(100, "")))]);
        assert_eq!((&forecast(repo)["factor"], &forecast(repo)["runs"]), (&json!(1.0), &json!(0)));
        done(&["t1", "t2"]);
        let two = forecast(repo);
        assert_eq!((&two["factor"], &two["runs"]), (&json!(1.0), &json!(2)), "two are no pattern");
        assert_eq!(two["longest_chain"]["seconds"], 6000);
        assert!(!told(repo).contains("estimates are taken"), "{}", told(repo));
        // Merged ones count as those that wait to be: from the seals.
        repo.dispatch(&["collect"]).success();
        done(&["t3"]);
        let three = forecast(repo);
        assert_eq!(three["runs"], 3);
        let factor = three["factor"].as_f64().unwrap();
        let durations = as_json(repo, &["list"]).success().json();
        let mut took: Vec<f64> = durations["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|task| task["duration_seconds"].as_f64())
            .collect();
        took.sort_by(f64::total_cmp);
        assert!(
            (factor - took[1] / 60.0).abs() < 1e-9 && factor < 0.9,
            "the median of {took:?} a minute: {factor}"
        );
        let expected = (6000.0 * factor).ceil();
        assert_eq!(three["longest_chain"]["seconds"].as_f64(), Some(expected), "and it is used");
        assert!(told(repo).contains("the median of 3 runs"), "{}", told(repo));
    });
}

#[test]
fn an_empty_queue_has_nothing_ahead() {
    on_both(|repo| {
        let expected = json!({"empty_at": null, "seconds": null, "tasks": 0, "left_out": 0, "slots": 0, "factor": 1.0, "runs": 0, "longest_chain": null});
        assert_eq!(forecast(repo), expected);
        let said = told(repo);
        assert!(!said.contains("longest chain") && !said.contains("empty in"), "{said}");
    });
}
