//! `git dispatch attach`

use serde_json::json;

use super::{Context, Outcome};
use crate::executor::tmux;
use crate::exit::Exit;
use crate::protocol::attach::window_of;

/// Join the tmux session in which a task is worked on; with --json, say which one it is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
}

/// Joins.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (session, snapshot) = context.open_to_read(false)?;
    let task = session.resolve(&snapshot, &args.task)?;
    let window = window_of(&session, &snapshot, &task)?;
    if context.ui.json {
        context.ui.document(&json!({
            "task": task,
            "socket": window.socket,
            "session": window.session,
            "window": window.window,
        }));
        return Ok(Exit::Done);
    }
    // From here on it is tmux that speaks to the person.
    let error = tmux::attach(&window, &context.ambient);
    Err(miette::miette!("tmux cannot be joined: {error}"))
}
