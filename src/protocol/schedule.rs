//! Schedule: the two-pass assignment (DESIGN.md 4).
//!
//! First, each undecided or push task that a live, unpaused, push-capable node with a free slot matches is assigned to
//! it. Second, what no known node offers for push is shown as pull. Neither is stored: an undecided task stays claimable
//! by any node throughout.

use std::collections::HashMap;

use super::assign::{self, offer_of};
use super::bundle::{Refused, refuse_away};
use super::error::Result;
use super::nodes::nodes;
use super::pick;
use super::session::Session;
use super::trust;
use crate::hub::Edit;
use crate::hub::snapshot::{Snapshot, Task, read_claim};
use crate::task::name::NameKind;
use crate::task::order::{Candidate, Offer, choose, is_overdue, obstacle};
use crate::task::scope::Scopes;
use crate::task::spec::Mode;
use crate::task::{Name, Phase, State, TaskName};

/// What a schedule did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scheduled {
    /// What was assigned, and to whom.
    pub assigned: Vec<(TaskName, Name)>,
    /// What only nodes that pull can run.
    pub pull: Vec<TaskName>,
    /// What any node may still claim, or be assigned.
    pub undecided: Vec<TaskName>,
    /// What goes by bundle only: nobody claims it online.
    pub by_bundle: Vec<TaskName>,
}

/// A node that tasks can be pushed to.
struct Seat {
    name: Name,
    offer: Offer,
    free: usize,
    live: bool,
}

/// Makes both passes once. Assignments that were not begun in time are taken back first.
pub fn schedule(session: &Session) -> Result<Scheduled> {
    refuse_away(session, Refused::NotHere { what: "scheduled" })?;
    session.sync()?;
    if assign::take_back(session, &session.snapshot()?)? {
        session.sync()?;
    }
    let snapshot = session.snapshot()?;
    let mut seats = seats(session, &snapshot)?;
    let candidates: Vec<Candidate> = pick::candidates(session, &snapshot)
        .into_iter()
        .filter(|task| task.state == State::Pending && task.mode != Mode::Pull)
        .collect();
    let wanted = first_pass(session, &snapshot, &candidates, &mut seats);
    let mut done = Scheduled::default();
    for task in candidates.iter().filter(|task| task.mode == Mode::Undecided) {
        if wanted.iter().any(|(name, _)| *name == task.name) {
            continue;
        }
        let list = match task.by_bundle {
            true => &mut done.by_bundle,
            false if seats.iter().any(|seat| offers(&seat.offer, task)) => &mut done.undecided,
            false => &mut done.pull,
        };
        list.push(task.name.clone());
    }
    publish(session, &snapshot, wanted, &mut done)?;
    Ok(done)
}

/// Finds for each task that is ready, in the order of the choice, the node with most room for it.
fn first_pass(
    session: &Session,
    snapshot: &Snapshot,
    candidates: &[Candidate],
    seats: &mut [Seat],
) -> Vec<(TaskName, Name)> {
    let age_step = session.config.age_step.as_secs();
    let mut scopes = pick::scopes(snapshot);
    let mut wanted = Vec::new();
    for task in in_order(candidates, age_step) {
        if seats.iter().all(|seat| !seat.live || seat.free == 0) {
            break;
        }
        let Some(queued) = snapshot
            .get(&task.name)
            .filter(|queued| !pick::lacks_run(session, queued) && trust::doubt_of_start(session, queued).is_none())
        else {
            continue;
        };
        if scopes.meeting(&task.name, &task.modifies).is_some() {
            if is_overdue(task, age_step) {
                scopes.add(&task.name, &task.modifies);
            }
            continue;
        }
        let passed = let_pass_by(session, queued);
        // Mode push means by assignment only; the assignment is what is being made.
        let assignable = Candidate { mode: Mode::Undecided, ..task.clone() };
        let can = |seat: &Seat| {
            let has_passed = passed.as_deref() == Some(seat.name.as_str());
            seat.live && seat.free > 0 && !has_passed && obstacle(&assignable, &seat.offer).is_none()
        };
        let best = seats.iter_mut().rev().filter(|seat| can(seat)).max_by_key(|seat| seat.free);
        if let Some(seat) = best {
            seat.free -= 1;
            scopes.add(&task.name, &task.modifies);
            wanted.push((task.name.clone(), seat.name.clone()));
        }
    }
    wanted
}

/// The node that did not begin this task in time, when that is how it came back: it is not asked again at once, or the
/// task would never get to another.
fn let_pass_by(session: &Session, task: &Task) -> Option<String> {
    let released = task.claim_in(Phase::Released)?;
    let before = read_claim(&session.hub.repo, released.previous?).ok()?;
    (before.record.phase == Phase::Assigned).then_some(before.record.node).flatten()
}

/// The candidates that wait for nothing, in the order of the choice, as if one node could do them all.
fn in_order(candidates: &[Candidate], age_step: u64) -> Vec<&Candidate> {
    let everything = Offer {
        node: Name::sanitized("schedule", "schedule"),
        labels: candidates.iter().flat_map(|task| task.labels.iter().cloned()).collect(),
        executors: candidates.iter().map(|task| task.executor.clone()).collect(),
        only_assigned: false,
        by_hand: true,
        fleet: Vec::new(),
        scopes: Scopes::default(),
        age_step,
    };
    // Scopes count against what is assigned, which is not known yet.
    let apart: Vec<Candidate> =
        candidates.iter().map(|task| Candidate { modifies: Vec::new(), ..task.clone() }).collect();
    let by_position: HashMap<usize, &Candidate> = candidates.iter().map(|task| (task.position, task)).collect();
    let ordered = choose(&apart, &everything).into_iter().filter(|task| task.rests == 0);
    ordered.filter_map(|task| by_position.get(&task.position).copied()).collect()
}

fn offers(offer: &Offer, task: &Candidate) -> bool {
    task.labels.iter().all(|label| offer.labels.contains(label)) && offer.executors.contains(&task.executor)
}

/// The nodes that tasks may be pushed to, by name; which of them live goes by their beats' own time.
fn seats(session: &Session, snapshot: &Snapshot) -> Result<Vec<Seat>> {
    let control = session.hub.control()?;
    let mut seats = Vec::new();
    let mut busy: HashMap<&str, usize> = HashMap::new();
    for claim in snapshot.tasks.iter().filter_map(Task::claim) {
        if matches!(claim.record.phase, Phase::Running | Phase::Assigned) {
            *busy.entry(claim.record.node.as_deref().unwrap_or_default()).or_default() += 1;
        }
    }
    for node in nodes(session, snapshot)?.iter().filter(|node| node.record.mode != "pull") {
        let Ok(name) = Name::new(NameKind::Node, &node.record.name) else { continue };
        let taken = busy.get(name.as_str()).copied().unwrap_or(0);
        seats.push(Seat {
            offer: offer_of(node, &name),
            free: (node.record.slots as usize).saturating_sub(taken),
            live: matches!(node.state.as_str(), "idle" | "busy") && !control.is_paused(name.as_str()),
            name,
        });
    }
    Ok(seats)
}

/// Publishes the assignments in one push; those that were lost to a claim are nobody's concern here.
fn publish(
    session: &Session,
    snapshot: &Snapshot,
    wanted: Vec<(TaskName, Name)>,
    done: &mut Scheduled,
) -> Result<()> {
    let mut edits: Vec<Edit> = Vec::new();
    for (task, node) in &wanted {
        if let Some(task) = snapshot.get(task) {
            edits.push(assign::edit(session, task, node)?);
        }
    }
    let answers = session.hub.publish(&edits)?;
    let won = wanted.into_iter().zip(answers).filter(|(_, answer)| answer.is_yes());
    done.assigned.extend(won.map(|(pair, _)| pair));
    Ok(())
}
