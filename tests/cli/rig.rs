//! Owns a small fleet for the fault tests: clones with quick settings, tasks that do one thing each,
//! and the invariants of RELIABILITY.md as one check at the end.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::sandbox::{PATIENCE, Repo, Running, Sandbox, eventually};

/// Quick, but not so quick that a busy machine takes a live node for a dead one; tests that need it lost say so.
pub(crate) const PATIENT: &str =
    "[node]\npoll = \"100ms\"\npoll_max = \"300ms\"\nheartbeat = \"250ms\"\nlost_after_beats = 200\n";

/// A silent node is lost within a second.
pub(crate) const HASTY: &str =
    "[node]\npoll = \"100ms\"\npoll_max = \"300ms\"\nheartbeat = \"200ms\"\nlost_after_beats = 4\n";

/// What holds in every fleet here.
const COMMON: &str = "project = \"p\"\nmax_beats_per_minute = 6000\n";

/// A hub with its clones.
pub(crate) struct Fleet {
    pub(crate) sandbox: Sandbox,
    clones: Vec<String>,
}

impl Fleet {
    /// Makes a hub and clones of these names, with these settings; the first one is never a node.
    pub(crate) fn new(names: &[&str], settings: &str) -> Fleet {
        let rest = if settings.contains("retry_wait") { "" } else { "retry_wait = \"0s\"\n" };
        let config = format!("{COMMON}{rest}{settings}");
        let files = [("README.md", "# A project\n"), ("git-dispatch.toml", &*config)];
        let sandbox = Sandbox::with_clones_of(&files, names);
        Fleet { sandbox, clones: names.iter().map(|&name| name.to_owned()).collect() }
    }

    pub(crate) fn clone(&self, name: &str) -> Repo {
        self.sandbox.repo(name)
    }

    /// Enqueues tasks, each an id and a shell line, from the first clone.
    pub(crate) fn enqueue(&self, tasks: &[(&str, &str)]) {
        let boss = self.clone(&self.clones[0]);
        write_specs(&boss, tasks);
        boss.dispatch(&["enqueue", "tasks"]).success();
    }

    /// Starts a node that stays.
    pub(crate) fn watch(&self, name: &str) -> Running {
        self.clone(name).spawn(&["run", "--watch", "-v"])
    }

    /// A path in the sandbox' home, which executors know too.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.sandbox.root().join("home").join(name)
    }

    /// Puts a script in front of git for whoever asks for it: returns the `PATH` that has it first, and where git itself is.
    pub(crate) fn wrap_git(&self, script: &str) -> (String, String) {
        let boss = self.clone("boss");
        let ask = |line: &str| boss.run("sh", &[], &["-c", line]).success().stdout.trim().to_owned();
        let (path, git) = (ask("echo $PATH"), ask("command -v git"));
        let wrapper = self.home("bin/git");
        fs::create_dir(wrapper.parent().unwrap()).unwrap();
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        (format!("{}:{path}", wrapper.parent().unwrap().display()), git)
    }

    /// Lets go of tasks that wait for this file.
    pub(crate) fn touch(&self, name: &str) {
        fs::write(self.home(name), "").unwrap();
    }

    /// What the hub says of a task: the first line of its claim's tip, such as `running p/a on n1`; nothing without one.
    pub(crate) fn tip(&self, id: &str) -> String {
        let name = format!("refs/dispatch/claims/p/{id}");
        self.sandbox.hub().git(&["for-each-ref", "--format=%(contents:subject)", &name])
    }

    /// Waits until the hub says of a task something that begins so.
    #[track_caller]
    pub(crate) fn until(&self, id: &str, beginning: &str) {
        eventually(PATIENCE, || self.tip(id).starts_with(beginning));
    }

    /// The phases of a task's claim chain, oldest first.
    pub(crate) fn phases(&self, id: &str) -> Vec<String> {
        let name = format!("refs/dispatch/claims/p/{id}");
        let format = "--format=%(trailers:key=Dispatch-Phase,valueonly,separator=%x2C)";
        let hub = self.sandbox.hub();
        hub.git(&["log", "--reverse", "--first-parent", format, &name]).lines().map(str::to_owned).collect()
    }

    /// A trailer of the tip of a task's claim chain.
    pub(crate) fn trailer(&self, id: &str, key: &str) -> String {
        let name = format!("refs/dispatch/claims/p/{id}");
        let format = format!("--format=%(trailers:key=Dispatch-{key},valueonly,separator=%x2C)");
        self.sandbox.hub().git(&["log", "-1", &format, &name])
    }

    /// All tasks, by id, as `list --json` says.
    pub(crate) fn list(&self) -> BTreeMap<String, Value> {
        let listed = self.clone(&self.clones[0]).dispatch(&["list", "--json"]).success().json();
        let tasks = listed["tasks"].as_array().unwrap().clone();
        tasks.into_iter().map(|task| (task["id"].as_str().unwrap().to_owned(), task)).collect()
    }

    /// Collects all, and demands that each of these tasks was merged exactly once and left its file, and that the
    /// hub and all clones are sound.
    #[track_caller]
    pub(crate) fn collect_and_check(&self, ids: &[String]) {
        let boss = self.clone(&self.clones[0]);
        let accepted_twice: Vec<&String> =
            ids.iter().filter(|id| completed(&self.phases_or_none(id)) > 1).collect();
        assert!(accepted_twice.is_empty(), "accepted twice: {accepted_twice:?}");
        boss.dispatch(&["collect"]).success();
        self.check(ids);
    }

    /// The check alone, where all is collected already.
    #[track_caller]
    pub(crate) fn check(&self, ids: &[String]) {
        let hub = self.sandbox.hub();
        let merges = merges(&hub);
        let files = hub.git(&["ls-tree", "-r", "--name-only", "main"]);
        for id in ids {
            assert_eq!(merges.get(&format!("p/{id}")), Some(&1), "merges of {id}: {merges:?}");
            assert!(files.lines().any(|file| file == format!("{id}.txt")), "{id}.txt is not in\n{files}");
        }
        assert_eq!(merges.len(), ids.len(), "{merges:?}");
        let left = hub.git(&["for-each-ref", "--format=%(refname)", "refs/dispatch/claims", "refs/heads"]);
        assert_eq!(left, "refs/heads/main", "claims and branches of sealed tasks go");
        let seals = hub.git(&["notes", "--ref=dispatch-sealed", "list"]);
        assert_eq!(seals.lines().count(), ids.len(), "one seal a task");
        self.sound();
    }

    /// Demands that the hub and all clones pass `git fsck` and hold no lock.
    #[track_caller]
    pub(crate) fn sound(&self) {
        for repo in self.clones.iter().map(|name| self.clone(name)).chain([self.sandbox.hub()]) {
            // Nodes may still be at work, and an object that arrives while it looks passes for one that is missing. What is
            // really missing stays so.
            let fsck = ["fsck", "--no-dangling", "--no-progress"];
            if (0..5).all(|_| repo.git_try(&fsck).code != 0) {
                repo.git(&fsck);
            }
            let git_dir =
                if repo.path().join(".git").exists() { repo.path().join(".git") } else { repo.path().into() };
            if locks(&git_dir).is_empty() {
                continue;
            }
            // The next start of a node removes what a killed one left; the hub's own housekeeping ends.
            if repo.path().join(".git").exists() {
                repo.dispatch(&["run"]);
            }
            eventually(PATIENCE, || locks(&git_dir).is_empty());
        }
    }

    /// What waits in a clone's outbox: files, and pins of results.
    pub(crate) fn waiting(&self, name: &str) -> usize {
        let clone = self.clone(name);
        let files = fs::read_dir(clone.path().join(".git/dispatch/outbox")).into_iter().flatten().flatten();
        let is_record = |file: &fs::DirEntry| file.path().extension().is_some_and(|extension| extension == "json");
        let files = files.filter(is_record).count();
        let pins = clone.git(&["for-each-ref", "refs/dispatch-local/outbox", "refs/dispatch-local/results"]);
        files + pins.lines().count()
    }

    fn phases_or_none(&self, id: &str) -> Vec<String> {
        if self.tip(id).is_empty() { Vec::new() } else { self.phases(id) }
    }
}

/// Writes specs of shell tasks, instead of any that are there.
pub(crate) fn write_specs(clone: &Repo, tasks: &[(&str, &str)]) {
    let _ = fs::remove_dir_all(clone.path().join("tasks"));
    for (id, line) in tasks {
        clone.spec(&format!("tasks/{id}.md"), &format!("run: |\n  {line}"), &format!("# Do {id}"));
    }
}

/// A shell line that leaves the task's file, once `$HOME/<gate>` is there.
pub(crate) fn gated(id: &str, gate: &str) -> String {
    format!("touch $HOME/{id}.began; until [ -e $HOME/{gate} ]; do sleep 0.02; done; echo {id} > {id}.txt")
}

/// A shell line that leaves the task's file at once.
pub(crate) fn quick(id: &str) -> String {
    format!("echo {id} > {id}.txt")
}

fn completed(phases: &[String]) -> usize {
    phases.iter().filter(|phase| *phase == "completed").count()
}

/// How often each task is named by a merge commit on the target.
fn merges(hub: &Repo) -> BTreeMap<String, usize> {
    let format = "--format=%(trailers:key=Dispatch-Task,valueonly,separator=%x2C)";
    let mut merges = BTreeMap::new();
    for task in hub.git(&["log", "--first-parent", "--merges", format, "main"]).lines() {
        *merges.entry(task.to_owned()).or_default() += 1;
    }
    merges
}

/// Locks of git's; our own two, which are held by `flock` and stay as files, apart.
fn locks(git_dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(git_dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("dispatch") {
            found.extend(locks(&path));
        } else if path.is_file() && path.extension().is_some_and(|extension| extension == "lock") {
            found.push(path);
        }
    }
    found
}
