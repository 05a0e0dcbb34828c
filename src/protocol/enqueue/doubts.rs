//! What is accepted and yet would not run, as the configuration is here.

use super::Entry;
use crate::config::model::ExecutorKind;
use crate::config::near::nearest;
use crate::protocol::session::Session;
use crate::task::TaskName;
use crate::task::text::escaped;

/// How many tasks a warning names.
const NAMED: usize = 3;

/// Says what would keep tasks from being run, a line each.
pub fn doubts(session: &Session, entries: &[Entry]) -> Vec<String> {
    let config = &session.config;
    let mut doubts = Vec::new();
    let mut without_run: Vec<&TaskName> = Vec::new();
    for spec in entries.iter().map(|entry| &entry.parsed.spec) {
        let name = spec.executor.as_ref().unwrap_or(&config.default_executor);
        if let Some(executor) = config.executor(name) {
            if executor.kind == ExecutorKind::Shell && spec.run.is_none() {
                without_run.push(&spec.task);
            }
            continue;
        }
        let near = nearest(name, config.executors.keys().map(String::as_str));
        let hint = near.map(|near| format!("; did you mean `{}`?", escaped(near))).unwrap_or_default();
        let (task, name) = (&spec.task, escaped(name));
        doubts.push(format!("{task} asks for executor {name}, which is not configured here{hint}"));
    }
    if without_run.is_empty() {
        return doubts;
    }
    let named: Vec<String> = without_run.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match without_run.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    doubts.push(format!(
        "no `run` line for the shell executor in {}{more}: no node runs that; give it one, configure another executor, \
         or claim it by hand",
        named.join(", ")
    ));
    doubts
}
