//! `git dispatch collect`

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Context, Outcome, resolve};
use crate::exit::Exit;
use crate::protocol::collect::{self, Collected, Options};
use crate::protocol::notify::Notifying;
use crate::protocol::report::Report;
use crate::protocol::{Error, Result, Session};
use crate::ui::Ui;
use crate::ui::progress::Progress;

/// Merge finished work into the target branch, in order: dependencies first, then priority, then the queue.
///
/// What does not merge is left out and named; the target never holds half a merge.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tasks; without, all that are finished
    #[arg(value_name = "TASK")]
    tasks: Vec<String>,
    /// Say what would be done, without doing it
    #[arg(long)]
    dry_run: bool,
    /// Merge into this branch instead
    #[arg(long, value_name = "BRANCH")]
    into: Option<String>,
    /// Write what was done, and what to do next, as Markdown
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Collects.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let session = context.open(&Vec::new())?;
    let progress = Notifying::start(&session, Progress::start(&context.ui, "collecting"));
    let mut options = Options { tasks: Vec::new(), into: args.into.clone(), dry_run: args.dry_run };
    if !args.tasks.is_empty() {
        session.sync()?;
        options.tasks = resolve(&session, &session.snapshot()?, &args.tasks)?;
    }
    // Known before anything is merged, rather than after.
    let report = args.report.as_ref().map(|path| ReportFile::open(context, path)).transpose()?;
    let collected = collect::collect(&session, &options, &progress)?;
    drop(progress);
    if let Some(file) = report {
        file.write(&session, std::slice::from_ref(&collected), args.dry_run)?;
    }
    if context.ui.json {
        context.ui.document(&document(&collected));
    } else {
        tell(&context.ui, &collected, args.dry_run);
    }
    let is_clean = collected.conflicts.is_empty() && collected.rejected.is_empty();
    Ok(if is_clean { Exit::Done } else { Exit::Partly })
}

/// The file that the report goes into.
struct ReportFile(PathBuf);

impl ReportFile {
    /// Makes sure that it can be written; what is in it stays until there is a report.
    fn open(context: &Context, path: &Path) -> Result<Self> {
        let path = context.ambient.cwd.join(path);
        match File::options().create(true).append(true).open(&path) {
            Ok(_) => Ok(Self(path)),
            Err(source) => Err(Error::Report { path, source }),
        }
    }

    fn write(&self, session: &Session, collected: &[Collected], dry_run: bool) -> Result<()> {
        let report = Report { dry_run, ..Report::of(session, &session.snapshot()?, collected) };
        let failed = |source| Error::Report { path: self.0.clone(), source };
        std::fs::write(&self.0, report.to_markdown()).map_err(failed)
    }
}

fn document(collected: &Collected) -> Value {
    let hex = |id: Option<crate::git::ObjectId>| id.map(|id| id.to_string());
    json!({
        "target": collected.target,
        "old": hex(collected.old),
        "new": hex(collected.new),
        "merged": collected.merged.iter()
            .map(|(task, commit)| json!({"task": task, "merge_commit": hex(*commit)})).collect::<Vec<_>>(),
        "conflicts": collected.conflicts.iter()
            .map(|(task, files)| json!({"task": task, "files": files, "repair": null})).collect::<Vec<_>>(),
        "rejected": collected.rejected.iter()
            .map(|(task, reason)| json!({"task": task, "reason": reason})).collect::<Vec<_>>(),
        "waiting": collected.waiting.iter()
            .map(|(task, what)| json!({"task": task, "for": what})).collect::<Vec<_>>(),
    })
}

fn tell(ui: &Ui, collected: &Collected, dry_run: bool) {
    let target = crate::task::text::escaped(&collected.target);
    if dry_run {
        for (task, _) in &collected.merged {
            ui.print(&format!("would merge {task}\n"));
        }
        for (task, files) in &collected.conflicts {
            let files: Vec<_> = files.iter().map(|file| crate::task::text::escaped(&file.path)).collect();
            ui.print(&format!("would conflict {task}: {}\n", files.join(", ")));
        }
    } else if let (false, Some(new)) = (collected.merged.is_empty(), collected.new) {
        let count = collected.merged.len();
        let noun = if count == 1 { "task" } else { "tasks" };
        ui.print(&format!("merged {count} {noun} into {target}, now at {}\n", &new.to_string()[..10]));
    }
    for (task, what) in &collected.waiting {
        ui.note(&format!("waiting   {task}: for {}", crate::task::text::escaped(what)));
    }
    if collected.merged.is_empty() && collected.conflicts.is_empty() && collected.rejected.is_empty() {
        ui.note("nothing to collect");
    }
    if let Some(note) = &collected.checkout_note {
        ui.warn(&crate::task::text::escaped(note).to_string());
    }
}
