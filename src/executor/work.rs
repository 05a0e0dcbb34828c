//! Running one executor in a slot, from its start to the end of its whole process group.

use std::ffi::OsString;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::command::{self, Given};
use super::slot::{Slot, SlotRecord};
use super::{Error, Result};
use crate::config::model::{ExecutorSettings, Timeout};
use crate::exec::{Cancel, Capture, Ended, Limits, spawn, start_time};
use crate::fail;

/// How much of the output is kept, in bytes: this much of its beginning and this much of its end.
pub const LOG_LIMIT: u64 = 512 * 1024;

/// How long the end of the output is waited for: a background process may hold it open for ever.
const LOG_WAIT: Duration = Duration::from_secs(2);

/// What the executor may leave at most.
const OUTPUT_LIMIT: u64 = 256 * 1024;

/// How an executor ended.
#[derive(Debug)]
pub struct Worked {
    /// How it ended; `Err`: it could not be started.
    pub ended: std::result::Result<Ended, String>,
    /// How long it took.
    pub took: Duration,
    /// The bounded output.
    pub log: Vec<u8>,
    /// Bytes of output in all.
    pub log_bytes: u64,
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

/// Runs the executor and waits for its end, its time-out, or `cancel`.
pub fn run(
    slot: &Slot,
    record: &mut SlotRecord,
    settings: &ExecutorSettings,
    given: &Given,
    limits: (Option<Duration>, Option<Duration>),
    node_env: &[(OsString, OsString)],
    cancel: &Cancel,
) -> Result<Worked> {
    let command = match command::build(settings, given, node_env) {
        Ok(command) => command,
        Err(error) => return Ok(Worked::not_started(error.to_string())),
    };
    let stdin = command::stdin(settings, given).map_err(|error| Error::slot(slot.log_dir(), error))?;
    let mut worked = run_command(slot, record, command, stdin, limits, *settings.grace, cancel)?;
    worked.output = output(&given.result_file);
    Ok(worked)
}

/// Runs a command in a slot's clone, records its process group there, and keeps what it says; `limits` are its time in
/// all and in silence.
pub fn run_command(
    slot: &Slot,
    record: &mut SlotRecord,
    mut command: Command,
    stdin: Stdio,
    limits: (Option<Duration>, Option<Duration>),
    grace: Duration,
    cancel: &Cancel,
) -> Result<Worked> {
    let started = Instant::now();
    let io = |error| Error::slot(slot.log_dir(), error);
    let (capture, stdout, stderr) = Capture::start(&slot.log_dir(), LOG_LIMIT).map_err(io)?;
    command.current_dir(slot.clone_dir()).stdin(stdin).stdout(stdout).stderr(stderr);
    let program = command.get_program().to_string_lossy().into_owned();
    record.begun = true;
    record.write(slot).map_err(|error| Error::slot(slot.root(), error))?;
    fail::point("executor.before");
    let child = match spawn(&mut command) {
        Ok(child) => child,
        Err(error) => return Ok(Worked::not_started(format!("`{program}` could not be started: {error}"))),
    };
    fail::point("executor.started");
    record.group = Some(child.id());
    record.started = start_time(child.id());
    record.write(slot).map_err(|error| Error::slot(slot.root(), error))?;
    fail::point("executor.recorded");
    let (deadline, stall) = limits;
    let limits = Limits { deadline, stall: stall.map(|time| (time, capture.progress())), grace };
    let ended = child.wait(&limits, cancel).map_err(io)?;
    fail::point("executor.ended");
    let took = started.elapsed();
    let captured = capture.finish(LOG_WAIT).map_err(io)?;
    Ok(Worked { ended: Ok(ended), took, log: captured.text, log_bytes: captured.total_bytes, output: None })
}

impl Worked {
    fn not_started(why: String) -> Self {
        Self {
            log: format!("git-dispatch: {why}\n").into_bytes(),
            log_bytes: 0,
            ended: Err(why),
            took: Duration::ZERO,
            output: None,
        }
    }

    /// The last line of the output, for people who look at an error without looking at the log: after a colon, or
    /// nothing.
    pub fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.log);
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        if line.is_empty() { String::new() } else { format!(": {}", line.chars().take(200).collect::<String>()) }
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
