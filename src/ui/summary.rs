//! The report in words: for a terminal, and as Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Ui;
use super::table::{Cell, Table};
use crate::protocol::chronicle::{Chronicle, Entry, Landing};
use crate::protocol::report::{code, code_of};
use crate::task::State;
use crate::task::text::{excerpt, lasting};

/// How much of a title is shown, in characters.
const TITLE: usize = 70;

/// How many of the longest tasks are shown on a terminal.
const LONGEST: usize = 10;

/// Tells what was done on a terminal.
pub fn terminal(told: &Chronicle, ui: &Ui) -> String {
    let mut text = format!("{}\n", counts(told));
    let mut nodes = Table::default();
    for (node, (attempts, good, seconds)) in by_node(told) {
        nodes.push(vec![
            Cell::text(&format!("  {node}")),
            Cell::text(&format!("{attempts} {}", if attempts == 1 { "attempt" } else { "attempts" })),
            Cell::text(&format!("{good} completed")),
            Cell::text(&lasting(seconds.round() as u64)),
        ]);
    }
    if !nodes.is_empty() {
        let _ = write!(text, "{}\n{}", ui.out.strong("nodes"), nodes.render(ui.width));
    }
    let mut longest: Vec<&Entry> = told.tasks.iter().filter(|task| task.took.is_some()).collect();
    longest.sort_by(|one, other| other.took.unwrap_or(0.0).total_cmp(&one.took.unwrap_or(0.0)));
    let mut table = Table::default();
    for task in longest.into_iter().take(LONGEST) {
        table.push(vec![
            Cell::text(&format!("  {}", task.name)),
            Cell::text(&seconds(task.took)),
            Cell::text(
                &task.estimate.map(|estimate| format!("of {}", seconds(Some(estimate)))).unwrap_or_default(),
            ),
            Cell::text(&task.title),
        ]);
    }
    if !table.is_empty() {
        let _ = write!(text, "{}\n{}", ui.out.strong("took longest"), table.render(ui.width));
    }
    if let Some(line) = chain(told) {
        let _ = writeln!(text, "{line}");
    }
    text
}

/// Tells what was done as Markdown.
pub fn markdown(told: &Chronicle) -> String {
    let mut text = format!("# {}: what was done\n\n", code(&told.project));
    let _ = writeln!(text, "Into {}, read {}. {}.\n", code(&told.target), told.at, counts(told));
    if let Some(line) = chain(told) {
        let _ = writeln!(text, "{}.\n", code(&line));
    }
    let trouble: Vec<&Entry> =
        told.tasks.iter().filter(|task| task.trouble.is_some() || task.blocked.is_some()).collect();
    if !trouble.is_empty() {
        text.push_str("## In the way\n\n| task | state | what |\n| --- | --- | --- |\n");
        for task in trouble {
            let blocked = task.blocked.as_ref().map(|blocked| format!("blocked by {blocked}"));
            let what = task.trouble.clone().or(blocked).unwrap_or_default();
            let _ =
                writeln!(text, "| {} | {} | {} |", code(&task.name), state(task), code_of(&excerpt(&what, 200)));
        }
        text.push('\n');
    }
    text.push_str("## Nodes\n\n| node | attempts | completed | time of work |\n| --- | ---: | ---: | ---: |\n");
    for (node, (attempts, good, seconds)) in by_node(told) {
        let _ = writeln!(text, "| {} | {attempts} | {good} | {} |", code(node), lasting(seconds.round() as u64));
    }
    if !told.landings.is_empty() {
        text.push_str("\n## Merges, in order\n\n| when | task | title | what |\n| --- | --- | --- | --- |\n");
    }
    for landing in &told.landings {
        let task = &told.tasks[landing.task];
        let title = code_of(&excerpt(&task.title, TITLE));
        let _ = writeln!(text, "| {} | {} | {title} | {} |", landing.at, code(&task.name), landed(landing));
    }
    text.push_str("\n## Tasks\n\n| task | title | state | attempts | estimate | took |\n| --- | --- | --- | ---: | ---: | ---: |\n");
    for task in &told.tasks {
        let title = code_of(&excerpt(&task.title, TITLE));
        let (estimate, took) = (seconds(task.estimate), seconds(task.took));
        let _ = writeln!(
            text,
            "| {} | {title} | {} | {} | {estimate} | {took} |",
            code(&task.name),
            state(task),
            task.attempts.len()
        );
    }
    text
}

fn landed(landing: &Landing) -> String {
    match landing.commit.as_deref() {
        Some("") => "nothing to merge".to_owned(),
        Some(commit) => code(&commit.chars().take(10).collect::<String>()),
        None => {
            let files: Vec<String> = landing.files.iter().take(6).map(|file| code(&file.path)).collect();
            format!("does not merge: {}", files.join(", "))
        }
    }
}

fn state(task: &Entry) -> &'static str {
    task.state.map_or("unknown", |state| state.as_str())
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map(|seconds| lasting(seconds.round() as u64)).unwrap_or_default()
}

fn counts(told: &Chronicle) -> String {
    let count = |state: &State| told.tasks.iter().filter(|task| task.state == Some(*state)).count();
    let parts: Vec<String> = State::ALL
        .iter()
        .map(|state| (count(state), state))
        .filter(|(count, _)| *count > 0)
        .map(|(count, state)| format!("{count} {state}"))
        .collect();
    if parts.is_empty() { "nothing yet".to_owned() } else { parts.join(", ") }
}

fn by_node(told: &Chronicle) -> BTreeMap<&str, (usize, usize, f64)> {
    let mut nodes: BTreeMap<&str, (usize, usize, f64)> = BTreeMap::new();
    for attempt in told.tasks.iter().flat_map(|task| &task.attempts) {
        let node = nodes.entry(&attempt.node).or_default();
        node.0 += 1;
        node.1 += usize::from(attempt.outcome == "completed");
        node.2 += attempt.seconds(told.at);
    }
    nodes
}

fn chain(told: &Chronicle) -> Option<String> {
    let (path, seconds) = told.path.as_ref()?;
    let mut names: Vec<&str> = path.iter().take(8).map(|at| told.tasks[*at].name.as_str()).collect();
    if path.len() > 8 {
        names.push("…");
    }
    Some(format!("longest chain {}: {}", lasting(*seconds), names.join(" > ")))
}
