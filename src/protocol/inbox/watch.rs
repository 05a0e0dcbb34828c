//! Taking whatever is dropped into the folders, until told to stop.
//!
//! Owns when to look and how long to leave alone what did not work. Hints bring a look forward; a full look comes without
//! any, each `node.poll_max`. It never gives up: a hub that is away or a folder that is not there may come back.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{Folder, InboxError, Standing, Taken};
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::error::{Error, Result};
use crate::protocol::session::Session;
use crate::protocol::wake::Message;
use crate::task::transition;

/// What is ready waits so long at most for what is still being dropped beside it, so that they share a push.
const HURRY: Duration = Duration::from_secs(5);

/// The least time between two looks, however many hints there are.
const LEAST: Duration = Duration::from_millis(50);

/// Takes what comes until a [`Message::Stop`], and hands over what became of it.
pub fn watch(
    session: &Session,
    folders: &[Folder],
    messages: &Receiver<Message>,
    announce: &dyn Announce,
    mut hand_over: impl FnMut(Taken),
) -> Result<()> {
    let interval = *session.config.node_settings(session.node.as_str()).poll_max;
    let mut standing = Standing::new(session, folders, announce)?;
    let mut watch = Watch { session, announce, unreadable: HashSet::new(), trouble: None };
    loop {
        let looked = Instant::now();
        let (look, unreadable) = standing.look();
        watch.say_unreadable(unreadable);
        let mut pause = look.next.unwrap_or(interval);
        let waits = HURRY.saturating_sub(look.waited);
        if !look.is_empty() && look.is_growing && !waits.is_zero() {
            pause = pause.min(waits);
        } else if !look.is_empty() && watch.may_try() {
            match standing.take(look) {
                Ok(taken) => {
                    watch.is_well();
                    // There may be more than went into one push.
                    pause = if taken.is_empty() { pause } else { LEAST };
                    hand_over(taken);
                }
                Err(error) => watch.say_once(&error),
            }
        }
        if let Some(again) = watch.trouble.as_ref().map(|trouble| trouble.again) {
            pause = pause.min(again.saturating_duration_since(Instant::now()));
        }
        if wait(messages, looked, pause) {
            return Ok(());
        }
    }
}

struct Watch<'a> {
    session: &'a Session,
    announce: &'a dyn Announce,
    /// The folders of which it was said that they cannot be read.
    unreadable: HashSet<String>,
    trouble: Option<Trouble>,
}

/// Something that did not work, and may work later.
struct Trouble {
    code: String,
    times: u32,
    again: Instant,
}

impl Watch<'_> {
    /// Says of each folder once that it cannot be read, for as long as it cannot.
    fn say_unreadable(&mut self, errors: Vec<InboxError>) {
        let mut now = HashSet::new();
        for error in errors {
            let text = format!("{error}; it is tried again");
            if !self.unreadable.contains(&text) {
                self.note(&text);
            }
            now.insert(text);
        }
        self.unreadable = now;
    }

    fn may_try(&self) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| Instant::now() >= trouble.again)
    }

    fn is_well(&mut self) {
        if self.trouble.take().is_some() {
            self.note("the inbox goes on");
        }
    }

    /// Says what is wrong, once for as long as it is the same, and lets it rest for longer each time.
    fn say_once(&mut self, error: &Error) {
        let code = miette::Diagnostic::code(error).map(|code| code.to_string()).unwrap_or_default();
        let before = self.trouble.take().filter(|trouble| trouble.code == code);
        let times = before.map_or(0, |trouble| trouble.times) + 1;
        if times == 1 {
            self.note(&format!("{error}; what was dropped stays where it is until then"));
        }
        let config = &self.session.config;
        let rest = transition::rest(times, *config.retry_wait, *config.retry_wait_max);
        let least = *config.node_settings(self.session.node.as_str()).poll;
        self.trouble = Some(Trouble { code, times, again: Instant::now() + rest.max(least) });
    }

    fn note(&self, text: &str) {
        self.announce.happened(&Happened::Note(text.to_owned()));
    }
}

/// Waits for the next look; a hint brings it forward. Says whether the loop is to end.
fn wait(messages: &Receiver<Message>, looked: Instant, pause: Duration) -> bool {
    let mut until = Instant::now() + pause;
    loop {
        match messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Message::Hint) => until = until.min(looked + LEAST).max(Instant::now()),
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
        if until <= Instant::now() {
            // A stop that came together with hints is not overlooked.
            return messages.try_iter().any(|message| message == Message::Stop);
        }
    }
}
