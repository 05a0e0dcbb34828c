//! Owns the steps that many tests take: queue tasks, see where they stand, look at what is on the hub. What is to be
//! expected of them is the tests' to say.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::sandbox::{Out, Repo, Sandbox};

/// Runs a test on each kind of hub: with the repository that commands are given in, and the one that is the hub.
pub(crate) fn each_hub(test: impl Fn(&Sandbox, &Repo, &Repo) + Sync) {
    std::thread::scope(|scope| {
        let remote = scope.spawn(|| {
            let sandbox = Sandbox::with_clones(&["a"]);
            test(&sandbox, &sandbox.repo("a"), &sandbox.hub());
        });
        let embedded = Sandbox::embedded();
        test(&embedded, &embedded.solo(), &embedded.solo());
        remote.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Writes frontmatter that runs this shell line.
pub(crate) fn line(script: &str) -> String {
    format!("run: {}", json!(script))
}

/// Writes specs of project `p` into a folder of this name beside the repository, and returns the folder as it is given
/// to `enqueue`. Each is `(id, frontmatter)`.
pub(crate) fn specs<S: AsRef<str>>(repo: &Repo, folder: &str, specs: &[(&str, S)]) -> String {
    let folder = format!("../{folder}");
    for (id, frontmatter) in specs {
        let frontmatter = format!("project: p\n{}", frontmatter.as_ref());
        repo.spec(&format!("{folder}/{id}.md"), &frontmatter, &format!("# Task {id}\n\nDo {id}."));
    }
    folder
}

/// Enqueues tasks of project `p`, each `(id, frontmatter)`, in one batch.
#[track_caller]
pub(crate) fn enqueue<S: AsRef<str>>(repo: &Repo, tasks: &[(&str, S)]) {
    let folder = specs(repo, &format!("specs-{}", tasks[0].0), tasks);
    repo.dispatch(&["enqueue", &folder]).success();
}

/// Enqueues tasks of project `p` that each run a shell line, in one batch.
#[track_caller]
pub(crate) fn enqueue_lines(repo: &Repo, tasks: &[(&str, &str)]) {
    let tasks: Vec<(&str, String)> = tasks.iter().map(|(id, script)| (*id, line(script))).collect();
    enqueue(repo, &tasks);
}

/// Enqueues and runs tasks that each run a shell line; all must complete.
#[track_caller]
pub(crate) fn done(repo: &Repo, tasks: &[(&str, &str)]) {
    enqueue_lines(repo, tasks);
    repo.dispatch(&["run"]).success();
}

/// Returns the documents of all tasks, by id.
#[track_caller]
pub(crate) fn tasks(repo: &Repo) -> BTreeMap<String, Value> {
    let listed = repo.dispatch(&["list", "--json"]).success().json();
    let tasks = listed["tasks"].as_array().unwrap().clone();
    tasks.into_iter().map(|task| (text(&task["id"]), task)).collect()
}

/// Returns one task's document.
#[track_caller]
pub(crate) fn task(repo: &Repo, id: &str) -> Value {
    tasks(repo).remove(id).unwrap_or_else(|| panic!("no task {id}"))
}

/// Returns where all tasks stand, as `id state` each, by id.
#[track_caller]
pub(crate) fn states(repo: &Repo) -> Vec<String> {
    tasks(repo).iter().map(|(id, task)| format!("{id} {}", text(&task["state"]))).collect()
}

/// Returns a text of a document.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// Returns one key of each element of an array, as texts.
#[track_caller]
pub(crate) fn each(array: &Value, key: &str) -> Vec<String> {
    array.as_array().unwrap_or_else(|| panic!("no array: {array}")).iter().map(|item| text(&item[key])).collect()
}

/// Returns all refs of a repository with what they hold.
pub(crate) fn refs(repo: &Repo) -> String {
    repo.git(&["for-each-ref", "--format=%(refname) %(objectname)"])
}

/// Returns the shared refs of a hub below a prefix, by name.
pub(crate) fn refs_below(repo: &Repo, prefix: &str) -> Vec<String> {
    repo.git(&["for-each-ref", "--format=%(refname)", prefix]).lines().map(str::to_owned).collect()
}

/// Returns the subjects of the target's first parents, newest first, without the first commit.
pub(crate) fn merges(hub: &Repo) -> Vec<String> {
    let log = hub.git(&["log", "--first-parent", "--format=%s", "main"]);
    log.lines().filter(|line| *line != "First commit").map(str::to_owned).collect()
}

/// Returns a file of the target, without the last newline; empty where there is none.
pub(crate) fn file(hub: &Repo, path: &str) -> String {
    let out = hub.git_try(&["show", &format!("main:{path}")]);
    if out.code == 0 { out.stdout.trim_end_matches('\n').to_owned() } else { String::new() }
}

/// Demands that a command was refused with this code and exit code, in words and as the document of CLI.md.
#[track_caller]
pub(crate) fn refused(out: &Out, code: &str, exit: i32) -> Value {
    assert!(out.code == exit, "expected exit {exit}:\n{out}");
    let document = out.json();
    let error = document["error"].as_object().unwrap_or_else(|| panic!("no error document:\n{out}"));
    let mut keys: Vec<&str> = error.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["code", "column", "file", "help", "line", "message"]);
    assert_eq!(error["code"], code, "{out}");
    assert!(!text(&error["message"]).is_empty() && document.as_object().unwrap().len() == 1, "{out}");
    document["error"].clone()
}

/// Puts a node's record on a hub, as a node that is up would write it but for what is given. Nobody runs anything for it.
#[track_caller]
pub(crate) fn plant_node(sandbox: &Sandbox, name: &str, changes: &Value) {
    let hub = sandbox.hub();
    let mut record = json!({
        "v": 1, "name": name, "clone": "planted", "instance": "planted.1", "host": "planted", "slots": 1, "labels": [],
        "executors": ["shell"], "mode": "hybrid", "version": "0", "beat_seconds": 3600.0, "state": "idle", "claims": [],
        "beat_at": jiff::Timestamp::now().to_string(), "beat": 1,
    });
    for (key, value) in changes.as_object().unwrap() {
        record[key] = value.clone();
    }
    let home = sandbox.root().join("home");
    std::fs::write(home.join("node.json"), record.to_string()).unwrap();
    let blob = hub.git(&["hash-object", "-w", shown(&home.join("node.json"))]);
    std::fs::write(home.join("tree"), format!("100644 blob {blob}\tnode.json\n")).unwrap();
    let tree = hub.run("sh", &[], &["-c", "git mktree < \"$HOME/tree\""]).success();
    let commit = hub.git(&["commit-tree", tree.stdout.trim(), "-m", "a node"]);
    hub.git(&["update-ref", &format!("refs/dispatch/nodes/{name}"), &commit]);
}

/// Says whether a process of this id lives; one that is dead and not yet buried does not.
pub(crate) fn lives(id: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
    state.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.starts_with(" Z"))
}

/// Writes a shell line that waits until `condition` holds, for a minute at most, then fails with 9.
pub(crate) fn until(condition: &str) -> String {
    format!("i=0; until {condition}; do i=$((i+1)); [ $i -lt 3000 ] || exit 9; sleep 0.02; done")
}

/// Shows a path as text.
pub(crate) fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}
