//! Owns the world in which the binary is tested: a folder with a home, a hub and clones of it, and
//! an environment in which nothing of the machine's user is left. What the binary should do there
//! is the tests' business.
//!
//! ```ignore
//! let sandbox = Sandbox::with_clones(&["a", "b"]);
//! let (a, b) = (sandbox.repo("a"), sandbox.repo("b"));
//! a.spec("tasks/one.md", "priority: 0", "# One\nDo it.");
//! a.dispatch(&["enqueue", "tasks"]).success();
//! insta::assert_snapshot!(b.dispatch(&["list"]), @"…");
//! ```
//!
//! Nothing outlives a sandbox: when its last handle goes, whatever still runs with its home is
//! killed by its id. With `GIT_DISPATCH_TEST_KEEP` set, the folders stay to be looked at.

mod out;
mod repo;
mod running;
mod trace;
mod world;

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use std::{fs, thread};

pub(crate) use out::Out;
pub(crate) use repo::Repo;
pub(crate) use running::Running;
pub(crate) use trace::Trace;
use world::World;

/// How long any one command may take; a bound for the broken case, never waited for in the good
/// one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What is in the first commit unless a test says otherwise.
const FILES: [(&str, &str); 3] = [
    ("README.md", "# A project\n\nIn which tasks are done.\n"),
    ("src/one.txt", "one\n"),
    ("src/two.txt", "two\n"),
];

/// A folder with a hub and its clones, or with one repository alone.
pub(crate) struct Sandbox {
    world: Arc<World>,
}

impl Sandbox {
    /// Makes a bare hub with one commit on `main`, and clones of it that are nodes of these names.
    pub(crate) fn with_clones(names: &[&str]) -> Sandbox {
        Sandbox::with_clones_of(&FILES, names)
    }

    /// Makes the same, with these files in the first commit.
    pub(crate) fn with_clones_of(files: &[(&str, &str)], names: &[&str]) -> Sandbox {
        let sandbox = Sandbox { world: World::new() };
        let root = sandbox.repo(".");
        root.git(&["init", "--quiet", "--bare", "hub.git"]);
        let seed = sandbox.first_commit("seed", files);
        seed.git(&["push", "--quiet", "../hub.git", "main"]);
        fs::remove_dir_all(seed.path()).unwrap();
        let hub = sandbox.hub().path().display().to_string();
        for name in names {
            root.git(&["clone", "--quiet", "-c", &format!("dispatch.node={name}"), &hub, name]);
        }
        sandbox
    }

    /// Makes one repository, `solo`, that has no remote: its own hub.
    pub(crate) fn embedded() -> Sandbox {
        let sandbox = Sandbox { world: World::new() };
        sandbox.first_commit("solo", &FILES).git(&["config", "dispatch.node", "solo"]);
        sandbox
    }

    /// Makes a folder with nothing in it but its home.
    pub(crate) fn bare() -> Sandbox {
        Sandbox { world: World::new() }
    }

    /// Adds to the environment of all that runs here. Only before anybody else has a handle on it.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        Arc::get_mut(&mut self.world).expect("others have handles already").set(name, value);
    }

    /// Returns the folder of everything.
    pub(crate) fn root(&self) -> &Path {
        self.world.root()
    }

    /// Returns a handle on a folder of this name, usually a clone.
    pub(crate) fn repo(&self, name: &str) -> Repo {
        Repo::new(&self.world, name)
    }

    /// Returns the bare hub.
    pub(crate) fn hub(&self) -> Repo {
        self.repo("hub.git")
    }

    /// Returns the repository of [`Sandbox::embedded`].
    pub(crate) fn solo(&self) -> Repo {
        self.repo("solo")
    }

    fn first_commit(&self, name: &str, files: &[(&str, &str)]) -> Repo {
        self.repo(".").git(&["init", "--quiet", name]);
        let repo = self.repo(name);
        files.iter().for_each(|(path, text)| repo.write(path, text));
        repo.commit("First commit");
        repo
    }
}

/// Runs `job` on `n` threads that are let loose together, each with its number; returns what they
/// return, in order.
pub(crate) fn race<T: Send>(n: usize, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(n);
    thread::scope(|scope| {
        let started = |i| {
            let (barrier, job) = (&barrier, &job);
            scope.spawn(move || {
                barrier.wait();
                job(i)
            })
        };
        let threads: Vec<_> = (0..n).map(started).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Waits until a condition holds, and fails if it still does not when `deadline` has passed.
#[track_caller]
pub(crate) fn eventually(deadline: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    while !condition() {
        assert!(start.elapsed() < deadline, "still not so after {deadline:?}");
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
