//! Where a task's work starts: the target's tip with the results of its dependencies (DESIGN.md 3.3).
//!
//! Owns the base and the record of what it was built on. A base that conflicts is found here, before anything is
//! claimed.

use crate::git::ObjectId;
use crate::git::objects::NewCommit;
use crate::hub::format::BuiltOn;
use crate::hub::snapshot::{Snapshot, Standing, Task, target_of};
use crate::task::{Phase, TaskName};

use super::error::{Error, Result};
use super::session::Session;
use super::trust;

/// Where a task's work starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The target's tip that it was made from.
    pub target_tip: ObjectId,
    /// The commit that the work starts from.
    pub commit: ObjectId,
    /// The dependencies' results that it holds and the target's tip does not.
    pub built_on: Vec<BuiltOn>,
}

/// Why there is no base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoBase {
    /// The dependency's result does not merge with what is there already.
    Conflict {
        /// The dependency.
        with: TaskName,
        /// The paths.
        files: Vec<String>,
    },
    /// The dependency has nothing to build on.
    Undone(TaskName),
    /// The dependency was merged into another branch, which is gone, and the merge with it.
    Gone(TaskName),
    /// Nobody who is trusted stands for what the dependency came to.
    Untrusted {
        /// The dependency.
        on: TaskName,
        /// Why not.
        why: String,
    },
    /// The branch that the task is for does not exist.
    NoTarget(String),
    /// History is cut off here, and results would have to be merged.
    Shallow,
}

/// Sees that all is here that the bases and results of these tasks are merged from: a partial clone may lack any of it.
pub fn complete<'a>(
    session: &Session,
    snapshot: &Snapshot,
    tasks: impl IntoIterator<Item = &'a Task>,
) -> Result<()> {
    let hub = &session.hub;
    let mut commits = Vec::new();
    for task in tasks {
        let record = &task.spec.record;
        commits.extend(hub.target_tip(&target_of(hub, record)));
        commits.extend(task.claim().into_iter().flat_map(|claim| [claim.result, claim.record.base]).flatten());
        let dependencies = record.depends_on.iter().filter_map(|name| snapshot.get(name));
        commits.extend(dependencies.filter_map(result_of).flatten());
    }
    // What is on no branch any more is found missing when it is asked for.
    commits.retain(|&commit| hub.repo.has(commit));
    Ok(hub.repo.complete(&commits)?)
}

/// Makes the base of a task, merging in the results of all its dependencies in queue order.
pub fn make(session: &Session, snapshot: &Snapshot, task: &Task) -> Result<std::result::Result<Base, NoBase>> {
    let repo = &session.hub.repo;
    let target = target_of(&session.hub, &task.spec.record);
    let Some(target_tip) = session.hub.target_tip(&target) else {
        // The default target concerns all tasks, any other only those that name it.
        return if target == session.hub.target {
            Err(Error::NoCommits { branch: target })
        } else {
            Ok(Err(NoBase::NoTarget(target)))
        };
    };
    let mut base = Base { target_tip, commit: target_tip, built_on: Vec::new() };
    let mut dependencies: Vec<&TaskName> = task.spec.record.depends_on.iter().collect();
    dependencies.sort_by_key(|name| snapshot.position(name));
    if repo.is_shallow() && !dependencies.is_empty() {
        return Ok(Err(NoBase::Shallow));
    }
    for name in dependencies {
        let Some(result) = snapshot.get(name).map(result_of) else {
            return Ok(Err(NoBase::Undone(name.clone())));
        };
        let result = match result {
            Some(Some(result)) => result,
            // Merged without a commit of its own: there was nothing to merge.
            Some(None) => continue,
            None => return Ok(Err(NoBase::Undone(name.clone()))),
        };
        if repo.is_ancestor(result, target_tip) {
            continue;
        }
        if !repo.has(result) {
            return Ok(Err(NoBase::Gone(name.clone())));
        }
        let doubt = snapshot.get(name).and_then(|task| trust::doubt_of_foundation(session, task, result));
        if let Some(why) = doubt {
            return Ok(Err(NoBase::Untrusted { on: name.clone(), why }));
        }
        base.built_on.push(BuiltOn { task: name.clone(), result });
        if repo.is_ancestor(result, base.commit) {
            continue;
        }
        if repo.is_ancestor(base.commit, result) {
            base.commit = result;
            continue;
        }
        let merged = repo.merge(base.commit, result)?;
        if !merged.conflicts.is_empty() {
            let files = merged.conflicts.into_iter().map(|(path, _)| path).collect();
            return Ok(Err(NoBase::Conflict { with: name.clone(), files }));
        }
        base.commit = repo.write_commit(&NewCommit {
            tree: merged.tree,
            parents: &[base.commit, result],
            message: &format!("Base of {}: with {name}\n", task.name()),
            by: &session.by,
            at: session.ambient.now(),
        })?;
    }
    Ok(Ok(base))
}

/// Returns what a dependent builds on: the result of finished work, the merge commit of sealed work (`Some(None)` where
/// there was nothing to merge); `None`: it is not done.
pub fn result_of(task: &Task) -> Option<Option<ObjectId>> {
    match &task.standing {
        Standing::Claimed(claim) if matches!(claim.record.phase, Phase::Completed | Phase::Merged) => {
            Some(claim.result)
        }
        Standing::Sealed { seal, .. } if seal.event == "merged" => {
            Some(seal.merge_commit.as_ref().and_then(|id| ObjectId::from_hex(id.as_bytes()).ok()))
        }
        _ => None,
    }
}

impl std::fmt::Display for NoBase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Conflict { with, files } => {
                write!(
                    f,
                    "the work of {with} does not merge with its other foundations, in {}",
                    crate::task::text::escaped(&files.join(", "))
                )
            }
            Self::Undone(task) => write!(f, "{task} is not done"),
            Self::Gone(task) => {
                write!(
                    f,
                    "{task} was merged into another branch, and that merge is on no branch of the hub any more"
                )
            }
            Self::Untrusted { on, why } => write!(f, "what {on} came to must not be built on: {why}"),
            Self::NoTarget(branch) => {
                write!(f, "its target branch {} does not exist", crate::task::text::escaped(branch))
            }
            Self::Shallow => write!(f, "this clone is shallow, so what it depends on cannot be merged here"),
        }
    }
}
