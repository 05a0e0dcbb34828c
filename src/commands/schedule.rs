//! `git dispatch schedule`

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::schedule::{Scheduled, schedule};

/// Assign what can be pushed to the nodes that have a free slot for it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Stay, and assign whatever comes
    #[arg(long)]
    watch: bool,
}

/// Schedules.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    let poll = *session.config.node_settings(session.node.as_str()).poll;
    let mut away = false;
    loop {
        match schedule(&session) {
            Ok(done) => {
                away = false;
                tell(context, &done, args.watch);
            }
            Err(error) if args.watch && error.is_unreachable() => {
                if !std::mem::replace(&mut away, true) {
                    context.ui.warn(&error.to_string());
                }
            }
            Err(error) => return Err(error.into()),
        }
        if !args.watch || context.signals.first.wait_for(poll) {
            return Ok(Exit::Done);
        }
    }
}

fn tell(context: &Context, done: &Scheduled, watch: bool) {
    if watch && done.assigned.is_empty() {
        return;
    }
    if context.ui.json {
        let assigned: Vec<_> =
            done.assigned.iter().map(|(task, node)| json!({"task": task, "node": node})).collect();
        context.ui.document(&json!({"assigned": assigned, "pull": done.pull, "undecided": done.undecided}));
        return;
    }
    for (task, node) in &done.assigned {
        context.ui.print(&format!("assigned  {task} to {node}\n"));
    }
    if watch {
        return;
    }
    for task in &done.pull {
        context.ui.print(&format!("pull      {task}\n"));
    }
    for task in &done.undecided {
        context.ui.print(&format!("undecided {task}\n"));
    }
    for task in &done.by_bundle {
        context.ui.print(&format!("by bundle {task}\n"));
    }
    if [&done.pull, &done.undecided, &done.by_bundle].iter().all(|list| list.is_empty()) && done.assigned.is_empty()
    {
        context.ui.note("nothing to schedule");
    }
}
