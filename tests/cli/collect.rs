//! `collect`: finished work is merged in order, conflicts are named and left out.

use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::steps::{done, each, each_hub, enqueue, file, line, merges, refs, refs_below, states, task, text};

#[test]
fn order_is_dependencies_priority_queue() {
    each_hub(|_, a, hub| {
        let make = |id: &str, rest: &str| format!("{}\n{rest}", line(&format!("echo x > {id}.txt")));
        enqueue(
            a,
            &[
                ("a-low", make("a-low", "priority: low")),
                ("b-plain", make("b-plain", "")),
                ("c-first", make("c-first", "priority: critical\ndepends_on: e-ground")),
                ("d-plain", make("d-plain", "")),
                ("e-ground", make("e-ground", "priority: 5")),
                ("f-high", make("f-high", "priority: high")),
            ],
        );
        a.dispatch(&["run"]).success();
        let before = refs(hub);
        let planned = a.dispatch(&["collect", "--dry-run", "--json"]).success().json();
        assert_eq!(refs(hub), before, "a dry run changes nothing");
        let old = hub.git(&["rev-parse", "main"]);
        let document = a.dispatch(&["collect", "--json"]).success().json();
        let ids = ["f-high", "b-plain", "d-plain", "a-low", "e-ground", "c-first"];
        let names = ids.map(|id| format!("p/{id}"));
        assert_eq!(each(&document["merged"], "task"), names);
        assert_eq!(each(&planned["merged"], "task"), names);
        assert_eq!((&document["target"], &document["old"]), (&json!("main"), &json!(old)));
        assert_eq!(document["new"], hub.git(&["rev-parse", "main"]));
        let empty = json!([]);
        assert_eq!((&document["conflicts"], &document["rejected"], &document["waiting"]), (&empty, &empty, &empty));
        let subjects: Vec<String> = ids.iter().rev().map(|id| format!("Merge p/{id}: Task {id}")).collect();
        assert_eq!(merges(hub), subjects);
        // Two parents each, even the first, which could have been fast-forwarded.
        let parents = hub.git(&["log", "--first-parent", "--format=%P", &format!("{old}..main")]);
        assert!(parents.lines().all(|line| line.split(' ').count() == 2), "{parents}");
        let ids = hub.git(&["log", "--first-parent", "--reverse", "--format=%H", &format!("{old}..main")]);
        assert_eq!(ids.lines().map(str::to_owned).collect::<Vec<_>>(), each(&document["merged"], "merge_commit"));
    });
}

#[test]
fn merges_name_task_and_claim_and_the_seal_names_them() {
    each_hub(|_, a, hub| {
        done(a, &[("one", "echo 1 > one.txt; git add .; git commit -qm 'My own words'")]);
        let before = task(a, "one");
        a.dispatch(&["collect"]).success();
        let trailers = hub.git(&["log", "-1", "--format=%(trailers:only)", "main"]);
        for (name, value) in [
            ("Dispatch-Task", "p/one"),
            ("Dispatch-Spec", &text(&before["spec"])),
            ("Dispatch-Claim", &text(&before["claim"])),
            ("Dispatch-Attempt", "1"),
            ("Dispatch-Node", &text(&before["node"])),
        ] {
            assert!(trailers.lines().any(|line| line == format!("{name}: {value}")), "{name} in {trailers}");
        }
        assert_eq!(hub.git(&["rev-parse", "main^2"]), text(&before["result"]));
        assert_eq!(hub.git(&["log", "-1", "--format=%s", "main^2"]), "My own words");
        let seal = hub.git(&["notes", "--ref=refs/notes/dispatch-sealed", "show", &text(&before["spec"])]);
        let seal: Value = serde_json::from_str(&seal).unwrap();
        assert_eq!((&seal["event"], &seal["attempt"]), (&json!("merged"), &json!(1)));
        assert_eq!(
            (&seal["merge_commit"], &seal["result"]),
            (&json!(hub.git(&["rev-parse", "main"])), &before["result"])
        );
        assert_eq!(refs_below(hub, "refs/dispatch/claims"), Vec::<String>::new());
        assert_eq!(refs_below(hub, "refs/heads"), ["refs/heads/main"]);
    });
}

#[test]
fn a_second_collect_has_nothing_to_do() {
    each_hub(|_, a, hub| {
        a.dispatch(&["collect"]).success();
        done(a, &[("one", "echo 1 > one.txt")]);
        a.dispatch(&["collect"]).success();
        let before = refs(hub);
        let again = a.dispatch(&["collect", "--json"]).success().json();
        assert_eq!((&again["merged"], &again["old"]), (&json!([]), &again["new"]));
        assert_eq!(refs(hub), before);
        assert!(a.dispatch(&["collect"]).success().stderr.contains("nothing to collect"));
        a.dispatch(&["run"]).code(3);
        assert_eq!(a.dispatch(&["claim", "one", "--json"]).code(3).json()["lost"], json!(["p/one"]));
    });
}

/// The files of one name that scp laid over each other.
#[test]
fn files_of_one_name_in_two_folders_both_survive() {
    each_hub(|_, a, hub| {
        done(
            a,
            &[
                ("schemas", "mkdir -p schemas; echo schemas > schemas/pack.py"),
                ("api", "mkdir -p api; echo api > api/pack.py"),
            ],
        );
        a.dispatch(&["collect"]).success();
        assert_eq!(
            (file(hub, "schemas/pack.py"), file(hub, "api/pack.py")),
            ("schemas".to_owned(), "api".to_owned())
        );
    });
}

#[test]
fn two_that_change_one_line_conflict_and_main_holds_the_first() {
    each_hub(|_, a, hub| {
        done(
            a,
            &[
                ("one", "echo from one > src/one.txt; echo 1 > 1.txt"),
                ("two", "echo from two > src/one.txt; echo 2 > 2.txt"),
                ("three", "git rm -q src/two.txt"),
                ("four", "echo more >> src/two.txt"),
                ("five", "echo 5 > 5.txt"),
            ],
        );
        enqueue(a, &[("after", format!("{}\ndepends_on: two", line("true")))]);
        a.dispatch(&["run"]).success();
        let document = a.dispatch(&["collect", "--json"]).code(4).json();
        assert_eq!(each(&document["merged"], "task"), ["p/five", "p/four", "p/one"]);
        let conflicts = &document["conflicts"];
        assert_eq!(each(conflicts, "task"), ["p/three", "p/two"]);
        assert_eq!(each(&conflicts[1]["files"], "path"), ["src/one.txt"]);
        assert_eq!(each(&conflicts[0]["files"], "path"), ["src/two.txt"]);
        assert!(each(&conflicts[0]["files"], "kind") != each(&conflicts[1]["files"], "kind"), "{conflicts}");
        assert_eq!(document["waiting"].as_array().unwrap().len(), 1, "{document}");
        assert_eq!(
            (&document["waiting"][0]["task"], document["waiting"][0]["for"].is_string()),
            (&json!("p/after"), true)
        );

        assert_eq!((file(hub, "src/one.txt"), file(hub, "2.txt")), ("from one".to_owned(), String::new()));
        assert_eq!(file(hub, "src/two.txt"), "two\nmore");
        let grep = hub.git_try(&["grep", "-e", "<<<<<<<", "main"]);
        assert_eq!(grep.code, 1, "no markers: {grep}");
        assert_eq!(states(a)[5], "two conflict");
        let two = task(a, "two");
        assert_eq!(each(&two["conflict_files"], "path"), ["src/one.txt"]);
        assert_eq!(hub.git(&["show", &format!("{}:2.txt", text(&two["branch"]))]), "2", "the work is kept");
        let again = a.dispatch(&["collect", "--json"]).success().json();
        assert_eq!((&again["conflicts"], merges(hub).len()), (&json!([]), 3), "said once");
    });
}

#[test]
fn work_that_changed_nothing_is_merged_without_a_commit() {
    each_hub(|_, a, hub| {
        done(a, &[("none", "true")]);
        enqueue(a, &[("after", format!("{}\ndepends_on: none", line("echo x > x.txt")))]);
        a.dispatch(&["run"]).success();
        let document = a.dispatch(&["collect", "none", "--json"]).success().json();
        assert_eq!(document["merged"], json!([{"task": "p/none", "merge_commit": null}]));
        assert_eq!(document["old"], document["new"]);
        assert_eq!(states(a), ["after completed", "none merged"]);
        a.dispatch(&["collect"]).success();
        assert_eq!(merges(hub), ["Merge p/after: Task after"]);
    });
}

#[test]
fn only_the_tasks_named_are_merged_and_never_before_their_ground() {
    each_hub(|_, a, hub| {
        done(a, &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > 2.txt")]);
        enqueue(a, &[("top", format!("{}\ndepends_on: one", line("echo top > top.txt")))]);
        a.dispatch(&["run"]).success();
        let early = a.dispatch(&["collect", "top", "--json"]).success().json();
        assert_eq!((&early["merged"], &early["waiting"][0]["task"]), (&json!([]), &json!("p/top")));
        a.dispatch(&["collect", "two"]).success();
        assert_eq!(states(a), ["one completed", "top completed", "two merged"]);
        a.dispatch(&["collect", "one", "p/top"]).success();
        assert_eq!(merges(hub), ["Merge p/top: Task top", "Merge p/one: Task one", "Merge p/two: Task two"]);
        assert_eq!(
            a.dispatch(&["collect", "nobody", "--json"]).code(2).json()["error"]["code"],
            "dispatch::task::unknown"
        );
    });
}

#[test]
fn a_target_that_moved_meanwhile_is_merged_onto() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b, hub) = (sandbox.repo("a"), sandbox.repo("b"), sandbox.hub());
    done(&a, &[("one", "echo 1 > src/one.txt"), ("two", "echo 2 > src/two.txt")]);
    b.write("src/two.txt", "by hand\n");
    b.commit("By hand");
    b.git(&["push", "--quiet"]);
    let document = a.dispatch(&["collect", "--json"]).code(4).json();
    assert_eq!(
        (each(&document["merged"], "task"), each(&document["conflicts"], "task")),
        (vec!["p/one".to_owned()], vec!["p/two".to_owned()])
    );
    assert_eq!(merges(&hub), ["Merge p/one: Task one", "By hand"]);
    assert_eq!((file(&hub, "src/one.txt"), file(&hub, "src/two.txt")), ("1".to_owned(), "by hand".to_owned()));
}

#[test]
fn a_target_that_was_rewritten_is_a_conflict_and_not_merged_onto() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    a.write("more.txt", "more");
    a.commit("More");
    a.git(&["push", "--quiet"]);
    done(&a, &[("one", "echo 1 > 1.txt")]);
    a.git(&["checkout", "--quiet", "--detach"]);
    a.git(&["push", "--quiet", "--force", "origin", "HEAD~1:main"]);
    let out = a.dispatch(&["collect", "--json"]).code(4).json();
    assert_eq!(out["conflicts"][0]["files"][0]["kind"], "base_rewritten");
    assert_eq!((merges(&hub), file(&hub, "1.txt")), (Vec::new(), String::new()));
}

#[test]
fn another_branch_can_be_the_target() {
    each_hub(|_, a, hub| {
        hub.git(&["branch", "release", "main"]);
        let main = hub.git(&["rev-parse", "main"]);
        enqueue(a, &[("one", format!("{}\ntarget: release", line("echo $DISPATCH_TARGET > 1.txt")))]);
        a.dispatch(&["run"]).success();
        let document = a.dispatch(&["collect", "--into", "release", "--json"]).success().json();
        assert_eq!(
            (each(&document["merged"], "task"), &document["target"]),
            (vec!["p/one".to_owned()], &json!("release"))
        );
        assert_eq!(hub.git(&["show", "release:1.txt"]), "release");
        assert_eq!(hub.git(&["rev-parse", "main"]), main);
        assert_eq!(task(a, "one")["state"], "merged");
    });
}

#[test]
fn a_branch_that_somebody_moved_or_deleted_changes_nothing_of_the_result() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    done(&a, &[("gone", "echo 1 > 1.txt"), ("moved", "echo 2 > 2.txt")]);
    hub.git(&["branch", "-D", "task/p-gone-a"]);
    hub.git(&["branch", "-f", "task/p-moved-a", "main"]);
    a.dispatch(&["collect"]).success();
    assert_eq!((file(&hub, "1.txt"), file(&hub, "2.txt")), ("1".to_owned(), "2".to_owned()));
    assert_eq!(
        refs_below(&hub, "refs/heads/task"),
        ["refs/heads/task/p-moved-a"],
        "what we did not put there stays"
    );
}
