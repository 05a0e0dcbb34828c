//! `status`, and plain `git dispatch`: what needs a person first; colours.

use crate::hubs::{as_json, enqueue, keys, on_both};
use crate::sandbox::Sandbox;

const NODE: [&str; 10] =
    ["beat_at", "busy", "executors", "instance", "labels", "mode", "name", "running", "slots", "state"];

#[test]
fn the_document_has_exactly_the_promised_keys() {
    on_both(|repo| {
        enqueue(repo, "one", "", "# One");
        enqueue(repo, "two", "", "# Two");
        repo.dispatch(&["claim", "one"]).success();
        let document = as_json(repo, &["status"]).success().json();
        let promised = ["blocked", "counts", "factory", "forecast", "nodes", "outbox", "running", "synced_at"];
        assert_eq!((keys(&document), &document["factory"]), (promised.to_vec(), &serde_json::Value::Null));
        assert_eq!(keys(&document["nodes"][0]), NODE);
        let states = "assigned cancelled completed conflict failed merged pending running unknown";
        assert_eq!(keys(&document["counts"]), states.split(' ').collect::<Vec<_>>());
        assert_eq!((&document["counts"]["pending"], &document["counts"]["running"]), (&1.into(), &1.into()));
        assert_eq!(document["running"][0]["id"], "one");
        assert_eq!(document["outbox"], 0);
        assert_eq!(as_json(repo, &[]).success().json()["counts"], document["counts"], "plain `git dispatch` is it");
    });
}

#[test]
fn what_needs_a_person_comes_first() {
    on_both(|repo| {
        enqueue(repo, "bad", "run: exit 9", "# Goes wrong");
        enqueue(repo, "good", "run: echo x > x.txt", "# Goes well");
        enqueue(repo, "hand", "", "# By hand");
        repo.dispatch(&["claim", "hand"]).success();
        repo.dispatch(&["run"]).code(4);
        let told = repo.dispatch(&["status"]).success().stdout;
        let at = |part: &str| told.find(part).unwrap_or_else(|| panic!("no `{part}` in:\n{told}"));
        assert_eq!(at("needs a person"), 0, "{told}");
        assert!(at("/bad") < at("1 completed") && at("1 completed") < at("/hand"), "{told}");
        assert!(told.contains("git dispatch retry") && !told.contains("/good"), "{told}");
        assert_eq!(repo.dispatch(&[]).success().stdout.lines().next(), Some("needs a person"));
    });
}

#[test]
fn an_empty_queue_says_how_to_fill_it() {
    on_both(|repo| {
        let out = repo.dispatch(&[]).success();
        assert!(out.stdout.contains("is empty") && out.stdout.contains("git dispatch enqueue"), "{out}");
    });
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    enqueue(&solo, "bad", "run: exit 9", "# Goes wrong");
    solo.dispatch(&["run"]).code(4);
    let painted = |environment: &[(&str, &str)], args: &[&str]| {
        let out = solo.dispatch_env(environment, args);
        out.stdout.contains('\u{1b}') || out.stderr.contains('\u{1b}')
    };
    for command in [&["list"][..], &["status"], &["show", "bad"], &["log"], &["show", "nothing"], &["-h"]] {
        assert!(!painted(&[], command), "{command:?} is piped");
        assert!(!painted(&[], &[command, &["--color", "never"]].concat()));
        assert!(!painted(&[("NO_COLOR", "1")], command), "{command:?}");
        assert!(!painted(&[], &[command, &["--json", "--color", "always"]].concat()), "{command:?} as JSON");
    }
    for command in [&["list"][..], &["status"], &["show", "bad"], &["log"], &["show", "nothing"]] {
        assert!(painted(&[], &[command, &["--color", "always"]].concat()), "{command:?}");
    }
    let list = solo.dispatch(&["list", "--color", "always"]).success().stdout;
    assert!(list.contains("\u{1b}[31mfailed\u{1b}[0m"), "{list:?}");
}
