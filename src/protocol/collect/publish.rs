//! The push of a collect: the target, leased on the tip that the plan started from, with the claims of what it merges, all or
//! nothing (DESIGN.md 5).
//!
//! Owns what follows where a hub does not know "all or nothing". Then the claims that say merged go first, so that nobody
//! else takes them up; the target next; and last the claims of what a repair mended, which are in conflict until the repair has
//! landed. Cut off after the first, the claims are put back; after the second, what is in the target is merged. The next
//! collect does either (`seal::finish_half_done`).

use super::error::CollectError;
use super::landing::put_back;
use super::plan::{Merge, Plan};
use crate::git::ObjectId;
use crate::hub::{Answer, Edit, Layout};
use crate::protocol::claim::all_yes;
use crate::protocol::error::Result;
use crate::protocol::session::Session;
use crate::task::Phase;

/// Publishes a plan; `false`: somebody moved the target, or one of the tasks, and what is there now is the new start.
pub(super) fn publish(session: &Session, plan: &Plan, target: &str, old: ObjectId) -> Result<bool> {
    if plan.merges.is_empty() {
        return Ok(true);
    }
    let is_mended = |merge: &&Merge| merge.completed.record.phase == Phase::Conflict;
    let (mended, own): (Vec<&Merge>, Vec<&Merge>) = plan.merges.iter().partition(is_mended);
    let claim_of = |merge: &&Merge| {
        Edit::new(session.hub.layout.claim(&merge.task), Some(merge.completed.id), Some(merge.merged.id))
    };
    let mut edits: Vec<Edit> = own.iter().map(claim_of).collect();
    if plan.tip != old {
        edits.push(Edit::new(Layout::branch_ref(target), Some(old), Some(plan.tip)));
    }
    let decides = edits.len() - 1;
    edits.extend(mended.iter().map(claim_of));
    let answers = session.hub.publish_atomically(&edits, decides)?;
    if all_yes(&answers[..=decides]) {
        return Ok(true);
    }
    // The hub answers and nothing moved. A race moves something; a refusal does not.
    let is_refused = answers.iter().all(|answer| *answer == Answer::Unknown);
    // The claims are moved, and all that was left to do was to move the target.
    let is_target_refused = plan.tip != old && answers[decides] == Answer::Unknown && all_yes(&answers[..decides]);
    if is_target_refused && !is_refused {
        let claims: Vec<_> = own.iter().map(|merge| &merge.merged).collect();
        put_back(session, &claims)?;
    }
    if is_refused || is_target_refused {
        return Err(match plan.tip == old {
            true => session.hub.refused(session.hub.layout.claims()).into(),
            false => CollectError::refused(target, &session.hub).into(),
        });
    }
    Ok(false)
}
