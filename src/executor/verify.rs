//! Verifying a commit: it is checked out in a scratch clone and a command says whether it is good (DESIGN.md 5).
//!
//! Owns how the end of the command is read. What a verdict means for a task is `protocol`'s.

use std::process::ExitStatus;
use std::time::Duration;

use super::slot::{Setup, Slot, SlotRecord};
use super::work::{self, End, LOG_LIMIT, Worked};
use super::{Result, command};
use crate::ambient::Ambient;
use crate::config::model::Verify;
use crate::exec::capture::Keep;
use crate::exec::{Cancel, Ended, Limits, Mask};
use crate::git::Repo;

/// How long the command gets between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// What is run, and for how long.
#[derive(Debug, Clone)]
pub struct Check<'a> {
    /// The command.
    pub how: &'a Verify,
    /// How long it may take.
    pub timeout: Duration,
    /// What it is told, beside the caller's own environment.
    pub variables: Vec<(&'static str, String)>,
    /// The caller's own environment and clock.
    pub ambient: &'a Ambient,
    /// What must not be written down of what it says.
    pub mask: &'a Mask,
}

/// What a verifying command says of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Good.
    Passed,
    /// Bad, with an exit code, or by a crash of its own making.
    Failed,
    /// It could not be started. Where it can be on the commit before, the commit is bad; else nobody knows.
    NotStarted,
    /// It did not end in time: nobody knows.
    TimedOut,
    /// Somebody ended it: nobody knows.
    Killed,
    /// We were told to stop.
    Cancelled,
}

/// A verdict with what was said on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The verdict.
    pub verdict: Verdict,
    /// In words, for people: how the command ended, and its last line.
    pub how: String,
    /// The bounded output.
    pub log: Vec<u8>,
    /// How long it took.
    pub took: Duration,
}

/// Checks out `setup.base` in the scratch clone and runs the command there; `None` where none is wanted.
pub fn verify(
    slot: &Slot,
    repo: &Repo,
    setup: &Setup<'_>,
    check: &Check<'_>,
    cancel: &Cancel,
) -> Result<Option<Verified>> {
    let mut variables = check.variables.clone();
    // By this it is known again, should we die before its start is noted.
    variables.push(("DISPATCH_LOG_FILE", slot.log_dir().join("log").to_string_lossy().into_owned()));
    let Some(command) = command::as_given(check.how, &slot.clone_dir(), &variables, check.ambient) else {
        return Ok(None);
    };
    slot.prepare(repo, setup)?;
    let mut record =
        SlotRecord { base: setup.base.to_string(), branch: setup.branch.to_owned(), ..SlotRecord::default() };
    let limits = Limits { deadline: check.timeout, stall: None, grace: GRACE };
    let keep = Keep { limit: LOG_LIMIT, mask: check.mask, clock: check.ambient };
    let worked = work::run_command(slot, &mut record, command, &limits, &keep, cancel)?;
    SlotRecord::remove(slot);
    let verdict = judge(&worked, matches!(check.how, Verify::Line(_)));
    Ok(Some(Verified { verdict, how: told(&worked), took: worked.took, log: worked.log }))
}

/// Reads how the command ended. A shell says with codes of its own that what it was to run is not there (126, 127) or
/// was ended by a signal (128 and its number).
fn judge(worked: &Worked, by_shell: bool) -> Verdict {
    let status = match &worked.end {
        End::NotStarted(_) | End::Vanished(_) | End::Said(_) => return Verdict::NotStarted,
        End::Ended(Ended::Cancelled) => return Verdict::Cancelled,
        End::Ended(Ended::TimedOut | Ended::Stalled) => return Verdict::TimedOut,
        End::Ended(Ended::Exited(status)) => *status,
    };
    match (status.code(), signal(status)) {
        (Some(0), _) => Verdict::Passed,
        (Some(126 | 127), _) if by_shell => Verdict::NotStarted,
        (Some(code), _) if by_shell && code > 128 && is_from_outside(code - 128) => Verdict::Killed,
        (Some(_), _) => Verdict::Failed,
        (None, Some(signal)) if !is_from_outside(signal) => Verdict::Failed,
        (None, _) => Verdict::Killed,
    }
}

fn signal(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

/// Says whether a signal is one that somebody sends. The others (a bad address, an abort, a broken pipe …) a program
/// brings upon itself: a task whose code crashes the tests must not stop the whole queue as "not ours".
fn is_from_outside(signal: i32) -> bool {
    use rustix::process::Signal;
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::KILL, Signal::TERM, Signal::XCPU, Signal::XFSZ, Signal::STOP]
        .iter()
        .any(|outside| outside.as_raw() == signal)
}

fn told(worked: &Worked) -> String {
    let how = match &worked.end {
        End::NotStarted(why) | End::Vanished(why) => return why.clone(),
        End::Said(_) => "it said that it is done".to_owned(),
        End::Ended(Ended::Cancelled) => "told to stop".to_owned(),
        End::Ended(Ended::TimedOut | Ended::Stalled) => "it ran longer than it may".to_owned(),
        End::Ended(Ended::Exited(status)) => match (status.code(), signal(*status)) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("ended by signal {signal}"),
            (None, None) => "ended by a signal".to_owned(),
        },
    };
    how + &worked.last_line()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn verdict(raw: i32, by_shell: bool) -> Verdict {
        let end = End::Ended(Ended::Exited(ExitStatus::from_raw(raw)));
        judge(&Worked::new(end, Duration::ZERO, vec![], 0), by_shell)
    }

    #[test]
    fn what_a_commit_does_is_told_from_what_is_done_to_the_command() {
        let exit = |code: i32| code << 8;
        assert_eq!(verdict(exit(0), true), Verdict::Passed);
        assert_eq!((verdict(exit(1), true), verdict(exit(255), true)), (Verdict::Failed, Verdict::Failed));
        assert_eq!((verdict(exit(127), true), verdict(exit(127), false)), (Verdict::NotStarted, Verdict::Failed));
        assert_eq!((verdict(9, true), verdict(15, false)), (Verdict::Killed, Verdict::Killed));
        assert_eq!((verdict(exit(137), true), verdict(exit(137), false)), (Verdict::Killed, Verdict::Failed));
        // A crash of the code under test.
        assert_eq!((verdict(11, false), verdict(exit(139), true)), (Verdict::Failed, Verdict::Failed));
    }
}
