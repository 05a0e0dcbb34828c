//! Sixteen processes of the program that wake up at once on one bare repository, and 1,000 tasks that do nothing.
//!
//! The nodes are idle and know each other when the tasks arrive; the clock runs from the start of `enqueue` to the last result
//! on the hub. Beside it sixteen loops of plain git push as often, together, onto a hub as large: a claim, then its end
//! with a branch and a note, each under its lease, with commits that were made before. The loops decide nothing, run nothing,
//! measure no result and have no slot to make ready. Claims tried are counted in the arguments of the pushes, from git's own
//! trace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::pair::{Cost, ratio, so_far};
use crate::scene::{Running, Scene, committed, data, program};
use crate::{NO_GOAL, Options, Row};

const NODES: usize = 16;

pub(crate) fn rows(options: &Options) {
    let tasks = options.scaled(1_000, NODES);
    let (ours, pushes, tried) = nodes(tasks);
    let theirs = loops(pushes);
    let what = format!("{NODES} nodes, {tasks} no-op tasks, by {pushes} leased pushes of {NODES} git loops");
    Row::ratio(what, 1.5, ratio(&[ours], &[theirs])).print();
    let what = format!("{NODES} nodes, {tasks} no-op tasks, claims tried per win");
    Row::number(what, 1.1, tried as f64 / tasks as f64, "claims").print();
    let what = format!("{NODES} nodes, {tasks} no-op tasks, pushes for each");
    Row::number(what, NO_GOAL, pushes as f64 / tasks as f64, "pushes").print();
}

/// Lets the program do the tasks; returns what that took, the pushes, and the claims that were tried.
fn nodes(tasks: usize) -> (Cost, usize, usize) {
    let scene = Scene::new();
    let hub = scene.hub();
    let boss = scene.clone("hub.git", "boss");
    scene.dispatch(&boss, &["list"]);
    let running: Vec<Running> = (0..NODES).map(|at| node(&scene, &format!("n{at}"))).collect();
    let known = || scene.git(&hub, &["for-each-ref", "refs/dispatch/nodes"]).lines().count();
    wait_for(|| known() == NODES);
    let traces: Vec<PathBuf> = (0..NODES).map(|at| scene.path(&format!("n{at}.trace"))).collect();
    let pushes_before: usize = traces.iter().map(|trace| pushes(trace).0).sum();
    let specs = scene.specs("t", tasks, "true");
    let used = || running.iter().map(|node| so_far(node.0.id())).sum::<Duration>();
    let (before, start) = (used(), Instant::now());
    scene.dispatch(&boss, &["enqueue", &specs.to_string_lossy()]);
    let completed = || {
        let format = "--format=%(contents:subject)";
        let tips = scene.git(&hub, &["for-each-ref", format, "refs/dispatch/claims"]);
        tips.lines().filter(|tip| tip.starts_with("completed")).count()
    };
    wait_for(|| completed() == tasks);
    let took = Cost { wall: start.elapsed(), cpu: used().saturating_sub(before) };
    let counts: Vec<(usize, usize)> = traces.iter().map(|trace| pushes(trace)).collect();
    drop(running);
    let sum = |of: fn(&(usize, usize)) -> usize| counts.iter().map(of).sum::<usize>();
    (took, sum(|count| count.0) - pushes_before, sum(|count| count.1))
}

/// Makes a clone and starts a node in it.
fn node(scene: &Scene, name: &str) -> Running {
    let clone = scene.clone("hub.git", name);
    scene.git(&clone, &["config", "dispatch.node", name]);
    let mut command = scene.command(&clone, program(), &["run", "--watch", "--quiet"]);
    command.env("GIT_TRACE2_EVENT", scene.path(&format!("{name}.trace")));
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program"))
}

/// Counts the pushes of a node, and the claims in them: leases on a claim that was not there before.
fn pushes(trace: &Path) -> (usize, usize) {
    let text = fs::read_to_string(trace).unwrap_or_default();
    let is_push = |line: &&str| line.contains("\"event\":\"start\"") && line.contains("\"push\"");
    let pushes: Vec<&str> = text.lines().filter(is_push).collect();
    let first = |argument: &&str| {
        argument.starts_with("--force-with-lease=refs/dispatch/claims/") && argument.ends_with(':')
    };
    (pushes.len(), pushes.iter().map(|line| line.split('"').filter(first).count()).sum())
}

/// Waits for a condition, half an hour at most.
fn wait_for(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed().as_secs() < 1800, "it takes too long");
        thread::sleep(Duration::from_millis(300));
    }
}

/// Pushes as often by plain git, from sixteen clones at once.
fn loops(pushes: usize) -> Cost {
    let scene = Scene::new();
    scene.hub();
    let plans: Vec<(PathBuf, Vec<Vec<String>>)> = (0..NODES)
        .map(|at| {
            let clone = scene.clone("hub.git", &format!("n{at}"));
            let count = pushes / NODES + usize::from(at < pushes % NODES);
            let plan = plan(&scene, &clone, at, count);
            (clone, plan)
        })
        .collect();
    crate::pair::cost(|| {
        thread::scope(|scope| {
            let scene = &scene;
            for (clone, plan) in &plans {
                scope.spawn(move || {
                    for args in plan {
                        scene.git(clone, &args.iter().map(String::as_str).collect::<Vec<_>>());
                    }
                });
            }
        });
    })
}

/// The arguments of each push of a loop; their commits are made here.
fn plan(scene: &Scene, clone: &Path, at: usize, count: usize) -> Vec<Vec<String>> {
    let mut stream = String::new();
    for task in 0..count.div_ceil(2) {
        let mut commit = |kind: usize, from: &[usize]| {
            let parents: String = from
                .iter()
                .enumerate()
                .map(|(at, mark)| format!("{} :{mark}\n", if at == 0 { "from" } else { "merge" }))
                .collect();
            let mark = task * 4 + kind;
            let text = data(&format!("{kind} of task {task} on node {at}"));
            stream +=
                &format!("reset refs/made\ncommit refs/made\nmark :{mark}\n{}{text}{parents}\n", committed(mark));
        };
        // The claim, the result, the end of both, the notes.
        commit(1, &[]);
        commit(2, &[]);
        commit(3, &[task * 4 + 1, task * 4 + 2]);
        let notes_before = [task * 4];
        commit(4, if task > 0 { &notes_before } else { &[] });
    }
    let marks = scene.path(&format!("marks{at}"));
    scene.import(clone, &stream, Some(&marks));
    let ids = scene.ids(&marks);
    let push = |moves: &[(String, &str, &str)]| {
        let mut args: Vec<String> = ["push", "--porcelain", "--no-verify"].map(str::to_owned).into();
        args.extend(moves.iter().map(|(name, old, _)| format!("--force-with-lease={name}:{old}")));
        args.push("origin".to_owned());
        args.extend(moves.iter().map(|(name, _, new)| format!("{new}:{name}")));
        args
    };
    let mut plan = Vec::new();
    for (task, made) in ids.chunks(4).enumerate() {
        let claim = format!("refs/dispatch/claims/p/t{at:02}-{task:05}");
        plan.push(push(&[(claim.clone(), "", &made[0])]));
        let notes_before = task.checked_sub(1).map_or("", |before| ids[before * 4 + 3].as_str());
        plan.push(push(&[
            (claim, &made[0], &made[2]),
            (format!("refs/heads/task/p-t{at:02}-{task:05}"), "", &made[1]),
            (format!("refs/notes/dispatch/n{at}"), notes_before, &made[3]),
        ]));
    }
    plan.truncate(count);
    plan
}
