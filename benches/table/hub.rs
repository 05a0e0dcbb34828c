//! What crosses to the hub: claims, finished work, new specs, polls; and how soon a new task starts.
//!
//! The references push the very same kinds of refs under the same leases, and fetch by the same patterns; their commits are
//! made before the clock starts. Ours also makes the commits, chooses, reads the configuration, and checks what it won. Over
//! ssh both go through a transport that starts a shell and no network, so that what is left of the difference is ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::pair::{Cost, cost, held, pairs, so_far};
use crate::scene::{Running, Scene, Size, Specs, program};
use crate::{Options, Row};

/// What a sync asks for.
const PATTERNS: [&str; 5] = [
    "+refs/dispatch/*:refs/bench/arrived/dispatch/*",
    "+refs/notes/dispatch/*:refs/bench/arrived/notes/dispatch/*",
    "+refs/notes/dispatch-sealed*:refs/bench/arrived/notes/dispatch-sealed*",
    "+refs/notes/dispatch-reports*:refs/bench/arrived/notes/dispatch-reports*",
    "+refs/heads/main:refs/bench/target/main",
];

/// Two clones, each of a hub of its own with the same queue.
struct Both {
    scene: Scene,
    ours: PathBuf,
    theirs: PathBuf,
}

impl Both {
    fn new(scene: Scene, url: impl Fn(&Path) -> String) -> Self {
        scene.copy("hub.git", "their-hub.git");
        let ours = scene.clone(&url(&scene.path("hub.git")), "ours");
        let theirs = scene.clone(&url(&scene.path("their-hub.git")), "theirs");
        scene.dispatch(&ours, &["list"]);
        let both = Self { scene, ours, theirs };
        both.fetch();
        both
    }

    fn git(&self, args: &[&str]) -> String {
        self.scene.git(&self.theirs, args)
    }

    fn fetch(&self) {
        let head =
            ["fetch", "--quiet", "--force", "--prune", "--no-tags", "--no-write-fetch-head", "--refmap=", "origin"];
        self.git(&[&head[..], &PATTERNS[..]].concat());
    }

    /// Pushes commits that were made before, each to its ref, under a lease that says what was there.
    fn push(&self, moves: &[(String, String, String)]) {
        let leases = moves.iter().map(|(name, old, _)| format!("--force-with-lease={name}:{old}"));
        let refspecs = moves.iter().map(|(name, _, new)| format!("{new}:{name}"));
        let head = ["push", "--porcelain", "--no-verify"].map(str::to_owned).into_iter();
        let args: Vec<String> = head.chain(leases).chain(["origin".to_owned()]).chain(refspecs).collect();
        self.git(&args.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// A commit on the queue's tree with a message of its own.
    fn commit(&self, message: &str, parents: &[&str]) -> String {
        let tree = self.git(&["rev-parse", "refs/bench/target/main^{tree}"]);
        let parents: Vec<&str> = parents.iter().flat_map(|parent| ["-p", *parent]).collect();
        self.git(&[&["commit-tree", "-m", message, tree.as_str()], &parents[..]].concat())
    }
}

fn by_path(hub: &Path) -> String {
    hub.to_string_lossy().into_owned()
}

fn by_ssh(hub: &Path) -> String {
    format!("ssh://hub{}", hub.display())
}

pub(crate) fn claims(options: &Options) {
    for (transport, url) in [("path", by_path as fn(&Path) -> String), ("ssh", by_ssh)] {
        for count in [1, 50] {
            let scene = Scene::new();
            let hub = scene.hub();
            scene.open_queue(&hub, (options.rounds + 1) * count);
            let both = Both::new(scene, url);
            let claim =
                |_| cost(|| drop(both.scene.dispatch(&both.ours, &["claim", "--count", &count.to_string()])));
            let push = |round: usize| {
                let moves: Vec<_> = (0..count)
                    .map(|at| {
                        let name = format!("refs/dispatch/claims/p/t{round}-{at}");
                        (name.clone(), String::new(), both.commit(&name, &[]))
                    })
                    .collect();
                cost(|| {
                    both.push(&moves);
                    both.fetch();
                })
            };
            let what = format!("claim --count {count} over {transport}, by a push of as many refs and a fetch");
            Row::ratio(what, 1.15, pairs(options.rounds, claim, push)).print();
        }
    }
}

pub(crate) fn finish(options: &Options) {
    let scene = Scene::new();
    let hub = scene.hub();
    scene.open_queue(&hub, options.rounds + 1);
    let both = Both::new(scene, by_path);
    let work = |folder: &Path, round: usize| {
        fs::write(folder.join("result.txt"), format!("{round}\n")).expect("a file");
        both.scene.git(folder, &["add", "result.txt"]);
        both.scene.git(folder, &["commit", "--quiet", "-m", "Work"]);
    };
    let ours = |round: usize| {
        let task = format!("t{round:06}");
        both.scene.dispatch(&both.ours, &["claim", &task]);
        let branch = both.scene.git(
            &both.ours,
            &["for-each-ref", "--format=%(refname:short)", &format!("refs/heads/task/p-{task}-*")],
        );
        both.scene.git(&both.ours, &["checkout", "--quiet", &branch]);
        work(&both.ours, round);
        let took = cost(|| drop(both.scene.dispatch(&both.ours, &["finish", &task])));
        both.scene.git(&both.ours, &["checkout", "--quiet", "main"]);
        took
    };
    // The claim with its result, the branch and the note.
    let theirs = |round: usize| {
        both.git(&["checkout", "--quiet", "-B", "work", "origin/main"]);
        work(&both.theirs, round);
        let result = both.git(&["rev-parse", "HEAD"]);
        let claim = both.commit("completed", &[&result]);
        let moves = [
            (format!("refs/dispatch/claims/p/x{round}"), String::new(), claim),
            (format!("refs/heads/task/p-x{round}"), String::new(), result),
            (format!("refs/notes/dispatch/n{round}"), String::new(), both.commit("Notes", &[])),
        ];
        cost(|| both.push(&moves))
    };
    Row::ratio("finish of a small result, by one push of the same", 1.2, pairs(options.rounds, ours, theirs))
        .print();
}

pub(crate) fn enqueue(options: &Options) {
    let count = options.scaled(1_000, 10);
    let scene = Scene::new();
    scene.hub();
    let both = Both::new(scene, by_path);
    let ours = |round: usize| {
        let specs = both.scene.specs(&format!("s{round}x"), count, "true");
        cost(|| drop(both.scene.dispatch(&both.ours, &["enqueue", &specs.to_string_lossy()])))
    };
    let theirs = |round: usize| {
        let old = if round == 0 { String::new() } else { both.git(&["rev-parse", "refs/bench/made"]) };
        let from = (round > 0).then_some(old.as_str());
        both.scene.make_specs(
            &both.theirs,
            "refs/bench/made",
            &Specs { numbers: round * count..(round + 1) * count, from, is_open: true },
        );
        let new = both.git(&["rev-parse", "refs/bench/made"]);
        cost(|| both.push(&[("refs/dispatch/queue".to_owned(), old, new)]))
    };
    let what = format!("enqueue of {count} specs, by a push of as many commits");
    Row::ratio(what, 1.5, pairs(options.rounds.min(5), ours, theirs)).print();
}

pub(crate) fn poll(options: &Options) {
    const POLLS: usize = 10;
    let size = Size { tasks: options.scaled(100_000, 100), live: options.scaled(1_000, 10), writers: 20 };
    let scene = Scene::new();
    let hub = scene.hub();
    scene.queue(&hub, size);
    let both = Both::new(scene, by_path);
    let ours = |_| polls(&both.scene, &both.ours, POLLS).0;
    let theirs = |_| cost(|| (0..POLLS).for_each(|_| both.fetch()));
    let what = format!("no-change poll, {} live claims, {} tasks, by a fetch", size.live, size.tasks);
    Row::ratio(what, 1.1, pairs(options.rounds.min(3), ours, theirs)).print();
}

/// What as many polls of a node take that are answered with nothing new, and the most memory that the node held, in MiB.
pub(crate) fn polls(scene: &Scene, clone: &Path, count: usize) -> (Cost, f64) {
    let trace = scene.path("trace");
    let _ = fs::remove_file(&trace);
    let mut command = scene.command(clone, program(), &["run", "--watch", "--quiet"]);
    command.env("GIT_TRACE2_EVENT", &trace).env("GIT_DISPATCH_NODE_POLL", "1ms");
    command.env("GIT_DISPATCH_NODE_POLL_MAX", "1ms").env("GIT_DISPATCH_NODE_HEARTBEAT", "1h");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let fetches = || {
        let text = fs::read_to_string(&trace).unwrap_or_default();
        text.lines().filter(|line| line.contains("\"start\"") && line.contains("\"fetch\"")).count()
    };
    let node = Running(command.spawn().expect("the program"));
    // What a start costs is not a poll's: from the third fetch to as many more.
    while fetches() < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (start, before, from) = (Instant::now(), so_far(node.0.id()), fetches());
    while fetches() < from + count {
        std::thread::sleep(Duration::from_millis(2));
    }
    let cpu = so_far(node.0.id()).saturating_sub(before);
    (Cost { wall: start.elapsed(), cpu }, held(node.0.id()))
}

/// From the end of `enqueue` to the first line of the task's own, on a node that was idle, as a part of the poll interval.
pub(crate) fn started(options: &Options) {
    const POLL: Duration = Duration::from_secs(20);
    let scene = Scene::new();
    scene.hub();
    let (node, user) = (scene.clone("hub.git", "node"), scene.clone("hub.git", "user"));
    scene.dispatch(&user, &["list"]);
    let mut command = scene.command(&node, program(), &["run", "--watch", "--quiet"]);
    command.env("GIT_DISPATCH_NODE_POLL", "20s").env("GIT_DISPATCH_NODE_POLL_MAX", "20s");
    let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program"));
    let nodes = || scene.git(&scene.path("hub.git"), &["for-each-ref", "refs/dispatch/nodes/"]);
    while nodes().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut parts = Vec::new();
    for round in 0..options.rounds.min(5) {
        let mark = scene.path(&format!("started-{round}"));
        let specs = scene.specs(&format!("r{round}x"), 1, &format!("touch {}", mark.display()));
        // A node that has just been woken looks again soon: let it come to rest.
        std::thread::sleep(Duration::from_secs(1));
        scene.dispatch(&user, &["enqueue", &specs.to_string_lossy()]);
        let start = Instant::now();
        while !mark.exists() && start.elapsed() < POLL * 2 {
            std::thread::sleep(Duration::from_millis(2));
        }
        parts.push(start.elapsed().as_secs_f64() / POLL.as_secs_f64());
    }
    drop(running);
    parts.sort_by(f64::total_cmp);
    let what = "enqueue to started, an idle node on this machine";
    Row::number(what, 0.1, parts[parts.len() / 2], "of a poll of 20 s").print();
}
