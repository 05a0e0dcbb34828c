//! `factory`: a generator looks at what was done and writes what is next; each generation is enqueued once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::rig::{Fleet, PATIENT};
use crate::sandbox::{PATIENCE, Repo, Running, Sandbox, eventually, race};
use crate::steps::{each, refs, refused, states, tasks, text};

/// Writes three specs that name what it was told, and keeps what it read.
const THREE: &str = "cat > $HOME/read-$DISPATCH_GENERATION.json\n\
    for n in 1 2 3; do id=g$DISPATCH_GENERATION-$n$SUFFIX\n\
    printf -- '---\\nproject: p\\nrun: echo %s > %s.txt\\n---\\n# Do %s\\n' $id $id $id > \"$DISPATCH_OUT/$id.md\"; done\n";

/// A fleet whose clones share a generator: a shell script in the sandbox' home.
fn fleet(clones: &[&str], settings: &str) -> Fleet {
    let settings =
        format!("{PATIENT}[factory]\ngenerate = [\"sh\", \"-c\", \". $HOME/plan\"]\ncooldown = \"0s\"\n{settings}");
    Fleet::new(clones, &settings)
}

fn plan(fleet: &Fleet, script: &str) {
    fs::write(fleet.home("plan"), script).unwrap();
}

fn once(repo: &Repo) -> Value {
    repo.dispatch(&["factory", "--once", "--json"]).success().json()
}

fn waits_for(document: &Value) -> String {
    text(&document["waits_for"])
}

/// The ids of each generation, as the queue's own trailers say.
fn generations(fleet: &Fleet) -> BTreeMap<String, BTreeSet<String>> {
    let format = "--format=%(trailers:key=Dispatch-Generation,valueonly,separator=%x2C) \
                  %(trailers:key=Dispatch-Task,valueonly,separator=%x2C)";
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in fleet.sandbox.hub().git(&["log", format, "refs/dispatch/queue"]).lines() {
        let (generation, task) = line.split_once(' ').unwrap();
        assert!(found.entry(generation.to_owned()).or_default().insert(task.to_owned()), "{task} twice");
    }
    found
}

#[test]
fn a_generation_follows_when_enough_of_the_last_has_ended() {
    let fleet = fleet(&["boss", "n1"], "when_completed = 0.6\nmax_generations = 2\n");
    let (boss, n1) = (fleet.clone("boss"), fleet.clone("n1"));
    plan(&fleet, THREE);
    fleet.enqueue(&[("seed", "echo seed > seed.txt; echo '{\"found\": 7}' > $DISPATCH_RESULT_FILE")]);
    // What was queued by hand comes first.
    assert_eq!(waits_for(&once(&boss)), "generation 0; waits for 1 more task of 1 to end");
    n1.dispatch(&["run"]).success();
    let (out, trace) = boss.traced(&["factory", "--once", "--json"]);
    let first = out.success().json();
    assert_eq!(each(&first["enqueued"], "task"), ["p/g1-1", "p/g1-2", "p/g1-3"]);
    assert_eq!((trace.count("push"), &first["generation"]), (1, &json!(1)));
    // It read the whole state.
    let read: Value = serde_json::from_str(&fs::read_to_string(fleet.home("read-1.json")).unwrap()).unwrap();
    assert_eq!(
        (&read["generation"], &read["counts"]["completed"], &read["counts"]["failed"]),
        (&json!(0), &json!(1), &json!(0))
    );
    let seed = &read["tasks"][0];
    assert_eq!(
        (&seed["task"], &seed["output"]["found"], &seed["loc_added"]),
        (&json!("p/seed"), &json!(7), &json!(1))
    );
    let notes = fleet.sandbox.hub().git(&["log", "--notes=dispatch/*", "refs/dispatch/queue"]);
    assert!(notes.contains("\"generation\":1") && notes.contains("\"tasks\":3"), "{notes}");

    n1.dispatch(&["run", "--max", "1"]).success();
    assert_eq!(waits_for(&once(&boss)), "generation 1; waits for 1 more task of 2 to end");
    let status = boss.dispatch(&["status"]).success().stdout;
    let line = "factory: generation 1 of 2, 1 of 3 ended (33 % of 60 %); waits for 1 more task of 2 to end\n";
    assert!(status.contains(line), "{status}");
    let document = boss.dispatch(&["status", "--json"]).success().json()["factory"].clone();
    assert_eq!(
        (&document["generation"], &document["ended"], &document["tasks"]),
        (&json!(1), &json!(1), &json!(3))
    );
    assert_eq!(document["left"], json!(["p/g1-2", "p/g1-3"]));
    // One that is called off has ended as well.
    boss.dispatch(&["cancel", "g1-3"]).success();
    assert_eq!(each(&once(&n1)["enqueued"], "task"), ["p/g2-1", "p/g2-2", "p/g2-3"], "any clone may");
    n1.dispatch(&["run"]).success();
    assert!(waits_for(&once(&boss)).contains("2 generations were wanted"));
    assert_eq!(boss.dispatch(&["list", "--json"]).json()["tasks"][1]["generation"], 1);
}

#[test]
fn too_few_that_are_pending_bring_the_next_generation_forward() {
    let fleet = fleet(&["boss"], "when_completed = 1.0\nmin_pending = 4\n");
    let boss = fleet.clone("boss");
    plan(&fleet, THREE);
    assert_eq!(once(&boss)["generation"], 1);
    assert_eq!(once(&boss)["generation"], 2, "three are fewer than four");
    assert_eq!(waits_for(&once(&boss)), "generation 2; waits for 3 more tasks of 3 to end");
    // A newer spec of a task stays in its generation.
    boss.spec("../newer/g2-1.md", "project: p\nrun: echo newer > newer.txt", "# Newer");
    boss.dispatch(&["enqueue", "--replace", "../newer"]).success();
    let replaced = &tasks(&boss)["g2-1"];
    assert_eq!((&replaced["title"], &replaced["generation"]), (&json!("Newer"), &json!(2)));
}

#[test]
fn what_is_queued_already_is_skipped_and_said() {
    let fleet = fleet(&["boss"], "");
    let boss = fleet.clone("boss");
    fleet.enqueue(&[("g1-2", "echo by hand > g1-2.txt")]);
    boss.dispatch(&["cancel", "g1-2"]).success();
    plan(&fleet, THREE);
    let out = boss.dispatch(&["factory", "--once"]).success();
    assert_eq!(
        (out.stdout.as_str(), out.stderr.contains("skipped  p/g1-2: already queued")),
        ("enqueued p/g1-1\nenqueued p/g1-3\n", true)
    );
    assert_eq!(states(&boss), ["g1-1 pending", "g1-2 cancelled", "g1-3 pending"]);
    // A generator that has nothing new to say makes no generation.
    boss.dispatch(&["cancel", "g1-1", "g1-3"]).success();
    plan(&fleet, &THREE.replace("g$DISPATCH_GENERATION-", "g1-"));
    let again = once(&boss);
    assert_eq!((each(&again["skipped"], "task").len(), &again["generation"]), (3, &json!(1)));
    assert_eq!(waits_for(&again), "generation 2 brought nothing new");
}

#[test]
fn a_generator_that_fails_or_writes_rubbish_changes_nothing() {
    let fleet = fleet(&["boss"], "");
    let (boss, hub) = (fleet.clone("boss"), fleet.sandbox.hub());
    let without = Sandbox::with_clones(&["a"]);
    refused(&without.repo("a").dispatch(&["factory", "--json"]), "dispatch::config::no_generator", 2);
    let before = refs(&hub);
    for (script, code, exit) in [
        ("echo 'no \u{1b}[2J idea' >&2; exit 3", "dispatch::factory::failed", 1),
        ("kill -9 $$", "dispatch::factory::failed", 1),
        (
            &format!("{THREE}printf -- '---\\npriority: x y\\n---\\n' > $DISPATCH_OUT/z.md"),
            "dispatch::spec::bad_value",
            2,
        ),
        (
            &format!("{THREE}printf -- '---\\ndepends_on: nowhere\\n---\\nx' > $DISPATCH_OUT/z.md"),
            "dispatch::spec::unknown_dependency",
            2,
        ),
        (&format!("{THREE}mkdir $DISPATCH_OUT/z.md"), "dispatch::enqueue::unreadable", 2),
    ] {
        plan(&fleet, script);
        let error = refused(&boss.dispatch(&["factory", "--once", "--json"]), code, exit);
        if code.contains("factory") && script.contains("idea") {
            assert!(text(&error["message"]).contains("exit status: 3: no [2J idea"), "{error}");
        }
        assert_eq!(refs(&hub), before, "{script}");
    }
    plan(&fleet, "echo nothing to do");
    assert_eq!((each(&once(&boss)["enqueued"], "task").len(), refs(&hub)), (0, before));
    // Stays, and is retried.
    plan(&fleet, "exit 3");
    let mut watch = boss.spawn(&["factory", "--watch"]);
    eventually(PATIENCE, || {
        watch.output().stderr.contains("ended with exit status: 3; the factory tries again later")
    });
    plan(&fleet, THREE);
    eventually(PATIENCE, || tasks(&boss).len() == 3);
    watch.term();
    let out = watch.wait(PATIENCE).code(143);
    assert_eq!(out.stderr.matches("exit status: 3").count(), 1, "{out}");
}

/// Two clones run the factory at once, each writing other names, so that a generation of both would show.
#[test]
fn two_factories_at_once_make_each_generation_once() {
    let fleet = fleet(&["a", "b", "n1"], "when_completed = 1.0\nmax_generations = 3\n");
    plan(&fleet, THREE);
    let mut node = fleet.watch("n1");
    let start = |name: &str| -> Running {
        let suffix = format!("-{name}");
        fleet.clone(name).spawn_env(&[("SUFFIX", &suffix)], &["factory", "--watch", "--json"])
    };
    let ended: Vec<Value> = [start("a"), start("b")].map(|running| running.wait(PATIENCE).success().json()).into();
    let made = generations(&fleet);
    assert_eq!(made.keys().collect::<Vec<_>>(), ["1", "2", "3"]);
    for (generation, tasks) in &made {
        let by = |name: &str| tasks.iter().filter(|task| task.ends_with(&format!("-{name}"))).count();
        assert!([(3, 0), (0, 3)].contains(&(by("a"), by("b"))), "generation {generation}: {tasks:?}");
    }
    let told: usize = ended.iter().map(|document| document["enqueued"].as_array().unwrap().len()).sum();
    assert_eq!(told, 9, "each says what it made, and nothing else: {ended:#?}");
    let ids: Vec<String> = made.values().flatten().map(|task| task.trim_start_matches("p/").to_owned()).collect();
    ids.iter().for_each(|id| fleet.until(id, "completed"));
    node.term();
    node.wait(PATIENCE).code(143);
    fleet.collect_and_check(&ids);
}

/// Both have generated before either may push.
#[test]
fn of_two_that_wrote_one_generation_one_is_dropped() {
    let fleet = fleet(&["a", "b"], "when_completed = 1.0\n");
    plan(
        &fleet,
        &format!(
            "{THREE}touch $HOME/wrote$SUFFIX; until [ -e $HOME/wrote-a ] && [ -e $HOME/wrote-b ]; do sleep 0.02; done\n"
        ),
    );
    let documents = race(2, |n| {
        let name = ["a", "b"][n];
        let environment = [("SUFFIX", ["-a", "-b"][n])];
        fleet.clone(name).dispatch_env(&environment, &["factory", "--once", "--json"]).success().json()
    });
    let mut counts: Vec<usize> = documents.iter().map(|one| one["enqueued"].as_array().unwrap().len()).collect();
    counts.sort_unstable();
    assert_eq!((counts, generations(&fleet)["1"].len()), (vec![0, 3], 3), "{documents:#?}");
    let dropped = documents.iter().find(|one| !one["waits_for"].is_null()).unwrap();
    assert!(waits_for(dropped).contains("another clone has enqueued generation 1"), "{dropped}");
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let fleet = fleet(&["boss", "n1"], "when_completed = 1.0\nmax_generations = 2\n");
    let (boss, n1) = (fleet.clone("boss"), fleet.clone("n1"));
    plan(&fleet, &format!("touch $HOME/began; until [ -e $HOME/go ]; do sleep 0.02; done\n{THREE}"));
    let mut watch = boss.spawn(&["factory", "--watch"]);
    eventually(PATIENCE, || fleet.home("began").exists());
    watch.kill9();
    watch.wait(PATIENCE);
    assert_eq!(states(&boss), [""; 0]);
    fleet.touch("go");
    assert_eq!(once(&boss)["generation"], 1);
    n1.dispatch(&["run", "--slots", "2"]).success();
    let watch = boss.spawn(&["factory", "--watch"]);
    eventually(PATIENCE, || tasks(&boss).len() == 6);
    // The last one is queued: there is nothing left to stay for.
    let out = watch.wait(PATIENCE).success();
    assert!(out.stderr.contains("all 2 generations are queued"), "{out}");
    assert_eq!(generations(&fleet).len(), 2);
}
