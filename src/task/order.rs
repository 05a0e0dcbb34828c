//! Which task is next on a node: a pure choice (DESIGN.md 4).
//!
//! Owns what stands in a task's way and the order among those that nothing stands in the way of. It is given a view of
//! the queue and the node and knows neither refs nor clocks.

use std::collections::BTreeSet;

use super::phase::State;
use super::{Name, TaskName, scope::may_overlap};
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
    pub scopes: Vec<(TaskName, Vec<String>)>,
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
    /// It is a repair, and what it mends has gone on without it.
    Moot,
    /// The task, or the node, goes by assignment only.
    OnlyAssigned,
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
            Self::Moot => write!(f, "mends a conflict that is not recorded, or no longer stands"),
            Self::OnlyAssigned => write!(f, "runs only by assignment"),
            Self::Scope { glob, by } => write!(f, "waits: {} is being changed by {by}", super::text::escaped(glob)),
            Self::Rests(seconds) => write!(f, "rests for {seconds} s more after its last attempt"),
        }
    }
}

/// Finds what stands in the way of `task` on the node; `None`: it may start.
pub fn obstacle(task: &Candidate, offer: &Offer) -> Option<Obstacle> {
    match (task.state, &task.assigned_to) {
        (State::Pending, _) => {
            if !offer.by_hand && (offer.only_assigned || task.mode == Mode::Push) {
                return Some(Obstacle::OnlyAssigned);
            }
        }
        (State::Assigned, Some(node)) if node == offer.node.as_str() => {}
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
    in_the_way(task, offer.scopes.iter().filter(|(by, _)| *by != task.name))
}

fn in_the_way<'a>(
    task: &Candidate,
    scopes: impl IntoIterator<Item = &'a (TaskName, Vec<String>)>,
) -> Option<Obstacle> {
    let (by, _) = scopes.into_iter().find(|(_, scope)| may_overlap(&task.modifies, scope))?;
    let glob = task.modifies.first().cloned().unwrap_or_default();
    Some(Obstacle::Scope { glob, by: by.clone() })
}

/// Chooses the tasks that may start on the node, best first: by priority, one step more urgent for each `age_step` of
/// waiting, so that nothing starves; then what has most work waiting behind it; among equals first what the node is
/// given by rendezvous hashing, so that a fleet waking up at once does not race for one task; then by place in the
/// queue. Of tasks whose scopes overlap only the first is chosen.
pub fn choose<'a>(tasks: impl IntoIterator<Item = &'a Candidate>, offer: &Offer) -> Vec<&'a Candidate> {
    let mut able: Vec<&Candidate> = tasks.into_iter().filter(|task| obstacle(task, offer).is_none()).collect();
    able.sort_by_cached_key(|task| {
        let foreign = !is_given(task, offer);
        (urgency(task, offer.age_step), std::cmp::Reverse(task.path), foreign, task.position)
    });
    let mut taken: Vec<(TaskName, Vec<String>)> = Vec::new();
    able.retain(|task| {
        let free = task.modifies.is_empty() || in_the_way(task, &taken).is_none();
        if free && !task.modifies.is_empty() {
            taken.push((task.name.clone(), task.modifies.clone()));
        }
        free
    });
    able
}

/// The priority that a task has come to by waiting.
pub fn urgency(task: &Candidate, age_step: u64) -> u64 {
    let steps = task.waited.checked_div(age_step).unwrap_or(0);
    u64::from(task.priority).saturating_sub(steps)
}

/// Says whether rendezvous hashing gives the task to this node: of all nodes that are up, its mark is the highest.
fn is_given(task: &Candidate, offer: &Offer) -> bool {
    let name = task.name.to_string();
    let own = mark(offer.node.as_str(), &name);
    offer.fleet.iter().filter(|node| *node != offer.node.as_str()).all(|node| mark(node, &name) < own)
}

/// A mark of a pair that spreads evenly and is the same on every machine and in every version.
fn mark(node: &str, task: &str) -> u64 {
    let bytes = node.bytes().chain([0]).chain(task.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    // The last bytes alone would decide the low bits: stir them through.
    let stirred = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    stirred ^ (stirred >> 33)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::task::name::NameKind;

    fn offer() -> Offer {
        Offer {
            node: Name::new(NameKind::Node, "n").unwrap(),
            labels: ["a".to_owned()].into(),
            executors: ["shell".to_owned()].into(),
            only_assigned: false,
            by_hand: false,
            fleet: vec![],
            scopes: vec![],
            age_step: 3600,
        }
    }

    fn candidate(position: usize) -> Candidate {
        Candidate {
            name: TaskName::parse(&format!("p/t{position}")).unwrap(),
            position,
            state: State::Pending,
            assigned_to: None,
            priority: 2,
            waited: 0,
            path: 30,
            modifies: vec![],
            labels: vec![],
            executor: "shell".into(),
            lacks_run: false,
            moot: false,
            mode: Mode::Undecided,
            rests: 0,
            depends_on: vec![],
        }
    }

    #[test]
    fn urgent_first_then_the_queue() {
        let mut tasks: Vec<Candidate> = (0..4).map(candidate).collect();
        tasks[2].priority = 0;
        let order: Vec<usize> = choose(&tasks, &offer()).iter().map(|task| task.position).collect();
        assert_eq!(order, [2, 0, 1, 3]);
    }

    fn order(tasks: &[Candidate], offer: &Offer) -> Vec<usize> {
        choose(tasks, offer).iter().map(|task| task.position).collect()
    }

    #[test]
    fn what_has_waited_long_becomes_urgent() {
        let mut tasks: Vec<Candidate> = (0..3).map(candidate).collect();
        tasks[0].priority = 1;
        tasks[2].waited = 2 * 3600;
        assert_eq!(order(&tasks, &offer()), [2, 0, 1]);
    }

    #[test]
    fn long_chains_start_early() {
        let mut tasks: Vec<Candidate> = (0..3).map(candidate).collect();
        tasks[1].path = 90;
        assert_eq!(order(&tasks, &offer()), [1, 0, 2]);
    }

    #[test]
    fn what_touches_the_same_files_does_not_start_together() {
        let mut tasks: Vec<Candidate> = (0..3).map(candidate).collect();
        tasks[0].modifies = vec!["src/**".into()];
        tasks[1].modifies = vec!["src/a.rs".into()];
        assert_eq!(order(&tasks, &offer()), [0, 2]);
        let running = ("p/x", "src/b.rs");
        let busy = Offer { scopes: vec![(TaskName::parse(running.0).unwrap(), vec![running.1.into()])], ..offer() };
        assert_eq!(order(&tasks, &busy), [1, 2]);
    }

    #[test]
    fn a_fleet_that_wakes_at_once_spreads_over_the_queue() {
        let tasks: Vec<Candidate> = (0..200).map(candidate).collect();
        let fleet: Vec<String> = (0..16).map(|number| format!("n{number}")).collect();
        let firsts: std::collections::BTreeSet<usize> = fleet
            .iter()
            .map(|name| {
                let node = Name::new(NameKind::Node, name).unwrap();
                order(&tasks, &Offer { node, fleet: fleet.clone(), ..offer() })[0]
            })
            .collect();
        assert!(firsts.len() >= 15, "sixteen nodes begin with {} different tasks", firsts.len());
    }

    #[test]
    fn each_obstacle_is_named() {
        let dependency = candidate(9).name;
        let with = |change: &dyn Fn(&mut Candidate)| {
            let mut task = candidate(0);
            change(&mut task);
            obstacle(&task, &offer())
        };
        assert_eq!(with(&|_| {}), None);
        assert_eq!(with(&|task| task.state = State::Failed), Some(Obstacle::State(State::Failed)));
        assert_eq!(with(&|task| task.labels = vec!["gpu".into()]), Some(Obstacle::Label("gpu".into())));
        assert_eq!(with(&|task| task.executor = "glm".into()), Some(Obstacle::Executor("glm".into())));
        assert_eq!(with(&|task| task.lacks_run = true), Some(Obstacle::NothingToRun));
        assert_eq!(with(&|task| task.rests = 7), Some(Obstacle::Rests(7)));
        assert_eq!(with(&|task| task.mode = Mode::Push), Some(Obstacle::OnlyAssigned));
        for state in [None, Some(State::Running), Some(State::Failed), Some(State::Cancelled)] {
            let waits = Some(Obstacle::WaitsFor { task: dependency.clone(), state });
            assert_eq!(with(&|task| task.depends_on = vec![(dependency.clone(), state)]), waits);
        }
    }

    #[test]
    fn what_is_assigned_here_starts_here_only() {
        let mut task = candidate(0);
        task.state = State::Assigned;
        task.assigned_to = Some("n".into());
        task.mode = Mode::Push;
        assert_eq!(obstacle(&task, &offer()), None);
        task.assigned_to = Some("other".into());
        assert_eq!(obstacle(&task, &offer()), Some(Obstacle::AssignedTo("other".into())));
    }

    proptest! {
        #[test]
        fn the_same_queue_gives_the_same_order(priorities in proptest::collection::vec(0u8..4, 0..30), turn in 0usize..30) {
            let mut tasks: Vec<Candidate> = priorities.iter().enumerate().map(|(at, priority)| {
                Candidate { priority: *priority, ..candidate(at) }
            }).collect();
            let order: Vec<usize> = choose(&tasks, &offer()).iter().map(|task| task.position).collect();
            let len = tasks.len().max(1);
            tasks.rotate_left(turn % len);
            let again: Vec<usize> = choose(&tasks, &offer()).iter().map(|task| task.position).collect();
            prop_assert_eq!(order, again);
        }
    }
}
