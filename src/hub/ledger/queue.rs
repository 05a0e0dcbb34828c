//! The specs, oldest first.

use std::sync::Arc;

use jiff::Timestamp;
use rayon::prelude::*;

use super::codec::Stored;
use super::file::InBlock;
use super::late::{self, Late, Record};
use crate::git::{Commit, IdMap, ObjectId, Repo};
use crate::hub::format::spec::DEFAULT_PRIORITY;
use crate::hub::format::{SpecRecord, Unreadable};
use crate::task::spec::Mode;
use crate::task::{Name, TaskName};

/// How many commits are read before they are decoded, all cores at once.
const CHUNK: usize = 4096;

/// Fewer than these are decoded sooner than threads are started.
const WORTH_THREADS: usize = 256;

/// A spec commit, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The spec commit.
    pub id: ObjectId,
    /// The task, as the record names it too.
    pub task: TaskName,
    /// How long it is thought to take, in minutes; as the record says it too.
    pub estimate_minutes: Option<u32>,
    /// What it says.
    pub record: Late<SpecRecord>,
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
                take_in(&mut newest_first, &mut unread);
            }
        }
        take_in(&mut newest_first, &mut unread);
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

/// Reads some commits of the queue.
fn take_in(newest_first: &mut Vec<Parsed>, unread: &mut Vec<Commit>) {
    let from = newest_first.len();
    if unread.len() < WORTH_THREADS {
        newest_first.extend(unread.drain(..).map(parse));
    } else {
        newest_first.par_extend(unread.par_drain(..).map(parse));
    }
    let specs = newest_first[from..].iter_mut().flatten().filter_map(Arc::get_mut);
    late::gather(specs.map(|spec| &mut spec.record));
}

/// Reads one commit of the queue.
pub(super) fn parse(commit: Commit) -> Parsed {
    match SpecRecord::parse(&commit.message) {
        Ok(record) => Ok(Arc::new(Queued {
            id: commit.id,
            record: Late::new(&record),
            estimate_minutes: record.estimate_minutes,
            task: record.task,
            at: commit.at,
        })),
        Err(why) => Err((commit.id, why)),
    }
}

impl InBlock for Arc<Queued> {
    fn put(&self, out: &mut Vec<u8>) {
        self.id.put(out);
        self.task.put(out);
        self.estimate_minutes.put(out);
        self.record.put(out);
        self.at.put(out);
    }

    fn take(block: &Arc<Vec<u8>>, rest: &mut &[u8]) -> Option<Self> {
        let (id, task, estimate_minutes) = (Stored::take(rest)?, Stored::take(rest)?, Stored::take(rest)?);
        let record = Late::take(block, rest)?;
        Some(Self::new(Queued { id, task, estimate_minutes, record, at: Stored::take(rest)? }))
    }
}

impl Record for SpecRecord {
    fn broken() -> Self {
        let name = Name::sanitized("unreadable", "");
        Self {
            task: TaskName { project: name.clone(), id: name },
            title: "unreadable".to_owned(),
            priority: DEFAULT_PRIORITY,
            depends_on: Vec::new(),
            modifies: Vec::new(),
            labels: Vec::new(),
            executor: None,
            mode: Mode::default(),
            estimate_minutes: None,
            target: None,
            repairs: None,
            generation: None,
        }
    }
}
