//! Work by hand: finishing and giving back what a person claimed (CLI.md, `finish` and `release`).

use std::collections::BTreeSet;
use std::time::Duration;

use super::base::Base;
use super::claim::{Claimed, Options, Won, claim};
use super::error::{Error, Result};
use super::finish::{self, Ending, Finished};
use super::pick;
use super::release::release;
use super::session::Session;
use super::vet;
use crate::git::ObjectId;
use crate::git::refs::RefChange;
use crate::hub::outbox::Waiting;
use crate::hub::snapshot::{Claim, Snapshot, Standing, Task, chain_of, read_claim};
use crate::hub::{AtOnce, Layout};
use crate::task::{Hold, Phase, Reason, TaskName};

/// How often in a row the hub may take no claim before that counts as a refusal: a busy lock looks the same.
const REFUSALS: u32 = 5;

/// Claims for a person. What nobody took is tried again, until the hub has refused it several times in a row; where no task
/// was named and others were faster, the next ones are tried.
pub fn claim_by_hand(session: &Session, snapshot: &Snapshot, options: &Options) -> Result<Claimed> {
    let mut lost: BTreeSet<TaskName> = BTreeSet::new();
    let mut newer = None;
    for tries in 1.. {
        let known = newer.as_ref().unwrap_or(snapshot);
        let mut claimed = claim(session, known, options, Some(pick::own_record(session)))?;
        if let (true, Some(task), REFUSALS) = (claimed.won.is_empty(), claimed.unmoved.first(), tries) {
            return Err(session.hub.refused(session.hub.layout.claim(task)).into());
        }
        let try_again = claimed.won.is_empty()
            && tries < REFUSALS
            && (!claimed.unmoved.is_empty() || options.tasks.is_empty() && !claimed.lost.is_empty());
        lost.extend(std::mem::take(&mut claimed.lost));
        if try_again {
            newer = Some(session.snapshot()?);
            continue;
        }
        lost.retain(|task| !claimed.won.iter().any(|won| won.claim.record.task == *task));
        claimed.lost = lost.into_iter().collect();
        return Ok(claimed);
    }
    Ok(Claimed::default())
}

/// Publishes what a person made on the branch of the task `given`, and says which task that is. `failure`: it did not work
/// out, and why. Where the claim is known to be ours, the hub is not read before: leases tell whether it still is.
pub fn finish_by_hand(session: &Session, given: &str, failure: Option<&str>) -> Result<(TaskName, Finished)> {
    if let Some(ground) = session.ground()?
        && let Some((name, waiting)) = prepare_at_once(session, given, failure)
    {
        let finished = finish_at_once(session, &waiting, &ground)?;
        return followed_up(session, name, finished);
    }
    // Finishing goes on without the hub: the result waits in the outbox then.
    if let Err(error) = session.sync()
        && !error.is_unreachable()
    {
        return Err(error);
    }
    let snapshot = session.snapshot()?;
    let name = session.resolve(&snapshot, given)?;
    let finished = match prepare(session, &snapshot, &name, failure)? {
        Some(waiting) => finish::publish(session, &waiting, None)?,
        None => return Ok((name, Finished::Published)),
    };
    followed_up(session, name, finished)
}

fn followed_up(session: &Session, name: TaskName, finished: Finished) -> Result<(TaskName, Finished)> {
    if finished == Finished::Published {
        unpin(session, &name)?;
    }
    Ok((name, finished))
}

/// Prepares the result of a task whose claim is ours as far as is known. Whatever is in the way of that may be otherwise by
/// now, and is told of after a look at the hub.
fn prepare_at_once(session: &Session, given: &str, failure: Option<&str>) -> Option<(TaskName, Waiting)> {
    let snapshot = session.snapshot().ok()?;
    let name = session.resolve(&snapshot, given).ok()?;
    let task = snapshot.get(&name)?;
    let tip = task.claim_in(Phase::Running)?;
    let is_ours = own_claim(session, task).is_some_and(|claim| claim.id == tip.id);
    let waiting = is_ours.then(|| prepare(session, &snapshot, &name, failure).ok().flatten())??;
    Some((name, waiting))
}

/// Publishes a result before the hub is read; what that leaves open is settled as ever.
fn finish_at_once(session: &Session, waiting: &Waiting, ground: &[String]) -> Result<Finished> {
    let made = match finish::publish_at_once(session, waiting, ground) {
        Ok(AtOnce::Made) => return Ok(Finished::Published),
        Ok(made) => made,
        Err(error) if error.is_unreachable() => return Ok(Finished::Waiting),
        Err(error) => return Err(error),
    };
    match session.sync() {
        Err(error) if !error.is_unreachable() => {
            // A hub that forgot what it had was given nothing: the work stands on its branch, and is finished later.
            if made == AtOnce::NotMade {
                session.hub.take_from_outbox(&session.state, &waiting.claim)?;
            }
            Err(error)
        }
        _ => finish::publish(session, waiting, None),
    }
}

/// Puts what a person made into the outbox, ready to be published; `None` where that very work was published before.
fn prepare(
    session: &Session,
    snapshot: &Snapshot,
    name: &TaskName,
    failure: Option<&str>,
) -> Result<Option<Waiting>> {
    let task = snapshot.get(name).ok_or_else(|| not_claimed(name))?;
    let claim = own_claim(session, task).ok_or_else(|| not_claimed(name))?;
    let base = claim.record.base.ok_or_else(|| not_claimed(name))?;
    let (branch, result) = work_of(session, name, &claim, base)?;
    if is_finished(session, task, &claim, result) {
        return Ok(None);
    }
    if failure.is_none()
        && let Some(why) = super::repair::lacks(session, &task.spec.record, base, result)?
    {
        return Err(Error::FinishUnresolved { task: name.clone(), why });
    }
    let work = super::repair::Mends::of(&task.spec.record).and_then(|mends| mends.work(&session.hub.repo));
    if let Some(objection) = vet::look(session, base, result, work.as_slice())? {
        return Err(Box::new(objection.by_hand(name, &branch)).into());
    }
    let now = session.ambient.now();
    let seconds = u64::try_from(now.duration_since(claim.at).as_secs()).unwrap_or(0);
    let ending = Ending {
        reason: failure.is_some().then_some(Reason::Exit),
        error: failure.filter(|text| !text.is_empty()).map(|text| session.mask().text(text)),
        slot: None,
        exit_code: None,
        started_at: claim.at,
        took: Duration::from_secs(seconds),
        result: Some(result),
        log: Vec::new(),
        log_bytes: 0,
        log_times: Vec::new(),
        output: None,
    };
    let won = Won {
        base: Base {
            target_tip: claim.record.target_tip.unwrap_or(base),
            commit: base,
            built_on: claim.record.built_on.clone(),
        },
        spec: task.spec.clone(),
        claim,
    };
    finish::record(session, &won, &ending).map(Some)
}

/// Finds the branch of a claim and what stands on it: all of it committed, on top of the base.
fn work_of(session: &Session, name: &TaskName, claim: &Claim, base: ObjectId) -> Result<(String, ObjectId)> {
    let branch = claim.record.branch.clone().unwrap_or_default();
    let full = Layout::branch_ref(&branch);
    let repo = &session.hub.repo;
    if let Some(checkout) = repo.checkout_of(&full)?
        && !repo.checkout_is_clean(&checkout)?
    {
        return Err(Error::FinishDirty { branch, checkout });
    }
    let Some(result) = repo.ref_value(&full) else {
        return Err(Error::FinishNoBranch { task: name.clone(), branch });
    };
    match repo.is_ancestor(base, result) {
        true => Ok((branch, result)),
        false => Err(Error::FinishNotDescended { branch, base: base.to_string() }),
    }
}

/// Lets the pin of a claim go whose work the hub has.
fn unpin(session: &Session, name: &TaskName) -> Result<()> {
    let pin = Layout::by_hand(name);
    match session.hub.repo.ref_value(&pin) {
        Some(old) => {
            Ok(session.hub.repo.change_refs(&[RefChange::new(pin, Some(old), None)], "git dispatch: finished")?)
        }
        None => Ok(()),
    }
}

/// Says whether this very work was published before: the command was given again.
fn is_finished(session: &Session, task: &Task, claim: &Claim, result: ObjectId) -> bool {
    let Some(tip) = tip_of(task) else { return false };
    let chain = chain_of(&session.hub.repo, tip);
    chain.iter().any(|step| {
        step.previous == Some(claim.id)
            && step.result == Some(result)
            && matches!(step.record.phase, Phase::Completed | Phase::Failed)
    })
}

/// Gives back claims that this clone holds; work on the branch is kept with it.
pub fn release_by_hand(session: &Session, names: &[TaskName]) -> Result<()> {
    session.sync()?;
    let snapshot = session.snapshot()?;
    let held = names.iter().map(|name| held_claim(session, &snapshot, name)).collect::<Result<Vec<_>>>()?;
    for claim in held {
        let branch = claim.record.branch.as_deref().map(Layout::branch_ref);
        let work = branch.and_then(|branch| session.hub.repo.ref_value(&branch));
        let work = work.filter(|work| Some(*work) != claim.record.base);
        // What may not be published stays on the branch, which is the person's own.
        let may_go = |work: &ObjectId| match claim.record.base {
            Some(base) => vet::look(session, base, *work, &[]).map(|objection| objection.is_none()),
            None => Ok(true),
        };
        let work = match work.as_ref().map(may_go).transpose()? {
            Some(true) => work,
            _ => None,
        };
        let answer = release(session, &claim, Reason::Drained, work, None)?;
        if !answer.is_yes() {
            return Err(session.hub.refused(session.hub.layout.claim(&claim.record.task)).into());
        }
        unpin(session, &claim.record.task)?;
    }
    Ok(())
}

/// The newest attempt at the task that this clone began by hand, whatever became of the task since: in its chain, or, where
/// that was ended or replaced by others, as it was pinned here.
fn own_claim(session: &Session, task: &Task) -> Option<Claim> {
    let repo = &session.hub.repo;
    let chain = tip_of(task).map(|tip| chain_of(repo, tip)).unwrap_or_default();
    let pinned = repo.ref_value(&Layout::by_hand(task.name())).and_then(|id| read_claim(repo, id).ok());
    let is_own = |claim: &Claim| {
        claim.record.phase == Phase::Running
            && claim.record.hold == Some(Hold::Hand)
            && session.state.is_own(&claim.record.instance)
    };
    let in_chain = chain.into_iter().find(|claim| is_own(claim));
    pinned.into_iter().chain(in_chain).filter(is_own).max_by_key(|claim| claim.record.attempts.begun)
}

/// The tip of the chain in force, or of the one that the seal ended.
fn tip_of(task: &Task) -> Option<ObjectId> {
    match &task.standing {
        Standing::Claimed(claim) => Some(claim.id),
        Standing::Sealed { seal, .. } => seal.claim.as_ref().and_then(|id| ObjectId::from_hex(id.as_bytes()).ok()),
        _ => None,
    }
}

fn held_claim(session: &Session, snapshot: &Snapshot, name: &TaskName) -> Result<Claim> {
    let task = snapshot.get(name).ok_or_else(|| not_claimed(name))?;
    let claim = task.claim().filter(|claim| matches!(claim.record.phase, Phase::Running | Phase::Assigned));
    let claim = claim.ok_or_else(|| not_claimed(name))?;
    let is_own = match claim.record.hold {
        Some(Hold::Hand) => session.state.is_own(&claim.record.instance),
        // A running node gives its own back by itself; from outside that is `reap`'s business.
        _ => claim.record.phase == Phase::Assigned && claim.record.node.as_deref() == Some(session.node.as_str()),
    };
    if is_own { Ok(claim.clone()) } else { Err(not_claimed(name)) }
}

fn not_claimed(name: &TaskName) -> Error {
    Error::NotClaimed { task: name.clone() }
}
