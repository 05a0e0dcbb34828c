//! `git dispatch conflicts`

use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::conflicts::{Conflicts, With, conflicts};
use crate::task::text::escaped;
use crate::ui::table::{Cell, Table};

/// See which finished tasks would conflict with the target, or with each other, and where.
///
/// Nothing is merged and no ref moves. Tasks are compared with the branch that each is for, and with the others for it.
///
/// With --json, `b` of a pair is the other task, or the branch's name; `with` says which (`task`, `target`), and `target`
/// the branch that both are for. Of two tasks `a` comes first on the queue. `files` are paths with the kind of conflict.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As if all were merged into this branch
    #[arg(long, value_name = "BRANCH")]
    into: Option<String>,
    /// Show what this clone knows, without asking the hub
    #[arg(long)]
    offline: bool,
}

/// Shows.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    // What is no branch name is asked of nobody; the matrix refuses it.
    let into = args.into.as_deref();
    let branch = into.filter(|branch| crate::task::spec::is_branch(branch));
    context.sync_to_read_with(&session, args.offline, branch)?;
    let found = conflicts(&session, &session.snapshot()?, into)?;
    for branch in &found.missing {
        context.ui.warn(&format!("finished tasks are for the branch {}, which does not exist", escaped(branch)));
    }
    if context.ui.json {
        context.ui.document(&document(into.unwrap_or(&session.hub.target), &found));
        return Ok(Exit::Done);
    }
    let mut table = Table::default();
    for pair in &found.pairs {
        let with = match &pair.b {
            With::Target => escaped(&pair.target),
            With::Task(name) => name.to_string(),
        };
        let files: Vec<String> = pair.files.iter().map(|file| format!("{} ({})", file.path, file.kind)).collect();
        table.push(vec![
            Cell::text(&pair.a.to_string()),
            Cell::text("with"),
            Cell::text(&with),
            Cell::text(&files.join(", ")),
        ]);
    }
    context.ui.print(&table.render(context.ui.width));
    let noun = if found.tasks == 1 { "task" } else { "tasks" };
    match found.tasks {
        0 => context.ui.note("nothing is finished and unmerged"),
        tasks if found.pairs.is_empty() => context.ui.note(&format!("{tasks} finished {noun}, no conflict")),
        tasks => context.ui.note(&format!(
            "{tasks} finished {noun}; of two that conflict, `git dispatch collect` merges the first"
        )),
    }
    Ok(Exit::Done)
}

fn document(target: &str, found: &Conflicts) -> Value {
    let pairs: Vec<Value> = found
        .pairs
        .iter()
        .map(|pair| {
            let (kind, b) = match &pair.b {
                With::Target => ("target", pair.target.clone()),
                With::Task(name) => ("task", name.to_string()),
            };
            json!({"a": pair.a, "b": b, "with": kind, "target": pair.target, "files": pair.files})
        })
        .collect();
    json!({"target": target, "pairs": pairs})
}
