//! Why a task is not running: the reasons that one look can tell.

use super::pick;
use super::session::Session;
use crate::hub::snapshot::{Snapshot, Task};
use crate::task::State;
use crate::task::order::{Obstacle, Offer};

/// A reason, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitsFor {
    /// `task`, `label`, `executor`, `node`, `run`, `assignment`, `time`, `scope`, `person`, `collect`.
    pub kind: &'static str,
    /// What it waits for.
    pub what: String,
}

/// Tells why a task is not running, as far as a node with this offer is concerned; empty for one that runs, has ended, or could start on this node now.
pub fn waits_for(session: &Session, snapshot: &Snapshot, task: &Task, offer: &Offer) -> Vec<WaitsFor> {
    let reason = |kind, what: String| vec![WaitsFor { kind, what }];
    match task.state() {
        State::Pending | State::Assigned => {}
        State::Completed => return reason("collect", "`git dispatch collect` to merge it".to_owned()),
        State::Failed | State::Conflict => return reason("person", "`git dispatch retry` or `cancel`".to_owned()),
        State::Unknown => return reason("person", "records that can be read".to_owned()),
        State::Running | State::Merged | State::Cancelled => return Vec::new(),
    }
    let candidate = pick::candidate(session, snapshot, task);
    let undone =
        candidate.depends_on.iter().filter(|(_, state)| !matches!(state, Some(State::Completed | State::Merged)));
    let mut reasons: Vec<WaitsFor> = undone
        .map(|(name, state)| {
            let stands = state.map_or("not on the queue".to_owned(), |state| state.to_string());
            let node = snapshot
                .get(name)
                .filter(|_| *state == Some(State::Running))
                .and_then(|task| task.claim()?.record.node.clone());
            let on = node.map(|node| format!(" on {}", crate::task::text::escaped(&node))).unwrap_or_default();
            WaitsFor { kind: "task", what: format!("{name} ({stands}{on})") }
        })
        .collect();
    let ready = crate::task::order::Candidate { depends_on: Vec::new(), ..candidate };
    if let Some(obstacle) = crate::task::order::obstacle(&ready, offer) {
        reasons.push(of_obstacle(&obstacle));
    }
    reasons
}

fn of_obstacle(obstacle: &Obstacle) -> WaitsFor {
    let (kind, what) = match obstacle {
        Obstacle::Label(label) => ("label", format!("a node with label {label}")),
        Obstacle::Executor(name) => ("executor", format!("a node with executor {name}")),
        Obstacle::NothingToRun => {
            ("run", "a `run` line, which the shell executor needs, or a person who claims it".to_owned())
        }
        Obstacle::Moot => ("repair", "a recorded conflict that it would mend".to_owned()),
        Obstacle::OnlyAssigned => ("assignment", "an assignment".to_owned()),
        Obstacle::Scope { glob, by } => ("scope", format!("{glob}, which is being changed by {by}")),
        Obstacle::Rests(seconds) => ("time", format!("the rest after its last attempt, {seconds} s more")),
        Obstacle::AssignedTo(node) => ("node", format!("{node}, which it is assigned to")),
        Obstacle::WaitsFor { task, .. } => ("task", task.to_string()),
        Obstacle::State(state) => ("task", state.to_string()),
    };
    WaitsFor { kind, what }
}
