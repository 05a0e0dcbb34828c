//! `collect` into several branches: each task's own, another one, one that is protected, one that was rewritten.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::sandbox::{Repo, Sandbox};
use crate::steps::{done, each, each_hub, enqueue, line, merges, refs, refs_below, refused, states, task, text};

/// The subjects of a branch's merges, newest first.
fn merges_on(hub: &Repo, branch: &str) -> Vec<String> {
    let log = hub.git(&["log", "--first-parent", "--merges", "--format=%s", branch]);
    log.lines().map(str::to_owned).collect()
}

fn seal(hub: &Repo, id: &str, from: &Repo) -> Value {
    let spec = text(&task(from, id)["spec"]);
    serde_json::from_str(&hub.git(&["notes", "--ref=refs/notes/dispatch-sealed", "show", &spec])).unwrap()
}

/// Installs a hook on the hub that refuses to move `main`.
fn protect_main(hub: &Repo) {
    let path = hub.path().join("hooks/update");
    fs::write(&path, "#!/bin/sh\ntest $1 != refs/heads/main || { echo main is protected >&2; exit 1; }\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn each_task_goes_into_its_own_target() {
    each_hub(|_, a, hub| {
        hub.git(&["branch", "release", "main"]);
        enqueue(
            a,
            &[
                ("plain", line("echo 1 > 1.txt")),
                ("fix", format!("{}\ntarget: release", line("echo 2 > 2.txt"))),
                ("lost", format!("{}\ntarget: release", line("echo 3 > 3.txt"))),
                // Built on work for another target.
                ("both", format!("{}\ndepends_on: [plain, fix]", line("cat 1.txt 2.txt > both.txt"))),
            ],
        );
        a.dispatch(&["run"]).success();
        let document = a.dispatch(&["collect", "--json"]).success().json();
        assert_eq!(
            (&document["target"], each(&document["merged"], "task")),
            (&json!("main"), vec!["p/plain".into(), "p/both".into()])
        );
        let other = &document["others"][0];
        assert_eq!(
            (&other["target"], each(&other["merged"], "task")),
            (&json!("release"), vec!["p/fix".into(), "p/lost".into()])
        );
        assert_eq!(document["others"].as_array().unwrap().len(), 1);
        assert_eq!((merges_on(hub, "main").len(), merges_on(hub, "release").len()), (2, 2));
        assert_eq!(hub.git(&["show", "main:both.txt"]), "1\n2");
        assert_eq!(
            (&seal(hub, "fix", a)["target"], &seal(hub, "both", a)["target"]),
            (&json!("release"), &json!("main"))
        );
        assert_eq!(states(a).join(", "), "both merged, fix merged, lost merged, plain merged");
    });
}

#[test]
fn a_target_that_is_not_there_stops_only_its_own_tasks() {
    each_hub(|_, a, hub| {
        hub.git(&["branch", "release", "main"]);
        enqueue(
            a,
            &[("plain", line("echo 1 > 1.txt")), ("fix", format!("{}\ntarget: release", line("echo 2 > 2.txt")))],
        );
        a.dispatch(&["run"]).success();
        hub.git(&["branch", "-D", "release"]);
        let document = a.dispatch(&["collect", "--json"]).success().json();
        assert_eq!(each(&document["merged"], "task"), ["p/plain"]);
        assert_eq!(each(&document["others"][0]["waiting"], "task"), ["p/fix"]);
        assert_eq!(states(a), ["fix completed", "plain merged"]);
        let error =
            refused(&a.dispatch(&["collect", "--into", "nowhere", "--json"]), "dispatch::hub::no_target", 1);
        assert!(text(&error["message"]).contains("nowhere"), "{error}");
    });
}

#[test]
fn a_protected_target_is_named_and_an_integration_branch_takes_the_work() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b, hub) = (sandbox.repo("a"), sandbox.repo("b"), sandbox.hub());
    done(&a, &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > 2.txt")]);
    protect_main(&hub);
    let before = refs(&hub);
    let error = refused(&a.dispatch(&["collect", "--json"]), "dispatch::collect::refused", 1);
    assert!(
        text(&error["message"]).contains("main")
            && text(&error["help"]).contains("--into integration/")
            && text(&error["message"]).contains("main is protected"),
        "{error}"
    );
    assert_eq!(refs(&hub), before, "nothing is half done");
    assert_eq!(states(&b), ["one completed", "two completed"]);
    hub.git(&["branch", "integration/day", "main"]);
    let document = b.dispatch(&["collect", "--into", "integration/day", "--json"]).success().json();
    assert_eq!((&document["target"], each(&document["merged"], "task").len()), (&json!("integration/day"), 2));
    assert_eq!((merges_on(&hub, "integration/day").len(), merges(&hub).len()), (2, 0));
    assert_eq!(seal(&hub, "one", &a)["target"], "integration/day");
    assert_eq!(refs_below(&hub, "refs/dispatch/claims"), Vec::<String>::new());
}

/// DESIGN.md 3.3: what was merged elsewhere is still ground to build on and to join on.
#[test]
fn what_depends_on_work_merged_into_another_branch_runs_and_joins() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b, hub) = (sandbox.repo("a"), sandbox.repo("b"), sandbox.hub());
    hub.git(&["branch", "integration/x", "main"]);
    let on = |id: &str| format!("{}\ndepends_on: ground", line(&format!("cat ground.txt > {id}.txt")));
    enqueue(&a, &[("ground", line("echo ground > ground.txt")), ("early", on("early")), ("late", on("late"))]);
    a.dispatch(&["run", "ground", "early"]).success();
    a.dispatch(&["collect", "ground", "--into", "integration/x"]).success();
    // One that was built on the result, and one that is built on the merge, by a clone that never saw that branch.
    b.dispatch(&["run", "late"]).success();
    assert_eq!(states(&b).join(", "), "early completed, ground merged, late completed");
    let document = b.dispatch(&["collect", "--json"]).success().json();
    assert_eq!(each(&document["merged"], "task"), ["p/early", "p/late"]);
    assert_eq!(hub.git(&["show", "main:late.txt"]), "ground");
    assert_eq!(document["waiting"], json!([]));
}

#[test]
fn what_depends_on_a_merge_that_is_gone_waits_and_says_so() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b, hub) = (sandbox.repo("a"), sandbox.repo("b"), sandbox.hub());
    hub.git(&["branch", "integration/x", "main"]);
    done(&a, &[("ground", "echo ground > ground.txt")]);
    enqueue(&a, &[("late", format!("{}\ndepends_on: ground", line("true")))]);
    a.dispatch(&["collect", "--into", "integration/x"]).success();
    hub.git(&["branch", "-D", "integration/x"]);
    let out = b.dispatch(&["run"]).code(3);
    assert!(out.stderr.contains("on no branch of the hub"), "{out}");
    assert_eq!(task(&b, "late")["state"], "pending");
}

#[test]
fn a_branch_that_lags_behind_does_not_get_the_targets_work_along() {
    each_hub(|_, a, hub| {
        hub.git(&["branch", "release", "main"]);
        done(a, &[("one", "echo 1 > 1.txt")]);
        a.dispatch(&["collect"]).success();
        done(a, &[("two", "echo 2 > 2.txt")]);
        let before = hub.git(&["rev-parse", "release"]);
        let document = a.dispatch(&["collect", "--into", "release", "--json"]).success().json();
        assert_eq!(
            (each(&document["waiting"], "task"), &document["conflicts"]),
            (vec!["p/two".to_owned()], &json!([]))
        );
        assert!(text(&document["waiting"][0]["for"]).contains("release to catch up with main"), "{document}");
        assert_eq!(
            (hub.git(&["rev-parse", "release"]), task(a, "two")["state"].clone()),
            (before, json!("completed"))
        );
    });
}

#[test]
fn a_target_rewritten_under_sealed_ground_is_named() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    let before = hub.git(&["rev-parse", "main"]);
    done(&a, &[("ground", "echo x > ground.txt")]);
    enqueue(&a, &[("early", format!("{}\ndepends_on: ground", line("echo x > early.txt")))]);
    a.dispatch(&["run"]).success();
    a.dispatch(&["collect", "ground"]).success();
    hub.git(&["update-ref", "refs/heads/main", &before]);
    let document = a.dispatch(&["collect", "--json"]).code(4).json();
    assert_eq!(document["conflicts"][0]["files"][0]["kind"], "base_rewritten", "{document}");
    assert_eq!((merges(&hub), task(&a, "early")["state"].clone()), (Vec::new(), json!("conflict")));
}

/// A collect that died between its push and its seals says in the claims where it merged.
#[test]
fn a_collect_into_another_branch_that_died_is_taken_up_there() {
    each_hub(|_, a, hub| {
        hub.git(&["branch", "integration/x", "main"]);
        done(a, &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > 2.txt")]);
        let main = hub.git(&["rev-parse", "main"]);
        // Dies at the first push of seals: a hook kills it, or, embedded, the lock on the notes is in the way.
        let notes = "refs/notes/dispatch-sealed";
        let is_embedded = a.path() == hub.path();
        let lock = hub.path().join(format!(".git/{notes}.lock"));
        if is_embedded {
            fs::create_dir_all(lock.parent().unwrap()).unwrap();
            fs::write(&lock, "").unwrap();
        } else {
            let path = hub.path().join("hooks/update");
            fs::write(&path, format!("#!/bin/sh\ntest $1 != {notes}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut first = a.spawn(&["collect", "--into", "integration/x"]);
        crate::sandbox::eventually(crate::sandbox::PATIENCE, || {
            hub.git(&["for-each-ref", "--format=%(subject)", "refs/dispatch/claims"]).matches("merged").count() == 2
        });
        first.kill9();
        first.wait(crate::sandbox::PATIENCE);
        let _ = fs::remove_file(&lock);
        let _ = fs::remove_file(hub.path().join("hooks/update"));
        let merge = text(&task(a, "one")["merge_commit"]);
        let out = a.dispatch(&["collect"]).success();
        assert!(out.stderr.contains("it is sealed now"), "{out}");
        assert_eq!(states(a), ["one merged", "two merged"]);
        assert_eq!(
            hub.git(&["rev-parse", "main"]),
            main,
            "the next collect is not for that branch, and merges nothing"
        );
        let seal = seal(hub, "one", a);
        assert_eq!((&seal["target"], text(&seal["merge_commit"])), (&json!("integration/x"), merge.clone()));
        assert_eq!(hub.git(&["rev-parse", "integration/x~1"]), merge);
        assert_eq!(merges_on(hub, "integration/x").len(), 2);
    });
}
