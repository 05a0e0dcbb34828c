//! `notify.command`: each event as one JSON object on its stdin, and nothing that it does harms anything.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};
use crate::steps::{done, each, each_hub, enqueue, enqueue_lines, line, lives, merges, states, task, text, until};

/// Configures a notifier: a shell line, as an argv.
fn notify(repo: &Repo, script: &str, rest: &str) {
    let config = format!("[notify]\ncommand = [\"sh\", \"-c\", {}]\n{rest}", json!(script));
    repo.write("git-dispatch.toml", &config);
}

fn home(repo: &Repo, name: &str) -> PathBuf {
    repo.path().join("../home").join(name)
}

/// What was told so far.
fn told(repo: &Repo) -> Vec<Value> {
    let text = fs::read_to_string(home(repo, "told")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(told: &[Value]) -> Vec<String> {
    told.iter().map(|event| format!("{} {}", text(&event["event"]), text(&event["task"]))).collect()
}

const KEEP: &str = "cat >> $HOME/told";

#[test]
fn a_collect_tells_what_it_merged_what_conflicts_and_what_that_blocks() {
    each_hub(|_, a, hub| {
        done(a, &[("one", "echo from one > src/one.txt"), ("two", "echo from two > src/one.txt")]);
        enqueue(a, &[("after", format!("{}\ndepends_on: [two, one]\nlabels: [nowhere]", line("true")))]);
        notify(a, KEEP, "");
        a.dispatch(&["collect"]).code(4);
        let events = told(a);
        assert_eq!(names(&events), ["merged p/one", "conflict p/two", "blocked p/after"]);
        let node = text(&task(a, "one")["node"]);
        let [merged, conflict, blocked] = &events[..] else { panic!("{events:?}") };
        for (event, id, title) in
            [(merged, "one", "Task one"), (conflict, "two", "Task two"), (blocked, "after", "Task after")]
        {
            let common =
                json!([event["v"], event["project"], event["id"], event["title"], event["by"], event["target"]]);
            assert_eq!(common, json!([1, "p", id, title, node, "main"]));
            assert!(text(&event["at"]).ends_with('Z'), "{event}");
        }
        assert_eq!(merged["merge_commit"], hub.git(&["rev-parse", "main"]));
        assert_eq!((&merged["node"], &merged["attempt"]), (&json!(node), &json!(1)));
        assert_eq!(conflict["files"], json!([{"path": "src/one.txt", "kind": "contents"}]));
        assert_eq!(conflict.get("repair"), Some(&Value::Null), "it waits for a person");
        assert_eq!((&conflict["state"], &conflict["node"]), (&json!("conflict"), &json!(node)));
        assert_eq!(blocked["blocked_by"], json!({"task": "p/two", "state": "conflict"}));

        a.dispatch(&["collect"]).success();
        assert_eq!(told(a).len(), 3, "once for each cause");
        a.dispatch(&["cancel", "two"]).success();
        let out = a.dispatch(&["collect"]).success();
        assert!(out.stderr.contains("p/after: p/two, which it depends on, is cancelled"), "{out}");
        assert_eq!(names(&told(a)[3..]), ["blocked p/after"], "another cause");
        a.dispatch(&["collect", "--dry-run"]).success();
        assert_eq!(told(a).len(), 4);
    });
}

#[test]
fn a_conflict_names_the_task_that_is_to_resolve_it() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    done(&a, &[("one", "echo from one > src/one.txt"), ("two", "echo from two > src/one.txt")]);
    let mender =
        "[executors.mender]\nkind = \"command\"\ncommand = [\"true\"]\n[collect]\nconflict_executor = \"mender\"\n";
    notify(&a, KEEP, mender);
    a.dispatch(&["collect"]).code(4);
    let events = told(&a);
    assert_eq!(names(&events), ["merged p/one", "conflict p/two"]);
    assert_eq!(events[1]["repair"], "p/two-repair-1");
    assert_eq!(text(&task(&a, "two-repair-1")["state"]), "pending");
}

/// While a collect verifies, a person calls off what it has found to conflict: it is theirs, and nobody is told.
#[test]
fn what_moved_meanwhile_is_not_told_as_a_conflict() {
    each_hub(|_, a, _| {
        done(a, &[("one", "echo from one > src/one.txt"), ("two", "echo from two > src/one.txt")]);
        let mender = "[executors.mender]\nkind = \"command\"\ncommand = [\"true\"]\n[collect]\nconflict_executor = \"mender\"\n";
        notify(a, KEEP, mender);
        let gate = format!("touch $HOME/began; {}", until("[ -e $HOME/go ]"));
        let collect = a.spawn(&["collect", "--json", "--verify", &gate]);
        eventually(PATIENCE, || home(a, "began").exists());
        a.dispatch(&["cancel", "two"]).success();
        fs::write(home(a, "go"), "").unwrap();
        let document = collect.wait(PATIENCE).success().json();
        assert_eq!(
            (each(&document["merged"], "task"), &document["conflicts"]),
            (vec!["p/one".to_owned()], &json!([]))
        );
        assert_eq!(names(&told(a)), ["merged p/one"]);
        let states: Vec<String> = states(a).into_iter().filter(|state| state.starts_with("two")).collect();
        assert_eq!(states, ["two cancelled", "two-repair-1 cancelled"], "the repair is called off with it");
    });
}

#[test]
fn a_node_tells_what_failed_and_a_reaper_what_was_lost() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    notify(&a, KEEP, "");
    enqueue_lines(&a, &[("bad", "echo oops >&2; exit 7")]);
    a.dispatch(&["run"]).code(4);
    let events = told(&a);
    assert_eq!(names(&events), ["failed p/bad"]);
    let failed = &events[0];
    assert_eq!((&failed["reason"], &failed["node"], &failed["attempt"]), (&json!("exit"), &json!("a"), &json!(1)));
    assert!(!text(&failed["error"]).is_empty());

    enqueue_lines(
        &b,
        &[("gone", "echo $$ > $HOME/pid; touch $HOME/began; until [ -e $HOME/never ]; do sleep 0.02; done")],
    );
    let mut node = b.spawn(&["run"]);
    eventually(PATIENCE, || home(&b, "began").exists());
    node.kill9();
    a.dispatch(&["reap", "--force"]).success();
    let events = told(&a);
    assert_eq!(names(&events), ["failed p/bad", "lost p/gone"]);
    let lost = &events[1];
    assert_eq!(
        (&lost["reason"], &lost["node"], &lost["attempt"], &lost["by"], &lost["state"]),
        (&json!("lost"), &json!("b"), &json!(1), &json!("a"), &json!("pending"))
    );
}

#[test]
fn only_the_events_wanted_are_told() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    done(&a, &[("one", "echo from one > src/one.txt"), ("two", "echo from two > src/one.txt")]);
    notify(&a, KEEP, "events = [\"conflict\"]");
    a.dispatch(&["collect"]).code(4);
    assert_eq!(names(&told(&a)), ["conflict p/two"]);
}

#[test]
fn a_notifier_that_fails_harms_nothing_and_is_said_once() {
    let missing = "[notify]\ncommand = [\"/no/such/program\"]\n";
    let failing = "[notify]\ncommand = [\"sh\", \"-c\", \"cat > /dev/null; exit 3\"]\n";
    let deaf = "[notify]\ncommand = [\"sh\", \"-c\", \"exit 3\"]\n";
    for (config, why) in [(missing, "cannot be run"), (failing, "exit status: 3"), (deaf, "exit status: 3")] {
        let sandbox = Sandbox::with_clones(&["a"]);
        let (a, hub) = (sandbox.repo("a"), sandbox.hub());
        done(&a, &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > 2.txt"), ("three", "echo 3 > 3.txt")]);
        a.write("git-dispatch.toml", config);
        let out = a.dispatch(&["collect", "--json"]).success();
        assert_eq!(each(&out.json()["merged"], "task").len(), 3);
        assert_eq!(out.stderr.matches("notify.command").count(), 1, "{out}");
        assert!(out.stderr.contains(why), "{out}");
        assert_eq!(merges(&hub).len(), 3);
    }
}

#[test]
fn a_notifier_that_hangs_is_ended_and_waited_for_once() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    done(&a, &[("one", "echo 1 > 1.txt"), ("two", "echo 2 > 2.txt"), ("three", "echo 3 > 3.txt")]);
    notify(&a, "echo $$ >> $HOME/pids; trap '' TERM; while :; do sleep 0.05; done", "");
    let started = Instant::now();
    let out = a.dispatch(&["collect"]).success();
    assert!(started.elapsed() < Duration::from_secs(60), "not once for each event");
    assert_eq!(out.stderr.matches("took longer than 10 s").count(), 1, "{out}");
    assert!(out.stderr.contains("was not told of 2 events"), "{out}");
    assert_eq!(merges(&hub).len(), 3);
    let pids = fs::read_to_string(home(&a, "pids")).unwrap();
    assert_eq!(pids.lines().count(), 1);
    assert!(pids.lines().all(|pid| !lives(pid)), "its whole group is ended");
}

#[test]
fn its_environment_is_the_users_without_ours_and_without_secrets() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    done(&a, &[("one", "echo 1 > 1.txt")]);
    notify(&a, "env > $HOME/env; pwd > $HOME/pwd", "[secrets]\nmask = [\"MY_TOKEN\"]");
    let set =
        [("MY_TOKEN", "hush"), ("WEBHOOK", "there"), ("GIT_DISPATCH_NODE", "a"), ("GIT_INDEX_FILE", "/nowhere")];
    a.dispatch_env(&set, &["collect"]).success();
    let env = fs::read_to_string(home(&a, "env")).unwrap();
    assert!(env.contains("WEBHOOK=there") && env.contains("PATH="), "{env}");
    for name in ["MY_TOKEN", "hush", "GIT_DISPATCH_", "GIT_INDEX_FILE", "GIT_DIR"] {
        assert!(!env.contains(name), "{name} in\n{env}");
    }
    let pwd = fs::read_to_string(home(&a, "pwd")).unwrap();
    assert_eq!(PathBuf::from(pwd.trim()), a.path().canonicalize().unwrap());
}

/// What a title says is data: no shell sees it.
#[test]
fn a_title_is_a_text_in_the_object() {
    let sandbox = Sandbox::embedded();
    let a = sandbox.solo();
    let title = "\"$(touch $HOME/owned)\" \u{1b}[2J '`x`";
    a.spec("../specs/x.md", &format!("project: p\n{}\ntitle: {}", line("echo x > x.txt"), json!(title)), "Do it.");
    a.dispatch(&["enqueue", "../specs"]).success();
    a.dispatch(&["run"]).success();
    notify(&a, KEEP, "");
    let out = a.dispatch(&["collect"]).success();
    assert!(!out.stderr.contains('\u{1b}') && !home(&a, "owned").exists());
    let shown = text(&told(&a)[0]["title"]);
    assert!(shown.contains("$(touch $HOME/owned)"), "{shown}");
}
