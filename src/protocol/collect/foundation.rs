//! Whether finished work stands on firm ground: what it was built on is in the growing tip, or landed for good in
//! another branch (DESIGN.md 5 and 3.3).

use std::collections::BTreeSet;

use super::growing::Growing;
use super::plan::{Plan, Planner};
use crate::git::ObjectId;
use crate::hub::format::BuiltOn;
use crate::hub::snapshot::{Claim, Standing, Task, target_of};
use crate::protocol::base;
use crate::task::{State, TaskName};

/// What became of what a result was built on.
pub(super) enum Foundation {
    /// It is in the growing tip, or landed elsewhere: the result may join.
    Holds,
    /// It is not there, and may yet be: what is waited for, for people.
    MayLand(String),
    /// The work of that task is not there, and never will be.
    Gone(TaskName),
    /// The target was rewritten: this commit of it is gone.
    Rewritten(ObjectId),
}

/// Looks at the ground of one finished task.
pub(super) fn foundation(
    planner: &Planner<'_>,
    plan: &Plan,
    growing: &Growing<'_>,
    task: &Task,
    claim: &Claim,
    rejected: &BTreeSet<TaskName>,
) -> Foundation {
    if let Some(seen) = claim.record.target_tip.filter(|seen| !growing.start_holds(*seen)) {
        return elsewhere(planner, task, seen);
    }
    for built_on in &claim.record.built_on {
        if growing.holds(built_on.result) {
            continue;
        }
        match became(planner, plan, built_on, rejected) {
            Foundation::Holds => {}
            other => return other,
        }
    }
    Foundation::Holds
}

/// The commit that the work started from is not in the branch merged into. In the task's own target, that was rewritten;
/// another branch may only lag behind, and merging would bring along whatever it lacks.
fn elsewhere(planner: &Planner<'_>, task: &Task, seen: ObjectId) -> Foundation {
    let hub = &planner.session.hub;
    let own = target_of(hub, &task.spec.record);
    let stands = own != planner.target && hub.target_tip(&own).is_some_and(|tip| hub.repo.is_ancestor(seen, tip));
    match stands {
        true => Foundation::MayLand(format!("{} to catch up with {own}, which it was built on", planner.target)),
        false => Foundation::Rewritten(seen),
    }
}

/// Says what became of one result that is not in the growing tip.
fn became(planner: &Planner<'_>, plan: &Plan, built_on: &BuiltOn, rejected: &BTreeSet<TaskName>) -> Foundation {
    let name = &built_on.task;
    let is_leaving = rejected.contains(name) || plan.stale.iter().any(|(claim, _)| claim.record.task == *name);
    let dependency = match planner.snapshot.get(name) {
        Some(dependency) if !is_leaving => dependency,
        _ => return Foundation::Gone(name.clone()),
    };
    if let Some((branch, merge)) = landed_in(dependency, built_on) {
        return match branch == planner.target {
            // It was merged into this very branch, and is not in it.
            true => Foundation::Rewritten(merge),
            // Merged for good into another branch: the result brings it along, as its base did.
            false => Foundation::Holds,
        };
    }
    let stands = base::result_of(dependency) == Some(Some(built_on.result));
    let may_be_mended = dependency.state() == State::Conflict;
    match stands || may_be_mended {
        true => Foundation::MayLand(format!("{name}, whose work it was built on")),
        false => Foundation::Gone(name.clone()),
    }
}

/// Says which branch a sealed dependency was merged into, and by which commit, where what was built on is that merge or
/// the result that it merged.
fn landed_in(dependency: &Task, built_on: &BuiltOn) -> Option<(String, ObjectId)> {
    let Standing::Sealed { seal, .. } = &dependency.standing else { return None };
    let merge = ObjectId::from_hex(seal.merge_commit.as_ref()?.as_bytes()).ok()?;
    let is_it = merge == built_on.result || seal.result.as_deref() == Some(built_on.result.to_string().as_str());
    is_it.then(|| Some((seal.target.clone()?, merge))).flatten()
}
