//! What an executor gets, what of its doings counts, and how it is ended.

use std::fs;

use serde_json::json;

use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};
use crate::steps::{
    done, each, each_hub, enqueue, enqueue_lines, file, line, lives, refs_below, shown, states, task, text,
};

/// Commits a configuration, on the hub too.
fn configure(a: &Repo, hub: &Repo, text: &str) {
    a.write("git-dispatch.toml", text);
    a.commit("Configure");
    if a.path() != hub.path() {
        a.git(&["push", "--quiet", "origin", "main"]);
    }
}

#[test]
fn it_is_told_everything_about_its_task() {
    each_hub(|sandbox, a, hub| {
        let out = sandbox.root().join("given");
        fs::create_dir(&out).unwrap();
        let script = format!(
            "env > {0}/env; pwd > {0}/pwd; cp $DISPATCH_SPEC_FILE {0}/spec; cp $DISPATCH_PROMPT_FILE {0}/prompt; \
             git rev-parse HEAD > {0}/head; git symbolic-ref HEAD > {0}/branch; git remote get-url origin > {0}/origin; \
             git push origin HEAD:refs/heads/mine 2> {0}/push && exit 1; [ -f $DISPATCH_LOG_FILE ] || exit 2; \
             cat > {0}/stdin; echo '{{\"a\": [1, \"x\"]}}' > $DISPATCH_RESULT_FILE",
            shown(&out)
        );
        enqueue(a, &[("one", format!("title: \"A 'title' $(x)\"\npriority: high\n{}", line(&script)))]);
        let environment = [("SECRET_OF_MINE", "kept"), ("GIT_DIR", "/nowhere"), ("DISPATCH_TASK", "other/x")];
        let environment = &environment[..if a.path() == hub.path() { 1 } else { 3 }];
        let _ = environment;
        a.dispatch_env(&[("SECRET_OF_MINE", "kept"), ("DISPATCH_TASK", "other/x")], &["run"]).success();
        let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
        let environment = read("env");
        let given = |name: &str| {
            let prefix = format!("{name}=");
            let found = environment.lines().find_map(|line| line.strip_prefix(&prefix));
            found.unwrap_or_else(|| panic!("no {name} in {environment}")).to_owned()
        };
        let document = task(a, "one");
        let base = hub.git(&["rev-parse", "main"]);
        let node = text(&document["node"]);
        let branch = format!("task/p-one-{node}");
        for (name, value) in [
            ("DISPATCH_TASK", "p/one"),
            ("DISPATCH_PROJECT", "p"),
            ("DISPATCH_ID", "one"),
            ("DISPATCH_TITLE", "A 'title' $(x)"),
            ("DISPATCH_ATTEMPT", "1"),
            ("DISPATCH_NODE", &node),
            ("DISPATCH_PRIORITY", "1"),
            ("DISPATCH_BRANCH", &branch),
            ("DISPATCH_BASE", &base),
            ("DISPATCH_TARGET", "main"),
            ("SECRET_OF_MINE", "kept"),
        ] {
            assert_eq!(given(name), value, "{name}");
        }
        assert_eq!(
            (read("head").trim(), read("branch").trim()),
            (base.as_str(), format!("refs/heads/{branch}").as_str())
        );
        assert_eq!(fs::read_to_string(a.path().join("../specs-one/one.md")).unwrap(), read("spec"));
        assert!(read("prompt").ends_with("# Task one\n\nDo one.\n") && !read("prompt").contains("priority"));
        assert!(read("stdin").is_empty() && !read("push").is_empty());
        assert_eq!(
            fs::canonicalize(read("origin").trim()).unwrap(),
            fs::canonicalize(hub.path())
                .unwrap()
                .join(if a.path() == hub.path() && read("origin").trim().ends_with(".git") { ".git" } else { "" })
        );
        assert!(!given("DISPATCH_SPEC_FILE").starts_with(read("pwd").trim()), "outside the clone");
        assert_eq!(document["output"], json!({"a": [1, "x"]}));
        assert_eq!(refs_below(hub, "refs/heads/mine"), Vec::<String>::new());
    });
}

#[test]
fn a_command_is_an_argv_and_never_a_shell() {
    each_hub(|sandbox, a, hub| {
        let args = sandbox.root().join("args");
        sandbox.repo(".").write(
            "agent",
            &format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > {0}\ncat >> {0}\necho done > done.txt\n", shown(&args)),
        );
        sandbox.repo(".").run("chmod", &[], &["+x", "agent"]).success();
        let agent = sandbox.root().join("agent");
        configure(
            a,
            hub,
            &format!(
                "[executors.agent]\nkind = \"command\"\nstdin = \"prompt\"\npreamble = \"Please.\\n\"\n\
             command = [\"{}\", \"-m{{model}}\", \"{{title}}\", \"{{task}}-{{attempt}}\", \"{{unknown}} {{\", \"{{id}}{{priority}}\"]\n\
             model = {{ critical = \"big\", default = \"small\" }}\n",
                shown(&agent)
            ),
        );
        let title = "title: \"$(touch x) `touch y`; touch z {id} --flag\"\nexecutor: agent\npriority: critical";
        enqueue(a, &[("one", title)]);
        a.dispatch(&["run"]).success();
        let expected = "-mbig\n$(touch x) `touch y`; touch z {id} --flag\np/one-1\n{unknown} {\none0\nPlease.\n# Task one\n\nDo one.\n";
        assert_eq!(fs::read_to_string(&args).unwrap(), expected);
        a.dispatch(&["collect"]).success();
        assert_eq!(file(hub, "done.txt"), "done");
        for name in ["x", "y", "z"] {
            assert_eq!(file(hub, name), "");
            assert!(!a.path().join(name).exists() && !sandbox.root().join(name).exists());
        }
    });
}

#[test]
fn one_that_cannot_be_started_is_charged_and_left_to_other_nodes() {
    each_hub(|_, a, hub| {
        configure(a, hub, "[executors.gone]\nkind = \"command\"\ncommand = [\"/no/such/program\"]\n");
        enqueue(a, &[("one", "executor: gone")]);
        a.dispatch(&["run"]).code(4);
        let one = task(a, "one");
        assert_eq!((&one["state"], &one["reason"]), (&json!("pending"), &json!("spawn")));
        let claim = hub.git(&["log", "-1", "--format=%B", "refs/dispatch/claims/p/one"]);
        assert!(claim.contains("Dispatch-Charged: 1"), "{claim}");
        assert!(text(&one["error"]).contains("/no/such/program"), "{one}");
    });
}

/// SIGTERM first, and when that does not help SIGKILL; to the whole process group.
#[test]
fn one_that_takes_too_long_is_ended_with_all_it_started() {
    each_hub(|sandbox, a, hub| {
        configure(
            a,
            hub,
            "[executors.hasty]\nkind = \"shell\"\ntimeout = \"1s\"\ngrace = \"300ms\"\n\
             [executors.talker]\nkind = \"shell\"\nstall_timeout = \"1s\"\ngrace = \"300ms\"\n",
        );
        let out = sandbox.root().display();
        let stubborn = format!(
            "trap 'echo asked >> {out}/asked' TERM; (trap '' TERM; echo work > w.txt; sleep 600) & echo $! > {out}/child; \
             while :; do sleep 0.05; done"
        );
        enqueue(
            a,
            &[
                ("slow", format!("executor: hasty\n{}", line(&stubborn))),
                ("silent", format!("executor: talker\n{}", line("echo begun; sleep 600"))),
            ],
        );
        a.dispatch(&["run", "--slots", "2"]).code(4);
        let (slow, silent) = (task(a, "slow"), task(a, "silent"));
        assert_eq!((&slow["state"], &slow["reason"]), (&json!("failed"), &json!("timeout")));
        assert_eq!((&silent["state"], &silent["reason"]), (&json!("failed"), &json!("stall")));
        assert_eq!(fs::read_to_string(sandbox.root().join("asked")).unwrap(), "asked\n");
        let child = fs::read_to_string(sandbox.root().join("child")).unwrap();
        eventually(PATIENCE, || !lives(&child));
        // What it had done so far is kept.
        assert_eq!(hub.git(&["show", &format!("{}:w.txt", text(&slow["branch"]))]), "work");
        assert_eq!(a.dispatch(&["logs", "silent"]).success().stdout, "begun\n");
    });
}

#[test]
fn one_that_is_out_of_quota_gives_the_task_back_uncharged() {
    each_hub(|_, a, hub| {
        enqueue_lines(a, &[("one", "[ $DISPATCH_ATTEMPT -gt 4 ] || exit 75; echo done > done.txt")]);
        for attempt in 1..=4 {
            a.dispatch(&["run"]);
            let one = task(a, "one");
            assert_eq!(
                (&one["state"], &one["reason"], &one["attempt"]),
                (&json!("pending"), &json!("quota"), &json!(attempt))
            );
        }
        a.dispatch(&["run"]).success();
        assert_eq!(states(a), ["one completed"]);
        let chain = hub.git(&["log", "--first-parent", "--format=%B", "refs/dispatch/claims/p/one"]);
        assert!(!chain.contains("Dispatch-Charged: 1"), "{chain}");
    });
}

#[test]
fn one_that_is_out_of_quota_is_left_alone_for_as_long_as_it_says_and_others_go_on() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    configure(&a, &sandbox.hub(), "project = \"p\"\n[executors.other]\nkind = \"shell\"\n");
    let home = |name: &str| sandbox.root().join("home").join(name);
    let out = "[ -e $HOME/more ] || { echo \"{\\\"retry_after_seconds\\\": $(cat $HOME/rest)}\" > $DISPATCH_RESULT_FILE; \
        date +%s > $HOME/began; exit 75; }; echo $(( $(date +%s) - $(cat $HOME/began) )) > $DISPATCH_ID.txt";
    for (id, more) in [("a", ""), ("b", ""), ("c", "\nexecutor: other")] {
        let line = if id == "c" { "echo c > c.txt" } else { out };
        a.spec(&format!("tasks/{id}.md"), &format!("run: |\n  {line}{more}"), "# A task");
    }
    a.dispatch(&["enqueue", "tasks"]).success();
    fs::write(home("rest"), "3600").unwrap();
    let told = a.dispatch(&["run"]);
    assert!(told.stderr.contains("executor shell is out of quota: left alone for 1h"), "{told}");
    assert_eq!(states(&a), ["a pending", "b pending", "c completed"]);
    assert_eq!((&task(&a, "a")["attempt"], &task(&a, "b")["attempt"]), (&json!(1), &json!(null)), "b is not tried");
    assert_eq!(a.dispatch(&["nodes", "--json"]).json()["nodes"][0]["executors"], json!(["other"]));
    // A node that stays goes on with it when the time is up.
    a.git(&["config", "dispatch.node.poll", "100ms"]);
    a.git(&["config", "dispatch.node.pollMax", "200ms"]);
    fs::remove_file(home("began")).unwrap();
    fs::write(home("rest"), "2").unwrap();
    let node = a.spawn(&["run", "--watch"]);
    eventually(PATIENCE, || home("began").exists());
    fs::write(home("more"), "").unwrap();
    eventually(PATIENCE, || states(&a) == ["a completed", "b completed", "c completed"]);
    drop(node);
    a.dispatch(&["collect"]).success();
    let rested = |id: &str| file(&sandbox.hub(), &format!("{id}.txt")).parse::<u32>().unwrap();
    assert!(rested("a").min(rested("b")) >= 1, "it was to be left alone for two seconds");
}

#[test]
fn what_it_left_uncommitted_is_committed() {
    each_hub(|_, a, hub| {
        done(
            a,
            &[
                (
                    "one",
                    "echo '*.tmp' > .gitignore; echo x > a.tmp; echo new > 'odd name é'; rm src/two.txt; echo 1 >> src/one.txt; chmod +x README.md; ln -s README.md link",
                ),
                ("none", "true"),
            ],
        );
        let result = text(&task(a, "one")["result"]);
        let changed =
            hub.git(&["-c", "core.quotePath=false", "show", "--format=%an: %s", "--name-status", &result]);
        assert_eq!(
            changed,
            "Test User: p/one: Task one\n\nA\t.gitignore\nM\tREADME.md\nA\tlink\nA\todd name é\nM\tsrc/one.txt\nD\tsrc/two.txt"
        );
        // Nothing of one task is in another's slot.
        assert_eq!(task(a, "none")["files_changed"], 0);
        assert_eq!(task(a, "none")["result"], hub.git(&["rev-parse", "main"]));
    });
}

/// A process that goes on in the background keeps neither the output nor the task.
#[test]
fn one_that_leaves_a_process_behind_has_ended() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    let pid = sandbox.root().join("pid");
    let script = format!("sleep 600 & echo $! > {}; echo done", shown(&pid));
    done(&a, &[("one", &script), ("two", "true")]);
    assert_eq!(a.dispatch(&["logs", "one"]).success().stdout, "done\n");
    let pid = fs::read_to_string(pid).unwrap();
    eventually(PATIENCE, || !lives(&pid));
    assert_eq!(each(&a.dispatch(&["collect", "--json"]).success().json()["merged"], "task"), ["p/one", "p/two"]);
}
