//! `git dispatch status`, and plain `git dispatch`

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::hub::outbox;
use crate::hub::snapshot::{Snapshot, Task};
use crate::protocol::nodes::{Node, nodes};
use crate::protocol::why::waits_for;
use crate::protocol::{Session, pick};
use crate::task::State;
use crate::task::text::escaped;
use crate::ui::table::{Cell, Table};
use crate::ui::{json, time};

/// See at a glance: what needs a person, what runs where, and how much is left.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Show what this clone knows, without asking the hub
    #[arg(long)]
    offline: bool,
    /// Show all settings instead, each with its value and where that comes from
    #[arg(long)]
    settings: bool,
}

/// Shows the status.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    if args.settings {
        return Ok(settings(context, &session));
    }
    context.sync_to_read(&session, args.offline)?;
    let snapshot = session.snapshot()?;
    let nodes = nodes(&session, &snapshot)?;
    let (waiting, broken) = outbox::list(&session.state)?;
    let in_outbox = waiting.len() + broken.len();
    let mut counts: BTreeMap<State, usize> = BTreeMap::new();
    for task in &snapshot.tasks {
        *counts.entry(task.state()).or_default() += 1;
    }
    let running: Vec<&Task> = snapshot.tasks.iter().filter(|task| task.state() == State::Running).collect();
    if context.ui.json {
        context.ui.document(&json!({
            "synced_at": session.synced_at()?,
            "counts": State::ALL.iter().map(|state| (state.to_string(), json!(counts.get(state).unwrap_or(&0))))
                .collect::<serde_json::Map<_, _>>(),
            "nodes": nodes.iter().map(node).collect::<Vec<_>>(),
            "running": running.iter().map(|task| json::task(&session, task)).collect::<Vec<_>>(),
            "outbox": in_outbox,
        }));
        return Ok(Exit::Done);
    }
    let mut text = needs_a_person(context, &session, &snapshot, in_outbox);
    text.push_str(&counted(context, &counts, &session));
    text.push_str(&at_work(context, &session, &running));
    text.push_str(&fleet(context, &session, &nodes));
    context.ui.print(&text);
    Ok(Exit::Done)
}

/// Writes a node's document.
pub fn node(node: &Node) -> Value {
    json!({
        "name": node.record.name,
        "instance": node.record.instance,
        "state": node.state,
        "slots": node.record.slots,
        "busy": node.running.len(),
        "labels": node.record.labels,
        "executors": node.record.executors,
        "mode": node.record.mode,
        "beat_at": node.beat_at,
        "running": node.running,
    })
}

fn needs_a_person(context: &Context, session: &Session, snapshot: &Snapshot, in_outbox: usize) -> String {
    let offer = pick::offer(session, snapshot, &session.node, false);
    let mut table = Table::default();
    for task in &snapshot.tasks {
        let state = task.state();
        if matches!(state, State::Failed | State::Conflict | State::Unknown) {
            let way_out = waits_for(session, snapshot, task, &offer).into_iter().map(|reason| reason.what).next();
            table.push(vec![
                Cell::text(&format!("  {}", task.name())),
                Cell::painted(state.as_str(), |text| context.ui.out.state(state, text)),
                Cell::text(&way_out.unwrap_or_default()),
                Cell::text(&task.spec.record.title),
            ]);
        }
    }
    let mut text = String::new();
    if !table.is_empty() {
        text.push_str(&format!("{}\n{}", context.ui.out.strong("needs a person"), table.render(context.ui.width)));
    }
    if in_outbox > 0 {
        text.push_str(&format!(
            "  {in_outbox} in the outbox of this clone: the next `git dispatch run` publishes them\n"
        ));
    }
    text
}

fn counted(context: &Context, counts: &BTreeMap<State, usize>, session: &Session) -> String {
    if counts.is_empty() {
        return format!(
            "the queue of {} is empty; `git dispatch enqueue FILE…` fills it\n",
            escaped(session.project.as_str())
        );
    }
    let parts: Vec<String> = counts
        .iter()
        .map(|(state, count)| format!("{count} {}", context.ui.out.state(*state, state.as_str())))
        .collect();
    format!("{}\n", parts.join(", "))
}

fn at_work(context: &Context, session: &Session, running: &[&Task]) -> String {
    let mut table = Table::default();
    for task in running {
        let Some(claim) = task.claim() else { continue };
        table.push(vec![
            Cell::text(&format!("  {}", task.name())),
            Cell::text(claim.record.node.as_deref().unwrap_or("-")),
            Cell::text(&time::ago(session.ambient.now(), claim.at)),
            Cell::text(&task.spec.record.title),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    format!("{}\n{}", context.ui.out.strong("running"), table.render(context.ui.width))
}

fn fleet(context: &Context, session: &Session, nodes: &[Node]) -> String {
    let mut table = Table::default();
    for node in nodes {
        let seen = node.beat_at.map(|at| time::ago(session.ambient.now(), at)).unwrap_or_default();
        table.push(vec![
            Cell::text(&format!("  {}", node.record.name)),
            Cell::text(&node.state),
            Cell::text(&format!("{}/{}", node.running.len(), node.record.slots)),
            Cell::painted(&seen, |text| context.ui.out.faint(text)),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    format!("{}\n{}", context.ui.out.strong("nodes"), table.render(context.ui.width))
}

fn settings(context: &Context, session: &Session) -> Exit {
    if context.ui.json {
        let settings: Vec<Value> = session
            .settings
            .iter()
            .map(|setting| json!({"setting": setting.path, "value": setting.value, "origin": setting.origin.to_string()}))
            .collect();
        context.ui.document(&json!({ "settings": settings }));
        return Exit::Done;
    }
    let mut table = Table::default();
    for setting in session.settings.iter() {
        table.push(vec![
            Cell::text(&setting.path),
            Cell::text(&setting.value),
            Cell::painted(&setting.origin.to_string(), |text| context.ui.out.faint(text)),
        ]);
    }
    context.ui.print(&table.render(context.ui.width));
    Exit::Done
}
