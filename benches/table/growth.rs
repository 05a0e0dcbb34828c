//! How cost grows: with the queue, with the fleet, and with the refs of the hub.
//!
//! These tables have no reference; they are what the page "How cost grows" of `src/lib.rs` is written from.
//!
//! - **The queue**: processor time, git's included, and the most memory, of `list --json` without and with its cache, of a poll of
//!   an idle node that finds nothing new, and of a `claim`, on 1,000, 10,000 and 100,000 tasks of which nine in ten are sealed and a
//!   thousand run.
//! - **The fleet**: 1 to 64 simulated nodes of four slots with tasks of half an hour, a collect each ten minutes, set up as they are
//!   where nothing is said: what each task and each hour of a node asks of the hub, and the most refs. The machines are the
//!   program's own, the counts those that `tests/simulation/arithmetic.rs` asserts. A fleet beats and polls whatever the queue
//!   holds, so the queue's length is no column here. Bytes are those of ref names (90 each), claims and results that all clones
//!   together download, of results of one line; a result of `r` bytes adds what the last column says.
//! - **The refs**: a poll and a claim where the hub's refs lie in one file, in a file each, and in a reftable.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::Options;
use crate::hub::polls;
use crate::pair::{cost, peak};
use crate::scene::{Scene, Size, program};
use crate::simulated::cost::{Bill, Plan};

const CACHE: &str = ".git/dispatch/queue.cache";

/// How often each thing is measured here; what is shown is the mean.
const TIMES: usize = 5;

/// What a name of a ref takes on the wire, about.
const NAME: u64 = 90;

pub(crate) fn tables(options: &Options) {
    with_the_queue(options);
    with_the_fleet(options, sizes());
    with_the_refs(options);
}

fn with_the_queue(options: &Options) {
    println!("\nhow cost grows with the queue: processor ms (most MiB)");
    println!("{:>8} {:>18} {:>18} {:>18} {:>18}", "tasks", "list, no cache", "list", "a poll", "claim --count 1");
    for tasks in [1_000, 10_000, 100_000].map(|tasks| options.scaled(tasks, 100)) {
        let size = Size { tasks, live: (tasks / 10).min(1_000), writers: 20 };
        let scene = Scene::new();
        let hub = scene.hub();
        scene.queue(&hub, size);
        let clone = scene.clone("hub.git", "clone");
        scene.dispatch(&clone, &["list", "--json"]);
        let list = ["list", "--json", "--offline"];
        let anew = mean(&scene, &clone, &list, || drop(fs::remove_file(clone.join(CACHE))));
        let again = mean(&scene, &clone, &list, || {});
        let (poll, held) = polls(&scene, &clone, 10);
        let poll = format!("{:.1} ({held:.0})", poll.cpu.as_secs_f64() * 100.0);
        let claim = mean(&scene, &clone, &["claim", "--count", "1"], || {});
        println!("{tasks:>8} {anew:>18} {again:>18} {poll:>18} {claim:>18}");
    }
}

/// The mean processor time of a command, in milliseconds, and the most memory that it held.
fn mean(scene: &Scene, clone: &Path, args: &[&str], before: impl Fn()) -> String {
    let command = || {
        let mut command = scene.command(clone, program(), args);
        command.env("GIT_DISPATCH_NODE_LABELS", "agent:code").stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    before();
    let most = peak(&mut command());
    let took: f64 = (0..TIMES)
        .map(|_| {
            before();
            cost(|| assert!(command().status().expect("the program").success())).cpu.as_secs_f64()
        })
        .sum();
    format!("{:.0} ({most:.0})", took * 1000.0 / TIMES as f64)
}

/// What is downloaded of a claim, and of its end with a result of one line, in bytes.
fn sizes() -> [u64; 2] {
    let scene = Scene::new();
    let hub = scene.hub();
    let clone = scene.clone("hub.git", "clone");
    let specs = scene.specs("t", 1, "echo one >> result.txt");
    scene.dispatch(&clone, &["enqueue", &specs.to_string_lossy()]);
    scene.dispatch(&clone, &["run"]);
    let tip = "refs/dispatch/claims/p/t00000";
    let size = |range: &[&str]| -> u64 {
        let args = [&["rev-list", "--objects", "--disk-usage"], range].concat();
        scene.git(&hub, &args).parse().expect("a number")
    };
    let claim = size(&["--no-walk", &format!("{tip}^1")]);
    [claim, size(&[tip, "--not", "main", &format!("{tip}^1")])]
}

fn with_the_fleet(options: &Options, [claim, result]: [u64; 2]) {
    println!("\nhow cost grows with the fleet: nodes of four slots, tasks of half an hour");
    println!("a claim is {claim} bytes, its end with one line of result {result}");
    let head = ["pushes", "fetches", "pushes", "fetches", "most", "kB", "results"];
    println!("{:>8}{}", "", head.map(|word| format!("{word:>11}")).concat());
    let head = ["a task", "a task", "node-hour", "node-hour", "refs", "node-hour", "node-hour"];
    println!("{:>8}{}", "nodes", head.map(|word| format!("{word:>11}")).concat());
    let most = options.scaled(64, 4);
    for nodes in [1, 4, 16, 64].into_iter().filter(|nodes| *nodes <= most) {
        let bill: Bill = Plan::of(nodes).run();
        let (tasks, each) = (bill.won.max(1) as f64, nodes as f64);
        let claims = bill.commits - bill.results;
        let bytes = bill.names * NAME + claims * claim + bill.results * result;
        let for_tasks = (bill.claims + bill.ends) as f64 / tasks;
        println!(
            "{nodes:>8}{for_tasks:>11.2}{:>11.2}{:>11.1}{:>11.0}{:>11}{:>11.0}{:>11.1}",
            bill.claims as f64 / tasks,
            bill.pushes() as f64 / each,
            bill.fetches as f64 / each,
            bill.most_refs,
            bytes as f64 / 1000.0 / each,
            bill.results as f64 / each,
        );
    }
}

fn with_the_refs(options: &Options) {
    println!("\nhow cost grows with the hub's refs: processor ms");
    println!("{:>8} {:<18} {:>9} {:>9}", "refs", "in", "a poll", "claim");
    for live in [1_000, 10_000].map(|live| options.scaled(live, 100)) {
        for (name, lay) in [
            ("one file", (|_, _| {}) as fn(&Scene, &Path)),
            ("a file each", loose),
            ("a reftable", |scene, hub| drop(scene.git(hub, &["refs", "migrate", "--ref-format=reftable"]))),
        ] {
            let scene = Scene::new();
            let hub = scene.hub();
            scene.queue(&hub, Size { tasks: live * 2, live, writers: 20 });
            lay(&scene, &hub);
            let clone = scene.clone("hub.git", "clone");
            scene.dispatch(&clone, &["list"]);
            let poll = polls(&scene, &clone, 10).0.cpu.as_secs_f64() * 100.0;
            let claim = mean(&scene, &clone, &["claim", "--count", "1"], || {});
            println!("{live:>8} {name:<18} {poll:>9.1} {claim:>9}");
        }
    }
}

/// Takes all refs out of their common file.
fn loose(_: &Scene, hub: &Path) {
    let packed = fs::read_to_string(hub.join("packed-refs")).expect("the refs");
    for (id, name) in packed.lines().filter_map(|line| line.split_once(' ')).filter(|(id, _)| id.len() == 40) {
        let path = hub.join(name);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("a folder");
        fs::write(path, format!("{id}\n")).expect("a ref");
    }
    fs::remove_file(hub.join("packed-refs")).expect("it is there");
}
