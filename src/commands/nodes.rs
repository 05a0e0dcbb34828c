//! `git dispatch nodes`

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::protocol::nodes::nodes;
use crate::ui::table::{Cell, Table};
use crate::ui::time;

/// See the nodes of the fleet: what each runs, and when it last said that it lives.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show what this clone knows, without asking the hub
    #[arg(long)]
    offline: bool,
}

/// Lists the nodes.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    context.sync_to_read(&session, args.offline)?;
    let nodes = nodes(&session, &session.snapshot()?)?;
    if context.ui.json {
        context.ui.document(&json!({"nodes": nodes.iter().map(super::status::node).collect::<Vec<_>>()}));
        return Ok(Exit::Done);
    }
    let mut table = Table::default();
    for node in &nodes {
        let seen = node.beat_at.map(|at| time::ago(session.ambient.now(), at)).unwrap_or_default();
        let running: Vec<String> = node.running.iter().map(ToString::to_string).collect();
        table.push(vec![
            Cell::text(&node.record.name),
            Cell::painted(
                &node.state,
                |text| if text == "lost" { context.ui.out.bad(text) } else { text.to_owned() },
            ),
            Cell::text(&format!("{}/{}", node.running.len(), node.record.slots)),
            Cell::painted(&seen, |text| context.ui.out.faint(text)),
            Cell::text(&node.record.labels.join(", ")),
            Cell::text(&running.join(" ")),
        ]);
    }
    if table.is_empty() {
        context.ui.note("no node has been seen yet");
    }
    context.ui.print(&table.render(context.ui.width));
    Ok(Exit::Done)
}
