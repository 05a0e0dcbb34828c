//! `logs`: what an executor wrote, while it runs and afterwards.

use std::fs;

use crate::sandbox::{PATIENCE, Sandbox, eventually};
use crate::steps::{done, each_hub, enqueue, enqueue_lines, refused, shown, until};

#[test]
fn output_is_kept_as_it_was() {
    each_hub(|_, a, _| {
        let script = "echo out; echo err >&2; printf '== attempt 7 on x: 2 bytes\\nno end of line'";
        done(a, &[("one", script), ("two", "echo second"), ("quiet", "true")]);
        let out = a.dispatch(&["logs", "one"]).success();
        assert_eq!(out.stdout, "out\nerr\n== attempt 7 on x: 2 bytes\nno end of line");
        assert!(out.stderr.is_empty(), "{out}");
        assert_eq!(a.dispatch(&["logs", "p/two"]).success().stdout, "second\n");
        let document = a.dispatch(&["logs", "two", "--json"]).success().json();
        assert_eq!((document["task"].as_str(), document["log"].as_str()), (Some("p/two"), Some("second\n")));
        // Still there when the task is merged.
        a.dispatch(&["collect"]).success();
        assert_eq!(a.dispatch(&["logs", "two", "--attempt", "1"]).success().stdout, "second\n");
        refused(&a.dispatch(&["logs", "two", "--attempt", "2", "--json"]), "dispatch::logs::none", 1);
    });
}

#[test]
fn output_is_fetched_from_another_node() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    done(&a, &[("one", "echo from a"), ("two", "echo too")]);
    b.dispatch(&["list"]).success();
    assert_eq!(b.git(&["for-each-ref", "refs/notes/dispatch-logs"]), "", "logs are fetched only when asked for");
    assert_eq!(b.dispatch(&["logs", "one"]).success().stdout, "from a\n");
    assert_eq!(b.dispatch(&["logs", "two"]).success().stdout, "too\n");
    // Plain git can read it too.
    let spec = sandbox.hub().git(&["rev-parse", "refs/dispatch/queue"]);
    let note = sandbox.hub().git(&["notes", "--ref", "refs/notes/dispatch-logs/a", "show", &spec]);
    assert!(note.contains("too"), "{note}");
}

#[test]
fn output_of_a_running_task_is_shown() {
    each_hub(|sandbox, a, _| {
        let go = sandbox.root().join("go");
        let script = format!("echo begun; {}; echo ended", until(&format!("[ -e {} ]", shown(&go))));
        enqueue_lines(a, &[("one", &script)]);
        let running = a.spawn(&["run"]);
        eventually(PATIENCE, || {
            let out = a.dispatch(&["logs", "one", "--json"]);
            out.code == 0 && out.json()["log"] == "begun\n" && out.json()["live"] == true
        });
        fs::write(go, "").unwrap();
        running.wait(PATIENCE).success();
        assert_eq!(a.dispatch(&["logs", "one"]).success().stdout, "begun\nended\n");
    });
}

#[test]
fn a_flood_is_cut_in_the_middle() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    done(&a, &[("one", "echo first; yes abcdefghijklmnopqrstuvwxyz | head -n 400000; echo last")]);
    let log = a.dispatch(&["logs", "one"]).success().stdout;
    assert!(log.starts_with("first\n") && log.ends_with("last\n"), "both ends are kept");
    assert!(log.len() < 2 << 20, "{} bytes", log.len());
}

#[test]
fn there_is_none_of_a_task_that_never_ran() {
    each_hub(|_, a, _| {
        enqueue(a, &[("one", "")]);
        refused(&a.dispatch(&["logs", "one", "--json"]), "dispatch::logs::none", 1);
        refused(&a.dispatch(&["logs", "other", "--json"]), "dispatch::task::unknown", 2);
        refused(&a.dispatch(&["logs", "p/../x", "--json"]), "dispatch::name::invalid", 2);
    });
}
