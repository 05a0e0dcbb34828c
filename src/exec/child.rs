//! Owns the starting of processes, waiting for them, and ending them with their whole process
//! group. The one place in the crate that starts any, git itself included.
//!
//! Each child leads a process group of its own, so that a signal meant for us does not reach it (a
//! git killed in mid push leaves locks on the hub), and so that it can be ended with all that it
//! started. Only the waiting side reaps, and only after it is done signalling: until then the dead
//! leader keeps its number, and no signal can go to a stranger. One that ended by itself is reaped
//! at once, since nearly all leave nobody behind, and without the leader that is asked of the
//! system in one call ([`super::group::end_rest`]).
//!
//! In a group of its own and without a terminal of its own, a child that asks the terminal for
//! something is stopped by the kernel, for good: callers switch prompts off, or set a deadline.

use std::io;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::cancel::Cancel;
use super::group::{end_group, end_rest};
use super::progress::Progress;

/// How long what a child left behind in its group may take to leave after the child has ended by
/// itself.
const REST_GRACE: Duration = Duration::from_secs(1);

/// How long a child that nobody waited for may take to leave.
const DROP_GRACE: Duration = Duration::from_secs(2);

/// When to stop waiting for a child and end it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long it may run. Nothing is started without one: who waits for a hub, a person or a lock may wait for ever.
    pub deadline: Duration,
    /// How long it may be silent, and who knows when it last was not.
    pub stall: Option<(Duration, Progress)>,
    /// How long it gets between SIGTERM and SIGKILL.
    pub grace: Duration,
}

impl Limits {
    /// A deadline, and ten seconds of grace.
    pub const fn within(deadline: Duration) -> Limits {
        Limits { deadline, stall: None, grace: Duration::from_secs(10) }
    }
}

/// How a child ended. In the last three cases by our hand, whatever status it left with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, or by a signal that was not ours.
    Exited(ExitStatus),
    /// It ran longer than allowed.
    TimedOut,
    /// It was silent longer than allowed.
    Stalled,
    /// The flag was raised.
    Cancelled,
}

impl Ended {
    /// Tells whether it ended by itself with exit code 0.
    pub fn success(&self) -> bool {
        matches!(self, Ended::Exited(status) if status.success())
    }
}

/// A running process that leads its own process group. Dropped without having been waited for, it
/// is ended.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    /// Nothing is left to do: reaped, or given up on.
    settled: bool,
}

/// Starts a process in a process group of its own.
///
/// Its standard streams are let go of by `command` (and are null in it from then on): a pipe's end
/// kept open there would mean that its reader never sees the end of it.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    use std::os::unix::process::CommandExt;
    let started = command.process_group(0).spawn();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(Child { process: started?, settled: false })
}

/// What wakes the waiting side.
enum Event {
    Exited(io::Result<()>),
    Cancelled,
}

/// What happens to the group when its leader has ended by itself.
#[derive(Clone, Copy, PartialEq)]
enum Rest {
    Ended,
    Left,
}

impl Child {
    /// Returns its process id, which is its group's too.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it ends, or ends it when a limit is passed or `cancel` goes up. Then nothing of
    /// its group lives.
    ///
    /// An error means that it could not be waited for, or would not die
    /// ([`io::ErrorKind::TimedOut`]).
    pub fn wait(self, limits: &Limits, cancel: &Cancel) -> io::Result<Ended> {
        self.wait_for(limits, cancel, Rest::Ended)
    }

    /// Waits in the same way, but leaves alone what a child that ended by itself has in the
    /// background.
    pub fn wait_leaving_rest(self, limits: &Limits, cancel: &Cancel) -> io::Result<Ended> {
        self.wait_for(limits, cancel, Rest::Left)
    }

    fn wait_for(mut self, limits: &Limits, cancel: &Cancel, rest: Rest) -> io::Result<Ended> {
        let (sender, events) = mpsc::channel();
        watch(self.pid()?, sender.clone())?;
        let _subscription = cancel.subscribe(move || {
            let _ = sender.send(Event::Cancelled);
        });
        // A process that cannot be waited for is no longer ours, and its number may be another's:
        // hands off.
        let ended = until_ended(&events, limits).inspect_err(|_| self.settled = true)?;
        let group = self.id();
        self.settled = true;
        match (ended, rest) {
            // Only what has surely ended is reaped: for one that hangs in the kernel that would
            // wait for ever.
            (Some(ended), _) => end_group(group, limits.grace).and_then(|()| self.process.wait()).map(|_| ended),
            (None, Rest::Left) => self.process.wait().map(Ended::Exited),
            (None, Rest::Ended) => {
                let status = self.process.wait()?;
                end_rest(group, limits.grace.min(REST_GRACE)).map(|()| Ended::Exited(status))
            }
        }
    }

    fn pid(&self) -> io::Result<Pid> {
        let raw = i32::try_from(self.id()).ok();
        raw.and_then(Pid::from_raw).ok_or_else(|| io::Error::other("a process without an id"))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Its status may have been asked for in vain; a live executor that nobody watches is worse
        // than a short wait.
        if !self.settled && end_group(self.id(), DROP_GRACE).is_ok() {
            let _ = self.process.try_wait();
        }
    }
}

/// Says on the channel when the process has ended, without reaping it.
fn watch(pid: Pid, sender: mpsc::Sender<Event>) -> io::Result<()> {
    // A thread for each child: there is no portable way to wait for one process and for a channel
    // at once.
    let waiter = thread::Builder::new().name(format!("wait-{pid}")).stack_size(128 * 1024);
    waiter.spawn(move || {
        let ended = loop {
            match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                Err(Errno::INTR) => {}
                other => break other.map(|_| ()).map_err(io::Error::from),
            }
        };
        let _ = sender.send(Event::Exited(ended));
    })?;
    Ok(())
}

/// Returns nothing when the child has ended by itself, or else why it has to be ended.
fn until_ended(events: &Receiver<Event>, limits: &Limits) -> io::Result<Option<Ended>> {
    let start = Instant::now();
    // A deadline too far away to be told is none.
    let deadline = start.checked_add(limits.deadline);
    loop {
        // What was said before the waiting began does not count as silence.
        let stall = limits.stall.as_ref();
        let stall = stall.and_then(|(silence, progress)| progress.last().max(start).checked_add(*silence));
        let next = [(deadline, Ended::TimedOut), (stall, Ended::Stalled)];
        let next = next.into_iter().filter_map(|(when, ended)| Some((when?, ended))).min_by_key(|(when, _)| *when);
        let event = match next {
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some((when, _)) => events.recv_timeout(when.saturating_duration_since(Instant::now())),
        };
        match (event, next) {
            (Ok(Event::Exited(ended)), _) => return ended.map(|()| None),
            (Ok(Event::Cancelled), _) => return Ok(Some(Ended::Cancelled)),
            // The stall's end may have moved while we slept.
            (Err(RecvTimeoutError::Timeout), Some((_, Ended::Stalled))) if moved(limits, start) => {}
            (Err(RecvTimeoutError::Timeout), Some((_, ended))) => return Ok(Some(ended)),
            (Err(_), _) => return Err(io::Error::other("nobody waits for the process any more")),
        }
    }
}

/// Tells whether there was a sign of life recently enough after all.
fn moved(limits: &Limits, start: Instant) -> bool {
    limits.stall.as_ref().is_some_and(|(silence, progress)| progress.last().max(start).elapsed() < *silence)
}
