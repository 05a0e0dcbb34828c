//! `git dispatch log`

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::follow::events_since;
use crate::ui::table::{Cell, Table};

/// See the events of all tasks, each once.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only what came after the cursor that an earlier `log` ended with
    #[arg(long, value_name = "CURSOR")]
    since: Option<String>,
    /// Show what this clone knows, without asking the hub
    #[arg(long)]
    offline: bool,
}

/// Shows the events.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (session, snapshot) = context.open_to_read(args.offline)?;
    let (events, cursor) = events_since(&session, &snapshot, args.since.as_deref())?;
    if context.ui.json {
        context.ui.document(&json!({"events": events, "cursor": cursor}));
        return Ok(Exit::Done);
    }
    let mut table = Table::default();
    for event in &events {
        let node = event.node.as_ref().map(|node| format!("on {node}")).unwrap_or_default();
        let reason = event.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        table.push(vec![
            Cell::painted(&event.at.to_string(), |text| context.ui.out.faint(text)),
            Cell::text(&event.event),
            Cell::text(event.task.as_deref().unwrap_or_default()),
            Cell::text(format!("{node}{reason}").trim()),
        ]);
    }
    context.ui.print(&table.render(context.ui.width));
    context.ui.note(&format!("to see only what comes next: git dispatch log --since {cursor}"));
    Ok(Exit::Done)
}
