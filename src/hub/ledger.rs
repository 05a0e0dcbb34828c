//! The queue and the seals as they were read: what hardly ever changes, so that it is read once.
//!
//! Owns reading them on top of an earlier reading, kept in memory by [`Memory`] or on disk by [`mod@file`]. Everything here is
//! named by the id of what it was read from: a commit's id says all that came before it, a tree's all that is in it. So an
//! earlier reading may be of any tip at all, an older, a rewound or another one; what has the same id is taken over, the
//! rest is read. Records are kept as they are written, and decoded when somebody looks at them ([`Late`]). What a seal means
//! for its task is [`super::snapshot`]'s.

mod codec;
pub mod file;
mod late;
mod queue;
mod seals;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};

pub use late::Late;
pub use queue::{Queue, Queued};
pub use seals::{Seal, Sealed, Seals};

use super::Hub;
use super::error::Result;
use super::snapshot::Snapshot;
use crate::git::{ObjectId, Repo};

/// Both, as of one moment.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The specs.
    pub queue: Queue,
    /// The seals.
    pub seals: Seals,
    /// How many objects were read since the file was written.
    unwritten: usize,
}

impl Ledger {
    /// Reads what these tips hold, on top of an earlier reading; the two at once.
    pub fn read(repo: &Repo, queue: Option<ObjectId>, seals: Option<ObjectId>, before: &Self) -> Self {
        let (one, other) = (repo.clone(), repo.clone());
        let (queue, seals) = rayon::join(
            move || Queue::read(&one, queue, &before.queue),
            move || Seals::read(&other, seals, &before.seals),
        );
        let unwritten = before.unwritten + queue.fresh + seals.fresh;
        Self { queue, seals, unwritten }
    }

    /// Says whether all of it was there to be read. Where something is missing, it may come yet, and nothing is kept.
    pub const fn is_whole(&self) -> bool {
        self.queue.is_whole && self.seals.is_whole
    }
}

/// What a snapshot is made from: as long as none of it moves, the last one holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) queue: Option<ObjectId>,
    pub(super) seals: Option<ObjectId>,
    pub(super) claims: Vec<(String, ObjectId)>,
}

impl Seen {
    pub(super) fn of(hub: &Hub) -> Result<Self> {
        Ok(Self {
            queue: hub.known(&hub.layout.queue()),
            seals: hub.known(&hub.layout.sealed()),
            claims: hub.repo.refs_with_prefix(&hub.layout.claims())?,
        })
    }
}

/// The last reading, shared by the clones of a [`Hub`]: a node looks at its queue several times a poll.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<Option<Remembered>>>);

#[derive(Debug)]
struct Remembered {
    seen: Seen,
    ledger: Ledger,
    snapshot: Snapshot,
}

impl Memory {
    /// Returns the last snapshot where nothing has moved since, else reads what did.
    pub(super) fn snapshot(&self, hub: &Hub) -> Result<Snapshot> {
        let seen = Seen::of(hub)?;
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = memory.as_ref().filter(|last| last.seen == seen) {
            return Ok(last.snapshot.clone());
        }
        // Behind a cut, or with other objects put in their place, an id does not say what came before.
        let is_plain = hub.repo.has_plain_history();
        let before = match memory.take() {
            Some(last) => last.ledger,
            None if is_plain => file::load(&hub.repo).unwrap_or_default(),
            None => Ledger::default(),
        };
        let mut ledger = Ledger::read(&hub.repo, seen.queue, seen.seals, &before);
        drop(before);
        let snapshot = Snapshot::new(hub, &ledger, &seen);
        if is_plain && ledger.is_whole() {
            file::keep(&hub.repo, &mut ledger);
            // A record that cannot be read may be one whose objects are still to come.
            if snapshot.unreadable.is_empty() {
                *memory = Some(Remembered { seen, ledger, snapshot: snapshot.clone() });
            }
        }
        Ok(snapshot)
    }
}
