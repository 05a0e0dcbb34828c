//! `git dispatch claim`

use serde_json::json;

use super::{Context, Outcome, resolve};
use crate::config::Dur;
use crate::exit::Exit;
use crate::hub::snapshot::{Snapshot, Task};
use crate::protocol::assign::{overdue, take_back};
use crate::protocol::claim::{self, Options};
use crate::protocol::hand::claim_by_hand;
use crate::protocol::{Error, Session, branch, pick};
use crate::task::name::NameKind;
use crate::task::text::escaped;
use crate::task::{Hold, Name, Phase, State, TaskName};
use crate::ui::{json, progress::Progress};

/// How long a claim by hand holds.
const HOLD: Dur = Dur::from_secs(24 * 60 * 60);

/// Claim tasks for yourself, without running them: the branch is made in this clone, the work is yours.
///
/// Without TASK, whatever is next. The hub gets the branch when you finish.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The tasks; without, whatever is next
    #[arg(value_name = "TASK")]
    tasks: Vec<String>,
    /// How many, where no task is named
    #[arg(long, value_name = "N", conflicts_with = "tasks", default_value_t = 1)]
    count: usize,
    /// Claim in the name of another node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// How long the claim holds
    #[arg(long, value_name = "D")]
    hold: Option<Dur>,
}

/// What one try at claiming came to.
struct Round {
    /// What was known before it.
    snapshot: Snapshot,
    /// What came of it; what an interrupted command had won already first.
    claimed: claim::Claimed,
    /// The tasks that others were faster at.
    lost: Vec<TaskName>,
}

/// Claims.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let mut session = context.open(&Vec::new())?;
    if let Some(node) = &args.node {
        session.node = Name::new(NameKind::Node, node).map_err(Error::from)?;
    }
    let progress = Progress::start(&context.ui, "claiming");
    // Two that claim in one clone, in its worktrees perhaps: what one is about to follow up is no leftover of a crash.
    let lock = session.state.lock_claims(session.hub.deadline).map_err(Error::from)?;
    // What is known may do: whether it still holds is told by the push itself.
    let is_clean = lock.as_ref().is_some_and(|lock| lock.is_clean);
    let round = match session.ground()?.filter(|_| is_clean) {
        Some(ground) => at_once(&session, args, ground)?,
        None => None,
    };
    let Round { snapshot, claimed, lost } = match round {
        Some(round) => round,
        None => after_a_look(&session, args, lock.is_some())?,
    };
    let mut kept = Vec::new();
    for won in &claimed.won {
        kept.extend(branch::create(&session, won)?);
    }
    if let Some(lock) = lock {
        lock.end();
    }
    drop(progress);
    for kept in &kept {
        context.ui.note(&format!("the work of an older branch of that name is kept at {kept}"));
    }
    for (task, why) in &claimed.no_base {
        context.ui.warn(&format!("{task} waits: {why}"));
    }
    for (task, branch) in lost.iter().filter_map(|task| Some((task, own_branch(&session, snapshot.get(task)?)?))) {
        context.ui.note(&format!("{task} is claimed in this clone already, on branch {branch}"));
    }
    tell(context, &session, &claimed, &lost)?;
    Ok(if claimed.won.is_empty() { Exit::Nothing } else { Exit::Done })
}

fn options(session: &Session, args: &Args, tasks: &[TaskName]) -> Result<Options, Error> {
    let hold = args.hold.unwrap_or(HOLD);
    let until = session
        .ambient
        .now()
        .saturating_add(jiff::SignedDuration::try_from(*hold).unwrap_or(jiff::SignedDuration::MAX));
    Ok(Options {
        count: if tasks.is_empty() { args.count } else { tasks.len() },
        tasks: tasks.iter().cloned().collect(),
        node: session.node.clone(),
        hold: Hold::Hand,
        until: Some(until.map_err(|_| Error::from(crate::git::Error::Interrupted))?),
        over: Vec::new(),
    })
}

/// Claims on what this clone knows. `None` where that is not enough, or no longer so: then the hub has to be looked at.
fn at_once(session: &Session, args: &Args, ground: Vec<String>) -> Result<Option<Round>, Error> {
    let snapshot = session.snapshot()?;
    let Ok(tasks) = resolve(session, &snapshot, &args.tasks) else { return Ok(None) };
    let options = options(session, args, &tasks)?;
    let is_open = |task: &TaskName| claim::obstacle(session, &snapshot, task, &options).is_none();
    let is_plain = options.count > 0
        && tasks.iter().all(is_open)
        && overdue(session, &snapshot).is_empty()
        && claim::unfinished(session, &snapshot, &options).is_empty();
    if !is_plain {
        return Ok(None);
    }
    let record = pick::own_record(session);
    let claimed = claim::claim_at_once(session, &snapshot, &options, Some(record), ground)?;
    Ok(claimed.filter(|claimed| !claimed.won.is_empty()).map(|mut claimed| {
        let lost = std::mem::take(&mut claimed.lost);
        Round { snapshot, claimed, lost }
    }))
}

/// Reads the hub first, and takes up what an interrupted command of this clone won, where this one is `alone`.
fn after_a_look(session: &Session, args: &Args, alone: bool) -> miette::Result<Round> {
    session.sync()?;
    // What was meant for a node that did not begin it in time is anybody's.
    if take_back(session, &session.snapshot()?)? {
        session.sync()?;
    }
    let snapshot = session.snapshot()?;
    let tasks = resolve(session, &snapshot, &args.tasks)?;
    let mut options = options(session, args, &tasks)?;
    // What an interrupted command of this clone won already is this command's too.
    let mut unfinished = if alone { claim::unfinished(session, &snapshot, &options) } else { Vec::new() };
    let is_held = |task: &TaskName| unfinished.iter().any(|won| won.claim.record.task == *task);
    options.tasks.retain(|task| !is_held(task));
    options.count -= unfinished.len();
    let open: Vec<TaskName> = tasks.iter().filter(|task| !is_held(task)).cloned().collect();
    let mut lost = refused(session, &snapshot, &open, &options)?;
    let mut claimed = claim::Claimed::default();
    if options.count > 0 {
        claimed = claim_by_hand(session, &snapshot, &options)?;
        if alone && !claimed.lost.is_empty() {
            // The push of a command that was killed may land late, and ours lose against it.
            options.tasks = claimed.lost.iter().cloned().collect();
            options.count = options.tasks.len();
            unfinished.extend(claim::unfinished(session, &session.snapshot()?, &options));
            claimed.lost.retain(|task| !unfinished.iter().any(|won| won.claim.record.task == *task));
        }
    }
    lost.append(&mut claimed.lost);
    claimed.won.splice(0..0, unfinished);
    Ok(Round { snapshot, claimed, lost })
}

fn tell(context: &Context, session: &Session, claimed: &claim::Claimed, lost: &[TaskName]) -> Result<(), Error> {
    let ui = &context.ui;
    if ui.json {
        let after = session.snapshot()?;
        let won = claimed.won.iter().filter_map(|won| after.get(&won.claim.record.task));
        let won: Vec<_> = won.map(|task| json::task(session, task)).collect();
        ui.document(&json!({"claimed": won, "lost": lost}));
        return Ok(());
    }
    for won in &claimed.won {
        let branch = won.claim.record.branch.as_deref().unwrap_or_default();
        ui.print(&format!("claimed {} on branch {branch}\n", won.claim.record.task));
    }
    if let [one] = claimed.won.as_slice() {
        let (task, branch) = (&one.claim.record.task, one.claim.record.branch.as_deref().unwrap_or_default());
        ui.note(&format!("`git switch {branch}`, work and commit there, then `git dispatch finish {task}`"));
    }
    let after = session.snapshot()?;
    for task in lost {
        let holder = after.get(task).map(holder).unwrap_or_default();
        ui.note(&format!("lost    {task}{holder}"));
    }
    if claimed.won.is_empty() && lost.is_empty() {
        ui.note("nothing to claim");
    }
    Ok(())
}

/// Says where a task stands, and with whom.
fn holder(task: &Task) -> String {
    let node = task.claim().and_then(|claim| claim.record.node.as_deref());
    match (task.state(), node) {
        (State::Pending, _) => String::new(),
        (state @ (State::Running | State::Assigned), Some(node)) => {
            format!(", which is {state} on {}", escaped(node))
        }
        (state, _) => format!(", which is {state}"),
    }
}

/// The branch of a task that this clone holds by hand.
fn own_branch<'a>(session: &Session, task: &'a Task) -> Option<&'a str> {
    let record = &task.claim_in(Phase::Running)?.record;
    let is_own = record.hold == Some(Hold::Hand) && session.state.is_own(&record.instance);
    record.branch.as_deref().filter(|_| is_own)
}

/// The named tasks that somebody else has, or that have ended: lost before we came. Any other obstacle of a named task
/// is an error that says what it is.
fn refused(
    session: &Session,
    snapshot: &Snapshot,
    tasks: &[TaskName],
    options: &Options,
) -> Result<Vec<TaskName>, Error> {
    use crate::task::order::Obstacle;
    let mut lost = Vec::new();
    for task in tasks {
        match claim::obstacle(session, snapshot, task, options) {
            None => {}
            Some(Obstacle::State(_) | Obstacle::AssignedTo(_)) => lost.push(task.clone()),
            Some(why) => {
                return Err(Error::NotClaimable { task: task.clone(), why: why.to_string() });
            }
        }
    }
    Ok(lost)
}
