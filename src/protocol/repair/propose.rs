//! The spec of a repair: what conflicts, what both sides were to do, and how the result will be checked.
//!
//! Owns its text and its name. Titles and bodies of other specs are quoted, so that nothing in them can end the
//! frontmatter or pass for our words.

use std::collections::HashSet;

use serde_json::json;

use super::{Mends, mended, repair_of};
use crate::git::ObjectId;
use crate::hub::Error as HubError;
use crate::hub::format::Trailers;
use crate::hub::snapshot::{Claim, Snapshot, Task};
use crate::protocol::enqueue::{self, Entry};
use crate::protocol::error::{Error, Result};
use crate::protocol::pick::read_spec;
use crate::protocol::session::Session;
use crate::task::TaskName;
use crate::task::event::ConflictFile;
use crate::task::spec::{self, Defaults};
use crate::task::text::one_line;

/// How far back in the target's history the other side is looked for, in merges.
const OTHER_SIDE: usize = 200;

/// How many tasks of the other side are told in full.
const TOLD: usize = 5;

/// How much of a spec's body is quoted, in bytes.
const QUOTED: usize = 16 * 1024;

/// The longest id.
const ID_LENGTH: usize = 64;

/// Puts the repair of a conflict on the queue, unless it is there; names it. `None`: the conflict waits for a person, since
/// no executor is there for it, it was repaired often enough, or it is none that a merge could resolve.
pub fn propose(
    session: &Session,
    task: &Task,
    claim: &Claim,
    files: &[ConflictFile],
    target: &str,
) -> Result<Option<TaskName>> {
    let Some(executor) = session.config.conflict_executor() else { return Ok(None) };
    let mends = Mends { task: task.name().clone(), claim: claim.id };
    // What another collector of the same moment puts there counts as well.
    for _ in 0..2 {
        let snapshot = session.snapshot()?;
        if let Some(known) = repair_of(&snapshot, &mends) {
            return Ok(Some(known.name().clone()));
        }
        let is_mergeable = files.iter().all(|file| file.kind != "base_rewritten");
        let earlier = mended(&snapshot, &task.spec.record).len();
        if !is_mergeable || earlier >= session.config.collect.max_repairs as usize {
            return Ok(None);
        }
        let name = free_name(&snapshot, task)?;
        let text = Text { session, snapshot: &snapshot, task, claim, files, target, executor };
        let bytes = text.write(&name).into_bytes();
        let defaults = Defaults { project: name.project.clone(), id: Some(name.id.to_string()) };
        let parsed = spec::parse("repair", &bytes, &defaults).map_err(Error::from)?;
        let entry = Entry { file: "repair".to_owned(), bytes, parsed, repairs: Some(mends.to_string()) };
        match enqueue::enqueue(session, &[entry], enqueue::Options::default()) {
            Ok(_) => return Ok(Some(name)),
            Err(Error::Exists { .. }) => session.sync()?,
            // Nobody would run what is not signed: the conflict waits for a person who can.
            Err(Error::Trust(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Err(HubError::Busy { name: session.hub.layout.queue(), tries: 2 }.into())
}

/// Names a repair after the task at the root of what it mends: `<id>-repair-<n>`, with the next number that is free.
fn free_name(snapshot: &Snapshot, task: &Task) -> Result<TaskName> {
    let root = mended(snapshot, &task.spec.record).last().map_or(task.name(), |(root, _)| root.name()).clone();
    let taken: HashSet<String> = snapshot.tasks.iter().map(|task| task.name().fold()).collect();
    for number in 1.. {
        let end = format!("-repair-{number}");
        let id = root.id.as_str();
        let id = &id[..id.len().min(ID_LENGTH - end.len())];
        let name = TaskName::parse(&format!("{}/{id}{end}", root.project))?;
        if !taken.contains(&name.fold()) {
            return Ok(name);
        }
    }
    Ok(root)
}

/// What a repair's spec is written from.
struct Text<'a> {
    session: &'a Session,
    snapshot: &'a Snapshot,
    task: &'a Task,
    claim: &'a Claim,
    files: &'a [ConflictFile],
    target: &'a str,
    executor: &'a str,
}

impl Text<'_> {
    fn write(&self, name: &TaskName) -> String {
        let original = self.task.name();
        let result = self.claim.result.map(|id| id.to_string()).unwrap_or_default();
        let title = format!("Resolve the conflict of {original} with {}", self.target);
        let record = &self.task.spec.record;
        let mut text = format!(
            "---\ntask_id: {}\nproject: {}\ntitle: {}\npriority: {}\nexecutor: {}\nlabels: {}\ntarget: {}\n---\n",
            json!(name.id.as_str()),
            json!(name.project.as_str()),
            json!(title),
            record.priority,
            json!(self.executor),
            json!(record.labels),
            json!(self.target),
        );
        text += &format!(
            "# {title}\n\nThe work of `{original}` is done, and does not merge into `{}`. Here the merge has been begun and stands \
             half-done: the working tree is `{0}` with that work merged in, and the files below hold conflict markers. \
             Resolve them so that both intentions live on, and conclude the merge.\n\n## What conflicts\n\n",
            self.target
        );
        for file in self.files {
            text += &format!("- {}: {}\n", quoted_path(&file.path), one_line(&file.kind));
        }
        text += &format!("\n## What {original} was to do\n\n{}", self.told(self.task));
        let others = self.others();
        if !others.is_empty() {
            text += &format!("\n## What {} has changed there meanwhile\n\n", self.target);
            text += &others.join("\n");
        }
        text += &format!(
            "\n## How it ends\n\nWrite the files as they shall be, `git add` them and `git commit` (what is left uncommitted is \
             committed for you). Do not abort the merge, and do not rebase: the result must be a merge commit that descends \
             from both sides. Worked on by hand, on the task's branch, the merge is begun with `git merge --no-ff {result}`.\n\n\
             ## How it will be checked\n\n- No conflict marker is left in any of the files.\n- The result descends from \
             `{result}`.\n"
        );
        if let Some(verify) = self.verify() {
            text += &format!("- This passes: `{}`\n", one_line(&verify));
        }
        text
    }

    /// The command that the collect will check the merge with.
    fn verify(&self) -> Option<String> {
        let verify = json!(self.session.config.collect.verify);
        match verify {
            serde_json::Value::String(line) => Some(line).filter(|line| !line.is_empty()),
            serde_json::Value::Array(argv) => {
                let words: Vec<&str> = argv.iter().filter_map(serde_json::Value::as_str).collect();
                (!words.is_empty()).then(|| words.join(" "))
            }
            _ => None,
        }
    }

    /// A task's title and body, quoted.
    fn told(&self, task: &Task) -> String {
        let body = read_spec(self.session, task).map(|spec| spec.body).unwrap_or_default();
        let end = (0..=QUOTED.min(body.len())).rev().find(|end| body.is_char_boundary(*end)).unwrap_or(0);
        let mut told = format!("`{}`: {}\n\n", task.name(), one_line(&task.spec.record.title));
        for line in body[..end].trim().lines() {
            told += format!("> {line}").trim_end();
            told += "\n";
        }
        if end < body.len() {
            told += "> (the rest is left out)\n";
        }
        told
    }

    /// The tasks that changed the same files in the target since the work began; other commits by their subjects.
    fn others(&self) -> Vec<String> {
        let session = self.session;
        let repo = &session.hub.repo;
        let Some(tip) = session.hub.target_tip(self.target) else { return Vec::new() };
        let (mut others, mut seen) = (Vec::new(), 0);
        repo.first_parents(tip, |commit| {
            seen += 1;
            if Some(commit.id) == self.claim.record.target_tip || seen > OTHER_SIDE || others.len() == TOLD {
                return false;
            }
            if let Some(parent) = commit.parents.first()
                && self.touches(*parent, commit.id)
            {
                let trailers = Trailers::parse(&commit.message);
                let named = trailers.get("Dispatch-Task").and_then(|name| TaskName::parse(name).ok());
                others.push(match named.and_then(|name| self.snapshot.get(&name)) {
                    Some(task) => self.told(task),
                    None => {
                        let subject = commit.message.lines().next().unwrap_or_default();
                        format!("`{}`: {}\n", &commit.id.to_string()[..10], one_line(subject))
                    }
                });
            }
            true
        });
        others
    }

    fn touches(&self, before: ObjectId, after: ObjectId) -> bool {
        let changed = self.session.hub.repo.changed(before, after).map(|changed| changed.paths).unwrap_or_default();
        changed.iter().any(|path| self.files.iter().any(|file| file.path == *path))
    }
}

/// A path as code, whatever is in it.
fn quoted_path(path: &str) -> String {
    format!("`{}`", one_line(path).replace('`', "'"))
}
