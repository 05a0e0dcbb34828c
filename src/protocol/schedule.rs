//! Schedule: the two-pass assignment (DESIGN.md 4).
//!
//! First, each undecided or push task that a live, unpaused, push-capable node with a free slot matches is assigned to
//! it. Second, what no known node offers for push is shown as pull. Neither is stored: an undecided task stays claimable
//! by any node throughout.

use std::collections::HashMap;

use super::assign;
use super::error::Result;
use super::nodes::{Node, nodes};
use super::pick;
use super::session::Session;
use crate::hub::Edit;
use crate::hub::snapshot::{Snapshot, Task};
use crate::task::name::NameKind;
use crate::task::order::{Candidate, Offer, choose, obstacle};
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
}

/// A node that tasks can be pushed to.
struct Seat {
    name: Name,
    offer: Offer,
    free: usize,
    live: bool,
}

/// Makes both passes once.
pub fn schedule(session: &Session) -> Result<Scheduled> {
    session.sync()?;
    let snapshot = session.snapshot()?;
    let mut seats = seats(session, &snapshot)?;
    let candidates: Vec<Candidate> = pick::candidates(session, &snapshot)
        .into_iter()
        .filter(|task| task.state == State::Pending && task.mode != Mode::Pull)
        .collect();
    let mut done = Scheduled::default();
    let mut wanted: Vec<(TaskName, Name)> = Vec::new();
    for task in in_order(&candidates) {
        if snapshot.get(&task.name).is_some_and(|task| pick::lacks_run(session, task)) {
            continue;
        }
        // Mode push means by assignment only; the assignment is what is being made.
        let assignable = Candidate { mode: Mode::Undecided, ..task.clone() };
        let seat = seats
            .iter_mut()
            .find(|seat| seat.live && seat.free > 0 && obstacle(&assignable, &seat.offer).is_none());
        match seat {
            Some(seat) => {
                seat.free -= 1;
                seat.offer.scopes.push((task.name.clone(), task.modifies.clone()));
                wanted.push((task.name.clone(), seat.name.clone()));
            }
            None if task.mode == Mode::Undecided => {
                let is_offered = seats.iter().any(|seat| offers(&seat.offer, task));
                if is_offered { done.undecided.push(task.name.clone()) } else { done.pull.push(task.name.clone()) }
            }
            None => {}
        }
    }
    publish(session, &snapshot, wanted, &mut done)?;
    Ok(done)
}

/// The candidates in the order of the choice, as if one node could do them all.
fn in_order(candidates: &[Candidate]) -> Vec<&Candidate> {
    let everything = Offer {
        node: Name::sanitized("schedule", "schedule"),
        labels: candidates.iter().flat_map(|task| task.labels.iter().cloned()).collect(),
        executors: candidates.iter().map(|task| task.executor.clone()).collect(),
        only_assigned: false,
        by_hand: true,
        fleet: Vec::new(),
        scopes: Vec::new(),
        age_step: 0,
    };
    let mut ordered = choose(candidates, &everything);
    // What has to wait for something is not ready for anybody; it is neither assigned nor told of.
    ordered.retain(|task| task.rests == 0);
    ordered
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
            offer: offer_of(session, snapshot, node, &name),
            free: (node.record.slots as usize).saturating_sub(taken),
            live: matches!(node.state.as_str(), "idle" | "busy") && !control.is_paused(name.as_str()),
            name,
        });
    }
    Ok(seats)
}

/// What a node offers, by its own word.
fn offer_of(session: &Session, snapshot: &Snapshot, node: &Node, name: &Name) -> Offer {
    Offer {
        labels: node.record.labels.iter().cloned().collect(),
        executors: node.record.executors.iter().cloned().collect(),
        only_assigned: false,
        ..pick::offer(session, snapshot, name, false)
    }
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
