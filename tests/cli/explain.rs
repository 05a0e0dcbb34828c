//! `explain`: every code with what it means and what to do. That code and documentation name the same ones is checked in
//! `tests/architecture.rs`.

use crate::hubs::{as_json, refused};
use crate::sandbox::Sandbox;

#[test]
fn each_code_is_explained_with_a_way_out() {
    let sandbox = Sandbox::embedded();
    let root = sandbox.repo(".");
    let listed = root.dispatch(&["explain"]).success().stdout;
    let codes = as_json(&root, &["explain"]).success().json()["codes"].clone();
    let codes: Vec<&str> = codes.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), codes);
    let mut sorted = codes.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(codes, sorted, "each once, in order");
    assert!(codes.len() > 50);
    // One process each is enough for a few; the document is one file.
    for code in codes.iter().step_by(7) {
        let one = as_json(&root, &["explain", code]).success().json();
        assert_eq!(one["code"], **code);
        assert!(!one["meaning"].as_str().unwrap().is_empty() && !one["help"].as_str().unwrap().is_empty(), "{one}");
    }
}

#[test]
fn the_end_of_a_code_is_enough_and_a_slip_is_seen() {
    let sandbox = Sandbox::embedded();
    let root = sandbox.repo(".");
    let told = root.dispatch(&["explain", "unclosed"]).success().stdout;
    assert!(told.starts_with("dispatch::spec::unclosed\n"), "{told}");
    assert!(root.dispatch(&["explain", "spec::unclosed"]).success().stdout == told);
    let error = refused(&root, &["explain", "dispatch::spec::unclosd"], 2, "dispatch::explain::unknown");
    assert_eq!(error["help"], "did you mean `dispatch::spec::unclosed`?");
    refused(&root, &["explain", "\u{1b}[2J"], 2, "dispatch::explain::unknown");
}

/// What a person sees of an error leads to its explanation.
#[test]
fn a_code_that_was_shown_is_explained() {
    let sandbox = Sandbox::embedded();
    let shown = sandbox.solo().dispatch(&["show", "nope"]).code(2).stderr;
    let code = shown.lines().next().unwrap().trim();
    let told = sandbox.repo(".").dispatch(&["explain", code]).success().stdout;
    assert!(told.contains("There is no task of that name."), "{told}");
}
