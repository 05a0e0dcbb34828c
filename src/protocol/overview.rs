//! The fleet at one look: every task with why it waits, every node with what it does, and the last lines of what runs.
//!
//! Owns what `top` shows, read from the mirror alone. Nothing is decided by it.

use std::collections::HashMap;

use jiff::Timestamp;

use super::error::Result;
use super::forecast::outlook;
use super::logs;
use super::nodes::nodes;
use super::session::Session;
use super::why::Lookout;
use crate::hub::outbox;
use crate::hub::snapshot::{Snapshot, Task, status_of};
use crate::task::text::{excerpt, one_line, settled};
use crate::task::{State, TaskName};

/// Of how many waiting tasks it is worked out why they wait: as many as anybody scrolls through.
const EXPLAINED: usize = 400;

/// How many lines of a running task's output are kept.
const LINES: usize = 40;

/// How much of what went wrong is kept, in characters.
const TROUBLE: usize = 160;

/// The fleet.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overview {
    /// When it was read.
    pub at: Timestamp,
    /// When the hub was last read; `None` with the embedded hub.
    pub synced_at: Option<Timestamp>,
    /// Why the hub does not answer.
    pub away: Option<String>,
    /// The project of this clone, and the branch that results go to.
    pub names: (String, String),
    /// The nodes, by name.
    pub nodes: Vec<Seat>,
    /// The tasks, in queue order.
    pub tasks: Vec<Row>,
    /// Whether the whole fleet takes no new work.
    pub paused: bool,
    /// How many results wait in this clone for the hub.
    pub outbox: usize,
    /// In how many seconds the queue would be empty.
    pub empty_in: Option<u64>,
}

/// A node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seat {
    /// Its name.
    pub name: String,
    /// `idle`, `busy`, `paused`, `draining`, `stopped`, `lost`.
    pub state: String,
    /// Its slots.
    pub slots: usize,
    /// When it last said that it lives.
    pub beat_at: Option<Timestamp>,
    /// The places of the tasks that it runs.
    pub running: Vec<usize>,
}

/// A task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Where it stands; `None` for one whose records cannot be read.
    pub state: Option<State>,
    /// Whether something that it depends on will not be done.
    pub blocked: bool,
    /// The node that has it.
    pub node: Option<String>,
    /// Why it is not running, or what went wrong.
    pub why: String,
    /// Since when it stands so.
    pub since: Option<Timestamp>,
    /// The seconds that it is thought to take, as past runs teach.
    pub estimate: Option<f64>,
    /// The number of its last attempt.
    pub attempt: u32,
    /// The last lines of its output, while it runs.
    pub tail: Vec<String>,
}

/// Looks at the fleet as this clone knows it.
pub fn overview(session: &Session, snapshot: &Snapshot) -> Result<Overview> {
    let lookout = Lookout::new(session, snapshot)?;
    let nodes = nodes(session, snapshot)?;
    let outlook = outlook(session, snapshot, &nodes)?;
    let places: HashMap<&TaskName, usize> =
        snapshot.tasks.iter().enumerate().map(|(at, task)| (task.name(), at)).collect();
    let seats = nodes.iter().map(|node| Seat {
        name: node.record.name.clone(),
        state: node.state.clone(),
        slots: node.record.slots as usize,
        beat_at: node.beat_at,
        running: node.running.iter().filter_map(|name| places.get(name).copied()).collect(),
    });
    let mut explained = 0;
    let mut row = |task: &Task| {
        let waits = matches!(task.state(), State::Pending | State::Assigned);
        explained += usize::from(waits);
        let why = if waits && explained > EXPLAINED { Vec::new() } else { lookout.waits_for(task) };
        let why = trouble(session, task).into_iter().chain(why.iter().map(ToString::to_string));
        let estimate = task.spec.record.estimate_minutes.map(|minutes| f64::from(minutes) * 60.0);
        Row {
            name: task.name().to_string(),
            title: task.spec.record.title.clone(),
            state: Some(task.state()),
            blocked: lookout.blocked(task).is_some(),
            node: task
                .claim()
                .filter(|_| task.state() != State::Pending)
                .and_then(|claim| claim.record.node.clone()),
            why: why.collect::<Vec<_>>().join("; "),
            since: task.claim().map_or(Some(task.spec.at), |claim| Some(claim.at)),
            estimate: estimate.map(|estimate| outlook.pace.seconds(Some(estimate), estimate)),
            attempt: task.attempts().begun,
            tail: if task.state() == State::Running { tail(session, snapshot, task) } else { Vec::new() },
        }
    };
    let (waiting, broken) = outbox::list(&session.state)?;
    Ok(Overview {
        at: session.ambient.now(),
        synced_at: session.synced_at()?,
        away: None,
        names: (session.project.to_string(), session.hub.target.clone()),
        tasks: snapshot.tasks.iter().map(&mut row).collect(),
        nodes: seats.collect(),
        paused: session.hub.control()?.all,
        outbox: waiting.len() + broken.len(),
        empty_in: outlook.forecast.seconds,
    })
}

/// What went wrong with a task that failed or does not merge.
fn trouble(session: &Session, task: &Task) -> Option<String> {
    let claim = task.claim().filter(|_| matches!(task.state(), State::Failed | State::Conflict))?;
    let status = status_of(&session.hub.repo, claim.id)?;
    let what = match status.files.as_deref() {
        Some([]) | None => status.error.or(status.reason.map(|reason| reason.to_string()))?,
        Some([file]) => format!("{} does not merge", file.path),
        Some([file, more @ ..]) => format!("{} and {} more do not merge", file.path, more.len()),
    };
    let lines: Vec<String> = what.lines().map(settled).collect();
    Some(excerpt(&one_line(&lines.join(" ")), TROUBLE))
}

/// The last lines of a running task's output, as far as they are known here.
fn tail(session: &Session, snapshot: &Snapshot, task: &Task) -> Vec<String> {
    let Ok(output) = logs::find(session, snapshot, task.name(), None) else { return Vec::new() };
    // Of one that has just ended the output would have to be fetched; what is live is here.
    let text = if output.live { output.text } else { Vec::new() };
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| settled(line)).collect()
}
