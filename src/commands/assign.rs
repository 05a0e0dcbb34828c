//! `git dispatch assign`

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::Error;
use crate::protocol::assign::assign;
use crate::task::Name;
use crate::task::name::NameKind;
use crate::ui::progress::Progress;

/// Push one task to one node; if that does not begin in time, the task returns to the queue.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// The node
    #[arg(long, value_name = "NAME")]
    node: String,
}

/// Assigns.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    let node = Name::new(NameKind::Node, &args.node).map_err(Error::from)?;
    let progress = Progress::start(&context.ui, "assigning");
    session.sync()?;
    let task = session.resolve(&session.snapshot()?, &args.task)?;
    let note = assign(&session, &task, &node)?;
    drop(progress);
    if let Some(note) = note {
        context.ui.warn(&note);
    }
    if context.ui.json {
        context.ui.document(&json!({"assigned": [{"task": task, "node": node}]}));
    } else {
        context.ui.print(&format!("assigned {task} to {node}\n"));
    }
    Ok(Exit::Done)
}
