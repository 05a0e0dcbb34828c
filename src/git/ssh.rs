//! One connection for many conversations over ssh: a handshake costs ten times what a push of one ref costs (FACTS.md).
//!
//! Owns how ssh is called, and only where nobody says otherwise: neither the environment nor git's configuration names a
//! command, no address is rewritten, and the user's own ssh configuration (`ssh -G`) shares no connections itself. The
//! connection is ssh's own (`ControlMaster`), ends a while after it was last used, and stands in the clone's state folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::repo::Repo;
use crate::ambient::Ambient;
use crate::exec::cancel::Cancel;
use crate::exec::{Ended, Limits, collect_output};

/// How long a connection stays when nobody uses it, in seconds: as long as a node waits between two looks.
const PERSIST: u32 = 60;

/// How long ssh may take to read its configuration.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest path of a socket that all systems take (104 bytes with the end mark), less what ssh adds while it makes one.
const PATH_SIZE: usize = 104 - 1 - 17;

/// The variables by which a user says how ssh is called.
const SAID: [&str; 3] = ["GIT_SSH_COMMAND", "GIT_SSH", "GIT_SSH_VARIANT"];

/// The shared connections of one repository, by whom they lead to.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections {
    is_ours: bool,
    known: Arc<Mutex<HashMap<Place, Option<PathBuf>>>>,
}

/// Whom an address leads to, as ssh is told it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    host: String,
    port: Option<String>,
}

impl Connections {
    /// Shares connections, unless the environment says how ssh is called.
    pub(super) fn of(ambient: &Ambient) -> Self {
        let is_ours = SAID.iter().all(|name| ambient.var(name).is_none());
        Self { is_ours, known: Arc::default() }
    }
}

impl Repo {
    /// Returns the ssh command for conversations with an address; `None`: git's own way.
    pub(super) fn ssh_command(&self, url: &str) -> Option<String> {
        let socket = self.socket(url)?;
        // Asked for by whoever opens the connection, it is there for all who share it.
        Some(format!(
            "ssh -o ControlMaster=auto -o ControlPersist={PERSIST} -o ControlPath={} -o SendEnv=GIT_PROTOCOL",
            socket.display()
        ))
    }

    /// Leaves a connection to an address that gave no answer: the next conversation opens one of its own.
    pub(super) fn leave_connection(&self, url: &str) {
        if let Some(socket) = self.socket(url) {
            let _ = std::fs::remove_file(socket);
        }
    }

    fn socket(&self, url: &str) -> Option<PathBuf> {
        let place = Place::of(url).filter(|_| self.connections.is_ours)?;
        let mut known = self.connections.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(place.clone()).or_insert_with(|| self.find_socket(&place)).clone()
    }

    fn find_socket(&self, place: &Place) -> Option<PathBuf> {
        if self.config_string("core.sshCommand").is_some() || self.config_string("ssh.variant").is_some() {
            return None;
        }
        // What is fetched from and what is pushed to may be two hosts then.
        if self.rewrites_addresses() {
            return None;
        }
        let said = settings(place)?;
        if is_shared(&said) {
            return None;
        }
        // Named after all that ssh goes by: whoever changes the configuration gets another connection.
        let path = self.common_dir().join("dispatch").join(format!("ssh-{:08x}", mark(said.as_bytes())));
        is_fit(&path).then_some(path)
    }
}

impl Place {
    /// Reads `ssh://[user@]host[:port]/…` and `[user@]host:…`.
    fn of(url: &str) -> Option<Self> {
        let (host, port) = match url.strip_prefix("ssh://") {
            Some(rest) => {
                let place = rest.split('/').next()?;
                match place.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())) {
                    Some((host, port)) => (host, Some(port.to_owned()).filter(|port| !port.is_empty())),
                    None => (place, None),
                }
            }
            None if url.contains("://") => return None,
            None => {
                let (host, _) = url.split_once(':').filter(|(host, _)| !host.contains('/'))?;
                (host, None)
            }
        };
        // An address in brackets is not taken apart here.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "@._-".contains(c);
        let is_name = !host.is_empty() && !host.starts_with('-') && host.chars().all(is_plain);
        is_name.then(|| Self { host: host.to_owned(), port })
    }
}

/// Asks ssh what it goes by for a host.
#[expect(clippy::disallowed_methods, reason = "the one door to ssh(1)")]
fn settings(place: &Place) -> Option<String> {
    let mut command = Command::new("ssh");
    command.arg("-G");
    if let Some(port) = &place.port {
        command.args(["-p", port]);
    }
    command.args(["--", &place.host]).env("LC_ALL", "C");
    let limits = Limits { deadline: PATIENCE, stall: None, grace: Duration::from_secs(1) };
    let (ended, stdout, _) = collect_output(&mut command, None, &limits, &Cancel::new()).ok()?;
    let is_told = matches!(ended, Ended::Exited(status) if status.success());
    is_told.then(|| String::from_utf8_lossy(&stdout).into_owned())
}

/// Says whether the user's configuration shares connections by itself, or has ssh run or ask what is not to be kept open.
fn is_shared(settings: &str) -> bool {
    let value = |wanted: &str| {
        settings
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(key, _)| *key == wanted)
            .map(|(_, value)| value)
    };
    let is_off = |value: Option<&str>| value.is_none_or(|value| matches!(value, "false" | "no" | "none"));
    !is_off(value("controlmaster")) || !is_off(value("controlpath"))
}

/// Says whether a socket may stand there: short enough, and a name that neither a shell nor ssh reads otherwise.
fn is_fit(path: &Path) -> bool {
    path.to_str().is_some_and(|path| {
        path.len() <= PATH_SIZE && path.chars().all(|c| c.is_ascii_alphanumeric() || "/._+-".contains(c))
    })
}

/// A short mark of a text; only to tell configurations apart, so any spreading function does.
fn mark(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_an_address_leads_to_is_told_as_ssh_wants_it() {
        let of = |url| Place::of(url).map(|place| (place.host, place.port));
        let is = |host: &str, port: Option<&str>| Some((host.to_owned(), port.map(str::to_owned)));
        assert_eq!(of("git@host:x.git"), is("git@host", None));
        assert_eq!(of("host:a/b:c"), is("host", None));
        assert_eq!(of("ssh://git@host/x"), is("git@host", None));
        assert_eq!(of("ssh://host:2222/x"), is("host", Some("2222")));
        assert_eq!(of("ssh://host:/x"), is("host", None));
        for url in [
            "/srv/x:y",
            "./x:y",
            "../x",
            "https://host:1/x",
            "file:///x",
            "-oProxyCommand=x:y",
            "ssh://-oProxyCommand=x/y",
            "ssh://[::1]/x",
            "ssh://a b/x",
            "ssh:///x",
        ] {
            assert_eq!(of(url), None, "{url}");
        }
    }

    #[test]
    fn who_shares_connections_already_is_left_alone() {
        assert!(!is_shared("user git\ncontrolmaster false\ncontrolpersist no\n"));
        assert!(!is_shared("controlmaster no\ncontrolpath none\n"));
        assert!(is_shared("controlmaster auto\ncontrolpath /x\n"));
        assert!(is_shared("controlmaster false\ncontrolpath /x\n"));
    }

    #[test]
    fn a_socket_stands_only_where_every_system_takes_it() {
        assert!(is_fit(Path::new("/home/me/x/.git/dispatch/ssh-01234567")));
        assert!(!is_fit(Path::new("/home/me/a b/.git/dispatch/ssh-01234567")));
        assert!(!is_fit(Path::new("/home/me/%h/.git/dispatch/ssh-01234567")));
        assert!(!is_fit(Path::new(&format!("/{}/ssh-01234567", "x".repeat(90)))));
    }
}
