//! `list`: which tasks there are and where they stand, also while the hub is away.

use std::fs;

use serde_json::json;

use crate::sandbox::{Out, Sandbox};
use crate::steps::{done, each, each_hub, enqueue, enqueue_lines, line, refused, task, text};

/// The keys of TASK in CLI.md.
const KEYS: &str = "artifact_hash attempt branch claim completed_at conflict_files depends_on duration_seconds \
    enqueued_at error estimate_seconds executor exit_code files_changed generation hold_until id labels loc_added \
    loc_removed merge_commit mode modifies node output outside_modifies priority project reason repair result spec \
    started_at state target task title";

#[test]
fn each_task_has_every_key_of_the_contract() {
    each_hub(|_, a, hub| {
        let rest =
            "priority: 0\nlabels: [big]\nmodifies: src/**\nestimated_minutes: 45\nmode: pull\ndepends_on: before";
        enqueue(a, &[("before", line("echo new > src/new.txt")), ("main", rest.to_owned())]);
        a.dispatch(&["run"]).success();
        let document = a.dispatch(&["list", "--json"]).success().json();
        let top: Vec<&String> = document.as_object().unwrap().keys().collect();
        assert_eq!(top, ["synced_at", "tasks"]);
        assert_eq!(document["synced_at"].is_string(), a.path() != hub.path());
        for task in document["tasks"].as_array().unwrap() {
            let keys: Vec<&str> = task.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys.join(" "), KEYS);
        }

        let queued = task(a, "main");
        let expected = json!({
            "task": "p/main", "project": "p", "id": "main", "title": "Task main", "state": "pending", "priority": 0,
            "mode": "pull", "executor": "shell", "labels": ["big"], "depends_on": ["p/before"],
            "modifies": ["src/**"], "estimate_seconds": 2700, "target": "main",
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&queued[key], value, "{key}");
        }
        for key in ["attempt", "node", "claim", "branch", "result", "started_at", "completed_at", "error", "reason"]
        {
            assert_eq!(queued[key], json!(null), "{key}");
        }
        let ran = task(a, "before");
        let result = text(&ran["result"]);
        let expected = json!({
            "state": "completed", "attempt": 1, "exit_code": 0, "files_changed": 1, "loc_added": 1,
            "loc_removed": 0, "error": null, "merge_commit": null, "hold_until": null,
            "artifact_hash": hub.git(&["rev-parse", &format!("{result}^{{tree}}")]),
            "spec": hub.git(&["rev-list", "--reverse", "refs/dispatch/queue"]).lines().next(),
            "claim": hub.git(&["rev-parse", "refs/dispatch/claims/p/before"]),
        });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&ran[key], value, "{key}");
        }
        assert_eq!(hub.git(&["rev-parse", &text(&ran["branch"])]), result);
        let times: Vec<String> =
            ["enqueued_at", "started_at", "completed_at"].iter().map(|key| text(&ran[key])).collect();
        assert!(times.is_sorted() && times.iter().all(|time| time.ends_with('Z')), "{times:?}");
        assert!(ran["duration_seconds"].is_number());
    });
}

#[test]
fn what_is_listed_can_be_chosen() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(&a, &[("done", line("true")), ("hand", "labels: [x, y]".to_owned()), ("rest", "labels: y".to_owned())]);
    a.spec("../other.md", "project: q\ntask_id: far", "# Far");
    a.dispatch(&["enqueue", "../other.md"]).success();
    a.dispatch(&["run", "done"]).success();
    b.git(&["config", "dispatch.node.labels", "x"]);
    b.git(&["config", "--add", "dispatch.node.labels", "y"]);
    b.dispatch(&["claim", "p/hand"]).success();
    let listed = |args: &[&str]| {
        let out = a.dispatch(&[&["list", "--json"], args].concat()).success();
        each(&out.json()["tasks"], "id").join(" ")
    };
    assert_eq!(listed(&[]), "done hand rest far");
    assert_eq!(listed(&["--state", "pending"]), "rest far");
    assert_eq!(listed(&["--state", "completed", "--state", "running"]), "done hand");
    assert_eq!(listed(&["--project", "q"]), "far");
    assert_eq!(listed(&["--node", "b"]), "hand");
    assert_eq!(listed(&["--label", "y"]), "hand rest");
    assert_eq!(listed(&["--label", "y", "--state", "pending"]), "rest");
    assert_eq!(listed(&["--state", "merged"]), "");
    let wrong = a.dispatch(&["list", "--state", "pendng"]).code(2);
    assert!(wrong.stderr.contains("did you mean `pending`?"), "{wrong}");

    let shown = a.dispatch(&["list"]).success();
    let row = |out: &Out, id: &str| {
        let found = out.stdout.lines().find(|row| row.contains(id)).map(str::to_owned);
        found.unwrap_or_else(|| panic!("{id} is not listed:\n{out}"))
    };
    assert!(row(&shown, "p/hand").contains("running") && row(&shown, "p/hand").contains(" b "), "{shown}");
    assert!(row(&shown, "q/far").contains("pending") && row(&shown, "q/far").contains("Far"), "{shown}");
    assert!(!shown.stdout.contains('\u{1b}') && shown.stderr.is_empty(), "{shown}");
}

#[test]
fn what_is_known_is_shown_while_the_hub_is_away() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(&a, &[("one", "")]);
    b.dispatch(&["list"]).success();
    enqueue(&a, &[("two", "")]);
    // Offline, the mirror: what was enqueued since is not in it.
    let offline = b.dispatch(&["list", "--offline", "--json"]).success();
    assert_eq!(each(&offline.json()["tasks"], "id"), ["one"]);
    assert!(offline.stderr.is_empty(), "{offline}");

    let (hub, away) = (sandbox.hub().path().to_owned(), sandbox.root().join("away.git"));
    fs::rename(&hub, &away).unwrap();
    let alone = b.dispatch(&["list", "--json"]).success();
    assert_eq!(each(&alone.json()["tasks"], "id"), ["one"]);
    assert_eq!(alone.json()["synced_at"], offline.json()["synced_at"]);
    assert!(alone.stderr.contains("warning:") && alone.stderr.contains("as of 20"), "{alone}");
    let refused = b.dispatch(&["enqueue", "--json", "../specs-one"]).code(1);
    assert!(text(&refused.json()["error"]["code"]).starts_with("dispatch::"), "{refused}");
    fs::rename(&away, &hub).unwrap();
    assert_eq!(each(&b.dispatch(&["list", "--json"]).success().json()["tasks"], "id"), ["one", "two"]);
}

#[test]
fn a_task_keeps_its_record_after_it_was_merged() {
    each_hub(|_, a, hub| {
        done(a, &[("one", "echo 1 > one.txt; echo '{\"points\": 3}' > \"$DISPATCH_RESULT_FILE\"")]);
        let before = task(a, "one");
        a.dispatch(&["collect"]).success();
        let after = task(a, "one");
        assert_eq!((&after["state"], &after["output"]), (&json!("merged"), &json!({"points": 3})));
        assert_eq!(after["merge_commit"], hub.git(&["rev-parse", "main"]));
        for key in
            ["spec", "attempt", "node", "branch", "result", "started_at", "artifact_hash", "loc_added", "exit_code"]
        {
            assert_eq!(after[key], before[key], "{key}");
        }
    });
}

#[test]
fn it_works_from_any_folder_and_says_where_it_does_not() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue_lines(&a, &[("one", "true")]);
    a.git(&["worktree", "add", "--quiet", "--detach", "../linked"]);
    for folder in ["a/src", "linked"] {
        let out = sandbox.repo(folder).dispatch(&["list", "--json"]).success();
        assert_eq!(each(&out.json()["tasks"], "id"), ["one"], "{folder}");
    }
    let out = sandbox.repo(".").dispatch(&["-C", "a", "-C", "src", "list", "--json"]).success();
    assert_eq!(each(&out.json()["tasks"], "id"), ["one"]);
    let bare = sandbox.hub().dispatch(&["list", "--json"]).success();
    assert_eq!(each(&bare.json()["tasks"], "id"), ["one"]);
    let nowhere = sandbox.repo("home").dispatch(&["list", "--json"]).code(1);
    assert!(text(&nowhere.json()["error"]["code"]).starts_with("dispatch::"), "{nowhere}");
}

#[test]
fn lines_are_written_as_asked() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(
        &a,
        &[
            ("one", line("echo 1 > 1.txt")),
            ("two", "depends_on: three".into()),
            ("three", "labels: [x, 'y z']".into()),
        ],
    );
    a.spec("../evil.md", "project: p\ntitle: \"\\e]0;owned\\a%(task)\"", "");
    a.dispatch(&["enqueue", "../evil.md"]).success();
    a.dispatch(&["run", "one"]).success();
    let written = |format: &str| a.dispatch(&["list", "--format", format]).success().stdout;
    assert_eq!(
        written("%(align:8)%(task)%(end)|%(state)|%(if)%(labels)%(then)%(labels)%(else)-%(end)"),
        "p/one   |completed|-\np/three |pending|x, y z\np/two   |pending|-\np/evil  |pending|-\n"
    );
    assert!(written("%(id): %(why)").contains("two: waits for p/three (pending)"));
    let result = text(&task(&a, "one")["result"]);
    assert!(written("%(result:short=8)").starts_with(&format!("{}\n", &result[..8])));
    assert!(written("%(id) %(title)").ends_with("evil ]0;owned %(task)\n"), "a title is text");
    assert_eq!(
        a.dispatch(&["list", "--label", "x", "--color", "always", "--format", "%(color:red)%(id)"]).stdout,
        "\u{1b}[31mthree\u{1b}[m\n"
    );
    assert_eq!(a.dispatch(&["list", "--label", "x", "--format", "%(color:red)%(id)"]).stdout, "three\n");
    // Every key of the document is a field.
    for key in KEYS.split_whitespace() {
        written(&format!("%({key})"));
    }
    let both = a.dispatch(&["list", "--json", "--format", "%(title)"]);
    let error = refused(&both, "dispatch::usage::format", 2);
    assert!(text(&error["message"]).contains("--json"), "a document or lines");
    let wrong = a.dispatch(&["list", "--format", "%(titel)"]).code(2);
    assert!(
        wrong.stderr.contains("unknown field `titel`") && wrong.stderr.contains("did you mean `%(title)`?"),
        "{wrong}"
    );
}

/// Links are for terminals, and for forges that are known; `script` is a terminal for those who have none.
#[test]
fn tasks_are_links_where_a_terminal_shows_them() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    done(&a, &[("one", "echo 1 > 1.txt"), ("two", "true")]);
    a.dispatch(&["collect", "one"]).success();
    let merge = text(&task(&a, "one")["merge_commit"]);
    let branch = text(&task(&a, "two")["branch"]);
    a.git(&["config", "remote.origin.url", "git@github.com:o/r.git"]);
    let plain = a.dispatch(&["list", "--offline", "--color", "always"]).success().stdout;
    assert!(!plain.contains("]8;"), "{plain}");
    let terminal = |args: &str| {
        a.run(
            "script",
            &[("TERM", "xterm")],
            &["-qec", &format!("git dispatch list --offline {args}"), "/dev/null"],
        )
    };
    let shown = terminal("");
    if shown.code != 0 && !shown.stdout.contains("p/one") {
        println!("SKIPPED: there is no script here");
        return;
    }
    let link =
        |page: &str, task: &str| format!("\u{1b}]8;;https://github.com/o/r/{page}\u{1b}\\{task}\u{1b}]8;;\u{1b}\\");
    for expected in [link(&format!("commit/{merge}"), "p/one"), link(&format!("tree/{branch}"), "p/two")] {
        assert!(shown.stdout.contains(&expected), "{expected:?} is not in {:?}", shown.stdout);
    }
    assert!(!terminal("--color never").stdout.contains("]8;"));
    a.git(&["config", "remote.origin.url", "/srv/github.com/r.git"]);
    assert!(!terminal("").stdout.contains("]8;"));
}

#[test]
fn a_long_queue_is_read_once_and_remembered_in_a_file_that_may_go_at_any_time() {
    each_hub(|_, a, _| {
        let ids: Vec<String> = (0..600).map(|number| format!("t{number:03}")).collect();
        enqueue_lines(a, &ids.iter().map(|id| (id.as_str(), "true")).collect::<Vec<_>>());
        a.dispatch(&["cancel", "t001", "t300"]).success();
        let cache = a.path().join(".git/dispatch/queue.cache");
        let _ = fs::remove_file(&cache);
        let list = || a.dispatch(&["list", "--json", "--offline"]).success();
        let first = list();
        assert_eq!(first.json()["tasks"].as_array().unwrap().len(), 600);
        // It is written piece by piece, and looks like any other document.
        assert_eq!(first.stdout, format!("{}\n", serde_json::to_string_pretty(&first.json()).unwrap()));
        let written = fs::read(&cache).unwrap();
        assert_eq!(list().stdout, first.stdout);
        let mut maimed = written.clone();
        maimed[1000] ^= 1;
        for content in [&maimed[..], &written[..written.len() / 2], b""] {
            fs::write(&cache, content).unwrap();
            assert_eq!(list().stdout, first.stdout);
            assert_eq!(fs::read(&cache).unwrap(), written, "it is made anew");
        }
        // What came since is read beside it; that is less work than to write it again.
        enqueue_lines(a, &[("new", "true")]);
        a.dispatch(&["cancel", "t002"]).success();
        let tasks = list().json()["tasks"].as_array().unwrap().clone();
        let state = |id: &str| tasks.iter().find(|task| task["id"] == id).unwrap()["state"].clone();
        assert_eq!((tasks.len(), state("new"), state("t002")), (601, json!("pending"), json!("cancelled")));
        assert_eq!(fs::read(&cache).unwrap(), written);
        fs::remove_file(&cache).unwrap();
        assert_eq!(list().json()["tasks"].as_array().unwrap(), &tasks);
    });
}
