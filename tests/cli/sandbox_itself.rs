//! Shows that the harness does what it says, with git and `sh`; of the binary only that it knows
//! `--version`.

use std::time::Duration;

use crate::sandbox::{PATIENCE, Sandbox, Trace, eventually, race};

#[test]
fn clones_share_a_hub_and_see_nothing_of_the_machine() {
    let sandbox = Sandbox::with_clones_of(&[("only.txt", "here\n")], &["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    a.write("new/file.txt", "new\n");
    let id = a.commit("Add a file");
    a.git(&["push", "--quiet"]);
    assert_eq!(b.git(&["ls-remote", "origin", "refs/heads/main"]), format!("{id}\trefs/heads/main"));
    assert_eq!(sandbox.hub().git(&["ls-tree", "-r", "--name-only", "main"]), "new/file.txt\nonly.txt");
    assert_eq!(b.git(&["config", "dispatch.node"]), "b");

    let origins = a.git(&["config", "--list", "--show-origin", "--name-only"]);
    let home = sandbox.root().join("home");
    let foreign = |line: &&str| line.starts_with("file:/") && !line.contains(home.to_str().unwrap());
    assert_eq!(origins.lines().find(foreign), None);
    let environment = a.run("env", &[("MINE", "1")], &[]).success().stdout;
    let allowed = ["PATH", "TMPDIR", "LC_ALL", "TZ", "RUST_BACKTRACE", "MINE", "HOME", "PWD"];
    let stray = |name: &&str| !(name.starts_with("XDG_") || name.starts_with("GIT_C") || allowed.contains(name));
    assert_eq!(environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).find(stray), None);
}

#[test]
fn commits_have_the_same_ids_in_each_sandbox() {
    let head = || Sandbox::with_clones(&["a"]).repo("a").git(&["rev-parse", "HEAD"]);
    assert_eq!(head(), head());
    let sandbox = Sandbox::embedded();
    assert_eq!(sandbox.solo().git(&["rev-parse", "HEAD"]), head());
    assert_eq!(sandbox.solo().git(&["remote"]), "");
}

#[test]
fn what_a_command_says_can_be_compared() {
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    solo.spec("tasks/one.md", "priority: 0", "# One");
    solo.spec("tasks/two.md", "", "# Two\n");
    let script = "cat tasks/*.md; git rev-parse HEAD; pwd; echo gone wrong >&2; exit 4";
    let out = solo.run("sh", &[], &["-c", script]);
    let expected = "---\npriority: 0\n---\n# One\n# Two\n<id>\n$ROOT/solo\n! gone wrong\n[exit 4]";
    assert_eq!(out.code(4).to_string(), expected);
    let refused = solo.git_try(&["no-such-command"]);
    assert!(refused.code != 0 && refused.stderr.contains("no-such-command"));
    assert_eq!(solo.run("echo", &[], &["{\"a\": 1}"]).json()["a"], 1);
    assert!(std::panic::catch_unwind(|| solo.run("echo", &[], &["{} {}"]).json()).is_err());
}

#[test]
fn the_binary_is_found_by_git() {
    let sandbox = Sandbox::embedded();
    let direct = sandbox.solo().dispatch(&["--version"]).success();
    assert_eq!(sandbox.solo().git(&["dispatch", "--version"]), direct.stdout.trim_end());
    assert_eq!(sandbox.solo().dispatch_stdin("", &["--version"]).success().stdout, direct.stdout);
    let (traced, trace) = sandbox.solo().traced(&["--version"]);
    assert_eq!((traced.code, trace.processes()), (0, 0));
    let spawned = sandbox.solo().spawn(&["--version"]).wait(PATIENCE).success();
    assert_eq!(spawned.stdout, direct.stdout);
    sandbox.solo().spawn_env(&[("NO_COLOR", "1")], &["--version"]).wait(PATIENCE).success();
}

#[test]
fn git_processes_are_counted() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    a.commit("Something to push");
    let file = sandbox.root().join("trace");
    let script = "git -c x.y=z status; git -C . push -q; git --git-dir=.git push -q";
    a.run("sh", &[("GIT_TRACE2_EVENT", file.to_str().unwrap())], &["-c", script]).success();
    let trace = Trace::read(&file);
    assert_eq!(trace.commands(), ["status", "push", "push"]);
    assert_eq!((trace.processes(), trace.count("push"), trace.count("fetch")), (3, 2, 0));
    assert!(trace.nested() > 0, "a push to a path starts a receiver");
    assert_eq!(trace.command_lines()[0], "git -c x.y=z status");
}

#[test]
fn racers_start_together_and_answer_in_order() {
    let arrived = std::sync::Barrier::new(4);
    // Each waits for all others: this ends only if all run at once.
    let answers = race(4, |i| {
        arrived.wait();
        i * i
    });
    assert_eq!(answers, [0, 1, 4, 9]);
}

#[test]
fn processes_can_be_watched_and_ended() {
    let sandbox = Sandbox::embedded();
    let loops = "echo ready; while :; do sleep 0.05; done";
    let started = |script: &str| {
        let running = sandbox.solo().start("sh", &[], &["-c", script]);
        eventually(PATIENCE, || running.output().stdout == "ready\n");
        running
    };
    let mut killed = started(loops);
    killed.kill9();
    assert_eq!(killed.wait(PATIENCE).code, 137);
    let mut asked = started(&format!("trap 'echo bye; exit 5' TERM; {loops}"));
    asked.term();
    assert_eq!(asked.wait(PATIENCE).code(5).stdout, "ready\nbye\n");
    let mut told = started(&format!("trap 'exit 6' USR1; {loops}"));
    assert!(told.is_running());
    told.signal(rustix::process::Signal::USR1);
    told.wait(PATIENCE).code(6);
    let slow = started(loops);
    let late = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| slow.wait(Duration::ZERO)));
    assert!(late.is_err());
}

/// What a killed node leaves behind is in a process group of its own, and nobody's child any more.
#[test]
fn nothing_outlives_its_sandbox() {
    let sandbox = Sandbox::embedded();
    let script = "setsid sh -c 'echo $$ > orphan; exec sleep 600' & \
        until [ -s orphan ]; do sleep 0.02; done";
    sandbox.solo().run("sh", &[], &["-c", script]).success();
    let orphan = std::fs::read_to_string(sandbox.solo().path().join("orphan")).unwrap();
    let running = sandbox.solo().start("sleep", &[], &["600"]);
    let (id, root) = (running.id(), sandbox.root().to_owned());
    drop((running, sandbox));
    let lives = |id: &str| {
        let state = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        state.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.starts_with(" Z"))
    };
    eventually(PATIENCE, || !lives(orphan.trim()) && !lives(&id.to_string()));
    assert!(!root.exists());
}
