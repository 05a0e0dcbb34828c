//! Notify: a command of the user's is told of what happens, one JSON object on its stdin each time (README, "Be told").
//!
//! Owns that telling harms nothing: it happens beside the work, one event after the other, each within its time; what
//! fails or hangs is said once. Which events there are, is what `announce` tells; what stands in them is `message`'s.

mod message;

use std::collections::VecDeque;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::announce::{Announce, Happened};
use super::session::Session;
use crate::exec::{Cancel, Ended, Limits, spawn, stdin_from};

/// How long the command may take for one event.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it has between SIGTERM and SIGKILL after that.
const GRACE: Duration = Duration::from_secs(1);

/// How long what is left is still told once the work is done, while the command keeps up.
const FAREWELL: Duration = Duration::from_secs(60);

/// How many events wait at most: a command that is slower than the work must not fill the memory.
const WAITING: usize = 10_000;

/// Passes on what happens, and tells the configured command of it.
pub struct Notifying {
    inner: Arc<dyn Announce>,
    events: Vec<String>,
    sender: Option<SyncSender<(Happened, jiff::Timestamp)>>,
    shared: Arc<Shared>,
    ambient: crate::ambient::Ambient,
    done: Mutex<Option<Receiver<()>>>,
}

/// What the teller's thread and the work's have in common.
struct Shared {
    /// Ends the command that runs.
    cancel: Cancel,
    /// The work is done.
    closing: AtomicBool,
    /// Whether a failure was said already.
    said: AtomicBool,
    /// How many events nobody was told of.
    untold: AtomicUsize,
}

impl Notifying {
    /// Starts telling, where a command is configured.
    pub fn start(session: &Session, inner: impl Announce + 'static) -> Self {
        let inner: Arc<dyn Announce> = Arc::new(inner);
        let shared = Arc::new(Shared {
            cancel: Cancel::new(),
            closing: AtomicBool::new(false),
            said: AtomicBool::new(false),
            untold: AtomicUsize::new(0),
        });
        let settings = &session.config.notify;
        let mut notifying = Self {
            inner: Arc::clone(&inner),
            events: settings.events.clone(),
            sender: None,
            shared: Arc::clone(&shared),
            ambient: session.ambient.clone(),
            done: Mutex::new(None),
        };
        if settings.command.is_empty() || settings.events.is_empty() {
            return notifying;
        }
        let (sender, receiver) = sync_channel(WAITING);
        let (finished, done) = sync_channel(1);
        let teller = Teller { session: session.clone(), inner, shared };
        let thread = std::thread::Builder::new().name("notify".to_owned());
        // Without a thread nobody is told, and the work goes on.
        if thread.spawn(move || teller.tell_all(&receiver, &finished)).is_ok() {
            notifying.sender = Some(sender);
            notifying.done = Mutex::new(Some(done));
        }
        notifying
    }
}

impl Announce for Notifying {
    fn happened(&self, what: &Happened) {
        self.inner.happened(what);
        let is_wanted = message::event_of(what).is_some_and(|event| self.events.iter().any(|name| name == event));
        if let Some(sender) = self.sender.as_ref().filter(|_| is_wanted)
            && sender.try_send((what.clone(), self.ambient.now())).is_err()
        {
            self.shared.untold.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Notifying {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.sender = None;
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(done) = done {
            if done.recv_timeout(FAREWELL).is_err() {
                self.shared.cancel.raise();
                let _ = done.recv_timeout(GRACE * 2);
            }
            let untold = self.shared.untold.load(Ordering::Relaxed);
            if untold > 0 {
                self.inner.happened(&Happened::Note(format!("`notify.command` was not told of {untold} events")));
            }
        }
    }
}

/// Tells, on a thread of its own.
struct Teller {
    session: Session,
    inner: Arc<dyn Announce>,
    shared: Arc<Shared>,
}

impl Teller {
    fn tell_all(&self, receiver: &Receiver<(Happened, jiff::Timestamp)>, finished: &SyncSender<()>) {
        while let Ok(first) = receiver.recv() {
            // One reading of the records serves all that waits by now.
            let mut waiting: VecDeque<_> = std::iter::once(first).chain(receiver.try_iter()).collect();
            let snapshot = self.session.snapshot().unwrap_or_default();
            while let Some((what, at)) = waiting.pop_front() {
                let Some(message) = message::of(&self.session, &snapshot, &what, at) else { continue };
                let in_time = self.tell(&message.to_string());
                let is_over = self.shared.cancel.is_raised();
                if is_over || (!in_time && self.shared.closing.load(Ordering::Acquire)) {
                    // It hangs, and the work is done: nobody waits for it again and again.
                    let untold = waiting.len() + receiver.try_iter().count();
                    self.shared.untold.fetch_add(untold, Ordering::Relaxed);
                    let _ = finished.send(());
                    return;
                }
            }
        }
        let _ = finished.send(());
    }

    /// Tells of one event, and says whether the command ended in time.
    fn tell(&self, message: &str) -> bool {
        let started = Instant::now();
        let why = match self.run(message) {
            Ok(Ended::Exited(status)) if status.success() => return true,
            Ok(Ended::Exited(status)) => format!("ended with {status}"),
            Ok(_) => format!("took longer than {} s", PATIENCE.as_secs()),
            Err(error) => format!("cannot be run: {error}"),
        };
        if !self.shared.said.swap(true, Ordering::Relaxed) {
            let text = format!("`notify.command` {why}; the work goes on, and this is said once");
            self.inner.happened(&Happened::Note(text));
        }
        started.elapsed() < PATIENCE
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where the notifier is started")]
    fn run(&self, message: &str) -> std::io::Result<Ended> {
        let Some((program, arguments)) = self.session.config.notify.command.split_first() else {
            return Err(std::io::Error::other("it is empty"));
        };
        let repo = &self.session.hub.repo;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(repo.work_tree().unwrap_or_else(|| repo.common_dir()));
        command.env_clear().envs(self.environment());
        command.stdin(stdin_from(format!("{message}\n").as_bytes())?).stdout(Stdio::null()).stderr(Stdio::null());
        let limits = Limits { deadline: PATIENCE, stall: None, grace: GRACE };
        spawn(&mut command)?.wait_leaving_rest(&limits, &self.shared.cancel)
    }

    /// Our own environment, without our settings, without what points git elsewhere, and without what is named as secret.
    fn environment(&self) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
        let secrets = &self.session.config.secrets.mask;
        let is_left_out = |name: &str| {
            name.starts_with("DISPATCH_")
                || name.starts_with("GIT_DISPATCH_")
                || crate::git::process::redirects_git(name)
                || secrets.iter().any(|secret| secret == name)
        };
        let vars = self.session.ambient.vars();
        let vars = vars.filter(|(name, _)| !name.to_str().is_some_and(is_left_out));
        vars.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}
