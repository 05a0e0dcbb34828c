//! One attempt, on a slot's own thread: prepare the slot, run the executor, take the work out.
//!
//! Touches no shared ref: what came of it is handed to the loop, which alone publishes.

use std::time::Duration;

use jiff::Timestamp;

use crate::config::model::ExecutorSettings;
use crate::exec::{Cancel, Ended};
use crate::executor::command::Given;
use crate::executor::slot::harvest::Harvest;
use crate::executor::slot::{self, Setup, Slot, SlotRecord};
use crate::executor::steps::Plan;
use crate::executor::work::{self, End, Job, Worked};
use crate::executor::{Error as ExecutorError, Result as ExecutorResult};
use crate::git::ObjectId;
use crate::hub::Layout;
use crate::hub::format::spec::FILE;
use crate::hub::snapshot::target_of;
use crate::protocol::Session;
use crate::protocol::claim::Won;
use crate::protocol::finish::Ending;
use crate::protocol::repair::{self, Mends};
use crate::protocol::vet;
use crate::task::Reason;
use crate::task::spec::{self, Defaults};

/// The exit code by which an executor says that it is out of quota.
const DEFERRED: i32 = 75;

/// The longest that an executor may ask to be left alone: a nonsensical number must not switch it off for good.
const MOST_REST: Duration = Duration::from_secs(7 * 24 * 3600);

/// Why well-ended work is no result.
const NO_DESCENT: &str = "its result does not descend from the base that it was given";

/// What came of an attempt.
#[derive(Debug)]
pub enum Outcome {
    /// It ended, well or badly.
    Ended(Ending),
    /// It is to be given back: the executor is out of quota, or we were told to stop. With its work, if there is any.
    GivenBack {
        /// Why.
        reason: Reason,
        /// What it had made.
        work: Option<ObjectId>,
        /// The executor that is out of quota, and how long it is to be left alone.
        rest: Option<(String, Duration)>,
        /// Why its work is not published, and where it is.
        withheld: Option<String>,
    },
}

/// Carries out one attempt in a slot.
pub fn carry_out(session: &Session, won: &Won, number: usize, cancel: &Cancel) -> Outcome {
    let started_at = session.ambient.now();
    match Attempt::new(session, won, number).carry_out(cancel) {
        Ok(outcome) => outcome,
        // The slot or its disk failed, not the task's executor: another node may do better.
        Err(error) => Outcome::Ended(Ending {
            reason: Some(Reason::Spawn),
            error: Some(error.to_string()),
            slot: u32::try_from(number).ok(),
            exit_code: None,
            started_at,
            took: Duration::ZERO,
            result: None,
            log: format!("git-dispatch: {error}\n").into_bytes(),
            log_bytes: 0,
            log_times: Vec::new(),
            output: None,
        }),
    }
}

struct Attempt<'a> {
    session: &'a Session,
    won: &'a Won,
    number: usize,
    slot: Slot,
    origin: String,
    keep: Vec<String>,
}

impl<'a> Attempt<'a> {
    fn new(session: &'a Session, won: &'a Won, number: usize) -> Self {
        Self {
            slot: Slot::at(&session.work_dir(), number),
            origin: session.hub.url(),
            keep: session.config.node_settings(session.node.as_str()).keep_ignored,
            session,
            won,
            number,
        }
    }

    fn setup(&self) -> Setup<'_> {
        Setup {
            origin: &self.origin,
            branch: self.won.claim.record.branch.as_deref().unwrap_or("task"),
            base: self.won.base.commit,
            keep_ignored: &self.keep,
            by: &self.session.by,
        }
    }

    fn carry_out(mut self, cancel: &Cancel) -> ExecutorResult<Outcome> {
        let session = self.session;
        let repo = &session.hub.repo;
        let mut record = self.record();
        record.write(&self.slot).map_err(|error| ExecutorError::slot(self.slot.root(), error))?;
        let name = self.executor();
        let settings = session
            .config
            .executor(&name)
            .ok_or_else(|| ExecutorError::Spawn(format!("there is no executor `{name}` here")))?;
        let plan = Plan::new(&self.slot, settings, repo, self.won.base.commit)?;
        self.keep.extend(plan.keeps());
        self.slot.prepare(repo, &self.setup())?;
        if let Some(mends) = Mends::of(&self.won.spec.record) {
            let work =
                mends.work(repo).ok_or_else(|| ExecutorError::Spawn(format!("no work of {} here", mends.task)))?;
            self.slot.begin_merge(&self.setup(), work)?;
        }
        let started_at = session.ambient.now();
        let done = self.work(&mut record, settings, &plan, cancel).and_then(|worked| Ok((worked, self.harvest()?)));
        match done {
            Ok((worked, harvest)) => {
                let lacks =
                    repair::lacks(self.session, &self.won.spec.record, self.won.base.commit, harvest.result);
                let lacks = lacks.unwrap_or_else(|error| Some(error.to_string()));
                // What cannot be looked through is not published either.
                self.vetted(harvest, |harvest| self.judge(started_at, worked, harvest, lacks))
            }
            Err(error) if record.begun => Err(self.keep_slot(&error)),
            Err(error) => Err(error),
        }
    }

    /// Takes the work out of the slot; what failed for the moment only does better a second time.
    fn harvest(&self) -> ExecutorResult<Harvest> {
        let repo = &self.session.hub.repo;
        let harvest = || self.slot.harvest(repo, &self.setup(), &self.message(), &self.pin());
        harvest().or_else(|_| harvest())
    }

    /// Moves a slot aside whose work cannot be taken out: the next task would sweep it away.
    fn keep_slot(&self, error: &ExecutorError) -> ExecutorError {
        let kept = match slot::set_aside(self.slot.root()) {
            Ok(folder) => format!("it is kept in {}", folder.display()),
            Err(error) => error.to_string(),
        };
        ExecutorError::Spawn(format!("its work cannot be taken out of the slot: {error}; {kept}"))
    }

    fn record(&self) -> SlotRecord {
        SlotRecord {
            task: self.won.claim.record.task.to_string(),
            claim: self.won.claim.id.to_string(),
            base: self.won.base.commit.to_string(),
            branch: self.won.claim.record.branch.clone().unwrap_or_default(),
            begun: false,
            group: None,
            started: None,
            slot: self.number,
            tmux: None,
        }
    }

    fn work(
        &self,
        record: &mut SlotRecord,
        settings: &ExecutorSettings,
        plan: &Plan,
        cancel: &Cancel,
    ) -> ExecutorResult<Worked> {
        let session = self.session;
        let task = &self.won.spec.record;
        let bytes = session.hub.repo.file_in(self.won.spec.id, FILE).unwrap_or_default();
        let defaults = Defaults { project: task.task.project.clone(), id: Some(task.task.id.to_string()) };
        let parsed = spec::parse(FILE, &bytes, &defaults)
            .map_err(|error| ExecutorError::Spawn(format!("the spec cannot be read: {error}")))?
            .spec;
        let mut given = Given {
            task: task.task.to_string(),
            project: task.task.project.to_string(),
            id: task.task.id.to_string(),
            title: task.title.clone(),
            attempt: self.won.claim.record.attempts.begun,
            node: session.node.to_string(),
            priority: task.priority,
            branch: record.branch.clone(),
            base: record.base.clone(),
            target: target_of(&session.hub, task),
            body: parsed.body,
            run: parsed.run,
            ..Given::default()
        };
        work::give(&self.slot, &mut given, &bytes, settings)?;
        let job = Job {
            slot: &self.slot,
            settings,
            given: &given,
            plan,
            deadline: work::timeout(settings, parsed.timeout_minutes, parsed.estimate_minutes),
            stall: settings.stall_timeout.unless_zero(),
            repository: session.hub.repo.work_tree().unwrap_or_else(|| session.hub.repo.common_dir()),
            ambient: &session.ambient,
            mask: &session.mask(),
            cancel,
        };
        work::run(&job, record)
    }

    /// Looks through the work before anything is made of it; what may not leave this clone is withheld, and the attempt has
    /// failed with the base in its place.
    fn vetted(&self, harvest: Harvest, judge: impl FnOnce(Harvest) -> Outcome) -> ExecutorResult<Outcome> {
        let (session, base) = (self.session, self.won.base.commit);
        let work = Mends::of(&self.won.spec.record).and_then(|mends| mends.work(&session.hub.repo));
        let looked = vet::look(session, base, harvest.result, work.as_slice());
        let failed = |error: crate::protocol::Error| ExecutorError::Spawn(error.to_string());
        let Some(objection) = looked.map_err(failed)? else { return Ok(judge(harvest)) };
        let kept = vet::withhold(session, self.won.claim.id, harvest.result).map_err(failed)?;
        let why = format!("{}; it is kept on {} at {kept}: {}", objection.what, session.node, objection.help);
        Ok(match judge(Harvest { result: base, descends: true }) {
            // What ended badly by itself has its own reason, and may be tried again for it.
            Outcome::Ended(ending) => Outcome::Ended(Ending {
                reason: ending.reason.or(Some(objection.reason)),
                error: Some(ending.error.map_or(why.clone(), |error| format!("{error}; {why}"))),
                ..ending
            }),
            Outcome::GivenBack { reason, work, rest, .. } => {
                Outcome::GivenBack { reason, work, rest, withheld: Some(why) }
            }
        })
    }

    /// `lacks`: what a repair's result lacks.
    fn judge(&self, started_at: Timestamp, worked: Worked, harvest: Harvest, lacks: Option<String>) -> Outcome {
        let kept = (harvest.result != self.won.base.commit && harvest.descends).then_some(harvest.result);
        // What ended well is a result only where it can be one.
        let flaw = if harvest.descends { lacks } else { Some(NO_DESCENT.to_owned()) };
        let reason_of = |flaw: &Option<String>| flaw.is_some().then_some(Reason::Exit);
        let (reason, error, exit_code) = match &worked.end {
            End::NotStarted(why) => (Some(Reason::Spawn), Some(why.clone()), None),
            End::Vanished(why) => (Some(Reason::Lost), Some(why.clone()), None),
            End::Said(said) if said.failed => {
                let why = said.error.clone().unwrap_or_else(|| "it said that it failed".to_owned());
                (Some(Reason::Exit), Some(why), None)
            }
            End::Said(_) => (reason_of(&flaw), flaw, None),
            End::Ended(Ended::Cancelled) => {
                return Outcome::GivenBack { reason: Reason::Drained, work: kept, rest: None, withheld: None };
            }
            End::Ended(Ended::TimedOut) => {
                (Some(Reason::Timeout), Some("it ran longer than it may".to_owned()), None)
            }
            End::Ended(Ended::Stalled) => {
                (Some(Reason::Stall), Some("it was silent longer than it may".to_owned()), None)
            }
            End::Ended(Ended::Exited(status)) => match status.code() {
                Some(0) => (reason_of(&flaw), flaw, Some(0)),
                Some(DEFERRED) => {
                    let rest = Some((self.executor(), self.rest(worked.output.as_ref())));
                    return Outcome::GivenBack { reason: Reason::Quota, work: kept, rest, withheld: None };
                }
                Some(code) => {
                    (Some(Reason::Exit), Some(format!("exit code {code}{}", worked.last_line())), Some(code))
                }
                None => (Some(Reason::Exit), Some("ended by a signal".to_owned()), None),
            },
        };
        Outcome::Ended(Ending {
            reason,
            error,
            slot: u32::try_from(self.number).ok(),
            exit_code,
            started_at,
            took: worked.took,
            result: Some(harvest.result),
            log: worked.log,
            log_bytes: worked.log_bytes,
            log_times: worked.log_times,
            output: worked.output,
        })
    }

    fn executor(&self) -> String {
        let named = self.won.spec.record.executor.clone();
        named.unwrap_or_else(|| self.session.config.default_executor.clone())
    }

    /// How long an executor that is out of quota is left alone: as long as it said, else for the longest rest there is.
    fn rest(&self, output: Option<&serde_json::Value>) -> Duration {
        let named = output.and_then(|output| output.get("retry_after_seconds")?.as_f64());
        let named = named.filter(|seconds| *seconds >= 0.0).map(|seconds| seconds.min(MOST_REST.as_secs_f64()));
        named.map_or(*self.session.config.retry_wait_max, Duration::from_secs_f64)
    }

    fn message(&self) -> String {
        rest_message(&self.won.claim.record.task.to_string(), &self.won.spec.record.title)
    }

    fn pin(&self) -> String {
        Layout::result(&self.won.claim.id.to_string())
    }
}

/// The message of the commit that holds what an executor left uncommitted.
pub fn rest_message(task: &str, title: &str) -> String {
    format!("{task}: {title}\n")
}
