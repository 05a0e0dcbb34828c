//! What commands cost: git processes and pushes, counted from git's own trace.

use crate::sandbox::{PATIENCE, Sandbox, Trace, eventually};
use crate::steps::{done, each_hub, enqueue, enqueue_lines};

#[test]
fn listing_starts_one_git_process_at_most() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    done(&a, &[("one", "echo 1 > 1.txt"), ("two", "false || true")]);
    a.dispatch(&["collect", "one"]).success();
    enqueue(&a, &[("three", "")]);
    for args in [&["list", "--offline"][..], &["list", "--offline", "--json"]] {
        let (out, trace) = a.traced(args);
        assert!(trace.processes() <= 1, "{args:?}: {:?}", trace.command_lines());
        assert_eq!(trace.count("fetch") + trace.count("ls-remote"), 0);
        assert!(out.success().stdout.contains("p/three"));
    }
    let (out, trace) = a.traced(&["list"]);
    out.success();
    assert_eq!((trace.count("fetch"), trace.count("push")), (1, 0), "{:?}", trace.command_lines());
}

#[test]
fn finishing_is_one_push() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    let pushes = |ids: &[&str]| {
        enqueue_lines(&a, &ids.iter().map(|id| (*id, "echo $DISPATCH_ID > $DISPATCH_ID.txt")).collect::<Vec<_>>());
        let (out, trace) = a.traced(&["run"]);
        out.success();
        trace.command_lines().iter().filter(|line| line.contains(" push ")).count()
    };
    // One to claim, one to finish, for each; and one to say goodbye.
    assert_eq!(pushes(&["t1"]), 3);
    assert_eq!(pushes(&["t2", "t3", "t4"]), 7);
    // Four claimed at once are one push.
    enqueue_lines(&a, &["u1", "u2", "u3", "u4"].map(|id| (id, "true")));
    let (out, trace) = a.traced(&["run", "--slots", "4"]);
    out.success();
    assert_eq!(trace.count("push"), 1 + 4 + 1, "{:?}", trace.command_lines());
}

#[test]
fn a_node_with_nothing_to_do_costs_one_fetch_a_poll_and_its_beats() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    done(&a, &[("one", "echo 1 > 1.txt"), ("two", "true")]);
    let trace = sandbox.root().join("trace");
    let mut environment = vec![("GIT_TRACE2_EVENT", trace.to_str().unwrap())];
    environment.extend([("GIT_DISPATCH_NODE_POLL", "50ms"), ("GIT_DISPATCH_NODE_POLL_MAX", "50ms")]);
    environment.push(("GIT_DISPATCH_NODE_HEARTBEAT", "1h"));
    let mut node = a.spawn_env(&environment, &["run", "--watch"]);
    // A line that is being written is not counted yet.
    let whole = || std::fs::read_to_string(&trace).unwrap_or_default();
    let polls = || whole().lines().filter(|line| line.contains("\"fetch\"") && line.contains("\"start\"")).count();
    eventually(PATIENCE, || polls() >= 12);
    node.term();
    node.wait(PATIENCE).code(143);
    let trace = Trace::read(&trace);
    let other: Vec<String> =
        trace.commands().into_iter().filter(|command| !["fetch", "push"].contains(&command.as_str())).collect();
    // Once it says that it is there, and once that it goes. What is asked once at a start is not asked again.
    assert_eq!((trace.count("push"), other.len() < 4), (2, true), "{:?}", trace.command_lines());
}

#[test]
fn collecting_does_not_cost_more_processes_with_more_tasks() {
    each_hub(|_, a, hub| {
        let costs = |ids: &[&str]| {
            done(a, &ids.iter().map(|id| (*id, "echo $DISPATCH_ID > $DISPATCH_ID.txt")).collect::<Vec<_>>());
            let (out, trace) = a.traced(&["collect"]);
            out.success();
            (trace.count("push"), trace.processes())
        };
        let (two, six) = (costs(&["t1", "t2"]), costs(&["t3", "t4", "t5", "t6", "t7", "t8"]));
        assert_eq!(two, six);
        // The target with the claims, the seals, the clean-up.
        assert_eq!(two.0, if a.path() == hub.path() { 0 } else { 3 });
    });
}

#[test]
fn what_each_command_asks_of_the_hub() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue_lines(&a, &["t1", "t2", "t3", "t4", "t5", "t6"].map(|id| (id, "true")));
    a.write("more/t7.md", "# Task\n");
    // The fetches, the pushes, and all git processes of ours. Twice as many tasks do not cost more.
    let costs: &[(&[&str], [usize; 3])] = &[
        (&["list"], [1, 0, 1]),
        (&["list", "--json"], [1, 0, 1]),
        (&["status"], [1, 0, 1]),
        (&["show", "t1"], [1, 0, 1]),
        (&["nodes"], [1, 0, 1]),
        (&["conflicts"], [1, 0, 1]),
        (&["schedule"], [1, 0, 1]),
        (&["enqueue", "more/t7.md"], [0, 1, 1]),
        (&["pause"], [1, 1, 2]),
        (&["resume"], [1, 1, 2]),
        (&["claim", "t1"], [1, 1, 2]),
        (&["claim", "--count", "3"], [1, 1, 2]),
        (&["finish", "t2"], [0, 1, 1]),
        (&["release", "t1"], [2, 1, 3]),
    ];
    for (args, expected) in costs {
        let (out, trace) = a.traced(args);
        out.success();
        let found = [trace.count("fetch"), trace.count("push"), trace.processes()];
        assert_eq!(found, *expected, "{args:?}: {:?}", trace.command_lines());
    }
}

/// Reading a file for each ref costs more than all else at every look: once many have come they are packed.
#[test]
fn many_refs_are_read_from_one_file() {
    let sandbox = Sandbox::with_clones(&["a", "b"]);
    let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
    let ids: Vec<String> = (0..310).map(|number| format!("t{number:03}")).collect();
    enqueue(&a, &ids.iter().map(|id| (id.as_str(), "")).collect::<Vec<_>>());
    a.dispatch(&["claim", "--count", "310"]).success();
    let loose = || {
        let folders = ["refs/dispatch/claims/p", "refs/dispatch-local/hub/dispatch/claims/p"];
        let files =
            |folder: &&str| std::fs::read_dir(b.path().join(".git").join(folder)).map_or(0, Iterator::count);
        folders.iter().map(files).sum::<usize>()
    };
    let (out, trace) = b.traced(&["list"]);
    assert_eq!(out.success().stdout.matches("running").count(), 310);
    assert_eq!((trace.count("pack-refs"), loose()), (1, 0), "{:?}", trace.command_lines());
    // What moves after that is read as well, and nothing is packed for a few.
    a.dispatch(&["release", "t000", "t001"]).success();
    let (out, trace) = b.traced(&["list"]);
    assert_eq!(out.success().stdout.matches("running").count(), 308);
    assert_eq!(trace.processes(), 1, "{:?}", trace.command_lines());
}

#[test]
fn what_follows_a_claim_asks_no_more_than_it_must() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue_lines(&a, &["t1", "t2", "t3", "t4", "t5", "t6"].map(|id| (id, "true")));
    a.dispatch(&["claim", "t1"]).success();
    let branch = a.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/task/"]);
    a.git(&["checkout", "--quiet", &branch]);
    a.write("made.txt", "made\n");
    a.commit("Work");
    // The fetches, the pushes, and all git processes of ours.
    let costs: &[(&[&str], [usize; 3])] = &[
        (&["finish", "t1"], [0, 1, 2]),
        (&["wait", "t1"], [1, 0, 1]),
        (&["assign", "t2", "--node", "a"], [2, 1, 3]),
        (&["bundle", "create", "../there", "--for", "vault", "--count", "2"], [1, 1, 4]),
        // Written again, it reserves nothing.
        (&["bundle", "create", "../again", "--for", "vault", "--count", "2"], [1, 0, 2]),
        // The claim, the seal and the note, the claim's end; it looks before, and again before it seals.
        (&["cancel", "t6"], [3, 3, 6]),
        (&["retry", "t6"], [2, 1, 3]),
        (&["reap"], [1, 0, 1]),
        (&["collect", "--dry-run"], [1, 0, 1]),
        (&["collect"], [2, 3, 5]),
        // The target with the claims, the seals, the clean-up; then there is nothing more to collect.
        (&["collect"], [1, 0, 1]),
        (&["gc"], [1, 0, 3]),
    ];
    let mut wrong = Vec::new();
    for (args, expected) in costs {
        let (out, trace) = a.traced(args);
        out.success();
        let found = [trace.count("fetch"), trace.count("push"), trace.processes()];
        if found != *expected {
            wrong.push(format!("{args:?}: {found:?} and not {expected:?}: {:?}", trace.commands()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_task_of_a_node_starts_the_same_few_processes() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    let costs = |tasks: &[(&str, &str)]| {
        enqueue_lines(&a, tasks);
        let (out, trace) = a.traced(&["run"]);
        out.success();
        (trace.processes(), trace.commands())
    };
    // The slot is made.
    costs(&[("s1", "true")]);
    let (one, _) = costs(&[("t1", "true")]);
    let (three, commands) = costs(&[("t2", "true"), ("t3", "true"), ("t4", "true")]);
    // The claim and the look after it, the slot's files and what became of them, the end: nothing was made.
    assert_eq!((three - one) / 2, 5, "{commands:?}");
    let make = "echo $DISPATCH_ID > $DISPATCH_ID.txt";
    let (one, _) = costs(&[("u1", make)]);
    let (three, commands) = costs(&[("u2", make), ("u3", make), ("u4", make)]);
    // What was left uncommitted is committed, and brought here.
    assert_eq!((three - one) / 2, 9, "{commands:?}");
}
