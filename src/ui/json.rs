//! The JSON documents of CLI.md: a task, an error. What does not apply is null.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::git::Repo;
use crate::hub::Hub;
use crate::hub::snapshot::{Standing, Task, status_of, target_of};
use crate::protocol::Session;
use crate::protocol::pick::executor_of;
use crate::task::event::Event;
use crate::task::{Hold, Phase, State};

/// The keys of a task's document, as [`task`] writes them.
pub const TASK_KEYS: &[&str] = &[
    "task",
    "project",
    "id",
    "title",
    "spec",
    "state",
    "priority",
    "mode",
    "executor",
    "labels",
    "depends_on",
    "modifies",
    "estimate_seconds",
    "target",
    "attempt",
    "node",
    "claim",
    "branch",
    "result",
    "enqueued_at",
    "started_at",
    "completed_at",
    "duration_seconds",
    "exit_code",
    "files_changed",
    "loc_added",
    "loc_removed",
    "artifact_hash",
    "error",
    "merge_commit",
    "conflict_files",
    "reason",
    "repair",
    "generation",
    "outside_modifies",
    "output",
    "hold_until",
];

/// Writes a task's document.
pub fn task(session: &Session, task: &Task) -> Value {
    let record = &task.spec.record;
    let about = About::of(&session.hub, task);
    let claim = task.claim();
    let claimed = claim.map(|claim| &claim.record);
    let is_live = claimed.is_some_and(|claim| matches!(claim.phase, Phase::Running | Phase::Assigned));
    let until = claimed.filter(|claim| is_live && claim.hold != Some(Hold::Beat)).and_then(|claim| claim.until);
    let work = &about.work;
    json!({
        "task": task.name(),
        "project": task.name().project,
        "id": task.name().id,
        "title": record.title,
        "spec": task.spec.id.to_string(),
        "state": task.state(),
        "priority": record.priority,
        "mode": claimed.map_or(record.mode, |claim| claim.mode),
        "executor": executor_of(session, task),
        "labels": record.labels,
        "depends_on": record.depends_on,
        "modifies": record.modifies,
        "estimate_seconds": record.estimate_minutes.map(|minutes| u64::from(minutes) * 60),
        "target": target_of(&session.hub, record),
        "attempt": Some(task.attempts().begun).filter(|attempt| *attempt > 0),
        "node": about.node,
        "claim": about.claim,
        "branch": claimed.and_then(|claim| claim.branch.clone()).or_else(|| work.branch.clone()),
        "result": claim.and_then(|claim| claim.result).map(|id| id.to_string()).or_else(|| work.result.clone()),
        "enqueued_at": task.spec.at,
        "started_at": about.started_at,
        "completed_at": work.completed_at,
        "duration_seconds": work.duration_seconds,
        "exit_code": work.exit_code,
        "files_changed": work.files_changed,
        "loc_added": work.loc_added,
        "loc_removed": work.loc_removed,
        "artifact_hash": work.artifact_hash,
        "error": work.error,
        "merge_commit": about.merge_commit,
        "conflict_files": about.conflict_files,
        "reason": about.reason,
        "repair": about.repair,
        "generation": record.generation,
        "outside_modifies": work.outside_modifies,
        "output": work.output,
        "hold_until": until,
    })
}

/// What the records of a task say of its last attempt and of its end.
struct About {
    work: Event,
    node: Option<String>,
    claim: Option<String>,
    started_at: Option<Timestamp>,
    merge_commit: Option<String>,
    conflict_files: Option<Value>,
    reason: Option<String>,
    repair: Option<String>,
}

impl About {
    fn of(hub: &Hub, task: &Task) -> Self {
        match &task.standing {
            Standing::Claimed(claim) => {
                let repo = &hub.repo;
                let own = Some(claim.record.phase)
                    .filter(|phase| *phase != Phase::Running && *phase != Phase::Assigned)
                    .and_then(|_| status_of(repo, claim.id));
                // A conflict's own record tells of the conflict; the work is told of by the step before.
                let work = match claim.record.phase {
                    Phase::Conflict | Phase::Merged => before(repo, claim.previous),
                    _ => own.clone(),
                };
                let work = work.unwrap_or_default();
                let files = own.as_ref().and_then(|own| own.files.clone());
                Self {
                    node: claim.record.node.clone().filter(|_| task.state() != State::Pending),
                    claim: Some(claim.id.to_string()),
                    started_at: work.started_at.or((claim.record.phase == Phase::Running).then_some(claim.at)),
                    merge_commit: own.as_ref().and_then(|own| own.merge_commit.clone()),
                    conflict_files: files.map(|files| json!(files)),
                    reason: claim.record.reason.map(|reason| reason.to_string()),
                    repair: own.and_then(|own| own.repair),
                    work,
                }
            }
            Standing::Sealed { seal, .. } => Self {
                work: (**seal).clone(),
                node: seal.node.clone(),
                claim: seal.claim.clone(),
                started_at: seal.started_at,
                merge_commit: seal.merge_commit.clone(),
                conflict_files: None,
                reason: seal.reason.map(|reason| reason.to_string()),
                repair: seal.repair.clone(),
            },
            Standing::Fresh | Standing::Unknown(_) => Self {
                work: Event::default(),
                node: None,
                claim: None,
                started_at: None,
                merge_commit: None,
                conflict_files: None,
                reason: None,
                repair: None,
            },
        }
    }
}

fn before(repo: &Repo, previous: Option<crate::git::ObjectId>) -> Option<Event> {
    status_of(repo, previous?)
}

/// Writes an error's document.
pub fn error(error: &miette::Report) -> Value {
    let mut message = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !message.contains(&cause) {
            message.push_str(": ");
            message.push_str(&cause);
        }
    }
    let place = place(error);
    json!({"error": {
        "code": error.code().map_or_else(|| "dispatch::failed".to_owned(), |code| code.to_string()),
        "message": message,
        "help": error.help().map(|help| help.to_string()),
        "file": place.as_ref().and_then(|(file, _, _)| file.clone()),
        "line": place.as_ref().map(|(_, line, _)| line),
        "column": place.as_ref().map(|(_, _, column)| column),
    }})
}

/// Finds file, line and column (from 1) of an error's place: its last label.
fn place(error: &miette::Report) -> Option<(Option<String>, usize, usize)> {
    let label = error.labels()?.last()?;
    let source = error.source_code()?;
    let contents = source.read_span(label.inner(), 0, 0).ok()?;
    Some((contents.name().map(str::to_owned), contents.line() + 1, contents.column() + 1))
}
