//! `inbox`: files dropped into folders are enqueued once each, whatever dies in between, and put away under another name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::rig::{Fleet, PATIENT};
use crate::sandbox::{PATIENCE, Repo, Running, Sandbox, Trace, eventually, race};
use crate::steps::{each, each_hub, refs, refused, states, task, tasks, text};

/// Quick enough for tests that write each file in one go.
const SETTLE: (&str, &str) = ("GIT_DISPATCH_INBOX_SETTLE", "30ms");

/// The names in a folder, sorted; those that begin with a dot apart.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let names: BTreeSet<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.into_iter().filter(|name| !name.starts_with('.')).collect()
}

fn drop_in(repo: &Repo, name: &str, frontmatter: &str) {
    repo.spec(&format!("../in/{name}.md"), frontmatter, &format!("# Task {name}\n\nDo {name}."));
}

fn drop_many(repo: &Repo, count: usize) {
    (0..count).for_each(|n| drop_in(repo, &format!("t{n:04}"), "project: p"));
}

/// How often each task stands on the queue of a hub.
fn queued(hub: &Repo) -> Vec<String> {
    if hub.git_try(&["rev-parse", "--verify", "--quiet", "refs/dispatch/queue"]).code != 0 {
        return Vec::new();
    }
    let format = "--format=%(trailers:key=Dispatch-Task,valueonly,separator=%x2C)";
    let mut names: Vec<String> =
        hub.git(&["log", format, "refs/dispatch/queue"]).lines().map(str::to_owned).collect();
    names.sort();
    names
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("p/t{n:04}")).collect()
}

fn folder(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.root().join("in")
}

/// How often it has said something.
fn said(running: &Running, what: &str) -> usize {
    running.output().stderr.matches(what).count()
}

#[test]
fn good_files_are_enqueued_and_bad_ones_refused_each_for_itself() {
    each_hub(|sandbox, a, hub| {
        let every = "task_id: own\ntitle: A title\npriority: critical\ntags: [x, y]\nneeds_claude_code: true";
        drop_in(a, "every", every);
        drop_in(a, "later", "depends_on: [own]");
        drop_in(a, "other/of-a-project", "");
        drop_in(a, "other/of-another", "project: q");
        drop_in(a, "bad", "priority: urgent-ish");
        drop_in(a, "no name", "");
        let behind = [("lost", "nowhere"), ("behind-lost", "lost"), ("x", "y"), ("y", "x")];
        behind.iter().for_each(|(name, on)| drop_in(a, name, &format!("depends_on: [{on}]")));
        a.write("../in/empty.md", "");
        a.write("../in/notes.txt", "no spec");
        a.write("../in/.hidden.md", "not yet");
        std::os::unix::fs::symlink("/etc/passwd", folder(sandbox).join("link.md")).unwrap();
        let out = a.dispatch_env(&[SETTLE], &["inbox", "../in", "--json"]).code(4).json();
        let project = if a.path() == hub.path() { "solo" } else { "hub" };
        let expected = [format!("{project}/own"), format!("{project}/later")];
        let expected = [&expected[..], &["other/of-a-project".to_owned(), "q/of-another".to_owned()]].concat();
        assert_eq!(each(&out["enqueued"], "task"), expected);
        assert_eq!(out["skipped"], json!([]));
        let rejected: Vec<String> = out["rejected"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| format!("{} {}", text(&one["file"]), text(&one["code"]).trim_start_matches("dispatch::")))
            .collect();
        let mut by_name = rejected.clone();
        by_name.sort();
        assert_eq!(
            by_name,
            [
                "../in/bad.md spec::bad_value",
                "../in/behind-lost.md spec::unknown_dependency",
                "../in/empty.md spec::empty",
                "../in/link.md inbox::not_a_file",
                "../in/lost.md spec::unknown_dependency",
                "../in/no name.md name::invalid",
                "../in/x.md spec::dependency_cycle",
                "../in/y.md spec::dependency_cycle",
            ]
        );
        let listed = tasks(a);
        let own = &listed["own"];
        assert_eq!((&own["title"], &own["priority"]), (&json!("A title"), &json!(0)));
        assert_eq!(own["labels"], json!(["x", "y", "claude-code"]));
        let left = names(&folder(sandbox));
        for name in ["every.md.dispatched", "bad.md.rejected", "bad.md.error", "link.md.rejected", "notes.txt"] {
            assert!(left.contains(&name.to_owned()), "{left:?}");
        }
        assert!(!left.iter().any(|name| name.ends_with(".md")), "{left:?}");
        assert_eq!(
            names(&folder(sandbox).join("other")),
            ["of-a-project.md.dispatched", "of-another.md.dispatched"]
        );
        // The reason says what an enqueue by hand would have said, with the place.
        let reason = fs::read_to_string(folder(sandbox).join("bad.md.error")).unwrap();
        assert!(reason.contains("dispatch::spec::bad_value") && reason.contains("in/bad.md:2:11"), "{reason}");
        let before = refs(hub);
        let again = a.dispatch_env(&[SETTLE], &["inbox", "../in"]).success();
        assert_eq!((again.stderr.contains("nothing to enqueue"), refs(hub)), (true, before));
    });
}

/// As a crash leaves it between the push and the renaming.
#[test]
fn what_is_queued_already_is_only_put_away() {
    each_hub(|sandbox, a, hub| {
        let (inbox, args) = (folder(sandbox), ["inbox", "../in", "--json"]);
        drop_in(a, "one", "project: p");
        a.dispatch_env(&[SETTLE], &args).success();
        fs::rename(inbox.join("one.md.dispatched"), inbox.join("one.md")).unwrap();
        let again = a.dispatch_env(&[SETTLE], &args).success().json();
        assert_eq!((each(&again["skipped"], "task"), &again["enqueued"]), (vec!["p/one".to_owned()], &json!([])));
        // Another spec is in force by now: the old one is still on the queue.
        a.spec("../newer/one.md", "project: p\npriority: 0", "# Newer\n\nDo it.");
        a.dispatch(&["enqueue", "--replace", "../newer"]).success();
        fs::rename(inbox.join("one.md.dispatched"), inbox.join("one.md")).unwrap();
        a.dispatch_env(&[SETTLE], &args).success();
        assert_eq!((queued(hub), task(a, "one")["priority"].clone()), (vec!["p/one".to_owned(); 2], json!(0)));
        // The same name with something else in it is another matter.
        drop_in(a, "one", "project: p\npriority: 3");
        let refused = a.dispatch_env(&[SETTLE], &args).code(4).json();
        assert_eq!(each(&refused["rejected"], "code"), ["dispatch::enqueue::exists"]);
        assert_eq!(names(&inbox), ["one.md.dispatched", "one.md.error", "one.md.rejected"]);
    });
}

#[test]
fn a_thousand_files_are_a_handful_of_pushes() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    fs::create_dir(folder(&sandbox)).unwrap();
    let trace = sandbox.root().join("trace");
    let environment = [SETTLE, ("GIT_TRACE2_EVENT", trace.to_str().unwrap())];
    let mut watch = a.spawn_env(&environment, &["inbox", "../in", "--watch", "--json"]);
    drop_many(&a, 1000);
    eventually(PATIENCE, || names(&folder(&sandbox)).iter().all(|name| name.ends_with(".dispatched")));
    watch.term();
    let out = watch.wait(PATIENCE).code(143).json();
    assert_eq!(out["enqueued"].as_array().unwrap().len(), 1000);
    assert_eq!(queued(&sandbox.hub()), many(1000));
    let pushes = Trace::read(&trace).count("push");
    assert!((1..=5).contains(&pushes), "{pushes} pushes");
}

#[test]
fn killed_again_and_again_it_enqueues_each_file_once() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, hub, inbox) = (sandbox.repo("a"), sandbox.hub(), folder(&sandbox));
    drop_many(&a, 120);
    let put_away = || names(&inbox).iter().filter(|name| name.ends_with(".dispatched")).count();
    // As soon as something is on the queue, and then whenever some more were put away.
    let mut kills = 0;
    while put_away() < 120 && kills < 5 {
        let before = put_away();
        let mut running = a.spawn_env(&[SETTLE], &["inbox", "../in", "--watch"]);
        eventually(PATIENCE, || !queued(&hub).is_empty() && (kills == 0 || put_away() > before));
        running.kill9();
        running.wait(PATIENCE);
        kills += 1;
    }
    drop_in(&a, "last", "project: p");
    a.dispatch_env(&[SETTLE], &["inbox", "../in"]).success();
    assert_eq!(put_away(), 121);
    assert_eq!(queued(&hub), [vec!["p/last".to_owned()], many(120)].concat());
}

#[test]
fn two_that_look_into_one_folder_enqueue_each_file_once() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    drop_many(&sandbox.repo("a"), 60);
    race(2, |n| {
        let clone = sandbox.repo(["a", "b"][n]);
        clone.dispatch_env(&[SETTLE], &["inbox", "../in"]).success();
    });
    assert_eq!(queued(&sandbox.hub()), many(60));
    let left = names(&folder(&sandbox));
    assert!(left.len() == 60 && left.iter().all(|name| name.ends_with(".md.dispatched")), "{left:?}");
}

/// A file that two of the folders hold, one of them by a link, is one file.
#[test]
fn folders_in_one_another_take_each_file_once() {
    each_hub(|sandbox, a, hub| {
        drop_in(a, "one", "project: p");
        drop_in(a, "sub/two", "");
        drop_in(a, "sub/three", "");
        std::os::unix::fs::symlink("in/sub", sandbox.root().join("link")).unwrap();
        let args = ["inbox", "../in", "../link", "../in/sub", "../in/.", "--json"];
        let out = a.dispatch_env(&[SETTLE], &args).success().json();
        assert_eq!(each(&out["enqueued"], "task"), ["p/one", "sub/three", "sub/two"]);
        assert_eq!(queued(hub), ["p/one", "sub/three", "sub/two"]);
        assert_eq!(names(&folder(sandbox).join("sub")), ["three.md.dispatched", "two.md.dispatched"]);
    });
}

#[test]
fn a_file_is_taken_when_it_has_stopped_growing() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, inbox) = (sandbox.repo("a"), folder(&sandbox));
    // What depends on it waits with it, rather than being refused.
    drop_in(&a, "behind", "project: p\ndepends_on: [half]");
    a.write("../in/half.md", "---\nproject: p\n---\n# Half\n");
    let running = a.spawn_env(&[("GIT_DISPATCH_INBOX_SETTLE", "2s")], &["inbox", "../in", "--json"]);
    let index = a.path().join(".git/dispatch/clone-id");
    eventually(PATIENCE, || index.exists());
    let mut file = fs::File::options().append(true).open(inbox.join("half.md")).unwrap();
    std::io::Write::write_all(&mut file, b"And the other half.\n").unwrap();
    drop(file);
    let out = running.wait(PATIENCE).success().json();
    assert_eq!(each(&out["enqueued"], "task"), ["p/behind", "p/half"]);
    assert!(text(&a.dispatch(&["show", "half", "--json"]).json()["spec_text"]).ends_with("And the other half.\n"));
}

#[test]
fn a_folder_that_is_not_there_is_refused_or_looked_for_again() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, inbox) = (sandbox.repo("a"), folder(&sandbox));
    refused(&a.dispatch(&["inbox", "--json"]), "dispatch::inbox::no_folder", 2);
    refused(&a.dispatch(&["inbox", "../in", "--json"]), "dispatch::inbox::unreadable", 2);
    let poll = [("GIT_DISPATCH_NODE_POLL_MAX", "100ms"), ("GIT_DISPATCH_NODE_POLL", "50ms")];
    let environment = [poll[0], poll[1], SETTLE, ("GIT_DISPATCH_RETRY_WAIT", "0s")];
    let mut watch = a.spawn_env(&environment, &["inbox", "../in", "--watch"]);
    eventually(PATIENCE, || said(&watch, "cannot look into `../in`") == 1);
    // With nothing to watch, looking from time to time is all there is.
    assert_eq!(said(&watch, "it is looked at every 100ms"), 1);
    drop_in(&a, "one", "project: p");
    eventually(PATIENCE, || names(&inbox) == ["one.md.dispatched"]);
    // The hub is away for a while: the file stays where it is.
    let away = sandbox.root().join("away.git");
    fs::rename(sandbox.hub().path(), &away).unwrap();
    drop_in(&a, "two", "project: p");
    eventually(PATIENCE, || said(&watch, "what was dropped stays where it is") == 1);
    assert_eq!(names(&inbox), ["one.md.dispatched", "two.md"]);
    fs::rename(&away, sandbox.hub().path()).unwrap();
    eventually(PATIENCE, || names(&inbox) == ["one.md.dispatched", "two.md.dispatched"]);
    watch.term();
    let out = watch.wait(PATIENCE).code(143);
    assert_eq!(out.stderr.matches("cannot look into").count(), 1, "{out}");
    assert_eq!(states(&a), ["one pending", "two pending"]);
}

#[test]
fn a_node_that_stays_takes_what_is_dropped() {
    let fleet = Fleet::new(&["boss", "n1"], &format!("{PATIENT}[inbox]\npaths = [\"../in\"]\nsettle = \"30ms\"\n"));
    let n1 = fleet.clone("n1");
    fs::create_dir(folder(&fleet.sandbox)).unwrap();
    let mut node = fleet.watch("n1");
    drop_in(&n1, "a", "run: echo a > a.txt");
    fleet.until("a", "completed");
    drop_in(&n1, "b", "run: echo b > b.txt");
    fleet.until("b", "completed");
    node.term();
    node.wait(PATIENCE).code(143);
    fleet.collect_and_check(&["a".to_owned(), "b".to_owned()]);
    assert_eq!(names(&folder(&fleet.sandbox)), ["a.md.dispatched", "b.md.dispatched"]);
}
