//! `git dispatch demo`

mod day;
mod error;
mod next;
mod player;
mod scratch;
mod seed;
mod stage;

use std::path::PathBuf;

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::task::text::escaped;
use day::Day;
use scratch::Scratch;
use stage::Stage;

/// See a whole day of work in a scratch folder: a hub, two nodes, seven tasks, and one conflict.
///
/// Everything is real and nothing of yours is touched: the folder has a home, a git configuration and a hub of its own,
/// and what is shown are the commands as you would type them, with what they print. The folder is deleted at the end,
/// unless it is kept.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Play in this folder, which must be new or empty, and keep it
    #[arg(long, value_name = "D")]
    dir: Option<PathBuf>,
    /// Keep the scratch folder, and say where it is
    #[arg(long)]
    keep: bool,
}

/// Plays the day.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let dir = args.dir.as_ref().map(|dir| context.ambient.cwd.join(dir));
    let scratch = Scratch::open(dir.as_deref(), args.keep)?;
    let played = Stage::open(context, scratch.path()).and_then(|stage| day::play(&stage));
    match played {
        Ok(day) => {
            report(context, &scratch, &day);
            Ok(Exit::Done)
        }
        Err(error) => {
            if scratch.is_kept() {
                let folder = scratch.path().to_string_lossy();
                context.ui.note(&format!("what there is of it is in {}", escaped(&folder)));
            }
            Err(error.into())
        }
    }
}

fn report(context: &Context, scratch: &Scratch, day: &Day) {
    let ui = &context.ui;
    let folder = scratch.is_kept().then(|| scratch.path().to_string_lossy());
    if ui.json {
        let tasks: Vec<_> = day
            .tasks
            .iter()
            .map(|task| json!({"task": task.name, "state": task.state, "node": task.node}))
            .collect();
        ui.document(&json!({
            "folder": folder, "tasks": tasks, "merged": day.merged, "conflicts": day.conflicts,
        }));
        return;
    }
    match folder {
        // For scripts: the folder is the result.
        Some(folder) if ui.quiet => ui.print(&format!("{}\n", escaped(&folder))),
        Some(folder) => next::in_folder(context, &folder),
        None if ui.quiet => {}
        None => next::elsewhere(context),
    }
}
