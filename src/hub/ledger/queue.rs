//! The specs, oldest first.

use std::sync::Arc;

use jiff::Timestamp;
use rayon::prelude::*;

use crate::git::{Commit, IdMap, ObjectId, Repo};
use crate::hub::format::{SpecRecord, Unreadable};

/// How many commits are read before they are decoded, all cores at once.
const CHUNK: usize = 4096;

/// Fewer than these are decoded sooner than threads are started.
const WORTH_THREADS: usize = 256;

/// A spec commit, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The spec commit.
    pub id: ObjectId,
    /// What it says.
    pub record: SpecRecord,
    /// When it was enqueued.
    pub at: Timestamp,
}

/// All specs up to a tip.
#[derive(Debug, Clone)]
pub struct Queue {
    /// The tip.
    pub tip: Option<ObjectId>,
    /// Those that can be read, oldest first.
    pub specs: Arc<Vec<Arc<Queued>>>,
    /// Those that cannot.
    pub unreadable: Vec<Bad>,
    pub(super) is_whole: bool,
    /// How many were not known before.
    pub(super) fresh: usize,
}

/// A commit on the queue that is no spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// How many specs are older.
    pub(super) after: usize,
    /// The commit.
    pub id: ObjectId,
    /// What is wrong with it.
    pub why: Unreadable,
}

type Parsed = Result<Arc<Queued>, (ObjectId, Unreadable)>;

impl Default for Queue {
    fn default() -> Self {
        Self { tip: None, specs: Arc::default(), unreadable: Vec::new(), is_whole: true, fresh: 0 }
    }
}

impl Queue {
    /// Walks from the tip down to the first commit that an earlier reading has.
    pub(super) fn read(repo: &Repo, tip: Option<ObjectId>, before: &Self) -> Self {
        if tip == before.tip && before.is_whole {
            return Self { fresh: 0, ..before.clone() };
        }
        let known: IdMap<usize> = before.specs.iter().enumerate().map(|(at, spec)| (spec.id, at)).collect();
        let (mut newest_first, mut unread, mut buffer) = (Vec::new(), Vec::new(), Vec::new());
        let (mut kept, mut is_whole, mut next) = (0, true, tip);
        while let Some(id) = next {
            if let Some(at) = known.get(&id) {
                kept = at + 1;
                break;
            }
            let Some(commit) = repo.commit_with(id, &mut buffer) else {
                is_whole = false;
                break;
            };
            next = commit.parents.first().copied();
            unread.push(commit);
            if unread.len() == CHUNK {
                newest_first.par_extend(unread.par_drain(..).map(parse));
            }
        }
        if unread.len() < WORTH_THREADS {
            newest_first.extend(unread.into_iter().map(parse));
        } else {
            newest_first.par_extend(unread.into_par_iter().map(parse));
        }
        let fresh = newest_first.len();
        let mut specs = Vec::with_capacity(kept + fresh);
        specs.extend_from_slice(&before.specs[..kept]);
        let mut unreadable: Vec<Bad> = before.unreadable.iter().filter(|bad| bad.after < kept).cloned().collect();
        for parsed in newest_first.into_iter().rev() {
            match parsed {
                Ok(spec) => specs.push(spec),
                Err((id, why)) => unreadable.push(Bad { after: specs.len(), id, why }),
            }
        }
        Self { tip, specs: Arc::new(specs), unreadable, is_whole, fresh }
    }
}

/// Reads one commit of the queue.
pub(super) fn parse(commit: Commit) -> Parsed {
    match SpecRecord::parse(&commit.message) {
        Ok(record) => Ok(Arc::new(Queued { id: commit.id, record, at: commit.at })),
        Err(why) => Err((commit.id, why)),
    }
}
