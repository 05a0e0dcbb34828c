//! Why a task is not running: the reasons that one look can tell, for the whole fleet.
//!
//! Owns the reasons and their words. It goes by what nodes last said of themselves, which is for people: nothing is
//! decided by it.

use std::collections::{BTreeSet, HashMap};

use super::base;
use super::error::Result;
use super::nodes::nodes;
use super::pick;
use super::repair::{Use, usefulness};
use super::session::Session;
use super::trust;
use crate::hub::control::Control;
use crate::hub::snapshot::{Snapshot, Task, status_of};
use crate::task::blocked::{Blocked, Link, blocked};
use crate::task::scope::Scopes;
use crate::task::spec::Mode;
use crate::task::text::{escaped, excerpt, lasting};
use crate::task::{State, TaskName};

/// A reason, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitsFor {
    /// `task`, `blocked`, `label`, `executor`, `node`, `run`, `assignment`, `time`, `scope`, `base`, `person`, `collect`,
    /// `bundle`, `trust`.
    pub kind: &'static str,
    /// What it waits for, or what stands in the way.
    pub what: String,
}

impl std::fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            "task" | "run" | "assignment" | "person" | "collect" | "trust" => write!(f, "waits for {}", self.what),
            "blocked" => write!(f, "blocked by {}", self.what),
            _ => f.write_str(&self.what),
        }
    }
}

/// A node that is up.
struct Seat {
    name: String,
    labels: BTreeSet<String>,
    executors: BTreeSet<String>,
    is_paused: bool,
    is_full: bool,
    only_assigned: bool,
}

/// Everything that reasons are read from, looked up once for all tasks.
pub struct Lookout<'a> {
    session: &'a Session,
    snapshot: &'a Snapshot,
    blocked: HashMap<&'a TaskName, Blocked<'a>>,
    scopes: Scopes,
    seats: Vec<Seat>,
    control: Control,
    gone: HashMap<String, String>,
}

impl<'a> Lookout<'a> {
    /// Looks at nodes and tasks as this clone knows them. While no node is up, this clone counts as one: it could be.
    pub fn new(session: &'a Session, snapshot: &'a Snapshot) -> Result<Self> {
        let control = session.hub.control()?;
        let (mut seats, mut gone) = (Vec::new(), HashMap::new());
        for node in nodes(session, snapshot)? {
            let name = node.record.name.clone();
            if !matches!(node.state.as_str(), "idle" | "busy" | "paused") {
                gone.insert(name, node.state);
                continue;
            }
            seats.push(Seat {
                is_paused: node.state == "paused" || control.is_paused(&name),
                is_full: node.running.len() >= node.record.slots as usize,
                only_assigned: node.record.mode == "push",
                labels: node.record.labels.into_iter().collect(),
                executors: node.record.executors.into_iter().collect(),
                name,
            });
        }
        if seats.is_empty() {
            let offer = pick::offer(session, snapshot, &session.node, false);
            seats.push(Seat {
                name: session.node.to_string(),
                labels: offer.labels,
                executors: offer.executors,
                is_paused: control.is_paused(session.node.as_str()),
                is_full: false,
                only_assigned: offer.only_assigned,
            });
        }
        let scopes = pick::scopes(snapshot);
        Ok(Self { session, snapshot, blocked: blocked_tasks(snapshot), scopes, seats, control, gone })
    }

    /// Says what blocks a task: something that it depends on, directly or not, will not be done as things stand.
    pub fn blocked(&self, task: &Task) -> Option<WaitsFor> {
        let blocked = self.blocked.get(task.name())?;
        let fate = match blocked.state {
            None => "which is not on the queue".to_owned(),
            Some(State::Failed) => {
                let claim = self.snapshot.get(blocked.by).and_then(Task::claim);
                let status = claim.and_then(|claim| status_of(&self.session.hub.repo, claim.id));
                let why = status.and_then(|status| status.error.or(status.reason.map(|reason| reason.to_string())));
                why.map_or("which failed".to_owned(), |why| format!("which failed ({})", excerpt(&why, 60)))
            }
            Some(state) => format!("which was {state}"),
        };
        let through = match blocked.through == blocked.by {
            true => String::new(),
            false => format!(", through {}", blocked.through),
        };
        Some(WaitsFor { kind: "blocked", what: format!("{}, {fate}{through}", blocked.by) })
    }

    /// Tells why a task is not running; empty for one that runs, has ended, or could start now.
    pub fn waits_for(&self, task: &Task) -> Vec<WaitsFor> {
        let reason = |kind, what: &str| vec![WaitsFor { kind, what: what.to_owned() }];
        match task.state() {
            State::Pending | State::Assigned => {}
            State::Completed => {
                return match trust::doubt(self.session, task) {
                    Some(why) => reason("trust", &format!("a person: {why}")),
                    None => reason("collect", "`git dispatch collect` to merge it"),
                };
            }
            State::Failed | State::Conflict => return reason("person", "`git dispatch retry` or `cancel`"),
            State::Unknown => return reason("person", "records that can be read"),
            State::Running | State::Merged | State::Cancelled => return Vec::new(),
        }
        let mut reasons: Vec<WaitsFor> = self.blocked(task).into_iter().collect();
        reasons.extend(self.dependencies(task));
        reasons.extend(self.of_itself(task));
        if task.state() == State::Assigned {
            reasons.push(self.assigned(task));
        } else if pick::unread(self.session, self.snapshot, task).by_bundle {
            let what = "it goes by bundle only: `git dispatch bundle create FILE --for NODE`";
            reasons.extend(reason("bundle", what));
        } else if task.spec.record.mode == Mode::Push {
            reasons.extend(reason("assignment", "an assignment"));
        } else {
            reasons.extend(self.no_seat(task));
        }
        if reasons.is_empty()
            && let Ok(Err(no_base)) = base::make(self.session, self.snapshot, task)
        {
            reasons.push(WaitsFor { kind: "base", what: no_base.to_string() });
        }
        reasons
    }

    /// The dependencies that are not done, but for those that are named as blocking it.
    fn dependencies(&self, task: &Task) -> Vec<WaitsFor> {
        let blocked = self.blocked.get(task.name());
        let now = self.session.ambient.now();
        let undone = task.spec.record.depends_on.iter().filter_map(|name| {
            let dependency = self.snapshot.get(name)?;
            let is_told = blocked.is_some_and(|blocked| blocked.by == name);
            let is_done = matches!(dependency.state(), State::Completed | State::Merged);
            (!is_done && !is_told).then_some((name, dependency))
        });
        undone
            .map(|(name, dependency)| {
                let mut stands = dependency.state().to_string();
                if let Some(claim) = dependency.claim().filter(|_| dependency.state() == State::Running) {
                    let seconds = u64::try_from(now.duration_since(claim.at).as_secs()).unwrap_or(0);
                    let node = claim.record.node.as_deref().unwrap_or("-");
                    stands = format!("running on {} for {}", escaped(node), lasting(seconds));
                }
                WaitsFor { kind: "task", what: format!("{name} ({stands})") }
            })
            .collect()
    }

    /// What the task itself, or what else is being changed, stands in the way with.
    fn of_itself(&self, task: &Task) -> Vec<WaitsFor> {
        let mut reasons = Vec::new();
        if pick::lacks_run(self.session, task) {
            let what = "a `run` line, which the shell executor needs, or a person who claims it";
            reasons.push(WaitsFor { kind: "run", what: what.to_owned() });
        }
        if let Some(what) = trust::doubt_of_start(self.session, task) {
            reasons.push(WaitsFor { kind: "trust", what: format!("a person: {what}") });
        }
        if usefulness(self.snapshot, &task.spec.record) != Use::Wanted {
            reasons.push(WaitsFor { kind: "repair", what: "no recorded conflict for it to mend".to_owned() });
        }
        let rests = pick::rests(self.session, task);
        if rests > 0 {
            let what = format!("attempt {} may start in {}", task.attempts().begun + 1, lasting(rests));
            reasons.push(WaitsFor { kind: "time", what });
        }
        if let Some((glob, by)) = self.scopes.meeting(task.name(), &task.spec.record.modifies) {
            reasons.push(WaitsFor { kind: "scope", what: format!("{} is being changed by {by}", escaped(glob)) });
        }
        reasons
    }

    /// The node that the task is assigned to, and how that is.
    fn assigned(&self, task: &Task) -> WaitsFor {
        let node = task.claim().and_then(|claim| claim.record.node.clone()).unwrap_or_default();
        let shown = escaped(&node);
        let what = match (self.gone.get(&node), self.control.is_paused(&node)) {
            (_, true) => format!("node paused: {shown}, which it is assigned to"),
            (Some(state), _) => format!("{shown}, which it is assigned to, is {state}"),
            (None, false) => format!("{shown}, which it is assigned to, has not begun it yet"),
        };
        WaitsFor { kind: "node", what }
    }

    /// Why no node that is up takes a task that is ready.
    fn no_seat(&self, task: &Task) -> Vec<WaitsFor> {
        let needed = &task.spec.record.labels;
        let executor = pick::executor_of(self.session, task);
        let has_labels = |seat: &&Seat| needed.iter().all(|label| seat.labels.contains(label));
        let able: Vec<&Seat> =
            self.seats.iter().filter(has_labels).filter(|seat| seat.executors.contains(&executor)).collect();
        if able.is_empty() {
            return self.unfit(needed, &executor);
        }
        let names = |seats: &[&Seat]| seats.iter().map(|seat| escaped(&seat.name)).collect::<Vec<_>>().join(", ");
        let awake: Vec<&Seat> = able.iter().copied().filter(|seat| !seat.is_paused).collect();
        let pulling: Vec<&Seat> = awake.iter().copied().filter(|seat| !seat.only_assigned).collect();
        if awake.is_empty() {
            vec![WaitsFor { kind: "node", what: format!("node paused: {}", names(&able)) }]
        } else if pulling.is_empty() {
            let what = format!("an assignment: {} takes nothing else", names(&awake));
            vec![WaitsFor { kind: "assignment", what }]
        } else if pulling.iter().all(|seat| seat.is_full) {
            vec![WaitsFor { kind: "node", what: format!("no free slot on {}", names(&pulling)) }]
        } else {
            Vec::new()
        }
    }

    /// What none of the nodes that are up has, each for itself; else what none has together.
    fn unfit(&self, labels: &[String], executor: &str) -> Vec<WaitsFor> {
        let nobody_has = |label: &&String| !self.seats.iter().any(|seat| seat.labels.contains(*label));
        let missing = labels.iter().filter(nobody_has);
        let mut reasons: Vec<WaitsFor> = missing
            .map(|label| WaitsFor { kind: "label", what: format!("no live node has label {}", escaped(label)) })
            .collect();
        if !self.seats.iter().any(|seat| seat.executors.contains(executor)) {
            let what = format!("no live node has executor {}", escaped(executor));
            reasons.push(WaitsFor { kind: "executor", what });
        }
        if reasons.is_empty() {
            let labels: Vec<String> = labels.iter().map(|label| format!("label {}", escaped(label))).collect();
            let what =
                format!("no live node has {} and executor {} together", labels.join(", "), escaped(executor));
            reasons.push(WaitsFor { kind: "label", what });
        }
        reasons
    }
}

/// Finds the tasks that wait for something that failed, was cancelled, or is not there.
pub fn blocked_tasks(snapshot: &Snapshot) -> HashMap<&TaskName, Blocked<'_>> {
    let links: Vec<Link<'_>> = snapshot
        .open()
        .map(|(_, task)| Link { name: task.name(), state: task.state(), depends_on: &task.spec.record.depends_on })
        .collect();
    blocked(&links, |name| snapshot.get(name).map(Task::state))
}
