//! One consistent reading of all tasks: which spec is in force, and where each task stands (DESIGN.md 2.3).
//!
//! Owns the rule "which says what". It cannot change anything: whoever holds a [`Snapshot`] has only read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::error::Result;
use super::format::{ClaimRecord, SpecRecord, Unreadable};
use super::{Hub, Layout};
use crate::git::{ObjectId, Repo};
use crate::task::event::Event;
use crate::task::transition::Attempts;
use crate::task::{Phase, State, TaskName};

/// All tasks, in queue order, as this clone knows them.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The tip of the queue.
    pub queue_tip: Option<ObjectId>,
    /// The tip of the seals.
    pub sealed_tip: Option<ObjectId>,
    /// The tasks, oldest spec first.
    pub tasks: Vec<Task>,
    /// Records that cannot be read, for people: where, and why.
    pub unreadable: Vec<(String, Unreadable)>,
    by_name: HashMap<TaskName, usize>,
}

/// A spec commit, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The spec commit.
    pub id: ObjectId,
    /// What it says.
    pub record: SpecRecord,
    /// When it was enqueued.
    pub at: Timestamp,
}

/// The tip of a claim chain, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The claim commit: the fencing token.
    pub id: ObjectId,
    /// What it says.
    pub record: ClaimRecord,
    /// When it was written, by its writer's clock.
    pub at: Timestamp,
    /// The result, of a completed, failed, merged or conflicting claim, and of a released one whose work was saved.
    pub result: Option<ObjectId>,
    /// The claim before it.
    pub previous: Option<ObjectId>,
}

/// How a task stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Never claimed.
    Fresh,
    /// Its claim chain's tip decides.
    Claimed(Claim),
    /// It ended for good.
    Sealed {
        /// The seal.
        seal: Box<Event>,
        /// A claim ref that is still there: half of a sealing, or void.
        leftover: Option<Claim>,
    },
    /// Its records cannot be read: shown, never claimed.
    Unknown(Unreadable),
}

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The spec in force.
    pub spec: Queued,
    /// How it stands.
    pub standing: Standing,
    /// All spec commits of its name, oldest first.
    pub specs: Vec<ObjectId>,
    /// The seals of its name that are not reopened by another, and that the chain does not reopen.
    pub past_seals: Vec<Event>,
}

impl Task {
    /// Returns the task's name.
    pub const fn name(&self) -> &TaskName {
        &self.spec.record.task
    }

    /// Returns where the task stands.
    pub fn state(&self) -> State {
        match &self.standing {
            Standing::Fresh => State::Pending,
            Standing::Claimed(claim) => claim.record.phase.state(),
            Standing::Sealed { seal, .. } if seal.event == "merged" => State::Merged,
            Standing::Sealed { .. } => State::Cancelled,
            Standing::Unknown(_) => State::Unknown,
        }
    }

    /// Returns the tip of the claim chain that is in force.
    pub const fn claim(&self) -> Option<&Claim> {
        match &self.standing {
            Standing::Claimed(claim) => Some(claim),
            _ => None,
        }
    }

    /// Returns the tip, where it is of the phase given.
    pub fn claim_in(&self, phase: Phase) -> Option<&Claim> {
        self.claim().filter(|claim| claim.record.phase == phase)
    }

    /// Returns how many attempts were begun and charged, over reopened seals too.
    pub fn attempts(&self) -> Attempts {
        match &self.standing {
            Standing::Claimed(claim) => claim.record.attempts,
            Standing::Sealed { seal, .. } => {
                Attempts { begun: seal.attempt.unwrap_or(0), charged: seal.charged.unwrap_or(0) }
            }
            Standing::Fresh | Standing::Unknown(_) => Attempts::default(),
        }
    }
}

impl Snapshot {
    /// Returns the task of that name.
    pub fn get(&self, name: &TaskName) -> Option<&Task> {
        self.by_name.get(name).map(|at| &self.tasks[*at])
    }

    /// Returns the place of a task in the queue.
    pub fn position(&self, name: &TaskName) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Reads everything that this clone knows.
    pub fn load(hub: &Hub) -> Result<Self> {
        let mut snapshot = Self { queue_tip: hub.known(&hub.layout.queue()), ..Self::default() };
        let queued = read_queue(&hub.repo, snapshot.queue_tip, &mut snapshot.unreadable);
        snapshot.sealed_tip = hub.known(&hub.layout.sealed());
        let seals = match read_seals(&hub.repo, snapshot.sealed_tip) {
            Ok(seals) => seals,
            Err(why) => {
                snapshot.unreadable.push((hub.layout.sealed(), why));
                // Nobody knows what has ended: then nothing may be claimed.
                queued.iter().map(|spec| (spec.id, Err(Unreadable::Malformed("seal")))).collect()
            }
        };
        let mut claims = read_claims(hub)?;

        let mut names: Vec<TaskName> = Vec::new();
        let mut specs: HashMap<TaskName, Vec<Queued>> = HashMap::new();
        for spec in queued {
            let of_name = specs.entry(spec.record.task.clone()).or_default();
            if of_name.is_empty() {
                names.push(spec.record.task.clone());
            }
            of_name.push(spec);
        }
        for name in names {
            let of_name = specs.remove(&name).unwrap_or_default();
            let claim = claims.remove(&name);
            if let Some(Err(why)) = &claim {
                snapshot.unreadable.push((hub.layout.claim(&name), why.clone()));
            }
            for spec in &of_name {
                if let Some(Err(why)) = seals.get(&spec.id) {
                    snapshot.unreadable.push((format!("the seal of {name}"), why.clone()));
                }
            }
            if let Some(task) = decide(&hub.repo, of_name, claim, &seals) {
                snapshot.by_name.insert(name, snapshot.tasks.len());
                snapshot.tasks.push(task);
            }
        }
        // A claim of a task that is not on the queue: named, and nothing else is done about it.
        for name in claims.into_keys() {
            snapshot.unreadable.push((hub.layout.claim(&name), Unreadable::Missing("spec on the queue")));
        }
        Ok(snapshot)
    }
}

/// Reads the queue, oldest first.
fn read_queue(repo: &Repo, tip: Option<ObjectId>, unreadable: &mut Vec<(String, Unreadable)>) -> Vec<Queued> {
    let mut queued = Vec::new();
    if let Some(tip) = tip {
        repo.first_parents(tip, |commit| {
            match SpecRecord::parse(&commit.message) {
                Ok(record) => queued.push(Queued { id: commit.id, record, at: commit.at }),
                Err(why) => unreadable.push((format!("spec {}", commit.id), why)),
            }
            true
        });
    }
    queued.reverse();
    queued
}

/// What the note with the seals of one spec says, the lines oldest first.
type Sealed = std::result::Result<Vec<Event>, Unreadable>;

/// Reads the seals, by the spec commit that they are on.
fn read_seals(repo: &Repo, tip: Option<ObjectId>) -> std::result::Result<HashMap<ObjectId, Sealed>, Unreadable> {
    let Some(tip) = tip else {
        return Ok(HashMap::new());
    };
    if repo.commit(tip).is_none() {
        return Err(Unreadable::NotACommit);
    }
    let read = |blob| repo.blob(blob).map_or(Err(Unreadable::Malformed("seal")), |text| read_sealed(&text));
    Ok(repo.notes(tip).into_iter().map(|(spec, blob)| (spec, read(blob))).collect())
}

/// Reads one note with seals. One of a newer version, or one without a single seal that can be read, is not taken for
/// "not sealed": a finished task would run again.
fn read_sealed(text: &[u8]) -> Sealed {
    let newer = |line| {
        let record: serde_json::Value = serde_json::from_slice(line).ok()?;
        let version = u32::try_from(record.get("v")?.as_u64()?).unwrap_or(u32::MAX);
        (version > crate::task::event::VERSION).then_some(version)
    };
    if let Some(version) = text.split(|byte| *byte == b'\n').find_map(newer) {
        return Err(Unreadable::Newer(version));
    }
    let mut seals = Event::parse_lines(text);
    seals.retain(|seal| seal.event == "merged" || seal.event == "cancelled");
    if seals.is_empty() { Err(Unreadable::Malformed("seal")) } else { Ok(seals) }
}

/// Reads one claim commit.
pub fn read_claim(repo: &Repo, id: ObjectId) -> std::result::Result<Claim, Unreadable> {
    let commit = repo.commit(id).ok_or(Unreadable::NotACommit)?;
    let record = ClaimRecord::parse(&commit.message)?;
    let previous = commit.parents.first().copied();
    let result = match record.phase {
        // What came of finished work is a step of its own; the work is still that of the step before.
        Phase::Merged | Phase::Conflict => previous.and_then(|id| work_before(repo, id)),
        _ => commit.parents.get(1).copied(),
    };
    Ok(Claim { id, at: commit.at, result, previous, record })
}

/// The work that a claim stands for; of a conflict that was mended, that of the step before it.
fn work_before(repo: &Repo, id: ObjectId) -> Option<ObjectId> {
    let commit = repo.commit(id)?;
    match commit.parents.as_slice() {
        [before] if is_conflict(&commit.message) => repo.commit(*before)?.parents.get(1).copied(),
        parents => parents.get(1).copied(),
    }
}

fn is_conflict(message: &str) -> bool {
    ClaimRecord::parse(message).is_ok_and(|record| record.phase == Phase::Conflict)
}

fn read_claims(hub: &Hub) -> Result<BTreeMap<TaskName, std::result::Result<Claim, Unreadable>>> {
    let refs = hub.repo.refs_with_prefix(&hub.layout.claims())?;
    Ok(refs
        .into_iter()
        .filter_map(|(name, id)| {
            let task = hub.layout.task_of_claim(&name)?;
            // A chain under another task's name would be two tasks' at once.
            let claim = read_claim(&hub.repo, id).and_then(|claim| match claim.record.task == task {
                true => Ok(claim),
                false => Err(Unreadable::Malformed("Dispatch-Task")),
            });
            Some((task, claim))
        })
        .collect())
}

/// Decides which spec is in force and how the task stands.
fn decide(
    repo: &Repo,
    specs: Vec<Queued>,
    claim: Option<std::result::Result<Claim, Unreadable>>,
    seals: &HashMap<ObjectId, Sealed>,
) -> Option<Task> {
    let ids: Vec<ObjectId> = specs.iter().map(|spec| spec.id).collect();
    if let Some(Err(why)) = ids.iter().filter_map(|id| seals.get(id)).find(|sealed| sealed.is_err()) {
        let (spec, standing) = (specs.first()?.clone(), Standing::Unknown(why.clone()));
        return Some(Task { spec, standing, specs: ids, past_seals: Vec::new() });
    }
    let of_name: Vec<(ObjectId, &Event)> = ids
        .iter()
        .flat_map(|id| {
            seals.get(id).and_then(|sealed| sealed.as_ref().ok()).into_iter().flatten().map(move |seal| (*id, seal))
        })
        .collect();
    // The seal in force is the one that no later seal reopens.
    let in_force = of_name
        .iter()
        .rev()
        .find(|(_, seal)| !of_name.iter().any(|(_, later)| later.reopens.is_some() && later.reopens == seal.claim));
    let (spec, standing) = stand(repo, &specs, claim, in_force.map(|(spec, seal)| (*spec, *seal)));
    // Of a chain that reopens the newest seal, every seal is past.
    let is_current = |seal: &Event| match &standing {
        Standing::Sealed { seal: current, .. } => **current == *seal,
        _ => false,
    };
    let past_seals = of_name.iter().map(|(_, seal)| *seal).filter(|seal| !is_current(seal)).cloned().collect();
    Some(Task { spec: spec?, standing, specs: ids, past_seals })
}

/// Decides between claim and seal.
fn stand(
    repo: &Repo,
    specs: &[Queued],
    claim: Option<std::result::Result<Claim, Unreadable>>,
    seal: Option<(ObjectId, &Event)>,
) -> (Option<Queued>, Standing) {
    let spec_of = |id: ObjectId| specs.iter().find(|spec| spec.id == id).cloned();
    let oldest = || specs.first().cloned();
    let sealed =
        |spec, seal: &Event, leftover| (spec_of(spec), Standing::Sealed { seal: Box::new(seal.clone()), leftover });
    match (claim, seal) {
        (None, None) => (oldest(), Standing::Fresh),
        (Some(Err(why)), None) => (oldest(), Standing::Unknown(why)),
        (None | Some(Err(_)), Some((spec, seal))) => sealed(spec, seal, None),
        (Some(Ok(claim)), None) => match spec_of(claim.record.spec) {
            Some(spec) => (Some(spec), Standing::Claimed(claim)),
            None => (oldest(), Standing::Unknown(Unreadable::Missing("spec on the queue"))),
        },
        (Some(Ok(claim)), Some((spec, seal))) => {
            let reopens = reopened_by(repo, &claim).map(|id| id.to_string());
            if reopens.is_some() && reopens == seal.claim {
                match spec_of(claim.record.spec) {
                    Some(spec) => (Some(spec), Standing::Claimed(claim)),
                    None => (oldest(), Standing::Unknown(Unreadable::Missing("spec on the queue"))),
                }
            } else {
                sealed(spec, seal, Some(claim))
            }
        }
    }
}

/// Says which seal's claim a chain reopens: its root says so, or, where an ended chain could not be deleted, the newest of
/// the steps that do.
pub fn reopened_by(repo: &Repo, claim: &Claim) -> Option<ObjectId> {
    let mut reopens = None;
    repo.first_parents(claim.id, |commit| match ClaimRecord::parse(&commit.message) {
        Ok(record) => {
            reopens = record.reopens;
            reopens.is_none()
        }
        Err(_) => false,
    });
    reopens
}

/// Reads a claim's chain, newest first.
pub fn chain_of(repo: &Repo, tip: ObjectId) -> Vec<Claim> {
    let mut chain = Vec::new();
    let mut next = Some(tip);
    while let Some(claim) = next.and_then(|id| read_claim(repo, id).ok()) {
        next = claim.previous;
        chain.push(claim);
    }
    chain
}

/// Reads the status record of a completed, failed or conflicting claim.
pub fn status_of(repo: &Repo, claim: ObjectId) -> Option<Event> {
    let bytes = repo.file_in(claim, super::format::claim::STATUS_FILE)?;
    serde_json::from_slice(&bytes).ok()
}

/// Reads the record of the work that a claim stands for; that of a conflict tells of the merge that failed, and the work's
/// stands before it.
pub fn work_record(repo: &Repo, claim: ObjectId) -> Option<Event> {
    let status = status_of(repo, claim)?;
    if status.event != Phase::Conflict.as_str() {
        return Some(status);
    }
    let before = read_claim(repo, claim).ok()?.previous?;
    Some(Event { repair: status.repair, ..status_of(repo, before)? })
}

/// Says where a target's tip is known to be.
pub fn target_of(hub: &Hub, spec: &SpecRecord) -> String {
    spec.target.clone().unwrap_or_else(|| hub.target.clone())
}

/// Names the branches in which a task's result may be: the one that a merged claim names, and the task's own target.
pub fn targets_of(hub: &Hub, task: &Task) -> Vec<String> {
    let merged = task.claim_in(Phase::Merged).and_then(|claim| status_of(&hub.repo, claim.id)?.target);
    let named = merged.filter(|branch| crate::task::spec::is_branch(branch));
    let own = target_of(hub, &task.spec.record);
    let mut targets: Vec<String> = named.into_iter().filter(|named| *named != own).collect();
    targets.push(own);
    targets
}

/// Names the branches beside the default target that tasks which are not sealed concern: their targets, where they were
/// merged, and those that hold what they depend on.
pub fn concerned_branches(hub: &Hub, snapshot: &Snapshot) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for task in snapshot.tasks.iter().filter(|task| !matches!(task.standing, Standing::Sealed { .. })) {
        found.extend(targets_of(hub, task));
        let dependencies = task.spec.record.depends_on.iter().filter_map(|name| snapshot.get(name));
        found.extend(dependencies.filter_map(|dependency| landed_apart(hub, dependency)));
    }
    found.remove(&hub.target);
    found
}

/// Names the branch that a sealed task was merged into, as long as its merge commit is not here.
fn landed_apart(hub: &Hub, task: &Task) -> Option<String> {
    let Standing::Sealed { seal, .. } = &task.standing else { return None };
    let merge = ObjectId::from_hex(seal.merge_commit.as_ref()?.as_bytes()).ok()?;
    let branch = seal.target.clone().filter(|branch| crate::task::spec::is_branch(branch))?;
    (!hub.repo.has(merge)).then_some(branch)
}

/// Lists those of the concerned branches that were read before.
pub fn live_targets(hub: &Hub, snapshot: &Snapshot) -> Vec<String> {
    let is_mirrored = |target: &String| hub.repo.ref_value(&Layout::mirrored_branch(target)).is_some();
    concerned_branches(hub, snapshot).into_iter().filter(is_mirrored).collect()
}
