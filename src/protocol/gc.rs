//! Gc: what is past its time goes, here and on the hub.
//!
//! Owns what counts as past its time: only what belongs to tasks that ended longer ago than `keep`, or to nodes that have
//! been gone for as long, and never a seal nor the queue. Every deletion on the hub is leased on what was looked at, so
//! that what moves meanwhile stays. What is on the hub is `shared`'s, what is on this machine `here`'s.

mod here;
mod shared;

use std::time::Duration;

use jiff::Timestamp;

use super::error::Result;
use super::session::Session;
use crate::git::ObjectId;
use crate::hub::snapshot::{Snapshot, Standing, Task};
use crate::hub::{Answer, Edit};

/// What is wanted of a gc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long things are kept.
    pub keep: Duration,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// Something that is past its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// `attempt`, `branch`, `node`, `log`, `pin` or `slot`.
    pub kind: &'static str,
    /// The ref, or the folder; for output the ref and how many tasks it is of.
    pub name: String,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// What is gone, or would be.
    pub removed: Vec<Item>,
    /// What is past its time and stays, and why.
    pub kept: Vec<(Item, String)>,
}

/// A gc under way.
struct Gc<'a> {
    session: &'a Session,
    snapshot: &'a Snapshot,
    options: &'a Options,
    now: Timestamp,
    cleaned: Cleaned,
}

/// Removes what is past its time.
pub fn gc(session: &Session, options: &Options) -> Result<Cleaned> {
    session.sync()?;
    let snapshot = session.snapshot()?;
    let now = session.ambient.now();
    let mut gc = Gc { session, snapshot: &snapshot, options, now, cleaned: Cleaned::default() };
    let shared = gc.shared()?;
    gc.publish(shared)?;
    gc.here()?;
    Ok(gc.cleaned)
}

impl Gc<'_> {
    /// Says whether a moment is longer ago than things are kept; to the second, as commits tell it.
    fn is_past(&self, at: Timestamp) -> bool {
        u64::try_from(self.now.as_second() - at.as_second()).is_ok_and(|age| age >= self.options.keep.as_secs())
    }

    /// Says whether a task ended for good longer ago than things are kept.
    fn has_ended(&self, task: &Task) -> bool {
        match &task.standing {
            Standing::Sealed { seal, .. } => self.is_past(seal.at),
            _ => false,
        }
    }

    /// Says whether a commit was made longer ago than things are kept; what cannot be read has no age.
    fn is_old(&self, id: ObjectId) -> bool {
        self.session.hub.repo.commit(id).is_some_and(|commit| self.is_past(commit.at))
    }

    fn keep(&mut self, item: Item, why: impl Into<String>) {
        self.cleaned.kept.push((item, why.into()));
    }

    /// Makes the changes on the hub, each for itself.
    fn publish(&mut self, steps: Vec<(Item, Edit)>) -> Result<()> {
        let (items, edits): (Vec<Item>, Vec<Edit>) = steps.into_iter().unzip();
        if self.options.dry_run {
            self.cleaned.removed.extend(items);
            return Ok(());
        }
        let answers = self.session.hub.publish(&edits)?;
        for (item, answer) in items.into_iter().zip(answers) {
            match answer {
                Answer::Yes => self.cleaned.removed.push(item),
                Answer::No { .. } => self.keep(item, "it moved meanwhile"),
                Answer::Unknown => self.keep(item, "the hub did not take the change"),
            }
        }
        Ok(())
    }
}
