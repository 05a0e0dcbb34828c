//! The JSON documents of CLI.md: a task, an error. What does not apply is null.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::git::Repo;
use crate::hub::snapshot::{Standing, Task, status_of};
use crate::protocol::Session;
use crate::task::event::{ConflictFile, Event};
use crate::task::spec::Mode;
use crate::task::{Hold, Name, Phase, Reason, State, TaskName};

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

/// A task's document. Its fields stand in the order of the alphabet, as in every document.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    artifact_hash: Option<&'a str>,
    attempt: Option<u32>,
    branch: Option<&'a str>,
    claim: Option<Cow<'a, str>>,
    completed_at: Option<Timestamp>,
    conflict_files: Option<&'a [ConflictFile]>,
    depends_on: &'a [TaskName],
    duration_seconds: Option<f64>,
    enqueued_at: Timestamp,
    error: Option<&'a str>,
    estimate_seconds: Option<u64>,
    executor: &'a str,
    exit_code: Option<i32>,
    files_changed: Option<u64>,
    generation: Option<u32>,
    hold_until: Option<Timestamp>,
    id: &'a Name,
    labels: &'a [String],
    loc_added: Option<u64>,
    loc_removed: Option<u64>,
    merge_commit: Option<&'a str>,
    mode: Mode,
    modifies: &'a [String],
    node: Option<&'a str>,
    output: Option<&'a Value>,
    outside_modifies: Option<&'a [String]>,
    priority: u8,
    project: &'a Name,
    reason: Option<Reason>,
    repair: Option<&'a str>,
    result: Option<Cow<'a, str>>,
    spec: String,
    started_at: Option<Timestamp>,
    state: State,
    target: &'a str,
    task: &'a TaskName,
    title: &'a str,
}

/// Makes a task's document.
pub fn task(session: &Session, task: &Task) -> Value {
    let records = Records::of(&session.hub.repo, task);
    serde_json::to_value(Document::of(session, task, &records)).unwrap_or_default()
}

/// Writes the documents of some tasks, as they stand in a list that is one step inside a document.
pub fn tasks(session: &Session, tasks: &[Task]) -> String {
    let records: Vec<Records<'_>> = tasks.iter().map(|task| Records::of(&session.hub.repo, task)).collect();
    let all = tasks.iter().zip(&records).map(|(task, records)| Document::of(session, task, records));
    let listed: BTreeMap<&str, Vec<Document<'_>>> = BTreeMap::from([("", all.collect())]);
    let mut text = serde_json::to_string_pretty(&listed).unwrap_or_default();
    let (before, behind) = ("{\n  \"\": [", "\n  ]\n}");
    if !text.starts_with(before) || !text.ends_with(behind) {
        return String::new();
    }
    text.truncate(text.len() - behind.len());
    text.drain(..before.len());
    text
}

/// What the records of a task say of its last attempt and of its end.
struct Records<'a> {
    /// Of the work.
    work: Option<Cow<'a, Event>>,
    /// Of what came of it.
    end: Option<Cow<'a, Event>>,
}

impl<'a> Records<'a> {
    fn of(repo: &Repo, task: &'a Task) -> Self {
        match &task.standing {
            Standing::Claimed(claim) => {
                let is_over = !matches!(claim.record.phase, Phase::Running | Phase::Assigned);
                let end = is_over.then(|| status_of(repo, claim.id)).flatten();
                // A conflict's own record tells of the conflict; the work is told of by the step before.
                let work = match claim.record.phase {
                    Phase::Conflict | Phase::Merged => claim.previous.and_then(|before| status_of(repo, before)),
                    _ => end.clone(),
                };
                Self { work: work.map(Cow::Owned), end: end.map(Cow::Owned) }
            }
            Standing::Sealed { seal, .. } => {
                Self { work: Some(Cow::Borrowed(seal)), end: Some(Cow::Borrowed(seal)) }
            }
            Standing::Fresh | Standing::Unknown(_) => Self { work: None, end: None },
        }
    }
}

impl<'a> Document<'a> {
    fn of(session: &'a Session, task: &'a Task, records: &'a Records<'_>) -> Self {
        let record = &task.spec.record;
        let claim = task.claim();
        let claimed = claim.map(|claim| &claim.record);
        let seal = match &task.standing {
            Standing::Sealed { seal, .. } => Some(&**seal),
            _ => None,
        };
        let (work, end) = (records.work.as_deref(), records.end.as_deref());
        let of_work = |field: fn(&Event) -> Option<&str>| work.and_then(field);
        let is_live = claimed.is_some_and(|claim| matches!(claim.phase, Phase::Running | Phase::Assigned));
        let began = claim.filter(|claim| claim.record.phase == Phase::Running).map(|claim| claim.at);
        let node = claimed.filter(|_| task.state() != State::Pending).and_then(|claim| claim.node.as_deref());
        let own_claim = claim.map(|claim| Cow::Owned(claim.id.to_string()));
        let own_result = claim.and_then(|claim| claim.result).map(|id| Cow::Owned(id.to_string()));
        Self {
            artifact_hash: of_work(|work| work.artifact_hash.as_deref()),
            attempt: Some(task.attempts().begun).filter(|attempt| *attempt > 0),
            branch: claimed.and_then(|claim| claim.branch.as_deref()).or(of_work(|work| work.branch.as_deref())),
            claim: own_claim.or(seal.and_then(|seal| seal.claim.as_deref()).map(Cow::Borrowed)),
            completed_at: work.and_then(|work| work.completed_at),
            conflict_files: claim.and(end).and_then(|end| end.files.as_deref()),
            depends_on: &record.depends_on,
            duration_seconds: work.and_then(|work| work.duration_seconds),
            enqueued_at: task.spec.at,
            error: of_work(|work| work.error.as_deref()),
            estimate_seconds: record.estimate_minutes.map(|minutes| u64::from(minutes) * 60),
            executor: record.executor.as_deref().unwrap_or(&session.config.default_executor),
            exit_code: work.and_then(|work| work.exit_code),
            files_changed: work.and_then(|work| work.files_changed),
            generation: record.generation,
            hold_until: claimed
                .filter(|claim| is_live && claim.hold != Some(Hold::Beat))
                .and_then(|claim| claim.until),
            id: &task.name().id,
            labels: &record.labels,
            loc_added: work.and_then(|work| work.loc_added),
            loc_removed: work.and_then(|work| work.loc_removed),
            merge_commit: end.and_then(|end| end.merge_commit.as_deref()),
            mode: claimed.map_or(record.mode, |claim| claim.mode),
            modifies: &record.modifies,
            node: node.or(seal.and_then(|seal| seal.node.as_deref())),
            output: work.and_then(|work| work.output.as_ref()),
            outside_modifies: work.and_then(|work| work.outside_modifies.as_deref()),
            priority: record.priority,
            project: &task.name().project,
            reason: claimed.and_then(|claim| claim.reason).or(seal.and_then(|seal| seal.reason)),
            repair: end.and_then(|end| end.repair.as_deref()),
            result: own_result.or(of_work(|work| work.result.as_deref()).map(Cow::Borrowed)),
            spec: task.spec.id.to_string(),
            started_at: work.and_then(|work| work.started_at).or(began),
            state: task.state(),
            target: record.target.as_deref().unwrap_or(&session.hub.target),
            task: task.name(),
            title: &record.title,
        }
    }
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
