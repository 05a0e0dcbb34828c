//! `git dispatch bundle`

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Context, Outcome, resolve};
use crate::config::Dur;
use crate::exit::Exit;
use crate::hub::bundle::{Item, Kind};
use crate::protocol::bundle::import::Imported;
use crate::protocol::bundle::open::{self, Opened};
use crate::protocol::bundle::{Bundle, Made, results, work};
use crate::protocol::{Error, Session};
use crate::task::name::NameKind;
use crate::task::text::escaped;
use crate::task::{Name, Phase};
use crate::ui::Ui;
use crate::ui::progress::Progress;

/// Carry tasks and results as files, to and from a node that never sees the hub.
///
/// `bundle create FILE --for NODE` on the hub's side, `bundle open FILE` and `git dispatch run` on the other, `bundle
/// create FILE --results` there, `git dispatch collect --bundle FILE` back at the hub; again and again. Each file holds
/// only what its reader is not known to have, and one that is lost is made again by the same command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a file: work for a node (--for), or the results of this one (--results)
    Create(CreateArgs),
    /// Open work: make a clone that is its own hub, or bring one up to date
    ///
    /// May be given again at any time. `git dispatch run` works there as anywhere; nothing is enqueued or merged there.
    Open(OpenArgs),
    /// See what is in a file, without taking anything in
    Show(ShowArgs),
}

/// Write a file: work for a node, or the results of this one.
///
/// Work: tasks are reserved for the node, so that nobody else runs them, and packed with what is reserved for it already.
/// A task goes along with what it depends on. Results: what ended in this clone, without what the hub is known to have.
/// Where there is nothing new, nothing is written. A file that is there is never written over.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("way").required(true).args(["for_node", "results"])))]
struct CreateArgs {
    /// The file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The tasks; without, whatever is next
    #[arg(value_name = "TASK", conflicts_with = "results")]
    tasks: Vec<String>,
    /// Pack work for this node; it need not have been seen yet
    #[arg(long = "for", value_name = "NODE")]
    for_node: Option<String>,
    /// Pack the results of this clone
    #[arg(long)]
    results: bool,
    /// How many tasks are to be reserved in all, with those that are already; without, all that the node may run
    #[arg(long, value_name = "N", conflicts_with_all = ["tasks", "results"])]
    count: Option<usize>,
    /// How long the reservations hold
    #[arg(long, value_name = "D", default_value_t = work::HOLD, conflicts_with = "results")]
    hold: Dur,
    /// Pack everything, as if nothing were known of the other side
    #[arg(long)]
    whole: bool,
    /// Say what would be done, without doing it
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
struct OpenArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The clone, made where there is none; without, the one around, or a folder named after the file
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Creates, opens or shows.
pub fn run(context: &Context, args: &Args) -> Outcome {
    match &args.command {
        Command::Create(args) => create(context, args),
        Command::Open(args) => open(context, args),
        Command::Show(args) => show(context, args),
    }
}

fn create(context: &Context, args: &CreateArgs) -> Outcome {
    let session = context.open(&Vec::new())?;
    let file = context.ambient.cwd.join(&args.file);
    let progress = Progress::start(&context.ui, "packing");
    let made = match &args.for_node {
        Some(node) => {
            let node = Name::new(NameKind::Node, node).map_err(Error::from)?;
            work::create(&session, &file, &options(&session, args, node)?)?
        }
        None => results::create(&session, &file, args.whole, args.dry_run)?,
    };
    drop(progress);
    if context.ui.json {
        context.ui.document(&document(&made, args.dry_run));
    } else {
        tell(&context.ui, &made, &args.file, args.dry_run);
    }
    Ok(Exit::Done)
}

fn options(session: &Session, args: &CreateArgs, node: Name) -> miette::Result<work::Options> {
    let mut tasks = Vec::new();
    if !args.tasks.is_empty() {
        session.sync()?;
        tasks = resolve(session, &session.snapshot()?, &args.tasks)?;
    }
    Ok(work::Options { node, count: args.count, tasks, hold: args.hold, whole: args.whole, dry_run: args.dry_run })
}

/// What a command that packs did, as JSON.
pub(super) fn document(made: &Made, dry_run: bool) -> Value {
    json!({
        "file": made.file.as_ref().map(|file| file.to_string_lossy()),
        "kind": made.kind,
        "node": made.node,
        "tasks": made.tasks.iter().map(|(task, phase)| json!({"task": task, "state": phase.state()})).collect::<Vec<_>>(),
        "reserved": made.reserved,
        "expired": made.expired,
        "bytes": made.bytes,
        "written": made.file.is_some(),
        "dry_run": dry_run,
    })
}

/// What a command that packs did, for people.
pub(super) fn tell(ui: &Ui, made: &Made, shown: &Path, dry_run: bool) {
    let tasks = counted(made.tasks.len());
    let node = &made.node;
    if dry_run {
        for (task, phase) in &made.tasks {
            let is_fresh = made.reserved.contains(task);
            let what = if is_fresh { "would reserve".to_owned() } else { format!("would pack {phase}") };
            ui.print(&format!("{what} {task}\n"));
        }
        if made.tasks.is_empty() {
            ui.note(nothing(made.kind));
        }
        return;
    }
    if made.file.is_none() {
        ui.note(nothing(made.kind));
        return;
    }
    let file = escaped(&shown.to_string_lossy());
    let what = match made.kind {
        Kind::Work => format!("{tasks} for {node}, {} of them reserved now", made.reserved.len()),
        Kind::Results => format!("the results of {tasks} from {node}"),
    };
    ui.print(&format!("wrote {file}: {what}, {}\n", size(made.bytes)));
    for task in &made.expired {
        ui.warn(&format!(
            "the reservation of {task} is over: other nodes may take it; its result counts only while none has"
        ));
    }
    match made.kind {
        Kind::Work => {
            ui.note(&format!("on the other side: `git dispatch bundle open {file}`, then `git dispatch run`"))
        }
        Kind::Results => ui.note(&format!("at the hub: `git dispatch collect --bundle {file}`")),
    }
}

const fn nothing(kind: Kind) -> &'static str {
    match kind {
        Kind::Work => "nothing to reserve and nothing new: no file was written",
        Kind::Results => "nothing new: no file was written",
    }
}

fn counted(count: usize) -> String {
    if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

fn open(context: &Context, args: &OpenArgs) -> Outcome {
    let progress = Progress::start(&context.ui, "opening");
    let file = context.ambient.cwd.join(&args.file);
    let opened = open::open(&context.ambient, &file, args.folder.as_deref(), &context.signals.first)?;
    drop(progress);
    if context.ui.json {
        let fenced: Vec<_> = opened.fenced.iter().map(|(task, kept)| json!({"task": task, "kept": kept})).collect();
        context.ui.document(&json!({
            "folder": opened.folder.to_string_lossy(),
            "node": opened.node,
            "tasks": opened.tasks,
            "new": opened.is_new,
            "already": opened.already,
            "fenced": fenced,
        }));
        return Ok(Exit::Done);
    }
    tell_opened(context, &opened);
    Ok(Exit::Done)
}

fn tell_opened(context: &Context, opened: &Opened) {
    let folder = opened.folder.strip_prefix(&context.ambient.cwd).unwrap_or(&opened.folder);
    let shown = match escaped(&folder.to_string_lossy()) {
        here if here.is_empty() => ".".to_owned(),
        folder => folder,
    };
    if opened.already {
        context.ui.print(&format!("already here: {shown} has all of it\n"));
        return;
    }
    let verb = if opened.is_new { "made" } else { "updated" };
    context.ui.print(&format!(
        "{verb} {shown}: node {}, {} reserved for it\n",
        opened.node,
        counted(opened.tasks.len())
    ));
    for (task, kept) in &opened.fenced {
        context.ui.warn(&format!("{task} was taken away at the hub; its work is kept at {kept}"));
    }
    context.ui.note(&format!("`cd {shown} && git dispatch run`, then `git dispatch bundle create FILE --results`"));
}

fn show(context: &Context, args: &ShowArgs) -> Outcome {
    let bundle = Bundle::read(&context.ambient.cwd.join(&args.file))?;
    let contents = &bundle.contents;
    if context.ui.json {
        context.ui.document(&shown(&bundle));
        return Ok(Exit::Done);
    }
    let what = match contents.stamp.kind {
        Kind::Work => format!("work for node {}", contents.stamp.node),
        Kind::Results => format!("results of node {}", contents.stamp.node),
    };
    let base = match bundle.header.prerequisites.len() {
        0 => "complete in itself".to_owned(),
        1 => "on top of 1 commit that its reader has".to_owned(),
        count => format!("on top of {count} commits that its reader has"),
    };
    context.ui.print(&format!("{what}: {}, {}, {base}\n", counted(contents.tasks.len()), size(bundle.bytes)));
    for (task, (phase, _)) in &contents.tasks {
        context.ui.print(&format!("{phase:<10} {task}\n"));
    }
    for item in contents.refs.keys() {
        if let Item::Attempt(task, number, node) = item {
            context.ui.print(&format!("kept       {task}, attempt {number} on {node}\n"));
        }
    }
    Ok(Exit::Done)
}

fn shown(bundle: &Bundle) -> Value {
    let contents = &bundle.contents;
    let task = |(task, (phase, claim)): (_, &(Phase, crate::git::ObjectId))| json!({"task": task, "state": phase.state(), "claim": claim.to_string()});
    let refs = bundle.header.refs.iter().map(|(name, id)| (name.clone(), json!(id.to_string())));
    json!({
        "kind": contents.stamp.kind,
        "node": contents.stamp.node,
        "repository": contents.stamp.repository.to_string(),
        "tasks": contents.tasks.iter().map(task).collect::<Vec<_>>(),
        "refs": refs.collect::<serde_json::Map<_, _>>(),
        "prerequisites": bundle.header.prerequisites.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "bytes": bundle.bytes,
    })
}

/// What came of results in a file, as JSON.
pub(super) fn imported(imported: &Imported) -> Value {
    let fenced =
        |one: &crate::protocol::bundle::import::Fenced| json!({"task": one.task, "why": one.why, "kept": one.kept});
    json!({
        "node": imported.node,
        "taken_in": imported.taken.iter()
            .map(|(task, phase)| json!({"task": task, "state": phase.state()})).collect::<Vec<_>>(),
        "already": imported.already,
        "fenced": imported.fenced.iter().map(fenced).collect::<Vec<_>>(),
    })
}

/// What came of results in a file, for people.
pub(super) fn tell_imported(ui: &Ui, imported: &Imported, dry_run: bool) {
    let verb = if dry_run { "would take in" } else { "took in" };
    for (task, phase) in &imported.taken {
        ui.print(&format!("{verb} {task}: {phase} on {}\n", imported.node));
    }
    for one in &imported.fenced {
        let kept = one.kept.as_ref().map(|kept| format!("; its work is kept at {kept}")).unwrap_or_default();
        ui.warn(&format!("{} does not count: {}{kept}", one.task, escaped(&one.why)));
    }
    if imported.taken.is_empty() && imported.fenced.is_empty() {
        ui.print("already here: the hub has all of it\n");
    }
}
