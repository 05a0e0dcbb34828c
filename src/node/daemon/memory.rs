//! A hub that does not answer, turns this clone away, or lost its memory, seen from a node that stays.

use miette::Diagnostic as _;

use super::super::away;
use super::super::machine::{Event, Pause};
use super::Daemon;
use crate::hub::Error as HubError;
use crate::protocol::announce::Happened;
use crate::protocol::republish;
use crate::protocol::{Error, Result};

impl Daemon<'_> {
    /// Turns a hub that does not answer into an event; any other failure ends the run.
    pub(super) fn or_deaf(&mut self, what: impl FnOnce(&mut Self) -> Result<Event>) -> Result<Event> {
        match what(self) {
            Err(error) if error.is_unreachable() => {
                self.complain(&error);
                away::hand_over(self.session, self.announce);
                Ok(Event::Deaf(self.pause(&error)))
            }
            // A hub that lost its memory is like one that is away: nothing is claimed, what runs goes on.
            Err(Error::Hub(error @ HubError::MemoryLost { .. })) if self.options.watch => {
                self.tell_of_lost_memory(&error);
                Ok(Event::Deaf(Pause::default()))
            }
            Ok(event) => {
                self.complaint = None;
                Ok(event)
            }
            Err(error) => Err(error),
        }
    }

    /// Says once what somebody has to put right, and how.
    fn complain(&mut self, error: &Error) {
        if !error.of_git().is_some_and(crate::git::Error::is_turned_away) {
            return;
        }
        let way_out = error.help().map(|help| format!("; {help}")).unwrap_or_default();
        let text = format!("{error}{way_out}");
        if self.complaint.as_ref() != Some(&text) {
            self.announce.happened(&Happened::Note(text.clone()));
            self.complaint = Some(text);
        }
    }

    /// How long the hub is left alone: as it asked, and not as long as others of the fleet.
    fn pause(&self, error: &Error) -> Pause {
        let at_least = error.of_git().and_then(crate::git::Error::wait).unwrap_or_default();
        Pause { at_least, jitter: self.session.ambient.fraction() }
    }

    /// Says what the hub has lost, once; and gives it this clone's own claims, where somebody has given back the rest.
    fn tell_of_lost_memory(&mut self, error: &HubError) {
        let text = error.to_string();
        if self.lost_memory.as_ref() != Some(&text) {
            let what = format!("{text}; nothing is claimed until `git dispatch doctor --republish` gave it back");
            self.announce.happened(&Happened::Note(what));
            self.lost_memory = Some(text);
        }
        // Whatever fails of it is tried again at the next look.
        for task in republish::republish_own(self.session).unwrap_or_default() {
            self.announce.happened(&Happened::Note(format!("gave the claim of {task} back to the hub")));
        }
    }
}
