//! A spec file, read: frontmatter and body become a [`Spec`].
//!
//! Owns what a spec may say and what each key means. Whether a dependency exists, a cycle closes or an executor is
//! offered is for whoever sees the queue; [`Places`] lets them point into the file.
//!
//! ```text
//! bytes ─ document: size, UTF-8, `---` … `---` ─┬─ yaml: entries with spans ─ keys: known? ─ values: typed ─ Spec
//!                                               └─ body ─ heading: a title, if none was given
//! ```

mod branch;
mod document;
mod error;
mod field;
mod heading;
mod keys;
mod mode;
mod values;
mod yaml;

use std::collections::BTreeMap;

use miette::SourceSpan;
use serde::Serialize;

pub use branch::is_branch;
pub use document::MAX_BYTES;
pub use error::{Source, SpecError, Warning};
pub use mode::{Mode, UnknownMode};

use crate::task::name::{Name, NameKind, TaskName};
use document::Document;
use field::{Field, Item};
use keys::Key;
use yaml::Entry;

/// The priority of a task that says nothing; 0 is first.
pub const DEFAULT_PRIORITY: u8 = 2;

/// The label that `needs_claude_code: true` stands for.
pub const CLAUDE_CODE_LABEL: &str = "claude-code";

/// What holds where a spec says nothing.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The repository's project.
    pub project: Name,
    /// The file's stem as it is, not yet checked; nothing for stdin.
    pub id: Option<String>,
}

/// What a spec file asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// Which task it is.
    pub task: TaskName,
    /// One line for people; never empty. May hold control characters: show it escaped.
    pub title: String,
    /// 0 is first.
    pub priority: u8,
    /// The tasks whose results it builds on, each once, in the order given.
    pub depends_on: Vec<TaskName>,
    /// Globs of the paths that it means to change.
    pub modifies: Vec<String>,
    /// The executor asked for.
    pub executor: Option<String>,
    /// The labels that a node must have.
    pub labels: Vec<String>,
    /// How long it will probably take, in minutes.
    pub estimate_minutes: Option<u32>,
    /// When it is ended, in minutes.
    pub timeout_minutes: Option<u32>,
    /// How it is meant to reach a node.
    pub mode: Mode,
    /// The branch that it is for.
    pub target: Option<String>,
    /// The command of an executor of kind shell.
    pub run: Option<String>,
    /// The prompt: what follows the frontmatter.
    pub body: String,
}

/// Where things stand in the file, for errors that only show later.
#[derive(Debug, Clone)]
pub struct Places {
    /// The file, for `#[source_code]`; the spans below point into it. A byte order mark is not part of it.
    pub file: Source,
    /// The value of `task_id`; nothing when the id comes from the file's name.
    pub task_id: Option<SourceSpan>,
    /// The value of `project`; nothing when it is the default.
    pub project: Option<SourceSpan>,
    /// One for each entry of [`Spec::depends_on`], in the same order.
    pub depends_on: Vec<SourceSpan>,
}

/// A spec, with what was noticed on the way.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The spec.
    pub spec: Spec,
    /// What is accepted and yet probably not meant.
    pub warnings: Vec<Warning>,
    /// Where its parts stand.
    pub places: Places,
}

/// Reads a spec file; the name is shown in errors and never opened.
///
/// Reading the bytes of a stored `spec.md` again gives the same spec, if the defaults are the same.
pub fn parse(file_name: &str, bytes: &[u8], defaults: &Defaults) -> Result<Parsed, SpecError> {
    let document = Document::open(file_name, bytes)?;
    let mut warnings = Vec::new();
    let entries = match document.frontmatter() {
        Some(frontmatter) => yaml::read(&document.file, frontmatter)?,
        None => Vec::new(),
    };
    let fields = Fields::sort(&document.file, &entries, &mut warnings)?;
    let (task, task_id, project) = task_name(&document.file, &fields, defaults)?;
    let (depends_on, depends_at) = dependencies(&fields, &task.project)?;
    let title = match fields.get(Key::Title).map_or(Ok(None), |field| field.title())? {
        Some(title) => title,
        None => heading::first(document.body()).unwrap_or_else(|| task.id.to_string()),
    };
    let spec = Spec {
        title,
        priority: fields.get(Key::Priority).map_or(Ok(None), |f| f.priority())?.unwrap_or(DEFAULT_PRIORITY),
        depends_on,
        modifies: fields.get(Key::Modifies).map_or(Ok(Vec::new()), |f| f.globs())?,
        executor: fields.get(Key::Executor).map_or(Ok(None), |f| f.word())?,
        labels: labels(&fields)?,
        estimate_minutes: fields.get(Key::EstimatedMinutes).map_or(Ok(None), |f| f.minutes())?,
        timeout_minutes: fields.get(Key::TimeoutMinutes).map_or(Ok(None), |f| f.minutes())?,
        mode: fields.get(Key::Mode).map_or(Ok(None), |f| f.mode())?.unwrap_or_default(),
        target: fields.get(Key::Target).map_or(Ok(None), |f| f.branch())?,
        run: fields.get(Key::Run).map_or(Ok(None), |f| f.command())?,
        body: document.body().to_owned(),
        task,
    };
    document.warn(&mut warnings);
    if spec.body.trim().is_empty() && spec.run.is_none() {
        warnings.push(Warning::NoBody { file: document.file.clone(), at: document.end() });
    }
    Ok(Parsed { spec, warnings, places: Places { file: document.file, task_id, project, depends_on: depends_at } })
}

/// The entries that we know, each at most once.
struct Fields<'a>(BTreeMap<Key, Field<'a>>);

impl<'a> Fields<'a> {
    /// Sorts entries by what they mean; unknown ones become warnings.
    fn sort(file: &'a Source, entries: &'a [Entry], warnings: &mut Vec<Warning>) -> Result<Self, SpecError> {
        let mut known = BTreeMap::<Key, Field<'a>>::new();
        for entry in entries {
            let Some((key, name)) = keys::known(&entry.key) else {
                warnings.push(Warning::unknown_key(file, entry, keys::probably_meant(&entry.key)));
                continue;
            };
            let field = Field { file, key: name, key_at: entry.key_at, value: &entry.value };
            if let Some(first) = known.insert(key, field) {
                return Err(SpecError::DuplicateKey {
                    key: name.to_owned(),
                    note: format!("`{}` says the same", first.key),
                    file: file.clone(),
                    first: Some(first.key_at),
                    at: entry.key_at,
                });
            }
        }
        Ok(Self(known))
    }

    fn get(&self, key: Key) -> Option<&Field<'a>> {
        self.0.get(&key)
    }
}

/// Finds out which task the file is, and where it says so.
fn task_name(
    file: &Source,
    fields: &Fields<'_>,
    defaults: &Defaults,
) -> Result<(TaskName, Option<SourceSpan>, Option<SourceSpan>), SpecError> {
    let given = |key, kind| fields.get(key).map_or(Ok(None), |field| field.name(kind));
    let (project, project_at) = match given(Key::Project, NameKind::Project)? {
        Some((name, at)) => (name, Some(at)),
        None => (defaults.project.clone(), None),
    };
    if let Some((id, at)) = given(Key::TaskId, NameKind::Task)? {
        return Ok((TaskName { project, id }, Some(at), project_at));
    }
    let Some(stem) = &defaults.id else {
        return Err(SpecError::NoId { file: file.clone(), at: SourceSpan::from(0) });
    };
    let id = Name::new(NameKind::Task, stem).map_err(|error| SpecError::FileName {
        error,
        file: file.clone(),
        at: SourceSpan::from(0),
    })?;
    Ok((TaskName { project, id }, None, project_at))
}

/// Reads the dependencies with their places; one without `/` is in the spec's own project.
fn dependencies(fields: &Fields<'_>, project: &Name) -> Result<(Vec<TaskName>, Vec<SourceSpan>), SpecError> {
    let (mut names, mut places) = (Vec::new(), Vec::new());
    let Some(field) = fields.get(Key::DependsOn) else {
        return Ok((names, places));
    };
    for Item { text, at } in field.list()? {
        let name = if text.contains('/') {
            TaskName::parse(text)
        } else {
            Name::new(NameKind::Task, text).map(|id| TaskName { project: project.clone(), id })
        };
        let name = name.map_err(|error| SpecError::Name { error, file: field.file.clone(), at })?;
        if !names.contains(&name) {
            names.push(name);
            places.push(at);
        }
    }
    Ok((names, places))
}

/// Reads the labels, with the one that has a key of its own.
fn labels(fields: &Fields<'_>) -> Result<Vec<String>, SpecError> {
    let mut labels = fields.get(Key::Labels).map_or(Ok(Vec::new()), |field| field.words())?;
    let needed = fields.get(Key::NeedsClaudeCode).map_or(Ok(None), |field| field.flag())?;
    if needed == Some(true) && !labels.iter().any(|label| label == CLAUDE_CODE_LABEL) {
        labels.push(CLAUDE_CODE_LABEL.to_owned());
    }
    Ok(labels)
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
