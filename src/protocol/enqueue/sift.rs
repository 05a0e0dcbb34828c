//! Sift: what of many specs can go on the queue, each for itself.
//!
//! A batch of `enqueue` is all in or all out. Where specs come from people and programs that know nothing of each other,
//! one that is wrong must not keep the others waiting. The answer holds for the snapshot it was made from.

use std::collections::{HashMap, HashSet};

use super::cycle::check_cycles;
use super::{Cases, Entry, check_dependencies, twice};
use crate::hub::format::spec::FILE;
use crate::hub::snapshot::{Snapshot, Task};
use crate::protocol::error::{DependencyError, Error};
use crate::protocol::session::Session;
use crate::task::TaskName;

/// What can become of one spec.
#[derive(Debug)]
pub enum Verdict {
    /// It can be enqueued, together with all others that can.
    Fresh,
    /// It is on the queue already, byte for byte, whether it is in force or not; or stands in the batch twice.
    Known,
    /// It cannot be enqueued.
    Refused(Error),
}

impl Verdict {
    const fn is_fresh(&self) -> bool {
        matches!(self, Self::Fresh)
    }
}

/// Judges each spec, in the order given.
pub fn sift(session: &Session, snapshot: &Snapshot, entries: &[Entry]) -> Vec<Verdict> {
    let mut cases = Cases::of(snapshot);
    let mut verdicts: Vec<Verdict> = Vec::with_capacity(entries.len());
    let mut first_of: HashMap<String, usize> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let name = &entry.parsed.spec.task;
        let verdict = match (snapshot.get(name), first_of.get(&name.fold()).map(|first| &entries[*first])) {
            (Some(task), _) => judge_known(session, task, entry),
            (None, Some(first)) if first.bytes == entry.bytes && first.parsed.spec.task == *name => Verdict::Known,
            (None, Some(first)) => Verdict::Refused(twice(first, entry)),
            (None, None) => match cases.check(name) {
                Ok(()) => {
                    first_of.insert(name.fold(), at);
                    Verdict::Fresh
                }
                Err(error) => Verdict::Refused(error),
            },
        };
        verdicts.push(verdict);
    }
    while refuse_unknown_dependencies(snapshot, entries, &mut verdicts)
        || refuse_circles(snapshot, entries, &mut verdicts)
    {}
    // A twin of one that is refused is no better.
    for (at, entry) in entries.iter().enumerate() {
        let first = first_of.get(&entry.parsed.spec.task.fold()).copied().filter(|first| *first != at);
        if let (Verdict::Known, Some(first)) = (&verdicts[at], first)
            && !verdicts[first].is_fresh()
        {
            verdicts[at] = Verdict::Refused(twice(&entries[first], entry));
        }
    }
    verdicts
}

fn judge_known(session: &Session, task: &Task, entry: &Entry) -> Verdict {
    let holds =
        |id: &crate::git::ObjectId| session.hub.repo.file_in(*id, FILE).as_deref() == Some(entry.bytes.as_slice());
    match task.specs.iter().any(holds) {
        true => Verdict::Known,
        false => Verdict::Refused(Error::Exists { task: task.name().clone(), state: task.state() }),
    }
}

/// Refuses what depends on something that is nowhere; says whether there was any.
fn refuse_unknown_dependencies(snapshot: &Snapshot, entries: &[Entry], verdicts: &mut [Verdict]) -> bool {
    let fresh = |verdicts: &[Verdict], at: usize| verdicts[at].is_fresh();
    let batch: HashSet<&TaskName> =
        (0..entries.len()).filter(|at| fresh(verdicts, *at)).map(|at| &entries[at].parsed.spec.task).collect();
    let mut refused = false;
    for (at, entry) in entries.iter().enumerate() {
        if fresh(verdicts, at)
            && let Err(error) = check_dependencies(snapshot, &batch, entry)
        {
            verdicts[at] = Verdict::Refused(error);
            refused = true;
        }
    }
    refused
}

/// Refuses the specs of one circle; says whether there was any.
fn refuse_circles(snapshot: &Snapshot, entries: &[Entry], verdicts: &mut [Verdict]) -> bool {
    let batch: Vec<&Entry> =
        entries.iter().zip(&*verdicts).filter(|(_, verdict)| verdict.is_fresh()).map(|(entry, _)| entry).collect();
    let Err(Error::Dependency(error)) = check_cycles(snapshot, &batch) else { return false };
    let DependencyError::Cycle { circle, file, at } = *error else { return false };
    let mut refused = false;
    for (place, entry) in entries.iter().enumerate() {
        if verdicts[place].is_fresh() && circle.contains(&entry.parsed.spec.task) {
            let error = DependencyError::Cycle { circle: circle.clone(), file: file.clone(), at };
            verdicts[place] = Verdict::Refused(error.into());
            refused = true;
        }
    }
    refused
}
