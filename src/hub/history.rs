//! A task's events: what its commits and everybody's notes tell, put together (DESIGN.md 2.4).
//!
//! Owns the union and its order. That a task was enqueued, assigned, begun or retried is read from the commits
//! themselves; of the notes only lines are believed whose claim is in the task's chain or seal.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::Hub;
use super::error::Result;
use super::snapshot::{Claim, Snapshot, Standing, Task, chain_of};
use crate::git::ObjectId;
use crate::task::Phase;
use crate::task::event::Event;

/// Reads the notes of all writers once, for the histories of many tasks.
#[derive(Debug, Default)]
pub struct Histories {
    lines: HashMap<ObjectId, Vec<Event>>,
}

impl Histories {
    /// Reads the notes as they are known here now.
    pub fn load(hub: &Hub) -> Result<Self> {
        let mut histories = Self::default();
        for (_, tip) in hub.repo.refs_with_prefix(&hub.layout.statuses())? {
            for (spec, blob) in hub.repo.notes(tip) {
                let events = hub.repo.blob(blob).map(|text| Event::parse_lines(&text)).unwrap_or_default();
                histories.lines.entry(spec).or_default().extend(events);
            }
        }
        Ok(histories)
    }

    /// Reads the notes on one task alone.
    pub fn load_for(hub: &Hub, task: &Task) -> Result<Self> {
        let mut histories = Self::default();
        for (_, tip) in hub.repo.refs_with_prefix(&hub.layout.statuses())? {
            for spec in &task.specs {
                let events = hub.repo.note(tip, *spec).map(|text| Event::parse_lines(&text)).unwrap_or_default();
                histories.lines.entry(*spec).or_default().extend(events);
            }
        }
        Ok(histories)
    }

    /// Returns the lines that anybody wrote about a task, believed or not.
    pub fn lines(&self, task: &Task) -> impl Iterator<Item = &Event> {
        task.specs.iter().flat_map(|spec| self.lines.get(spec).into_iter().flatten())
    }

    /// Tells a task's events, oldest attempt first, each once.
    pub fn of(&self, hub: &Hub, task: &Task) -> Vec<Event> {
        let chain = whole_chain(hub, task);
        let mut events: Vec<Event> = Vec::new();
        for spec in &task.specs {
            if let Some(commit) = hub.repo.commit(*spec) {
                events.push(Event::new("enqueued", commit.at));
            }
        }
        let claims: HashSet<String> = chain.iter().map(|claim| claim.id.to_string()).chain(seals(task)).collect();
        events.extend(chain.iter().filter_map(of_commit));
        for spec in &task.specs {
            let lines = self.lines.get(spec).into_iter().flatten();
            let believed = lines.filter(|line| line.claim.as_ref().is_some_and(|claim| claims.contains(claim)));
            for line in believed {
                if !events.iter().any(|known| is_same(known, line)) {
                    events.push(line.clone());
                }
            }
        }
        for event in &mut events {
            event.task = Some(task.name().to_string());
        }
        let place: HashMap<String, usize> =
            chain.iter().rev().enumerate().map(|(place, claim)| (claim.id.to_string(), place)).collect();
        events.sort_by_key(|event| order(event, &place));
        events
    }
}

/// Tells the events of all tasks in the order of their times.
pub fn all(hub: &Hub, snapshot: &Snapshot) -> Result<Vec<Event>> {
    let histories = Histories::load(hub)?;
    let mut events: Vec<Event> = snapshot.tasks.iter().flat_map(|task| histories.of(hub, task)).collect();
    events.sort_by(|one, other| (one.at, &one.task).cmp(&(other.at, &other.task)));
    Ok(events)
}

/// Names an event for good: the same event is told under the same name by every clone and at every time.
pub fn identity(event: &Event) -> (Option<String>, String, Option<String>, Timestamp) {
    (event.task.clone(), event.event.clone(), event.claim.clone(), event.at)
}

/// The chain in force and those that seals ended, as far as their commits are here; newest first.
pub fn whole_chain(hub: &Hub, task: &Task) -> Vec<Claim> {
    let mut tips: Vec<ObjectId> = task.claim().map(|claim| claim.id).into_iter().collect();
    tips.extend(seals(task).filter_map(|id| ObjectId::from_hex(id.as_bytes()).ok()));
    let mut seen = HashSet::new();
    let mut chain = Vec::new();
    for tip in tips {
        chain.extend(chain_of(&hub.repo, tip).into_iter().filter(|claim| seen.insert(claim.id)));
    }
    chain
}

fn seals(task: &Task) -> impl Iterator<Item = String> {
    let current = match &task.standing {
        Standing::Sealed { seal, .. } => seal.claim.clone(),
        _ => None,
    };
    current.into_iter().chain(task.past_seals.iter().filter_map(|seal| seal.claim.clone()))
}

/// What a claim commit tells by itself; ends are told by the notes, which say more.
fn of_commit(claim: &Claim) -> Option<Event> {
    let record = &claim.record;
    let is_told_here = matches!(record.phase, Phase::Assigned | Phase::Running | Phase::Cancelled);
    let is_replaced = record.phase == Phase::Released && record.reason == Some(crate::task::Reason::Replaced);
    if !is_told_here && !is_replaced {
        return None;
    }
    let mut event = Event::new(record.phase.as_str(), claim.at);
    event.attempt = Some(record.attempts.begun).filter(|attempt| *attempt > 0);
    event.node.clone_from(&record.node);
    event.claim = Some(claim.id.to_string());
    event.reason = record.reason;
    event.branch.clone_from(&record.branch);
    Some(event)
}

fn is_same(known: &Event, line: &Event) -> bool {
    known.event == line.event && known.claim == line.claim && (known.at == line.at || known.event == "cancelled")
}

/// Times are whole seconds: of what happened in one of them, the chain of claims knows the order.
fn order(event: &Event, place: &HashMap<String, usize>) -> (u32, Timestamp, usize, usize) {
    const STEPS: &[&str] = &["enqueued", "assigned", "running"];
    let step = STEPS.iter().position(|step| *step == event.event).unwrap_or(STEPS.len());
    let place = event.claim.as_ref().map_or(0, |claim| place.get(claim).copied().unwrap_or(usize::MAX));
    (event.attempt.unwrap_or(0), event.at, place, step)
}
