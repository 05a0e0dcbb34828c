//! Collect: finished work is merged into the target, in order (DESIGN.md 5).
//!
//! Owns the order, what may join, the merge commits, and the one atomic push of target and claims. Merging itself is
//! `git::merge`'s, sealing is `seal`'s. Nothing of a collect that did not get through is visible to anybody.

mod checkout;
mod plan;

use std::collections::BTreeMap;

use super::announce::{Announce, Happened};
use super::claim::write;
use super::error::{Error, Result};
use super::seal::{self, Ended};
use super::session::Session;
use crate::git::objects::NewEntry;
use crate::git::{Error as GitError, ObjectId};
use crate::hub::format::claim::STATUS_FILE;
use crate::hub::format::{ClaimRecord, Trailers};
use crate::hub::notes::Addition;
use crate::hub::snapshot::{Claim, Snapshot, target_of};
use crate::hub::{Edit, Error as HubError, Layout};
use crate::task::event::{ConflictFile, Event};
use crate::task::{Phase, Reason, State, TaskName};

pub use plan::{Conflict, Merge, Plan, Wait};

/// How often a collect starts again from a target that moved.
const TRIES: u32 = 10;

/// What is wanted of a collect.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The tasks wanted; empty: all that are completed.
    pub tasks: Vec<TaskName>,
    /// The branch to merge into, where it is not the tasks' own.
    pub into: Option<String>,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What a collect did to one target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// The branch.
    pub target: String,
    /// Its tip before.
    pub old: Option<ObjectId>,
    /// Its tip after.
    pub new: Option<ObjectId>,
    /// What was merged, in order, with the merge commits; none where there was nothing to merge.
    pub merged: Vec<(TaskName, Option<ObjectId>)>,
    /// What does not merge.
    pub conflicts: Vec<(TaskName, Vec<ConflictFile>)>,
    /// What was left out for another reason.
    pub rejected: Vec<(TaskName, Reason)>,
    /// What has to wait, and for what.
    pub waiting: Vec<(TaskName, String)>,
    /// A line for the person whose checkout did not follow.
    pub checkout_note: Option<String>,
}

/// Merges finished work into its target, and seals it.
pub fn collect(session: &Session, options: &Options, announce: &dyn Announce) -> Result<Collected> {
    if let Some(branch) = options.into.as_ref().filter(|branch| !crate::task::spec::is_branch(branch)) {
        return Err(GitError::NoTarget { branch: branch.clone() }.into());
    }
    session.sync_with(options.into.as_deref())?;
    if session.hub.repo.is_shallow() {
        return Err(Error::Shallow);
    }
    let earlier = checkout::resume(session)?;
    let mut finished = Vec::new();
    if !options.dry_run {
        finished = seal::finish_half_done(session, &session.snapshot()?)?;
    }
    let target = options.into.clone().unwrap_or_else(|| session.hub.target.clone());
    for _ in 0..TRIES {
        let snapshot = session.snapshot()?;
        let Some(tip) = session.hub.target_tip(&target) else {
            return Err(match &options.into {
                Some(branch) => GitError::NoTarget { branch: branch.clone() }.into(),
                None => Error::NoCommits { branch: target },
            });
        };
        let plan = plan::plan(session, &snapshot, options, &target, tip)?;
        if options.dry_run {
            return Ok(outcome(&plan, &target, tip));
        }
        let checkout = checkout::prepare(session, &target, tip, plan.tip)?;
        if !publish(session, &plan, &target, tip)? {
            // Somebody moved the target, or one of the tasks: start again from what is there now.
            session.sync_with(options.into.as_deref())?;
            // The push may have got through although others came after it: then ours are merged and not yet sealed.
            finished.extend(seal::finish_half_done(session, &session.snapshot()?)?);
            // So may that of a collect that was killed, whose git outlived it.
            for published in [&earlier, &checkout] {
                checkout::catch_up(session, published.as_ref())?;
            }
            checkout::forget(session)?;
            continue;
        }
        let mut collected = outcome(&plan, &target, tip);
        collected.checkout_note = checkout::follow(session, checkout)?;
        settle(session, &plan, &collected, announce)?;
        let sealed_now = finished.iter().filter(|name| !collected.merged.iter().any(|(done, _)| done == *name));
        let sealed_now: Vec<TaskName> = sealed_now.cloned().collect();
        for name in sealed_now {
            announce.happened(&Happened::Note(format!(
                "{name} was merged by a collect that did not end; it is sealed now"
            )));
        }
        super::blocked::tell(session, &session.snapshot()?, announce)?;
        return Ok(collected);
    }
    Err(HubError::Busy { name: Layout::branch_ref(&target), tries: TRIES }.into())
}

fn outcome(plan: &Plan, target: &str, old: ObjectId) -> Collected {
    Collected {
        target: target.to_owned(),
        old: Some(old),
        new: Some(plan.tip),
        merged: plan.merges.iter().map(|merge| (merge.task.clone(), merge.commit)).collect(),
        conflicts: plan.conflicts.iter().map(|conflict| (conflict.task.clone(), conflict.files.clone())).collect(),
        rejected: plan.stale.iter().map(|(claim, _)| (claim.record.task.clone(), Reason::Stale)).collect(),
        waiting: plan.waiting.iter().map(|wait| (wait.task.clone(), wait.what.clone())).collect(),
        checkout_note: None,
    }
}

/// Pushes the target, leased on the tip that we started from, and the merged claims, all or nothing.
fn publish(session: &Session, plan: &Plan, target: &str, old: ObjectId) -> Result<bool> {
    if plan.merges.is_empty() {
        return Ok(true);
    }
    let mut edits = Vec::new();
    if plan.tip != old {
        edits.push(Edit::new(Layout::branch_ref(target), Some(old), Some(plan.tip)));
    }
    edits.extend(plan.merges.iter().map(|merge| {
        Edit::new(session.hub.layout.claim(&merge.task), Some(merge.completed.id), Some(merge.merged.id))
    }));
    let answers = session.hub.publish_atomically(&edits)?;
    if super::claim::all_yes(&answers) {
        return Ok(true);
    }
    if answers.iter().all(|answer| *answer == crate::hub::Answer::Unknown) {
        // The hub answers and nothing moved. A race moves something; a refusal does not.
        return Err(session.hub.refused(Layout::branch_ref(target)).into());
    }
    Ok(false)
}

/// What follows once the target has moved: conflicts and stale work are recorded, merged tasks are sealed.
fn settle(session: &Session, plan: &Plan, collected: &Collected, announce: &dyn Announce) -> Result<()> {
    let target = collected.target.as_str();
    for merge in &plan.merges {
        announce.happened(&Happened::Merged {
            task: merge.task.clone(),
            target: target.to_owned(),
            merge_commit: merge.commit,
        });
    }
    for conflict in &plan.conflicts {
        record_conflict(session, conflict, target)?;
        announce.happened(&Happened::Conflicted { task: conflict.task.clone(), files: conflict.files.clone() });
    }
    for (claim, why) in &plan.stale {
        release_stale(session, claim, why)?;
        announce.happened(&Happened::Released { task: claim.record.task.clone(), reason: Reason::Stale });
    }
    let ended: Vec<Ended> = plan
        .merges
        .iter()
        .map(|merge| Ended {
            task: merge.task.clone(),
            claim: merge.merged.clone(),
            target: Some(target.to_owned()),
            merge_commit: merge.commit,
            delete_branch: session.config.collect.delete_branches,
        })
        .collect();
    // It explains and decides nothing: where it cannot be written, the collect is as good.
    let report = || super::report::note(session, collected).unwrap_or_default();
    for (branch, why) in seal::seal_with(session, &ended, &report)? {
        announce.happened(&Happened::Note(format!("the branch {branch} {why}; it stays")));
    }
    Ok(())
}

/// Writes the claim that says merged; it is pushed together with the target.
fn merged_claim(session: &Session, completed: &Claim) -> Result<Claim> {
    let record =
        ClaimRecord::following(&completed.record, Phase::Merged, &session.state.instance, session.nonce()?);
    let id = write(session, &record, Some(completed.id), None, &[])?;
    Ok(Claim { id, record, at: session.ambient.now(), result: completed.result, previous: Some(completed.id) })
}

/// Records that finished work does not merge: the claim says conflict, with the files in its tree.
fn record_conflict(session: &Session, conflict: &Conflict, target: &str) -> Result<()> {
    let claim = &conflict.claim;
    let record = ClaimRecord::following(&claim.record, Phase::Conflict, &session.state.instance, session.nonce()?);
    let mut event = Event::new("conflict", session.ambient.now());
    event.attempt = Some(record.attempts.begun);
    event.node.clone_from(&record.node);
    event.claim = Some(claim.id.to_string());
    event.target = Some(target.to_owned());
    event.files = Some(conflict.files.clone());
    let text = format!("{}\n", event.to_line());
    let files = [NewEntry { name: STATUS_FILE, content: text.as_bytes() }];
    let id = write(session, &record, Some(claim.id), None, &files)?;
    let mut edits = vec![Edit::new(session.hub.layout.claim(&conflict.task), Some(claim.id), Some(id))];
    let additions = [Addition::line(record.spec, &event)];
    edits.extend(session.hub.add_status(&session.node, &additions, &session.by, &session.ambient)?);
    session.hub.publish(&edits)?;
    Ok(())
}

/// Releases work whose foundation can no longer land, and keeps the work.
fn release_stale(session: &Session, claim: &Claim, why: &str) -> Result<()> {
    if let (Some(result), Some(node)) = (claim.result, &claim.record.node) {
        let name = session.hub.layout.attempt(&claim.record.task, claim.record.attempts.begun, node);
        session.hub.publish(&[Edit::new(name, None, Some(result))])?;
    }
    super::release::release(session, claim, Reason::Stale, None, Some(why))?;
    Ok(())
}

/// Puts a merged claim back whose result never reached the target.
pub fn put_back(session: &Session, claim: &Claim) -> Result<()> {
    let record = ClaimRecord::following(&claim.record, Phase::Completed, &session.state.instance, session.nonce()?);
    let repo = &session.hub.repo;
    let previous = claim.previous.unwrap_or(claim.id);
    let status = repo.file_in(previous, STATUS_FILE).unwrap_or_default();
    let files = [NewEntry { name: STATUS_FILE, content: &status }];
    let id = write(session, &record, Some(claim.id), claim.result, &files)?;
    session.hub.publish(&[Edit::new(session.hub.layout.claim(&record.task), Some(claim.id), Some(id))])?;
    Ok(())
}

/// Says whether the result of a claim is in the target, and by which merge commit: `Some(None)` where it needed none.
pub fn landed(session: &Session, target: &str, claim: &Claim) -> Option<Option<ObjectId>> {
    let tip = session.hub.target_tip(target)?;
    let result = claim.result?;
    if !session.hub.repo.is_ancestor(result, tip) {
        return None;
    }
    Some(claim.previous.and_then(|completed| merge_of(session, tip, completed, claim, result)))
}

/// Finds the merge commit that brought the result of a completed claim below `tip`, by its trailer.
fn merge_of(
    session: &Session,
    tip: ObjectId,
    completed: ObjectId,
    claim: &Claim,
    result: ObjectId,
) -> Option<ObjectId> {
    // Nothing was made, so nothing was merged.
    if claim.record.base == Some(result) {
        return None;
    }
    let completed = completed.to_string();
    let mut found = None;
    session.hub.repo.first_parents(tip, |commit| {
        if commit.parents.get(1) == Some(&result) {
            let trailers = Trailers::parse(&commit.message);
            if trailers.get("Dispatch-Claim") == Some(completed.as_str()) {
                found = Some(commit.id);
            }
        }
        found.is_none()
            && commit.parents.first().is_some_and(|parent| {
                session.hub.repo.is_ancestor(result, *parent) || commit.parents.contains(&result)
            })
    });
    found
}

/// Groups the completed tasks by the target that they go to.
pub fn targets(session: &Session, snapshot: &Snapshot) -> BTreeMap<String, Vec<TaskName>> {
    let mut targets: BTreeMap<String, Vec<TaskName>> = BTreeMap::new();
    for task in snapshot.tasks.iter().filter(|task| task.state() == State::Completed) {
        targets.entry(target_of(&session.hub, &task.spec.record)).or_default().push(task.name().clone());
    }
    targets
}
