//! `done`: an executor says itself that its task has ended. And what is run around the work: `setup`, `teardown`.

use std::fs;

use serde_json::json;

use crate::sandbox::{Repo, Sandbox};
use crate::steps::{done, each_hub, enqueue, enqueue_lines, file, line, refused, shown, states, task, text};

#[test]
fn what_an_executor_says_of_its_end_counts() {
    each_hub(|sandbox, a, hub| {
        let out = shown(sandbox.root()).to_owned();
        enqueue_lines(
            a,
            &[
                // It goes on in vain: the task has ended, and the rest is stopped.
                (
                    "goes-on",
                    &format!("echo x > x.txt; mkdir sub; cd sub; git-dispatch done --json > {out}/said; sleep 600"),
                ),
                ("no", "echo y > y.txt; git-dispatch -q done --failed --error 'no way'; exit 0"),
                ("well", "git-dispatch done; exit 7"),
                // Said of another task's end it says nothing of this one.
                ("silent", "cp ../said.json . 2> /dev/null; exit 3"),
            ],
        );
        a.git(&["config", "dispatch.executors.shell.grace", "200ms"]);
        a.dispatch(&["run"]).code(4);
        assert_eq!(states(a), ["goes-on completed", "no failed", "silent failed", "well completed"]);
        let said: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(format!("{out}/said")).unwrap()).unwrap();
        assert_eq!(said, json!({"task": "p/goes-on", "failed": false}));
        crate::schema::described("done", &said);
        let no = task(a, "no");
        assert_eq!((&no["reason"], text(&no["error"]).as_str()), (&json!("exit"), "no way"));
        assert_eq!(a.git(&["show", &format!("{}:y.txt", text(&no["result"]))]), "y");
        a.dispatch(&["collect"]).success();
        assert_eq!(file(hub, "x.txt"), "x");
    });
    let sandbox = Sandbox::embedded();
    refused(&sandbox.solo().dispatch(&["done", "--json"]), "dispatch::done::not_in_slot", 1);
}

fn configured(settings: &str) -> (Sandbox, Repo) {
    let config = format!("project = \"p\"\nretry_wait = \"0s\"\n{settings}");
    let files = [("git-dispatch.toml", &*config), (".gitignore", "*.cache\nnode_modules/\n"), ("lock", "1\n")];
    let sandbox = Sandbox::with_clones_of(&files, &["a"]);
    let a = sandbox.repo("a");
    (sandbox, a)
}

fn lines(sandbox: &Sandbox, name: &str) -> Vec<String> {
    let text = fs::read_to_string(sandbox.root().join("home").join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_slot_is_set_up_again_only_when_something_of_that_has_changed() {
    let (sandbox, a) = configured(
        "[executors.shell]\nkind = \"shell\"\nenv = { MORE = \"m\" }\nsetup_inputs = [\"lo*\"]\n\
         setup = [\"echo $DISPATCH_ID $MORE >> $HOME/setups\", \"mkdir 'node_modules'; cp lock node_modules/lock; echo > 'a b[1].cache'\"]\n\
         teardown = [\"echo $DISPATCH_ID >> $HOME/torn\", \"exit 3\", \"echo never >> $HOME/torn\"]\n",
    );
    let uses = "cat node_modules/lock > $DISPATCH_ID.txt && test -e 'a b[1].cache' && touch left.cache";
    done(&a, &[("one", uses), ("two", &format!("test ! -e left.cache && {uses}"))]);
    assert_eq!(lines(&sandbox, "setups"), ["one m"]);
    assert_eq!(lines(&sandbox, "torn"), ["one", "two"]);
    assert!(a.dispatch(&["logs", "one"]).success().stdout.contains("teardown `exit 3` did not end well"));
    // A file that does not count changes, then one that does.
    a.dispatch(&["collect"]).success();
    a.git(&["pull", "--quiet"]);
    done(&a, &[("three", uses)]);
    assert_eq!(lines(&sandbox, "setups").len(), 1);
    a.dispatch(&["collect"]).success();
    a.git(&["pull", "--quiet"]);
    a.write("lock", "2\n");
    a.commit("A newer lock");
    a.git(&["push", "--quiet"]);
    // The next destroys what was made: it is made again.
    done(&a, &[("four", &format!("{uses}; rm -rf node_modules"))]);
    done(&a, &[("five", uses)]);
    assert_eq!(lines(&sandbox, "setups"), ["one m", "four m", "five m"]);
    a.dispatch(&["collect"]).success();
    let hub = sandbox.hub();
    assert_eq!(
        (file(&hub, "three.txt"), file(&hub, "four.txt"), file(&hub, "five.txt")),
        ("1".into(), "2".into(), "2".into())
    );
    assert_eq!(file(&hub, "node_modules/lock"), "");
}

#[test]
fn a_setup_that_fails_leaves_the_task_to_other_nodes() {
    let (sandbox, a) = configured(
        "[executors.shell]\nkind = \"shell\"\nsetup = [\"echo no toolchain; exit 4\"]\nteardown = [\"echo $DISPATCH_ID >> $HOME/torn\"]\n",
    );
    enqueue(&a, &[("one", line("echo x > $HOME/ran"))]);
    a.dispatch(&["run"]).code(4);
    let one = task(&a, "one");
    assert_eq!((&one["state"], &one["reason"]), (&json!("pending"), &json!("spawn")));
    assert!(text(&one["error"]).contains("its setup `echo no toolchain; exit 4` failed"), "{one}");
    assert!(a.dispatch(&["logs", "one"]).success().stdout.starts_with("no toolchain\n"));
    assert_eq!((lines(&sandbox, "ran"), lines(&sandbox, "torn")), (vec![], vec!["one".to_owned()]));
}

#[test]
fn ignored_files_stay_where_the_configuration_says_so() {
    let (_sandbox, a) = configured("[node]\nkeep_ignored = [\"*.cache\"]\n");
    done(
        &a,
        &[
            (
                "one",
                "touch a.cache; mkdir node_modules sub; touch node_modules/x sub/b.cache sub/plain; echo 1 > one.txt",
            ),
            (
                "two",
                "test -e a.cache && test -e sub/b.cache && test ! -e sub/plain && test ! -e node_modules && test ! -e one.txt",
            ),
        ],
    );
}
