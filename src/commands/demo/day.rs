//! The day that is played: a hub and two nodes, seven tasks, work at the same time, a collect with one conflict, which comes
//! back as a task, and its repair.
//!
//! Each step shows itself and checks what came of it.

use serde::Deserialize;

use super::error::{Result, Wrong};
use super::seed;
use super::stage::{HUB, Stage};
use crate::task::State;

/// The two nodes; the first is also where the tasks come from and where they are collected.
const NODES: [&str; 2] = ["north", "south"];

/// How a `collect` ends that met a conflict.
const PARTLY: i32 = 4;

/// What came of the day.
pub(super) struct Day {
    /// The tasks, in queue order.
    pub(super) tasks: Vec<Told>,
    /// How many were merged.
    pub(super) merged: usize,
    /// How many met a conflict on the way.
    pub(super) conflicts: usize,
}

/// A task, as `list --json` tells of it.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    /// `<project>/<id>`.
    #[serde(rename = "task")]
    pub(super) name: String,
    /// Where it stands.
    pub(super) state: State,
    /// Whose it is or was.
    pub(super) node: Option<String>,
    conflict_files: Option<Vec<Contested>>,
}

/// A file in which two results meet.
#[derive(Debug, Deserialize)]
struct Contested {
    path: String,
}

/// Plays it.
pub(super) fn play(stage: &Stage<'_>) -> Result<Day> {
    set_up(stage).map_err(|wrong| wrong.while_("setting up the hub and its clones"))?;
    enqueue(stage).map_err(|wrong| wrong.while_("enqueueing the specs"))?;
    work(stage).map_err(|wrong| wrong.while_("running the tasks on two nodes"))?;
    let conflicts = collect(stage).map_err(|wrong| wrong.while_("collecting the results"))?;
    let day = repair(stage, conflicts).map_err(|wrong| wrong.while_("resolving the conflict"))?;
    look(stage, &day).map_err(|wrong| wrong.while_("looking at the result"))?;
    Ok(day)
}

fn set_up(stage: &Stage<'_>) -> std::result::Result<(), Wrong> {
    stage.heading(
        "A hub and two nodes",
        "The hub is any git remote. Each node is a clone of it; here both are on this machine.",
    );
    stage.git("", &["init", "--bare", HUB])?;
    fill_hub(stage)?;
    for node in NODES {
        stage.git("", &["clone", HUB, node])?;
        stage.git(node, &["config", "dispatch.node", node])?;
    }
    Ok(())
}

/// Pushes the project's first commit to the hub, from a repository that is then gone.
fn fill_hub(stage: &Stage<'_>) -> std::result::Result<(), Wrong> {
    let folder = stage.folder("seed");
    stage.git_at("").check(&["init", "--quiet", "--initial-branch=main", "seed"])?;
    seed::write(&folder)?;
    let git = stage.git_at("seed");
    // By force: what the project is made of is not the caller's global ignore file's to say.
    git.check(&["add", "--all", "--force"])?;
    git.check(&["commit", "--quiet", "-m", "Open the tea shop"])?;
    git.check(&["push", "--quiet", "../hub.git", "main"])?;
    Ok(std::fs::remove_dir_all(folder)?)
}

fn enqueue(stage: &Stage<'_>) -> std::result::Result<(), Wrong> {
    stage.heading(
        "Seven specs become seven tasks",
        "A spec is a Markdown file. One is critical, three wait for another, two want to change the same line.",
    );
    let paths = seed::spec_paths();
    let mut args = vec!["enqueue"];
    args.extend(paths.iter().map(String::as_str));
    stage.dispatch(NODES[0], "enqueue specs/*.md", &args, 0)?;
    stage.dispatch(NODES[0], "list", &["list"], 0)?;
    expect_all(&told(stage)?, State::Pending)
}

fn work(stage: &Stage<'_>) -> std::result::Result<(), Wrong> {
    stage.heading(
        "Both nodes work at the same time",
        "Each takes what is next; no task is run twice. There is no server: the claims are refs on the hub.",
    );
    stage.dispatch_on_all(&NODES, &["run", "-v"])?;
    stage.heading("The work is done", "Each result is a branch on the hub.");
    stage.dispatch(NODES[0], "list", &["list"], 0)?;
    expect_all(&told(stage)?, State::Completed)
}

fn collect(stage: &Stage<'_>) -> std::result::Result<usize, Wrong> {
    stage.heading(
        "The results are merged, in order",
        "Dependencies first, then by priority. What does not merge is left out and named, with exit code 4.",
    );
    stage.dispatch(NODES[0], "collect", &["collect"], PARTLY)?;
    stage.dispatch(NODES[0], "list", &["list"], 0)?;
    let tasks = told(stage)?;
    let count = |state| tasks.iter().filter(|task| task.state == state).count();
    let is_as_planned = tasks.iter().any(Told::is_the_conflict)
        && tasks.iter().any(|task| task.name == seed::REPAIR && task.state == State::Pending)
        && count(State::Merged) + 1 == seed::TASKS;
    match is_as_planned {
        true => Ok(count(State::Conflict)),
        false => Err(Wrong::Unexpected(format!(
            "all tasks but {} were to be merged, and that one to conflict in {}; {}",
            seed::CONFLICTING,
            seed::CONTESTED,
            stands(&tasks)
        ))),
    }
}

fn repair(stage: &Stage<'_>, conflicts: usize) -> std::result::Result<Day, Wrong> {
    stage.heading(
        "The conflict has come back as a task",
        "Its slot holds the merge half-done. Here a script resolves it; in your fleet an agent does, or you.",
    );
    stage.dispatch(NODES[1], "run -v", &["run", "-v"], 0)?;
    stage.dispatch(NODES[0], "collect", &["collect"], 0)?;
    stage.dispatch(NODES[0], "list", &["list"], 0)?;
    let tasks = told(stage)?;
    let merged = tasks.iter().filter(|task| task.state == State::Merged).count();
    match merged == seed::TASKS + conflicts {
        true => Ok(Day { tasks, merged, conflicts }),
        false => Err(Wrong::Unexpected(format!("all tasks were to be merged; {}", stands(&tasks)))),
    }
}

fn look(stage: &Stage<'_>, day: &Day) -> std::result::Result<(), Wrong> {
    stage.heading("What the hub has now", "One merge for each task, and no branch that is left over.");
    stage.git(HUB, &["log", "--graph", "--oneline", "main"])?;
    let left = stage.git(HUB, &["branch", "--no-merged", "main"])?;
    if !left.trim().is_empty() {
        return Err(Wrong::Unexpected(format!("{} is left unmerged", left.trim())));
    }
    stage.git(HUB, &["show", &format!("main:{}", seed::CONTESTED)])?;
    // git grep ends with 1 when it has found nothing.
    let markers = ["grep", "-e", "^<<<<<<<", "-e", "^>>>>>>>", "main"];
    stage.git_answering(HUB, &markers, 1)?;
    stage.remark(&format!(
        "✓ {} merged, {} conflict found and resolved; no markers and no half a merge on main",
        day.merged, day.conflicts
    ));
    stage.heading("The report", "Each collect leaves one as a git note on its last merge.");
    stage.git(HUB, &["log", "-1", "--notes=dispatch-reports", "--format=%N", "main"])?;
    Ok(())
}

/// Asks where everything stands.
fn told(stage: &Stage<'_>) -> std::result::Result<Vec<Told>, Wrong> {
    #[derive(Deserialize)]
    struct List {
        tasks: Vec<Told>,
    }
    let document = stage.ask(NODES[0], &["list", "--json"])?;
    let list: List = serde_json::from_value(document)
        .map_err(|error| Wrong::Unexpected(format!("`git dispatch list --json`: {error}")))?;
    Ok(list.tasks)
}

impl Told {
    /// Tells whether this is the task that was to meet a conflict, and did, where it was to.
    fn is_the_conflict(&self) -> bool {
        let files = self.conflict_files.iter().flatten();
        self.name == seed::CONFLICTING
            && self.state == State::Conflict
            && files.map(|file| file.path.as_str()).eq([seed::CONTESTED])
    }
}

fn expect_all(tasks: &[Told], state: State) -> std::result::Result<(), Wrong> {
    if tasks.len() == seed::TASKS && tasks.iter().all(|task| task.state == state) {
        return Ok(());
    }
    Err(Wrong::Unexpected(format!("all {} tasks were to be {state}; {}", seed::TASKS, stands(tasks))))
}

fn stands(tasks: &[Told]) -> String {
    let stands = tasks.iter().map(|task| format!("{} is {}", task.name, task.state));
    stands.collect::<Vec<_>>().join(", ")
}
