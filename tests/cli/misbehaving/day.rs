//! Owns the fleet that every case begins with, made once and copied, and the six operations on it: what was said of each, and
//! what the hub then has.

use super::servers::point;
use crate::sandbox::{Out, PATIENCE, Repo, Running, Sandbox, eventually};
use crate::steps::shown;

/// What is done to a hub that misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Enqueue,
    Claim,
    Beat,
    Finish,
    Takeover,
    Collect,
}

pub(crate) const OPERATIONS: [Operation; 6] = [
    Operation::Enqueue,
    Operation::Claim,
    Operation::Beat,
    Operation::Finish,
    Operation::Takeover,
    Operation::Collect,
];

const SETTINGS: &str = "project = \"p\"\nmax_beats_per_minute = 6000\nretry_wait = \"0s\"\n\
    [node]\npoll = \"2s\"\npoll_max = \"3s\"\nheartbeat = \"2s\"\nlost_after_beats = 500\n";

/// What runs waits here, at no cost, until it is let go.
const GATE: &str = "gate";

/// Who is there: one who enqueues and collects, one who works by hand, one who runs, and one who was killed.
const CLONES: [&str; 4] = ["boss", "hand", "node", "gone"];

/// Makes the fleet, in front of each operation: `c` waits, `f` is worked on by hand and ready to be finished, `t` is held by a
/// node that was killed, `m` is finished, `b` waits to be run; `e` is not on the queue. `old.git` is the hub before `m` was
/// finished.
pub(crate) fn template() -> Sandbox {
    let files = [("README.md", "# A project\n"), ("git-dispatch.toml", SETTINGS)];
    let sandbox = Sandbox::with_clones_of(&files, &CLONES);
    make_gate(&sandbox);
    // Housekeeping is not what is looked at, and refs stay where they are watched.
    sandbox.hub().git(&["config", "receive.autogc", "false"]);
    let [boss, hand, gone] = ["boss", "hand", "gone"].map(|name| sandbox.repo(name));
    for id in ["b", "c", "f", "m", "t"] {
        let line = format!("touch $HOME/{id}.began; read go < $HOME/{GATE}; echo {id} > {id}.txt");
        boss.spec(&format!("../specs/{id}.md"), &format!("run: {line}"), &format!("# Do {id}"));
    }
    boss.spec("../late/e.md", "run: exit 0", "# Do e");
    boss.dispatch(&["enqueue", "../specs"]).success();
    let mut running = gone.spawn(&["run", "t"]);
    eventually(PATIENCE, || sandbox.root().join("home/t.began").exists());
    running.kill9();
    running.wait(PATIENCE);
    hand.dispatch(&["claim", "f", "m"]).success();
    for id in ["f", "m"] {
        hand.git(&["checkout", "--quiet", &format!("task/p-{id}-hand")]);
        hand.write(&format!("{id}.txt"), id);
        hand.commit("By hand");
    }
    hand.git(&["checkout", "--quiet", "main"]);
    sandbox.repo(".").run("cp", &[], &["-a", "hub.git", "old.git"]).success();
    hand.dispatch(&["finish", "m"]).success();
    for clone in [boss, hand, sandbox.repo("node")] {
        clone.dispatch(&["list"]).success();
    }
    let all = ["boss/.git", "hand/.git", "node/.git", "hub.git", "old.git"];
    all.iter().for_each(|name| make_small(&sandbox.repo(name)));
    sandbox
}

/// Leaves few files of a repository, since each is copied once for each case: a pack, and no samples of hooks.
fn make_small(repo: &Repo) {
    repo.git(&["repack", "-a", "-d", "-q"]);
    std::fs::remove_dir_all(repo.path().join("hooks")).unwrap();
}

/// One copy of the fleet, whose hub is at some address.
pub(crate) struct Day {
    pub(crate) sandbox: Sandbox,
    environment: Vec<(String, String)>,
}

impl Day {
    /// Copies the fleet. What commands are given in their environment is said later.
    pub(crate) fn copy(template: &Sandbox) -> Day {
        let sandbox = Sandbox::bare();
        make_gate(&sandbox);
        let from = template.root();
        let all = ["hub.git", "old.git", "boss", "hand", "node", "late"].map(|name| from.join(name));
        let mut args = vec!["-a"];
        args.extend(all.iter().map(|path| shown(path)));
        args.push(".");
        sandbox.repo(".").run("cp", &[], &args).success();
        ["boss", "hand", "node"].iter().for_each(|name| keep_id(&sandbox.repo(name)));
        Day { sandbox, environment: Vec::new() }
    }

    /// Points all clones at the hub's address, and adds to what their commands are given.
    pub(crate) fn served_at(&mut self, template: &Sandbox, url: &str, environment: &[(String, String)]) {
        for name in ["boss", "hand", "node"] {
            point(&self.sandbox.repo(name), shown(template.hub().path()), url);
        }
        self.environment.extend_from_slice(environment);
    }

    /// Adds to what commands are given.
    pub(crate) fn with(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes it away again.
    pub(crate) fn without(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Runs a command in a clone.
    pub(crate) fn dispatch(&self, clone: &str, args: &[&str]) -> Out {
        self.sandbox.repo(clone).dispatch_env(&self.environment(), args)
    }

    /// Starts the node, and waits until it is at work on `b`.
    pub(crate) fn start_node(&self) -> Running {
        let (mut environment, trace) = (self.environment(), self.trace());
        environment.push(("GIT_TRACE2", shown(&trace)));
        let running = self.sandbox.repo("node").spawn_env(&environment, &["run", "--watch", "b"]);
        eventually(PATIENCE, || self.sandbox.root().join("home/b.began").exists());
        running
    }

    fn trace(&self) -> std::path::PathBuf {
        self.sandbox.root().join("home/node.trace")
    }

    /// How often the node has pushed so far, whatever came of it.
    pub(crate) fn pushes(&self) -> usize {
        let trace = std::fs::read(self.trace()).unwrap_or_default();
        let is_push = |line: &&[u8]| {
            let line = String::from_utf8_lossy(line);
            line.contains(" start ") && line.contains(" push --porcelain")
        };
        trace.split(|byte| *byte == b'\n').filter(is_push).count()
    }

    /// Lets what the node runs go on to its end.
    pub(crate) fn let_go(&self, node: &mut Running) {
        use std::os::unix::fs::OpenOptionsExt as _;
        let gate = self.sandbox.root().join("home").join(GATE);
        // Opened without waiting it opens for writing once somebody reads.
        let no_waiting = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let mut open = std::fs::OpenOptions::new();
        open.write(true).custom_flags(no_waiting);
        eventually(PATIENCE, || !node.is_running() || open.open(&gate).is_ok());
    }

    /// Waits until the hub has what the node has made.
    pub(crate) fn await_end(&self, node: &mut Running) {
        let name = "refs/dispatch/claims/p/b";
        let subject = || self.sandbox.hub().git(&["for-each-ref", "--format=%(contents:subject)", name]);
        let (mut tip, mut is_done) = (String::new(), false);
        eventually(PATIENCE, || {
            let now = self.holds(name);
            if now != tip {
                is_done = subject() == "completed p/b on node";
                tip = now;
            }
            is_done || !node.is_running()
        });
    }

    /// Gives the command of an operation, and says what came of it: `done`, `kept` (in the outbox), `nothing`, or the error's
    /// code without what is the same in all.
    pub(crate) fn perform(&self, operation: Operation) -> (String, Out) {
        let (clone, args): (&str, &[&str]) = match operation {
            Operation::Enqueue => ("boss", &["enqueue", "../late", "--json"]),
            Operation::Claim => ("hand", &["claim", "c", "--json"]),
            Operation::Finish => ("hand", &["finish", "f", "--json"]),
            Operation::Takeover => ("boss", &["reap", "--node", "gone", "--force", "--json"]),
            Operation::Collect => ("boss", &["collect", "m", "--json"]),
            Operation::Beat => unreachable!("the node beats by itself"),
        };
        let out = self.dispatch(clone, args);
        let said = match serde_json::from_str::<serde_json::Value>(&out.stdout) {
            Err(_) => format!("no document, exit {}", out.code),
            Ok(document) => match (document["error"]["code"].as_str(), operation) {
                (Some(code), _) => code.strip_prefix("dispatch::").unwrap_or(code).to_owned(),
                (None, Operation::Finish) if document["published"] == false => "kept".to_owned(),
                (None, Operation::Takeover) if document["reaped"].as_array().is_none_or(Vec::is_empty) => {
                    "nothing".to_owned()
                }
                (None, Operation::Collect) if document["merged"].as_array().is_none_or(Vec::is_empty) => {
                    "nothing".to_owned()
                }
                (None, _) if out.code == 0 => "done".to_owned(),
                (None, _) => format!("exit {}", out.code),
            },
        };
        (said, out)
    }

    /// Says how often the hub has what an operation does, beginning with a hub of this name.
    pub(crate) fn times_done(&self, operation: Operation) -> usize {
        let hub = self.sandbox.hub();
        let of_tip = |id: &str, wanted: &str| {
            let name = format!("refs/dispatch/claims/p/{id}");
            let said = hub.git(&["for-each-ref", "--format=%(contents:subject)", &name]);
            usize::from(said.starts_with(wanted))
        };
        match operation {
            Operation::Enqueue => count(&hub, &["log", "--format=%s", "refs/dispatch/queue"], "p/e: Do e"),
            Operation::Claim => of_tip("c", "running p/c on hand"),
            Operation::Finish => of_tip("f", "completed p/f on hand"),
            Operation::Takeover => of_tip("t", "released p/t"),
            Operation::Collect => {
                let trailers = "--format=%(trailers:key=Dispatch-Task,valueonly,separator=%x2C)";
                count(&hub, &["log", "--first-parent", "--merges", trailers, "main"], "p/m")
            }
            Operation::Beat => 0,
        }
    }

    /// What the node said last, as far as the hub has it.
    pub(crate) fn beat(&self) -> String {
        self.holds("refs/dispatch/nodes/node")
    }

    /// What the hub's ref of this name holds; nothing where there is none. Nobody packs them there.
    pub(crate) fn holds(&self, name: &str) -> String {
        std::fs::read_to_string(self.sandbox.hub().path().join(name)).unwrap_or_default()
    }
}

fn make_gate(sandbox: &Sandbox) {
    sandbox.repo(".").run("mkfifo", &[], &[shown(&sandbox.root().join("home").join(GATE))]).success();
}

/// Lets a copy be the clone that it is a copy of: the file of its id names its own inode.
fn keep_id(clone: &Repo) {
    use std::os::unix::fs::MetadataExt as _;
    let file = clone.path().join(".git/dispatch/clone-id");
    let text = std::fs::read_to_string(&file).unwrap();
    let inode = std::fs::metadata(&file).unwrap().ino();
    std::fs::write(&file, format!("{}\ninode {inode}\n", text.lines().next().unwrap())).unwrap();
}

fn count(hub: &Repo, args: &[&str], line: &str) -> usize {
    hub.git(args).lines().filter(|found| *found == line).count()
}
