//! The commands: one screen of story each. Resolve, do, report; what could be asked twice belongs to `protocol`.

pub mod assign;
pub mod attach;
pub mod bundle;
pub mod cancel;
pub mod claim;
pub mod collect;
pub mod comment;
pub mod completions;
pub mod conflicts;
pub mod demo;
pub mod doctor;
pub mod done;
pub mod enqueue;
pub mod examples;
pub mod explain;
pub mod factory;
pub mod finish;
pub mod gc;
pub mod inbox;
pub mod init;
pub mod list;
pub mod log;
pub mod logs;
pub mod man;
pub mod nodes;
pub mod outbox;
pub mod pause;
pub mod reap;
pub mod release;
pub mod report;
pub mod retry;
pub mod run;
pub mod schedule;
pub mod show;
pub mod start_agent;
pub mod status;
pub mod top;
pub mod wait;

use std::sync::mpsc::{Receiver, channel};

use miette::Result;

use crate::ambient::Ambient;
use crate::exec::{Cancel, Signals};
use crate::exit::Exit;
use crate::hub::snapshot::Snapshot;
use crate::node::hint::Hints;
use crate::protocol::Session;
use crate::protocol::session::OptionSettings;
use crate::protocol::wake::Message;
use crate::task::TaskName;
use crate::ui::Ui;
use crate::ui::progress::Progress;
use crate::ui::time::ago;

/// What every command works with.
pub struct Context {
    /// Clock, randomness, environment.
    pub ambient: Ambient,
    /// Where and how to speak.
    pub ui: Ui,
    /// The signals that came.
    pub signals: Signals,
}

/// How a command ends.
pub type Outcome = Result<Exit>;

impl Context {
    /// Opens the clone; the first signal ends whatever git is doing.
    pub fn open(&self, options: &OptionSettings) -> Result<Session> {
        self.open_until(options, &self.signals.first)
    }

    /// Opens the clone, with git running on until `cancel`: for commands that have an end of their own for a signal.
    pub fn open_until(&self, options: &OptionSettings, cancel: &Cancel) -> Result<Session> {
        let session = Session::open(&self.ambient.cwd, &self.ambient, options, cancel)?;
        // The last reading of a long queue goes with the process: taken apart piece by piece, it takes longer than it took to
        // read.
        std::mem::forget(session.hub.memory.clone());
        Ok(session)
    }

    /// Opens the clone for a command on the tasks named, reads the hub and resolves the names. The spinner, beside which
    /// stands what is being done, turns until it is dropped.
    pub fn open_for(&self, tasks: &[String], doing: &'static str) -> Result<(Session, Vec<TaskName>, Progress)> {
        let session = self.open(&Vec::new())?;
        let progress = Progress::start(&self.ui, doing);
        session.sync()?;
        let names = resolve(&session, &session.snapshot()?, tasks)?;
        Ok((session, names, progress))
    }

    /// Opens the clone for a command that only shows, as `sync_to_read` says.
    pub fn open_to_read(&self, offline: bool) -> Result<(Session, Snapshot)> {
        let session = self.open(&Vec::new())?;
        self.sync_to_read(&session, offline)?;
        let snapshot = session.snapshot()?;
        Ok((session, snapshot))
    }

    /// What wakes a command that stays: the first signal, and whatever happens on a hub on this machine for as long as the
    /// hints are held.
    pub fn wakes(&self, session: &Session) -> (Receiver<Message>, Hints) {
        let (sender, wakes) = channel();
        let on_signal = sender.clone();
        self.signals.on_signal(move |_, _| {
            let _ = on_signal.send(Message::Stop);
        });
        let hints = Hints::watch(session, move || {
            let _ = sender.send(Message::Hint);
        });
        (wakes, hints)
    }

    /// Reads the hub for a command that only shows: when it does not answer, what is known is shown, with its age.
    pub fn sync_to_read(&self, session: &Session, offline: bool) -> Result<()> {
        self.sync_to_read_with(session, offline, None)
    }

    /// The same, with a branch of the hub beside the targets that tasks name.
    pub fn sync_to_read_with(&self, session: &Session, offline: bool, branch: Option<&str>) -> Result<()> {
        if offline || session.hub.is_embedded() {
            return Ok(());
        }
        let mut reader = session.clone();
        reader.hub.deadline = *session.config.sync_timeout;
        match reader.sync_leniently(branch) {
            Ok(synced) => {
                if let Some(detail) = synced.memory_lost {
                    self.ui
                        .warn(&format!("the hub has lost its memory ({detail}); shown is what this clone knows"));
                }
                Ok(())
            }
            Err(error) if error.is_unreachable() => {
                let age = match session.synced_at()? {
                    Some(at) => format!("as of {at} ({})", ago(session.ambient.now(), at)),
                    None => "nothing has been read yet".to_owned(),
                };
                self.ui.warn(&format!("{error}; shown is what this clone knows, {age}"));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Resolves the task arguments of a command.
pub fn resolve(session: &Session, snapshot: &Snapshot, given: &[String]) -> Result<Vec<TaskName>> {
    let mut names = Vec::new();
    for given in given {
        let name = session.resolve(snapshot, given)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}
