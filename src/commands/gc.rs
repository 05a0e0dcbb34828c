//! `git dispatch gc`

use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::config::Dur;
use crate::exit::Exit;
use crate::protocol::gc::{Cleaned, Item, Options, gc};
use crate::task::text::escaped;
use crate::ui::progress::Progress;
use crate::ui::table::{Cell, Table};

/// Remove what is past its time: what belongs to tasks and nodes that ended longer ago than `collect.keep` (30 days).
///
/// On the hub: kept attempts, task branches that hold what their attempts made, records of stopped and lost nodes, and the
/// output of this clone's node and of nodes that are gone. On this machine: slots that nobody uses, folders that were moved
/// aside, and refs that pin what nothing needs. Never the queue, and never the record that a task ended.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long things are kept, such as `30d` or `12h`
    #[arg(long, value_name = "D")]
    keep: Option<Dur>,
    /// Say what would be removed, without doing it
    #[arg(long)]
    dry_run: bool,
}

/// Removes.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    let progress = Progress::start(&context.ui, "looking for what is past its time");
    let keep = args.keep.unwrap_or(session.config.collect.keep).get();
    let cleaned = gc(&session, &Options { keep, dry_run: args.dry_run })?;
    drop(progress);
    if context.ui.json {
        context.ui.document(&document(&cleaned, keep, args.dry_run));
        return Ok(Exit::Done);
    }
    let verb = if args.dry_run { "would remove" } else { "removed" };
    let mut table = Table::default();
    for item in &cleaned.removed {
        table.push(vec![Cell::text(verb), Cell::text(item.kind), Cell::text(&item.name)]);
    }
    context.ui.print(&table.render(context.ui.width));
    for (item, why) in &cleaned.kept {
        context.ui.note(&format!("stays: {} {}, {}", item.kind, escaped(&item.name), escaped(why)));
    }
    if cleaned.removed.is_empty() {
        context.ui.note("nothing to remove");
    }
    Ok(Exit::Done)
}

fn document(cleaned: &Cleaned, keep: std::time::Duration, dry_run: bool) -> Value {
    let item = |item: &Item| json!({"kind": item.kind, "name": item.name});
    let kept = |(item, why): &(Item, String)| json!({"kind": item.kind, "name": item.name, "why": why});
    json!({
        "keep_seconds": keep.as_secs(),
        "dry_run": dry_run,
        "removed": cleaned.removed.iter().map(item).collect::<Vec<_>>(),
        "kept": cleaned.kept.iter().map(kept).collect::<Vec<_>>(),
    })
}
