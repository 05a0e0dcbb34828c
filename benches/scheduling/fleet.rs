//! Sixteen processes of the program that wake up at once on one bare repository.

use std::path::Path;
use std::time::Instant;

use crate::{PROGRAM, command, run_in, scratch};

const NODES: usize = 16;
const TASKS: usize = 200;

pub(crate) fn run() {
    let folder = scratch();
    let home = folder.path();
    run_in(home, home, "git", &["init", "--quiet", "--bare", "hub.git"]);
    run_in(home, home, "git", &["clone", "--quiet", "hub.git", "boss"]);
    let boss = home.join("boss");
    std::fs::write(boss.join("git-dispatch.toml"), "project = \"p\"\nmax_beats_per_minute = 6000\n")
        .expect("written");
    run_in(&boss, home, "git", &["add", "--all"]);
    run_in(&boss, home, "git", &["commit", "--quiet", "-m", "First commit"]);
    run_in(&boss, home, "git", &["push", "--quiet", "origin", "HEAD:main"]);
    // They know each other, and wait for a queue.
    let nodes: Vec<_> = (0..NODES).map(|at| node(home, &format!("n{at}"))).collect();
    let known = || run_in(&home.join("hub.git"), home, "git", &["for-each-ref", "refs/dispatch/nodes"]);
    wait_for(|| known().lines().count() == NODES);
    std::fs::create_dir(home.join("specs")).expect("a folder");
    for at in 0..TASKS {
        let spec = format!("---\nrun: sleep 1; echo {at} > {at}.txt\n---\n# Task {at}\n");
        std::fs::write(home.join(format!("specs/t{at:03}.md")), spec).expect("written");
    }
    let start = Instant::now();
    run_in(&boss, home, PROGRAM, &["enqueue", "../specs"]);
    let completed = || {
        let format = "--format=%(contents:subject)";
        let tips = run_in(&home.join("hub.git"), home, "git", &["for-each-ref", format, "refs/dispatch/claims"]);
        tips.lines().filter(|tip| tip.starts_with("completed")).count()
    };
    wait_for(|| completed() == TASKS);
    let took = start.elapsed();
    for mut node in nodes {
        let _ = node.kill();
        let _ = node.wait();
    }
    let tried = (0..NODES).map(|at| tries(&home.join(format!("n{at}.trace")))).sum::<usize>();
    println!("  {:<46}{:>8}{:>8}{:>8}", "", "tried", "won", "share");
    println!("  {:<46}{tried:>8}{TASKS:>8}{:>8.3}", "equal tasks (goal: nine of ten)", TASKS as f64 / tried as f64);
    println!("  {TASKS} tasks by {NODES} processes in {:.0} s", took.as_secs_f64());
}

/// Makes a clone and starts a node in it.
fn node(home: &Path, name: &str) -> std::process::Child {
    run_in(home, home, "git", &["clone", "--quiet", "-c", &format!("dispatch.node={name}"), "hub.git", name]);
    let mut command = command(&home.join(name), home, PROGRAM, &["run", "--watch", "--quiet"]);
    command.env("GIT_TRACE2_EVENT", home.join(format!("{name}.trace"))).env("GIT_DISPATCH_NODE_HEARTBEAT", "5s");
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    command.spawn().expect("it can be started")
}

/// Counts the claims that a node pushed: leases on a claim that was not there before.
fn tries(trace: &Path) -> usize {
    let text = std::fs::read_to_string(trace).unwrap_or_default();
    let pushes = text.lines().filter(|line| line.contains("\"event\":\"start\"") && line.contains("\"push\""));
    let first = |argument: &&str| {
        argument.starts_with("--force-with-lease=refs/dispatch/claims/") && argument.ends_with(':')
    };
    pushes.map(|line| line.split('"').filter(first).count()).sum()
}

/// Waits for a condition, ten minutes at most.
fn wait_for(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed().as_secs() < 600, "it takes too long");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}
