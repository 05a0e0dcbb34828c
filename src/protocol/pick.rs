//! From a snapshot to the pure choice of `task::order`: what this node offers, and what each task asks for.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::config::model::{ExecutorKind, NodeMode, ProjectSync};
use crate::git::ObjectId;
use crate::hub::format::ClaimRecord;
use crate::hub::format::spec::FILE;
use crate::hub::nodes::{NodeRecord, Seen};
use crate::hub::snapshot::{Claim, Snapshot, Task, chain_of};
use crate::task::order::{Candidate, Offer};
use crate::task::path::{DEFAULT_ESTIMATE, Step, longest};
use crate::task::scope::Scopes;
use crate::task::spec::{self, Defaults};
use crate::task::{Hold, Name, Phase, Reason, State, TaskName, transition};

use super::nodes::is_late;
use super::repair::{Use, usefulness};
use super::session::Session;

/// Fewer specs than these are read sooner than threads are started.
const WORTH_THREADS: usize = 64;

/// Describes what a node offers, and what of the fleet the choice depends on.
pub fn offer(session: &Session, snapshot: &Snapshot, node: &Name, by_hand: bool) -> Offer {
    let settings = session.config.node_settings(node.as_str());
    let executors = executors(session, node);
    let nodes = session.hub.node_records().unwrap_or_default();
    // A wrong clock only makes nodes race for a task more often.
    let is_up = |node: &Seen| node.record.state != "stopped" && !is_late(session, node);
    Offer {
        node: node.clone(),
        labels: settings.labels.iter().cloned().collect(),
        executors: executors.into_iter().collect(),
        only_assigned: settings.mode == NodeMode::Push,
        by_hand,
        fleet: nodes.into_iter().filter(is_up).map(|node| node.name).collect(),
        scopes: scopes(snapshot),
        age_step: session.config.age_step.as_secs(),
    }
}

/// What this node says of itself: no executor runs, and no heartbeat will follow, as when a person claims by hand. A
/// daemon adds what it does.
pub fn own_record(session: &Session) -> NodeRecord {
    let settings = session.config.node_settings(session.node.as_str());
    NodeRecord {
        v: 1,
        name: session.node.to_string(),
        clone: session.state.clone_id.clone(),
        instance: session.state.instance.clone(),
        host: session.ambient.host(),
        slots: settings.slots,
        labels: settings.labels,
        executors: executors(session, &session.node),
        mode: format!("{:?}", settings.mode).to_lowercase(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        beat_seconds: settings.heartbeat.as_secs_f64(),
        state: "stopped".to_owned(),
        beat_at: session.ambient.now().to_string(),
        ..NodeRecord::default()
    }
}

/// Lists the executors that a node offers.
pub fn executors(session: &Session, node: &Name) -> Vec<String> {
    let settings = session.config.node_settings(node.as_str());
    match settings.executors.is_empty() {
        true => session.config.executors.keys().cloned().collect(),
        false => settings.executors,
    }
}

/// What is being changed now, and by whom.
pub fn scopes(snapshot: &Snapshot) -> Scopes {
    let mut scopes = Scopes::default();
    for task in snapshot.claimed().filter(|task| matches!(task.state(), State::Running | State::Assigned)) {
        scopes.add(task.name(), &task.spec.record.modifies);
    }
    scopes
}

/// Computes the longest estimated chain of work below each task that has not ended.
pub fn paths(snapshot: &Snapshot) -> HashMap<&TaskName, u64> {
    let steps: Vec<Step<'_>> = snapshot
        .open()
        .map(|(_, task)| task)
        .filter(|task| !matches!(task.state(), State::Merged | State::Cancelled | State::Completed))
        .map(|task| Step {
            name: task.name(),
            minutes: task.spec.record.estimate_minutes.map_or(DEFAULT_ESTIMATE, u64::from),
            depends_on: &task.spec.record.depends_on,
        })
        .collect();
    longest(&steps)
}

/// Describes all tasks that may start, or are assigned, for the choice, as if each had something to run.
pub fn candidates(session: &Session, snapshot: &Snapshot) -> Vec<Candidate> {
    candidates_of(session, snapshot, |_| true)
}

/// Describes those of them whose labels and executor the node has: no other is ever chosen.
pub fn suitable(session: &Session, snapshot: &Snapshot, offer: &Offer) -> Vec<Candidate> {
    candidates_of(session, snapshot, |task| suits(session, task, offer))
}

/// Looks ahead at what `task::order` would say of labels and executor: of a long queue few tasks have to be described then.
fn suits(session: &Session, task: &Task, offer: &Offer) -> bool {
    let record = &task.spec.record;
    let executor = record.executor.as_ref().unwrap_or(&session.config.default_executor);
    record.labels.iter().all(|label| offer.labels.contains(label)) && offer.executors.contains(executor)
}

fn candidates_of(session: &Session, snapshot: &Snapshot, is_meant: impl Fn(&Task) -> bool) -> Vec<Candidate> {
    let open = |task: &Task| matches!(task.state(), State::Pending | State::Assigned);
    let tasks: Vec<(usize, &Task)> = snapshot.open().filter(|(_, task)| open(task) && is_meant(task)).collect();
    if tasks.is_empty() {
        return Vec::new();
    }
    let paths = paths(snapshot);
    let describe = |(position, task): (usize, &Task)| Candidate {
        path: paths.get(task.name()).copied().unwrap_or(0),
        ..at_place(session, snapshot, task, position)
    };
    tasks.into_iter().map(describe).collect()
}

/// Describes the tasks that other nodes run, and that suit this one, as they would stand if those were lost, each with the
/// claim that would be taken over. One that may not be tried again after that is left out.
pub fn takeovers<'a>(
    session: &'a Session,
    snapshot: &'a Snapshot,
    offer: &'a Offer,
) -> impl Iterator<Item = (ObjectId, Candidate)> + 'a {
    let max = session.config.max_attempts;
    snapshot.claimed().filter_map(move |task| {
        let claim = task.claim_in(Phase::Running)?;
        let is_theirs = claim.record.hold == Some(Hold::Beat) && claim.record.instance != session.state.instance;
        let may_go_on = transition::taken_away(claim.record.attempts, Reason::Lost, max) == Phase::Released;
        let candidate = || Candidate { state: State::Pending, ..unread(session, snapshot, task) };
        (is_theirs && may_go_on && suits(session, task, offer)).then(|| (claim.id, candidate()))
    })
}

/// Describes one task for the choice; of its path only itself.
pub fn candidate(session: &Session, snapshot: &Snapshot, task: &Task) -> Candidate {
    let may_start = matches!(task.state(), crate::task::State::Pending | crate::task::State::Assigned);
    Candidate { lacks_run: may_start && lacks_run(session, task), ..unread(session, snapshot, task) }
}

/// Says whether the task's executor would run the spec's own `run` line, and there is none. Only the spec itself says
/// so: it is read for those few whose turn has come, not for a whole queue.
pub fn lacks_run(session: &Session, task: &Task) -> bool {
    let executor = session.config.executor(&executor_of(session, task));
    executor.is_some_and(|settings| settings.kind == ExecutorKind::Shell)
        && read_spec(session, task).is_none_or(|spec| spec.run.is_none())
}

/// Finds those tasks of many that lack something to run, by several threads: each spec is read.
pub fn lacking_run<'a>(session: &Session, tasks: &[&'a Task]) -> HashSet<&'a TaskName> {
    let lacking = |session: &Session, task: &'a Task| lacks_run(session, task).then(|| task.name());
    if tasks.len() < WORTH_THREADS {
        return tasks.iter().filter_map(|task| lacking(session, task)).collect();
    }
    let handle = Mutex::new(session.clone());
    let own = || handle.lock().unwrap_or_else(PoisonError::into_inner).clone();
    tasks.par_iter().map_init(own, |session, task| lacking(session, task)).flatten().collect()
}

/// Describes a task by its commit's message alone, as if there were something to run.
pub fn unread(session: &Session, snapshot: &Snapshot, task: &Task) -> Candidate {
    at_place(session, snapshot, task, snapshot.position(task.name()).unwrap_or(usize::MAX))
}

fn at_place(session: &Session, snapshot: &Snapshot, task: &Task, position: usize) -> Candidate {
    let record = &task.spec.record;
    let executor = executor_of(session, task);
    let assigned = task.claim_in(Phase::Assigned);
    let reserved = session.away && is_reserved_here(session, task);
    let own = (reserved && task.state() == State::Pending).then(|| session.node.to_string());
    let waited = session.ambient.now().duration_since(task.spec.at).as_secs();
    Candidate {
        name: task.name().clone(),
        position,
        // What came in a bundle stays this node's after an attempt that ended without a result.
        state: if own.is_some() { State::Assigned } else { task.state() },
        assigned_to: own.or_else(|| assigned.and_then(|claim| claim.record.node.clone())),
        priority: record.priority,
        waited: u64::try_from(waited).unwrap_or(0),
        path: record.estimate_minutes.map_or(DEFAULT_ESTIMATE, u64::from),
        modifies: record.modifies.clone(),
        labels: record.labels.clone(),
        executor,
        lacks_run: false,
        by_bundle: if session.away { !reserved } else { goes_by_bundle(session, task) },
        moot: usefulness(snapshot, record) != Use::Wanted,
        mode: record.mode,
        rests: rests(session, task),
        depends_on: record
            .depends_on
            .iter()
            .map(|name| (name.clone(), snapshot.get(name).map(Task::state)))
            .collect(),
    }
}

/// Says whether a task of this hub goes by bundle files alone: its project does, or it is reserved for one.
pub fn goes_by_bundle(session: &Session, task: &Task) -> bool {
    let project = session.config.projects.get(task.name().project.as_str());
    let is_reserved = |claim: &Claim| claim.record.hold == Some(Hold::Offline);
    project.is_some_and(|project| project.sync == ProjectSync::Bundle)
        || task.claim_in(Phase::Assigned).is_some_and(is_reserved)
}

/// Says whether a bundle brought the task here for this node.
fn is_reserved_here(session: &Session, task: &Task) -> bool {
    let is_for_us = |claim: &Claim| {
        claim.record.hold == Some(Hold::Offline) && claim.record.node.as_deref() == Some(session.node.as_str())
    };
    task.claim().is_some_and(|tip| chain_of(&session.hub.repo, tip.id).iter().any(is_for_us))
}

/// Computes how long a task still rests after a bad attempt, in whole seconds, rounded up.
pub fn rests(session: &Session, task: &Task) -> u64 {
    let Some(claim) = task.claim_in(Phase::Released) else { return 0 };
    // A lost node says nothing against the task: another may begin at once, up to the maximum.
    if !claim.record.reason.is_some_and(|reason| reason.is_charged() && reason != Reason::Lost) {
        return 0;
    }
    let config = &session.config;
    let rest = match is_for_others(session, &claim.record) {
        true => *config.retry_wait_max,
        false => transition::rest(claim.record.attempts.charged, *config.retry_wait, *config.retry_wait_max),
    };
    let over = claim.at.as_second() as f64 + rest.as_secs_f64();
    let left = over - session.ambient.now().as_second() as f64;
    // Another clock may be wrong; it must not put a task off for longer than the rest itself.
    left.min(rest.as_secs_f64()).max(0.0).ceil() as u64
}

/// Says whether an attempt could not even be started on this node while others are up: then they come first.
fn is_for_others(session: &Session, record: &ClaimRecord) -> bool {
    let own = session.node.as_str();
    let is_other = |node: &Seen| node.name != own && node.record.state != "stopped";
    record.reason == Some(Reason::Spawn)
        && record.node.as_deref() == Some(own)
        && session.hub.node_records().is_ok_and(|nodes| nodes.iter().any(is_other))
}

/// Returns the name of the executor that a task runs on.
pub fn executor_of(session: &Session, task: &Task) -> String {
    task.spec.record.executor.clone().unwrap_or_else(|| session.config.default_executor.clone())
}

/// Reads a task's spec again from its commit; `None` where it cannot be read.
pub fn read_spec(session: &Session, task: &Task) -> Option<spec::Spec> {
    let bytes = session.hub.repo.file_in(task.spec.id, FILE)?;
    let defaults = Defaults { project: task.name().project.clone(), id: Some(task.name().id.to_string()) };
    Some(spec::parse(FILE, &bytes, &defaults).ok()?.spec)
}
