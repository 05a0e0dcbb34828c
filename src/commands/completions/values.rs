//! What may stand at a place: from the definition of the commands, and from what this clone knows of tasks and nodes.

use std::path::PathBuf;

use clap::{Arg, Command};

use super::Value;
use super::place::{Kind, Place};
use crate::commands::{Context, explain};
use crate::hub::snapshot::{Snapshot, Task};
use crate::protocol::Session;
use crate::task::State;

/// What is offered.
#[derive(Debug)]
pub(super) enum Offer {
    /// These.
    Values(Vec<Value>),
    /// Whatever files the shell finds.
    Files,
    /// Whatever folders the shell finds.
    Folders,
}

/// Finds what may stand at the place.
pub(super) fn of(context: &Context, root: &Command, place: &Place<'_>, words: &[String]) -> Offer {
    Offer::Values(match &place.kind {
        Kind::Command(command) => commands(command, root),
        Kind::Option(command) => options(command),
        Kind::Value(arg) => return values(context, arg, place, words),
        Kind::Nothing => Vec::new(),
    })
}

fn commands(command: &Command, root: &Command) -> Vec<Value> {
    let shown = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    let is_root = command.get_name() == root.get_name();
    shown
        .filter(|inner| is_root || inner.get_name() != "help")
        .map(|inner| Value::new(inner.get_name(), said(inner.get_about())))
        .collect()
}

fn options(command: &Command) -> Vec<Value> {
    let shown = command.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional());
    shown.filter_map(|arg| Some(Value::new(format!("--{}", arg.get_long()?), said(arg.get_help())))).collect()
}

fn said(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

fn values(context: &Context, arg: &Arg, place: &Place<'_>, words: &[String]) -> Offer {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let shown = possible.iter().filter(|value| !value.is_hide_set());
        return Offer::Values(shown.map(|value| Value::new(value.get_name(), said(value.get_help()))).collect());
    }
    match arg.get_id().as_str() {
        "paths" | "file" | "issue" | "bundle" | "report" | "html" | "md" => return Offer::Files,
        "folders" | "dir" | "inboxes" => return Offer::Folders,
        _ => {}
    }
    Offer::Values(match arg.get_id().as_str() {
        "state" => State::ALL.iter().map(|state| Value::new(state.as_str(), "")).collect(),
        "code" => explain::codes().into_iter().map(|one| Value::new(one.code, one.meaning)).collect(),
        kind => known(context, kind, place, words).unwrap_or_default(),
    })
}

/// What this clone knows of the kind; nothing where that cannot be read, and no question to the hub.
fn known(context: &Context, kind: &str, place: &Place<'_>, words: &[String]) -> Option<Vec<Value>> {
    let folder = folders(words).fold(context.ambient.cwd.clone(), |at, next| at.join(next));
    let session = Session::open_known(&folder, &context.ambient).ok()??;
    let plain = |texts: Vec<String>| texts.into_iter().map(|text| Value::new(text, "")).collect();
    Some(match kind {
        "tasks" | "task" => tasks(&session.snapshot().ok()?, place),
        "node" | "for_node" => {
            let nodes = session.hub.node_records().ok()?;
            nodes.into_iter().map(|seen| Value::new(seen.name, seen.record.state)).collect()
        }
        "project" => plain(distinct(&session, |task| vec![task.name().project.to_string()])?),
        "label" => plain(distinct(&session, |task| task.spec.record.labels.clone())?),
        "remote" => plain(session.hub.repo.remote_names()),
        "into" => {
            let refs = session.hub.repo.refs_with_prefix("refs/heads/").ok()?;
            refs.iter().filter_map(|(name, _)| Some(Value::new(name.strip_prefix("refs/heads/")?, ""))).collect()
        }
        _ => Vec::new(),
    })
}

/// The folders of `-C`, as far as they were said.
fn folders(words: &[String]) -> impl Iterator<Item = PathBuf> {
    let of_pair = |pair: &[String]| (pair[0] == "-C").then(|| PathBuf::from(&pair[1]));
    words.windows(2).filter_map(of_pair)
}

fn distinct(session: &Session, of: impl Fn(&Task) -> Vec<String>) -> Option<Vec<String>> {
    let mut found: Vec<String> = session.snapshot().ok()?.tasks.iter().flat_map(of).collect();
    found.sort();
    found.dedup();
    Some(found)
}

/// The tasks with which the command has something to do: by id where no other project has the same, as long as no project
/// was typed.
fn tasks(snapshot: &Snapshot, place: &Place<'_>) -> Vec<Value> {
    let concerned = snapshot.tasks.iter().filter(|task| concerns(place.path.first().copied(), task.state()));
    let is_alone = |task: &Task| {
        let of_id = snapshot.tasks.iter().filter(|other| other.name().id == task.name().id);
        of_id.count() == 1
    };
    concerned
        .map(|task| {
            let name = match !place.typed.contains('/') && is_alone(task) {
                true => task.name().id.to_string(),
                false => task.name().to_string(),
            };
            Value::new(name, format!("{}: {}", task.state(), task.spec.record.title))
        })
        .collect()
}

fn concerns(command: Option<&str>, state: State) -> bool {
    let open = matches!(state, State::Pending | State::Assigned | State::Running);
    match command {
        Some("retry") => matches!(state, State::Failed | State::Conflict | State::Cancelled),
        Some("cancel") => !matches!(state, State::Merged | State::Cancelled),
        Some("claim" | "run" | "assign" | "bundle") => matches!(state, State::Pending | State::Assigned),
        Some("finish" | "release" | "attach") => matches!(state, State::Running | State::Assigned),
        Some("collect") => state == State::Completed,
        Some("wait") => open,
        Some("logs") => !matches!(state, State::Pending | State::Assigned),
        _ => true,
    }
}
