//! Which session a task goes to: those that are named, then numbered ones of our own range, made on demand.
//!
//! A session is free when it lives, nothing but a shell stands in it, it holds no task, and it is past its rest after a
//! failure. Who holds one has its file locked, so that neither two slots nor two nodes of one machine share a session;
//! the file also says until when it rests, which therefore outlives the session.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::server::{Pane, Server};
use crate::ambient::Ambient;
use crate::config::model::{ExecutorKind, ExecutorSettings};

/// What a session shows in which nobody does anything.
const SHELLS: &[&str] =
    &["ash", "bash", "csh", "dash", "elvish", "fish", "ksh", "nu", "pwsh", "sh", "tcsh", "xonsh", "zsh"];

/// The size of a session that nobody looks at.
const COLUMNS: &str = "220";
const ROWS: &str = "50";

/// A session that a task may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) name: String,
    /// Its place among the numbered ones; none where a person has made it.
    pub(super) place: Option<u32>,
}

/// Lists the sessions that tasks of this project may go to, the best first.
pub(super) fn of(settings: &ExecutorSettings, project: &str) -> Vec<Session> {
    let bound = |own: bool| {
        settings.sessions.iter().filter_map(move |text| match text.split_once(':') {
            Some((of, name)) => (own && of == project).then(|| name.to_owned()),
            None => (!own).then(|| text.clone()),
        })
    };
    let named = bound(true).chain(bound(false)).map(|name| Session { name, place: None });
    let numbered = (0..settings.max).map(|place| Session {
        name: format!("{}{}", settings.prefix, settings.start_index.saturating_add(place)),
        place: Some(place),
    });
    named.chain(numbered).collect()
}

/// The right to a session.
#[derive(Debug)]
pub(super) struct Lease {
    file: File,
}

impl Lease {
    /// Takes the right to a session, unless somebody has it or the session rests.
    pub(super) fn take(ambient: &Ambient, name: &str) -> io::Result<Option<Self>> {
        let folder = folder(ambient);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{name}.lock"));
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) => return Err(error),
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let rests = text.trim().parse().is_ok_and(|until: i64| ambient.now().as_second() < until);
        Ok((!rests).then_some(Self { file }))
    }

    /// Lets the session rest for so many seconds.
    pub(super) fn rest(&mut self, ambient: &Ambient, seconds: u64) -> io::Result<()> {
        let until = ambient.now().as_second().saturating_add_unsigned(seconds);
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(format!("{until}\n").as_bytes())
    }
}

/// One folder for each server: sessions of one name on two servers are two.
fn folder(ambient: &Ambient) -> PathBuf {
    let key = Server::key(ambient);
    let mark = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    ambient.state_home().join("git-dispatch").join(format!("tmux-{mark:016x}"))
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Missing,
    Busy,
    Free,
}

/// Looks where a session stands. A window whose process has ended holds no task any more.
pub(super) fn standing(session: &str, panes: &[Pane]) -> Standing {
    let mut own = panes.iter().filter(|pane| pane.session == session).peekable();
    if own.peek().is_none() {
        return Standing::Missing;
    }
    let is_shell = |pane: &Pane| SHELLS.contains(&pane.command.trim_start_matches('-'));
    let is_in_use = |pane: &Pane| match pane.slot.is_empty() {
        true => pane.is_seen && !pane.is_dead && !is_shell(pane),
        false => !pane.is_dead,
    };
    if own.any(is_in_use) { Standing::Busy } else { Standing::Free }
}

/// Makes a numbered session.
pub(super) fn make(server: &Server, name: &str) -> io::Result<()> {
    server.tell(&["new-session", "-d", "-s", name, "-x", COLUMNS, "-y", ROWS], None)?;
    server.tell(&["set-option", "-t", &format!("={name}:"), "@dispatch_pool", "1"], None)?;
    Ok(())
}

/// What is free at this moment, for choosing tasks: no more are claimed than there is room for.
#[derive(Debug, Default)]
pub struct Room {
    /// Nothing is known before something is asked for; without tmux nothing can be.
    panes: Option<io::Result<Vec<Pane>>>,
    free: BTreeMap<String, bool>,
}

impl Room {
    /// Names the free sessions that a task of this project may go to; `None` where nothing bounds how many run: executors
    /// of other kinds. Without tmux a task is claimed and fails to start, so that somebody hears of it.
    pub fn of(&mut self, settings: &ExecutorSettings, project: &str, ambient: &Ambient) -> Option<Vec<String>> {
        if settings.kind != ExecutorKind::Tmux {
            return None;
        }
        let panes = self.panes.get_or_insert_with(|| Server::default().panes()).as_ref().ok()?;
        let sessions = of(settings, project);
        let mut is_free = |session: &Session| {
            let standing = standing(&session.name, panes);
            let may_be = standing == Standing::Free || (standing == Standing::Missing && session.place.is_some());
            let look = || Lease::take(ambient, &session.name).is_ok_and(|lease| lease.is_some());
            may_be && *self.free.entry(session.name.clone()).or_insert_with(look)
        };
        let is_any = !sessions.is_empty();
        let free = sessions.into_iter().filter(|session| is_free(session)).map(|session| session.name).collect();
        is_any.then_some(free)
    }
}

/// Reads the id by which a session is resumed, and removes it: it is used once. One that is no plain word is left.
pub(super) fn resume_id(folder: Option<&Path>, session: &str) -> Option<String> {
    let path = folder?.join(format!("{session}-resume-id.txt"));
    let id = fs::read_to_string(&path).ok()?.trim().to_owned();
    let is_plain = id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.len() <= 200
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    (is_plain && fs::remove_file(&path).is_ok()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> ExecutorSettings {
        let file = format!("[executors.x]\nkind = \"tmux\"\ncommand = [\"a\"]\n{text}");
        let loaded = crate::config::load(&crate::config::Inputs::default().with_file("t", &*file)).unwrap();
        loaded.config.executor("x").unwrap().clone()
    }

    fn pane(session: &str, command: &str, slot: &str, is_dead: bool) -> Pane {
        let (session, command, slot) = (session.into(), command.into(), slot.into());
        Pane { session, command, slot, is_dead, is_seen: true, ..Pane::default() }
    }

    #[test]
    fn a_project_has_its_own_sessions_first_and_never_anothers() {
        let settings = settings("sessions = [\"all\", \"p:mine\", \"q:theirs\"]\nmax = 2\nstart_index = 3\n");
        let names = |project: &str| of(&settings, project).into_iter().map(|s| s.name).collect::<Vec<_>>();
        assert_eq!(names("p"), ["mine", "all", "agent-3", "agent-4"]);
        assert_eq!(names("z"), ["all", "agent-3", "agent-4"]);
    }

    #[test]
    fn a_session_is_free_when_nothing_but_a_shell_stands_in_it() {
        let of = |panes: &[Pane]| standing("s", panes);
        assert_eq!(of(&[pane("t", "bash", "", false)]), Standing::Missing);
        assert_eq!(of(&[pane("s", "-zsh", "", false)]), Standing::Free);
        assert_eq!(of(&[pane("s", "vim", "", false)]), Standing::Busy);
        let unseen = Pane { is_seen: false, ..pane("s", "vim", "", false) };
        assert_eq!(of(&[unseen, pane("s", "bash", "", false)]), Standing::Free);
        assert_eq!(of(&[pane("s", "bash", "", false), pane("s", "agent", "/w/1", false)]), Standing::Busy);
        assert_eq!(of(&[pane("s", "bash", "", false), pane("s", "agent", "/w/1", true)]), Standing::Free);
    }

    #[test]
    fn a_resume_id_is_used_once_and_only_a_plain_word_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent-0-resume-id.txt");
        let id = || resume_id(Some(folder.path()), "agent-0");
        assert_eq!(id(), None);
        fs::write(&path, "ab-12\n").unwrap();
        assert_eq!((id(), id()), (Some("ab-12".to_owned()), None));
        for bad in ["--yolo", "a b", "", "$(x)"] {
            fs::write(&path, bad).unwrap();
            assert_eq!(id(), None, "{bad:?}");
            assert!(path.exists());
        }
    }
}
