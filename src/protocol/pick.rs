//! From a snapshot to the pure choice of `task::order`: what this node offers, and what each task asks for.

use crate::config::model::{ExecutorKind, NodeMode};
use crate::hub::format::spec::FILE;
use crate::hub::snapshot::{Snapshot, Task};
use crate::task::order::{Candidate, Offer};
use crate::task::spec::{self, Defaults};
use crate::task::{Name, Phase, Reason, transition};

use super::session::Session;

/// Describes what this node offers.
pub fn offer(session: &Session, node: &Name, by_hand: bool) -> Offer {
    let settings = session.config.node_settings(node.as_str());
    let executors = if settings.executors.is_empty() {
        session.config.executors.keys().cloned().collect()
    } else {
        settings.executors.iter().cloned().collect()
    };
    Offer {
        node: node.clone(),
        labels: settings.labels.iter().cloned().collect(),
        executors,
        only_assigned: settings.mode == NodeMode::Push,
        by_hand,
    }
}

/// Describes a task for the choice.
pub fn candidate(session: &Session, snapshot: &Snapshot, task: &Task) -> Candidate {
    let may_start = matches!(task.state(), crate::task::State::Pending | crate::task::State::Assigned);
    Candidate { lacks_run: may_start && lacks_run(session, task), ..unread(session, snapshot, task) }
}

/// Says whether the task's executor would run the spec's own `run` line, and there is none. Only the spec itself says
/// so: it is read for those few whose turn has come, not for a whole queue.
pub fn lacks_run(session: &Session, task: &Task) -> bool {
    let executor = session.config.executor(&executor_of(session, task));
    executor.is_some_and(|settings| settings.kind == ExecutorKind::Shell)
        && read_spec(session, task).is_none_or(|spec| spec.run.is_none())
}

/// Describes a task by its commit's message alone, as if there were something to run.
pub fn unread(session: &Session, snapshot: &Snapshot, task: &Task) -> Candidate {
    let record = &task.spec.record;
    let executor = executor_of(session, task);
    let assigned = task.claim_in(Phase::Assigned);
    Candidate {
        name: task.name().clone(),
        position: snapshot.position(task.name()).unwrap_or(usize::MAX),
        state: task.state(),
        assigned_to: assigned.and_then(|claim| claim.record.node.clone()),
        priority: record.priority,
        labels: record.labels.clone(),
        executor,
        lacks_run: false,
        mode: record.mode,
        rests: rests(session, task),
        depends_on: record
            .depends_on
            .iter()
            .map(|name| (name.clone(), snapshot.get(name).map(Task::state)))
            .collect(),
    }
}

/// Computes how long a task still rests after a bad attempt, in whole seconds, rounded up.
fn rests(session: &Session, task: &Task) -> u64 {
    let Some(claim) = task.claim_in(Phase::Released) else { return 0 };
    // A lost node says nothing against the task: another may begin at once, up to the maximum.
    if !claim.record.reason.is_some_and(|reason| reason.is_charged() && reason != Reason::Lost) {
        return 0;
    }
    let config = &session.config;
    let rest = transition::rest(claim.record.attempts.charged, *config.retry_wait, *config.retry_wait_max);
    let over = claim.at.as_second() as f64 + rest.as_secs_f64();
    let left = over - session.ambient.now().as_second() as f64;
    // Another clock may be wrong; it must not put a task off for longer than the rest itself.
    left.min(rest.as_secs_f64()).max(0.0).ceil() as u64
}

/// Returns the name of the executor that a task runs on.
pub fn executor_of(session: &Session, task: &Task) -> String {
    task.spec.record.executor.clone().unwrap_or_else(|| session.config.default_executor.clone())
}

/// Reads a task's spec again from its commit; `None` where it cannot be read.
pub fn read_spec(session: &Session, task: &Task) -> Option<spec::Spec> {
    let bytes = session.hub.repo.file_in(task.spec.id, FILE)?;
    let defaults = Defaults { project: task.name().project.clone(), id: Some(task.name().id.to_string()) };
    Some(spec::parse(FILE, &bytes, &defaults).ok()?.spec)
}
