//! Why a task is not running: each reason, in `list --why`, `show` and `status`, as people and as programs read it.

use serde_json::{Value, json};

use crate::hubs::{as_json, on_both, work_on};
use crate::rig::{Fleet, PATIENT, gated};
use crate::sandbox::{PATIENCE, Repo, Sandbox, eventually};
use crate::steps::{each_hub, enqueue, line, plant_node, task, text};

/// What `list --why` says of a task.
#[track_caller]
fn why(repo: &Repo, id: &str) -> String {
    let out = repo.dispatch(&["list", "--why"]).success();
    let row = out.stdout.lines().find(|row| row.split_whitespace().next() == Some(&format!("p/{id}")));
    let row = row.unwrap_or_else(|| panic!("{id} is not listed:\n{out}")).to_owned();
    let reasons = show(repo, id)["waits_for"].clone();
    let listed = as_json(repo, &["list", "--why"]).success().json();
    let listed =
        listed["tasks"].as_array().unwrap().iter().find(|task| task["id"] == id).unwrap()["waits_for"].clone();
    let bare = |reasons: &Value| {
        // Times go on between two looks.
        let reasons = reasons.as_array().unwrap().iter();
        reasons.map(|reason| text(&reason["kind"])).collect::<Vec<_>>()
    };
    assert_eq!(bare(&listed), bare(&reasons), "list and show say the same");
    row
}

#[track_caller]
fn show(repo: &Repo, id: &str) -> Value {
    as_json(repo, &["show", &format!("p/{id}")]).success().json()
}

#[track_caller]
fn waits(repo: &Repo, id: &str, reason: &str) {
    let row = why(repo, id);
    assert!(row.contains(reason), "`{reason}` is not in:\n{row}");
    let told = repo.dispatch(&["show", &format!("p/{id}")]).success().stdout;
    assert!(told.contains(reason), "`{reason}` is not in:\n{told}");
}

fn kinds(repo: &Repo, id: &str) -> Vec<String> {
    show(repo, id)["waits_for"].as_array().unwrap().iter().map(|reason| text(&reason["kind"])).collect()
}

#[test]
fn a_running_dependency_is_named_with_its_node_and_since_when() {
    each_hub(|_, a, _| {
        a.git(&["config", "dispatch.node", "gcp-1"]);
        enqueue(a, &[("S00", ""), ("S01", "depends_on: S00"), ("S02", "depends_on: S01")]);
        a.dispatch(&["claim", "S00"]).success();
        let row = why(a, "S01");
        let (before, after) =
            row.split_once("waits for p/S00 (running on gcp-1 for ").unwrap_or_else(|| panic!("{row}"));
        let (number, rest) = after.split_once(' ').unwrap();
        assert!(number.parse::<u64>().is_ok() && rest.starts_with("s)"), "{row}");
        assert!(before.contains("pending"), "{row}");
        assert_eq!(kinds(a, "S01"), ["task", "run"]);
        waits(a, "S02", "waits for p/S01 (pending)");
    });
}

#[test]
fn what_depends_on_failed_or_cancelled_work_is_blocked_with_the_reason() {
    on_both(|repo| {
        let specs = [
            ("bad", "run: echo no; exit 9".to_owned()),
            ("off", line("true")),
            ("after", format!("depends_on: bad\n{}", line("true"))),
            ("later", format!("depends_on: after\n{}", line("true"))),
            ("other", format!("depends_on: off\n{}", line("true"))),
            ("both", format!("depends_on: [off, bad]\n{}", line("true"))),
        ];
        enqueue(repo, &specs);
        repo.dispatch(&["cancel", "p/off"]).success();
        repo.dispatch(&["run"]).code(4);
        for (id, reason) in [
            ("after", "blocked by p/bad, which failed (exit code 9: no)"),
            ("later", "blocked by p/bad, which failed (exit code 9: no), through p/after"),
            ("other", "blocked by p/off, which was cancelled"),
        ] {
            waits(repo, id, reason);
            let row = repo.dispatch(&["list"]).success().stdout;
            let row = row.lines().find(|row| row.contains(&format!("p/{id} "))).unwrap().to_owned();
            assert!(row.contains(" blocked ") && row.contains(reason), "{row}");
            assert!(repo.dispatch(&["show", &format!("p/{id}")]).success().stdout.contains("  blocked  "));
            // Nothing is failed silently: the state is what it was.
            assert_eq!(task(repo, id)["state"], "pending");
        }
        let blocked = json!([{"kind": "blocked", "what": "p/bad, which failed (exit code 9: no)"}]);
        assert_eq!(show(repo, "after")["waits_for"], blocked);
        assert_eq!(kinds(repo, "later"), ["blocked", "task"], "and for what comes between");
        assert_eq!(kinds(repo, "both"), ["blocked", "task"], "by one, and the other is not done either");

        let status = repo.dispatch(&["status"]).success().stdout;
        assert!(status.contains("4 pending (4 blocked)"), "{status}");
        assert!(status.contains("p/other  by p/off, which was cancelled"), "{status}");
        let document = as_json(repo, &["status"]).success().json();
        assert_eq!(document["blocked"].as_array().unwrap().len(), 4);
        assert_eq!(
            document["blocked"][0],
            json!({"task": "p/after", "by": "p/bad, which failed (exit code 9: no)"})
        );
        assert_eq!((&document["forecast"]["tasks"], &document["forecast"]["left_out"]), (&json!(0), &json!(0)));

        // A retry of the cause sets all free.
        repo.dispatch(&["retry", "p/off"]).success();
        assert_eq!(kinds(repo, "other"), ["task"]);
    });
}

#[test]
fn what_no_live_node_has_is_named() {
    let fleet = Fleet::new(
        &["boss", "n1"],
        &format!(
            "{PATIENT}[executors.agent]\nkind = \"command\"\ncommand = [\"true\"]\n[nodes.n1]\nlabels = [\"big\"]\nexecutors = [\"shell\"]\n"
        ),
    );
    let boss = fleet.clone("boss");
    let run = |rest: &str| format!("{rest}\n{}", line("true"));
    let node = fleet.watch("n1");
    eventually(PATIENCE, || boss.dispatch(&["nodes", "--json"]).json()["nodes"][0]["state"] == "idle");
    enqueue(
        &boss,
        &[
            ("gpu", run("labels: [gpu, big]")),
            ("agent", "executor: agent".to_owned()),
            ("two", run("labels: [gpu, tall]")),
        ],
    );
    waits(&boss, "gpu", "no live node has label gpu");
    assert_eq!(kinds(&boss, "gpu"), ["label"]);
    waits(&boss, "agent", "no live node has executor agent");
    waits(&boss, "two", "no live node has label tall");
    drop(node);
}

#[test]
fn a_paused_node_a_full_one_and_one_that_takes_only_what_it_is_assigned_are_named() {
    let fleet = Fleet::new(&["boss", "n1", "n2"], PATIENT);
    let boss = fleet.clone("boss");
    fleet.enqueue(&[("a", &gated("a", "go"))]);
    let node = fleet.watch("n1");
    eventually(PATIENCE, || fleet.home("a.began").exists());
    fleet.enqueue(&[("b", "true")]);
    waits(&boss, "b", "no free slot on n1");
    boss.dispatch(&["pause", "--node", "n1"]).success();
    waits(&boss, "b", "node paused: n1");
    fleet.touch("go");
    fleet.until("a", "completed");
    waits(&boss, "b", "node paused: n1");
    assert_eq!(fleet.tip("b"), "");
    // With one of mode push beside it, that one would do it if it were told to.
    let environment = [("GIT_DISPATCH_NODE_MODE", "push")];
    let pushed = fleet.clone("n2").spawn_env(&environment, &["run", "--watch"]);
    eventually(PATIENCE, || boss.dispatch(&["nodes", "--json"]).json()["nodes"][1]["state"] == "idle");
    waits(&boss, "b", "waits for an assignment: n2 takes nothing else");
    boss.dispatch(&["pause", "--all"]).success();
    waits(&boss, "b", "node paused: n1, n2");
    drop((node, pushed));
}

#[test]
fn without_any_node_this_clone_counts_as_one() {
    let sandbox = Sandbox::with_clones(&["a"]);
    let a = sandbox.repo("a");
    enqueue(&a, &[("ready", line("true"))]);
    assert_eq!(kinds(&a, "ready"), Vec::<String>::new());
    assert!(why(&a, "ready").trim_end().ends_with('-'));
    a.dispatch(&["pause"]).success();
    waits(&a, "ready", "node paused: ");
}

#[test]
fn what_is_being_changed_and_by_whom() {
    on_both(|repo| {
        enqueue(
            repo,
            &[
                ("S07", "modifies: src/api/mod.rs".to_owned()),
                ("S08", format!("modifies: [docs/**, \"src/api/**\"]\n{}", line("true"))),
            ],
        );
        repo.dispatch(&["claim", "p/S07"]).success();
        waits(repo, "S08", "src/api/** is being changed by p/S07");
        assert_eq!(kinds(repo, "S08"), ["scope"]);
        // And so it is not begun.
        repo.dispatch(&["run"]).code(3);
        assert_eq!(task(repo, "S08")["state"], "pending");
        repo.dispatch(&["release", "p/S07"]).success();
        assert_eq!(kinds(repo, "S08"), Vec::<String>::new());
    });
}

#[test]
fn a_rest_says_which_attempt_and_when() {
    let settings = format!("retry_failed = 2\nretry_wait = \"90s\"\n{PATIENT}");
    let fleet = Fleet::new(&["boss"], &settings);
    let boss = fleet.clone("boss");
    fleet.enqueue(&[("a", "exit 3")]);
    boss.dispatch(&["run"]);
    let row = why(&boss, "a");
    let (_, after) = row.split_once("attempt 2 may start in ").unwrap_or_else(|| panic!("{row}"));
    let seconds: u64 = after.split_once(" s").unwrap().0.parse().unwrap();
    assert!((1..=90).contains(&seconds), "{row}");
    assert_eq!(kinds(&boss, "a"), ["time"]);
}

#[test]
fn foundations_that_do_not_merge_are_named_before_anything_is_claimed() {
    on_both(|repo| {
        enqueue(repo, &[("one", ""), ("two", ""), ("after", &format!("depends_on: [one, two]\n{}", line("true")))]);
        for id in ["one", "two"] {
            repo.dispatch(&["claim", &format!("p/{id}")]).success();
        }
        for id in ["one", "two"] {
            work_on(repo, &format!("p/{id}"), "same.txt", id);
            repo.dispatch(&["finish", &format!("p/{id}")]).success();
        }
        waits(repo, "after", "does not merge with its other foundations, in same.txt");
        assert_eq!(kinds(repo, "after"), ["base"]);
        repo.dispatch(&["run"]).code(3);
        assert!(task(repo, "after")["claim"].is_null(), "nothing was claimed");
    });
}

#[test]
fn what_was_changed_beside_the_scope_is_recorded_and_shown() {
    each_hub(|_, a, hub| {
        let script = "mkdir -p src docs; echo x > src/in.txt; echo x > docs/out.md; echo x > out.txt";
        enqueue(a, &[("wide", format!("modifies: src/**\n{}", line(script))), ("free", line("echo y > free.txt"))]);
        a.dispatch(&["run"]).success();
        let outside = json!(["docs/out.md", "out.txt"]);
        assert_eq!(task(a, "wide")["outside_modifies"], outside);
        assert_eq!(
            task(a, "free")["outside_modifies"],
            Value::Null,
            "of a task that names nothing, nothing is outside"
        );
        let told = a.dispatch(&["show", "p/wide"]).success().stdout;
        let row = told.lines().find(|row| row.contains("changed besides")).unwrap_or_else(|| panic!("{told}"));
        assert!(row.contains("docs/out.md, out.txt"), "{row}");
        let status: Value =
            serde_json::from_str(&hub.git(&["show", "refs/dispatch/claims/p/wide:status.json"])).unwrap();
        assert_eq!(status["outside_modifies"], outside, "on the hub, for everybody");
        a.dispatch(&["collect"]).success();
        assert_eq!(task(a, "wide")["outside_modifies"], outside, "and in the seal");
    });
}

#[test]
fn an_assigned_task_says_whom_it_waits_for() {
    let fleet = Fleet::new(&["boss"], PATIENT);
    let boss = fleet.clone("boss");
    plant_node(&fleet.sandbox, "n1", &json!({}));
    fleet.enqueue(&[("b", "true")]);
    boss.dispatch(&["assign", "b", "--node", "n1"]).success();
    waits(&boss, "b", "n1, which it is assigned to, has not begun it yet");
    // It is dead and has not said so: a look goes by the time of its last beat.
    plant_node(&fleet.sandbox, "n1", &json!({"beat_at": "2020-01-01T00:00:00Z"}));
    waits(&boss, "b", "n1, which it is assigned to, is lost");
}
