//! `git dispatch collect`

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Context, Outcome, bundle, resolve};
use crate::exit::Exit;
use crate::protocol::announce::Announce;
use crate::protocol::bundle::import;
use crate::protocol::collect::watch;
use crate::protocol::collect::{self, Collected, Conflicting, Options};
use crate::protocol::notify::Notifying;
use crate::protocol::report::Report;
use crate::protocol::session::OptionSettings;
use crate::protocol::{Error, Result, Session};
use crate::ui::Ui;
use crate::ui::progress::Progress;

/// Merge finished work into the target branch, in order: dependencies first, then priority, then the queue.
///
/// What does not merge is left out and named; the target never holds half a merge. Work for another target is merged into
/// that one.
///
/// With --verify, or `collect.verify` in the configuration, a command must pass on the merged result before anything is
/// pushed, and what is pushed is what it passed on. It runs in a scratch clone that is checked out at the result, with
/// the environment of this command and DISPATCH_TARGET (the branch), DISPATCH_BASE (its tip before), DISPATCH_COMMIT (what
/// is checked out), DISPATCH_NODE and DISPATCH_LOG_FILE (where its output is kept). When it fails on the result and passes
/// on the branch as it was, the first merge that breaks it is found by halves: that task fails with reason `verify`, and
/// what was built on it is run again. A branch that fails by itself is an error (`target_broken`), and so is a command
/// that takes too long, cannot be started or is ended from outside: then nobody is rejected, and nothing is merged.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tasks; without, all that are finished
    #[arg(value_name = "TASK")]
    tasks: Vec<String>,
    /// Stay, and collect whenever something is finished
    ///
    /// The first Ctrl-C lets the collect under way end; the second ends its verification, and merges nothing.
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,
    /// Say what would be done, without doing it
    #[arg(long)]
    dry_run: bool,
    /// Merge into this branch instead
    #[arg(long, value_name = "BRANCH")]
    into: Option<String>,
    /// A shell line that must pass before anything is pushed; empty: none
    #[arg(long, value_name = "CMD")]
    verify: Option<String>,
    /// Leave conflicts to a person; without, each comes back as a task that resolves it, where an executor is there for that
    #[arg(long)]
    no_repair: bool,
    /// Write what was done, and what to do next, as Markdown
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Take in the results of a file first, as `git dispatch bundle create --results` wrote it
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    bundle: Option<PathBuf>,
}

/// Collects.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let mut settings: OptionSettings = Vec::new();
    if let Some(line) = &args.verify {
        settings.push(("collect.verify", line.clone().into(), "--verify"));
    }
    // One that stays ends its collect first: a signal must not cut the push that publishes it.
    let cancel = if args.watch { &context.signals.second } else { &context.signals.first };
    let session = context.open_until(&settings, cancel)?;
    let progress = Notifying::start(&session, Progress::start(&context.ui, "collecting"));
    let file = args.bundle.as_ref().map(|file| context.ambient.cwd.join(file));
    let file = file.map(|file| import::read(&session, &file)).transpose()?;
    let mut options = Options {
        into: args.into.clone(),
        dry_run: args.dry_run,
        cancel: cancel.clone(),
        no_repair: args.no_repair,
        ..Options::default()
    };
    if file.is_some() || !args.tasks.is_empty() {
        session.sync()?;
        options.tasks = resolve(&session, &session.snapshot()?, &args.tasks)?;
    }
    // Known before anything is taken in or merged, rather than after.
    let report = args.report.as_ref().map(|path| ReportFile::open(context, path)).transpose()?;
    let imported = file.map(|file| import::import(&session, &file, args.dry_run)).transpose()?;
    let collected = match args.watch {
        true => stay(context, &session, &options, report.as_ref(), &progress)?,
        false => collect::collect(&session, &options, &progress)?,
    };
    drop(progress);
    if let Some(file) = report {
        file.write(&session, &collected, args.dry_run)?;
    }
    if context.ui.json {
        let mut document = document(&session, &collected);
        if let Some(imported) = &imported {
            document["bundle"] = bundle::imported(imported);
        }
        context.ui.document(&document);
    } else {
        if let Some(imported) = &imported {
            bundle::tell_imported(&context.ui, imported, args.dry_run);
        }
        tell(&context.ui, &collected, args);
    }
    let is_clean = imported.is_none_or(|imported| imported.fenced.is_empty());
    Ok(if is_clean && collected.iter().all(Collected::is_clean) { Exit::Done } else { Exit::Partly })
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

/// Collects until a signal comes.
fn stay(
    context: &Context,
    session: &Session,
    options: &Options,
    report: Option<&ReportFile>,
    announce: &dyn Announce,
) -> Result<Vec<Collected>> {
    let (wakes, _hints) = context.wakes(session);
    let so_far = |collected: &[Collected]| report.map_or(Ok(()), |file| file.write(session, collected, false));
    watch::watch(session, options, &wakes, announce, &so_far)
}

/// The first target's document; those of others stand in it.
fn document(session: &Session, collected: &[Collected]) -> Value {
    let none = Collected { target: session.hub.target.clone(), ..Collected::default() };
    let (first, others) = collected.split_first().unwrap_or((&none, &[]));
    let mut document = of_target(first);
    document["others"] = others.iter().map(of_target).collect();
    document
}

fn of_target(collected: &Collected) -> Value {
    let hex = |id: Option<crate::git::ObjectId>| id.map(|id| id.to_string());
    json!({
        "target": collected.target,
        "old": hex(collected.old),
        "new": hex(collected.new),
        "merged": collected.merged.iter()
            .map(|(task, commit)| json!({"task": task, "merge_commit": hex(*commit)})).collect::<Vec<_>>(),
        "conflicts": collected.conflicts.iter()
            .map(|one| json!({"task": one.task, "files": one.files, "repair": one.repair})).collect::<Vec<_>>(),
        "rejected": collected.rejected.iter()
            .map(|(task, reason)| json!({"task": task, "reason": reason})).collect::<Vec<_>>(),
        "waiting": collected.waiting.iter()
            .map(|(task, what)| json!({"task": task, "for": what})).collect::<Vec<_>>(),
    })
}

fn tell(ui: &Ui, collected: &[Collected], args: &Args) {
    for collected in collected {
        tell_of(ui, collected, args.dry_run);
    }
    let is_empty = |collected: &Collected| collected.merged.is_empty() && collected.is_clean();
    if collected.iter().all(is_empty) && !args.watch {
        ui.note("nothing to collect");
    }
}

fn tell_of(ui: &Ui, collected: &Collected, dry_run: bool) {
    let target = crate::task::text::escaped(&collected.target);
    if dry_run {
        for (task, _) in &collected.merged {
            ui.print(&format!("would merge {task}\n"));
        }
        for Conflicting { task, files, .. } in &collected.conflicts {
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
    for note in &collected.checkout_notes {
        ui.warn(&crate::task::text::escaped(note).to_string());
    }
}
