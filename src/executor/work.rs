//! Running one executor in a slot, from its start to the end of its whole process group.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::command::{self, Given};
use super::said::Said;
use super::slot::{Slot, SlotRecord};
use super::steps::{self, Plan};
use super::tmux::{self, Place};
use super::{Error, Result};
use crate::ambient::Ambient;
use crate::config::model::{ExecutorKind, ExecutorSettings, Timeout};
use crate::exec::capture::{Keep, LineSeconds};
use crate::exec::{Cancel, Capture, Ended, Limits, Mask, Pen, capture, spawn, start_time};
use crate::fail;
use crate::task::text::settled;

/// How much of the output is kept, in bytes: this much of its beginning and this much of its end.
pub const LOG_LIMIT: u64 = 512 * 1024;

/// How long the end of the output is waited for: a background process may hold it open for ever.
const LOG_WAIT: Duration = Duration::from_secs(2);

/// What the executor may leave at most.
const OUTPUT_LIMIT: u64 = 256 * 1024;

/// How often is looked whether the executor has said that it is done.
const LISTEN: Duration = Duration::from_millis(200);

/// One attempt's work: where, with what, and for how long.
#[derive(Debug)]
pub struct Job<'a> {
    /// The slot.
    pub slot: &'a Slot,
    /// The executor.
    pub settings: &'a ExecutorSettings,
    /// What it is given.
    pub given: &'a Given,
    /// Whether the slot has to be set up.
    pub plan: &'a Plan,
    /// How long all of it may take.
    pub deadline: Duration,
    /// How long it may be silent.
    pub stall: Option<Duration>,
    /// The repository's folder, where relative paths of the configuration begin.
    pub repository: &'a std::path::Path,
    /// The node's environment.
    pub ambient: &'a Ambient,
    /// What must not be written down of what it says.
    pub mask: &'a Mask,
    /// Raised when it is to stop.
    pub cancel: &'a Cancel,
}

/// How the work ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It could not be started.
    NotStarted(String),
    /// What it ran in is gone, and nobody knows what became of it.
    Vanished(String),
    /// Its process ended, or was ended.
    Ended(Ended),
    /// It said itself that it has ended.
    Said(Said),
}

/// How an executor ended, and what it left.
#[derive(Debug)]
pub struct Worked {
    /// How it ended.
    pub end: End,
    /// How long it took.
    pub took: Duration,
    /// The bounded output.
    pub log: Vec<u8>,
    /// Bytes of output in all.
    pub log_bytes: u64,
    /// When the lines of `log` came.
    pub log_times: LineSeconds,
    /// The object that it left.
    pub output: Option<Value>,
}

/// Writes what the task is given, outside the clone.
pub fn give(slot: &Slot, given: &mut Given, spec: &[u8], settings: &ExecutorSettings) -> Result<()> {
    let folder = slot.task_dir();
    given.spec_file = folder.join("spec.md");
    given.prompt_file = folder.join("prompt.md");
    given.result_file = folder.join("result.json");
    given.log_file = slot.log_dir().join("log");
    let write =
        |path: &std::path::Path, bytes: &[u8]| fs::write(path, bytes).map_err(|error| Error::slot(path, error));
    write(&given.spec_file, spec)?;
    write(&given.prompt_file, given.prompt(settings).as_bytes())
}

/// Runs the executor and waits for its end, its time-out, or until it is to stop.
pub fn run(job: &Job<'_>, record: &mut SlotRecord) -> Result<Worked> {
    let started = Instant::now();
    // Before anything is begun, a session may have to be waited for.
    let place = match job.settings.kind {
        ExecutorKind::Tmux => match tmux::take(job) {
            Ok(place) => Some(place),
            Err(end) => return Ok(Worked::new(end, started.elapsed(), Vec::new(), 0)),
        },
        _ => None,
    };
    let (capture, pen) = match &place {
        Some(place) => place.capture(job),
        None => Capture::open(&job.slot.log_dir(), &job.keep()),
    }
    .map_err(|error| Error::slot(job.slot.log_dir(), error))?;
    begin(job.slot, record)?;
    let end = match job.plan.set_up(job, record, &pen)? {
        Some(end) => end,
        None => job.work(record, place, &capture, &pen)?,
    };
    steps::tear_down(job, record, &pen)?;
    drop(pen);
    let mut worked = Worked::of(end, started, capture, job.slot)?;
    worked.output = output(&job.given.result_file).map(|value| job.mask.json(value));
    if let End::Said(said) = &mut worked.end {
        said.error = said.error.take().map(|text| job.mask.text(&text));
    }
    Ok(worked)
}

/// Runs a command in a slot's clone, records its process group there, and keeps what it says.
pub fn run_command(
    slot: &Slot,
    record: &mut SlotRecord,
    mut command: Command,
    limits: &Limits,
    keep: &Keep<'_>,
    cancel: &Cancel,
) -> Result<Worked> {
    let started = Instant::now();
    let (capture, pen) =
        Capture::open(&slot.log_dir(), keep).map_err(|error| Error::slot(slot.log_dir(), error))?;
    command.stdin(Stdio::null());
    begin(slot, record)?;
    let end = match wait_for(slot, &mut command, record, &pen, limits, cancel) {
        Ok(ended) => End::Ended(ended),
        Err(Error::Spawn(why)) => End::NotStarted(why),
        Err(error) => return Err(error),
    };
    drop(pen);
    Worked::of(end, started, capture, slot)
}

/// Notes that something is about to be started in a slot.
fn begin(slot: &Slot, record: &mut SlotRecord) -> Result<()> {
    record.begun = true;
    record.write(slot).map_err(|error| Error::slot(slot.root(), error))?;
    fail::point("executor.before");
    Ok(())
}

/// Starts a command in the slot, writes down what is to be ended if we die, and waits for its end.
pub(super) fn wait_for(
    slot: &Slot,
    command: &mut Command,
    record: &mut SlotRecord,
    pen: &Pen,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Ended> {
    let io = |error| Error::slot(slot.log_dir(), error);
    let (stdout, stderr) = capture::ends(pen).map_err(io)?;
    command.current_dir(slot.clone_dir()).stdout(stdout).stderr(stderr);
    let program = command.get_program().to_string_lossy().into_owned();
    let child =
        spawn(command).map_err(|error| Error::Spawn(format!("`{program}` could not be started: {error}")))?;
    fail::point("executor.started");
    note_group(slot, record, child.id())?;
    fail::point("executor.recorded");
    let ended = child.wait(limits, cancel).map_err(io)?;
    fail::point("executor.ended");
    Ok(ended)
}

/// Writes down the process group that works in the slot.
pub(super) fn note_group(slot: &Slot, record: &mut SlotRecord, group: u32) -> Result<()> {
    record.group = Some(group);
    record.started = start_time(group);
    record.write(slot).map_err(|error| Error::slot(slot.root(), error))
}

impl Worked {
    pub(super) fn new(end: End, took: Duration, mut log: Vec<u8>, log_bytes: u64) -> Self {
        if let End::NotStarted(why) | End::Vanished(why) = &end {
            log.extend_from_slice(format!("git-dispatch: {why}\n").as_bytes());
        }
        Self { end, took, log, log_bytes, log_times: Vec::new(), output: None }
    }

    fn of(end: End, started: Instant, capture: Capture, slot: &Slot) -> Result<Self> {
        let took = started.elapsed();
        let captured = capture.finish(LOG_WAIT).map_err(|error| Error::slot(slot.log_dir(), error))?;
        Ok(Self { log_times: captured.times, ..Self::new(end, took, captured.text, captured.total_bytes) })
    }

    /// The last line of the output, for people who look at an error without looking at the log: after a colon, or
    /// nothing.
    pub fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.log);
        let line = text.lines().rev().map(settled).find(|line| !line.trim().is_empty()).unwrap_or_default();
        let line = line.trim();
        if line.is_empty() { String::new() } else { format!(": {}", line.chars().take(200).collect::<String>()) }
    }
}

impl Job<'_> {
    /// What is kept of the output.
    pub(super) fn keep(&self) -> Keep<'_> {
        Keep { limit: LOG_LIMIT, mask: self.mask, clock: self.ambient }
    }

    fn work(&self, record: &mut SlotRecord, place: Option<Place>, capture: &Capture, pen: &Pen) -> Result<End> {
        let stall = self.stall.map(|time| (time, capture.progress()));
        let limits = Limits { deadline: self.deadline, stall, grace: *self.settings.grace };
        match place {
            Some(place) => place.work(self, record, &limits),
            None => self.process(record, &limits, pen),
        }
    }

    /// Runs an executor that is a process of ours.
    fn process(&self, record: &mut SlotRecord, limits: &Limits, pen: &Pen) -> Result<End> {
        let mut command = match command::build(self.settings, self.given, self.ambient) {
            Ok(command) => command,
            Err(error) => return Ok(End::NotStarted(error.to_string())),
        };
        let io = |error| Error::slot(self.slot.log_dir(), error);
        command.stdin(command::stdin(self.settings, self.given).map_err(io)?);
        let claim = record.claim.clone();
        // Whoever says that it is done may take the time of grace to leave by itself.
        let (stop, over) = (self.cancel.child(), Cancel::new());
        let listen = || {
            while !over.wait_for(LISTEN) {
                if Said::of(self.slot, &claim).is_some() {
                    if !over.wait_for(limits.grace) {
                        stop.raise();
                    }
                    return;
                }
            }
        };
        let ended = std::thread::scope(|scope| {
            scope.spawn(listen);
            let ended = wait_for(self.slot, &mut command, record, pen, limits, &stop);
            over.raise();
            ended
        });
        match (ended, Said::of(self.slot, &record.claim)) {
            (Err(Error::Spawn(why)), _) => Ok(End::NotStarted(why)),
            (Err(error), _) => Err(error),
            (Ok(_), Some(said)) => Ok(End::Said(said)),
            (Ok(ended), None) => Ok(End::Ended(ended)),
        }
    }
}

/// Reads the object that the executor may have left; anything else than an object counts as none.
fn output(path: &std::path::Path) -> Option<Value> {
    let meta = fs::symlink_metadata(path).ok()?;
    if !meta.is_file() || meta.len() > OUTPUT_LIMIT {
        return None;
    }
    let value: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    value.is_object().then_some(value)
}

/// Computes how long the executor may take: the spec's own time, else the configured one, which may be a multiple of
/// the estimate.
pub fn timeout(settings: &ExecutorSettings, spec_minutes: Option<u32>, estimate_minutes: Option<u32>) -> Duration {
    const DEFAULT_ESTIMATE_MINUTES: u32 = 30;
    let minutes = |minutes: u32| Duration::from_secs(u64::from(minutes) * 60);
    match (spec_minutes, settings.timeout) {
        (Some(own), _) => minutes(own),
        (None, Timeout::Fixed(time)) => time,
        (None, Timeout::TimesEstimate(times)) => {
            minutes(estimate_minutes.unwrap_or(DEFAULT_ESTIMATE_MINUTES)).mul_f64(times)
        }
    }
}
