//! The door to tmux(1): the one place that runs it.
//!
//! The server is the user's own, so that a person can look in with a plain `tmux attach`: the one that we run in, else
//! the default one, which `TMUX_TMPDIR` moves. Nothing of a spec stands in an argument, but in what is pasted.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use crate::ambient::Ambient;
use crate::exec::{Cancel, Ended, Limits, collect_output};

/// How long tmux may take to answer.
const DEADLINE: Duration = Duration::from_secs(20);

/// What is asked of each pane; the last may hold colons.
const FORMAT: &str = "#{session_name}:#{session_attached}:#{?@dispatch_pool,1,0}:#{window_id}:#{pane_id}:#{window_active}:\
     #{pane_active}:#{pane_in_mode}:#{pane_dead}:#{pane_dead_status}:#{pane_pid}:#{pane_current_command}:#{@dispatch_slot}";

/// A tmux server.
#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    /// Its socket, where it is not the one that tmux finds by itself.
    socket: Option<String>,
}

/// A pane, and what it is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pane {
    pub(super) session: String,
    /// How many people look at the session.
    pub(super) attached: u32,
    /// Whether the session was made by us.
    pub(super) is_pooled: bool,
    pub(super) window: String,
    pub(super) id: String,
    /// Whether it is the one that a person sees who joins the session.
    pub(super) is_seen: bool,
    pub(super) is_in_mode: bool,
    pub(super) is_dead: bool,
    /// The exit code of its process; none when that was ended by a signal.
    pub(super) status: Option<i32>,
    pub(super) pid: u32,
    pub(super) command: String,
    /// The slot that it works for; empty: none.
    pub(super) slot: String,
}

impl Pane {
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(13, ':');
        let mut next = || parts.next();
        let is = |text: &str| text == "1";
        let session = next()?.to_owned();
        let attached = next()?.parse().unwrap_or(0);
        let is_pooled = is(next()?);
        let (window, id) = (next()?.to_owned(), next()?.to_owned());
        let (is_window_seen, is_pane_seen) = (is(next()?), is(next()?));
        let is_in_mode = next()?.parse::<u32>().is_ok_and(|modes| modes > 0);
        let (is_dead, status, pid) = (is(next()?), next()?.parse().ok(), next()?.parse().unwrap_or(0));
        let (command, slot) = (next()?.to_owned(), next()?.to_owned());
        let is_seen = is_window_seen && is_pane_seen;
        Some(Self {
            session,
            attached,
            is_pooled,
            window,
            id,
            is_seen,
            is_in_mode,
            is_dead,
            status,
            pid,
            command,
            slot,
        })
    }
}

impl Server {
    /// Names the server with this socket.
    pub(super) fn at(socket: &str) -> Self {
        Self { socket: Some(socket.to_owned()) }
    }

    /// What tells this server from others of the user, before it is even started.
    pub(super) fn key(ambient: &Ambient) -> String {
        let inside = ambient.var("TMUX").and_then(|tmux| tmux.split(',').next());
        inside.or_else(|| ambient.var("TMUX_TMPDIR")).unwrap_or("default").to_owned()
    }

    /// Runs tmux; `None` where it says no, such as of a session that is not there.
    pub(super) fn ask(&self, args: &[&str], stdin: Option<&[u8]>) -> io::Result<Option<String>> {
        let limits = Limits { deadline: DEADLINE, stall: None, grace: Duration::from_secs(1) };
        let mut command = self.command();
        command.args(args);
        let (ended, stdout, _) =
            collect_output(&mut command, stdin.map(<[u8]>::to_vec), &limits, &Cancel::new())
                .map_err(|error| io::Error::new(error.kind(), format!("`tmux` could not be started: {error}")))?;
        match ended {
            Ended::Exited(status) if status.success() => Ok(Some(String::from_utf8_lossy(&stdout).into_owned())),
            Ended::Exited(_) => Ok(None),
            _ => Err(io::Error::new(io::ErrorKind::TimedOut, "tmux does not answer")),
        }
    }

    /// Runs tmux, which must not say no.
    pub(super) fn tell(&self, args: &[&str], stdin: Option<&[u8]>) -> io::Result<String> {
        let refused = || io::Error::other(format!("tmux refused `{}`", args.first().unwrap_or(&"")));
        self.ask(args, stdin)?.ok_or_else(refused)
    }

    /// Lists all panes; none where no server runs.
    pub(super) fn panes(&self) -> io::Result<Vec<Pane>> {
        let listed = self.ask(&["list-panes", "-a", "-F", FORMAT], None)?.unwrap_or_default();
        Ok(listed.lines().filter_map(Pane::parse).collect())
    }

    /// Finds one pane, if it is there and works for this slot: after a restart of tmux the same id means another.
    pub(super) fn pane(&self, id: &str, slot: &str) -> io::Result<Option<Pane>> {
        Ok(self.panes()?.into_iter().find(|pane| pane.id == id && pane.slot == slot))
    }

    /// Becomes tmux, for a person; returns only where that cannot be.
    pub(super) fn become_client(&self, args: &[&str]) -> io::Error {
        let mut command = self.command();
        command.args(args);
        command.exec()
    }

    #[expect(clippy::disallowed_methods, reason = "the one door to tmux(1)")]
    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        // Screens are read as UTF-8, whatever the node's own language.
        command.arg("-u");
        if let Some(socket) = &self.socket {
            command.args(["-S", socket]);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pane_is_read_with_colons_in_its_slot() {
        let pane = Pane::parse("agent-0:2:1:@3:%4:1:1:0:1:7:123:sh:/a:b/1").unwrap();
        assert_eq!((pane.session.as_str(), pane.attached, pane.is_pooled), ("agent-0", 2, true));
        assert_eq!((pane.status, pane.pid, pane.slot.as_str()), (Some(7), 123, "/a:b/1"));
        assert!(pane.is_seen && pane.is_dead && !pane.is_in_mode);
        let killed = Pane::parse("x:0:0:@1:%1:0:1:0:1::9:sh:").unwrap();
        assert_eq!((killed.status, killed.is_seen, killed.slot.as_str()), (None, false, ""));
        assert_eq!(Pane::parse("nonsense"), None);
    }
}
