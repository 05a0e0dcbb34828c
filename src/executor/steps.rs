//! What an executor has done around the work: `setup` before it, `teardown` after it (CLI.md, `[executors.NAME]`).
//!
//! Owns when `setup` is due: when its inputs changed, which are its own lines, the variables of `env`, and the files that
//! `setup_inputs` names in the task's base (with none named, all of them). What it made of ignored files stays in the
//! slot until then; where some of that is gone, it is due again. The lines are the configuration's and run by a shell;
//! nothing of a spec is in them.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::command;
use super::slot::{Slot, SlotRecord};
use super::work::{self, End, Job};
use super::{Error, Result};
use crate::config::model::ExecutorSettings;
use crate::exec::{Cancel, Ended, Limits, Pen};
use crate::git::{ObjectId, Repo};

/// The file in a slot's folder that says for which inputs it was set up.
const FILE: &str = "setup.json";

/// The longest that a teardown may take.
const TEARDOWN_TIME: Duration = Duration::from_secs(600);

/// What `setup` depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Inputs {
    lines: Vec<String>,
    env: BTreeMap<String, String>,
    /// Paths with their object ids; one without a path is the whole tree's.
    files: Vec<(String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    inputs: Inputs,
    /// The ignored files and folders that were there afterwards.
    made: Vec<String>,
}

/// Whether a slot has to be set up for a task.
#[derive(Debug, Default)]
pub struct Plan {
    inputs: Inputs,
    /// What an earlier setup for the same inputs made.
    made: Option<Vec<String>>,
}

impl Plan {
    /// Compares what an executor's setup depends on with what the slot was set up for last.
    pub fn new(slot: &Slot, settings: &ExecutorSettings, repo: &Repo, base: ObjectId) -> Result<Self> {
        if settings.setup.is_empty() {
            return Ok(Self::default());
        }
        let files = files(settings, repo, base)?;
        let inputs = Inputs { lines: settings.setup.clone(), env: settings.env.clone(), files };
        let stamp: Option<Stamp> =
            fs::read(slot.root().join(FILE)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let made = stamp.filter(|stamp| stamp.inputs == inputs).map(|stamp| stamp.made);
        Ok(Self { inputs, made })
    }

    /// Names what must stay in the slot, as patterns for git.
    pub fn keeps(&self) -> Vec<String> {
        self.made.iter().flatten().map(|path| pattern(path)).collect()
    }

    /// Runs `setup` where it is due. `Some`: it did not end well.
    pub fn set_up(&self, job: &Job<'_>, record: &mut SlotRecord, pen: &Pen) -> Result<Option<End>> {
        if self.inputs.lines.is_empty() {
            return Ok(None);
        }
        let is_there = |path: &String| fs::symlink_metadata(job.slot.clone_dir().join(path)).is_ok();
        if self.made.as_ref().is_some_and(|made| made.iter().all(is_there)) {
            return Ok(None);
        }
        let path = job.slot.root().join(FILE);
        let _ = fs::remove_file(&path);
        let bad = run(&self.inputs.lines, job, record, pen, job.deadline, job.cancel)?;
        if let Some((line, ended)) = bad {
            return Ok(Some(match ended {
                Ended::Exited(status) => End::NotStarted(format!("its setup `{line}` failed: {status}")),
                ended => End::Ended(ended),
            }));
        }
        let stamp = Stamp { inputs: self.inputs.clone(), made: ignored(job.slot)? };
        let text = serde_json::to_vec(&stamp).map_err(|error| Error::slot(&path, std::io::Error::other(error)))?;
        fs::write(&path, text).map_err(|error| Error::slot(&path, error))?;
        Ok(None)
    }
}

/// Runs `teardown`, whatever came of the work. What it fails with is for the log alone.
pub fn tear_down(job: &Job<'_>, record: &mut SlotRecord, pen: &Pen) -> Result<()> {
    use std::io::Write as _;
    if let Some((line, ended)) =
        run(&job.settings.teardown, job, record, pen, TEARDOWN_TIME.min(job.deadline), &Cancel::new())?
    {
        let _ = writeln!(&mut &*pen, "git-dispatch: its teardown `{line}` did not end well: {ended:?}");
    }
    Ok(())
}

/// Runs lines one after the other, up to the first that does not end well, which is returned.
fn run(
    lines: &[String],
    job: &Job<'_>,
    record: &mut SlotRecord,
    pen: &Pen,
    time: Duration,
    cancel: &Cancel,
) -> Result<Option<(String, Ended)>> {
    let until = Instant::now() + time;
    for line in lines {
        let mut command = command::shell(line);
        command.env_clear().envs(command::environment(job.settings, job.given, job.ambient));
        let limits = Limits {
            deadline: until.saturating_duration_since(Instant::now()),
            stall: None,
            grace: *job.settings.grace,
        };
        let ended = work::wait_for(job.slot, &mut command, record, pen, &limits, cancel)?;
        if !ended.success() {
            return Ok(Some((line.clone(), ended)));
        }
    }
    Ok(None)
}

/// The files of the base that count, with their ids.
fn files(settings: &ExecutorSettings, repo: &Repo, base: ObjectId) -> Result<Vec<(String, String)>> {
    if settings.setup_inputs.is_empty() {
        let tree = repo.commit(base).map(|commit| commit.tree.to_string()).unwrap_or_default();
        return Ok(vec![(String::new(), tree)]);
    }
    let mut globs = globset::GlobSetBuilder::new();
    for glob in settings.setup_inputs.iter().filter_map(|glob| globset::Glob::new(glob).ok()) {
        globs.add(glob);
    }
    let globs = globs.build().map_err(|error| Error::Spawn(error.to_string()))?;
    let listed = repo.git().check(&["ls-tree", "-r", "-z", "--full-tree", &base.to_string()])?;
    let entries = listed.stdout.split(|byte| *byte == 0).filter_map(|entry| {
        let (meta, path) = std::str::from_utf8(entry).ok()?.split_once('\t')?;
        globs.is_match(path).then(|| (path.to_owned(), meta.to_owned()))
    });
    Ok(entries.collect())
}

/// Lists the ignored files and folders of a slot.
fn ignored(slot: &Slot) -> Result<Vec<String>> {
    let args = ["ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"];
    let listed = slot.git().check(&args)?;
    let paths = listed.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    Ok(paths.filter_map(|path| Some(std::str::from_utf8(path).ok()?.trim_end_matches('/').to_owned())).collect())
}

/// Writes a path as a pattern of gitignore's that means it alone.
fn pattern(path: &str) -> String {
    let mut pattern = String::from("/");
    for character in path.chars() {
        if matches!(character, '\\' | '*' | '?' | '[' | ' ') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_one_path() {
        assert_eq!(pattern("node_modules"), "/node_modules");
        assert_eq!(pattern("a b/[x]*?\\"), "/a\\ b/\\[x]\\*\\?\\\\");
    }
}
