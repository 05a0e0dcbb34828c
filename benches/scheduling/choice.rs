//! The choice among ten thousand pending tasks, against one pass of reading them.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use git_dispatch::ambient::Ambient;
use git_dispatch::exec::Cancel;
use git_dispatch::protocol::{Session, pick};
use git_dispatch::task::order::choose;

use crate::{PROGRAM, run_in, scratch};

const TASKS: usize = 10_000;
const RUNS: usize = 15;

pub(crate) fn run() {
    let folder = scratch();
    let (home, repo) = (folder.path(), folder.path().join("repo"));
    run_in(home, home, "git", &["init", "--quiet", "repo"]);
    std::fs::write(repo.join("git-dispatch.toml"), "project = \"p\"\n[node]\nlabels = [\"big\"]\n")
        .expect("written");
    run_in(&repo, home, "git", &["add", "--all"]);
    run_in(&repo, home, "git", &["commit", "--quiet", "-m", "First commit"]);
    let specs = folder.path().join("specs");
    std::fs::create_dir(&specs).expect("a folder");
    for at in 0..TASKS {
        std::fs::write(specs.join(format!("t{at:05}.md")), spec(at)).expect("written");
    }
    run_in(&repo, home, PROGRAM, &["enqueue", "../specs"]);
    let ambient = Ambient::system().expect("a world outside");
    let session = Session::open(&repo, &ambient, &Vec::new(), &Cancel::new()).expect("a session");

    let mut times: Vec<[Duration; 4]> = Vec::new();
    let (mut chosen, mut open) = (0, 0);
    for _ in 0..RUNS {
        let start = Instant::now();
        let snapshot = session.snapshot().expect("a snapshot");
        let read = start.elapsed();
        let start = Instant::now();
        let mut offer = pick::offer(&session, &snapshot, &session.node, false);
        offer.fleet = (0..16).map(|number| format!("n{number}")).collect();
        let candidates = pick::candidates(&session, &snapshot);
        let described = start.elapsed();
        let next = choose(&candidates, &offer);
        let choice = start.elapsed();
        (chosen, open) = (next.len(), candidates.len());
        times.push([read, choice, described, choice - described]);
    }
    println!("  {open} pending tasks, {chosen} may start here, {RUNS} runs");
    println!("  {:<34}{:>12}{:>12}{:>12}", "", "best ms", "median ms", "of read");
    let reference = column(&times, 0);
    for (at, name) in
        ["read (the reference)", "choice (goal < 50 ms)", "  of that: candidates, paths", "  of that: order"]
            .iter()
            .enumerate()
    {
        let (best, median) = column(&times, at);
        println!("  {name:<34}{best:>12.1}{median:>12.1}{:>12.2}", median / reference.1);
    }
}

/// The best and the median of a column, in milliseconds.
fn column(times: &[[Duration; 4]], at: usize) -> (f64, f64) {
    let mut column: Vec<f64> = times.iter().map(|row| row[at].as_secs_f64() * 1000.0).collect();
    column.sort_by(f64::total_cmp);
    (column[0], column[column.len() / 2])
}

/// A spec like those of a large migration: every fifth task heads a chain of five, each changes a few files, some need a
/// label, and priorities and estimates vary.
fn spec(at: usize) -> String {
    let mut text = format!("---\nrun: \"true\"\npriority: {}\nestimated_minutes: {}\n", at % 4, 10 + at * 7 % 90);
    if !at.is_multiple_of(5) {
        let _ = writeln!(text, "depends_on: [t{:05}]", at - 1);
    }
    let _ = writeln!(text, "modifies: [\"src/area{}/part{at}/**\", \"docs/{at}.md\"]", at % 40);
    if at.is_multiple_of(3) {
        text.push_str("labels: [big]\n");
    }
    text.push_str("---\n# Do it\n");
    text
}
