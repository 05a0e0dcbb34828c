//! Assign: a task is meant for one node (DESIGN.md 4).
//!
//! The same compare-and-swap on the same ref as a claim, so that of an assignment and a claim of the same moment exactly
//! one wins. What the node could never begin is refused. An assignment whose node does not begin in `assign_timeout` may be taken back by anybody.

use jiff::{SignedDuration, Timestamp};

use super::bundle::{Refused, refuse_away};
use super::cancel::fresh;
use super::claim::write;
use super::error::{Error, Result};
use super::nodes::{Node, nodes};
use super::pick;
use super::refusal::Refusal;
use super::release::release;
use super::session::Session;
use crate::config::near::nearest;
use crate::hub::format::ClaimRecord;
use crate::hub::snapshot::{Claim, Snapshot, Task};
use crate::hub::{Edit, Error as HubError};
use crate::task::order::{Candidate, Obstacle, Offer, obstacle};
use crate::task::scope::Scopes;
use crate::task::spec::Mode;
use crate::task::{Hold, Name, Phase, Reason, State, TaskName};

/// How often a task that moves under our hands is looked at again.
const TRIES: u32 = 20;

/// Assigns one task to one node. Answers with a line for the person where the node does not take it up now.
pub fn assign(session: &Session, name: &TaskName, node: &Name) -> Result<Option<String>> {
    refuse_away(session, Refused::NotHere { what: "assigned" })?;
    let mut refusal = Refusal::default();
    for _ in 0..TRIES {
        session.sync()?;
        refusal.look(session)?;
        let snapshot = session.snapshot()?;
        let known = find(session, &snapshot, node)?;
        let Some(task) = snapshot.get(name) else { break };
        if pick::goes_by_bundle(session, task) && task.state() == State::Pending {
            return Err(Refused::OnlyByBundle { task: name.clone() }.into());
        }
        match (task.state(), task.claim()) {
            (State::Pending, _) => {}
            (State::Assigned, Some(claim)) if is_over(session, claim) => {
                release(session, claim, Reason::Stale, None, Some(&not_begun(claim)))?;
                continue;
            }
            (State::Assigned, Some(claim)) if claim.record.node.as_deref() == Some(node.as_str()) => {
                return Ok(None);
            }
            (state, _) => return Err(Error::NotPending { task: name.clone(), state }),
        }
        check_fit(session, &snapshot, task, &known, node)?;
        let edit = edit(session, task, node)?;
        if session.hub.publish(std::slice::from_ref(&edit))?[0].is_yes() {
            return not_up(session, &known);
        }
        refusal.tried(vec![edit]);
    }
    Err(HubError::Busy { name: session.hub.layout.claim(name), tries: TRIES }.into())
}

/// Finds a node that was ever seen.
fn find(session: &Session, snapshot: &Snapshot, node: &Name) -> Result<Node> {
    let nodes = nodes(session, snapshot)?;
    let help = match nearest(node.as_str(), nodes.iter().map(|known| known.record.name.as_str())) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`git dispatch nodes` shows those that are known; a node is, once it has run".to_owned(),
    };
    let known = nodes.into_iter().find(|known| known.record.name == node.as_str());
    known.ok_or_else(|| Error::UnknownNode { node: node.to_string(), help })
}

/// What a node offers, by its own word.
pub(super) fn offer_of(node: &Node, name: &Name) -> Offer {
    Offer {
        node: name.clone(),
        labels: node.record.labels.iter().cloned().collect(),
        executors: node.record.executors.iter().cloned().collect(),
        only_assigned: false,
        by_hand: false,
        fleet: Vec::new(),
        scopes: Scopes::default(),
        age_step: 0,
    }
}

/// Refuses what the node could never begin: it would wait there for `assign_timeout`, for nothing. What stands in the
/// way for now only (a dependency, a scope, a rest) does not matter.
fn check_fit(session: &Session, snapshot: &Snapshot, task: &Task, node: &Node, name: &Name) -> Result<()> {
    let asked = Candidate {
        mode: Mode::Undecided,
        depends_on: Vec::new(),
        rests: 0,
        ..pick::candidate(session, snapshot, task)
    };
    let lack = match obstacle(&asked, &offer_of(node, name)) {
        _ if node.record.mode == "pull" => "it is of mode pull, and never assigned to".to_owned(),
        Some(Obstacle::Label(label)) => format!("it lacks label {}", crate::task::text::escaped(&label)),
        Some(Obstacle::Executor(executor)) => {
            format!("it does not offer executor {}", crate::task::text::escaped(&executor))
        }
        Some(Obstacle::NothingToRun) => "the spec has no `run` for the shell executor".to_owned(),
        _ => return Ok(()),
    };
    Err(Error::Unfit { task: task.name().clone(), node: name.to_string(), lack })
}

/// Says that a node is not about to begin anything.
fn not_up(session: &Session, node: &Node) -> Result<Option<String>> {
    let is_paused = session.hub.control()?.is_paused(&node.record.name);
    let state = match node.state.as_str() {
        "idle" | "busy" if !is_paused => return Ok(None),
        "idle" | "busy" => "paused",
        state => state,
    };
    let name = crate::task::text::escaped(&node.record.name);
    let time = *session.config.node_settings(&node.record.name).assign_timeout;
    let time = crate::task::text::lasting(time.as_secs());
    Ok(Some(format!("{name} is {state}; a task that it does not begin within {time} returns to the queue")))
}

fn is_over(session: &Session, claim: &Claim) -> bool {
    claim.record.until.is_some_and(|until| until < session.ambient.now())
}

fn not_begun(claim: &Claim) -> String {
    format!("{} did not begin in time", claim.record.node.as_deref().unwrap_or_default())
}

/// Takes assignments back that were not begun in time; says whether there were any. Nodes do the same at their polls.
pub fn take_back(session: &Session, snapshot: &Snapshot) -> Result<bool> {
    let over = overdue(session, snapshot);
    for claim in &over {
        release(session, claim, Reason::Stale, None, Some(&not_begun(claim)))?;
    }
    Ok(!over.is_empty())
}

/// Lists the assignments that were not begun in time.
pub fn overdue<'a>(session: &Session, snapshot: &'a Snapshot) -> Vec<&'a Claim> {
    let assigned = snapshot.claimed().filter_map(|task| task.claim_in(Phase::Assigned));
    assigned.filter(|claim| is_over(session, claim)).collect()
}

/// Prepares the claim that says assigned.
pub(super) fn edit(session: &Session, task: &Task, node: &Name) -> Result<Edit> {
    let time = *session.config.node_settings(node.as_str()).assign_timeout;
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    prepare(session, task, node, Hold::Beat, session.ambient.now().checked_add(time).ok())
}

/// Prepares the claim that reserves a task for a node that gets it in a file.
pub(super) fn reservation(session: &Session, task: &Task, node: &Name, until: Timestamp) -> Result<Edit> {
    prepare(session, task, node, Hold::Offline, Some(until))
}

fn prepare(session: &Session, task: &Task, node: &Name, hold: Hold, until: Option<Timestamp>) -> Result<Edit> {
    let nonce = session.nonce()?;
    let before = task.claim();
    let mut record = match before {
        Some(claim) => ClaimRecord::following(&claim.record, Phase::Assigned, &session.state.instance, nonce),
        None => fresh(session, task, Phase::Assigned, nonce),
    };
    record.node = Some(node.to_string());
    record.mode = Mode::Push;
    record.hold = Some(hold);
    record.until = until;
    record.branch = None;
    record.base = None;
    record.target_tip = None;
    record.built_on = Vec::new();
    let previous = before.map(|claim| claim.id);
    let id = write(session, &record, previous, None, &[])?;
    Ok(Edit::new(session.hub.layout.claim(task.name()), previous, Some(id)))
}
