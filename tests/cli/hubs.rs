//! The two kinds of hub. What holds for a clone of a bare remote holds for a repository that is its own hub.

use serde_json::Value;

use crate::sandbox::{Out, Repo, Sandbox};

/// Runs a test in a clone of a bare hub, and in a repository without remote.
pub(crate) fn on_both(test: impl Fn(&Repo)) {
    let sandbox = Sandbox::with_clones(&["a"]);
    test(&sandbox.repo("a"));
    let sandbox = Sandbox::embedded();
    test(&sandbox.solo());
}

/// Puts one task on the queue.
#[track_caller]
pub(crate) fn enqueue(repo: &Repo, id: &str, frontmatter: &str, body: &str) {
    // Outside the checkout, which a task by hand needs clean.
    let file = format!("../specs/{id}.md");
    repo.spec(&file, frontmatter, body);
    repo.dispatch(&["enqueue", &file]).success();
}

/// Reads one task's document.
#[track_caller]
pub(crate) fn show(repo: &Repo, task: &str) -> Value {
    repo.dispatch(&["show", task, "--json"]).success().json()
}

/// Returns one task's state.
#[track_caller]
pub(crate) fn state(repo: &Repo, task: &str) -> String {
    show(repo, task)["state"].as_str().unwrap().to_owned()
}

/// Works on a task by hand: one file on its branch, committed there, and back to `main`.
#[track_caller]
pub(crate) fn work_on(repo: &Repo, task: &str, file: &str, text: &str) -> String {
    let branch = show(repo, task)["branch"].as_str().unwrap().to_owned();
    repo.git(&["checkout", "--quiet", &branch]);
    repo.write(file, text);
    let made = repo.commit("By hand");
    repo.git(&["checkout", "--quiet", "main"]);
    made
}

/// Demands a refusal with this exit code and error code, in the form for people and as JSON; returns the JSON's error.
#[track_caller]
pub(crate) fn refused(repo: &Repo, args: &[&str], exit: i32, code: &str) -> Value {
    let told = repo.dispatch(args).code(exit);
    assert!(told.stderr.contains(code) && told.stdout.is_empty(), "{code} is to be told of:\n{told}");
    let document = as_json(repo, args).code(exit).json();
    let error = &document["error"];
    assert_eq!(error["code"], code, "{document:#}");
    let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "column", "file", "help", "line", "message"], "{document:#}");
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{document:#}");
    error.clone()
}

/// Runs the command with `--json`.
#[track_caller]
pub(crate) fn as_json(repo: &Repo, args: &[&str]) -> Out {
    repo.dispatch(&[args, &["--json"]].concat())
}

/// Returns every ref of a repository with its value, apart from those that only this clone has for itself.
pub(crate) fn refs(repo: &Repo) -> String {
    let all = repo.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
    all.lines().filter(|line| !line.starts_with("refs/dispatch-local/")).collect::<Vec<_>>().join("\n")
}

/// Returns the keys of an object, sorted.
#[track_caller]
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}
