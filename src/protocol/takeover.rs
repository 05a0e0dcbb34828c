//! Takeover: what is told when an attempt of a lost node was taken over (DESIGN.md 3, "Heartbeats and lost nodes").
//!
//! Owns no move: the takeover is the claim itself, attempt n+1 on top of attempt n, in one compare-and-swap. Who is lost
//! is judged by the node.

use super::announce::{Announce, Happened};
use super::claim::Won;
use super::session::Session;
use crate::hub::notes::Addition;
use crate::hub::snapshot::{Claim, read_claim};
use crate::task::event::Event;
use crate::task::{Phase, Reason};

/// Tells of the takeovers among what was won, and notes that the attempts before them were lost. The notes explain and
/// decide nothing: where they cannot be published now, the claims' chains still say the same.
pub fn tell(session: &Session, won: &[Won], announce: &dyn Announce) {
    let mut additions = Vec::new();
    for won in won {
        let Some(before) = taken_over(session, won) else { continue };
        let record = &won.claim.record;
        additions.push(Addition::line(record.spec, &lost(won, &before)));
        announce.happened(&Happened::TakenOver {
            task: record.task.clone(),
            node: before.record.node.unwrap_or_default(),
            attempt: record.attempts.begun,
        });
    }
    let edit = session.hub.add_status(&session.node, &additions, &session.by, &session.ambient);
    let edits: Vec<_> = edit.into_iter().flatten().collect();
    let _ = session.hub.publish_unsettled(&edits);
}

/// The claim that a claim took over, if it did.
fn taken_over(session: &Session, won: &Won) -> Option<Claim> {
    let before = read_claim(&session.hub.repo, won.claim.previous?).ok()?;
    (before.record.phase == Phase::Running).then_some(before)
}

fn lost(won: &Won, before: &Claim) -> Event {
    let mut event = Event::new("lost", won.claim.at);
    event.attempt = Some(before.record.attempts.begun);
    event.node.clone_from(&before.record.node);
    event.claim = Some(before.id.to_string());
    event.reason = Some(Reason::Lost);
    event
}
