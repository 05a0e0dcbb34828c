//! Conflicts: which finished tasks would not merge with their target or with each other, before anything is merged.
//!
//! Owns the matrix. Each task is first merged onto its target alone; two tasks are then compared as they would stand there,
//! so that what the target changed meanwhile is not laid at another task's door. Only objects are written, no ref moves.

use std::collections::BTreeMap;

use super::base;
use super::error::{Error, Result};
use super::session::Session;
use crate::git::ObjectId;
use crate::git::merge::Side;
use crate::git::objects::NewCommit;
use crate::hub::snapshot::{Claim, Snapshot, target_of};
use crate::task::event::ConflictFile;
use crate::task::{Phase, State, TaskName};

/// What a task conflicts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum With {
    /// The branch that it is for.
    Target,
    /// Another finished task.
    Task(TaskName),
}

/// Two that do not merge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The task; of two the one that comes first on the queue.
    pub a: TaskName,
    /// What it conflicts with.
    pub b: With,
    /// The branch that both are for.
    pub target: String,
    /// Where, and of which kind.
    pub files: Vec<ConflictFile>,
}

/// The matrix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// How many finished tasks were looked at.
    pub tasks: usize,
    /// Those that conflict: each task with its target first, then with those behind it on the queue.
    pub pairs: Vec<Pair>,
    /// Branches that tasks are for and that do not exist.
    pub missing: Vec<String>,
}

/// A finished task as it would stand on the target.
struct Finished<'a> {
    name: &'a TaskName,
    claim: &'a Claim,
    result: ObjectId,
    /// What does not merge with the target.
    files: Vec<ConflictFile>,
    /// The merge onto the target, and what it changes there; `None` where there is none.
    merged: Option<(ObjectId, Side)>,
}

/// Computes the matrix of all finished tasks, each compared with its own target and with the others for that target; with
/// `into`, all are meant for that branch, as in a collect.
pub fn conflicts(session: &Session, snapshot: &Snapshot, into: Option<&str>) -> Result<Conflicts> {
    if session.hub.repo.is_shallow() {
        return Err(Error::Shallow);
    }
    if let Some(branch) = into.filter(|branch| !crate::task::spec::is_branch(branch)) {
        return Err(Error::NoCommits { branch: branch.to_owned() });
    }
    base::complete(session, snapshot, snapshot.tasks.iter().filter(|task| task.state() == State::Completed))?;
    let mut by_target: BTreeMap<String, Vec<(&TaskName, &Claim, ObjectId)>> = BTreeMap::new();
    if let Some(into) = into {
        by_target.insert(into.to_owned(), Vec::new());
    }
    for task in &snapshot.tasks {
        if let Some((claim, result)) =
            task.claim_in(Phase::Completed).and_then(|claim| Some((claim, claim.result?)))
        {
            let target = into.map_or_else(|| target_of(&session.hub, &task.spec.record), str::to_owned);
            by_target.entry(target).or_default().push((task.name(), claim, result));
        }
    }
    let mut found = Conflicts::default();
    for (target, tasks) in by_target {
        found.tasks += tasks.len();
        match session.hub.target_tip(&target) {
            Some(tip) => of_target(session, &target, tip, &tasks, &mut found.pairs)?,
            // The default target concerns all, any other only the tasks that name it.
            None if into.is_some() || target == session.hub.target => {
                return Err(Error::NoCommits { branch: target });
            }
            None => found.missing.push(target),
        }
    }
    found.pairs.sort_by_key(|pair| {
        let behind = match &pair.b {
            With::Target => None,
            With::Task(name) => snapshot.position(name),
        };
        (snapshot.position(&pair.a), behind)
    });
    Ok(found)
}

fn of_target(
    session: &Session,
    target: &str,
    tip: ObjectId,
    tasks: &[(&TaskName, &Claim, ObjectId)],
    found: &mut Vec<Pair>,
) -> Result<()> {
    let pair = |a: &TaskName, b: With, files| Pair { a: a.clone(), b, target: target.to_owned(), files };
    let mut finished = Vec::with_capacity(tasks.len());
    for (name, claim, result) in tasks {
        let task = on_target(session, tip, name, claim, *result)?;
        if !task.files.is_empty() {
            found.push(pair(name, With::Target, task.files.clone()));
        }
        finished.push(task);
    }
    let mut meet = Vec::new();
    for (at, one) in finished.iter().enumerate() {
        meet.extend(
            finished[at + 1..].iter().filter(|other| may_conflict(session, one, other)).map(|other| (one, other)),
        );
    }
    let commits: Vec<(ObjectId, ObjectId)> = meet
        .iter()
        .map(|(one, other)| match (&one.merged, &other.merged) {
            (Some((one, _)), Some((other, _))) => (*one, *other),
            // One that has to be mended first is compared as it is.
            _ => (one.result, other.result),
        })
        .collect();
    let answers = session.hub.repo.conflicts_of(&commits, tip)?;
    for ((one, other), conflicts) in meet.into_iter().zip(answers).filter(|(_, conflicts)| !conflicts.is_empty()) {
        found.push(pair(one.name, With::Task(other.name.clone()), files(conflicts)));
    }
    Ok(())
}

/// Merges one result onto the target.
fn on_target<'a>(
    session: &Session,
    tip: ObjectId,
    name: &'a TaskName,
    claim: &'a Claim,
    result: ObjectId,
) -> Result<Finished<'a>> {
    let repo = &session.hub.repo;
    let mut task = Finished { name, claim, result, files: Vec::new(), merged: None };
    if let Some(rewritten) = claim.record.target_tip.filter(|seen| !repo.is_ancestor(*seen, tip)) {
        task.files.push(ConflictFile { path: rewritten.to_string(), kind: "base_rewritten".to_owned() });
        return Ok(task);
    }
    let merged = repo.merge(tip, result)?;
    task.files = files(merged.conflicts);
    if task.files.is_empty() {
        // The same commit whoever asks and however often: nothing piles up.
        let commit = repo.write_commit(&NewCommit {
            tree: merged.tree,
            parents: &[tip, result],
            message: &format!("Would merge {name}\n"),
            by: &session.by,
            at: claim.at,
        })?;
        task.merged = Some((commit, repo.side(tip, commit)?));
    }
    Ok(task)
}

/// Says whether two have to be merged to know. Most have nothing to do with each other, and their trees tell.
fn may_conflict(session: &Session, one: &Finished<'_>, other: &Finished<'_>) -> bool {
    let built_on = |one: &Finished<'_>, other: &Finished<'_>| {
        one.claim.record.built_on.iter().any(|built_on| built_on.result == other.result)
    };
    if built_on(one, other) || built_on(other, one) || one.result == other.result {
        return false;
    }
    let (Some((_, side)), Some((_, other_side))) = (&one.merged, &other.merged) else {
        let repo = &session.hub.repo;
        return !repo.is_ancestor(one.result, other.result) && !repo.is_ancestor(other.result, one.result);
    };
    // Two that share unmerged ground have more than the target in common: git has to say.
    let ground = &other.claim.record.built_on;
    let share_ground = one.claim.record.built_on.iter().any(|built_on| ground.contains(built_on));
    share_ground || !side.is_apart_from(other_side)
}

fn files(conflicts: Vec<(String, String)>) -> Vec<ConflictFile> {
    conflicts.into_iter().map(|(path, kind)| ConflictFile { path, kind }).collect()
}
