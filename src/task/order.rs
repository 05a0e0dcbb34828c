//! Which task is next on a node: a pure choice (DESIGN.md 4).
//!
//! Owns what stands in a task's way and the order among those that nothing stands in the way of. It is given a view of
//! the queue and the node and knows neither refs nor clocks.

use std::collections::BTreeSet;

use super::phase::State;
use super::scope::Scopes;
use super::{Name, TaskName};
use crate::task::spec::Mode;

/// What the choice needs to know of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The task.
    pub name: TaskName,
    /// Its place in the queue.
    pub position: usize,
    /// Where it stands.
    pub state: State,
    /// The node that it is assigned to, while it is.
    pub assigned_to: Option<String>,
    /// Its priority, 0 first.
    pub priority: u8,
    /// How long it has waited, in seconds.
    pub waited: u64,
    /// The minutes of the longest chain of work that begins with it.
    pub path: u64,
    /// Globs of the paths that it means to change.
    pub modifies: Vec<String>,
    /// The labels that a node must have.
    pub labels: Vec<String>,
    /// The executor that it runs on.
    pub executor: String,
    /// Whether that executor runs the spec's own `run` line, and the spec has none.
    pub lacks_run: bool,
    /// Whether it goes by bundle only, and none has brought it here.
    pub by_bundle: bool,
    /// Who may run it.
    pub mode: Mode,
    /// Whether it is a repair of what is not, or no longer, to be mended.
    pub moot: bool,
    /// How long it still rests after a bad attempt, in seconds; 0: not at all.
    pub rests: u64,
    /// Its dependencies, and where each stands; `None` for one that is not on the queue.
    pub depends_on: Vec<(TaskName, Option<State>)>,
}

/// What the choice needs to know of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The node.
    pub node: Name,
    /// The labels that it has.
    pub labels: BTreeSet<String>,
    /// The executors that it offers.
    pub executors: BTreeSet<String>,
    /// Whether it runs only what is assigned to it.
    pub only_assigned: bool,
    /// Whether it is a person who asks: then a task without anything to run may be claimed.
    pub by_hand: bool,
    /// The nodes that are up, this one included or not.
    pub fleet: Vec<String>,
    /// What is being changed now, and by whom: the scopes of running and assigned tasks.
    pub scopes: Scopes,
    /// The waiting, in seconds, that makes a task more urgent by one step; 0: none does.
    pub age_step: u64,
}

/// Why a task does not start on a node now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// It is not pending.
    State(State),
    /// It is assigned to another node.
    AssignedTo(String),
    /// A dependency is not done.
    WaitsFor {
        /// The dependency.
        task: TaskName,
        /// Where it stands; `None`: not on the queue.
        state: Option<State>,
    },
    /// The node lacks a label.
    Label(String),
    /// The node does not offer the executor.
    Executor(String),
    /// The executor would run the spec's `run` line, and there is none.
    NothingToRun,
    /// Its spec is not signed by somebody who is trusted.
    Untrusted(String),
    /// It is a repair, and what it mends has gone on without it.
    Moot,
    /// The task, or the node, goes by assignment only.
    OnlyAssigned,
    /// It goes by bundle only.
    ByBundle,
    /// It rests after a bad attempt, for so many seconds more.
    Rests(u64),
    /// What it means to change is being changed.
    Scope {
        /// What it means to change.
        glob: String,
        /// The task that is at it.
        by: TaskName,
    },
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::State(state) => write!(f, "is {state}"),
            Self::AssignedTo(node) => write!(f, "is assigned to {}", super::text::escaped(node)),
            Self::WaitsFor { task, state: Some(state) } => write!(f, "waits for {task} ({state})"),
            Self::WaitsFor { task, state: None } => {
                write!(f, "waits for {task}, which is not on the queue")
            }
            Self::Label(label) => write!(f, "needs label {}", super::text::escaped(label)),
            Self::Executor(name) => write!(f, "needs executor {}", super::text::escaped(name)),
            Self::NothingToRun => write!(f, "has no `run` for the shell executor"),
            Self::Untrusted(why) => write!(f, "is not run here: {}", super::text::escaped(why)),
            Self::Moot => write!(f, "mends a conflict that is not recorded, or no longer stands"),
            Self::OnlyAssigned => write!(f, "runs only by assignment"),
            Self::ByBundle => write!(f, "goes by bundle only"),
            Self::Scope { glob, by } => write!(f, "waits: {} is being changed by {by}", super::text::escaped(glob)),
            Self::Rests(seconds) => write!(f, "rests for {seconds} s more after its last attempt"),
        }
    }
}

/// Finds what stands in the way of `task` on the node; `None`: it may start.
pub fn obstacle(task: &Candidate, offer: &Offer) -> Option<Obstacle> {
    match (task.state, &task.assigned_to) {
        (State::Pending, _) => {
            if task.by_bundle {
                return Some(Obstacle::ByBundle);
            }
            if !offer.by_hand && (offer.only_assigned || task.mode == Mode::Push) {
                return Some(Obstacle::OnlyAssigned);
            }
        }
        (State::Assigned, Some(node)) if node == offer.node.as_str() => {
            if task.by_bundle {
                return Some(Obstacle::ByBundle);
            }
        }
        (State::Assigned, Some(node)) => return Some(Obstacle::AssignedTo(node.clone())),
        (state, _) => return Some(Obstacle::State(state)),
    }
    if task.moot {
        return Some(Obstacle::Moot);
    }
    let undone = task.depends_on.iter().find(|(_, state)| !matches!(state, Some(State::Completed | State::Merged)));
    if let Some((dependency, state)) = undone {
        return Some(Obstacle::WaitsFor { task: dependency.clone(), state: *state });
    }
    if let Some(label) = task.labels.iter().find(|label| !offer.labels.contains(*label)) {
        return Some(Obstacle::Label(label.clone()));
    }
    if !offer.executors.contains(&task.executor) {
        return Some(Obstacle::Executor(task.executor.clone()));
    }
    if task.lacks_run && !offer.by_hand {
        return Some(Obstacle::NothingToRun);
    }
    if task.rests > 0 && !offer.by_hand {
        return Some(Obstacle::Rests(task.rests));
    }
    let (glob, by) = offer.scopes.meeting(&task.name, &task.modifies)?;
    Some(Obstacle::Scope { glob: glob.to_owned(), by: by.clone() })
}

/// Chooses the tasks that may start on the node, best first: by priority, one step more urgent for each `age_step` of
/// waiting, without an end, so that nothing starves; then what has most work waiting behind it; among equals by the
/// node's rank in rendezvous hashing, so that a fleet waking up at once does not race for one task; then by place in the
/// queue, and what is another's from its end, where that one comes last. Of tasks whose scopes overlap only the first is chosen. A task that has waited for an `age_step` and whose
/// scope is being changed keeps that scope free: nothing behind it that would touch the same begins before it, or those
/// with small scopes could keep one with a large scope waiting for ever.
pub fn choose<'a>(tasks: impl IntoIterator<Item = &'a Candidate>, offer: &Offer) -> Vec<&'a Candidate> {
    let spread = Spread::of(offer);
    let mut able: Vec<(&Candidate, bool)> = tasks
        .into_iter()
        .filter_map(|task| match obstacle(task, offer) {
            None => Some((task, true)),
            Some(Obstacle::Scope { .. }) if is_overdue(task, offer.age_step) => Some((task, false)),
            Some(_) => None,
        })
        .collect();
    able.sort_by_cached_key(|(task, _)| {
        let rank = spread.rank(task);
        let place = if rank == 0 { task.position } else { usize::MAX - task.position };
        (urgency(task, offer.age_step), std::cmp::Reverse(task.path), rank, place)
    });
    let mut taken = Scopes::default();
    able.retain(|(task, may_start)| {
        if task.modifies.is_empty() {
            return *may_start;
        }
        let is_free = taken.meeting(&task.name, &task.modifies).is_none();
        if is_free || !may_start {
            taken.add(&task.name, &task.modifies);
        }
        is_free && *may_start
    });
    able.into_iter().map(|(task, _)| task).collect()
}

/// Says whether a task has waited for so long that it keeps its scope free.
pub const fn is_overdue(task: &Candidate, age_step: u64) -> bool {
    age_step > 0 && task.waited >= age_step
}

/// The priority that a task has come to by waiting: the less, the more urgent. It falls below 0 by and by: what is new
/// and critical does not pass a task by for ever.
pub fn urgency(task: &Candidate, age_step: u64) -> i64 {
    let steps = task.waited.checked_div(age_step).unwrap_or(0);
    i64::from(task.priority).saturating_sub_unsigned(steps)
}

/// Rendezvous hashing: each node of the fleet has a rank for each task, and no two nodes have the same.
struct Spread {
    own: u64,
    others: Vec<u64>,
}

impl Spread {
    fn of(offer: &Offer) -> Self {
        let others = offer.fleet.iter().filter(|node| *node != offer.node.as_str());
        Self { own: hashed(offer.node.as_str().bytes()), others: others.map(|node| hashed(node.bytes())).collect() }
    }

    /// How many nodes that are up have a higher mark for this task than this one: 0 for the one that it is given to.
    /// Nodes that have done what they were given take next what is theirs in second place, and do not race for it.
    fn rank(&self, task: &Candidate) -> usize {
        if self.others.is_empty() {
            return 0;
        }
        let name = &task.name;
        let task = hashed(name.project.as_str().bytes().chain([b'/']).chain(name.id.as_str().bytes()));
        let own = mark(self.own, task);
        self.others.iter().filter(|node| mark(**node, task) > own).count()
    }
}

/// FNV-1a.
fn hashed(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A mark of a pair that spreads evenly and is the same on every machine and in every version.
const fn mark(node: u64, task: u64) -> u64 {
    // The last bytes alone would decide the low bits: stir them through.
    let mixed = (node ^ (node >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd) ^ task.rotate_left(17);
    let stirred = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    stirred ^ (stirred >> 33)
}

#[cfg(test)]
mod tests;
