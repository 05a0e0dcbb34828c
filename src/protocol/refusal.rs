//! Telling a hub that refuses from a race that was lost: after a lost race the ref holds something else.

use super::error::Result;
use super::session::Session;
use crate::hub::Edit;

/// So many pushes in a row may come to nothing before that counts as a refusal: a busy lock or a late answer looks the
/// same.
const MISTAKABLE: u32 = 5;

/// What was pushed and not answered with yes, and how often in a row that left the refs as they were.
#[derive(Debug, Default)]
pub struct Refusal {
    tried: Vec<Edit>,
    times: u32,
}

impl Refusal {
    /// Remembers edits that were not made.
    pub fn tried(&mut self, edits: Vec<Edit>) {
        self.tried = edits;
    }

    /// Says whether the last try left the refs as they were.
    pub const fn is_likely(&self) -> bool {
        self.times > 0
    }

    /// Looks, after a sync, whether the refs have moved; refuses to try on where they have not, again and again.
    pub fn look(&mut self, session: &Session) -> Result<()> {
        let unmoved = |edit: &&Edit| session.hub.known(&edit.name) == edit.old;
        let Some(edit) = self.tried.iter().find(unmoved) else {
            self.times = 0;
            return Ok(());
        };
        self.times += 1;
        if self.times < MISTAKABLE {
            return Ok(());
        }
        Err(session.hub.refused(edit.name.clone()).into())
    }
}
