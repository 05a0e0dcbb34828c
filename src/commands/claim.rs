//! `git dispatch claim`

use serde_json::json;

use super::{Context, Outcome, resolve};
use crate::config::Dur;
use crate::exit::Exit;
use crate::hub::Error as HubError;
use crate::hub::snapshot::Snapshot;
use crate::protocol::claim::{self, Options};
use crate::protocol::{Error, Session, branch};
use crate::task::name::NameKind;
use crate::task::{Hold, Name, State, TaskName};
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

/// Claims.
pub fn run(context: &Context, args: &Args) -> Outcome {
    let mut session = context.open(&Vec::new())?;
    if let Some(node) = &args.node {
        session.node = Name::new(NameKind::Node, node).map_err(Error::from)?;
    }
    let progress = Progress::start(&context.ui, "claiming");
    session.sync()?;
    let snapshot = session.snapshot()?;
    let tasks = resolve(&session, &snapshot, &args.tasks)?;
    let hold = args.hold.unwrap_or(HOLD);
    let until = session
        .ambient
        .now()
        .saturating_add(jiff::SignedDuration::try_from(*hold).unwrap_or(jiff::SignedDuration::MAX));
    let wanted = tasks.len();
    let tasks = unhindered(&session, &snapshot, tasks)?;
    let options = Options {
        count: if wanted == 0 { args.count } else { wanted },
        tasks,
        node: session.node.clone(),
        hold: Hold::Hand,
        until: Some(until.map_err(|_| Error::from(crate::git::Error::Interrupted))?),
    };
    let mut lost = refused(&session, &snapshot, &options)?;
    let record = claim::hand_record(&session);
    let claimed = claim::claim(&session, &snapshot, &options, Some(record))?;
    for won in &claimed.won {
        branch::create(&session, won)?;
    }
    drop(progress);
    if let (true, Some(task)) = (claimed.won.is_empty(), claimed.unmoved.first()) {
        // Nobody else has it either: that is no race that was lost.
        return Err(Error::from(HubError::Refused { name: session.hub.layout.claim(task) }).into());
    }
    lost.extend(claimed.lost.iter().cloned());
    for (task, why) in &claimed.no_base {
        context.ui.warn(&format!("{task} waits: {why}"));
    }
    tell(context, &session, &claimed, &lost)?;
    Ok(if claimed.won.is_empty() { Exit::Nothing } else { Exit::Done })
}

/// Refuses a named task whose branch is checked out in the way; of all others, only leaves such a task out.
fn unhindered(session: &Session, snapshot: &Snapshot, named: Vec<TaskName>) -> Result<Vec<TaskName>, Error> {
    let mut hindered = false;
    let mut free = Vec::new();
    for task in &snapshot.tasks {
        if !matches!(task.state(), State::Pending | State::Assigned) {
            continue;
        }
        match branch::in_the_way(session, snapshot, task)? {
            Some(checkout) if named.contains(task.name()) => {
                return Err(branch::checked_out(session, task, checkout));
            }
            Some(_) => hindered = true,
            None => free.push(task.name().clone()),
        }
    }
    Ok(if named.is_empty() && hindered { free } else { named })
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
    for task in lost {
        ui.note(&format!("lost    {task}"));
    }
    if claimed.won.is_empty() && lost.is_empty() {
        ui.note("nothing to claim");
    }
    Ok(())
}

/// The named tasks that somebody else has, or that have ended: lost before we came. Any other obstacle of a named task
/// is an error that says what it is.
fn refused(session: &Session, snapshot: &Snapshot, options: &Options) -> Result<Vec<TaskName>, Error> {
    use crate::task::order::Obstacle;
    let mut lost = Vec::new();
    for task in &options.tasks {
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
