//! `conflicts`: what would not merge is known before anything is merged.

use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::steps::{done, each, each_hub, enqueue, line, refs};

/// The pairs as `a b path`.
#[track_caller]
fn pairs(document: &Value) -> Vec<String> {
    let pairs = document["pairs"].as_array().unwrap_or_else(|| panic!("no pairs: {document}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    pairs
        .iter()
        .map(|pair| format!("{} {} {}", text(&pair["a"]), text(&pair["b"]), each(&pair["files"], "path").join(",")))
        .collect()
}

#[test]
fn each_pair_is_named_and_no_ref_moves() {
    each_hub(|_, a, hub| {
        done(
            a,
            &[
                ("one", "echo from one > src/one.txt; echo 1 > 1.txt"),
                ("two", "echo from two > src/one.txt; echo 2 > 2.txt"),
                ("three", "git rm -q src/two.txt"),
                ("four", "echo more >> src/two.txt"),
                ("five", "echo 5 > src/five.txt"),
                ("six", "mkdir 1.txt; echo 6 > 1.txt/six"),
            ],
        );
        a.dispatch(&["list"]).success();
        let before = (refs(hub), refs(a));
        let document = a.dispatch(&["conflicts", "--json"]).success().json();
        assert_eq!(document["target"], "main");
        // In the order of the queue: files of a folder, sorted by name.
        assert_eq!(
            pairs(&document),
            [
                "p/four p/three src/two.txt",
                "p/one p/six 1.txt~HEAD".replace("~HEAD", &at_six(&document)).as_str(),
                "p/one p/two src/one.txt",
            ]
        );
        let kinds: Vec<Vec<String>> =
            document["pairs"].as_array().unwrap().iter().map(|pair| each(&pair["files"], "kind")).collect();
        assert_eq!(
            (kinds[0].as_slice(), kinds[2].as_slice()),
            (&["modify/delete".to_owned()][..], &["contents".to_owned()][..])
        );
        assert!(
            document["pairs"]
                .as_array()
                .unwrap()
                .iter()
                .all(|pair| pair["with"] == "task" && pair["target"] == "main")
        );
        assert_eq!((refs(hub), refs(a)), before, "nothing moved");

        let out = a.dispatch(&["conflicts"]).success();
        assert_eq!(out.stdout.lines().count(), 3, "{out}");
        assert!(out.stdout.contains("p/one   with  p/two    src/one.txt (contents)"), "{out}");

        // What it foretold comes true.
        let collected = a.dispatch(&["collect", "--json"]).code(4).json();
        assert_eq!(each(&collected["conflicts"], "task"), ["p/six", "p/three", "p/two"]);
        let empty = a.dispatch(&["conflicts", "--json"]).success().json();
        assert_eq!(empty, json!({"target": "main", "pairs": []}));
        assert!(a.dispatch(&["conflicts"]).success().stderr.contains("nothing is finished"));
    });
}

/// A file where the other side has a folder: git renames it after the side, which is a commit id here.
fn at_six(document: &Value) -> String {
    let path = each(&document["pairs"][1]["files"], "path").join(",");
    path.strip_prefix("1.txt").unwrap_or_else(|| panic!("{document}")).to_owned()
}

#[test]
fn what_the_target_changed_meanwhile_is_the_targets_conflict_alone() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    done(&a, &[("early", "echo early > src/one.txt"), ("other", "echo o > o.txt")]);
    b.write("src/one.txt", "by hand\n");
    b.commit("By hand");
    b.git(&["push", "--quiet"]);
    // Starts from the target as it is now, and so holds that change too.
    done(&a, &[("late", "echo l > l.txt")]);
    let document = a.dispatch(&["conflicts", "--json"]).success().json();
    assert_eq!(pairs(&document)[0], "p/early main src/one.txt");
    assert_eq!(document["pairs"][0]["with"], "target");
    let with_tasks: Vec<String> = pairs(&document).into_iter().filter(|pair| pair.contains("p/other")).collect();
    assert_eq!(with_tasks, Vec::<String>::new());
}

/// As they stand, the two results differ in a file that only one of them touched.
#[test]
fn two_are_compared_as_they_would_stand_on_the_target() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    done(&a, &[("early", "echo early > src/one.txt; echo same > both.txt")]);
    b.write("src/one.txt", "by hand\n");
    b.commit("By hand");
    b.git(&["push", "--quiet"]);
    done(&a, &[("late", "echo l > l.txt; echo same > both.txt")]);
    b.git(&["revert", "--no-edit", "HEAD"]);
    b.git(&["push", "--quiet"]);
    let document = a.dispatch(&["conflicts", "--json"]).success().json();
    assert_eq!(pairs(&document), Vec::<String>::new());
    a.dispatch(&["collect"]).success();
}

#[test]
fn each_target_has_its_own_matrix() {
    each_hub(|_, a, hub| {
        hub.git(&["branch", "release", "main"]);
        let change = |id: &str| line(&format!("echo {id} > src/one.txt"));
        enqueue(
            a,
            &[
                ("main-1", change("main-1")),
                ("release-1", format!("{}\ntarget: release", change("release-1"))),
                ("release-2", format!("{}\ntarget: release", change("release-2"))),
            ],
        );
        a.dispatch(&["run"]).success();
        let document = a.dispatch(&["conflicts", "--json"]).success().json();
        assert_eq!(pairs(&document), ["p/release-1 p/release-2 src/one.txt"]);
        assert_eq!((&document["target"], &document["pairs"][0]["target"]), (&json!("main"), &json!("release")));
        let into = a.dispatch(&["conflicts", "--into", "release", "--json"]).success().json();
        assert_eq!(pairs(&into).len(), 3, "{into}");
        assert_eq!(into["target"], "release");
        for branch in ["nowhere", "--upload-pack=x", "a:b"] {
            let out = a.dispatch(&["conflicts", &format!("--into={branch}"), "--json"]).code(1);
            assert_eq!(out.json()["error"]["code"], "dispatch::repo::no_commits", "{out}");
        }
    });
}

#[test]
fn work_that_stands_on_other_work_does_not_conflict_with_it() {
    each_hub(|_, a, _| {
        enqueue(
            a,
            &[
                ("ground", line("echo ground > src/one.txt")),
                ("left", format!("{}\ndepends_on: ground", line("echo left >> src/one.txt"))),
                ("right", format!("{}\ndepends_on: ground", line("echo right > right.txt"))),
            ],
        );
        a.dispatch(&["run"]).success();
        let document = a.dispatch(&["conflicts", "--json"]).success().json();
        assert_eq!(document["pairs"], json!([]));
        assert!(a.dispatch(&["conflicts"]).success().stderr.contains("3 finished tasks, no conflict"));
    });
}

#[test]
fn paths_that_would_drive_a_terminal_are_shown_escaped() {
    let sandbox = Sandbox::embedded();
    let a = sandbox.solo();
    // The repository's own: no task may bring such a name.
    a.write("x\u{1b}[2Jy", "zero\n");
    a.commit("An odd name");
    let change = |text: &str| format!("f=$(printf 'x\\033[2Jy'); echo {text} > \"$f\"");
    done(&a, &[("one", &change("one")), ("two", &change("two"))]);
    let out = a.dispatch(&["conflicts"]).success();
    assert!(out.stdout.contains("x\\u{1b}[2Jy (contents)"), "{out}");
    assert!(!out.stdout.contains('\u{1b}'));
}

/// Most pairs are told apart by their paths alone: the number of git processes does not follow the number of tasks.
#[test]
fn many_tasks_cost_no_more_processes_than_few() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    let processes = |ids: &[&str]| {
        done(
            &a,
            &ids.iter()
                .map(|id| (*id, "echo $DISPATCH_ID > src/one.txt; echo x > $DISPATCH_ID"))
                .collect::<Vec<_>>(),
        );
        let (out, trace) = a.traced(&["conflicts", "--offline", "--json"]);
        (pairs(&out.success().json()).len(), trace.processes())
    };
    assert_eq!(processes(&["t1", "t2"]), (1, 1));
    assert_eq!(processes(&["t3", "t4", "t5", "t6"]), (15, 1));
}
