//! A hub that does not answer, or lost its memory, seen from a node that stays.

use super::super::away;
use super::super::machine::Event;
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
                away::hand_over(self.session, self.announce);
                Ok(Event::Deaf)
            }
            // A hub that lost its memory is like one that is away: nothing is claimed, what runs goes on.
            Err(Error::Hub(error @ HubError::MemoryLost { .. })) if self.options.watch => {
                self.tell_of_lost_memory(&error);
                Ok(Event::Deaf)
            }
            result => result,
        }
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
