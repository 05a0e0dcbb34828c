//! How fast `git dispatch collect` is beside a shell loop of `git merge --no-ff`.
//!
//! ```sh
//! cargo bench --bench collect
//! cargo bench --bench collect -- 100 1000     # branches, files
//! ```
//!
//! All merge the same finished branches (300 of three files each, on 5,000 files) into the same tip:
//!
//! - the loop is `git merge --no-ff` in a checkout, with every branch there already, and nothing else;
//! - the second loop is `git merge-tree --write-tree` and `git commit-tree`, which needs no checkout;
//! - `collect` is the whole command, from the process' start to its end: reading the hub, choosing, merging, one push of the
//!   target with all claims, the seals, the deletion of claims and branches, and the checkout that follows. The hub is a bare
//!   repository beside it, or the repository itself.
//!
//! They take turns, three times, in fresh copies. The table shows the best of each and all in brackets; `to loop` is the loop's
//! best by that of the row (wanted: 20), `to merge-tree` the row's best by that of the second loop (wanted: at most 1.0). The
//! trees that they come to are compared: the bench fails where they differ, or where what is wanted of `merge-tree` is missed.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it is the world outside: it starts processes")]

mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_git-dispatch");

/// How often each is measured.
const ROUNDS: usize = 3;

type Run = fn(&Scene, &Path) -> (String, Duration);

/// The rows; the ratios are to the first two.
const ROWS: [(&str, Run); 4] = [
    ("git merge --no-ff, a loop", Scene::merge_loop),
    ("git merge-tree, a loop", Scene::merge_tree_loop),
    ("collect, hub beside", Scene::beside),
    ("collect, hub itself", Scene::itself),
];

fn main() -> ExitCode {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let (branches, files) = (numbers.first().copied().unwrap_or(300), numbers.get(1).copied().unwrap_or(5_000));
    let scene = Scene::new(branches, files);
    let mut times: [Vec<Duration>; ROWS.len()] = Default::default();
    let mut tree = String::new();
    for round in 0..ROUNDS {
        for ((name, run), times) in ROWS.iter().zip(&mut times) {
            let folder = scene.folder.path().join(format!("round-{round}"));
            fs::create_dir(&folder).unwrap();
            let (came_to, took) = run(&scene, &folder);
            assert!(tree.is_empty() || tree == came_to, "{name} came to another tree");
            (tree, _) = (came_to, times.push(took));
            fs::remove_dir_all(&folder).unwrap();
        }
    }
    let best: Vec<f64> = times.iter().map(|times| times.iter().min().unwrap().as_secs_f64()).collect();
    println!("{branches} finished branches of three files each, on {files} files; best of {ROUNDS}");
    println!("{:<26} {:>8} {:>8} {:>13}  all", "", "seconds", "to loop", "to merge-tree");
    for (((name, _), times), own) in ROWS.iter().zip(&times).zip(&best) {
        let all: Vec<String> = times.iter().map(|time| format!("{:.2}", time.as_secs_f64())).collect();
        println!("{name:<26} {own:>8.2} {:>8.1} {:>13.2}  [{}]", best[0] / own, own / best[1], all.join(" "));
    }
    let is_met = best[2..].iter().all(|own| *own <= best[1]);
    if is_met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A hub with finished branches, from which each round takes a fresh copy.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    /// Makes the files, enqueues the tasks and runs them, as a user would.
    fn new(branches: usize, files: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("git-dispatch-bench-").tempdir().unwrap();
        let scene = Self { folder };
        let root = scene.folder.path();
        world::make(root, files, path, |folder, args| drop(scene.git(folder, args)));
        scene.git(root, &["clone", "--quiet", "hub.git", "worker"]);
        let worker = root.join("worker");
        for branch in 0..branches {
            let change =
                |at: usize| format!("sed -i 's/line 7/changed by {branch}/' {}", path((branch * 3 + at) % files));
            let spec = format!("---\nrun: \"{}; {}; {}\"\n---\n# Task {branch}\n", change(0), change(1), change(2));
            fs::create_dir_all(root.join("specs")).unwrap();
            fs::write(root.join(format!("specs/t{branch:04}.md")), spec).unwrap();
        }
        scene.run(BINARY, &worker, &["enqueue", "../specs"]);
        scene.run(BINARY, &worker, &["run", "--slots", "2"]);
        scene.git(&root.join("hub.git"), &["gc", "--quiet"]);
        scene
    }

    /// `git merge --no-ff` of one branch after the other, in a checkout.
    fn merge_loop(&self, folder: &Path) -> (String, Duration) {
        self.shell_loop(
            folder,
            "for branch in $(git for-each-ref --format='%(refname)' 'refs/remotes/origin/task/*'); do \
             git merge --quiet --no-ff -m \"Merge $branch\" $branch || exit 1; done",
        )
    }

    /// `git merge-tree` of one branch after the other.
    fn merge_tree_loop(&self, folder: &Path) -> (String, Duration) {
        self.shell_loop(
            folder,
            "tip=$(git rev-parse HEAD); \
             for branch in $(git for-each-ref --format='%(refname)' 'refs/remotes/origin/task/*'); do \
             tree=$(git merge-tree --write-tree $tip $branch) || exit 1; \
             tip=$(git commit-tree -m \"Merge $branch\" -p $tip -p $branch $tree) || exit 1; done; \
             git update-ref HEAD $tip",
        )
    }

    fn shell_loop(&self, folder: &Path, script: &str) -> (String, Duration) {
        let repo = self.clone_into(folder);
        let start = Instant::now();
        self.run("sh", &repo, &["-c", script]);
        let took = start.elapsed();
        (self.git(&repo, &["rev-parse", "HEAD^{tree}"]), took)
    }

    /// A collect in a clone of a bare hub.
    fn beside(&self, folder: &Path) -> (String, Duration) {
        let repo = self.clone_into(folder);
        self.collect(&repo)
    }

    /// A collect in a repository that is its own hub.
    fn itself(&self, folder: &Path) -> (String, Duration) {
        let repo = self.clone_into(folder);
        self.git(
            &repo,
            &["fetch", "--quiet", "origin", "refs/dispatch/*:refs/dispatch/*", "refs/notes/*:refs/notes/*"],
        );
        self.git(&repo, &["fetch", "--quiet", "origin", "refs/heads/task/*:refs/heads/task/*"]);
        self.git(&repo, &["remote", "remove", "origin"]);
        self.collect(&repo)
    }

    fn collect(&self, repo: &Path) -> (String, Duration) {
        let start = Instant::now();
        self.run(BINARY, repo, &["collect", "--quiet"]);
        let took = start.elapsed();
        // The checkout followed.
        assert_eq!(self.git(repo, &["status", "--porcelain"]), "");
        (self.git(repo, &["rev-parse", "HEAD^{tree}"]), took)
    }

    fn clone_into(&self, folder: &Path) -> PathBuf {
        let hub = folder.join("hub.git");
        let from = self.folder.path().join("hub.git");
        self.run("cp", folder, &["-R", from.to_str().unwrap(), hub.to_str().unwrap()]);
        self.git(folder, &["clone", "--quiet", "hub.git", "repo"]);
        folder.join("repo")
    }

    fn git(&self, folder: &Path, args: &[&str]) -> String {
        self.run("git", folder, args)
    }

    fn run(&self, program: &str, folder: &Path, args: &[&str]) -> String {
        let home = self.folder.path().join("home");
        let mut command = Command::new(program);
        command.args(args).current_dir(folder).stdin(Stdio::null()).stderr(Stdio::piped());
        command.env("HOME", &home).env("XDG_STATE_HOME", &home).env("XDG_CONFIG_HOME", &home);
        command.env("GIT_CONFIG_GLOBAL", home.join("gitconfig")).env("GIT_CONFIG_NOSYSTEM", "1");
        let out = command.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{program} {args:?} in {}: {}\n{said}", folder.display(), out.status);
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }
}

fn path(number: usize) -> String {
    format!("src/part{:02}/group{}/file{number:05}.txt", number % 50, number % 7)
}
