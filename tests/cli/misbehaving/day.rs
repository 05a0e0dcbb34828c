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
    [node]\npoll = \"2s\"\npoll_max = \"3s\"\nheartbeat = \"700ms\"\nlost_after_beats = 500\n";

/// Who is there: one who enqueues and collects, one who works by hand, one who runs, and one who was killed.
const CLONES: [&str; 4] = ["boss", "hand", "node", "gone"];

/// Makes the fleet, in front of each operation: `c` waits, `f` is worked on by hand and ready to be finished, `t` is held by a
/// node that was killed, `m` is finished, `b` waits to be run; `e` is not on the queue. `old.git` is the hub before `m` was
/// finished.
pub(crate) fn template() -> Sandbox {
    let files = [("README.md", "# A project\n"), ("git-dispatch.toml", SETTINGS)];
    let sandbox = Sandbox::with_clones_of(&files, &CLONES);
    let [boss, hand, gone] = ["boss", "hand", "gone"].map(|name| sandbox.repo(name));
    for id in ["b", "c", "f", "m", "t"] {
        let line =
            format!("touch $HOME/{id}.began; until [ -e $HOME/go ]; do sleep 0.02; done; echo {id} > {id}.txt");
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
    sandbox
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
        let running = self.sandbox.repo("node").spawn_env(&self.environment(), &["run", "--watch", "b"]);
        eventually(PATIENCE, || self.sandbox.root().join("home/b.began").exists());
        running
    }

    /// Lets what runs go on to its end.
    pub(crate) fn let_go(&self) {
        std::fs::write(self.sandbox.root().join("home/go"), "").unwrap();
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
        self.sandbox.hub().git(&["for-each-ref", "--format=%(objectname)", "refs/dispatch/nodes/node"])
    }
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
