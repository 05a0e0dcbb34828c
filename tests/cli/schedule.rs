//! `assign` and `schedule`: what is meant for whom, what is refused, and that an assignment and a claim of the same moment
//! never both win.

#![expect(clippy::print_stderr, reason = "a long run is to tell how often it saw each outcome")]

use serde_json::{Value, json};

use crate::hubs::{as_json, refused};
use crate::rig::{Fleet, PATIENT, gated, quick};
use crate::sandbox::{Out, PATIENCE, Repo, Running, Sandbox, eventually, race};
use crate::steps::{each_hub, enqueue, line, plant_node, task, text};

/// Starts a node that stays, in this mode, and waits until it is listed as idle.
#[track_caller]
fn node(fleet: &Fleet, name: &str, mode: &str) -> Running {
    let environment = [("GIT_DISPATCH_NODE_MODE", mode)];
    let node = fleet.clone(name).spawn_env(&environment, &["run", "--watch", "-v"]);
    until_state(fleet, name, "idle");
    node
}

#[track_caller]
fn until_state(fleet: &Fleet, name: &str, state: &str) {
    eventually(PATIENCE, || {
        let document = as_json(&fleet.clone("boss"), &["nodes"]).success().json();
        let nodes = document["nodes"].as_array().unwrap();
        nodes.iter().any(|node| node["name"] == name && node["state"] == state)
    });
}

fn schedule(repo: &Repo) -> Value {
    as_json(repo, &["schedule"]).success().json()
}

fn run(rest: &str, id: &str) -> String {
    format!("{rest}\n{}", line(&quick(id)))
}

#[test]
fn urgent_ones_go_first_then_long_chains_then_the_queue() {
    each_hub(|sandbox, a, _| {
        let said = |id: &str, rest: &str| format!("{rest}\n{}", line(&format!("echo {id} >> $HOME/order")));
        enqueue(
            a,
            &[
                ("a", said("a", "")),
                ("b", said("b", "")),
                ("l", said("l", "priority: low")),
                ("m", said("m", "")),
                ("n", said("n", "depends_on: m\nestimated_minutes: 90")),
                ("y", said("y", "priority: 1")),
                ("z", said("z", "priority: critical")),
            ],
        );
        // Across projects: what another one waits for is the longer chain too.
        a.spec("../far/x.md", &format!("project: q\ndepends_on: p/b\n{}", said("x", "")), "# Far");
        a.dispatch(&["enqueue", "../far"]).success();
        a.dispatch(&["run"]).success();
        let order = std::fs::read_to_string(sandbox.root().join("home/order")).unwrap();
        assert_eq!(order.split_whitespace().collect::<Vec<_>>(), ["z", "y", "m", "n", "b", "a", "x", "l"]);
    });
}

#[test]
fn a_new_task_is_undecided_and_without_a_node_to_push_to_it_is_pulled() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let boss = fleet.clone("boss");
    enqueue(&boss, &[("a", run("", "a"))]);
    assert_eq!(task(&boss, "a")["mode"], "undecided");
    assert_eq!(schedule(&boss), json!({"assigned": [], "pull": ["p/a"], "undecided": []}));
    let said = boss.dispatch(&["schedule"]).success().stdout;
    assert_eq!(said, "pull      p/a\n");
    assert_eq!(fleet.tip("a"), "", "nothing is stored of it");
    // A node that pulls is never assigned to; it takes the task itself.
    let environment = [("GIT_DISPATCH_NODE_MODE", "pull")];
    fleet.clone("n1").dispatch_env(&environment, &["run"]).success();
    assert_eq!(fleet.phases("a"), ["running", "completed"]);
    assert_eq!(task(&boss, "a")["mode"], "pull", "the claim records the mode that came of it");
}

#[test]
fn the_matching_node_gets_it_and_a_full_one_leaves_it_undecided() {
    let settings = format!("{PATIENT}[nodes.n1]\nlabels = [\"gpu\"]\n");
    let fleet = Fleet::new(&["boss", "n1", "n2"], &settings);
    let boss = fleet.clone("boss");
    let nodes = [node(&fleet, "n1", "push"), node(&fleet, "n2", "push")];
    enqueue(
        &boss,
        &[
            ("gpu", format!("labels: gpu\n{}", line(&gated("gpu", "go")))),
            ("next", run("labels: gpu", "next")),
            ("tall", run("labels: tall", "tall")),
            ("own", run("mode: pull", "own")),
            ("old", run("execution_mode: http_pull", "old")),
        ],
    );
    let document = schedule(&boss);
    assert_eq!(document["assigned"], json!([{"task": "p/gpu", "node": "n1"}]));
    assert_eq!((&document["undecided"], &document["pull"]), (&json!(["p/next"]), &json!(["p/tall"])));
    eventually(PATIENCE, || fleet.home("gpu.began").exists());
    assert_eq!(task(&boss, "gpu")["mode"], "push");
    assert_eq!(fleet.tip("own"), "", "mode pull is never assigned");
    assert_eq!(task(&boss, "old")["mode"], "pull", "another word for the same");
    // While its slot is taken the node gets nothing; afterwards it does.
    assert_eq!(schedule(&boss)["assigned"], json!([]));
    fleet.touch("go");
    fleet.until("gpu", "completed");
    assert_eq!(fleet.phases("gpu"), ["assigned", "running", "completed"]);
    eventually(PATIENCE, || schedule(&boss)["assigned"] == json!([{"task": "p/next", "node": "n1"}]));
    fleet.until("next", "completed");
    drop(nodes);
}

#[test]
fn a_batch_spreads_over_the_nodes_with_room_and_respects_scopes_and_dependencies() {
    let fleet = Fleet::new(&["boss", "n1", "n2"], PATIENT);
    let boss = fleet.clone("boss");
    let settings = [("GIT_DISPATCH_NODE_MODE", "push")];
    let nodes = ["n1", "n2"].map(|name| {
        let node = fleet.clone(name).spawn_env(&settings, &["run", "--watch", "--slots", "2"]);
        until_state(&fleet, name, "idle");
        node
    });
    let held = |id: &str| line(&gated(id, "go"));
    enqueue(
        &boss,
        &[
            ("low", format!("priority: low\n{}", held("low"))),
            ("s1", format!("modifies: src/**\n{}", held("s1"))),
            ("s2", format!("modifies: src/a.rs\n{}", held("s2"))),
            ("after", format!("depends_on: s1\n{}", held("after"))),
            ("pushed", format!("mode: ssh_cli\n{}", held("pushed"))),
        ],
    );
    let document = schedule(&boss);
    let assigned: Vec<String> =
        document["assigned"].as_array().unwrap().iter().map(|pair| text(&pair["task"])).collect();
    assert_eq!(assigned, ["p/s1", "p/pushed", "p/low"], "long chains first, then the queue; low priority last");
    let on =
        |name: &str| document["assigned"].as_array().unwrap().iter().filter(|pair| pair["node"] == name).count();
    assert!(on("n1") == 2 && on("n2") == 1, "{document}");
    assert_eq!(document["undecided"], json!(["p/after", "p/s2"]));
    fleet.touch("go");
    for id in ["low", "s1", "pushed"] {
        fleet.until(id, "completed");
    }
    eventually(PATIENCE, || schedule(&boss)["assigned"].as_array().unwrap().len() == 2);
    fleet.until("after", "completed");
    fleet.until("s2", "completed");
    drop(nodes);
}

#[test]
fn with_its_node_lost_or_paused_a_task_stays_undecided_and_anyone_may_claim_it() {
    let settings = "[node]\npoll = \"100ms\"\npoll_max = \"300ms\"\nheartbeat = \"300ms\"\nlost_after_beats = 4\n";
    let fleet = Fleet::new(&["boss", "n1", "n2"], settings);
    let boss = fleet.clone("boss");
    let mut pushed = node(&fleet, "n1", "push");
    boss.dispatch(&["pause", "--node", "n1"]).success();
    enqueue(&boss, &[("a", run("", "a")), ("b", run("", "b")), ("p", run("mode: push", "p"))]);
    let undecided = json!({"assigned": [], "pull": [], "undecided": ["p/a", "p/b"]});
    assert_eq!(schedule(&boss), undecided, "paused");
    boss.dispatch(&["claim", "a"]).success();
    pushed.kill9();
    boss.dispatch(&["resume", "--node", "n1"]).success();
    until_state(&fleet, "n1", "lost");
    assert_eq!(schedule(&boss)["undecided"], json!(["p/b"]), "lost");
    fleet.clone("n2").dispatch(&["run", "--max", "1"]).success();
    assert_eq!(fleet.phases("b"), ["running", "completed"]);
    assert_eq!(fleet.tip("p"), "", "by assignment only, and nobody can be assigned");
}

#[test]
fn what_is_not_begun_in_time_returns_and_is_not_given_to_the_same_node_again() {
    let settings = format!("{PATIENT}assign_timeout = \"1s\"\n");
    let fleet = Fleet::new(&["boss", "n2", "n3"], &settings);
    let boss = fleet.clone("boss");
    // It lives as far as anybody can see, and begins nothing.
    plant_node(&fleet.sandbox, "n1", &json!({"mode": "push"}));
    boss.dispatch(&["pause", "--node", "n1"]).success();
    enqueue(&boss, &[("a", run("", "a"))]);
    let warned = boss.dispatch(&["assign", "a", "--node", "n1"]).success();
    assert!(warned.stderr.contains("n1 is paused") && warned.stderr.contains("1 s"), "{warned}");
    assert_eq!(fleet.trailer("a", "Mode"), "push");
    // Nobody else may begin it before its time; then whoever looks takes it back.
    eventually(PATIENCE, || {
        schedule(&boss);
        fleet.phases("a") == ["assigned", "released"]
    });
    assert_eq!((fleet.trailer("a", "Reason").as_str(), fleet.trailer("a", "Charged").as_str()), ("stale", "0"));
    boss.dispatch(&["resume", "--node", "n1"]).success();
    assert_eq!(schedule(&boss)["assigned"], json!([]), "n1 let it pass");
    let other = node(&fleet, "n2", "push");
    assert_eq!(schedule(&boss)["assigned"], json!([{"task": "p/a", "node": "n2"}]));
    fleet.until("a", "completed");

    // A node that pulls takes an assignment back too, and begins it.
    enqueue(&boss, &[("b", run("", "b"))]);
    boss.dispatch(&["pause", "--node", "n2"]).success();
    boss.dispatch(&["assign", "b", "--node", "n2"]).success();
    let pulling = node(&fleet, "n3", "pull");
    fleet.until("b", "completed");
    assert_eq!(fleet.phases("b"), ["assigned", "released", "running", "completed"]);
    drop((other, pulling));

    // So does a person.
    enqueue(&boss, &[("c", run("", "c"))]);
    boss.dispatch(&["pause", "--all"]).success();
    plant_node(&fleet.sandbox, "n1", &json!({}));
    boss.dispatch(&["assign", "c", "--node", "n1"]).success();
    eventually(PATIENCE, || boss.dispatch(&["claim", "c"]).code == 0);
    assert_eq!(fleet.phases("c"), ["assigned", "released", "running"]);
}

#[test]
fn schedule_that_watches_assigns_what_comes() {
    let fleet = Fleet::new(&["boss", "n1"], PATIENT);
    let boss = fleet.clone("boss");
    let pushed = node(&fleet, "n1", "push");
    let mut watching = boss.spawn(&["schedule", "--watch"]);
    enqueue(&boss, &[("a", run("", "a")), ("b", run("depends_on: a", "b"))]);
    fleet.until("b", "completed");
    assert_eq!(fleet.phases("b"), ["assigned", "running", "completed"]);
    watching.term();
    let out = watching.wait(PATIENCE);
    assert!(out.stdout.contains("assigned  p/a to n1\n") && out.stdout.contains("assigned  p/b to n1\n"), "{out}");
    drop(pushed);
}

#[test]
fn what_cannot_be_assigned_is_refused_with_its_own_code() {
    let settings = format!(
        "{PATIENT}[nodes.puller]\nmode = \"pull\"\n[executors.agent]\nkind = \"command\"\ncommand = [\"true\"]\n[nodes.a]\nexecutors = [\"shell\"]\n"
    );
    let fleet = Fleet::new(&["boss", "a", "puller"], &settings);
    let boss = fleet.clone("boss");
    enqueue(&boss, &[("done", run("", "done")), ("more", run("", "more"))]);
    fleet.clone("a").dispatch(&["run", "done"]).success();
    fleet.clone("puller").dispatch(&["run", "more"]).success();
    enqueue(
        &boss,
        &[
            ("hand", String::new()),
            ("gpu", run("labels: gpu", "gpu")),
            ("agent", "executor: agent".to_owned()),
            ("free", run("", "free")),
            ("off", run("", "off")),
            ("own", run("mode: pull", "own")),
            ("later", run("depends_on: free", "later")),
        ],
    );
    boss.dispatch(&["cancel", "off"]).success();
    let unknown = refused(&boss, &["assign", "free", "--node", "aa"], 1, "dispatch::assign::unknown_node");
    assert_eq!(unknown["help"], "did you mean `a`?");
    refused(&boss, &["assign", "done", "--node", "a"], 1, "dispatch::assign::not_pending");
    refused(&boss, &["assign", "off", "--node", "a"], 1, "dispatch::assign::not_pending");
    for (id, node, lack) in [
        ("gpu", "a", "lacks label gpu"),
        ("agent", "a", "does not offer executor agent"),
        ("hand", "a", "has no `run`"),
        ("free", "puller", "mode pull"),
    ] {
        let error = refused(&boss, &["assign", id, "--node", node], 1, "dispatch::assign::unfit");
        assert!(text(&error["message"]).contains(lack), "{error}");
        assert_eq!(fleet.tip(id), "");
    }
    boss.dispatch(&["claim", "hand"]).success();
    refused(&boss, &["assign", "hand", "--node", "a"], 1, "dispatch::assign::not_pending");
    // What only waits may be assigned, as may what the schedule leaves to those who pull; and it may be said twice.
    for id in ["later", "own", "later"] {
        let document = as_json(&boss, &["assign", id, "--node", "a"]).success().json();
        assert_eq!(document, json!({"assigned": [{"task": format!("p/{id}"), "node": "a"}]}));
    }
    assert_eq!(fleet.phases("later"), ["assigned"]);
    let stopped = boss.dispatch(&["assign", "free", "--node", "a"]).success();
    assert!(stopped.stderr.contains("a is stopped"), "{stopped}");
    // Meant for one node, it is nobody else's.
    assert_eq!(as_json(&boss, &["claim", "free"]).code(3).json(), json!({"claimed": [], "lost": ["p/free"]}));
    fleet.clone("a").dispatch(&["run"]).success();
    for id in ["free", "own", "later"] {
        assert_eq!(fleet.phases(id), ["assigned", "running", "completed"], "{id}");
    }
}

/// How often a race is run: a thousand times in the long run, else as `GIT_DISPATCH_TEST_ROUNDS` says.
fn rounds() -> usize {
    match std::env::var("GIT_DISPATCH_TEST_LONG") {
        Ok(_) => 1000,
        Err(_) => std::env::var("GIT_DISPATCH_TEST_ROUNDS").map_or(6, |rounds| rounds.parse().expect("a number")),
    }
}

/// Races an assignment against a claim by hand of another clone, and demands that exactly one has the task.
fn against_a_claim(assign: impl Fn(&Repo, &str) -> Out + Sync, won: impl Fn(&Out, &str) -> bool) {
    let sandbox = Sandbox::with_clones(&["boss", "other"]);
    let (boss, other) = (sandbox.repo("boss"), sandbox.repo("other"));
    plant_node(&sandbox, "n1", &json!({"mode": "push", "slots": 100_000}));
    let (mut assigned, mut claimed) = (0, 0);
    for round in 0..rounds() {
        let id = format!("t{round}");
        enqueue(&boss, &[(&*id, line("true"))]);
        let outs = race(2, |who| if who == 0 { assign(&boss, &id) } else { as_json(&other, &["claim", &id]) });
        let both = format!("{}\n--\n{}", outs[0], outs[1]);
        let first = won(&outs[0], &id);
        let second = outs[1].code == 0;
        assert!(first != second, "exactly one wins, in round {round}:\n{both}");
        let hub = sandbox.hub();
        let name = format!("refs/dispatch/claims/p/{id}");
        let format = "--format=%(trailers:key=Dispatch-Phase,valueonly,separator=%x2C)";
        let chain = hub.git(&["log", "--first-parent", format, &name]);
        assert_eq!(chain, if first { "assigned" } else { "running" }, "and the hub says the same:\n{both}");
        (assigned, claimed) = (assigned + usize::from(first), claimed + usize::from(second));
    }
    eprintln!("{assigned} assigned, {claimed} claimed");
    assert_eq!(assigned + claimed, rounds());
}

#[test]
fn of_schedule_and_claim_exactly_one_wins() {
    against_a_claim(
        |boss, _| as_json(boss, &["schedule"]),
        |out, id| {
            assert_eq!(out.code, 0, "{out}");
            out.json()["assigned"].as_array().unwrap().iter().any(|pair| pair["task"] == format!("p/{id}"))
        },
    );
}

#[test]
fn of_assign_and_claim_exactly_one_wins() {
    against_a_claim(
        |boss, id| as_json(boss, &["assign", id, "--node", "n1"]),
        |out, _| {
            assert!(out.code == 0 || out.json()["error"]["code"] == "dispatch::assign::not_pending", "{out}");
            out.code == 0
        },
    );
}
