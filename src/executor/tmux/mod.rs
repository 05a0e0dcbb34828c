//! Executors of kind tmux: an agent in a window of a session, given one task at a time (CLI.md, `[executors.NAME]`).
//!
//! Each task gets a window of its own in a free session: a person who joins sees the agent at work and may help, and
//! whatever else is in the session stays as it is. The agent is the window's own process, started in the slot; its text
//! is pasted, and Enter pressed until it was taken. It has ended when it says `git dispatch done`, when its prompt has
//! stood still for `idle_done`, when its process ends, or when its time is over; when its window is gone, nobody knows.
//!
//! ```text
//!   sessions (which one, whose, how it rests) ──▶ Place ──▶ window + agent ──▶ prompt ──▶ paste, Enter ──▶ End
//!   server (the door to tmux)        screen (what it shows, pure)       launch (how the agent is started)
//! ```

mod agent;
mod launch;
mod screen;
mod server;
mod sessions;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, fcntl_setfl, open};

use self::server::{Pane, Server};
use self::sessions::{Lease, Session, Standing};
use super::command;
use super::slot::SlotRecord;
use super::slot::record::Window;
use super::work::{End, Job};
use super::{Error, Result};
use crate::ambient::Ambient;
use crate::exec::{Capture, Ended, Limits, Pen, collect_output};

pub use self::launch::launch;
pub use self::sessions::Room;

/// How often is looked for a session that has become free.
const AGAIN: Duration = Duration::from_millis(500);

/// A session that is ours for one task.
#[derive(Debug)]
pub struct Place {
    server: Server,
    session: Session,
    lease: Lease,
    pipe: PathBuf,
}

/// Waits for a session to become free, and takes it; an end where none does.
pub fn take(job: &Job<'_>) -> std::result::Result<Place, End> {
    let server = Server::default();
    let sessions = sessions::of(job.settings, &job.given.project);
    if sessions.is_empty() {
        return Err(End::NotStarted(format!("no session is there for tasks of project {}", job.given.project)));
    }
    let until = Instant::now() + job.deadline;
    let mut last: Option<io::Error> = None;
    loop {
        for session in &sessions {
            match try_to_take(&server, session, job) {
                Ok(Some(lease)) => {
                    let (session, pipe) = (session.clone(), job.slot.root().join("pane.pipe"));
                    return Ok(Place { server, session, lease, pipe });
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(End::NotStarted(error.to_string()));
                }
                Err(error) => last = Some(error),
            }
        }
        if let Some(error) = last.take_if(|_| Instant::now() >= until) {
            return Err(End::NotStarted(error.to_string()));
        }
        if Instant::now() >= until {
            return Err(End::NotStarted("no session became free in time".to_owned()));
        }
        if job.cancel.wait_for(AGAIN) {
            return Err(End::Ended(Ended::Cancelled));
        }
    }
}

/// Takes a session if it is free, made first where it is one of ours; those that are to be kept open are made too.
fn try_to_take(server: &Server, session: &Session, job: &Job<'_>) -> io::Result<Option<Lease>> {
    let Some(lease) = Lease::take(job.ambient, &session.name)? else { return Ok(None) };
    let panes = server.panes()?;
    for kept in sessions::of(job.settings, &job.given.project) {
        let is_to_be = kept == *session || kept.place.is_some_and(|place| place < job.settings.min);
        if kept.place.is_some() && is_to_be && sessions::standing(&kept.name, &panes) == Standing::Missing {
            sessions::make(server, &kept.name)?;
        }
    }
    let panes = server.panes()?;
    if sessions::standing(&session.name, &panes) != Standing::Free {
        return Ok(None);
    }
    // What an earlier task left there has ended.
    let left = panes.iter().filter(|pane| pane.session == session.name && !pane.slot.is_empty());
    left.for_each(|pane| drop(server.ask(&["kill-window", "-t", &pane.window], None)));
    Ok(Some(lease))
}

impl Place {
    /// Starts to capture what the pane will show, through a pipe with a name.
    pub fn capture(&self, job: &Job<'_>) -> io::Result<(Capture, Pen)> {
        let _ = std::fs::remove_file(&self.pipe);
        let mut command = command::tool("mkfifo");
        command.args(["-m", "600"]).arg(&self.pipe);
        let limits = Limits::within(Duration::from_secs(20));
        let (ended, ..) = collect_output(&mut command, None, &limits, job.cancel)?;
        if !ended.success() {
            return Err(io::Error::other(format!("`mkfifo {}` failed", self.pipe.display())));
        }
        // The reading end opens at once only without waiting, and is to wait afterwards.
        let reader = open(&self.pipe, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
        let pen = open(&self.pipe, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        fcntl_setfl(&reader, OFlags::empty())?;
        Ok((Capture::of(&job.slot.log_dir(), &job.keep(), reader.into())?, pen.into()))
    }

    /// Carries the task out in the session, and lets go of it.
    pub fn work(mut self, job: &Job<'_>, record: &mut SlotRecord, limits: &Limits) -> Result<End> {
        let end = agent::work(&self, job, record, limits);
        let failed = |error| Error::slot(job.slot.root(), error);
        self.close(job, record).map_err(failed)?;
        let end = end.unwrap_or_else(|error| End::NotStarted(error.to_string()));
        let is_well = match &end {
            End::Said(said) => !said.failed,
            End::Ended(Ended::Exited(status)) => matches!(status.code(), Some(0 | 75)),
            End::Ended(Ended::Cancelled) => true,
            _ => false,
        };
        if !is_well {
            self.lease.rest(job.ambient, job.settings.cooldown.as_secs()).map_err(failed)?;
        }
        Ok(end)
    }

    /// Ends what is left of the task's window, and a session of ours that is not to be kept open, unless somebody looks.
    fn close(&self, job: &Job<'_>, record: &SlotRecord) -> io::Result<()> {
        let _ = std::fs::remove_file(&self.pipe);
        let panes = self.server.panes()?;
        let slot = job.slot.root().to_string_lossy();
        let own = record.tmux.as_ref().and_then(|window| panes.iter().find(|pane| pane.id == window.pane));
        if let Some(own) = own.filter(|pane| pane.slot == slot) {
            self.server.ask(&["kill-window", "-t", &own.window], None)?;
        }
        let is_surplus = self.session.place.is_some_and(|place| place >= job.settings.min);
        let is_ours = |pane: &&Pane| pane.session == self.session.name && pane.is_pooled && pane.attached == 0;
        // A person may have joined while the agent was at work, and stays then.
        if is_surplus && self.server.panes()?.iter().any(|pane| is_ours(&pane)) {
            self.server.ask(&["kill-session", "-t", &format!("={}", self.session.name)], None)?;
        }
        Ok(())
    }
}

/// Joins the window that a task is worked on in; returns only where that cannot be.
pub fn attach(window: &Window, ambient: &Ambient) -> io::Error {
    let server = Server::at(&window.socket);
    if let Err(error) = server.tell(&["select-window", "-t", &window.window], None) {
        return error;
    }
    let session = format!("={}:", window.session);
    let inside = ambient.var("TMUX").and_then(|tmux| tmux.split(',').next());
    match inside == Some(window.socket.as_str()) {
        true => server.become_client(&["switch-client", "-t", &session]),
        false => server.become_client(&["attach-session", "-t", &session]),
    }
}
