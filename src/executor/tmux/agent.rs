//! One task in one session, from the agent's window to its end.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::Place;
use super::launch::Launch;
use super::screen::{Screen, Taken, pasteable};
use super::server::Pane;
use super::sessions;
use crate::exec::{Ended, Limits, end_group, start_time};
use crate::executor::command;
use crate::executor::said::Said;
use crate::executor::slot::SlotRecord;
use crate::executor::slot::record::Window;
use crate::executor::work::{End, Job, note_group};
use crate::task::text::one_line;

/// How often a pane is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long the agent gets to show what was pasted.
const PASTING: Duration = Duration::from_secs(3);

/// How long after Enter the agent must have begun, and how often Enter is pressed.
const TAKING: Duration = Duration::from_secs(1);
const PRESSES: u32 = 6;

/// Starts the agent in a window of its own, gives it its text, and waits for its end.
pub(super) fn work(place: &Place, job: &Job<'_>, record: &mut SlotRecord, limits: &Limits) -> io::Result<End> {
    let started = Instant::now();
    let at_work = AtWork { place, job, limits, started, slot: job.slot.root().to_string_lossy().into_owned() };
    let pane = at_work.open(record)?;
    let end = at_work.carry_out(&pane, &record.claim)?;
    // The pane's process leads a group of its own. A number that means another by now is left alone.
    if let Some(group) = record.group.filter(|group| start_time(*group) == record.started) {
        end_group(group, limits.grace)?;
    }
    Ok(end)
}

struct AtWork<'a> {
    place: &'a Place,
    job: &'a Job<'a>,
    limits: &'a Limits,
    started: Instant,
    slot: String,
}

impl AtWork<'_> {
    /// Opens the window, with its output piped into the log before the agent says its first word.
    fn open(&self, record: &mut SlotRecord) -> io::Result<String> {
        let (server, job) = (&self.place.server, self.job);
        let session = format!("={}:", self.place.session.name);
        let name = one_line(&job.given.task);
        let opened = server.tell(
            &[
                "new-window",
                "-P",
                "-F",
                "#{window_id}:#{pane_id}:#{socket_path}",
                "-t",
                &session,
                "-n",
                &name,
                "--",
                "cat",
                "-",
            ],
            None,
        )?;
        let mut parts = opened.trim().splitn(3, ':').map(str::to_owned);
        let (Some(window), Some(pane), Some(socket)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(io::Error::other("tmux did not name its new window"));
        };
        server.tell(&["set-option", "-w", "-t", &window, "@dispatch_slot", &self.slot], None)?;
        server.tell(&["set-option", "-w", "-t", &window, "remain-on-exit", "on"], None)?;
        let pipe = format!("exec cat > {}", quoted(&self.place.pipe.to_string_lossy()));
        server.tell(&["pipe-pane", "-O", "-t", &pane, &pipe], None)?;
        record.tmux = Some(Window { socket, session: self.place.session.name.clone(), window, pane: pane.clone() });
        record.write(job.slot)?;
        let folder = job.settings.resume_dir.as_ref().map(|folder| job.repository.join(folder));
        let resume = sessions::resume_id(folder.as_deref(), &self.place.session.name);
        let launch = Launch {
            folder: job.slot.clone_dir(),
            argv: command::argv(job.settings, job.given, resume.as_deref()),
            environment: command::environment(job.settings, job.given, job.ambient).into_iter().collect(),
        };
        let file = job.slot.task_dir().join("start");
        launch.write(&file)?;
        let program = job.ambient.program().ok_or_else(|| io::Error::other("our own program cannot be found"))?;
        let (program, file) = (program.to_string_lossy(), file.to_string_lossy());
        server.tell(&["respawn-pane", "-k", "-t", &pane, "--", &program, "start-agent", &file], None)?;
        if let Some(found) = server.pane(&pane, &self.slot)? {
            note_group(job.slot, record, found.pid).map_err(io::Error::other)?;
        }
        Ok(pane)
    }

    fn carry_out(&self, pane: &str, claim: &str) -> io::Result<End> {
        let settings = self.job.settings;
        let pattern = settings.prompt_pattern.as_str();
        let until = Instant::now() + *settings.prompt_timeout;
        loop {
            if let Some(end) = self.end(pane, claim)? {
                return Ok(never_began(end));
            }
            if self.screen(pane)?.waits(pattern) {
                break;
            }
            if Instant::now() >= until {
                let why =
                    format!("the agent did not show its prompt `{pattern}` within {}", settings.prompt_timeout);
                return Ok(End::NotStarted(why));
            }
            self.job.cancel.wait_for(LOOK);
        }
        match self.deliver(pane, claim)? {
            Some(end) => Ok(end),
            None => self.watch(pane, claim),
        }
    }

    /// Pastes the text and presses Enter until it was taken. `Some`: it ended before that.
    fn deliver(&self, pane: &str, claim: &str) -> io::Result<Option<End>> {
        let server = &self.place.server;
        let pattern = self.job.settings.prompt_pattern.as_str();
        let before = self.screen(pane)?;
        let text = pasteable(&self.job.given.prompt(self.job.settings));
        let buffer = format!("dispatch-{claim}");
        self.leave_mode(pane)?;
        server.tell(&["load-buffer", "-b", &buffer, "-"], Some(text.as_bytes()))?;
        server.tell(&["paste-buffer", "-p", "-d", "-b", &buffer, "-t", pane], None)?;
        let mut shown = self.screen(pane)?;
        let until = Instant::now() + PASTING;
        loop {
            self.job.cancel.wait_for(LOOK);
            let now = self.screen(pane)?;
            let has_settled = now == shown && now != before;
            shown = now;
            if has_settled || Instant::now() >= until || self.job.cancel.is_raised() {
                break;
            }
        }
        let mut taken = Taken::No;
        for _ in 0..PRESSES {
            self.leave_mode(pane)?;
            server.ask(&["send-keys", "-t", pane, "Enter"], None)?;
            let until = Instant::now() + TAKING;
            while Instant::now() < until {
                self.job.cancel.wait_for(LOOK);
                if let Some(end) = self.end(pane, claim)? {
                    return Ok(Some(end));
                }
                taken = self.screen(pane)?.taken(&shown, pattern);
                if taken == Taken::Yes {
                    return Ok(None);
                }
            }
        }
        Ok((taken == Taken::No).then(|| End::NotStarted("the agent did not take its text".to_owned())))
    }

    /// Waits for the end of what was begun.
    fn watch(&self, pane: &str, claim: &str) -> io::Result<End> {
        let settings = self.job.settings;
        let (mut screen, mut still_since) = (self.screen(pane)?, Instant::now());
        loop {
            if let Some(end) = self.end(pane, claim)? {
                return Ok(end);
            }
            if let Some(idle) = settings.idle_done.unless_zero() {
                let now = self.screen(pane)?;
                if now != screen || !now.waits(&settings.prompt_pattern) {
                    (screen, still_since) = (now, Instant::now());
                } else if still_since.elapsed() >= idle {
                    return Ok(End::Ended(Ended::Exited(ExitStatus::from_raw(0))));
                }
            }
            self.job.cancel.wait_for(LOOK);
        }
    }

    /// Looks whether it has ended, by whatever it may end.
    fn end(&self, pane: &str, claim: &str) -> io::Result<Option<End>> {
        let said = || Said::of(self.job.slot, claim).map(End::Said);
        if let Some(said) = said() {
            return Ok(Some(said));
        }
        if self.job.cancel.is_raised() {
            return Ok(Some(End::Ended(Ended::Cancelled)));
        }
        if self.started.elapsed() >= self.limits.deadline {
            return Ok(Some(End::Ended(Ended::TimedOut)));
        }
        let last = |progress: &crate::exec::Progress| progress.last().max(self.started).elapsed();
        if self.limits.stall.as_ref().is_some_and(|(silence, progress)| last(progress) >= *silence) {
            return Ok(Some(End::Ended(Ended::Stalled)));
        }
        let found = self.place.server.pane(pane, &self.slot)?;
        // Its last word may have come while we looked.
        Ok(match found {
            None => said().or_else(|| Some(End::Vanished(format!("session {} is gone", self.place.session.name)))),
            Some(found) if found.is_dead => said().or_else(|| Some(End::Ended(Ended::Exited(status_of(&found))))),
            Some(_) => None,
        })
    }

    fn screen(&self, pane: &str) -> io::Result<Screen> {
        Ok(Screen::parse(
            &self.place.server.ask(&["capture-pane", "-p", "-J", "-t", pane], None)?.unwrap_or_default(),
        ))
    }

    /// Leaves copy mode, in which keys would not reach the agent.
    fn leave_mode(&self, pane: &str) -> io::Result<()> {
        let found = self.place.server.pane(pane, &self.slot)?;
        if found.is_some_and(|found| found.is_in_mode) {
            self.place.server.ask(&["copy-mode", "-q", "-t", pane], None)?;
        }
        Ok(())
    }
}

/// An agent that ends before it was given anything was never begun.
fn never_began(end: End) -> End {
    match end {
        End::Ended(Ended::Exited(status)) => {
            End::NotStarted(format!("the agent ended before it showed its prompt: {status}"))
        }
        end => end,
    }
}

/// The exit status of a dead pane's process. Which signal ended one, tmux tells in newer versions only.
fn status_of(pane: &Pane) -> ExitStatus {
    const KILLED: i32 = 9;
    ExitStatus::from_raw(pane.status.map_or(KILLED, |code| code << 8))
}

/// Quotes a path of ours for the shell that tmux runs, and for tmux, which expands `#` and `%`.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "'\\''").replace('#', "##").replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_itself_to_tmux_and_to_the_shell() {
        assert_eq!(quoted("/a b/#{x}/50%/it's"), "'/a b/##{x}/50%%/it'\\''s'");
    }
}
