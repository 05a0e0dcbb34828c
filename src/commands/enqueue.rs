//! `git dispatch enqueue`

mod issue;

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::hub::snapshot::Snapshot;
use crate::protocol::enqueue::doubts::doubts;
use crate::protocol::enqueue::{Enqueued, Entry, Options, enqueue, may_go_at_once};
use crate::protocol::{Error, Result, Session};
use crate::task::name::NameKind;
use crate::task::spec::Defaults;
use crate::task::{Name, TaskName};
use crate::ui::progress::Progress;
use crate::ui::theme;

/// A file larger than any spec is not read whole to find that out.
const READ_LIMIT: u64 = 8 << 20;

/// Put specs on the queue: files, folders (their `*.md`), or `-` for standard input.
///
/// A batch is all in or all out. A spec that is on the queue already, byte for byte the same, is skipped.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, folders, or `-`
    #[arg(value_name = "PATH", conflicts_with = "issue")]
    paths: Vec<PathBuf>,
    /// The project of specs that name none
    #[arg(long, value_name = "P")]
    project: Option<String>,
    /// Do what an event of a forge says of an issue: queue it as `issue-<number>`, replace its pending spec, or call it off
    ///
    /// The event is JSON as GitHub, Gitea, Forgejo or GitLab deliver it; `-` is standard input. An issue is taken when it
    /// was opened, edited, labelled or reopened by somebody in `trust.issue_authors`, was written by one of them, and has all
    /// of `trust.issue_labels`; whatever else is skipped with its reason and exit code 0. Labels such as `priority: high` and
    /// `needs: gpu` set the task's priority and what a node must have; other labels set nothing. Closing an issue calls its
    /// task off, reopening it makes the task pending again.
    #[arg(long, value_name = "FILE", conflicts_with = "replace")]
    issue: Option<PathBuf>,
    /// Put a changed spec in force, while its task is still pending
    #[arg(long)]
    replace: bool,
    /// Sign the specs with your ssh key (`user.signingKey`); done by itself where `trust.signed` is set
    #[arg(long)]
    sign: bool,
    /// Check everything and say what would be enqueued, without doing it
    #[arg(long)]
    dry_run: bool,
}

/// Enqueues.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let mut session = context.open(&Vec::new())?;
    if let Some(project) = &args.project {
        session.project = Name::new(NameKind::Project, project).map_err(Error::from)?;
    }
    if let Some(file) = &args.issue {
        return issue::run(context, &session, file, args.dry_run);
    }
    let entries = read(context, &session, &args.paths)?;
    doubts(&session, &entries).iter().for_each(|doubt| context.ui.warn(doubt));
    let progress = Progress::start(&context.ui, "enqueueing");
    let mut options =
        Options { dry_run: args.dry_run, replace: args.replace, sign: args.sign, ..Options::default() };
    options.at_once = may_go_at_once(&session, &entries, options)?;
    if !options.at_once {
        session.sync()?;
    }
    let before = session.snapshot()?;
    let done = enqueue(&session, &entries, options)?;
    drop(progress);
    if context.ui.json {
        let enqueued: Vec<_> =
            done.enqueued.iter().map(|(task, spec)| json!({"task": task, "spec": spec.to_string()})).collect();
        let skipped: Vec<_> =
            done.skipped.iter().map(|task| json!({"task": task, "reason": "already queued"})).collect();
        context.ui.document(&json!({"enqueued": enqueued, "skipped": skipped}));
        return Ok(Exit::Done);
    }
    tell(context, args, &entries, &done, &before);
    Ok(Exit::Done)
}

fn tell(context: &Context, args: &Args, entries: &[Entry], done: &Enqueued, before: &Snapshot) {
    let verb = |task: &TaskName| if before.get(task).is_some() { "replace" } else { "enqueue" };
    for (task, _) in &done.enqueued {
        context.ui.print(&format!("{}d {task}\n", verb(task)));
    }
    for task in &done.skipped {
        context.ui.note(&format!("skipped  {task}: already queued"));
    }
    if args.dry_run {
        let fresh = entries.iter().map(|entry| &entry.parsed.spec.task).filter(|task| !done.skipped.contains(task));
        for task in fresh {
            context.ui.print(&format!("would {} {task}\n", verb(task)));
        }
    }
    if entries.is_empty() {
        context
            .ui
            .note("nothing to enqueue: name spec files, folders with `*.md` in them, or `-` for standard input");
    }
}

/// Reads and parses everything given; the first that is wrong refuses the whole batch.
fn read(context: &Context, session: &Session, paths: &[PathBuf]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for path in paths {
        for (file, id, bytes) in files(&context.ambient.cwd, path)? {
            let defaults = Defaults { project: session.project.clone(), id };
            let entry = Entry::read(file, bytes, &defaults)?;
            for warning in entry.parsed.warnings.iter().cloned() {
                context.ui.note(&theme::render(&miette::Report::new(warning), &context.ui.err));
            }
            entries.push(entry);
        }
    }
    Ok(entries)
}

type File = (String, Option<String>, Vec<u8>);

fn files(cwd: &Path, given: &Path) -> Result<Vec<File>> {
    let unreadable = |path: &Path| {
        let path = path.to_string_lossy().into_owned();
        move |source| Error::Unreadable { path, source }
    };
    if given == Path::new("-") {
        let mut bytes = Vec::new();
        let mut input = std::io::stdin().take(READ_LIMIT);
        input.read_to_end(&mut bytes).map_err(unreadable(given))?;
        return Ok(vec![("standard input".to_owned(), None, bytes)]);
    }
    let path = cwd.join(given);
    let meta = std::fs::metadata(&path).map_err(unreadable(given))?;
    if !meta.is_dir() {
        return Ok(vec![read_file(&path, given).map_err(unreadable(given))?]);
    }
    let mut names: Vec<PathBuf> = std::fs::read_dir(&path)
        .map_err(unreadable(given))?
        .filter_map(|entry| Some(PathBuf::from(entry.ok()?.file_name())))
        .filter(|name| name.extension().is_some_and(|extension| extension == "md"))
        .collect();
    names.sort();
    names
        .iter()
        .map(|name| read_file(&path.join(name), &given.join(name)).map_err(unreadable(&given.join(name))))
        .collect()
}

fn read_file(path: &Path, shown: &Path) -> std::io::Result<File> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(READ_LIMIT).read_to_end(&mut bytes)?;
    let id = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok((shown.to_string_lossy().into_owned(), id, bytes))
}
