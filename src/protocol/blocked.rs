//! Blocked: tasks that cannot begin because what they depend on failed, was called off, or does not merge.
//!
//! Owns that each is told of once for each cause, in this clone; whoever collects looks.

use std::collections::BTreeMap;

use super::announce::{Announce, Happened};
use super::error::Result;
use super::session::Session;
use crate::hub::snapshot::{Snapshot, Standing, Task, status_of};
use crate::task::{State, TaskName};

/// The file that remembers what was told.
const TOLD: &str = "blocked.json";

/// A task that cannot begin.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blocked<'a> {
    task: &'a TaskName,
    by: &'a TaskName,
    state: State,
    /// The claim that says so: once the dependency was tried again and failed again, that is another cause.
    cause: String,
}

/// Tells of the tasks that are blocked and were not yet told of.
pub fn tell(session: &Session, snapshot: &Snapshot, announce: &dyn Announce) -> Result<()> {
    let told: BTreeMap<String, String> = session.state.read(TOLD)?.unwrap_or_default();
    let mut now = BTreeMap::new();
    for blocked in find(session, snapshot) {
        let key = format!("{} {}", blocked.task, blocked.by);
        if told.get(&key) != Some(&blocked.cause) {
            announce.happened(&Happened::Blocked {
                task: blocked.task.clone(),
                by: blocked.by.clone(),
                state: blocked.state,
            });
        }
        now.insert(key, blocked.cause);
    }
    if now != told {
        session.state.write(TOLD, &now)?;
    }
    Ok(())
}

fn find<'a>(session: &Session, snapshot: &'a Snapshot) -> Vec<Blocked<'a>> {
    let mut found = Vec::new();
    for task in snapshot.tasks.iter().filter(|task| matches!(task.state(), State::Pending | State::Assigned)) {
        let dependencies = task.spec.record.depends_on.iter().filter_map(|name| snapshot.get(name));
        found.extend(dependencies.filter_map(|dependency| {
            let cause = cause(session, dependency)?;
            Some(Blocked { task: task.name(), by: dependency.name(), state: dependency.state(), cause })
        }));
    }
    found
}

/// What keeps dependents from beginning; `None` where nothing does, or it is being mended.
fn cause(session: &Session, dependency: &Task) -> Option<String> {
    match (&dependency.standing, dependency.state()) {
        (Standing::Claimed(claim), State::Conflict) => {
            let is_mended = status_of(&session.hub.repo, claim.id).is_some_and(|status| status.repair.is_some());
            (!is_mended).then(|| claim.id.to_string())
        }
        (Standing::Claimed(claim), State::Failed | State::Cancelled) => Some(claim.id.to_string()),
        (Standing::Sealed { seal, .. }, State::Cancelled) => Some(seal.claim.clone().unwrap_or_default()),
        _ => None,
    }
}
