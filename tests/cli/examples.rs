//! The examples of the help texts: each line is run as it stands, in order, in one clone; and each command has some.

use std::collections::BTreeSet;

use git_dispatch::commands::examples;
use serde_json::json;

use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};
use crate::steps::plant_node;

/// Commands without an example, and why.
const WITHOUT: [&str; 4] = [
    "demo",   // plays for itself, in tests/cli/demo.rs
    "attach", // needs a terminal, tests/cli/tmux.rs
    "top",    // likewise, tests/cli/top.rs
    "help",
];

/// Lines that end with another exit code than 0 here.
const CODES: [(&str, i32); 2] = [
    ("git dispatch done", 1),   // we are in no slot
    ("git dispatch run   ", 4), // one of the tasks fails
];

fn world() -> Sandbox {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    for (id, frontmatter) in [
        ("S01", "run: echo one > one.txt"),
        ("S02", "run: echo two > two.txt\ndepends_on: S01"),
        ("S03", "run: exit 1"),
        ("S04", ""),
        ("S05", "run: echo five > five.txt\npriority: low"),
        ("S06", ""),
        ("S07", "run: echo seven > seven.txt\nlabels: gpu"),
    ] {
        a.spec(
            &format!("specs/{id}.md"),
            &format!("project: p\n{frontmatter}"),
            &format!("# Task {id}\n\nDo {id}."),
        );
    }
    let event = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/issues/github/opened.json");
    std::fs::copy(event, a.path().join("issue.json")).unwrap();
    sandbox
}

/// What has to be so before a line can be tried.
fn prepare(sandbox: &Sandbox, a: &Repo, line: &str) {
    if line.starts_with("git dispatch assign") {
        plant_node(sandbox, "north", &json!({"slots": 1}));
    }
    if line.starts_with("git dispatch finish") || line.contains("&& git dispatch finish") {
        // What `claim --count 1` found next.
        a.dispatch(&["release", "S01"]).success();
    }
    if line.starts_with("git dispatch factory") {
        a.git(&["config", "dispatch.factory.generate", "true"]);
    }
    if line.starts_with("git dispatch bundle create") {
        a.dispatch(&["enqueue", "--project", "q", "specs/S01.md"]);
        a.spec("more/S08.md", "project: p\nrun: echo 8 > 8.txt", "# Eight");
        a.dispatch(&["enqueue", "more"]).success();
    }
}

#[test]
fn each_example_does_what_it_says() {
    let sandbox = world();
    let a = sandbox.repo("a");
    let mut failed = Vec::new();
    for (_, lines) in examples::all() {
        for line in lines {
            prepare(&sandbox, &a, line);
            if line.split('#').next().is_some_and(|said| said.contains("--watch")) {
                stays_until_told(&a, line);
                continue;
            }
            let expected = CODES.iter().find(|(start, _)| line.starts_with(start)).map_or(0, |(_, code)| *code);
            let out = a.run("sh", &[], &["-c", line]);
            if out.code != expected {
                failed.push(format!("{line}\n{out}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    let main = sandbox.hub().git(&["ls-tree", "--name-only", "main"]);
    for file in ["one.txt", "two.txt"] {
        assert!(main.lines().any(|line| line == file), "{file} is not in\n{main}");
    }
    assert!(a.path().join("man/man1/git-dispatch-run.1").exists() && a.path().join("git-dispatch.bash").exists());
}

/// A command that stays is told to leave, once it has said that it is there.
fn stays_until_told(a: &Repo, line: &str) {
    let words: Vec<&str> = line.split('#').next().unwrap().split_whitespace().skip(2).collect();
    let mut running = a.spawn(&words);
    eventually(PATIENCE, || {
        assert!(running.is_running(), "{line}\n{}", running.output());
        let nodes = a.dispatch(&["nodes", "--json"]).success().json()["nodes"].clone();
        nodes.as_array().unwrap().iter().any(|node| node["name"] == "south" && node["state"] != "stopped")
    });
    running.term();
    running.wait(PATIENCE).code(143);
}

#[test]
fn each_command_has_examples_and_shows_them() {
    let sandbox = Sandbox::embedded();
    let root = sandbox.repo(".");
    let listed = root.dispatch(&["-h"]).success().stdout;
    let commands = listed.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let commands: BTreeSet<&str> =
        commands.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next()).collect();
    let commands: BTreeSet<&str> =
        commands.into_iter().filter(|name| name.chars().all(char::is_alphabetic)).collect();
    let with: BTreeSet<&str> = examples::all().map(|(name, _)| name.split(' ').next().unwrap()).collect();
    let without: Vec<&&str> =
        commands.iter().filter(|name| !with.contains(**name) && !WITHOUT.contains(name)).collect();
    assert!(without.is_empty() && with.is_subset(&commands), "{without:?}");
    let long = root.dispatch(&["run", "--help"]).success().stdout;
    assert!(long.contains("Examples:\n  git dispatch run --max 1 "), "{long}");
    let short = root.dispatch(&["run", "-h"]).success().stdout;
    assert!(!short.contains("Examples:") && short.lines().count() < long.lines().count(), "{short}");
}
