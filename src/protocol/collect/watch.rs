//! Collecting whenever something is finished, until told to stop.
//!
//! Owns when to look, when a look is worth a collect, and how long to leave alone what did not work. It never gives up
//! on what may mend itself: a hub that is away, a target that fails its own verification, a checkout in the way.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{Collected, Options, collect};
use crate::git::{Error as GitError, ObjectId};
use crate::hub::Error as HubError;
use crate::hub::snapshot::{Snapshot, Standing, target_of};
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::error::{Error, Result};
use crate::protocol::session::Session;
use crate::protocol::wake::Message;
use crate::task::{Phase, State, TaskName, transition};

/// What there was to collect at a look: the claims that matter, and where the targets stand.
type Seen = (BTreeMap<TaskName, ObjectId>, BTreeMap<String, Option<ObjectId>>);

/// Collects whenever something is finished, until a [`Message::Stop`]; returns what all collects together did, by target,
/// and tells `so_far` of it after each.
pub fn watch(
    session: &Session,
    options: &Options,
    messages: &Receiver<Message>,
    announce: &dyn Announce,
    so_far: &dyn Fn(&[Collected]) -> Result<()>,
) -> Result<Vec<Collected>> {
    let settings = session.config.node_settings(session.node.as_str());
    let mut watch = Watch {
        session,
        options,
        announce,
        poll: *settings.poll,
        poll_max: *settings.poll_max,
        pause: *settings.poll,
        seen: None,
        trouble: None,
        all: Vec::new(),
    };
    loop {
        let looked = Instant::now();
        let worked = watch.look()?;
        if worked {
            so_far(&watch.all)?;
        }
        watch.pause = match worked {
            true => watch.poll,
            false => watch.pause.mul_f64(1.5).min(watch.poll_max),
        };
        if watch.wait(messages, looked) {
            return Ok(watch.all);
        }
    }
}

struct Watch<'a> {
    session: &'a Session,
    options: &'a Options,
    announce: &'a dyn Announce,
    poll: Duration,
    poll_max: Duration,
    pause: Duration,
    /// What the last collect that got through left.
    seen: Option<Seen>,
    trouble: Option<Trouble>,
    all: Vec<Collected>,
}

/// Something that did not work, and may work later.
struct Trouble {
    code: String,
    times: u32,
    /// When it is tried again although nothing has changed.
    again: Instant,
    /// What there was to collect then; none where not even that is known.
    seen: Option<Seen>,
}

impl Watch<'_> {
    /// Looks, and collects where that is worth it. Says whether it did.
    fn look(&mut self) -> Result<bool> {
        match self.look_once() {
            Ok(worked) => Ok(worked),
            Err(error) if may_pass(&error) => {
                self.say_once(&error);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn look_once(&mut self) -> Result<bool> {
        self.session.sync_with(self.options.into.as_deref())?;
        if self.trouble.as_ref().is_some_and(|trouble| trouble.seen.is_none()) {
            self.trouble = None;
            self.announce.happened(&Happened::Note("the hub answers again".to_owned()));
        }
        let now = self.seen(&self.session.snapshot()?);
        let is_new = self.seen.as_ref() != Some(&now);
        let rests = |trouble: &Trouble| trouble.seen.as_ref() == Some(&now) && Instant::now() < trouble.again;
        if now.0.is_empty() || !is_new || self.trouble.as_ref().is_some_and(rests) {
            return Ok(false);
        }
        // A named target or task may be gone by now; what was seen stays in force for the rest.
        let collected = collect(self.session, self.options, self.announce).inspect_err(|_| self.seen = None)?;
        self.trouble = None;
        for collected in collected {
            match self.all.iter_mut().find(|all| all.target == collected.target) {
                Some(all) => all.then(collected),
                None => self.all.push(collected),
            }
        }
        self.seen = Some(self.seen(&self.session.snapshot()?));
        Ok(true)
    }

    /// What there is to collect: finished work, and what a collect that died left half done.
    fn seen(&self, snapshot: &Snapshot) -> Seen {
        let hub = &self.session.hub;
        let mut targets = BTreeMap::new();
        let claims = snapshot.tasks.iter().filter_map(|task| {
            let claim = match &task.standing {
                Standing::Sealed { leftover, .. } => leftover.as_deref(),
                _ if task.state() == State::Completed => task.claim(),
                _ => task.claim_in(Phase::Merged).or(task.claim_in(Phase::Cancelled)),
            }?;
            let target = self.options.into.clone().unwrap_or_else(|| target_of(hub, &task.spec.record));
            let tip = hub.target_tip(&target);
            targets.insert(target, tip);
            Some((task.name().clone(), claim.id))
        });
        let claims: BTreeMap<TaskName, ObjectId> = claims.collect();
        (claims, targets)
    }

    /// Says what is wrong, once for as long as it is the same, and lets it rest for longer each time.
    fn say_once(&mut self, error: &Error) {
        let is_away = is_away(error);
        let seen = match is_away {
            true => None,
            false => self.session.snapshot().ok().map(|snapshot| self.seen(&snapshot)),
        };
        let code = miette::Diagnostic::code(error).map(|code| code.to_string()).unwrap_or_default();
        let before = self.trouble.take().filter(|trouble| trouble.code == code);
        let times = before.map_or(0, |trouble| trouble.times) + 1;
        if times == 1 {
            let text = match error.is_unreachable() {
                true => "the hub does not answer; finished work waits there".to_owned(),
                false => said(error),
            };
            self.announce.happened(&Happened::Note(text));
        }
        let config = &self.session.config;
        let rest = transition::rest(times, *config.retry_wait, *config.retry_wait_max);
        self.trouble = Some(Trouble { code, times, again: Instant::now() + rest, seen });
    }

    /// Waits for the next look; a hint brings it forward. Says whether the loop is to end.
    fn wait(&self, messages: &Receiver<Message>, looked: Instant) -> bool {
        let jitter = 0.75 + 0.5 * self.session.ambient.fraction();
        let mut until = Instant::now() + self.pause.mul_f64(jitter);
        loop {
            match messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
                // Our own writes are hints too: a look must not follow a look at once, for ever.
                Ok(Message::Hint) => until = until.min(looked + self.poll / 10).max(Instant::now()),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => return false,
            }
            if until <= Instant::now() {
                // A stop that came together with hints is not overlooked.
                return messages.try_iter().any(|message| message == Message::Stop);
            }
        }
    }
}

/// Says whether the hub is away, or as good as away.
fn is_away(error: &Error) -> bool {
    error.is_unreachable() || matches!(error, Error::Hub(HubError::MemoryLost { .. }))
}

/// Says whether what went wrong may go right later with nobody starting us again.
fn may_pass(error: &Error) -> bool {
    is_away(error)
        || matches!(
            error,
            Error::Collect(_)
                | Error::DirtyCheckout { .. }
                | Error::NoCommits { .. }
                | Error::Git(GitError::NoTarget { .. })
                | Error::Executor(_)
                | Error::Hub(HubError::Busy { .. } | HubError::Refused { .. })
        )
}

/// The error with its way out, as a line.
fn said(error: &Error) -> String {
    let help = miette::Diagnostic::help(error).map(|help| format!("; {help}")).unwrap_or_default();
    format!("{error}{help}")
}
