//! What the node sees of the fleet, taken from a snapshot for the pure machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::liveness::Beat;
use super::machine::View;
use crate::executor::tmux::Room;
use crate::hub::nodes::Seen;
use crate::hub::snapshot::{Snapshot, Standing, Task};
use crate::protocol::{Result, Session, pick};
use crate::task::order::{self, Candidate};
use crate::task::{Hold, Phase, TaskName};

/// Takes the view; `wanted`: only these tasks are run here, unless it is empty; `resting`: the executors that are left
/// alone for now.
pub fn view(
    session: &Session,
    snapshot: &Snapshot,
    wanted: &[TaskName],
    resting: &BTreeSet<String>,
) -> Result<View> {
    let nodes = session.hub.node_records()?;
    let (ready, room) = ready(session, snapshot, wanted, resting);
    let mut view = View {
        ready,
        room,
        paused: session.hub.control()?.is_paused(session.node.as_str()),
        fleet: nodes.iter().filter(|node| node.record.state != "stopped").count(),
        jitter: session.ambient.fraction(),
        ..View::default()
    };
    let own = session.node.as_str();
    for node in nodes.iter().filter(|node| node.name != own) {
        let mark = session.hub.known(&session.hub.layout.node_named(&node.name)).map(|id| id.to_string());
        let patience = patience(session, Some(node), &node.name);
        view.beats.push((name_of_node(&node.name), Beat { mark: mark.unwrap_or_default(), patience }));
    }
    for task in snapshot.claimed() {
        watch(session, &nodes, task, &mut view);
    }
    Ok(view)
}

/// The tasks that may be claimed now, the best first, with the sessions that are free for those which need one.
fn ready(
    session: &Session,
    snapshot: &Snapshot,
    wanted: &[TaskName],
    resting: &BTreeSet<String>,
) -> (Vec<TaskName>, BTreeMap<TaskName, Vec<String>>) {
    let mut offer = pick::offer(session, snapshot, &session.node, false);
    offer.executors.retain(|executor| !resting.contains(executor));
    let mut candidates: Vec<Candidate> = pick::suitable(session, snapshot, &offer);
    candidates.extend(pick::takeovers(session, snapshot, &offer).map(|(_, candidate)| candidate));
    candidates.retain(|candidate| wanted.is_empty() || wanted.contains(&candidate.name));
    let chosen = order::choose(&candidates, &offer);
    let ready = chosen.iter().map(|candidate| candidate.name.clone()).collect();
    let mut sessions = Room::default();
    let mut room = BTreeMap::new();
    for candidate in chosen {
        let settings = session.config.executor(&candidate.executor);
        let project = candidate.name.project.as_str();
        if let Some(free) = settings.and_then(|settings| sessions.of(settings, project, &session.ambient)) {
            room.insert(candidate.name.clone(), free);
        }
    }
    (ready, room)
}

/// Adds what has to be watched of one task: its claim, and what keeps that alive.
fn watch(session: &Session, nodes: &[Seen], task: &Task, view: &mut View) {
    let Standing::Claimed(claim) = &task.standing else { return };
    view.tips.insert(claim.id);
    let is_over = claim.record.until.is_some_and(|until| until < session.ambient.now());
    if claim.record.phase == Phase::Assigned && is_over {
        view.expired.push((task.name().clone(), claim.id));
    }
    if claim.record.phase != Phase::Running || claim.record.instance == session.state.instance {
        return;
    }
    let holder = claim.record.node.as_deref().unwrap_or_default();
    if let Some(Hold::Hand | Hold::Offline) = claim.record.hold {
        if is_over {
            view.expired.push((task.name().clone(), claim.id));
        }
        return;
    }
    let node = nodes.iter().find(|node| node.name == holder);
    let id = claim.id.to_string();
    let is_listed = node.is_some_and(|node| node.record.claims.contains(&id));
    let name = if is_listed {
        name_of_node(holder)
    } else {
        // Its node does not list it: a sign of life of the node is none of this attempt.
        let name = format!("claim {id}");
        view.beats.push((name.clone(), Beat { mark: id, patience: patience(session, node, holder) }));
        name
    };
    view.watched.push((task.name().clone(), claim.id, name));
}

fn name_of_node(name: &str) -> String {
    format!("node {name}")
}

/// How long a node may be silent: so many of the intervals that it states itself.
fn patience(session: &Session, node: Option<&Seen>, name: &str) -> Duration {
    let settings = session.config.node_settings(name);
    let interval = node.map(|node| node.record.beat_interval()).unwrap_or(*settings.heartbeat);
    interval * settings.lost_after_beats
}
