//! `git dispatch show`

use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::hub::format::spec::FILE;
use crate::hub::history::Histories;
use crate::hub::snapshot::Task;
use crate::protocol::Session;
use crate::protocol::why::{Lookout, WaitsFor};
use crate::task::event::Event;
use crate::task::text::escaped;
use crate::ui::format::plain;
use crate::ui::json;
use crate::ui::table::{Cell, Table};

/// See everything of one task: its spec, where it stands and why, its attempts and events.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The task
    #[arg(value_name = "TASK")]
    task: String,
    /// Show what this clone knows, without asking the hub
    #[arg(long)]
    offline: bool,
}

/// Shows a task.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let (session, snapshot) = context.open_to_read(args.offline)?;
    let name = session.resolve(&snapshot, &args.task)?;
    let Some(task) = snapshot.get(&name) else { return Ok(Exit::Failed) };
    let events = Histories::load_for(&session.hub, task)?.of(&session.hub, task);
    let waits_for = Lookout::new(&session, &snapshot)?.waits_for(task);
    let text = session.hub.repo.file_in(task.spec.id, FILE).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut document = json::task(&session, task);
    if context.ui.json {
        document["spec_text"] = json!(text);
        document["events"] = json!(events);
        document["waits_for"] =
            waits_for.iter().map(|reason| json!({"kind": reason.kind, "what": reason.what})).collect();
        context.ui.document(&document);
        return Ok(Exit::Done);
    }
    context.ui.print(&head(context, task, &document, &waits_for, &session));
    context.ui.print(&format!("\n{}", history(context, &events)));
    context.ui.print(&format!("\n{}", spec(&text)));
    Ok(Exit::Done)
}

/// The fields that apply, aligned.
fn head(context: &Context, task: &Task, document: &Value, waits_for: &[WaitsFor], session: &Session) -> String {
    const FIELDS: &[(&str, &str)] = &[
        ("reason", "reason"),
        ("error", "error"),
        ("node", "node"),
        ("attempt", "attempt"),
        ("priority", "priority"),
        ("executor", "executor"),
        ("mode", "mode"),
        ("labels", "labels"),
        ("depends on", "depends_on"),
        ("modifies", "modifies"),
        ("target", "target"),
        ("branch", "branch"),
        ("result", "result"),
        ("merged by", "merge_commit"),
        ("conflicts in", "conflict_files"),
        ("held until", "hold_until"),
        ("changed besides", "outside_modifies"),
        ("files changed", "files_changed"),
    ];
    let theme = &context.ui.out;
    let state = task.state();
    let stands = match waits_for.iter().any(|reason| reason.kind == "blocked") {
        true => theme.warning("blocked"),
        false => theme.state(state, state.as_str()),
    };
    let mut text =
        format!("{}  {stands}  {}\n", theme.strong(&task.name().to_string()), escaped(&task.spec.record.title));
    let mut table = Table::default();
    for reason in waits_for {
        table.push(vec![Cell::text("  not running"), Cell::text(&reason.to_string())]);
    }
    for (label, key) in FIELDS {
        let value = plain(&document[*key]);
        if !value.is_empty() {
            table.push(vec![Cell::text(&format!("  {label}")), Cell::text(&value)]);
        }
    }
    let enqueued = crate::ui::time::ago(session.ambient.now(), task.spec.at);
    table.push(vec![Cell::text("  enqueued"), Cell::text(&enqueued)]);
    text.push_str(&table.render(context.ui.width));
    text
}

fn history(context: &Context, events: &[Event]) -> String {
    let mut table = Table::default();
    for event in events {
        let mut about = Vec::new();
        if let Some(attempt) = event.attempt {
            about.push(format!("attempt {attempt}"));
        }
        if let Some(node) = &event.node {
            about.push(format!("on {node}"));
        }
        if let Some(reason) = event.reason {
            about.push(format!("({reason})"));
        }
        if let Some(error) = &event.error {
            about.push(error.clone());
        }
        table.push(vec![
            Cell::painted(&event.at.to_string(), |text| context.ui.out.faint(text)),
            Cell::text(&event.event),
            Cell::text(&about.join(" ")),
        ]);
    }
    table.render(context.ui.width)
}

fn spec(text: &str) -> String {
    text.lines().map(|line| format!("    {}\n", escaped(line))).collect()
}
