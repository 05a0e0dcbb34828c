//! When the queue would be empty with the nodes that are up, and what its longest chain is.
//!
//! Owns what goes into the forecast of `task::forecast`: what is left of each task, what past runs teach of estimates,
//! and which nodes are up, by their beats' own time: it is for people.

use std::cmp::Reverse;
use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::error::Result;
use super::nodes::Node;
use super::pick;
use super::session::Session;
use super::why::blocked_tasks;
use crate::hub::snapshot::{Snapshot, Standing, Task, status_of};
use crate::task::forecast::{Crew, Forecast, Pace, Work, foresee, longest_chain};
use crate::task::path::DEFAULT_ESTIMATE;
use crate::task::{Hold, Phase, State, TaskName};

/// What is to be expected of the queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outlook {
    /// When all that can be done would be done, and how many tasks that is.
    pub forecast: Forecast,
    /// The moment of it.
    pub empty_at: Option<Timestamp>,
    /// How many tasks do not go into it, being blocked.
    pub blocked: usize,
    /// What past runs teach of estimates.
    pub pace: Pace,
    /// The chain that takes longest however many nodes there are: its tasks, first to last, and its seconds.
    pub chain: Option<(Vec<TaskName>, u64)>,
    /// The nodes that are up, and their slots.
    pub up: (usize, usize),
}

/// Looks ahead.
pub fn outlook(session: &Session, snapshot: &Snapshot, nodes: &[Node]) -> Result<Outlook> {
    let control = session.hub.control()?;
    let is_up =
        |node: &&Node| matches!(node.state.as_str(), "idle" | "busy") && !control.is_paused(&node.record.name);
    let up: Vec<&Node> = nodes.iter().filter(is_up).collect();
    let crews: Vec<Crew> = up.iter().map(|node| crew(node)).collect();
    let pace = pace(session, snapshot);
    let blocked = blocked_tasks(snapshot);
    let mut open = in_order(session, snapshot);
    open.retain(|task| !blocked.contains_key(task.name()));
    let pending: Vec<&Task> = open.iter().copied().filter(|task| task.state() == State::Pending).collect();
    let lacking = pick::lacking_run(session, &pending);
    open.retain(|task| !lacking.contains(task.name()));
    let names: HashMap<&str, usize> =
        up.iter().enumerate().map(|(at, node)| (node.record.name.as_str(), at)).collect();
    let executors: Vec<String> = open.iter().map(|task| pick::executor_of(session, task)).collect();
    let work: Vec<Work<'_>> =
        open.iter().zip(&executors).map(|(task, executor)| work(session, task, executor, &pace, &names)).collect();
    let forecast = foresee(&work, &crews);
    let now = session.ambient.now();
    let after = |seconds: u64| now.checked_add(SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok();
    Ok(Outlook {
        empty_at: forecast.seconds.and_then(after),
        forecast,
        blocked: blocked.len(),
        pace,
        chain: longest_chain(&work).map(|(names, seconds)| (names.into_iter().cloned().collect(), seconds)),
        up: (up.len(), crews.iter().map(|crew| crew.slots).sum()),
    })
}

fn crew(node: &Node) -> Crew {
    Crew {
        slots: node.record.slots as usize,
        labels: node.record.labels.iter().cloned().collect(),
        executors: node.record.executors.iter().cloned().collect(),
    }
}

/// What waits or runs, in the order in which it would be begun.
fn in_order<'a>(session: &Session, snapshot: &'a Snapshot) -> Vec<&'a Task> {
    let paths = pick::paths(snapshot);
    let open = |task: &&Task| matches!(task.state(), State::Pending | State::Assigned | State::Running);
    let mut tasks: Vec<&Task> = snapshot.tasks.iter().filter(open).collect();
    let (now, step) = (session.ambient.now(), i64::try_from(session.config.age_step.as_secs()).unwrap_or(i64::MAX));
    tasks.sort_by_key(|task| {
        let steps = now.duration_since(task.spec.at).as_secs().max(0).checked_div(step).unwrap_or(0);
        (i64::from(task.spec.record.priority) - steps, Reverse(paths.get(task.name()).copied()))
    });
    tasks
}

fn work<'a>(
    session: &Session,
    task: &'a Task,
    executor: &'a str,
    pace: &Pace,
    up: &HashMap<&str, usize>,
) -> Work<'a> {
    let record = &task.spec.record;
    let estimate = record.estimate_minutes.map(|minutes| f64::from(minutes) * 60.0);
    let whole = pace.seconds(estimate, DEFAULT_ESTIMATE as f64 * 60.0);
    let claim = task.claim().filter(|claim| matches!(claim.record.phase, Phase::Running | Phase::Assigned));
    let runs = task.state() == State::Running;
    let gone = match claim.filter(|_| runs) {
        Some(claim) => session.ambient.now().duration_since(claim.at).as_secs_f64().max(0.0),
        None => 0.0,
    };
    // What runs longer than it was thought to says nothing of when it ends: not at once, and nobody knows more.
    let left = (whole - gone).max(if runs { whole * 0.1 } else { 0.0 });
    let is_held = claim.is_some_and(|claim| claim.record.hold == Some(Hold::Hand));
    let node = claim.filter(|_| !is_held).and_then(|claim| claim.record.node.as_deref());
    Work {
        name: task.name(),
        seconds: left.ceil() as u64,
        depends_on: &record.depends_on,
        labels: &record.labels,
        executor,
        runs,
        on: node.and_then(|node| up.get(node).copied()),
    }
}

/// What the runs that ended well teach: those of tasks that are merged, or wait to be.
pub fn pace(session: &Session, snapshot: &Snapshot) -> Pace {
    let runs = snapshot.tasks.iter().filter_map(|task| {
        let took = match &task.standing {
            Standing::Sealed { seal, .. } if seal.is_merged => seal.took?,
            Standing::Claimed(claim) if claim.record.phase == Phase::Completed => {
                status_of(&session.hub.repo, claim.id)?.duration_seconds?
            }
            _ => return None,
        };
        Some((task.spec.estimate_minutes.map(|minutes| f64::from(minutes) * 60.0), took))
    });
    Pace::of(&runs.collect::<Vec<_>>())
}
