//! Recovery: what a crashed `run` of this clone left behind (DESIGN.md 3, "Heartbeats").
//!
//! With the clone's lock held, another instance under the same clone id is dead. Its outbox is settled first, then its
//! executors are ended, the work in their slots is saved, and its claims are given back.

use crate::executor::slot::{self, Setup, Slot, SlotRecord};
use crate::git::ObjectId;
use crate::hub::snapshot::{Claim, Task};
use crate::hub::{Layout, outbox};
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::release::release;
use crate::protocol::{Result, Session, finish, vet};
use crate::task::{Hold, Phase, Reason};

use super::attempt::rest_message;
use super::fenced;

/// Settles what a dead instance of this clone left: the outbox, then its executors, then its claims.
pub fn recover(session: &Session, announce: &dyn Announce) -> Result<()> {
    // A ref that nobody moves any more would keep its lock for ever.
    session.hub.repo.await_locks_below(Layout::local())?;
    for prefix in session.hub.layout.mirror_prefixes() {
        session.hub.repo.await_locks_below(&prefix)?;
    }
    let (finished, _) = outbox::list(&session.state)?;
    finish::flush(session, announce)?;
    let (waiting, _) = outbox::list(&session.state)?;
    let work_dir = session.work_dir();
    let records = SlotRecord::list(&work_dir);
    let is_ended =
        |record: &&SlotRecord| slot::end_orphans(&Slot::at(&work_dir, record.slot), record).unwrap_or(false);
    let quiet: Vec<usize> = records.iter().filter(is_ended).map(|record| record.slot).collect();
    let snapshot = session.snapshot()?;
    let mut spoiled = Vec::new();
    for task in &snapshot.tasks {
        let Some(claim) = own_dead_claim(session, task) else {
            continue;
        };
        let id = claim.id.to_string();
        let record = records.iter().find(|record| record.claim == id);
        // A result that waits is not lost.
        if waiting.iter().any(|waiting| waiting.claim == id) {
            continue;
        }
        let saved = record.filter(|record| record.begun && quiet.contains(&record.slot));
        let work = match saved.map(|record| save(session, record, task)) {
            Some(Ok(work)) => work,
            // The work is there and cannot be taken out now: the slot is not used again.
            Some(Err(error)) => {
                spoiled.extend(record.map(|record| record.slot));
                announce
                    .happened(&Happened::Note(format!("the work of {} stays in its slot: {error}", task.name())));
                None
            }
            None => None,
        };
        give_back(session, claim, work, announce)?;
    }
    // Those that are still ours were given back above, and what was finished was told of when the outbox was settled.
    let own: Vec<String> =
        snapshot.tasks.iter().filter_map(|task| Some(own_dead_claim(session, task)?.id.to_string())).collect();
    let is_dealt_with = |record: &SlotRecord| {
        own.contains(&record.claim) || finished.iter().any(|finished| finished.claim == record.claim)
    };
    for record in records.iter().filter(|record| record.begun && !is_dealt_with(record)) {
        if quiet.contains(&record.slot) && !fenced::settle(session, &snapshot, record, announce)? {
            spoiled.push(record.slot);
        }
    }
    let is_free = |slot: &usize| quiet.contains(slot) && !spoiled.contains(slot);
    free_slots(&work_dir, &records, is_free)?;
    delete_void(session, &snapshot.tasks)
}

/// Releases claims of this clone that nobody holds: pushes that landed late, this instance's own or those of one that was
/// killed while its push was under way. The clone's lock is held, so any other instance is dead.
pub fn release_late_landings(session: &Session, held: &[ObjectId], announce: &dyn Announce) -> Result<()> {
    let snapshot = session.snapshot()?;
    let (waiting, _) = outbox::list(&session.state)?;
    for task in snapshot.claimed() {
        let Some(claim) = task.claim_in(Phase::Running) else {
            continue;
        };
        let is_ours = session.state.is_own(&claim.record.instance) && claim.record.hold == Some(Hold::Beat);
        let id = claim.id.to_string();
        let has_result = waiting.iter().any(|waiting| waiting.claim == id);
        if is_ours && !has_result && !held.contains(&claim.id) {
            let answer = release(session, claim, Reason::Drained, None, Some("a claim that landed late"))?;
            if answer.is_yes() {
                announce.happened(&Happened::Released { task: task.name().clone(), reason: Reason::Drained });
            }
        }
    }
    Ok(())
}

fn own_dead_claim<'a>(session: &Session, task: &'a Task) -> Option<&'a Claim> {
    let claim = task.claim_in(Phase::Running)?;
    let is_own = session.state.is_own(&claim.record.instance) && claim.record.instance != session.state.instance;
    (is_own && claim.record.hold == Some(Hold::Beat)).then_some(claim)
}

/// Takes the work of a dead attempt out of its slot.
pub(super) fn save(
    session: &Session,
    record: &SlotRecord,
    task: &Task,
) -> crate::executor::Result<Option<ObjectId>> {
    let Ok(base) = ObjectId::from_hex(record.base.as_bytes()) else {
        return Ok(None);
    };
    let origin = session.hub.url();
    let setup = Setup { origin: &origin, branch: &record.branch, base, keep_ignored: &[], by: &session.by };
    let message = rest_message(&record.task, &task.spec.record.title);
    Slot::at(&session.work_dir(), record.slot).save(
        &session.hub.repo,
        &setup,
        &message,
        &Layout::result(&record.claim),
    )
}

fn give_back(session: &Session, claim: &Claim, work: Option<ObjectId>, announce: &dyn Announce) -> Result<()> {
    let (work, withheld) = vet::releasable(session, claim.id, claim.record.base, work)?;
    if let Some(why) = withheld {
        announce.happened(&Happened::Note(format!("{}: {why}", claim.record.task)));
    }
    // One that crashes its node is charged: it must not take the node down for ever.
    let answer = release(session, claim, Reason::Lost, work, Some("this node stopped while it ran"))?;
    if answer.is_yes() {
        // Killed between pinning a result and recording it, there are pins of an outbox record that never was.
        session.hub.take_from_outbox(&session.state, &claim.id.to_string())?;
        announce.happened(&Happened::Released { task: claim.record.task.clone(), reason: Reason::Lost });
    }
    Ok(())
}

/// Frees the slots of the dead instance. One in which something still lives that cannot be told apart from a stranger
/// is moved aside and never used again.
fn free_slots(work_dir: &std::path::Path, records: &[SlotRecord], is_free: impl Fn(&usize) -> bool) -> Result<()> {
    for record in records {
        let slot = Slot::at(work_dir, record.slot);
        if is_free(&record.slot) {
            SlotRecord::remove(&slot);
        } else {
            slot::set_aside(slot.root())?;
        }
    }
    Ok(())
}

/// Deletes chains on sealed tasks that reopen nothing: pushes that landed after the seal.
fn delete_void(session: &Session, tasks: &[Task]) -> Result<()> {
    session.hub.publish(&crate::protocol::seal::leftover_edits(session, tasks)?)?;
    Ok(())
}
