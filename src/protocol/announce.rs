//! What the protocol tells while it works; the face decides how that looks.

use std::time::Duration;

use crate::git::ObjectId;
use crate::task::event::ConflictFile;
use crate::task::{Reason, State, TaskName};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// An attempt began.
    Started {
        /// The task.
        task: TaskName,
        /// Its title.
        title: String,
        /// The attempt's number.
        attempt: u32,
    },
    /// An attempt ended well, and the hub has the result.
    Completed {
        /// The task.
        task: TaskName,
        /// Files changed.
        files: u64,
        /// Lines added and removed.
        lines: (u64, u64),
        /// How long it took.
        took: Duration,
    },
    /// An attempt ended badly.
    Failed {
        /// The task.
        task: TaskName,
        /// Why.
        reason: Reason,
        /// What went wrong, for people.
        error: String,
    },
    /// The attempt was taken away while it ran; its work is kept.
    Fenced {
        /// The task.
        task: TaskName,
        /// By what.
        why: String,
        /// The ref with the work.
        kept: Option<String>,
    },
    /// A result waits for the hub.
    Waiting {
        /// The task.
        task: TaskName,
    },
    /// An attempt was given back.
    Released {
        /// The task.
        task: TaskName,
        /// Why.
        reason: Reason,
    },
    /// An attempt was taken over from a lost node.
    TakenOver {
        /// The task.
        task: TaskName,
        /// The node that was lost.
        node: String,
        /// The number of the attempt that begins with it.
        attempt: u32,
    },
    /// A result was merged.
    Merged {
        /// The task.
        task: TaskName,
        /// The branch.
        target: String,
        /// The merge commit; none where there was nothing to merge.
        merge_commit: Option<ObjectId>,
    },
    /// A result does not merge.
    Conflicted {
        /// The task.
        task: TaskName,
        /// Where.
        files: Vec<ConflictFile>,
        /// The task that is to resolve it.
        repair: Option<TaskName>,
    },
    /// A verification of a target ended.
    Verified {
        /// The branch.
        target: String,
        /// How many merges on top of its tip were verified; 0: the tip alone.
        merges: usize,
        /// Whether it passed.
        passed: bool,
        /// Whether it failed and is tried again.
        again: bool,
        /// How long it took.
        took: Duration,
    },
    /// A task cannot begin because of what it depends on.
    Blocked {
        /// The task.
        task: TaskName,
        /// What it depends on.
        by: TaskName,
        /// Where that stands.
        state: State,
    },
    /// A spec came onto the queue.
    Enqueued {
        /// The task.
        task: TaskName,
        /// The file that it was in.
        from: String,
    },
    /// A spec was refused, and what came with it was not.
    Rejected {
        /// The file that it was in.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A result that waits for the hub was written to a file, which a person has to carry.
    Bundled {
        /// The task.
        task: TaskName,
        /// The file.
        file: String,
    },
    /// Something that a person should know, in one line.
    Note(String),
}

/// Who is told of what happens.
pub trait Announce: Send + Sync {
    /// Takes note of something.
    fn happened(&self, what: &Happened);
}

/// Nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Announce for Silent {
    fn happened(&self, _: &Happened) {}
}
