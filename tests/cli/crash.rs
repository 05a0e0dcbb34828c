//! Commands that are killed at any moment: given again, they go on, and nothing is lost or done twice.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};
use crate::steps::{
    done, each_hub, enqueue_lines, file, lives, merges, refs_below, shown, specs, states, task, tasks, text, until,
};

#[test]
fn a_run_that_was_killed_is_taken_up_again() {
    each_hub(|sandbox, a, hub| {
        let pid = sandbox.root().join("pid");
        let first =
            format!("echo partial > partial.txt; echo $$ > {0}.new; mv {0}.new {0}; sleep 600", shown(&pid));
        let script = format!("if [ $DISPATCH_ATTEMPT = 1 ]; then {first}; fi; echo $DISPATCH_ATTEMPT > done.txt");
        enqueue_lines(a, &[("one", &script), ("two", "echo two > two.txt")]);
        let mut running = a.spawn(&["run"]);
        eventually(PATIENCE, || pid.exists());
        let orphan = fs::read_to_string(&pid).unwrap();
        // A node that is killed before it has noted its executor's group sets the slot aside and cannot end it.
        let slots = sandbox.root().join("home/.local/state/git-dispatch");
        let noted = |node: fs::DirEntry| fs::read_to_string(node.path().join("1/slot.json")).ok();
        eventually(PATIENCE, || {
            let nodes = fs::read_dir(&slots).into_iter().flatten().flatten();
            nodes.filter_map(noted).any(|record| record.contains(&format!("\"group\": {}", orphan.trim())))
        });
        running.kill9();
        running.wait(PATIENCE).code(137);
        assert!(lives(&orphan), "the executor is in a group of its own");

        let out = a.dispatch(&["run"]).success();
        assert!(!lives(&orphan), "{out}");
        assert_eq!(states(a), ["one completed", "two completed"]);
        assert_eq!(task(a, "one")["attempt"], 2);
        let chain = hub.git(&["log", "--first-parent", "--reverse", "--format=%B", "refs/dispatch/claims/p/one"]);
        let phases: Vec<&str> = chain.lines().filter_map(|line| line.strip_prefix("Dispatch-Phase: ")).collect();
        assert_eq!(phases, ["running", "released", "running", "completed"]);
        assert!(chain.contains("Dispatch-Reason: lost") && chain.contains("Dispatch-Charged: 1"), "{chain}");
        // What the first attempt had made is kept in the chain, and is not in the second's result.
        let kept = hub.git(&["show", "refs/dispatch/claims/p/one~2^2:partial.txt"]);
        assert_eq!(kept, "partial");
        a.dispatch(&["collect"]).success();
        assert_eq!((file(hub, "done.txt"), file(hub, "partial.txt")), ("2".to_owned(), String::new()));
        hub.git(&["fsck", "--strict"]);
    });
}

#[test]
fn a_task_that_always_takes_its_node_down_fails_at_the_maximum() {
    let sandbox = Sandbox::embedded();
    let solo = sandbox.solo();
    enqueue_lines(&solo, &[("one", "kill -9 $PPID; sleep 600")]);
    for _ in 0..3 {
        solo.dispatch(&["run"]).code(137);
    }
    solo.dispatch(&["run"]).code(3);
    let one = task(&solo, "one");
    assert_eq!((&one["state"], &one["reason"], &one["attempt"]), (&json!("failed"), &json!("lost"), &json!(3)));
}

/// A pause that differs from round to round: somewhere within the time that the command takes.
fn moment(round: u32, rounds: u32, whole: Duration) -> Duration {
    whole * round / rounds
}

/// Lets the command run for a while, then kills it. Says whether it had ended by itself.
fn cut_short(repo: &Repo, args: &[&str], after: Duration) -> bool {
    let start = Instant::now();
    let mut running = repo.spawn(args);
    while start.elapsed() < after && running.is_running() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let ended = !running.is_running();
    running.kill9();
    running.wait(PATIENCE);
    ended
}

/// Measures how long a command takes here and now.
fn timed(repo: &Repo, args: &[&str]) -> Duration {
    let start = Instant::now();
    repo.dispatch(args).success();
    start.elapsed()
}

#[test]
fn a_collect_killed_at_any_moment_is_taken_up_again() {
    const ROUNDS: u32 = 6;
    each_hub(|_, a, hub| {
        done(a, &[("t00", "echo x > t00.txt"), ("t01", "echo x > t01.txt")]);
        let whole = timed(a, &["collect"]);
        let mut ids = vec!["t00".to_owned(), "t01".to_owned()];
        for round in 0..ROUNDS {
            let fresh = [format!("r{round}a"), format!("r{round}b")];
            let lines = fresh.each_ref().map(|id| (id.as_str(), format!("echo x > {id}.txt")));
            done(a, &lines.each_ref().map(|(id, script)| (*id, script.as_str())));
            cut_short(a, &["collect"], moment(round, ROUNDS, whole));
            ids.extend(fresh);
            let out = a.dispatch(&["collect"]).success();
            let open: Vec<String> = states(a).into_iter().filter(|state| !state.ends_with(" merged")).collect();
            assert!(open.is_empty(), "round {round}: {open:?}\n{out}");
            assert_eq!(a.git(&["status", "--porcelain"]), "", "round {round}: the checkout follows");
            assert_eq!(a.git(&["rev-parse", "main"]), hub.git(&["rev-parse", "main"]), "round {round}");
        }
        let mut merged = merges(hub);
        merged.sort();
        ids.sort();
        let expected: Vec<String> = ids.iter().map(|id| format!("Merge p/{id}: Task {id}")).collect();
        assert_eq!(merged, expected);
        assert!(ids.iter().all(|id| file(hub, &format!("{id}.txt")) == "x"));
        assert_eq!(refs_below(hub, "refs/dispatch/claims"), Vec::<String>::new());
        assert_eq!(refs_below(hub, "refs/heads"), ["refs/heads/main"]);
        hub.git(&["fsck", "--strict"]);
        a.git(&["fsck", "--strict"]);
    });
}

#[test]
fn an_enqueue_killed_at_any_moment_is_all_in_or_all_out() {
    const ROUNDS: u32 = 6;
    each_hub(|_, a, hub| {
        let batch = |round: u32| {
            let ids: Vec<String> = (0..20).map(|i| format!("r{round}-{i}")).collect();
            let batch: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "")).collect();
            specs(a, &format!("round{round}"), &batch)
        };
        let whole = timed(a, &["enqueue", &batch(99)]);
        for round in 0..ROUNDS {
            let folder = batch(round);
            cut_short(a, &["enqueue", &folder], moment(round, ROUNDS, whole));
            let queued = tasks(a).len();
            assert!(
                queued as u32 == 20 * (round + 1) || queued as u32 == 20 * (round + 2),
                "round {round}: {queued}"
            );
            a.dispatch(&["enqueue", &folder]).success();
            assert_eq!(tasks(a).len() as u32, 20 * (round + 2));
        }
        assert_eq!(hub.git(&["rev-list", "--count", "refs/dispatch/queue"]), (20 * (ROUNDS + 1)).to_string());
        hub.git(&["fsck", "--strict"]);
    });
}

/// The task takes no time, so the kill may hit claiming, preparing, harvesting or finishing.
#[test]
fn a_run_killed_at_any_moment_is_taken_up_again() {
    const ROUNDS: u32 = 6;
    each_hub(|_, a, hub| {
        enqueue_lines(a, &[("warm", "true")]);
        let whole = timed(a, &["run"]);
        let ids: Vec<String> = (0..ROUNDS).map(|round| format!("t{round:02}")).collect();
        for (round, id) in ids.iter().enumerate() {
            enqueue_lines(a, &[(id, &format!("echo $DISPATCH_ATTEMPT > {id}.txt"))]);
            cut_short(a, &["run"], moment(round as u32, ROUNDS, whole));
            let out = a.dispatch(&["run"]);
            assert!(out.code == 0 || out.code == 3, "{out}");
            assert_eq!(task(a, id)["state"], "completed", "round {round}:\n{out}");
        }
        a.dispatch(&["collect"]).success();
        for (id, task) in tasks(a) {
            let attempt = if id == "warm" { String::new() } else { task["attempt"].to_string() };
            assert_eq!(
                (text(&task["state"]), file(hub, &format!("{id}.txt"))),
                ("merged".to_owned(), attempt),
                "{id}"
            );
        }
        assert_eq!(merges(hub).len(), ids.len());
        hub.git(&["fsck", "--strict"]);
    });
}

#[test]
fn a_claim_killed_at_any_moment_holds_or_does_not() {
    const ROUNDS: u32 = 5;
    each_hub(|_, a, hub| {
        let ids: Vec<String> = (0..=ROUNDS).map(|round| format!("t{round}")).collect();
        let batch: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "true")).collect();
        enqueue_lines(a, &batch);
        let whole = timed(a, &["claim", &ids[ROUNDS as usize]]);
        for round in 0..ROUNDS {
            let id = &ids[round as usize];
            cut_short(a, &["claim", id], moment(round, ROUNDS, whole));
            let again = a.dispatch(&["claim", id, "--json"]);
            assert!(
                again.code == 0 || again.code == 3 && again.json()["lost"] == json!([format!("p/{id}")]),
                "{again}"
            );
            let task = task(a, id);
            assert_eq!((&task["state"], &task["attempt"]), (&json!("running"), &json!(1)));
        }
        hub.git(&["fsck", "--strict"]);
    });
}

#[test]
fn a_run_told_to_stop_finishes_what_it_runs() {
    each_hub(|sandbox, a, _| {
        let (begun, go) = (sandbox.root().join("begun"), sandbox.root().join("go"));
        let script =
            format!("touch {}; {}; echo x > x.txt", shown(&begun), until(&format!("[ -e {} ]", shown(&go))));
        enqueue_lines(a, &[("one", &script), ("two", "true")]);
        let mut running = a.spawn(&["run"]);
        eventually(PATIENCE, || begun.exists());
        running.term();
        fs::write(go, "").unwrap();
        running.wait(PATIENCE).code(143);
        assert_eq!(states(a), ["one completed", "two pending"]);
        assert!(refs_below(a, "refs/dispatch-local/outbox").is_empty());
    });
}

#[test]
fn a_result_waits_for_a_hub_that_is_away() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b, hub) = (sandbox.repo("a"), sandbox.repo("b"), sandbox.hub());
    let away = sandbox.root().join("away.git");
    enqueue_lines(&a, &[("one", &format!("echo x > x.txt; mv {} {}", shown(hub.path()), shown(&away)))]);
    let out = a.dispatch(&["run"]);
    assert!(!out.stderr.contains("completed"), "nothing is called published: {out}");
    assert_eq!(refs_below(&a, "refs/dispatch-local/outbox").len(), 1, "{out}");
    // Given again while the hub is away, it fails and keeps what waits.
    a.dispatch(&["run"]).code(1);
    fs::rename(&away, hub.path()).unwrap();
    assert_eq!(states(&b), ["one running"]);
    let out = a.dispatch(&["run"]);
    assert!(out.code == 0 || out.code == 3, "{out}");
    assert_eq!((states(&b), task(&b, "one")["attempt"].clone()), (vec!["one completed".to_owned()], json!(1)));
    assert_eq!(refs_below(&a, "refs/dispatch-local/outbox"), Vec::<String>::new());
    b.dispatch(&["collect"]).success();
    assert_eq!(file(&hub, "x.txt"), "x");
}

/// The push of a claim that was killed landed after the same command, given again, had looked: it lost against itself, and
/// nobody made the branch.
#[test]
fn a_claim_that_loses_against_its_own_late_push_follows_it_up() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let (a, hub) = (sandbox.repo("a"), sandbox.hub());
    enqueue_lines(&a, &[("X", "true")]);
    let [first, second] = ["first", "second"].map(|name| sandbox.root().join(name));
    let hook = format!(
        "#!/bin/sh\n\
         if mkdir {first}; then i=0; until [ -e {second} ] || [ $i = 3000 ]; do i=$((i+1)); sleep 0.02; done; exit 0; fi\n\
         touch {second}; i=0; unset GIT_QUARANTINE_PATH\n\
         until git rev-parse -q --verify refs/dispatch/claims/p/X || [ $i = 3000 ]; do i=$((i+1)); sleep 0.02; done\n",
        first = first.display(),
        second = second.display(),
    );
    let path = hub.path().join("hooks/pre-receive");
    fs::write(&path, hook).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let mut killed = a.spawn(&["claim", "X"]);
    eventually(PATIENCE, || first.exists());
    killed.kill9();
    killed.wait(PATIENCE);
    let again = a.dispatch(&["claim", "X", "--json"]).success().json();
    assert_eq!((&again["claimed"][0]["id"], &again["lost"]), (&json!("X"), &json!([])));
    a.git(&["rev-parse", "--verify", "-q", "task/p-X-a"]);
    assert_eq!(hub.git(&["rev-list", "--count", "refs/dispatch/claims/p/X"]), "1", "the late one");
}

/// The pin is written before the branch: killed between the two, there was a claim with no branch for ever.
#[test]
fn a_claim_that_was_killed_before_its_branch_is_finished_by_the_same_command() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue_lines(&a, &[("X", "true")]);
    a.dispatch(&["claim", "X"]).success();
    a.git(&["branch", "-q", "-D", "task/p-X-a"]);
    a.dispatch(&["claim", "X"]).success();
    a.git(&["rev-parse", "--verify", "-q", "task/p-X-a"]);
}
