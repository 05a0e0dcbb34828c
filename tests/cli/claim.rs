//! `claim`: work taken by hand, each task by one.

use serde_json::json;

use crate::sandbox::Sandbox;
use crate::steps::{done, each, each_hub, enqueue, file, line, refs_below, refused, states, task, tasks, text};

#[test]
fn a_person_gets_the_branch_at_its_base() {
    each_hub(|_, a, hub| {
        enqueue(a, &[("one", ""), ("two", "priority: 0")]);
        let document = a.dispatch(&["claim", "--json"]).success().json();
        assert_eq!((each(&document["claimed"], "task"), &document["lost"]), (vec!["p/two".to_owned()], &json!([])));
        let claimed = &document["claimed"][0];
        assert_eq!((&claimed["state"], &claimed["attempt"]), (&json!("running"), &json!(1)));
        let held = text(&claimed["hold_until"]);
        let day: String = a.run("date", &[], &["-u", "-d", "+24 hours", "+%F"]).success().stdout;
        assert!(held.starts_with(day.trim()), "{held}");
        let branch = text(&claimed["branch"]);
        assert_eq!(branch, format!("task/p-two-{}", text(&claimed["node"])));
        assert_eq!(a.git(&["rev-parse", &branch]), a.git(&["rev-parse", "main"]));
        assert_eq!(a.git(&["symbolic-ref", "--short", "HEAD"]), "main", "nothing is checked out");
        if a.path() != hub.path() {
            assert_eq!(refs_below(hub, "refs/heads"), ["refs/heads/main"], "the hub gets it at finish");
        }
        assert_eq!(states(a), ["one pending", "two running"]);
        // The claim is a commit that plain git can show.
        let message = hub.git(&["log", "--format=%B", "refs/dispatch/claims/p/two"]);
        for trailer in ["Dispatch-Phase: running", "Dispatch-Hold: hand", "Dispatch-Attempt: 1", "Dispatch-Nonce: "]
        {
            assert!(message.contains(trailer), "{trailer} in {message}");
        }
        let out = a.dispatch(&["claim", "--count", "5"]).success();
        assert!(out.stdout.contains("p/one") && !out.stdout.contains("p/two"), "{out}");
        let nothing = a.dispatch(&["claim", "--json"]).code(3).json();
        assert_eq!(nothing, json!({"claimed": [], "lost": []}));
        // What a person holds, a node does not run.
        a.dispatch(&["run"]).code(3);
    });
}

#[test]
fn a_task_that_is_taken_is_lost() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(&a, &[("one", ""), ("two", "")]);
    b.dispatch(&["list"]).success();
    a.dispatch(&["claim", "one"]).success();
    let both = b.dispatch(&["claim", "one", "p/two", "--json"]).success().json();
    assert_eq!((each(&both["claimed"], "task"), &both["lost"]), (vec!["p/two".to_owned()], &json!(["p/one"])));
    let lost = b.dispatch(&["claim", "one", "--json"]).code(3).json();
    assert_eq!(lost, json!({"claimed": [], "lost": ["p/one"]}));
    assert_eq!(b.git(&["branch", "--list", "task/p-one*"]), "");
    assert_eq!((task(&a, "one")["node"].clone(), task(&a, "two")["node"].clone()), (json!("a"), json!("b")));
    refused(&a.dispatch(&["claim", "three", "--json"]), "dispatch::task::unknown", 2);
}

#[test]
fn fifty_tasks_are_claimed_in_one_push() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    let ids: Vec<String> = (0..50).map(|i| format!("t{i:02}")).collect();
    let batch: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "")).collect();
    enqueue(&a, &batch);
    let (out, trace) = a.traced(&["claim", "--count", "50", "--json"]);
    let mut claimed = each(&out.success().json()["claimed"], "id");
    claimed.sort();
    assert_eq!(claimed, ids);
    assert_eq!(trace.count("push"), 1, "{:?}", trace.command_lines());
    assert!(trace.processes() <= 5, "{:?}", trace.command_lines());
    assert_eq!(refs_below(&sandbox.hub(), "refs/dispatch/claims").len(), 50);
    assert!(tasks(&a).values().all(|task| task["state"] == "running"));
}

#[test]
fn branches_that_would_have_one_name_do_not_clash() {
    each_hub(|_, a, hub| {
        for (folder, project, id) in [("clash1", "a-b", "c"), ("clash2", "a", "b-c")] {
            let frontmatter = format!("project: {project}\n{}", line("echo $DISPATCH_TASK > $DISPATCH_ID.txt"));
            a.spec(&format!("../{folder}/{id}.md"), &frontmatter, "# Title\n\nDo it.");
        }
        a.dispatch(&["enqueue", "../clash1", "../clash2"]).success();
        // Both at once, in one push.
        a.dispatch(&["run", "--slots", "2"]).success();
        let branches: Vec<String> = ["b-c", "c"].iter().map(|id| text(&task(a, id)["branch"])).collect();
        assert_ne!(branches[0], branches[1]);
        for (id, branch) in ["b-c", "c"].iter().zip(&branches) {
            assert_eq!(hub.git(&["rev-parse", branch]), text(&task(a, id)["result"]), "{id}");
        }
        a.dispatch(&["collect"]).success();
        assert_eq!((file(hub, "c.txt"), file(hub, "b-c.txt")), ("a-b/c".to_owned(), "a/b-c".to_owned()));
        assert_eq!(refs_below(hub, "refs/heads/task"), Vec::<String>::new());
    });
}

#[test]
fn what_cannot_be_claimed_is_not_claimed() {
    each_hub(|_, a, _| {
        enqueue(
            a,
            &[
                ("ground", ""),
                ("after", "depends_on: ground"),
                ("labelled", "labels: gpu"),
                ("foreign", "executor: nobody-offers"),
            ],
        );
        let document = a.dispatch(&["claim", "--count", "9", "--json"]).success().json();
        assert_eq!(each(&document["claimed"], "id"), ["ground"]);
        for id in ["after", "labelled", "foreign"] {
            let error = refused(&a.dispatch(&["claim", id, "--json"]), "dispatch::claim::not_claimable", 1);
            assert!(text(&error["message"]).contains(id), "{error}");
        }
        a.git(&["config", "dispatch.node.labels", "gpu"]);
        assert_eq!(each(&a.dispatch(&["claim", "--json"]).success().json()["claimed"], "id"), ["labelled"]);
    });
}

#[test]
fn the_base_holds_the_work_of_dependencies() {
    each_hub(|_, a, _| {
        done(a, &[("one", "echo 1 > one.new"), ("two", "echo 2 > two.new")]);
        enqueue(a, &[("both", "depends_on: [one, two]")]);
        let document = a.dispatch(&["claim", "both", "--json"]).success().json();
        let branch = text(&document["claimed"][0]["branch"]);
        let files = a.git(&["ls-tree", "-r", "--name-only", &branch]);
        assert!(files.contains("one.new") && files.contains("two.new"), "{files}");
        let built = a.git(&["log", "-1", "--format=%B", "refs/dispatch/claims/p/both"]);
        assert_eq!(built.matches("Dispatch-Built-On: p/").count(), 2, "{built}");
    });
}

#[test]
fn an_older_branch_of_that_name_is_kept() {
    each_hub(|_, a, _| {
        enqueue(a, &[("one", "")]);
        let node = if a.path().ends_with("solo") { "solo" } else { "a" };
        let branch = format!("task/p-one-{node}");
        a.git(&["checkout", "--quiet", "-b", &branch]);
        a.write("old.txt", "old work");
        let old = a.commit("Old work");
        let error = refused(&a.dispatch(&["claim", "one", "--json"]), "dispatch::claim::checked_out", 1);
        assert!(text(&error["message"]).contains(&branch), "{error}");
        assert_eq!(states(a), ["one pending"]);
        a.git(&["checkout", "--quiet", "main"]);
        a.dispatch(&["claim", "one"]).success();
        assert_eq!(a.git(&["rev-parse", &branch]), a.git(&["rev-parse", "main"]));
        let kept = a.git(&["for-each-ref", "--format=%(objectname)", "refs/dispatch/attempts"]);
        assert_eq!(kept, old);
    });
}

#[test]
fn what_has_waited_long_goes_before_what_is_urgent() {
    for (hours, first) in [(4, "p/new"), (6, "p/old")] {
        let sandbox = Sandbox::with_clones(&["a", "b"]);
        let (a, b, hub) = (sandbox.repo("a"), sandbox.repo("b"), sandbox.hub());
        enqueue(&a, &[("old", "priority: 5")]);
        // As if it had been enqueued hours ago, on a hub that the other clone has not read yet.
        let date = format!(
            "git cat-file commit refs/dispatch/queue | perl -pe 's/^(committer .*> )(\\d+)/$1 . ($2 - {hours} * 3600 - 60)/e' | git hash-object -t commit -w --stdin"
        );
        let older = hub.run("sh", &[], &["-c", &date]).success().stdout;
        hub.git(&["update-ref", "refs/dispatch/queue", older.trim()]);
        enqueue(&b, &[("new", "priority: 0")]);
        let document = b.dispatch(&["claim", "--json"]).success().json();
        assert_eq!(each(&document["claimed"], "task"), [first], "after {hours} hours");
    }
}
