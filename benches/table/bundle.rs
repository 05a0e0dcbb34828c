//! What the way over files costs beside a plain `git bundle create` of the same objects.
//!
//! 1,000 tasks of one line each, on 2,000 files, with a bare repository beside as the hub, go there and back:
//!
//! - `create --for` reserves the tasks (a claim each, pushed and read back) and packs them; again, it only packs;
//! - `open` makes the clone on the other side, with its checkout of 2,000 files;
//! - `create --results` packs the thousand results;
//! - `collect --bundle` with one task named takes in all claims, branches and notes, and merges that one alone; without a name
//!   it merges and seals all.
//!
//! Beside it stands what git alone does in the same clone, in the same state, with the same objects: `git bundle create` of the
//! refs that the file holds (without what the reader has), and `git fetch` of that file into an empty repository, or into
//! a copy of the hub.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::pair::{Cost, cost, ratio};
use crate::scene::Scene;
use crate::{NO_GOAL, Options, Row, project};

/// What a round measures, in its order; git's own are the first two.
type Round = [Cost; 5];

pub(crate) fn rows(options: &Options) {
    let tasks = options.scaled(1_000, 10);
    let scene = carried(tasks, options.scaled(2_000, 100));
    let (mut there, mut back): ([Vec<Cost>; 5], [Vec<Cost>; 5]) = Default::default();
    for round in 0..options.rounds.min(3) {
        let folder = scene.path(&format!("round-{round}"));
        fs::create_dir(&folder).expect("a folder");
        keep(&mut there, out(&scene, &folder, tasks));
        keep(&mut back, home(&scene, &folder));
        fs::remove_dir_all(&folder).expect("it is ours");
    }
    let print = |what: &str, goal: f64, ours: &[Cost], theirs: &[Cost]| {
        Row::ratio(format!("bundle of {tasks} {what}"), goal, ratio(ours, theirs)).print();
    };
    print("results, written, by git bundle create", 1.5, &back[2], &back[0]);
    print("results, taken in, by git bundle create", 3.0, &back[3], &back[0]);
    print("results, taken in, by git fetch", NO_GOAL, &back[3], &back[1]);
    print("results, taken in and merged, by git fetch", NO_GOAL, &back[4], &back[1]);
    print("tasks, reserved and written, by git bundle create", 3.0, &there[2], &there[0]);
    print("tasks, written again, by git bundle create", 3.0, &there[3], &there[0]);
    print("tasks, opened, by git bundle create", 3.0, &there[4], &there[0]);
    print("tasks, opened, by git fetch", NO_GOAL, &there[4], &there[1]);
}

fn keep(kept: &mut [Vec<Cost>; 5], round: Round) {
    kept.iter_mut().zip(round).for_each(|(kept, cost)| kept.push(cost));
}

/// Makes the files, enqueues the tasks, carries them over and runs them, as a user would.
fn carried(tasks: usize, files: usize) -> Scene {
    let scene = Scene::new();
    project::make(&scene, files);
    let clone = scene.clone("hub.git", "clone");
    let specs = project::specs(&scene, tasks, 1, files);
    project::dispatch(&scene, &clone, &["enqueue", &specs.to_string_lossy()]);
    // The state in which the rounds of the way there begin, and the one of the way back.
    project::copy_of(&scene, &scene.path(""), &scene.path("queued"));
    let count = tasks.to_string();
    project::dispatch(&scene, &clone, &["bundle", "create", "../out", "--for", "vault", "--count", &count]);
    project::dispatch(&scene, &scene.path(""), &["bundle", "open", "out", "vault"]);
    project::dispatch(&scene, &scene.path("vault"), &["run", "--slots", "2"]);
    scene
}

/// One round of the way there.
fn out(scene: &Scene, folder: &Path, tasks: usize) -> Round {
    let clone = project::copy_of(scene, &scene.path("queued"), &folder.join("there"));
    let count = tasks.to_string();
    let create = |file: &str| {
        let args = ["bundle", "create", file, "--for", "vault", "--count", &count];
        cost(|| project::dispatch(scene, &clone, &args))
    };
    let (first, again) = (create("../out"), create("../again"));
    let plain = plain(scene, &clone, &folder.join("there/out"));
    scene.git(folder, &["init", "--quiet", "--bare", "empty.git"]);
    let fetch = fetch(scene, &folder.join("empty.git"), &folder.join("there/plain"));
    let open = cost(|| project::dispatch(scene, folder, &["bundle", "open", "there/out", "opened"]));
    [plain, fetch, first, again, open]
}

/// One round of the way back.
fn home(scene: &Scene, folder: &Path) -> Round {
    let (file, vault) = (folder.join("back-file"), scene.path("vault"));
    let name = file.to_string_lossy();
    let create = cost(|| project::dispatch(scene, &vault, &["bundle", "create", &name, "--results"]));
    let plain = plain(scene, &vault, &file);
    let copy = |name: &str| project::copy_of(scene, &scene.path(""), &folder.join(name));
    copy("plain");
    let fetch = fetch(scene, &folder.join("plain/hub.git"), &scene.path("plain"));
    let clone = copy("import");
    let import = cost(|| project::dispatch(scene, &clone, &["collect", "--quiet", "--bundle", &name, "p/t0000"]));
    let clone = copy("collect");
    let collect = cost(|| project::dispatch(scene, &clone, &["collect", "--quiet", "--bundle", &name]));
    [plain, fetch, create, import, collect]
}

/// What git alone takes to pack what a file of ours holds, in the same clone; writes `plain` beside the clone.
fn plain(scene: &Scene, repo: &Path, file: &Path) -> Cost {
    let there = scene.git(repo, &["for-each-ref", "--format=%(refname)"]);
    let there: HashSet<&str> = there.lines().collect();
    let (mut wanted, text) = (String::new(), fs::read(file).expect("the bundle"));
    let head = text.split(|byte| *byte == b'\n').skip(1).map(String::from_utf8_lossy);
    for line in head.take_while(|line| !line.is_empty()) {
        match (line.strip_prefix('-'), line.split_once(' ')) {
            (Some(has), _) => wanted += &format!("^{has}\n"),
            (None, Some((_, name))) if there.contains(name) => wanted += &format!("{name}\n"),
            _ => {}
        }
    }
    let beside = |name: &str| -> PathBuf { repo.parent().expect("a folder above").join(name) };
    fs::write(beside("wanted"), wanted).expect("the names");
    let _ = fs::remove_file(beside("plain"));
    let mut command = scene.command(repo, "git", &["bundle", "create", "--quiet", "../plain", "--stdin"]);
    command.stdin(fs::File::open(beside("wanted")).expect("the names"));
    cost(|| assert!(command.status().expect("git").success()))
}

fn fetch(scene: &Scene, repo: &Path, file: &Path) -> Cost {
    let args = ["fetch", "--quiet", "--no-tags", &file.to_string_lossy(), "+refs/*:refs/from/*"];
    cost(|| drop(scene.git(repo, &args)))
}
