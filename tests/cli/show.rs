//! `show`: everything of one task, for people and as JSON; how tasks may be named.

use crate::hubs::{as_json, enqueue, keys, on_both, refused, show};
use crate::sandbox::Sandbox;

/// The keys of TASK in CLI.md, sorted.
const TASK: &str = "artifact_hash attempt branch claim completed_at conflict_files depends_on duration_seconds \
    enqueued_at error estimate_seconds executor exit_code files_changed generation hold_until id labels loc_added \
    loc_removed merge_commit mode modifies node output outside_modifies priority project reason repair result spec \
    started_at state target task title";

#[test]
fn the_document_of_a_task_has_exactly_the_promised_keys() {
    on_both(|repo| {
        enqueue(repo, "one", "run: \"true\"", "# One");
        let mut promised: Vec<&str> = TASK.split_whitespace().collect();
        let listed = repo.dispatch(&["list", "--json"]).success().json();
        assert_eq!(keys(&listed["tasks"][0]), promised);
        promised.extend(["spec_text", "events", "waits_for"]);
        promised.sort_unstable();
        let check = |state: &str| {
            let document = show(repo, "one");
            assert_eq!((keys(&document), &document["state"]), (promised.clone(), &state.into()));
        };
        check("pending");
        repo.dispatch(&["claim", "one"]).success();
        check("running");
        repo.dispatch(&["finish", "one"]).success();
        check("completed");
        repo.dispatch(&["collect"]).success();
        check("merged");
    });
}

#[test]
fn what_was_given_and_what_came_of_it_is_shown() {
    on_both(|repo| {
        enqueue(repo, "base", "run: echo base > base.txt", "# Base");
        let frontmatter = "priority: high\ndepends_on: [base]\nmodifies: [\"out/**\"]\nlabels: [gpu]\n\
            estimated_minutes: 45\nrun: mkdir out && echo x > out/x.txt && echo y > stray.txt";
        enqueue(repo, "one", frontmatter, "# The first one\nDo it.");
        repo.git(&["config", "--add", "dispatch.node.labels", "gpu"]);
        let before = show(repo, "one");
        assert_eq!((&before["title"], &before["priority"]), (&"The first one".into(), &1.into()));
        assert_eq!((&before["estimate_seconds"], &before["attempt"]), (&2700.into(), &serde_json::Value::Null));
        assert_eq!(before["waits_for"][0]["kind"], "task");
        assert!(before["spec_text"].as_str().unwrap().ends_with("# The first one\nDo it.\n"));

        repo.dispatch(&["run"]).success();
        let after = show(repo, "one");
        assert_eq!((&after["state"], &after["exit_code"]), (&"completed".into(), &0.into()));
        assert_eq!((&after["files_changed"], &after["loc_added"]), (&2.into(), &2.into()));
        assert_eq!(after["outside_modifies"], serde_json::json!(["stray.txt"]));
        let happened: Vec<&str> =
            after["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(happened, ["enqueued", "running", "completed"]);

        repo.dispatch(&["collect"]).success();
        let merged = show(repo, "one");
        let merge = merged["merge_commit"].as_str().unwrap();
        assert_eq!(repo.git(&["rev-parse", &format!("{merge}^2")]), merged["result"].as_str().unwrap());
        let told = repo.dispatch(&["show", "one"]).success().stdout;
        for part in ["The first one", "merged", merge, "stray.txt", "labels", "gpu", "    # The first one"] {
            assert!(told.contains(part), "`{part}` is missing in:\n{told}");
        }
    });
}

#[test]
fn a_task_says_what_it_waits_for() {
    on_both(|repo| {
        let waits = |frontmatter: &str, id: &str| {
            enqueue(repo, id, frontmatter, "# A task");
            let document = show(repo, id);
            let reasons = document["waits_for"].as_array().unwrap().clone();
            let told = repo.dispatch(&["show", id]).success().stdout;
            for reason in &reasons {
                let what = reason["what"].as_str().unwrap();
                assert!(told.contains("not running") && told.contains(what), "{told}");
            }
            reasons.iter().map(|reason| reason["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(waits("run: \"true\"", "ready"), Vec::<String>::new());
        assert_eq!(waits("", "no-run"), ["run"]);
        assert_eq!(waits("labels: [gpu]\nrun: \"true\"", "label"), ["label"]);
        assert_eq!(waits("executor: nobody\nrun: \"true\"", "executor"), ["executor"]);
        assert_eq!(waits("depends_on: [ready, label]\nrun: \"true\"", "after"), ["task", "task"]);
        assert_eq!(waits("mode: push\nrun: \"true\"", "push"), ["assignment"]);
    });
}

#[test]
fn the_shortest_unambiguous_name_is_enough() {
    on_both(|repo| {
        for id in ["S10", "S11", "S1", "other"] {
            enqueue(repo, id, "", "# A task");
        }
        repo.spec("../specs/far.md", "project: far\ntask_id: other", "# Far");
        repo.dispatch(&["enqueue", "../specs/far.md"]).success();
        let named = |given: &str| show(repo, given)["task"].as_str().unwrap().to_owned();
        let own = show(repo, "S1")["project"].as_str().unwrap().to_owned();
        assert_eq!(named("S1"), format!("{own}/S1"), "an exact id wins over those that begin with it");
        assert_eq!(named("S10"), format!("{own}/S10"));
        assert_eq!(named("o"), format!("{own}/other"), "the own project comes first");
        assert_eq!(named("far/other"), "far/other");
        assert_eq!(named("far/o"), "far/other");
        refused(repo, &["show", "S"], 2, "dispatch::task::ambiguous");
        let near = refused(repo, &["show", "othre"], 2, "dispatch::task::unknown");
        assert_eq!(near["help"], "did you mean `other`?");
        refused(repo, &["show", "zzz"], 2, "dispatch::task::unknown");
        refused(repo, &["show", ""], 2, "dispatch::task::unknown");
        refused(repo, &["show", "a/b/c"], 2, "dispatch::name::invalid");
    });
}

/// Of a title that would drive a terminal nothing gets there, in any command; the JSON has it as it was.
#[test]
fn a_title_with_escape_sequences_is_shown_escaped_everywhere() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    let title = "title: \"red \\e[31m\\u202e done\"";
    enqueue(&a, "evil", &format!("{title}\nrun: printf '\\033[2Jx\\n'; exit 3"), "Body \u{1b}[2J");
    enqueue(&a, "hand", title, "Body");
    a.dispatch(&["claim", "hand"]).success();
    let commands: [&[&str]; 8] = [
        &["list"],
        &["show", "evil"],
        &["status"],
        &["run", "--verbose"],
        &["status"],
        &["show", "evil"],
        &["log"],
        &["cancel", "evil"],
    ];
    for out in commands.map(|command| a.dispatch(command)) {
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!out.stdout.contains(bad) && !out.stderr.contains(bad), "{:?}\n{:?}", out.stdout, out.stderr);
    }
    let told = a.dispatch(&["list"]).success().stdout;
    assert!(told.contains("red") && told.contains("31m"), "{told}");
    let document = as_json(&a, &["list"]).success();
    assert!(!document.stdout.contains('\u{1b}') && document.json()["tasks"][0]["title"].is_string());
}
