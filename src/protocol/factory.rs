//! Factory: a generator looks at what was done and writes the next specs; they go on the queue as one generation.
//!
//! Owns when a generation is due, and that each is enqueued once, by whichever clone comes first. Nothing is remembered but
//! what is on the queue: a generation is the specs whose trailer names it, and the push that adds one is void where another
//! clone's of that number, or a later one, is there already. How the generator is run is `generate`'s; when it is tried
//! again, [`watch`]'s.

pub mod generate;
pub mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::announce::{Announce, Happened};
use super::bundle::{Refused, refuse_away};
use super::enqueue::doubts::doubts;
use super::enqueue::{Entry, Options, enqueue};
use super::error::{Error, Result};
use super::session::Session;
use crate::config::model::FactorySettings;
use crate::exec::Cancel;
use crate::fail;
use crate::git::ObjectId;
use crate::hub::Error as HubError;
use crate::hub::snapshot::{Snapshot, Task};
use crate::task::text::escaped;
use crate::task::{State, TaskName};

/// How often a generation is sifted again when others fill the queue at the same moment.
const TRIES: u32 = 20;

/// What keeps a factory from working.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum FactoryError {
    /// There is no generator.
    #[error("no generator is configured")]
    #[diagnostic(
        code(dispatch::config::no_generator),
        help("set `[factory] generate` in git-dispatch.toml to the argv of a program that writes specs")
    )]
    NoGenerator,
    /// The generator did not end well.
    #[error("the generator {how}{}", if .said.is_empty() { String::new() } else { format!(": {}", escaped(.said)) })]
    #[diagnostic(
        code(dispatch::factory::failed),
        help("nothing was enqueued; run it by hand, with the state on its standard input, to see what is wrong")
    )]
    Failed {
        /// How it ended.
        how: String,
        /// The last that it said.
        said: String,
    },
}

impl From<FactoryError> for Error {
    fn from(error: FactoryError) -> Self {
        Self::Factory(Box::new(error))
    }
}

/// Where the generation that was enqueued last stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// Its number; 0 where there is none: then it is what stands on the queue without a number.
    pub generation: u32,
    /// How many tasks it has.
    pub tasks: usize,
    /// How many of them have ended, one way or another.
    pub ended: usize,
    /// The tasks that have not, in queue order.
    pub left: Vec<TaskName>,
    /// How many tasks of the whole queue are pending.
    pub pending: usize,
    /// When its last spec was enqueued, by its writer's clock.
    pub at: Option<Timestamp>,
}

/// When the next generation is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Now.
    Now,
    /// Once the cooldown is over.
    In(Duration),
    /// Once more of the last generation has ended, or fewer tasks are pending.
    NotYet,
    /// Never: there are as many generations as there are to be.
    Over,
}

impl Standing {
    /// Reads it from the queue.
    pub fn of(snapshot: &Snapshot) -> Self {
        let number = |task: &Task| task.spec.record.generation.unwrap_or(0);
        let generation = snapshot.tasks.iter().map(number).max().unwrap_or(0);
        let is_of_it = |task: &&Task| number(task) == generation && task.spec.record.repairs.is_none();
        let tasks: Vec<&Task> = snapshot.tasks.iter().filter(is_of_it).collect();
        let left: Vec<TaskName> =
            tasks.iter().filter(|task| !has_ended(task.state())).map(|task| task.name().clone()).collect();
        Self {
            generation,
            tasks: tasks.len(),
            ended: tasks.len() - left.len(),
            left,
            pending: snapshot.tasks.iter().filter(|task| task.state() == State::Pending).count(),
            at: tasks.iter().map(|task| task.spec.at).max().filter(|_| generation > 0),
        }
    }

    /// The share that has ended; of nothing, all has.
    pub fn share(&self) -> f64 {
        if self.tasks == 0 { 1.0 } else { self.ended as f64 / self.tasks as f64 }
    }

    /// Says when the next generation is due.
    pub fn due(&self, settings: &FactorySettings, now: Timestamp) -> Due {
        if settings.max_generations > 0 && self.generation >= settings.max_generations {
            return Due::Over;
        }
        // A share of 7 in 10 is 0.7, however that is held in binary.
        let has_ended = self.share() + 1e-9 >= settings.when_completed;
        if !has_ended && self.pending >= settings.min_pending as usize {
            return Due::NotYet;
        }
        let Some(at) = self.at else { return Due::Now };
        // Another's clock may be ahead of ours: nobody waits longer than the cooldown for that.
        let since = Duration::try_from(now.duration_since(at)).unwrap_or_default();
        match settings.cooldown.checked_sub(since).filter(|rest| !rest.is_zero()) {
            Some(rest) => Due::In(rest),
            None => Due::Now,
        }
    }

    /// Says in words what the next generation waits for.
    pub fn waits_for(&self, settings: &FactorySettings, now: Timestamp) -> String {
        match self.due(settings, now) {
            Due::Now => "`git dispatch factory`".to_owned(),
            Due::In(rest) => format!("the cooldown, for {} s", rest.as_secs().max(1)),
            Due::NotYet => {
                let missing = (self.tasks as f64 * settings.when_completed - 1e-9).ceil() as usize - self.ended;
                let noun = if missing == 1 { "task" } else { "tasks" };
                format!("{missing} more {noun} of {} to end", self.left.len())
            }
            Due::Over => format!("nothing: {} generations were wanted", settings.max_generations),
        }
    }
}

const fn has_ended(state: State) -> bool {
    matches!(state, State::Completed | State::Merged | State::Conflict | State::Failed | State::Cancelled)
}

/// What a step of the factory did.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing was due.
    NotDue(Due, Standing),
    /// Another factory of this clone is at it.
    Busy,
    /// A generation is on the queue.
    Made(Made),
    /// The generator wrote nothing that is not on the queue.
    Nothing(Made),
    /// Another clone was quicker.
    Superseded(u32),
}

/// What became of what a generator wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// The generation.
    pub generation: u32,
    /// What is on the queue now.
    pub enqueued: Vec<(TaskName, ObjectId)>,
    /// What was there before, whatever it said.
    pub skipped: Vec<TaskName>,
}

/// The state as a generator reads it; the face writes it.
pub type WriteState<'a> = &'a dyn Fn(&Snapshot, &Standing) -> Value;

/// Enqueues the next generation, where one is due.
pub fn step(session: &Session, state: WriteState<'_>, cancel: &Cancel, announce: &dyn Announce) -> Result<Step> {
    refuse_away(session, Refused::NoEnqueue)?;
    let settings = &session.config.factory;
    if settings.generate.is_empty() {
        return Err(FactoryError::NoGenerator.into());
    }
    session.sync()?;
    let snapshot = session.snapshot()?;
    let standing = Standing::of(&snapshot);
    let due = standing.due(settings, session.ambient.now());
    if due != Due::Now {
        return Ok(Step::NotDue(due, standing));
    }
    let Some(_lock) = session.state.try_lock_of("factory")? else { return Ok(Step::Busy) };
    let generation = standing.generation + 1;
    announce.happened(&Happened::Note(format!("generation {generation} is being written")));
    let entries = generate::generate(session, generation, &state(&snapshot, &standing), cancel)?;
    fail::point("factory.generated");
    publish(session, generation, entries, announce)
}

/// Puts what was written on the queue, in one push: all that is new, or nothing.
fn publish(session: &Session, generation: u32, entries: Vec<Entry>, announce: &dyn Announce) -> Result<Step> {
    let mut fresh: BTreeMap<usize, Entry> = entries.into_iter().enumerate().collect();
    let mut made = Made { generation, ..Made::default() };
    for _ in 0..TRIES {
        session.sync()?;
        let snapshot = session.snapshot()?;
        if Standing::of(&snapshot).generation >= generation {
            return Ok(Step::Superseded(generation));
        }
        let is_known = |entry: &Entry| snapshot.get(&entry.parsed.spec.task).is_some();
        made.skipped
            .extend(fresh.values().filter(|entry| is_known(entry)).map(|entry| entry.parsed.spec.task.clone()));
        fresh.retain(|_, entry| !is_known(entry));
        let batch: Vec<Entry> = std::mem::take(&mut fresh).into_values().collect();
        if batch.is_empty() {
            return Ok(Step::Nothing(made));
        }
        match enqueue(session, &batch, Options { generation: Some(generation), ..Options::default() }) {
            Ok(done) if done.superseded => return Ok(Step::Superseded(generation)),
            Ok(done) => {
                fail::point("factory.enqueued");
                for doubt in doubts(session, &batch) {
                    announce.happened(&Happened::Note(doubt));
                }
                made.enqueued = done.enqueued;
                made.skipped.extend(done.skipped);
                return Ok(if made.enqueued.is_empty() { Step::Nothing(made) } else { Step::Made(made) });
            }
            // Somebody else queued one of the names at this moment.
            Err(Error::Exists { .. }) => fresh = batch.into_iter().enumerate().collect(),
            Err(error) => return Err(error),
        }
    }
    Err(HubError::Busy { name: session.hub.layout.queue(), tries: TRIES }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Dur;

    fn settings(when_completed: f64, min_pending: u32, max_generations: u32) -> FactorySettings {
        let cooldown = Dur::from_secs(60);
        FactorySettings { generate: vec!["x".into()], when_completed, min_pending, max_generations, cooldown }
    }

    fn standing(generation: u32, ended: usize, tasks: usize, pending: usize) -> Standing {
        let name = |n: usize| TaskName::parse(&format!("p/t{n}")).unwrap();
        let at = (generation > 0).then_some(Timestamp::UNIX_EPOCH);
        Standing { generation, tasks, ended, left: (ended..tasks).map(name).collect(), pending, at }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_share_or_too_few_pending_make_it_due() {
        let due = |standing: Standing, settings: FactorySettings| standing.due(&settings, at(100));
        assert_eq!(due(standing(0, 0, 0, 0), settings(0.7, 0, 0)), Due::Now, "an empty queue");
        assert_eq!(
            due(standing(0, 2, 3, 1), settings(0.7, 0, 0)),
            Due::NotYet,
            "what was queued by hand comes first"
        );
        assert_eq!(due(standing(1, 6, 10, 4), settings(0.7, 0, 0)), Due::NotYet);
        assert_eq!(due(standing(1, 7, 10, 3), settings(0.7, 0, 0)), Due::Now);
        assert_eq!(due(standing(1, 0, 10, 4), settings(0.7, 4, 0)), Due::NotYet);
        assert_eq!(due(standing(1, 0, 10, 3), settings(0.7, 4, 0)), Due::Now);
        assert_eq!(due(standing(2, 9, 10, 0), settings(1.0, 0, 0)), Due::NotYet);
        assert_eq!(due(standing(3, 3, 3, 0), settings(1.0, 9, 3)), Due::Over);
        assert_eq!(due(standing(2, 0, 3, 3), settings(0.0, 0, 3)), Due::Now);
    }

    #[test]
    fn the_cooldown_is_kept_by_the_clock_of_the_queue() {
        let (standing, settings) = (standing(1, 3, 3, 0), settings(1.0, 0, 0));
        assert_eq!(standing.due(&settings, at(20)), Due::In(Duration::from_secs(40)));
        assert_eq!(standing.due(&settings, at(60)), Due::Now);
        assert_eq!(standing.due(&settings, at(-500)), Due::In(Duration::from_secs(60)), "a clock that is behind");
    }

    #[test]
    fn what_it_waits_for_is_said() {
        let said = |standing: Standing, settings: FactorySettings| standing.waits_for(&settings, at(20));
        assert_eq!(said(standing(1, 4, 10, 3), settings(0.7, 0, 0)), "3 more tasks of 6 to end");
        assert_eq!(said(standing(1, 2, 3, 1), settings(1.0, 0, 0)), "1 more task of 1 to end");
        assert_eq!(said(standing(1, 3, 3, 0), settings(1.0, 0, 0)), "the cooldown, for 40 s");
        assert_eq!(said(standing(0, 0, 0, 0), settings(1.0, 0, 0)), "`git dispatch factory`");
        assert_eq!(said(standing(2, 3, 3, 0), settings(1.0, 0, 2)), "nothing: 2 generations were wanted");
    }
}
