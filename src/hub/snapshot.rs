//! One consistent reading of all tasks: which spec is in force, and where each task stands (DESIGN.md 2.3).
//!
//! Owns the rule "which says what". It cannot change anything: whoever holds a [`Snapshot`] has only read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;

use super::error::Result;
use super::format::{ClaimRecord, SpecRecord, Unreadable};
use super::ledger::{Ledger, Seen};
pub use super::ledger::{Queued, Seal, Sealed};
use super::{Hub, Layout};
use crate::git::{IdMap, ObjectId, Repo};
use crate::task::event::Event;
use crate::task::transition::Attempts;
use crate::task::{Phase, State, TaskName};

/// All tasks, in queue order, as this clone knows them; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Snapshot(Arc<Tasks>);

/// What a [`Snapshot`] holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tasks {
    /// The tip of the queue.
    pub queue_tip: Option<ObjectId>,
    /// The tip of the seals.
    pub sealed_tip: Option<ObjectId>,
    /// The tasks, oldest spec first.
    pub tasks: Vec<Task>,
    /// Records that cannot be read, for people: where, and why.
    pub unreadable: Vec<(String, Unreadable)>,
    by_name: HashMap<TaskName, usize>,
    open: Vec<usize>,
    claimed: Vec<usize>,
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
    Claimed(Box<Claim>),
    /// It ended for good.
    Sealed {
        /// The seal.
        seal: Arc<Seal>,
        /// A claim ref that is still there: half of a sealing, or void.
        leftover: Option<Box<Claim>>,
    },
    /// Its records cannot be read: shown, never claimed.
    Unknown(Unreadable),
}

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The spec in force.
    pub spec: Arc<Queued>,
    /// How it stands.
    pub standing: Standing,
    /// All spec commits of its name, oldest first.
    pub specs: Vec<ObjectId>,
    /// The seals of its name that are not reopened by another, and that the chain does not reopen.
    pub past_seals: Vec<Arc<Seal>>,
}

impl Task {
    /// Returns the task's name.
    pub fn name(&self) -> &TaskName {
        &self.spec.task
    }

    /// Returns where the task stands.
    pub fn state(&self) -> State {
        match &self.standing {
            Standing::Fresh => State::Pending,
            Standing::Claimed(claim) => claim.record.phase.state(),
            Standing::Sealed { seal, .. } if seal.is_merged => State::Merged,
            Standing::Sealed { .. } => State::Cancelled,
            Standing::Unknown(_) => State::Unknown,
        }
    }

    /// Returns a copy whose spec and seal are decoded for it alone: who goes through a long queue lets them go with it.
    pub fn apart(&self) -> Self {
        let mut copy = Self { spec: Arc::new((*self.spec).clone()), ..self.clone() };
        if let Standing::Sealed { seal, .. } = &mut copy.standing {
            *seal = Arc::new((**seal).clone());
        }
        copy
    }

    /// Returns the tip of the claim chain that is in force.
    pub fn claim(&self) -> Option<&Claim> {
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

impl Deref for Snapshot {
    type Target = Tasks;

    fn deref(&self) -> &Tasks {
        &self.0
    }
}

impl Tasks {
    /// Returns the task of that name.
    pub fn get(&self, name: &TaskName) -> Option<&Task> {
        self.by_name.get(name).map(|at| &self.tasks[*at])
    }

    /// Lists the tasks that have not ended for good, each with its place in the queue: of a long queue these are few.
    pub fn open(&self) -> impl Iterator<Item = (usize, &Task)> {
        self.open.iter().map(|at| (*at, &self.tasks[*at]))
    }

    /// Lists the tasks whose claim chain is in force.
    pub fn claimed(&self) -> impl Iterator<Item = &Task> {
        self.claimed.iter().map(|at| &self.tasks[*at])
    }

    /// Returns the place of a task in the queue.
    pub fn position(&self, name: &TaskName) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

impl Snapshot {
    /// Reads everything that this clone knows: what has moved since the last time, and what nobody has read before.
    pub fn load(hub: &Hub) -> Result<Self> {
        hub.memory.snapshot(hub)
    }

    /// Decides of each task how it stands.
    pub(super) fn new(hub: &Hub, ledger: &Ledger, seen: &Seen) -> Self {
        let (queue, seals) = (&ledger.queue, &ledger.seals);
        let mut snapshot = Tasks { queue_tip: queue.tip, sealed_tip: seals.tip, ..Tasks::default() };
        snapshot
            .unreadable
            .extend(queue.unreadable.iter().map(|bad| (format!("spec {}", bad.id), bad.why.clone())));
        let unknown = Err(Unreadable::Malformed("seal"));
        let seals = match &seals.wrong {
            None => seals.by_spec(),
            Some(why) => {
                snapshot.unreadable.push((hub.layout.sealed(), why.clone()));
                // Nobody knows what has ended: then nothing may be claimed.
                queue.specs.iter().map(|spec| (spec.id, &unknown)).collect()
            }
        };
        let mut claims = read_claims(hub, &seen.claims);
        for (name, specs) in by_name(&queue.specs) {
            let claim = claims.remove(name);
            if let Some(Err(why)) = &claim {
                snapshot.unreadable.push((hub.layout.claim(name), why.clone()));
            }
            for spec in &specs {
                if let Some(Err(why)) = seals.get(&spec.id) {
                    snapshot.unreadable.push((format!("the seal of {name}"), why.clone()));
                }
            }
            if let Some(task) = decide(&hub.repo, &specs, claim, &seals) {
                let at = snapshot.tasks.len();
                snapshot.by_name.insert(name.clone(), at);
                match task.standing {
                    Standing::Sealed { .. } => {}
                    Standing::Claimed(_) => {
                        snapshot.open.push(at);
                        snapshot.claimed.push(at);
                    }
                    Standing::Fresh | Standing::Unknown(_) => snapshot.open.push(at),
                }
                snapshot.tasks.push(task);
            }
        }
        // A claim of a task that is not on the queue: named, and nothing else is done about it.
        for name in claims.into_keys() {
            snapshot.unreadable.push((hub.layout.claim(&name), Unreadable::Missing("spec on the queue")));
        }
        Self(Arc::new(snapshot))
    }
}

/// Groups the specs by task, in the order of each task's first.
fn by_name(specs: &[Arc<Queued>]) -> Vec<(&TaskName, Vec<Arc<Queued>>)> {
    let mut places: HashMap<&TaskName, usize> = HashMap::with_capacity(specs.len());
    let mut tasks: Vec<(&TaskName, Vec<Arc<Queued>>)> = Vec::with_capacity(specs.len());
    for spec in specs {
        let name = &spec.task;
        let place = *places.entry(name).or_insert(tasks.len());
        match tasks.get_mut(place) {
            Some((_, of_name)) => of_name.push(spec.clone()),
            None => tasks.push((name, vec![spec.clone()])),
        }
    }
    tasks
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

type Claims = BTreeMap<TaskName, std::result::Result<Claim, Unreadable>>;

fn read_claims(hub: &Hub, refs: &[(String, ObjectId)]) -> Claims {
    refs.iter()
        .filter_map(|(name, id)| {
            let task = hub.layout.task_of_claim(name)?;
            // A chain under another task's name would be two tasks' at once.
            let claim = read_claim(&hub.repo, *id).and_then(|claim| match claim.record.task == task {
                true => Ok(claim),
                false => Err(Unreadable::Malformed("Dispatch-Task")),
            });
            Some((task, claim))
        })
        .collect()
}

/// Decides which spec is in force and how the task stands.
fn decide(
    repo: &Repo,
    specs: &[Arc<Queued>],
    claim: Option<std::result::Result<Claim, Unreadable>>,
    seals: &IdMap<&Sealed>,
) -> Option<Task> {
    let ids: Vec<ObjectId> = specs.iter().map(|spec| spec.id).collect();
    if let Some(Err(why)) = ids.iter().filter_map(|id| seals.get(id).copied()).find(|sealed| sealed.is_err()) {
        let (spec, standing) = (specs.first()?.clone(), Standing::Unknown(why.clone()));
        return Some(Task { spec, standing, specs: ids, past_seals: Vec::new() });
    }
    let of_name: Vec<(ObjectId, &Arc<Seal>)> = ids
        .iter()
        .flat_map(|id| {
            seals.get(id).and_then(|sealed| sealed.as_ref().ok()).into_iter().flatten().map(move |seal| (*id, seal))
        })
        .collect();
    // The seal in force is the one that no later seal reopens.
    let in_force = of_name
        .iter()
        .rev()
        .find(|(_, seal)| !of_name.iter().any(|(_, later)| later.is_reopening && later.reopens == seal.claim));
    let (spec, standing) = stand(repo, specs, claim, in_force.copied());
    // Of a chain that reopens the newest seal, every seal is past.
    let is_current = |seal: &Seal| match &standing {
        Standing::Sealed { seal: current, .. } => **current == *seal,
        _ => false,
    };
    let past_seals = of_name.iter().map(|(_, seal)| *seal).filter(|seal| !is_current(seal)).cloned().collect();
    Some(Task { spec: spec?, standing, specs: ids, past_seals })
}

/// Decides between claim and seal.
fn stand(
    repo: &Repo,
    specs: &[Arc<Queued>],
    claim: Option<std::result::Result<Claim, Unreadable>>,
    seal: Option<(ObjectId, &Arc<Seal>)>,
) -> (Option<Arc<Queued>>, Standing) {
    let spec_of = |id: ObjectId| specs.iter().find(|spec| spec.id == id).cloned();
    let oldest = || specs.first().cloned();
    let sealed =
        |spec, seal: &Arc<Seal>, leftover| (spec_of(spec), Standing::Sealed { seal: seal.clone(), leftover });
    match (claim, seal) {
        (None, None) => (oldest(), Standing::Fresh),
        (Some(Err(why)), None) => (oldest(), Standing::Unknown(why)),
        (None | Some(Err(_)), Some((spec, seal))) => sealed(spec, seal, None),
        (Some(Ok(claim)), None) => match spec_of(claim.record.spec) {
            Some(spec) => (Some(spec), Standing::Claimed(Box::new(claim))),
            None => (oldest(), Standing::Unknown(Unreadable::Missing("spec on the queue"))),
        },
        (Some(Ok(claim)), Some((spec, seal))) => {
            let reopens = reopened_by(repo, &claim).map(|id| id.to_string());
            if reopens.is_some() && reopens == seal.claim {
                match spec_of(claim.record.spec) {
                    Some(spec) => (Some(spec), Standing::Claimed(Box::new(claim))),
                    None => (oldest(), Standing::Unknown(Unreadable::Missing("spec on the queue"))),
                }
            } else {
                sealed(spec, seal, Some(Box::new(claim)))
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
    for (_, task) in snapshot.open() {
        if task.spec.record.target.is_some() || task.claim_in(Phase::Merged).is_some() {
            found.extend(targets_of(hub, task));
        }
        let dependencies = task.spec.record.depends_on.iter().filter_map(|name| snapshot.get(name));
        found.extend(dependencies.filter_map(|dependency| landed_apart(hub, dependency)));
    }
    found.remove(&hub.target);
    found
}

/// Names the branch that a sealed task was merged into, as long as its merge commit is not here.
fn landed_apart(hub: &Hub, task: &Task) -> Option<String> {
    let Standing::Sealed { seal, .. } = &task.standing else { return None };
    // What the default target holds is read with it.
    let branch = seal.target.as_ref().filter(|branch| **branch != hub.target)?;
    let branch = Some(branch.clone()).filter(|branch| crate::task::spec::is_branch(branch))?;
    let merge = ObjectId::from_hex(seal.merge_commit.as_ref()?.as_bytes()).ok()?;
    (!hub.repo.has(merge)).then_some(branch)
}

/// Lists those of the concerned branches that were read before.
pub fn live_targets(hub: &Hub, snapshot: &Snapshot) -> Vec<String> {
    let is_mirrored = |target: &String| hub.repo.ref_value(&Layout::mirrored_branch(target)).is_some();
    concerned_branches(hub, snapshot).into_iter().filter(is_mirrored).collect()
}
