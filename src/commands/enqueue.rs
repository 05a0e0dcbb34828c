//! `git dispatch enqueue`

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Context, Outcome};
use crate::config::model::ExecutorKind;
use crate::config::near::nearest;
use crate::exit::Exit;
use crate::hub::snapshot::Snapshot;
use crate::protocol::enqueue::{Enqueued, Entry, Options, enqueue};
use crate::protocol::{Error, Result, Session};
use crate::task::name::NameKind;
use crate::task::spec::{self, Defaults};
use crate::task::{Name, TaskName, text::escaped};
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
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The project of specs that name none
    #[arg(long, value_name = "P")]
    project: Option<String>,
    /// Put a changed spec in force, while its task is still pending
    #[arg(long)]
    replace: bool,
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
    let entries = read(context, &session, &args.paths)?;
    warn_of_executors(context, &session, &entries);
    let progress = Progress::start(&context.ui, "enqueueing");
    session.sync()?;
    let before = session.snapshot()?;
    let done = enqueue(&session, &entries, Options { dry_run: args.dry_run, replace: args.replace })?;
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
            let parsed = spec::parse(&file, &bytes, &defaults)?;
            for warning in parsed.warnings.iter().cloned() {
                context.ui.note(&theme::render(&miette::Report::new(warning), &context.ui.err));
            }
            entries.push(Entry { file, bytes, parsed, repairs: None });
        }
    }
    Ok(entries)
}

/// How many tasks a warning names.
const NAMED: usize = 3;

/// Warns of what keeps tasks from being run, as the configuration is here.
fn warn_of_executors(context: &Context, session: &Session, entries: &[Entry]) {
    let config = &session.config;
    let mut without_run: Vec<&TaskName> = Vec::new();
    for spec in entries.iter().map(|entry| &entry.parsed.spec) {
        let name = spec.executor.as_ref().unwrap_or(&config.default_executor);
        if let Some(executor) = config.executor(name) {
            if executor.kind == ExecutorKind::Shell && spec.run.is_none() {
                without_run.push(&spec.task);
            }
            continue;
        }
        let near = nearest(name, config.executors.keys().map(String::as_str));
        let hint = near.map(|near| format!("; did you mean `{}`?", escaped(near))).unwrap_or_default();
        let (task, name) = (&spec.task, escaped(name));
        context.ui.warn(&format!("{task} asks for executor {name}, which is not configured here{hint}"));
    }
    if without_run.is_empty() {
        return;
    }
    let named: Vec<String> = without_run.iter().take(NAMED).map(ToString::to_string).collect();
    let more = match without_run.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    context.ui.warn(&format!(
        "no `run` line for the shell executor in {}{more}: no node runs that; give it one, configure another executor, \
         or claim it by hand",
        named.join(", ")
    ));
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
