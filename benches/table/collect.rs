//! How fast `git dispatch collect` is beside loops of git's own.
//!
//! All merge the same finished branches (300 of three files each, on 5,000 files) into the same tip, by turns, in fresh copies,
//! and must come to the same tree:
//!
//! - the first reference is a loop of `git merge --no-ff` in a checkout, with every branch there already, and nothing else;
//! - the second is a loop of `git merge-tree --write-tree` and `git commit-tree`, which needs no checkout;
//! - `collect` is the whole command, from the process' start to its end: reading the hub, choosing, merging, one push of the
//!   target with all claims, the seals, the deletion of claims and branches, and the checkout that follows. The hub is a bare
//!   repository beside it, or the repository itself.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use crate::pair::{Cost, cost, ratio, turns};
use crate::scene::Scene;
use crate::{Options, Row, project};

const MERGE_LOOP: &str = "for branch in $(git for-each-ref --format='%(refname)' 'refs/remotes/origin/task/*'); do \
                          git merge --quiet --no-ff -m \"Merge $branch\" $branch || exit 1; done";

const MERGE_TREE_LOOP: &str = "tip=$(git rev-parse HEAD); \
     for branch in $(git for-each-ref --format='%(refname)' 'refs/remotes/origin/task/*'); do \
     tree=$(git merge-tree --write-tree $tip $branch) || exit 1; \
     tip=$(git commit-tree -m \"Merge $branch\" -p $tip -p $branch $tree) || exit 1; done; git update-ref HEAD $tip";

/// What is done in a fresh clone of a fresh copy of the hub.
type Work = fn(&Scene, &Path) -> Cost;

pub(crate) fn rows(options: &Options) {
    let (branches, files) = (options.scaled(300, 6), options.scaled(5_000, 100));
    let scene = finished(branches, files);
    let tree = RefCell::new(String::new());
    let run = |name: &'static str, work: Work| {
        let (scene, tree) = (&scene, &tree);
        move |_: usize| {
            let folder = scene.path("round");
            let clone = fresh(scene, &folder);
            let took = work(scene, &clone);
            let came_to = scene.git(&clone, &["rev-parse", "HEAD^{tree}"]);
            assert!(tree.borrow().is_empty() || *tree.borrow() == came_to, "{name} came to another tree");
            *tree.borrow_mut() = came_to;
            fs::remove_dir_all(&folder).expect("it is ours");
            took
        }
    };
    let [merge, merge_tree, beside, itself] = turns(
        1..=options.rounds.min(3),
        [
            &mut run("git merge", |scene, clone| shell(scene, clone, MERGE_LOOP)),
            &mut run("git merge-tree", |scene, clone| shell(scene, clone, MERGE_TREE_LOOP)),
            &mut run("collect", collect),
            &mut run("collect without a remote", embedded),
        ],
    );
    let what = format!("collect of {branches} branches, {files} files");
    Row::ratio(format!("{what}, by git merge --no-ff"), 0.05, ratio(&beside, &merge)).print();
    Row::ratio(format!("{what}, by git merge-tree"), 1.0, ratio(&beside, &merge_tree)).print();
    Row::ratio(format!("{what}, no remote, by git merge --no-ff"), 0.05, ratio(&itself, &merge)).print();
    Row::ratio(format!("{what}, no remote, by git merge-tree"), 1.0, ratio(&itself, &merge_tree)).print();
}

/// Makes the files, enqueues the tasks and runs them, as a user would.
fn finished(branches: usize, files: usize) -> Scene {
    let scene = Scene::new();
    let hub = project::make(&scene, files);
    let worker = scene.clone("hub.git", "worker");
    let specs = project::specs(&scene, branches, 3, files);
    project::dispatch(&scene, &worker, &["enqueue", &specs.to_string_lossy()]);
    project::dispatch(&scene, &worker, &["run", "--slots", "2"]);
    scene.git(&hub, &["gc", "--quiet"]);
    scene
}

fn fresh(scene: &Scene, folder: &Path) -> PathBuf {
    fs::create_dir(folder).expect("a folder");
    scene.run(folder, "cp", &["-R", "../hub.git", "hub.git"]);
    scene.git(folder, &["clone", "--quiet", "hub.git", "clone"]);
    folder.join("clone")
}

fn shell(scene: &Scene, clone: &Path, script: &str) -> Cost {
    cost(|| drop(scene.run(clone, "sh", &["-c", script])))
}

/// A collect in a clone of a bare hub; the checkout follows.
fn collect(scene: &Scene, clone: &Path) -> Cost {
    let took = cost(|| project::dispatch(scene, clone, &["collect", "--quiet"]));
    assert_eq!(scene.git(clone, &["status", "--porcelain"]), "");
    took
}

/// A collect in a repository that is its own hub.
fn embedded(scene: &Scene, clone: &Path) -> Cost {
    let all =
        ["refs/dispatch/*:refs/dispatch/*", "refs/notes/*:refs/notes/*", "refs/heads/task/*:refs/heads/task/*"];
    scene.git(clone, &[&["fetch", "--quiet", "origin"], &all[..]].concat());
    scene.git(clone, &["remote", "remove", "origin"]);
    collect(scene, clone)
}
