//! Yesterday's state loads for ever: `fixtures/formats/v1.bundle` holds one task of each kind, as version 1 writes them.
//!
//! To make it anew after a change of format (until the air gap is built, then it is frozen):
//! `GIT_DISPATCH_TEST_WRITE_FIXTURES=1 cargo test --test cli formats`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::sandbox::{Repo, Sandbox};

fn bundle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/formats/v1.bundle")
}

/// Plays a history with one task of each kind.
fn play(solo: &Repo) {
    solo.git(&["config", "dispatch.node", "north"]);
    solo.git(&["config", "dispatch.project", "gem"]);
    let spec = |id: &str, frontmatter: &str| {
        solo.write(
            &format!("specs/{id}.md"),
            &format!("---\n{frontmatter}\n---\n# Title of {id}\nBody of {id}.\n"),
        );
    };
    spec("S00", "run: echo base > base.txt");
    spec("S01", "depends_on: [S00]\nrun: echo one > README.md");
    spec("S02", "run: echo two > README.md");
    spec("S03", "run: echo lost; exit 3");
    spec("S04", "run: 'true'");
    spec(
        "S05",
        "run: 'true'\npriority: critical\nlabels: [\"gpu\", \"agent:code\"]\nmodifies: [\"schemas/**\"]\nestimated_minutes: 45\nmode: push\ntarget: main\nexecutor: shell\ndepends_on: [S04]",
    );
    spec("S06", "run: echo six");
    spec("S07", "run: echo seven");
    solo.dispatch(&["enqueue", "specs"]).success();
    solo.dispatch(&["run", "S00"]).success();
    solo.dispatch(&["run", "S01", "S02"]).success();
    solo.dispatch(&["run", "S03"]).code(4);
    solo.dispatch(&["collect"]).code(4);
    solo.dispatch(&["cancel", "S06", "S07"]).success();
    solo.dispatch(&["retry", "S07"]).success();
    solo.dispatch(&["claim", "S04"]).success();
}

fn states(repo: &Repo) -> Value {
    let list = repo.dispatch(&["list", "--json", "--offline"]).success().json();
    list["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| json!([task["task"], task["state"], task["attempt"]]))
        .collect()
}

#[test]
fn the_state_of_version_1_loads() {
    if std::env::var_os("GIT_DISPATCH_TEST_WRITE_FIXTURES").is_some() {
        let sandbox = Sandbox::embedded();
        let solo = sandbox.solo();
        play(&solo);
        std::fs::create_dir_all(bundle().parent().unwrap()).unwrap();
        solo.git(&["bundle", "create", bundle().to_str().unwrap(), "--all"]);
    }
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    solo.git(&["checkout", "--quiet", "--detach"]);
    let refs = ["refs/dispatch/*:refs/dispatch/*", "refs/notes/*:refs/notes/*", "+refs/heads/*:refs/heads/*"];
    solo.git(&[&["fetch", "--quiet", bundle().to_str().unwrap()], &refs[..]].concat());
    assert_eq!(
        states(&solo),
        json!([
            ["gem/S00", "merged", 1],
            ["gem/S01", "merged", 1],
            ["gem/S02", "conflict", 1],
            ["gem/S03", "failed", 1],
            ["gem/S04", "running", 1],
            ["gem/S05", "pending", null],
            ["gem/S06", "cancelled", null],
            ["gem/S07", "pending", null],
        ])
    );
    let failed = solo.dispatch(&["show", "gem/S03", "--json"]).success().json();
    assert_eq!((&failed["exit_code"], &failed["reason"]), (&json!(3), &json!("exit")));
    let conflict = solo.dispatch(&["show", "gem/S02", "--json"]).success().json();
    assert_eq!(conflict["conflict_files"], json!([{"path": "README.md", "kind": "contents"}]));
    let full = solo.dispatch(&["show", "gem/S05", "--json"]).success().json();
    assert_eq!(
        (&full["priority"], &full["mode"], &full["estimate_seconds"]),
        (&json!(0), &json!("push"), &json!(2700))
    );
    assert_eq!((&full["labels"], &full["modifies"]), (&json!(["gpu", "agent:code"]), &json!(["schemas/**"])));
    assert_eq!(full["depends_on"], json!(["gem/S04"]));
    let logs = solo.dispatch(&["logs", "gem/S03"]).success();
    assert_eq!(logs.stdout, "lost\n");
}
