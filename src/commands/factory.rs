//! `git dispatch factory`

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::exit::Exit;
use crate::hub::snapshot::Snapshot;
use crate::protocol::announce::Announce;
use crate::protocol::factory::{Made, Standing, Step, step, watch};
use crate::protocol::{Result, Session};
use crate::task::State;
use crate::ui::json;
use crate::ui::progress::Progress;

/// Keep the queue filled by the configured generator.
///
/// When `factory.when_completed` of the last generation has ended, or fewer than `factory.min_pending` tasks are pending, the
/// generator (`factory.generate`, an argv) is run in the checkout. It gets the state as JSON on its standard input,
/// `{"generation", "counts", "tasks"}` with each task as `list --json` has it, the number of the generation that it is to
/// write as DISPATCH_GENERATION, and an empty folder for its spec files as DISPATCH_OUT. All that is new goes on the queue in
/// one push; what is queued already is skipped. A generator that fails, or writes a spec that is refused, changes nothing.
/// Any clone may run the factory, several at once too: each generation is enqueued once.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Look once; without --watch that is what is done
    #[arg(long, conflicts_with = "watch")]
    once: bool,
    /// Stay, and write each generation when it is due
    #[arg(long)]
    watch: bool,
}

/// Generates.
pub fn run(context: &Context, args: &Args) -> Outcome {
    // One that stays ends its push first; a generator under way is ended at once.
    let cancel = if args.watch { &context.signals.second } else { &context.signals.first };
    let session = context.open_until(&Vec::new(), cancel)?;
    let progress = Progress::start(&context.ui, "looking at the last generation");
    let state = |snapshot: &Snapshot, standing: &Standing| document_of_state(&session, snapshot, standing);
    let (made, why) = if args.watch {
        (stay(context, &session, &state, &progress)?, None)
    } else {
        once(&session, step(&session, &state, &context.signals.first, &progress)?)
    };
    drop(progress);
    if context.ui.json {
        context.ui.document(&document(&session, &made, why.as_deref())?);
        return Ok(Exit::Done);
    }
    if !args.watch {
        made.iter().for_each(|made| tell(context, made));
    }
    if let Some(why) = why {
        context.ui.note(&why);
    }
    Ok(Exit::Done)
}

/// What a step made, and why it was nothing.
fn once(session: &Session, step: Step) -> (Vec<Made>, Option<String>) {
    match step {
        Step::Made(made) => (vec![made], None),
        Step::Nothing(made) => {
            let why = format!("generation {} brought nothing new", made.generation);
            (vec![made], Some(why))
        }
        Step::NotDue(_, standing) => {
            let settings = &session.config.factory;
            let what = standing.waits_for(settings, session.ambient.now());
            (Vec::new(), Some(format!("generation {}; waits for {what}", standing.generation)))
        }
        Step::Busy => (Vec::new(), Some("another factory of this clone is at work".to_owned())),
        Step::Superseded(generation) => {
            (Vec::new(), Some(format!("another clone has enqueued generation {generation}; nothing was added")))
        }
    }
}

fn stay(
    context: &Context,
    session: &Session,
    state: &dyn Fn(&Snapshot, &Standing) -> Value,
    announce: &dyn Announce,
) -> Result<Vec<Made>> {
    let (wakes, _hints) = context.wakes(session);
    let mut all = Vec::new();
    let hand_over = |made: Made| {
        if !context.ui.json {
            tell(context, &made);
        }
        all.push(made);
    };
    watch::watch(session, state, &wakes, &context.signals.first, announce, hand_over)?;
    Ok(all)
}

fn tell(context: &Context, made: &Made) {
    for (task, _) in &made.enqueued {
        context.ui.print(&format!("enqueued {task}\n"));
    }
    for task in &made.skipped {
        context.ui.note(&format!("skipped  {task}: already queued"));
    }
}

fn document_of_state(session: &Session, snapshot: &Snapshot, standing: &Standing) -> Value {
    let mut counts: BTreeMap<State, usize> = BTreeMap::new();
    for task in &snapshot.tasks {
        *counts.entry(task.state()).or_default() += 1;
    }
    let counts = State::ALL.iter().map(|state| (state.to_string(), json!(counts.get(state).unwrap_or(&0))));
    json!({
        "generation": standing.generation,
        "counts": counts.collect::<serde_json::Map<_, _>>(),
        "tasks": snapshot.tasks.iter().map(|task| json::task(session, task)).collect::<Vec<_>>(),
    })
}

fn document(session: &Session, made: &[Made], why: Option<&str>) -> Result<Value> {
    let enqueued = made.iter().flat_map(|made| {
        made.enqueued
            .iter()
            .map(|(task, spec)| json!({"task": task, "spec": spec.to_string(), "generation": made.generation}))
    });
    let skipped = made.iter().flat_map(|made| {
        made.skipped
            .iter()
            .map(|task| json!({"task": task, "reason": "already queued", "generation": made.generation}))
    });
    let standing = Standing::of(&session.snapshot()?);
    Ok(json!({
        "generation": standing.generation,
        "enqueued": enqueued.collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
        "waits_for": why,
    }))
}

/// The document of `status`: where the factory stands; null where there is none.
pub fn standing(session: &Session, snapshot: &Snapshot) -> Value {
    let settings = &session.config.factory;
    let standing = Standing::of(snapshot);
    if settings.generate.is_empty() && standing.generation == 0 {
        return Value::Null;
    }
    json!({
        "generation": standing.generation,
        "max_generations": settings.max_generations,
        "tasks": standing.tasks,
        "ended": standing.ended,
        "share": standing.share(),
        "when_completed": settings.when_completed,
        "left": standing.left,
        "waits_for": standing.waits_for(settings, session.ambient.now()),
    })
}

/// The line of `status`.
pub fn line(session: &Session, snapshot: &Snapshot) -> Option<String> {
    let settings = &session.config.factory;
    if settings.generate.is_empty() {
        return None;
    }
    let standing = Standing::of(snapshot);
    let of = if settings.max_generations > 0 { format!(" of {}", settings.max_generations) } else { String::new() };
    let (generation, ended, tasks) = (standing.generation, standing.ended, standing.tasks);
    let share = format!("{:.0} % of {:.0} %", standing.share() * 100.0, settings.when_completed * 100.0);
    let what = standing.waits_for(settings, session.ambient.now());
    Some(format!("factory: generation {generation}{of}, {ended} of {tasks} ended ({share}); waits for {what}\n"))
}
