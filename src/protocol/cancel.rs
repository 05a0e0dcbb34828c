//! Cancel: a task is called off for good (DESIGN.md 2.3, "Sealing").
//!
//! Owns who may still be cancelled: what is in the target already cannot. The claim says cancelled first, by
//! compare-and-swap, so that a finish or a claim of the same moment and this exclude each other.

use super::bundle::{Refused, refuse_away};
use super::claim::write;
use super::collect::landed;
use super::error::{Error, Result};
use super::refusal::Refusal;
use super::repair::sweep;
use super::seal::{Ended, leftover_edits, seal};
use super::session::Session;
use crate::git::ObjectId;
use crate::hub::format::ClaimRecord;
use crate::hub::snapshot::{Claim, Snapshot, Standing, Task, chain_of};
use crate::hub::{Edit, Error as HubError};
use crate::task::spec::Mode;
use crate::task::transition::is_legal;
use crate::task::{Phase, TaskName};

/// How often a task that moves under our hands is looked at again.
const TRIES: u32 = 20;

/// What became of tasks that were to be cancelled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// Cancelled now.
    pub cancelled: Vec<TaskName>,
    /// Cancelled before.
    pub already: Vec<TaskName>,
}

/// Cancels tasks; all of them are looked at before any is touched.
pub fn cancel(session: &Session, names: &[TaskName]) -> Result<Cancelled> {
    refuse_away(session, Refused::NotHere { what: "cancelled" })?;
    session.sync()?;
    let mut done = Cancelled::default();
    let mut open: Vec<TaskName> = Vec::new();
    let snapshot = session.snapshot()?;
    // A cancelling that was interrupted behind its seal.
    let leftovers = leftover_edits(session, names.iter().filter_map(|name| snapshot.get(name)))?;
    for name in names {
        match plan(session, &snapshot, name)? {
            Step::Done => done.already.push(name.clone()),
            Step::Seal(_) | Step::Cancel(_) => open.push(name.clone()),
        }
    }
    session.hub.publish(&leftovers)?;
    let mut ended: Vec<Ended> = Vec::new();
    let mut refusal = Refusal::default();
    for attempt in 0..TRIES {
        if open.is_empty() {
            break;
        }
        if attempt > 0 {
            session.sync()?;
            refusal.look(session)?;
        }
        let tried;
        (open, tried) = round(session, &open, &mut ended, &mut done)?;
        refusal.tried(tried);
    }
    if let Some(name) = open.first() {
        return Err(HubError::Busy { name: session.hub.layout.claim(name), tries: TRIES }.into());
    }
    seal(session, &ended)?;
    if !ended.is_empty() {
        // What was to mend one of them is of no use any more.
        sweep(session)?;
    }
    done.cancelled = ended.into_iter().map(|ended| ended.task).collect();
    Ok(done)
}

/// Tries to move the claims of all open tasks in one push; returns those that moved away meanwhile, with what was tried.
fn round(
    session: &Session,
    open: &[TaskName],
    ended: &mut Vec<Ended>,
    done: &mut Cancelled,
) -> Result<(Vec<TaskName>, Vec<Edit>)> {
    let snapshot = session.snapshot()?;
    let (mut edits, mut claims, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for name in open {
        match plan(session, &snapshot, name)? {
            Step::Done => done.already.push(name.clone()),
            Step::Seal(task) => {
                let (half_done, work) = take_up(session, task);
                ended.extend(half_done);
                kept.extend(work);
            }
            Step::Cancel(task) => {
                let claim = cancelled_claim(session, task)?;
                edits.push(Edit::new(session.hub.layout.claim(name), claim.previous, Some(claim.id)));
                claims.push((name.clone(), claim, work_edits(session, task)));
            }
        }
    }
    let answers = session.hub.publish(&edits)?;
    let (mut left, mut lost) = (Vec::new(), Vec::new());
    for (((name, claim, work), edit), answer) in claims.into_iter().zip(edits).zip(answers) {
        if answer.is_yes() {
            ended.push(end(&name, claim));
            kept.extend(work);
        } else {
            left.push(name);
            lost.push(edit);
        }
    }
    session.hub.publish(&kept)?;
    Ok((left, lost))
}

enum Step<'a> {
    Done,
    Seal(&'a Task),
    Cancel(&'a Task),
}

fn plan<'a>(session: &Session, snapshot: &'a Snapshot, name: &TaskName) -> Result<Step<'a>> {
    let too_late = |what: &str| Error::TooLate { task: name.clone(), what: what.to_owned() };
    let Some(task) = snapshot.get(name) else { return Ok(Step::Done) };
    match &task.standing {
        Standing::Sealed { seal, .. } if seal.event == "cancelled" => Ok(Step::Done),
        Standing::Sealed { .. } => Err(too_late("is merged")),
        Standing::Unknown(_) => Err(too_late("has records that cannot be read")),
        Standing::Fresh => Ok(Step::Cancel(task)),
        Standing::Claimed(claim) if claim.record.phase == Phase::Cancelled => Ok(Step::Seal(task)),
        Standing::Claimed(claim) if !is_legal(Some(claim.record.phase), Phase::Cancelled) => {
            Err(too_late("is merged"))
        }
        Standing::Claimed(claim) => {
            let made_something = claim.result != claim.record.base;
            let is_in = claim.record.phase == Phase::Completed && made_something;
            match is_in && landed(session, task, claim).is_some() {
                true => Err(too_late("is in the target already")),
                false => Ok(Step::Cancel(task)),
            }
        }
    }
}

fn end(task: &TaskName, claim: Claim) -> Ended {
    Ended { task: task.clone(), claim, target: None, merge_commit: None, delete_branch: true }
}

/// Takes up a cancelling that was interrupted once the claim said so: what is to be sealed, and the work to be kept.
pub(super) fn take_up(session: &Session, task: &Task) -> (Option<Ended>, Vec<Edit>) {
    let Some(claim) = task.claim_in(Phase::Cancelled) else { return (None, Vec::new()) };
    (Some(ended(session, claim)), work_edits(session, task))
}

/// What is to be sealed and deleted of a claim that says cancelled: with it the branch that holds the newest work.
pub(super) fn ended(session: &Session, claim: &Claim) -> Ended {
    end(&claim.record.task, Claim { result: newest_work(session, claim), ..claim.clone() })
}

fn cancelled_claim(session: &Session, task: &Task) -> Result<Claim> {
    let nonce = session.nonce()?;
    let before = task.claim();
    let record = match before {
        Some(claim) => ClaimRecord::following(&claim.record, Phase::Cancelled, &session.state.instance, nonce),
        None => fresh(session, task, Phase::Cancelled, nonce),
    };
    let previous = before.map(|claim| claim.id);
    let id = write(session, &record, previous, None, &[])?;
    let result = before.and_then(|claim| newest_work(session, claim));
    Ok(Claim { id, record, at: session.ambient.now(), result, previous })
}

/// Starts a chain for a task that was never claimed.
pub(super) fn fresh(session: &Session, task: &Task, phase: Phase, nonce: String) -> ClaimRecord {
    ClaimRecord {
        task: task.name().clone(),
        spec: task.spec.id,
        phase,
        reason: None,
        node: None,
        instance: session.state.instance.clone(),
        nonce,
        attempts: task.attempts(),
        mode: Mode::default(),
        hold: None,
        until: None,
        branch: None,
        target_tip: None,
        base: None,
        built_on: Vec::new(),
        reopens: None,
    }
}

/// The work of a cancelled task is kept where people can look at it, since its chain goes: that of each attempt.
fn work_edits(session: &Session, task: &Task) -> Vec<Edit> {
    let Some(tip) = task.claim() else { return Vec::new() };
    let mut edits: Vec<Edit> = Vec::new();
    for claim in chain_of(&session.hub.repo, tip.id) {
        let (Some(result), Some(node)) = (claim.result, &claim.record.node) else { continue };
        if Some(result) == claim.record.base {
            continue;
        }
        let name = session.hub.layout.attempt(task.name(), claim.record.attempts.begun, node);
        if !edits.iter().any(|edit| edit.name == name) {
            edits.push(Edit::new(name, None, Some(result)));
        }
    }
    edits
}

/// The newest work in a chain: what the task branch should hold.
fn newest_work(session: &Session, tip: &Claim) -> Option<ObjectId> {
    chain_of(&session.hub.repo, tip.id).into_iter().find_map(|claim| claim.result)
}
