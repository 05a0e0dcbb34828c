//! Bugs that there were, each with what a user saw.

use serde_json::json;

use crate::sandbox::Sandbox;
use crate::steps::{enqueue, line, states, task};

/// One spec that named a branch that the hub has not made every command of every clone fail.
#[test]
fn a_target_that_is_not_there_holds_up_its_own_task_only() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    enqueue(
        &a,
        &[
            ("lost", format!("{}\ntarget: no-such-branch", line("true"))),
            ("other", line("true")),
            ("after", format!("{}\ndepends_on: other", line("true"))),
        ],
    );
    let out = b.dispatch(&["run"]).success();
    assert!(out.stderr.contains("p/lost waits") && out.stderr.contains("no-such-branch"), "{out}");
    a.dispatch(&["collect"]).success();
    assert_eq!(states(&a), ["after merged", "lost pending", "other merged"]);
    // Once it is there, the task runs.
    a.git(&["push", "--quiet", "origin", "main:no-such-branch"]);
    b.dispatch(&["run"]).success();
    assert_eq!(task(&a, "lost")["state"], json!("completed"));
}
