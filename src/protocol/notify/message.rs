//! What the notifier reads: one JSON object an event. Keys are only ever added.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::hub::snapshot::{Claim, Snapshot, Standing, Task, chain_of, target_of};
use crate::protocol::announce::Happened;
use crate::protocol::session::Session;
use crate::task::{Phase, Reason, TaskName};

/// The version of the object.
const VERSION: u32 = 1;

/// Names the event that something is, as `notify.events` does; `None`: nobody is told of it.
pub(super) fn event_of(what: &Happened) -> Option<&'static str> {
    match what {
        Happened::Merged { .. } => Some("merged"),
        Happened::Conflicted { .. } => Some("conflict"),
        Happened::Failed { .. } => Some("failed"),
        Happened::TakenOver { .. } | Happened::Released { reason: Reason::Lost, .. } => Some("lost"),
        // The result goes no further by itself.
        Happened::Blocked { .. } | Happened::Bundled { .. } => Some("blocked"),
        _ => None,
    }
}

/// Writes the object; `None` for what nobody is told of.
pub(super) fn of(session: &Session, snapshot: &Snapshot, what: &Happened, at: Timestamp) -> Option<Value> {
    let event = event_of(what)?;
    let name = task_of(what)?;
    let task = snapshot.get(name);
    let mut message = json!({
        "v": VERSION,
        "event": event,
        "at": at,
        "by": session.node,
        "task": name,
        "project": name.project,
        "id": name.id,
        "title": task.map(|task| task.spec.record.title.as_str()),
        "state": task.map(Task::state),
        "target": task.map(|task| target_of(&session.hub, &task.spec.record)),
    });
    let attempt = task.and_then(|task| attempt_of(session, task, what));
    if let Some((node, attempt)) = attempt {
        message["node"] = json!(node);
        message["attempt"] = json!(attempt);
    }
    match what {
        Happened::Merged { target, merge_commit, .. } => {
            message["target"] = json!(target);
            message["merge_commit"] = json!(merge_commit.map(|id| id.to_string()));
        }
        Happened::Conflicted { files, repair, .. } => {
            message["files"] = json!(files);
            message["repair"] = json!(repair);
        }
        Happened::Failed { reason, error, .. } => {
            message["reason"] = json!(reason);
            message["error"] = json!(error);
        }
        Happened::Released { reason, .. } => message["reason"] = json!(reason),
        Happened::TakenOver { node, attempt, .. } => {
            message["reason"] = json!(Reason::Lost);
            message["node"] = json!(node);
            message["attempt"] = json!(attempt.saturating_sub(1));
        }
        Happened::Blocked { by, state, .. } => message["blocked_by"] = json!({"task": by, "state": state}),
        Happened::Bundled { file, .. } => message["bundle"] = json!(file),
        _ => {}
    }
    Some(message)
}

fn task_of(what: &Happened) -> Option<&TaskName> {
    match what {
        Happened::Merged { task, .. }
        | Happened::Conflicted { task, .. }
        | Happened::Failed { task, .. }
        | Happened::TakenOver { task, .. }
        | Happened::Released { task, .. }
        | Happened::Blocked { task, .. }
        | Happened::Bundled { task, .. } => Some(task),
        _ => None,
    }
}

/// The node and the number of the attempt that an event is about: the newest one that ended so.
fn attempt_of(session: &Session, task: &Task, what: &Happened) -> Option<(Option<String>, u32)> {
    let of_claim = |claim: &Claim| (claim.record.node.clone(), claim.record.attempts.begun);
    let reason = match what {
        Happened::Blocked { .. } => return None,
        Happened::Failed { reason, .. } | Happened::Released { reason, .. } => Some(*reason),
        _ => None,
    };
    match &task.standing {
        Standing::Sealed { seal, .. } => Some((seal.node.clone(), seal.attempt?)),
        Standing::Claimed(tip) => {
            let chain = chain_of(&session.hub.repo, tip.id);
            let is_meant = |claim: &&Claim| {
                reason.is_none()
                    || (claim.record.reason == reason
                        && matches!(claim.record.phase, Phase::Failed | Phase::Released))
            };
            chain.iter().find(is_meant).map(of_claim)
        }
        Standing::Fresh | Standing::Unknown(_) => None,
    }
}
