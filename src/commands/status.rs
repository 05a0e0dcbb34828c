//! `git dispatch status`, and plain `git dispatch`

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Context, Outcome, factory};
use crate::exit::Exit;
use crate::hub::outbox;
use crate::hub::snapshot::{Snapshot, Task};
use crate::protocol::Session;
use crate::protocol::forecast::{Outlook, outlook};
use crate::protocol::nodes::{Node, nodes};
use crate::protocol::why::Lookout;
use crate::task::State;
use crate::task::text::{escaped, lasting};
use crate::ui::table::{Cell, Table};
use crate::ui::{json, time};

/// How many blocked tasks are shown one by one, and how many names of a chain.
const SHOWN: usize = 5;

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
    let lookout = Lookout::new(&session, &snapshot)?;
    let outlook = outlook(&session, &snapshot, &nodes)?;
    if context.ui.json {
        context.ui.document(&json!({
            "synced_at": session.synced_at()?,
            "counts": State::ALL.iter().map(|state| (state.to_string(), json!(counts.get(state).unwrap_or(&0))))
                .collect::<serde_json::Map<_, _>>(),
            "nodes": nodes.iter().map(node).collect::<Vec<_>>(),
            "running": running.iter().map(|task| json::task(&session, task)).collect::<Vec<_>>(),
            "outbox": in_outbox,
            "blocked": blocked(&snapshot, &lookout).iter().map(|(task, why)| json!({"task": task.name(), "by": why}))
                .collect::<Vec<_>>(),
            "forecast": forecast(&outlook),
            "factory": factory::standing(&session, &snapshot),
        }));
        return Ok(Exit::Done);
    }
    let mut text = needs_a_person(context, &snapshot, &lookout, in_outbox);
    text.push_str(&what_is_blocked(context, &blocked(&snapshot, &lookout)));
    text.push_str(&counted(context, &counts, &session, outlook.blocked));
    text.push_str(&ahead(&outlook));
    text.push_str(&factory::line(&session, &snapshot).unwrap_or_default());
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

fn needs_a_person(context: &Context, snapshot: &Snapshot, lookout: &Lookout<'_>, in_outbox: usize) -> String {
    let mut table = Table::default();
    for task in &snapshot.tasks {
        let state = task.state();
        if matches!(state, State::Failed | State::Conflict | State::Unknown) {
            let way_out = lookout.waits_for(task).into_iter().map(|reason| reason.what).next();
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

/// The blocked tasks in queue order, each with what blocks it.
fn blocked<'a>(snapshot: &'a Snapshot, lookout: &Lookout<'_>) -> Vec<(&'a Task, String)> {
    snapshot.tasks.iter().filter_map(|task| Some((task, lookout.blocked(task)?.what))).collect()
}

fn what_is_blocked(context: &Context, blocked: &[(&Task, String)]) -> String {
    if blocked.is_empty() {
        return String::new();
    }
    let mut table = Table::default();
    for (task, why) in blocked.iter().take(SHOWN) {
        table.push(vec![
            Cell::text(&format!("  {}", task.name())),
            Cell::text(&format!("by {why}")),
            Cell::text(&task.spec.record.title),
        ]);
    }
    let mut text = format!("{}\n{}", context.ui.out.strong("blocked"), table.render(context.ui.width));
    if blocked.len() > SHOWN {
        text.push_str(&format!("  and {} more; `git dispatch list --why` shows all\n", blocked.len() - SHOWN));
    }
    text
}

/// What is to be expected of the queue: when it would be empty, and what takes longest however many nodes there are.
fn ahead(outlook: &Outlook) -> String {
    let mut text = String::new();
    let (nodes, slots) = outlook.up;
    if let (Some(seconds), Some(at)) = (outlook.forecast.seconds, outlook.empty_at) {
        let many = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let up = match nodes {
            0 => "once what runs has ended".to_owned(),
            _ => format!("with {} on {}", many(slots, "slot"), many(nodes, "node")),
        };
        let left_out = match outlook.forecast.left_out {
            0 => String::new(),
            count => format!(", but for {} that no node that is up can do", many(count, "task")),
        };
        text.push_str(&format!("empty in about {} ({at}) {up}{left_out}\n", lasting(seconds)));
    } else if outlook.forecast.left_out > 0 {
        let why = if nodes == 0 { "no node is up" } else { "no node that is up can do what is left" };
        text.push_str(&format!("not empty before long: {why}\n"));
    }
    if let Some((tasks, seconds)) = &outlook.chain {
        let mut names: Vec<String> = tasks.iter().take(SHOWN).map(ToString::to_string).collect();
        if tasks.len() > SHOWN {
            names.push(format!("… {} more", tasks.len() - SHOWN));
        }
        text.push_str(&format!("longest chain {}: {}\n", lasting(*seconds), names.join(" > ")));
    }
    if let (Some(factor), true) = (outlook.pace.factor, outlook.chain.is_some()) {
        text.push_str(&format!(
            "estimates are taken times {}, the median of {} runs\n",
            digits(factor),
            outlook.pace.runs
        ));
    }
    text
}

/// A factor with two digits that matter.
fn digits(factor: f64) -> String {
    let places = (1.0 - factor.abs().max(1e-6).log10().floor()).clamp(0.0, 6.0) as usize;
    format!("{factor:.places$}")
}

/// Writes the document of what is to be expected.
fn forecast(outlook: &Outlook) -> Value {
    json!({
        "empty_at": outlook.empty_at,
        "seconds": outlook.forecast.seconds,
        "tasks": outlook.forecast.counted,
        "left_out": outlook.forecast.left_out,
        "slots": outlook.up.1,
        "factor": outlook.pace.factor.unwrap_or(1.0),
        "runs": outlook.pace.runs,
        "longest_chain": outlook.chain.as_ref().map(|(tasks, seconds)| json!({"tasks": tasks, "seconds": seconds})),
    })
}

fn counted(context: &Context, counts: &BTreeMap<State, usize>, session: &Session, blocked: usize) -> String {
    if counts.is_empty() {
        return format!(
            "the queue of {} is empty; `git dispatch enqueue FILE…` fills it\n",
            escaped(session.project.as_str())
        );
    }
    let parts: Vec<String> = counts
        .iter()
        .map(|(state, count)| {
            let blocked = match blocked {
                0 => String::new(),
                _ if *state != State::Pending => String::new(),
                blocked => format!(" ({blocked} blocked)"),
            };
            format!("{count} {}{blocked}", context.ui.out.state(*state, state.as_str()))
        })
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
