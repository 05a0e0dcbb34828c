//! What the way over files costs beside a plain `git bundle create` of the same objects.
//!
//! ```sh
//! cargo bench --bench bundle
//! cargo bench --bench bundle -- 200     # tasks
//! GIT_DISPATCH_BENCH_BINARY=/usr/bin/git-dispatch cargo bench --bench bundle     # of another build
//! ```
//!
//! 1,000 tasks of one line each, on 2,000 files, with a bare repository beside as the hub, go there and back:
//!
//! - `create --for` reserves the tasks (a claim each, pushed and read back) and packs them; `create, again` only packs;
//! - `open` makes the clone on the other side, with its checkout of 2,000 files;
//! - `create --results` packs the thousand results;
//! - `import` is `collect --bundle` of them with one task named: it takes in all claims, branches and notes, and merges that
//!   one alone. `collect` is the whole command, with all merges and seals.
//!
//! Beside it stands what git alone does in the same clone, in the same state, with the same objects: `git bundle create` of the
//! refs that the file holds (without what the reader has), and `git fetch` of that file into an empty repository, or into
//! a copy of the hub. They take turns, three times; the table shows the best of each and all in brackets. `to plain` is the
//! row's best by that of the plain `git bundle create` of its direction (wanted: at most 3.0 for what goes into a file).

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it is the world outside: it starts processes")]

mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// How often each is measured.
const ROUNDS: usize = 3;

/// How many files the repository has.
const FILES: usize = 2_000;

/// What is wanted of the commands that write a file.
const WANTED: f64 = 3.0;

/// The rows, in the order in which a round measures them; those of each direction are to its first.
const THERE: [&str; 5] = ["git bundle create", "git fetch of it", "create --for", "create, again", "open"];
const BACK: [&str; 5] = ["git bundle create", "git fetch of it", "create --results", "import", "collect"];

type Times = [Vec<Duration>; 5];

fn main() -> ExitCode {
    let tasks = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000);
    let scene = Scene::new(tasks);
    let (mut there, mut back): (Times, Times) = Default::default();
    for round in 0..ROUNDS {
        let folder = scene.root().join(format!("round-{round}"));
        fs::create_dir(&folder).unwrap();
        push(&mut there, scene.there(&folder));
        push(&mut back, scene.back(&folder));
        fs::remove_dir_all(&folder).unwrap();
    }
    println!("{tasks} tasks there and back over files; best of {ROUNDS}");
    let is_met =
        [("there", THERE, there), ("back", BACK, back)].map(|(name, rows, times)| show(name, rows, &times));
    if is_met == [true, true] { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn push(times: &mut Times, new: [Duration; 5]) {
    times.iter_mut().zip(new).for_each(|(times, new)| times.push(new));
}

/// Prints the rows of one direction; says whether what goes into a file is within what is wanted.
fn show(direction: &str, rows: [&str; 5], times: &Times) -> bool {
    let best = times.each_ref().map(|times| times.iter().min().unwrap().as_secs_f64());
    println!("{direction:<26} {:>8} {:>8}  all", "seconds", "to plain");
    for ((name, times), own) in rows.iter().zip(times).zip(best) {
        let all: Vec<String> = times.iter().map(|time| format!("{:.2}", time.as_secs_f64())).collect();
        println!("{name:<26} {own:>8.2} {:>8.2}  [{}]", own / best[0], all.join(" "));
    }
    let (plain, ours) = (best[0] + best[1], best[2] + best[if direction == "there" { 4 } else { 3 }]);
    println!(
        "{:<26} {ours:>8.2} {:>8.2}  to both of git's {:.2}",
        "written and taken in",
        ours / best[0],
        ours / plain
    );
    best[2] <= WANTED * best[0]
}

/// A hub with tasks on its queue, and a node's clone in which they are done.
struct Scene {
    folder: tempfile::TempDir,
    binary: PathBuf,
    tasks: usize,
}

impl Scene {
    /// Makes the files, enqueues the tasks, carries them over and runs them, as a user would.
    fn new(tasks: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("git-dispatch-bench-").tempdir().unwrap();
        let binary = std::env::var_os("GIT_DISPATCH_BENCH_BINARY")
            .map_or_else(|| env!("CARGO_BIN_EXE_git-dispatch").into(), PathBuf::from);
        let scene = Self { folder, binary, tasks };
        let root = scene.root();
        world::make(root, FILES, path, |folder, args| drop(scene.git(folder, args)));
        scene.git(root, &["clone", "--quiet", "hub.git", "clone"]);
        fs::create_dir_all(root.join("specs")).unwrap();
        for task in 0..tasks {
            let run = format!("sed -i 's/line 7/changed by {task}/' {}", path(task % FILES));
            let spec = format!("---\nrun: \"{run}\"\n---\n# Task {task}\n");
            fs::write(root.join(format!("specs/t{task:04}.md")), spec).unwrap();
        }
        scene.dispatch(&root.join("clone"), &["enqueue", "../specs"]);
        // The state in which the rounds of the way there begin, and the one of the way back.
        scene.copy("hub.git", "queued/hub.git");
        scene.copy("clone", "queued/clone");
        let all = tasks.to_string();
        scene.dispatch(&root.join("clone"), &["bundle", "create", "../out", "--for", "vault", "--count", &all]);
        scene.dispatch(root, &["bundle", "open", "out", "vault"]);
        scene.dispatch(&root.join("vault"), &["run", "--slots", "2"]);
        scene
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    /// One round of the way there.
    fn there(&self, folder: &Path) -> [Duration; 5] {
        let clone = self.clone_of("queued", folder, "there");
        let all = self.tasks.to_string();
        let for_vault = ["--for", "vault", "--count", &all];
        let create = self.timed(&clone, &[&["bundle", "create", "../out"], &for_vault[..]].concat());
        let again = self.timed(&clone, &[&["bundle", "create", "../again"], &for_vault[..]].concat());
        let plain = self.plain(&clone, "../out");
        self.git(folder, &["init", "--quiet", "--bare", "empty.git"]);
        let fetch = self.fetch(&folder.join("empty.git"), &clone.join("../plain"));
        let open = self.timed(folder, &["bundle", "open", "there/out", "opened"]);
        [plain, fetch, create, again, open]
    }

    /// One round of the way back.
    fn back(&self, folder: &Path) -> [Duration; 5] {
        let file = folder.join("back-file");
        let file = file.to_str().unwrap();
        let vault = self.root().join("vault");
        let create = self.timed(&vault, &["bundle", "create", file, "--results"]);
        let plain = self.plain(&vault, file);
        let hub = self.clone_of(".", folder, "plain");
        let fetch = self.fetch(&hub.join("../hub.git"), &vault.join("../plain"));
        let clone = self.clone_of(".", folder, "import");
        let import = self.timed(&clone, &["collect", "--quiet", "--bundle", file, "p/t0000"]);
        let clone = self.clone_of(".", folder, "collect");
        let collect = self.timed(&clone, &["collect", "--quiet", "--bundle", file]);
        [plain, fetch, create, import, collect]
    }

    /// What git alone takes to pack what a file of ours holds, in the same clone.
    fn plain(&self, repo: &Path, file: &str) -> Duration {
        let there = self.git(repo, &["for-each-ref", "--format=%(refname)"]);
        let there: std::collections::HashSet<&str> = there.lines().collect();
        let (mut wanted, text) = (String::new(), fs::read(repo.join(file)).unwrap());
        for line in text
            .split(|byte| *byte == b'\n')
            .skip(1)
            .map(String::from_utf8_lossy)
            .take_while(|line| !line.is_empty())
        {
            match (line.strip_prefix('-'), line.split_once(' ')) {
                (Some(has), _) => wanted += &format!("^{has}\n"),
                (None, Some((_, name))) if there.contains(name) => wanted += &format!("{name}\n"),
                _ => {}
            }
        }
        let (list, plain) = (repo.join("../wanted"), repo.join("../plain"));
        fs::write(&list, wanted).unwrap();
        let _ = fs::remove_file(&plain);
        let start = Instant::now();
        let mut command = self.command("git", repo);
        command.args(["bundle", "create", "--quiet", "../plain", "--stdin"]);
        assert!(command.stdin(fs::File::open(list).unwrap()).status().unwrap().success());
        start.elapsed()
    }

    fn fetch(&self, repo: &Path, file: &Path) -> Duration {
        let start = Instant::now();
        self.git(repo, &["fetch", "--quiet", "--no-tags", file.to_str().unwrap(), "+refs/*:refs/from/*"]);
        start.elapsed()
    }

    fn timed(&self, folder: &Path, args: &[&str]) -> Duration {
        let start = Instant::now();
        self.dispatch(folder, args);
        start.elapsed()
    }

    /// A fresh copy of the hub with a clone of it, as they stand in `from`.
    fn clone_of(&self, from: &str, folder: &Path, name: &str) -> PathBuf {
        let to = folder.join(name);
        for part in ["hub.git", "clone"] {
            self.copy(&format!("{from}/{part}"), to.join(part).to_str().unwrap());
        }
        self.git(&to.join("clone"), &["remote", "set-url", "origin", to.join("hub.git").to_str().unwrap()]);
        to.join("clone")
    }

    fn copy(&self, from: &str, to: &str) {
        fs::create_dir_all(self.root().join(to).parent().unwrap()).unwrap();
        self.run(Path::new("cp"), self.root(), &["-R", from, to]);
    }

    fn git(&self, folder: &Path, args: &[&str]) -> String {
        self.run(Path::new("git"), folder, args)
    }

    fn dispatch(&self, folder: &Path, args: &[&str]) -> String {
        self.run(&self.binary, folder, args)
    }

    fn command(&self, program: impl AsRef<Path>, folder: &Path) -> Command {
        let home = self.root().join("home");
        let mut command = Command::new(program.as_ref());
        command.current_dir(folder).stdin(Stdio::null()).stderr(Stdio::piped());
        command.env("HOME", &home).env("XDG_STATE_HOME", &home).env("XDG_CONFIG_HOME", &home);
        command.env("GIT_CONFIG_GLOBAL", home.join("gitconfig")).env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    fn run(&self, program: &Path, folder: &Path, args: &[&str]) -> String {
        let out = self.command(program, folder).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{} {args:?}: {}\n{said}", program.display(), out.status);
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }
}

fn path(number: usize) -> String {
    format!("src/part{:02}/group{}/file{number:05}.txt", number % 50, number % 7)
}
