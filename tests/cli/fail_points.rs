//! Killed at every fail point of each command, the same command again ends well (RELIABILITY.md, "Kill at every step").
//!
//! ```sh
//! cargo test --features failpoints --test cli fail_points -- --nocapture
//! ```
//!
//! The points are not listed anywhere: a first pass writes down which of them a command comes to, and how often.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rig::{Fleet, PATIENT, quick};
use crate::sandbox::{Out, race};

/// A command that is killed, with what comes before and after.
struct Scene {
    clone: &'static str,
    args: &'static [&'static str],
    before: fn(&Fleet),
    after: fn(&Fleet),
}

fn ids() -> [String; 2] {
    ["a".to_owned(), "b".to_owned()]
}

/// Whoever resolves conflicts here takes both sides' lines.
const MENDER: &str = "[executors.mender]\nkind = \"command\"\n\
    command = [\"sh\", \"-c\", \"sed -i '/^[<=>|]\\\\{7\\\\}/d' same.txt\"]\n[collect]\nconflict_executor = \"mender\"\n";

/// Writes the same two specs whenever it is asked.
const PLANNER: &str =
    "[factory]\ncooldown = \"0s\"\ngenerate = [\"sh\", \"-c\", \"cp tasks/*.md $DISPATCH_OUT\"]\n";

fn fleet() -> Fleet {
    Fleet::new(&["boss", "n1"], &format!("{PATIENT}{MENDER}{PLANNER}"))
}

fn specs(fleet: &Fleet) {
    crate::rig::write_specs(&fleet.clone("boss"), &[("a", &quick("a")), ("b", &quick("b"))]);
}

fn queued(fleet: &Fleet) {
    specs(fleet);
    fleet.clone("boss").dispatch(&["enqueue", "tasks"]).success();
}

fn done(fleet: &Fleet) {
    queued(fleet);
    fleet.clone("n1").dispatch(&["run", "--slots", "2"]).success();
}

/// Two results that write one file.
fn in_conflict(fleet: &Fleet) {
    let both = |id: &str| format!("echo {id} > same.txt; {}", quick(id));
    crate::rig::write_specs(&fleet.clone("boss"), &[("a", &both("a")), ("b", &both("b"))]);
    fleet.clone("boss").dispatch(&["enqueue", "tasks"]).success();
    fleet.clone("n1").dispatch(&["run", "--slots", "2"]).success();
}

/// Both are merged, the second one by its only repair.
fn mended(fleet: &Fleet) {
    fleet.clone("n1").dispatch(&["run"]);
    fleet.clone("boss").dispatch(&["collect"]).success();
    let states: Vec<String> = fleet.list().iter().map(|(id, task)| format!("{id} {}", task["state"])).collect();
    assert_eq!(states, ["a \"merged\"", "b \"merged\"", "b-repair-1 \"merged\""]);
    let hub = fleet.sandbox.hub();
    assert_eq!(hub.git(&["show", "main:same.txt"]).lines().count(), 2);
    assert_eq!(hub.git(&["rev-list", "--count", "--first-parent", "--merges", "main"]), "2");
    fleet.sound();
}

/// Claimed by hand, and worked on.
fn worked_on(fleet: &Fleet) {
    queued(fleet);
    let n1 = fleet.clone("n1");
    n1.dispatch(&["claim", "a"]).success();
    n1.git(&["checkout", "--quiet", "task/p-a-n1"]);
    n1.write("a.txt", "a\n");
    n1.commit("Do a");
    n1.git(&["checkout", "--quiet", "main"]);
    n1.dispatch(&["run", "b"]).success();
}

fn merged(fleet: &Fleet) {
    fleet.clone("n1").dispatch(&["run"]);
    fleet.collect_and_check(&ids());
    assert_eq!((fleet.waiting("n1"), fleet.waiting("boss")), (0, 0));
}

fn cancelled(fleet: &Fleet) {
    let tasks = fleet.list();
    assert!(tasks.values().all(|task| task["state"] == "cancelled"), "{tasks:?}");
    let left =
        fleet.sandbox.hub().git(&["for-each-ref", "--format=%(refname)", "refs/dispatch/claims", "refs/heads"]);
    assert_eq!(left, "refs/heads/main");
    let kept = fleet.sandbox.hub().git(&["for-each-ref", "--format=%(refname)", "refs/dispatch/attempts"]);
    assert_eq!(kept.lines().count(), 2, "{kept}");
    fleet.sound();
}

/// Runs the command at each of its points, in fresh fleets.
fn kill_everywhere(scene: &Scene) {
    let whole = fleet();
    (scene.before)(&whole);
    let log = whole.home("points");
    command(&whole, scene, &[("GIT_DISPATCH_TEST_FAIL_LOG", log.to_str().unwrap())]);
    (scene.after)(&whole);
    let points: BTreeSet<String> = fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect();
    let points: Vec<String> = points.into_iter().collect();
    let (next, killed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    race(4, |_| {
        while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
            let fleet = fleet();
            (scene.before)(&fleet);
            let first = command(&fleet, scene, &[("GIT_DISPATCH_TEST_FAIL", point)]);
            // With two threads at work, a point may be passed less often than the first time.
            killed.fetch_add(usize::from(first.code == 137), Ordering::Relaxed);
            let again = command(&fleet, scene, &[]);
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                // A file that was whole when its maker died is not written over.
                let is_whole = again.code == 2 && again.stderr.contains("is there already");
                assert!([0, 3, 4].contains(&again.code) || is_whole);
                (scene.after)(&fleet);
            }));
            assert!(checked.is_ok(), "{:?} killed at {point}:\n{first}\nagain:\n{again}", scene.args);
        }
    });
    let killed = killed.into_inner();
    println!("{}: killed at {killed} of {} points, each healed by the same command", scene.args[0], points.len());
    assert!(killed * 10 >= points.len() * 9, "{killed} of {points:?}");
}

/// On the way to the other side, there, and on the way back.
fn packed(fleet: &Fleet) {
    queued(fleet);
    fleet.clone("boss").dispatch(&["bundle", "create", "../job", "--for", "vault"]).success();
}

fn opened(fleet: &Fleet) {
    packed(fleet);
    fleet.clone(".").dispatch(&["bundle", "open", "job", "vault"]).success();
    fleet.clone("vault").dispatch(&["run"]).success();
}

fn carried_back(fleet: &Fleet) {
    opened(fleet);
    fleet.clone("vault").dispatch(&["bundle", "create", "../back", "--results"]).success();
}

/// Whatever of the loop is left is gone through, and each task was merged once.
fn carried(fleet: &Fleet) {
    let (root, boss, vault) = (fleet.clone("."), fleet.clone("boss"), fleet.clone("vault"));
    root.dispatch(&["bundle", "open", "job", "vault"]).success();
    vault.dispatch(&["run"]);
    let back = vault.dispatch(&["bundle", "create", "../back", "--results"]);
    assert!(back.code == 0 || back.stderr.contains("is there already"), "{back}");
    boss.dispatch(&["collect", "--bundle", "../back"]).success();
    fleet.check(&ids());
    vault.git(&["fsck", "--no-dangling", "--no-progress"]);
    let left = fs::read_dir(fleet.sandbox.root()).unwrap().flatten().map(|entry| entry.file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn command(fleet: &Fleet, scene: &Scene, environment: &[(&str, &str)]) -> Out {
    let environment = [environment, &[("GIT_DISPATCH_INBOX_SETTLE", "20ms")]].concat();
    fleet.clone(scene.clone).dispatch_env(&environment, scene.args)
}

#[test]
fn enqueue() {
    kill_everywhere(&Scene { clone: "boss", args: &["enqueue", "tasks"], before: specs, after: merged });
}

fn planned(fleet: &Fleet) {
    let format = "--format=%(trailers:key=Dispatch-Generation,valueonly,separator=%x2C)";
    let queued = fleet.sandbox.hub().git(&["log", format, "refs/dispatch/queue"]);
    assert_eq!(queued, "1\n1");
    merged(fleet);
}

#[test]
fn factory() {
    kill_everywhere(&Scene { clone: "boss", args: &["factory", "--once"], before: specs, after: planned });
}

/// Two that are good, and one that is not.
fn dropped(fleet: &Fleet) {
    specs(fleet);
    let (boss, tasks) = (fleet.clone("boss"), fleet.clone("boss").path().join("tasks"));
    fs::rename(tasks, fleet.sandbox.root().join("in")).unwrap();
    boss.write("../in/bad.md", "---\npriority: [1\n---\nx\n");
}

fn put_away(fleet: &Fleet) {
    let folder = fs::read_dir(fleet.sandbox.root().join("in")).unwrap().flatten();
    let mut names: Vec<String> = folder.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names.retain(|name| !name.starts_with('.'));
    assert_eq!(names, ["a.md.dispatched", "b.md.dispatched", "bad.md.error", "bad.md.rejected"]);
    let queued = fleet.sandbox.hub().git(&["log", "--format=%s", "refs/dispatch/queue"]);
    assert_eq!(queued.lines().count(), 2, "{queued}");
    merged(fleet);
}

#[test]
fn inbox() {
    kill_everywhere(&Scene { clone: "boss", args: &["inbox", "../in"], before: dropped, after: put_away });
}

#[test]
fn run() {
    kill_everywhere(&Scene { clone: "n1", args: &["run", "--slots", "2"], before: queued, after: merged });
}

#[test]
fn finish_by_hand() {
    kill_everywhere(&Scene { clone: "n1", args: &["finish", "a"], before: worked_on, after: merged });
}

#[test]
fn collect() {
    let after = |fleet: &Fleet| fleet.check(&ids());
    kill_everywhere(&Scene { clone: "boss", args: &["collect"], before: done, after });
}

/// Three finished, of which one breaks the verification, and one that was built on it.
fn one_broken(fleet: &Fleet) {
    let boss = fleet.clone("boss");
    crate::rig::write_specs(&boss, &[("a", &quick("a")), ("b", "echo x > bad; echo b > b.txt")]);
    boss.spec("tasks/c.md", "depends_on: b\nrun: cat b.txt > c.txt", "# Do c");
    boss.dispatch(&["enqueue", "tasks"]).success();
    fleet.clone("n1").dispatch(&["run", "--slots", "2"]).success();
}

/// Whenever it was killed: the good one has landed once, the bad one has failed, and what was built on it is to run again.
fn one_rejected(fleet: &Fleet) {
    let tasks = fleet.list();
    let states: Vec<_> = tasks.values().map(|task| task["state"].as_str().unwrap_or_default()).collect();
    assert_eq!(states, ["merged", "failed", "pending"], "{tasks:?}");
    let hub = fleet.sandbox.hub();
    assert_eq!(hub.git(&["log", "--merges", "--format=%s", "main"]), "Merge p/a: Do a");
    let kept = hub.git(&["for-each-ref", "--format=%(refname)", "refs/dispatch/attempts"]);
    assert_eq!(kept, "refs/dispatch/attempts/p/c/1-n1");
    assert_eq!(hub.git(&["show", "refs/dispatch/claims/p/b:log"]), "it is bad");
    fleet.sound();
}

#[test]
fn collect_that_verifies() {
    let args = &["collect", "--verify", "test ! -e bad || { echo it is bad; exit 1; }"];
    kill_everywhere(&Scene { clone: "boss", args, before: one_broken, after: one_rejected });
}

/// The same on a hub that takes one ref after the other.
fn done_without_atomic(fleet: &Fleet) {
    fleet.sandbox.hub().git(&["config", "receive.advertiseAtomic", "false"]);
    done(fleet);
}

#[test]
fn collect_without_atomic_pushes() {
    let after = |fleet: &Fleet| fleet.check(&ids());
    kill_everywhere(&Scene { clone: "boss", args: &["collect"], before: done_without_atomic, after });
}

#[test]
fn cancel() {
    kill_everywhere(&Scene { clone: "boss", args: &["cancel", "a", "b"], before: done, after: cancelled });
}

#[test]
fn collect_with_a_conflict() {
    kill_everywhere(&Scene { clone: "boss", args: &["collect"], before: in_conflict, after: mended });
}

#[test]
fn bundle_create_for_a_node() {
    let args = &["bundle", "create", "../job", "--for", "vault"];
    kill_everywhere(&Scene { clone: "boss", args, before: queued, after: carried });
}

#[test]
fn bundle_open() {
    let args = &["bundle", "open", "job", "vault"];
    kill_everywhere(&Scene { clone: ".", args, before: packed, after: carried });
}

#[test]
fn bundle_create_results() {
    let args = &["bundle", "create", "../back", "--results"];
    kill_everywhere(&Scene { clone: "vault", args, before: opened, after: carried });
}

#[test]
fn collect_bundle() {
    let args = &["collect", "--bundle", "../back"];
    kill_everywhere(&Scene { clone: "boss", args, before: carried_back, after: carried });
}
