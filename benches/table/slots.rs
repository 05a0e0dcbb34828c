//! How fast a slot's next task starts, on a repository of 20,000 files that is cloned from a folder on the same disk.
//!
//! What is measured is the time from a task's claim to a folder that its executor can begin in:
//!
//! - where ten files differ from the last task's base, and that task left nothing behind, beside `git switch` to the same
//!   commit in a worktree as warm, which trusts that nothing else is there;
//! - where a hundred differ, after a task that changed fifty files and left five hundred behind, beside a `git clone` with its
//!   checkout, whose objects git only links.

use std::fs;
use std::path::Path;

use git_dispatch::ambient::Ambient;
use git_dispatch::executor::slot::{Setup, Slot};
use git_dispatch::git::repo::Identity;
use git_dispatch::git::{ObjectId, Repo};

use crate::pair::{cost_here, pairs};
use crate::scene::Scene;
use crate::{Options, Row};

fn file(number: usize, text: &str) -> (String, String) {
    (format!("d{:03}/f{:03}.txt", number / 100, number % 100), format!("{text} {number}\n").repeat(20))
}

/// Commits on the hub that each change `differing` files of the one before.
fn bases(scene: &Scene, hub: &Path, files: usize, differing: usize, count: usize) -> Vec<String> {
    (0..count)
        .map(|round| {
            let text = format!("round {differing} {round}");
            scene.next(hub, (0..differing).map(|at| file((at * 197 + round) % files, &text)))
        })
        .collect()
}

pub(crate) fn rows(options: &Options) {
    let files = options.scaled(20_000, 500);
    let scene = Scene::new();
    let hub = scene.hub_of((0..files).map(|number| file(number, "line")));
    let first = scene.git(&hub, &["rev-parse", "main"]);
    let near = bases(&scene, &hub, files, 10, options.rounds + 1);
    let far = bases(&scene, &hub, files, 100, options.rounds + 1);
    let (node, warm) = (scene.clone("hub.git", "node"), scene.clone("hub.git", "warm"));
    scene.git(&warm, &["switch", "--quiet", "--detach", &first]);

    let repo = Repo::discover(&node, &Ambient::system().expect("a world")).expect("a clone");
    let by = Identity { name: "Bench".to_owned(), email: "bench@example.org".to_owned() };
    let slot = Slot::at(&scene.path("slots"), 1);
    let prepare = |base: &str| {
        let base = ObjectId::from_hex(base.as_bytes()).expect("an id");
        let setup = Setup { origin: "hub", branch: "task/x", base, keep_ignored: &[], by: &by };
        slot.prepare(&repo, &setup).expect("a slot");
    };
    prepare(&first);
    let clean = |base: &str| {
        assert_eq!(scene.git(&slot.clone_dir(), &["status", "--porcelain", "--ignored"]), "", "the slot is clean");
        assert_eq!(scene.git(&slot.clone_dir(), &["rev-parse", "HEAD"]), base);
    };
    let next = |round: usize| {
        let took = cost_here(|| prepare(&near[round]));
        clean(&near[round]);
        took
    };
    let switch =
        |round: usize| cost_here(|| drop(scene.git(&warm, &["switch", "--quiet", "--detach", &near[round]])));
    let what = format!("a slot's next task, {files} files, 10 differ, by git switch");
    Row::ratio(what, 1.3, pairs(options.rounds, next, switch)).print();

    let used = |round: usize| {
        // What a task does: changes, and a folder of things that it built.
        for number in (0..50).map(|at| at * 311 % files) {
            let (path, text) = file(number, "changed");
            fs::write(slot.clone_dir().join(path), text).expect("a file");
        }
        let built = slot.clone_dir().join("build");
        fs::create_dir_all(&built).expect("a folder");
        (0..500).for_each(|at| fs::write(built.join(at.to_string()), "built").expect("a file"));
        let took = cost_here(|| prepare(&far[round]));
        clean(&far[round]);
        took
    };
    let clone = |round: usize| {
        let name = format!("fresh{round}");
        let took = cost_here(|| drop(scene.clone("hub.git", &name)));
        fs::remove_dir_all(scene.path(&name)).expect("it is ours");
        took
    };
    let what = format!("a slot's next task, {files} files, left dirty, by git clone");
    Row::ratio(what, 0.1, pairs(options.rounds.min(5), used, clone)).print();
}
