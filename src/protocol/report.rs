//! The merge report: what a collect did, and what a person should do next, as Markdown.
//!
//! Owns what is told, and the note that keeps it on the last merge commit of each collect, which explains and never
//! decides. How Markdown is written safely is `markdown`'s.

mod markdown;

pub(super) use markdown::took;
pub use markdown::{code, code_of};

use jiff::Timestamp;

use super::collect::Collected;
use super::error::Result;
use super::session::Session;
use crate::git::ObjectId;
use crate::hub::Edit;
use crate::hub::notes::Addition;
use crate::hub::snapshot::{Snapshot, Standing, Task, chain_of, status_of};
use crate::task::event::{ConflictFile, Event};
use crate::task::{Reason, TaskName};

/// What a collect did, ready to be told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The node that collected.
    pub node: String,
    /// Whether it is only what would be done.
    pub dry_run: bool,
    /// What was done to each target.
    pub targets: Vec<Section>,
}

/// What was done to one target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Section {
    /// The branch.
    pub target: String,
    /// When.
    pub at: Timestamp,
    /// Its tip before.
    pub old: Option<ObjectId>,
    /// Its tip after.
    pub new: Option<ObjectId>,
    /// What was merged, in order, each with its merge commit; none where there was nothing to merge.
    pub merged: Vec<(Row, Option<ObjectId>)>,
    /// What does not merge, and where.
    pub conflicts: Vec<(Row, Vec<ConflictFile>)>,
    /// What was left out for another reason.
    pub rejected: Vec<(Row, Reason)>,
    /// What has to wait, and for what.
    pub waiting: Vec<(Row, String)>,
}

/// One task's work.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// The task, `<project>/<id>`.
    pub task: String,
    /// Its title.
    pub title: String,
    /// The record of the work, as far as there is one.
    pub work: Event,
    /// The task that mends it, where one is queued.
    pub repair: Option<String>,
}

impl Report {
    /// Puts together what was collected and what the tasks' records say of the work.
    pub fn of(session: &Session, snapshot: &Snapshot, collected: &[Collected]) -> Self {
        Self {
            node: session.node.to_string(),
            dry_run: false,
            targets: collected.iter().map(|collected| section(session, snapshot, collected)).collect(),
        }
    }

    /// Writes the report. No text of a spec, a path or a branch can be more than text in it, nor drive a terminal.
    pub fn to_markdown(&self) -> String {
        markdown::write(self)
    }
}

/// Prepares the note that keeps the report on the last merge commit of a collect; `None` where nothing was merged.
pub fn note(session: &Session, collected: &Collected) -> Result<Option<Edit>> {
    let Some(commit) = collected.merged.iter().rev().find_map(|(_, commit)| *commit) else {
        return Ok(None);
    };
    let report = Report::of(session, &session.snapshot()?, std::slice::from_ref(collected));
    let name = session.hub.layout.reports();
    let known = session.hub.known(&name);
    let addition = Addition { object: commit, text: report.to_markdown().into_bytes() };
    Ok(session.hub.add_to_notes(&name, known, &[addition], &session.by, &session.ambient)?)
}

fn section(session: &Session, snapshot: &Snapshot, collected: &Collected) -> Section {
    let row = |name: &TaskName| row(session, snapshot, name);
    // The file and the note are written at different moments, and say the same.
    let moved = collected.new.filter(|new| Some(*new) != collected.old);
    let moved_at = moved.and_then(|new| session.hub.repo.commit(new)).map(|commit| commit.at);
    Section {
        target: collected.target.clone(),
        at: moved_at.unwrap_or_else(|| session.ambient.now()),
        old: collected.old,
        new: collected.new,
        merged: collected.merged.iter().map(|(name, commit)| (row(name), *commit)).collect(),
        conflicts: collected.conflicts.iter().map(|one| (row(&one.task), one.files.clone())).collect(),
        rejected: collected.rejected.iter().map(|(name, reason)| (row(name), *reason)).collect(),
        waiting: collected.waiting.iter().map(|(name, what)| (row(name), what.clone())).collect(),
    }
}

fn row(session: &Session, snapshot: &Snapshot, name: &TaskName) -> Row {
    let mut row = Row { task: name.to_string(), ..Row::default() };
    if let Some(task) = snapshot.get(name) {
        row.title.clone_from(&task.spec.record.title);
        let (work, repair) = work_of(session, task);
        row.work = work;
        row.repair = repair;
    }
    row
}

/// The record of a task's last work, whatever became of it since, and the task that mends it.
pub(super) fn work_of(session: &Session, task: &Task) -> (Event, Option<String>) {
    let repo = &session.hub.repo;
    match &task.standing {
        Standing::Sealed { seal, .. } => ((***seal).clone(), None),
        Standing::Claimed(tip) => {
            let repair = status_of(repo, tip.id).and_then(|status| status.repair);
            // What came of the work is told by claims of their own, which do not measure it again.
            let is_work = |status: &Event| status.files_changed.is_some();
            let work = chain_of(repo, tip.id).iter().find_map(|claim| status_of(repo, claim.id).filter(is_work));
            (work.unwrap_or_default(), repair)
        }
        Standing::Fresh | Standing::Unknown(_) => (Event::default(), None),
    }
}
