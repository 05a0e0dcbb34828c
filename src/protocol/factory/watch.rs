//! Keeping the queue filled, until told to stop or until there are as many generations as there are to be.
//!
//! Owns when to look, and how long a generator that failed, or wrote nothing new, is left alone. It never gives up on what
//! may mend itself.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{Due, Made, Step, WriteState, step};
use crate::exec::Cancel;
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::bundle::Refused;
use crate::protocol::error::{Error, Result};
use crate::protocol::session::Session;
use crate::protocol::wake::Message;
use crate::task::transition;

/// Makes generations until a [`Message::Stop`] or the last of them, and hands over what became of each.
pub fn watch(
    session: &Session,
    state: WriteState<'_>,
    messages: &Receiver<Message>,
    cancel: &Cancel,
    announce: &dyn Announce,
    mut hand_over: impl FnMut(Made),
) -> Result<()> {
    let settings = session.config.node_settings(session.node.as_str());
    let (poll, poll_max) = (*settings.poll, *settings.poll_max);
    let mut rest = Rest { session, announce, times: 0, said: String::new() };
    let mut pause = poll;
    loop {
        let looked = Instant::now();
        let (wait_for, may_hurry) = match step(session, state, cancel, announce) {
            Ok(Step::NotDue(Due::Over, standing)) => {
                let text = format!("all {} generations are queued", standing.generation);
                announce.happened(&Happened::Note(text));
                return Ok(());
            }
            Ok(Step::NotDue(Due::In(rest), _)) => (rest.min(poll_max), true),
            Ok(Step::NotDue(..) | Step::Busy) => {
                pause = pause.mul_f64(1.5).min(poll_max);
                (pause, true)
            }
            Ok(Step::Made(made)) => {
                rest.is_over();
                pause = poll;
                hand_over(made);
                (poll, true)
            }
            Ok(Step::Superseded(_)) => (poll, true),
            Ok(Step::Nothing(made)) => {
                let wait_for = rest.after(format!("generation {} brought nothing new", made.generation));
                hand_over(made);
                (wait_for, false)
            }
            Err(error) if is_final(&error, cancel) => return if cancel.is_raised() { Ok(()) } else { Err(error) },
            Err(error) => (rest.after(error.to_string()), false),
        };
        if stopped(messages, looked, wait_for, may_hurry.then_some(poll / 10)) {
            return Ok(());
        }
    }
}

/// Says whether trying again is no use.
fn is_final(error: &Error, cancel: &Cancel) -> bool {
    let no_use = |refused: &Refused| matches!(refused, Refused::NoEnqueue);
    cancel.is_raised()
        || matches!(error, Error::Factory(error) if matches!(**error, super::FactoryError::NoGenerator))
        || matches!(error, Error::Bundle(refused) if no_use(refused))
}

/// How long what did not work is left alone: longer each time.
struct Rest<'a> {
    session: &'a Session,
    announce: &'a dyn Announce,
    times: u32,
    said: String,
}

impl Rest<'_> {
    /// Says what is wrong, once for as long as it is the same.
    fn after(&mut self, what: String) -> Duration {
        self.times += 1;
        let config = &self.session.config;
        let rest = transition::rest(self.times, *config.retry_wait, *config.retry_wait_max);
        let poll = *config.node_settings(self.session.node.as_str()).poll;
        let rest = rest.max(*config.factory.cooldown).max(poll);
        if self.said != what {
            self.announce.happened(&Happened::Note(format!("{what}; the factory tries again later")));
            self.said = what;
        }
        rest
    }

    fn is_over(&mut self) {
        self.times = 0;
        self.said.clear();
    }
}

/// Waits for the next look; a hint brings it forward, where that is any use. Says whether the loop is to end.
fn stopped(messages: &Receiver<Message>, looked: Instant, pause: Duration, least: Option<Duration>) -> bool {
    let mut until = Instant::now() + pause;
    loop {
        match messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Message::Hint) => {
                if let Some(least) = least {
                    until = until.min(looked + least).max(Instant::now());
                }
            }
            Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return true,
            Err(RecvTimeoutError::Timeout) => return false,
        }
        if until <= Instant::now() {
            return messages.try_iter().any(|message| message == Message::Stop);
        }
    }
}
