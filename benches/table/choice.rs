//! The choice among ten thousand pending tasks, against one pass of reading them; and how well a fleet that wakes up at once
//! spreads over a queue.
//!
//! A real repository with 10,000 pending tasks, with dependencies, labels, scopes, priorities and estimates, and sixteen nodes.
//! The reference is one pass over the same tasks: it walks the queue's commits and parses their messages. The choice is
//! everything from there to the ordered list of what this node would take; goal: under 50 ms.

use std::fmt::Write as _;

use git_dispatch::ambient::Ambient;
use git_dispatch::exec::Cancel;
use git_dispatch::protocol::{Session, pick};
use git_dispatch::task::order::choose;

use crate::pair::{Cost, cost_here, ratio};
use crate::scene::Scene;
use crate::{NO_GOAL, Options, Row, race};

pub(crate) fn rows(options: &Options) {
    let tasks = options.scaled(10_000, 100);
    let scene = Scene::new();
    let configuration = "project = \"p\"\n[node]\nlabels = [\"big\"]\n".to_owned();
    scene.hub_of([("git-dispatch.toml".to_owned(), configuration)]);
    let repo = scene.clone("hub.git", "repo");
    scene.git(&repo, &["remote", "remove", "origin"]);
    let specs = scene.path("specs");
    std::fs::create_dir(&specs).expect("a folder");
    for at in 0..tasks {
        std::fs::write(specs.join(format!("t{at:05}.md")), spec(at)).expect("written");
    }
    scene.dispatch(&repo, &["enqueue", "../specs"]);
    let ambient = Ambient::system().expect("a world outside");

    let (mut read, mut chose): (Vec<Cost>, Vec<Cost>) = Default::default();
    for _ in 0..options.rounds * 2 + 1 {
        // A session reads once, and the cache spares the next one most of that.
        let _ = std::fs::remove_file(repo.join(".git/dispatch/queue.cache"));
        let session = Session::open(&repo, &ambient, &Vec::new(), &Cancel::new()).expect("a session");
        let mut snapshot = None;
        read.push(cost_here(|| snapshot = session.snapshot().ok()));
        let snapshot = snapshot.expect("a snapshot");
        chose.push(cost_here(|| {
            let mut offer = pick::offer(&session, &snapshot, &session.node, false);
            offer.fleet = (0..16).map(|number| format!("n{number}")).collect();
            let candidates = pick::candidates(&session, &snapshot);
            std::hint::black_box(choose(&candidates, &offer));
        }));
    }
    let compared = ratio(&chose, &read);
    let what = format!("choice among {tasks} pending tasks");
    Row::number(&*what, 50.0, compared.ours.as_secs_f64() * 1000.0, "ms").print();
    Row::ratio(format!("{what}, by reading them"), NO_GOAL, compared).print();
    race::rows();
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
