//! What a collect would do: which finished tasks join, in which order, onto which tip.
//!
//! Writes merge commits and claims as objects; moves no ref.

use std::collections::{HashMap, HashSet};

use crate::git::ObjectId;
use crate::git::objects::NewCommit;
use crate::hub::format::Trailers;
use crate::hub::snapshot::{Claim, Snapshot, Task, target_of};
use crate::protocol::base;
use crate::protocol::error::Result;
use crate::protocol::session::Session;
use crate::task::event::ConflictFile;
use crate::task::{Phase, State, TaskName};

use super::{Options, merged_claim};

/// A merge that is to be published.
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    /// The task.
    pub task: TaskName,
    /// Its completed claim.
    pub completed: Claim,
    /// The claim that will say merged.
    pub merged: Claim,
    /// The merge commit; `None` where the result was in the target already.
    pub commit: Option<ObjectId>,
}

/// Work that does not merge.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The task.
    pub task: TaskName,
    /// Its completed claim.
    pub claim: Claim,
    /// Where.
    pub files: Vec<ConflictFile>,
}

/// Work that has to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The task.
    pub task: TaskName,
    /// For what, for people.
    pub what: String,
}

/// What a collect would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The target's tip after it.
    pub tip: ObjectId,
    /// What joins, in order.
    pub merges: Vec<Merge>,
    /// What does not merge.
    pub conflicts: Vec<Conflict>,
    /// What was built on something that can no longer land, and why.
    pub stale: Vec<(Claim, String)>,
    /// What waits.
    pub waiting: Vec<Wait>,
}

/// Plans a collect of the completed tasks onto `tip`.
pub(super) fn plan(
    session: &Session,
    snapshot: &Snapshot,
    options: &Options,
    target: &str,
    tip: ObjectId,
) -> Result<Plan> {
    let mut plan = Plan { tip, merges: vec![], conflicts: vec![], stale: vec![], waiting: vec![] };
    for task in in_order(snapshot) {
        let wanted = options.tasks.is_empty() || options.tasks.contains(task.name());
        let goes_here = options.into.is_some() || target_of(&session.hub, &task.spec.record) == target;
        if wanted && goes_here {
            join(session, snapshot, &mut plan, task, tip)?;
        } else if wanted {
            let what =
                format!("a collect of its own target, `--into {}`", target_of(&session.hub, &task.spec.record));
            plan.waiting.push(Wait { task: task.name().clone(), what });
        }
    }
    Ok(plan)
}

/// Orders the completed tasks: dependencies first, then priority, then queue order.
fn in_order(snapshot: &Snapshot) -> Vec<&Task> {
    let mut open: Vec<&Task> = snapshot.tasks.iter().filter(|task| task.state() == State::Completed).collect();
    open.sort_by_key(|task| (task.spec.record.priority, snapshot.position(task.name())));
    let mut waiting: HashSet<&TaskName> = open.iter().map(|task| task.name()).collect();
    let mut dependents: HashMap<&TaskName, usize> = HashMap::new();
    for task in &open {
        let count = task.spec.record.depends_on.iter().filter(|name| waiting.contains(name)).count();
        dependents.insert(task.name(), count);
    }
    let mut ordered = Vec::with_capacity(open.len());
    // The best one that nothing open stands before, again and again. Enqueue refuses circles; one that was forced in
    // by other means leaves the loop without a candidate, and its tasks are left where they are.
    while let Some(at) = open.iter().position(|task| dependents.get(task.name()) == Some(&0)) {
        let task = open.remove(at);
        waiting.remove(task.name());
        for other in &open {
            if other.spec.record.depends_on.contains(task.name())
                && let Some(count) = dependents.get_mut(other.name())
            {
                *count -= 1;
            }
        }
        ordered.push(task);
    }
    ordered
}

/// Lets one task join the growing tip, or says why not.
fn join(session: &Session, snapshot: &Snapshot, plan: &mut Plan, task: &Task, start: ObjectId) -> Result<()> {
    let repo = &session.hub.repo;
    let Some((claim, result)) = task.claim_in(Phase::Completed).and_then(|claim| Some((claim, claim.result?)))
    else {
        return Ok(());
    };
    let name = task.name().clone();
    if let Some(rewritten) = claim.record.target_tip.filter(|seen| !repo.is_ancestor(*seen, start)) {
        let file = ConflictFile { path: rewritten.to_string(), kind: "base_rewritten".to_owned() };
        plan.conflicts.push(Conflict { task: name, claim: claim.clone(), files: vec![file] });
        return Ok(());
    }
    match foundation(session, snapshot, plan, claim) {
        Foundation::Holds => {}
        Foundation::MayLand(on) => {
            let what = format!("{on}, whose work it was built on");
            plan.waiting.push(Wait { task: name, what });
            return Ok(());
        }
        Foundation::Gone(on) => {
            let why = format!("it was built on work of {on} that will not land");
            plan.stale.push((claim.clone(), why));
            return Ok(());
        }
    }
    if let Some(dependency) = undone(snapshot, plan, task) {
        plan.waiting.push(Wait { task: name, what: dependency.to_string() });
        return Ok(());
    }
    merge(session, plan, task, claim, result)
}

/// What became of what a result was built on.
enum Foundation {
    /// It is in the growing tip.
    Holds,
    /// It is not, and may yet be.
    MayLand(TaskName),
    /// It is not, and never will be.
    Gone(TaskName),
}

fn foundation(session: &Session, snapshot: &Snapshot, plan: &Plan, claim: &Claim) -> Foundation {
    for built_on in &claim.record.built_on {
        if session.hub.repo.is_ancestor(built_on.result, plan.tip) {
            continue;
        }
        let dependency = snapshot.get(&built_on.task);
        let stands = dependency.and_then(base::result_of) == Some(Some(built_on.result));
        let may_be_mended = dependency.is_some_and(|task| task.state() == State::Conflict);
        return match stands || may_be_mended {
            true => Foundation::MayLand(built_on.task.clone()),
            false => Foundation::Gone(built_on.task.clone()),
        };
    }
    Foundation::Holds
}

/// Merges one result onto the growing tip.
fn merge(session: &Session, plan: &mut Plan, task: &Task, claim: &Claim, result: ObjectId) -> Result<()> {
    let repo = &session.hub.repo;
    let name = task.name().clone();
    if repo.is_ancestor(result, plan.tip) {
        let merged = merged_claim(session, claim)?;
        // A collect that died half-way may have moved the target and not the claim.
        let commit = super::merge_of(session, plan.tip, claim.id, claim, result);
        plan.merges.push(Merge { task: name, completed: claim.clone(), merged, commit });
        return Ok(());
    }
    let tree = repo.merge(plan.tip, result)?;
    if !tree.conflicts.is_empty() {
        let files = tree.conflicts.into_iter().map(|(path, kind)| ConflictFile { path, kind }).collect();
        plan.conflicts.push(Conflict { task: name, claim: claim.clone(), files });
        return Ok(());
    }
    let merged = merged_claim(session, claim)?;
    let commit = repo.write_commit(&NewCommit {
        tree: tree.tree,
        parents: &[plan.tip, result],
        message: &message(task, claim),
        by: &session.by,
        at: session.ambient.now(),
    })?;
    plan.tip = commit;
    plan.merges.push(Merge { task: name, completed: claim.clone(), merged, commit: Some(commit) });
    Ok(())
}

/// Finds a dependency that is neither merged nor in this plan.
fn undone<'a>(snapshot: &Snapshot, plan: &Plan, task: &'a Task) -> Option<&'a TaskName> {
    task.spec.record.depends_on.iter().find(|name| {
        let joined = plan.merges.iter().any(|merge| merge.task == **name);
        let merged = snapshot.get(name).is_some_and(|task| task.state() == State::Merged);
        !joined && !merged
    })
}

/// The merge commit's message: it names task and claim, so that seals can be rebuilt from the target alone.
fn message(task: &Task, claim: &Claim) -> String {
    let mut trailers = Trailers::default();
    trailers.push("Dispatch-Task", task.name());
    trailers.push("Dispatch-Spec", task.spec.id);
    trailers.push("Dispatch-Claim", claim.id);
    trailers.push("Dispatch-Attempt", claim.record.attempts.begun);
    trailers.push_some("Dispatch-Node", claim.record.node.as_ref());
    trailers.message(&format!("Merge {}: {}", task.name(), task.spec.record.title))
}
