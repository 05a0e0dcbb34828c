//! What was done, when and by whom: all that `report` shows, read once.
//!
//! Owns which facts belong together: a task's attempts, its waiting, what came of it, and how it landed. How that looks is
//! `ui`'s. Nothing is decided by it.

use std::collections::HashMap;

use jiff::Timestamp;

use super::error::Result;
use super::forecast;
use super::nodes::{Node, nodes};
use super::pick::executor_of;
use super::session::Session;
use super::why::Lookout;
use crate::hub::history::Histories;
use crate::hub::snapshot::{Snapshot, Task, target_of};
use crate::task::attempt::{Attempt, attempts};
use crate::task::event::{ConflictFile, Event};
use crate::task::forecast::{Pace, Work, longest_chain};
use crate::task::path::DEFAULT_ESTIMATE;
use crate::task::{State, TaskName};

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Chronicle {
    /// When it was read.
    pub at: Timestamp,
    /// Only what happened since, and what is open, is in it.
    pub since: Option<Timestamp>,
    /// The project of this clone.
    pub project: String,
    /// The branch that results go to.
    pub target: String,
    /// The tasks, in queue order.
    pub tasks: Vec<Entry>,
    /// What landed and what did not merge, in order.
    pub landings: Vec<Landing>,
    /// The chain of tasks that takes longest however many nodes there are: places in `tasks`, and its seconds.
    pub path: Option<(Vec<usize>, u64)>,
    /// What the runs teach of estimates.
    pub pace: Pace,
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// One task.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// Its name, `<project>/<id>`.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Where it stands.
    pub state: Option<State>,
    /// What blocks it.
    pub blocked: Option<String>,
    /// Its executor.
    pub executor: String,
    /// Its priority, 0 first.
    pub priority: u8,
    /// The seconds it was thought to take.
    pub estimate: Option<f64>,
    /// The places of the tasks that it depends on.
    pub depends_on: Vec<usize>,
    /// The place of the task that it repairs.
    pub repairs: Option<usize>,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// When it could have begun: enqueued, and its dependencies done.
    pub ready_at: Option<Timestamp>,
    /// When its work was done.
    pub done_at: Option<Timestamp>,
    /// When it was merged.
    pub merged_at: Option<Timestamp>,
    /// The tries at it.
    pub attempts: Vec<Attempt>,
    /// The seconds that its last attempt's executor took.
    pub took: Option<f64>,
    /// Files changed.
    pub files: Option<u64>,
    /// Lines added and removed.
    pub lines: Option<(u64, u64)>,
    /// The merge commit.
    pub merge_commit: Option<String>,
    /// The branch of its work.
    pub branch: Option<String>,
    /// What went wrong, of one that failed or conflicts.
    pub trouble: Option<String>,
}

impl Entry {
    /// Returns the seconds that it waited, from when it could have begun to its first attempt, or until now.
    pub fn waited(&self, now: Timestamp) -> Option<f64> {
        let until = match (self.attempts.first(), self.state) {
            (Some(first), _) => first.begun,
            (None, Some(State::Pending | State::Assigned)) => now,
            _ => return None,
        };
        Some(until.duration_since(self.ready_at?).as_secs_f64().max(0.0))
    }

    /// Returns the seconds of all its attempts.
    pub fn worked(&self, now: Timestamp) -> f64 {
        self.attempts.iter().map(|attempt| attempt.seconds(now)).sum()
    }
}

/// A merge, or one that could not be made.
#[derive(Debug, Clone)]
pub struct Landing {
    /// When.
    pub at: Timestamp,
    /// The place of the task.
    pub task: usize,
    /// The merge commit; `None`: it does not merge.
    pub commit: Option<String>,
    /// Where it does not merge.
    pub files: Vec<ConflictFile>,
    /// The place of the task that mends it.
    pub repair: Option<usize>,
}

/// Reads what was done; with `since`, only of tasks that are open or to which something happened later.
pub fn chronicle(session: &Session, snapshot: &Snapshot, since: Option<Timestamp>) -> Result<Chronicle> {
    let histories = Histories::load(&session.hub)?;
    let lookout = Lookout::new(session, snapshot)?;
    let told: Vec<(&Task, Vec<Event>)> = snapshot
        .tasks
        .iter()
        .map(|task| (task, histories.of(&session.hub, task)))
        .filter(|(task, events)| is_wanted(task.state(), events, since))
        .collect();
    let places: HashMap<&TaskName, usize> =
        told.iter().enumerate().map(|(at, (task, _))| (task.name(), at)).collect();
    let mut tasks: Vec<Entry> =
        told.iter().map(|(task, events)| entry(session, &lookout, task, events, &places)).collect();
    let ready: Vec<Option<Timestamp>> = tasks.iter().map(|task| ready_at(task, &tasks)).collect();
    tasks.iter_mut().zip(ready).for_each(|(task, ready)| task.ready_at = ready);
    let pace = forecast::pace(session, snapshot);
    let now = session.ambient.now();
    Ok(Chronicle {
        at: now,
        since,
        project: session.project.to_string(),
        target: session.hub.target.clone(),
        landings: landings(session, snapshot, &told, &places),
        path: critical_path(&told, &tasks, &pace, &places, now),
        tasks,
        pace,
        nodes: nodes(session, snapshot)?,
    })
}

fn is_wanted(state: State, events: &[Event], since: Option<Timestamp>) -> bool {
    let is_open = !matches!(state, State::Merged | State::Cancelled);
    since.is_none_or(|since| is_open || events.iter().any(|event| event.at >= since))
}

fn entry(
    session: &Session,
    lookout: &Lookout<'_>,
    task: &Task,
    events: &[Event],
    places: &HashMap<&TaskName, usize>,
) -> Entry {
    let record = &task.spec.record;
    let last = |name: &str| events.iter().rev().find(|event| event.event == name);
    let work = events.iter().rev().find(|event| event.files_changed.is_some() || event.duration_seconds.is_some());
    let repaired = record.repairs.as_ref().and_then(|repairs| TaskName::parse(repairs.split('@').next()?).ok());
    let merge = last("merged").filter(|_| task.state() == State::Merged);
    Entry {
        name: task.name().to_string(),
        title: record.title.clone(),
        state: Some(task.state()),
        blocked: lookout.blocked(task).map(|blocked| blocked.what),
        executor: executor_of(session, task),
        priority: record.priority,
        estimate: record.estimate_minutes.map(|minutes| f64::from(minutes) * 60.0),
        depends_on: record.depends_on.iter().filter_map(|name| places.get(name).copied()).collect(),
        repairs: repaired.and_then(|name| places.get(&name).copied()),
        enqueued_at: task.spec.at,
        ready_at: None,
        done_at: last("completed").map(|event| event.completed_at.unwrap_or(event.at)),
        merged_at: merge.map(|event| event.at),
        attempts: attempts(events),
        took: work.and_then(|event| event.duration_seconds),
        files: work.and_then(|event| event.files_changed),
        lines: work.and_then(|event| Some((event.loc_added?, event.loc_removed?))),
        merge_commit: merge.and_then(|event| event.merge_commit.clone()),
        branch: work.and_then(|event| event.branch.clone()),
        trouble: trouble(task.state(), events),
    }
}

/// What went wrong with a task that needs a person.
fn trouble(state: State, events: &[Event]) -> Option<String> {
    let last = |names: &[&str]| events.iter().rev().find(|event| names.contains(&event.event.as_str()));
    match state {
        State::Failed => {
            let event = last(&["failed", "lost"])?;
            event.error.clone().or_else(|| event.reason.map(|reason| reason.to_string()))
        }
        State::Conflict => {
            let files = last(&["conflict"])?.files.as_ref()?;
            let paths: Vec<&str> = files.iter().take(5).map(|file| file.path.as_str()).collect();
            Some(format!("does not merge: {}", paths.join(", ")))
        }
        _ => None,
    }
}

/// When a task could have begun; `None` while something that it depends on is not done.
fn ready_at(task: &Entry, tasks: &[Entry]) -> Option<Timestamp> {
    let done = |at: &usize| tasks[*at].done_at.or(tasks[*at].merged_at);
    task.depends_on.iter().try_fold(task.enqueued_at, |ready, at| Some(ready.max(done(at)?)))
}

/// What landed, in the order of the target, and in between what did not merge.
fn landings(
    session: &Session,
    snapshot: &Snapshot,
    told: &[(&Task, Vec<Event>)],
    places: &HashMap<&TaskName, usize>,
) -> Vec<Landing> {
    let order = order_of_targets(session, snapshot);
    let mut landings: Vec<(Timestamp, usize, Landing)> = Vec::new();
    for (at, (_, events)) in told.iter().enumerate() {
        for event in events.iter().filter(|event| matches!(event.event.as_str(), "merged" | "conflict")) {
            let commit = event.merge_commit.clone().filter(|_| event.event == "merged");
            let repair = event.repair.as_ref().and_then(|name| TaskName::parse(name).ok());
            let landing = Landing {
                at: event.at,
                task: at,
                files: event.files.clone().unwrap_or_default(),
                repair: repair.and_then(|name| places.get(&name).copied()),
                commit: commit.clone().or((event.event == "merged").then(String::new)),
            };
            let place = commit.and_then(|commit| order.get(&commit).copied()).unwrap_or(usize::MAX);
            landings.push((event.at, place, landing));
        }
    }
    landings.sort_by_key(|(at, place, landing)| (*at, *place, landing.task));
    landings.into_iter().map(|(_, _, landing)| landing).collect()
}

/// The place of each commit on the targets' first parents, oldest first; as far back as there were tasks.
fn order_of_targets(session: &Session, snapshot: &Snapshot) -> HashMap<String, usize> {
    let mut branches: Vec<String> =
        snapshot.tasks.iter().map(|task| target_of(&session.hub, &task.spec.record)).collect();
    branches.sort();
    branches.dedup();
    let oldest = snapshot.tasks.iter().map(|task| task.spec.at).min();
    let mut order = HashMap::new();
    for tip in branches.iter().filter_map(|branch| session.hub.target_tip(branch)) {
        let mut seen = Vec::new();
        session.hub.repo.first_parents(tip, |commit| {
            seen.push(commit.id.to_string());
            oldest.is_some_and(|oldest| commit.at >= oldest)
        });
        order.extend(seen.into_iter().rev().enumerate().map(|(place, id)| (id, place)));
    }
    order
}

fn critical_path(
    told: &[(&Task, Vec<Event>)],
    tasks: &[Entry],
    pace: &Pace,
    places: &HashMap<&TaskName, usize>,
    now: Timestamp,
) -> Option<(Vec<usize>, u64)> {
    let seconds = |entry: &Entry| match entry.state {
        Some(State::Completed | State::Merged) => entry.took.unwrap_or_else(|| entry.worked(now)),
        _ => pace.seconds(entry.estimate, DEFAULT_ESTIMATE as f64 * 60.0),
    };
    let counts = |(_, entry): &(&(&Task, Vec<Event>), &Entry)| entry.state != Some(State::Cancelled);
    let work: Vec<Work<'_>> = told
        .iter()
        .zip(tasks)
        .filter(counts)
        .map(|((task, _), entry)| Work {
            name: task.name(),
            seconds: seconds(entry).ceil() as u64,
            depends_on: &task.spec.record.depends_on,
            labels: &[],
            executor: "",
            runs: false,
            on: None,
        })
        .collect();
    let (names, seconds) = longest_chain(&work)?;
    let chain: Vec<usize> = names.into_iter().filter_map(|name| places.get(name).copied()).collect();
    (chain.len() > 1).then_some((chain, seconds))
}
