//! A hub that will not have a result (DESIGN.md 3.4): a hook, a bound on sizes, a search for secrets.
//!
//! Owns telling that from a hub that has trouble for the moment. What git says is not asked: a result was refused for
//! good when the hub did not take it in several rounds, and then takes the same ending without it.

use super::entry::Entry;
use super::{Finished, write};
use crate::git::ObjectId;
use crate::git::objects::NewEntry;
use crate::git::refs::RefChange;
use crate::hub::format::ClaimRecord;
use crate::hub::format::claim::STATUS_FILE;
use crate::hub::notes::Addition;
use crate::hub::outbox::Waiting;
use crate::hub::{Edit, Layout};
use crate::protocol::error::Result;
use crate::protocol::session::Session;
use crate::task::event::bounded_error;
use crate::task::{Phase, Reason};

/// In how many rounds, each of several pushes, a result is not taken before its content is suspected.
const ROUNDS: u32 = 3;

impl Entry {
    /// Counts a round in which the hub answered and did not take the result, and gives the result up after some.
    pub(super) fn not_taken(&self, session: &Session, waiting: &Waiting, lease: ObjectId) -> Result<Finished> {
        let counted = Waiting { rounds: waiting.rounds + 1, ..waiting.clone() };
        if counted.rounds < ROUNDS || lease != self.claim || session.hub.is_embedded() {
            session.hub.put_in_outbox(&session.state, &counted)?;
            return Ok(Finished::Waiting);
        }
        let kept = self.keep_here(session, waiting)?;
        let why = format!("the hub will not have the result; it is kept on {} at {kept}", self.node);
        // Where it does not take even this, it is the hub: the result waits on.
        let refused = self.end_without_result(session, &why)?.then(|| why.clone());
        let is_refused = refused.is_some();
        session.hub.put_in_outbox(&session.state, &Waiting { refused, ..counted })?;
        Ok(if is_refused { Finished::Refused { why } } else { Finished::Waiting })
    }

    /// Pins the work under its own name; says which.
    fn keep_here(&self, session: &Session, waiting: &Waiting) -> Result<String> {
        let name = Layout::result(&waiting.claim);
        let repo = &session.hub.repo;
        if repo.ref_value(&name).is_none() {
            repo.change_refs(&[RefChange::new(name.clone(), None, Some(self.result))], "git dispatch: refused")?;
        }
        Ok(name)
    }

    /// Ends the attempt with the base in the result's place. Says whether the hub took that.
    fn end_without_result(&self, session: &Session, why: &str) -> Result<bool> {
        let is_success = self.record.phase == Phase::Completed;
        let phase = if is_success { Phase::Failed } else { self.record.phase };
        let reason = if is_success { Some(Reason::Publish) } else { self.record.reason };
        let mut record = ClaimRecord::following(&self.record, phase, &session.state.instance, session.nonce()?);
        record.reason = reason;
        let mut event = self.event.clone();
        event.event = phase.as_str().to_owned();
        event.reason = reason;
        event.error = Some(bounded_error(why));
        (event.result, event.branch) = (None, None);
        let text = format!("{}\n", event.to_line());
        let files = [NewEntry { name: STATUS_FILE, content: text.as_bytes() }];
        let base = self.record.base.filter(|base| session.hub.repo.has(*base));
        let id = write(session, &record, Some(self.claim), base, &files)?;
        let claim = Edit::new(session.hub.layout.claim(&self.task), Some(self.claim), Some(id));
        if !session.hub.publish(&[claim])?[0].is_yes() {
            return Ok(false);
        }
        let additions = [Addition::line(self.record.spec, &event)];
        let note = session.hub.add_status(&self.node, &additions, &session.by, &session.ambient)?;
        let _ = session.hub.publish_unsettled(&note.into_iter().collect::<Vec<_>>());
        Ok(true)
    }
}
