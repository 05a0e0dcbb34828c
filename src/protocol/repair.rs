//! Repair: a conflict comes back as a task that resolves it (DESIGN.md 5).
//!
//! Owns what a repair mends and whether it still counts: only while the original's tip is a conflict whose first parent is
//! the very claim that the repair names. What its spec says is `propose`'s, the half-done merge in the slot `executor`'s.

pub mod propose;

use super::cancel::cancel;
use super::error::Result;
use super::session::Session;
use crate::git::{ObjectId, Repo};
use crate::hub::format::SpecRecord;
use crate::hub::snapshot::{Claim, Snapshot, Standing, Task, read_claim};
use crate::task::{Phase, State, TaskName};

/// What a repair mends: a task, and the completed claim of it that did not merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mends {
    /// The task; it may be a repair itself.
    pub task: TaskName,
    /// Its completed claim.
    pub claim: ObjectId,
}

impl Mends {
    /// Reads what a spec says that it mends; `None` where it is no repair, or says it in another way than ours.
    pub fn of(spec: &SpecRecord) -> Option<Self> {
        let (task, claim) = spec.repairs.as_deref()?.split_once('@')?;
        Some(Self { task: TaskName::parse(task).ok()?, claim: ObjectId::from_hex(claim.as_bytes()).ok()? })
    }

    /// The work that has to be merged: the result of the claim.
    pub fn work(&self, repo: &Repo) -> Option<ObjectId> {
        read_claim(repo, self.claim).ok()?.result
    }
}

impl std::fmt::Display for Mends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.task, self.claim)
    }
}

/// Whether a repair is still of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// The original waits for it.
    Wanted,
    /// The conflict is about to be recorded: whoever wrote the spec does that next, or the next collect.
    Early,
    /// The original has gone on without it.
    Moot,
}

/// Says whether a task is of use as the repair that it is; one that is no repair is.
pub fn usefulness(snapshot: &Snapshot, spec: &SpecRecord) -> Use {
    if spec.repairs.is_none() {
        return Use::Wanted;
    }
    let Some(mends) = Mends::of(spec) else { return Use::Moot };
    let Some(original) = snapshot.get(&mends.task) else { return Use::Moot };
    match original.claim() {
        Some(tip) if tip.record.phase == Phase::Conflict && tip.previous == Some(mends.claim) => {
            usefulness(snapshot, &original.spec.record)
        }
        Some(tip) if tip.id == mends.claim => Use::Early,
        _ => Use::Moot,
    }
}

/// Lists the tasks that a repair's merge mends, itself left out, each with its claim that says conflict.
pub fn mended<'a>(snapshot: &'a Snapshot, spec: &SpecRecord) -> Vec<(&'a Task, &'a Claim)> {
    let mut found = Vec::new();
    let mut next = Mends::of(spec);
    while let Some(original) = next.and_then(|mends| snapshot.get(&mends.task)) {
        let Some(claim) = original.claim_in(Phase::Conflict) else { break };
        // A circle cannot be made through us; one that was forced in by other means ends here.
        if found.iter().any(|(known, _): &(&Task, &Claim)| known.name() == original.name()) {
            break;
        }
        found.push((original, claim));
        next = Mends::of(&original.spec.record);
    }
    found
}

/// Finds the repair of a task's conflict.
pub fn repair_of<'a>(snapshot: &'a Snapshot, mends: &Mends) -> Option<&'a Task> {
    snapshot.tasks.iter().find(|task| Mends::of(&task.spec.record).as_ref() == Some(mends))
}

/// Says what a repair's result lacks; `None`: it holds both sides, and no marker of the merge is left.
pub fn lacks(session: &Session, spec: &SpecRecord, base: ObjectId, result: ObjectId) -> Result<Option<String>> {
    let repo = &session.hub.repo;
    let Some(mends) = Mends::of(spec) else { return Ok(None) };
    let Some(work) = mends.work(repo) else {
        return Ok(Some(format!("the work of {} is not here", mends.task)));
    };
    if !repo.is_ancestor(work, result) {
        return Ok(Some(format!(
            "its result does not hold the work of {}, {work}: it must be a merge",
            mends.task
        )));
    }
    let marker = format!(">>>>>>> {work}");
    let has_marker = |path: &String| {
        let text = repo.file_in(result, path).unwrap_or_default();
        text.split(|byte| *byte == b'\n').any(|line| line.starts_with(marker.as_bytes()))
    };
    let left = repo.merge(base, work)?.conflicts.into_iter().map(|(path, _)| path).find(has_marker);
    Ok(left.map(|path| format!("conflict markers are left in {path}")))
}

/// Calls off the repairs that are of no use any more: their originals were retried or cancelled, or mended otherwise.
pub fn sweep(session: &Session) -> Result<()> {
    let snapshot = session.snapshot()?;
    let is_over = |task: &Task| {
        matches!(task.state(), State::Merged | State::Unknown) || matches!(task.standing, Standing::Sealed { .. })
    };
    let moot = snapshot.tasks.iter().filter(|task| {
        task.spec.record.repairs.is_some()
            && !is_over(task)
            && usefulness(&snapshot, &task.spec.record) == Use::Moot
    });
    let names: Vec<TaskName> = moot.map(|task| task.name().clone()).collect();
    if !names.is_empty() {
        cancel(session, &names)?;
    }
    Ok(())
}
