//! What the choice of the next task costs, and how well a fleet that wakes up at once spreads over a queue.
//!
//! ```sh
//! cargo bench --bench scheduling               # all three tables, about two minutes
//! cargo bench --bench scheduling -- choice     # one of them: choice, race, fleet
//! ```
//!
//! # How to read it
//!
//! **choice**: a real repository with 10,000 pending tasks, with dependencies, labels, scopes, priorities and estimates, and
//! sixteen nodes. `read` is one pass over the same tasks: it walks the queue's commits and parses their messages. `choice`
//! is everything from there to the ordered list of what this node would take. Times are the best and the median of the
//! runs; the goal is a choice under 50 ms. Machines differ, so the last column gives the choice as a share of `read`, which
//! does not depend on the machine.
//!
//! **race**: sixteen nodes with one slot each, woken in the same moment, do 200 tasks. The choice is the real one; the hub is
//! simulated, a compare-and-swap per task that takes as long as a push does, while what a node knows is as old as its last
//! look. `tried` counts the claims pushed, `won` those that went through: the goal is nine of ten. The rows differ in what
//! the tasks are like; where no two tasks are equal every node wants the same one, and the share is what that order costs.
//!
//! **fleet**: the same with sixteen processes of the program on one bare repository; tries are counted in the arguments of
//! the pushes that they made.
//!
//! Nothing here fails: a slow machine is not a wrong program.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the harness is the world outside: it starts processes, reads the clock and prints its tables"
)]

mod choice; // ten thousand tasks
mod fleet; // sixteen processes
mod race; // sixteen nodes and a simulated hub

use std::path::Path;
use std::process::Command;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let parts: [(&str, fn()); 3] = [("choice", choice::run), ("race", race::run), ("fleet", fleet::run)];
    for (name, run) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("\n{name}");
            run();
        }
    }
}

/// Runs a program in a folder, in an environment of its own, and demands that it succeeds.
fn run_in(folder: &Path, home: &Path, program: &str, arguments: &[&str]) -> String {
    let out = command(folder, home, program, arguments).output().expect("it can be started");
    assert!(out.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// Prepares a program that sees nothing of the user's own configuration.
fn command(folder: &Path, home: &Path, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env("HOME", home).env("XDG_STATE_HOME", home.join("state"));
    command.env("GIT_CONFIG_GLOBAL", home.join("gitconfig")).env("GIT_CONFIG_NOSYSTEM", "1");
    command.stdin(std::process::Stdio::null());
    command
}

/// Makes a folder with a home and a configuration in it.
fn scratch() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("git-dispatch-bench-").tempdir().expect("a temporary folder");
    let configuration = "[user]\n\tname = Bench\n\temail = bench@example.org\n[init]\n\tdefaultBranch = main\n\
        [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n";
    std::fs::write(folder.path().join("gitconfig"), configuration).expect("a configuration");
    folder
}

/// The program under measure.
const PROGRAM: &str = env!("CARGO_BIN_EXE_git-dispatch");
