//! Circles among dependencies, found before anything is enqueued.

use std::collections::{HashMap, HashSet};

use super::Entry;
use crate::hub::snapshot::Snapshot;
use crate::protocol::error::{DependencyError, Result};
use crate::task::TaskName;

/// Looks for a circle that goes through the batch. Without `--replace` it can only lie within the batch, since what is
/// queued cannot depend on what is not; a newer spec of a queued task may close one through the queue.
pub(super) fn check_cycles(snapshot: &Snapshot, entries: &[&Entry]) -> Result<()> {
    let batch: HashMap<&TaskName, &Entry> = entries.iter().map(|entry| (&entry.parsed.spec.task, *entry)).collect();
    let dependencies = |name: &TaskName| -> Vec<TaskName> {
        match (batch.get(name), snapshot.get(name)) {
            (Some(entry), _) => entry.parsed.spec.depends_on.clone(),
            (None, Some(task)) => task.spec.record.depends_on.clone(),
            (None, None) => Vec::new(),
        }
    };
    let mut done: HashSet<TaskName> = HashSet::new();
    for entry in entries {
        if let Some(circle) = circle_from(&entry.parsed.spec.task, &dependencies, &mut done) {
            return Err(refusal(circle, &batch, entry));
        }
    }
    Ok(())
}

/// Walks depth first, without recursion: a chain of a hundred thousand must not end the stack.
fn circle_from(
    start: &TaskName,
    dependencies: &dyn Fn(&TaskName) -> Vec<TaskName>,
    done: &mut HashSet<TaskName>,
) -> Option<Vec<TaskName>> {
    let mut path: Vec<(TaskName, Vec<TaskName>)> = vec![(start.clone(), dependencies(start))];
    let mut on_path: HashSet<TaskName> = [start.clone()].into();
    while let Some((name, left)) = path.last_mut() {
        let Some(next) = (!left.is_empty()).then(|| left.remove(0)) else {
            on_path.remove(name);
            done.insert(name.clone());
            path.pop();
            continue;
        };
        if on_path.contains(&next) {
            let from = path.iter().position(|(name, _)| *name == next).unwrap_or(0);
            return Some(path[from..].iter().map(|(name, _)| name.clone()).chain([next]).collect());
        }
        if !done.contains(&next) {
            on_path.insert(next.clone());
            let below = dependencies(&next);
            path.push((next, below));
        }
    }
    None
}

/// Shows the circle at a dependency that the batch itself names.
fn refusal(circle: Vec<TaskName>, batch: &HashMap<&TaskName, &Entry>, fallback: &Entry) -> crate::protocol::Error {
    let step = circle.windows(2).rev().find_map(|pair| Some((*batch.get(&pair[0])?, &pair[1])));
    let (entry, at) = match step {
        Some((entry, next)) => {
            let place = entry.parsed.spec.depends_on.iter().position(|name| name == next);
            (entry, place.and_then(|at| entry.parsed.places.depends_on.get(at).copied()))
        }
        None => (fallback, None),
    };
    DependencyError::Cycle { circle, file: entry.parsed.places.file.clone(), at }.into()
}
