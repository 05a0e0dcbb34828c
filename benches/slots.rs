//! How fast a slot's next task starts, against a fresh clone: `cargo bench --bench slots`.
//!
//! On a repository of 20,000 files, cloned from a folder on the same disk, whose objects git only links. What is measured
//! is the time from a task's claim to a folder that its executor can begin in: a plain `git clone` with its checkout; a
//! slot's first task; and a slot's next one, whose base differs in a hundred files from the last, after a task that changed
//! files and left some behind. Exits with 1 where the next task does not start at least ten times faster than the clone.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench is the world outside")]

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use git_dispatch::ambient::Ambient;
use git_dispatch::executor::slot::{Setup, Slot};
use git_dispatch::git::repo::Identity;
use git_dispatch::git::{ObjectId, Repo};

const FOLDERS: usize = 200;
const FILES: usize = 100;
const ROUNDS: usize = 5;
const WANTED: f64 = 10.0;

fn git(folder: &Path, args: &[&str]) -> String {
    let identity = ["-c", "user.name=Bench", "-c", "user.email=bench@example.org", "-c", "init.defaultBranch=main"];
    // Nothing is tidied up in the background while something is measured.
    let still = ["-c", "gc.auto=0", "-c", "maintenance.auto=false"];
    let out = Command::new("git").args(identity).args(still).args(args).current_dir(folder).output().expect("git");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

fn write(folder: &Path, number: usize, text: &str) {
    let path = folder.join(format!("d{:03}/f{:03}.txt", number / FILES, number % FILES));
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, format!("{text} {number}\n").repeat(20)).expect("a file");
}

fn timed(what: impl FnOnce()) -> Duration {
    let start = Instant::now();
    what();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn main() -> ExitCode {
    let root = tempfile::tempdir().expect("a scratch folder");
    let seed = root.path().join("seed");
    fs::create_dir(&seed).expect("a folder");
    git(&seed, &["init", "-q"]);
    (0..FOLDERS * FILES).for_each(|number| write(&seed, number, "line"));
    git(&seed, &["add", "-A"]);
    git(&seed, &["commit", "-qm", "First"]);
    let mut bases = vec![git(&seed, &["rev-parse", "HEAD"])];
    for round in 0..ROUNDS {
        (0..100).for_each(|n| write(&seed, (n * 197 + round) % (FOLDERS * FILES), &format!("round {round}")));
        git(&seed, &["commit", "-qam", "Next"]);
        bases.push(git(&seed, &["rev-parse", "HEAD"]));
    }
    git(root.path(), &["clone", "-q", "--bare", "seed", "hub.git"]);
    git(root.path(), &["clone", "-q", "hub.git", "node"]);

    let repo = Repo::discover(&root.path().join("node"), &Ambient::system().expect("a world")).expect("a clone");
    let by = Identity { name: "Bench".to_owned(), email: "bench@example.org".to_owned() };
    let slot = Slot::at(&root.path().join("slots"), 1);
    let prepare = |base: &str| {
        let base = ObjectId::from_hex(base.as_bytes()).expect("an id");
        let setup = Setup { origin: "hub", branch: "task/x", base, keep_ignored: &[], by: &by };
        slot.prepare(&repo, &setup).expect("a slot");
    };
    let first = timed(|| prepare(&bases[0]));
    // By turns, so that whatever else the machine does weighs on both.
    let (mut clones, mut nexts) = (Vec::new(), Vec::new());
    for (round, base) in bases[1..].iter().enumerate() {
        let fresh = root.path().join("fresh");
        clones.push(timed(|| drop(git(root.path(), &["clone", "-q", "hub.git", "fresh"]))));
        fs::rename(&fresh, root.path().join(format!("fresh{round}"))).expect("a free name");
        // What a task does: changes, and a folder of things that it built.
        (0..50).for_each(|n| write(&slot.clone_dir(), n * 311, "changed"));
        let built = slot.clone_dir().join("build");
        fs::create_dir_all(&built).expect("a folder");
        (0..500).for_each(|n| fs::write(built.join(n.to_string()), "built").expect("a file"));
        nexts.push(timed(|| prepare(base)));
        assert_eq!(git(&slot.clone_dir(), &["status", "--porcelain", "--ignored"]), "", "the slot is clean");
        assert_eq!(git(&slot.clone_dir(), &["rev-parse", "HEAD"]), *base);
    }
    let (clone, next) = (median(clones), median(nexts));

    let ratio = clone.as_secs_f64() / next.as_secs_f64();
    println!("{} files                         median   against a fresh clone", FOLDERS * FILES);
    for (what, time) in [("git clone and checkout", clone), ("slot, first task", first), ("slot, next task", next)]
    {
        let times = clone.as_secs_f64() / time.as_secs_f64();
        println!("{what:<32} {:>7.0} ms   {times:>5.1} times as fast", time.as_secs_f64() * 1000.0);
    }
    println!("wanted: {WANTED} times, measured: {ratio:.1}");
    if ratio >= WANTED { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
