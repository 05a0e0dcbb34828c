//! The records: whether they can be read, and whether they agree with each other.

use std::collections::{BTreeMap, HashSet};

use super::Findings;
use crate::git::ObjectId;
use crate::hub::format::Unreadable;
use crate::hub::snapshot::Standing;
use crate::hub::{Edit, Layout, Place};
use crate::protocol::error::Result;
use crate::protocol::seal;
use crate::protocol::session::Session;
use crate::task::text::escaped;
use crate::task::{Hold, Phase};

const ABOUT: &str = "records";

/// Finishes sealings that were cut off, and deletes chains that landed on sealed tasks.
pub(super) fn half_done(session: &Session, found: &mut Findings) -> Result<()> {
    if session.away {
        return Ok(());
    }
    let snapshot = session.snapshot()?;
    let leftovers = |standing: &Standing| matches!(standing, Standing::Sealed { leftover: Some(_), .. });
    let left = |snapshot: &crate::hub::snapshot::Snapshot| {
        snapshot.tasks.iter().filter(|task| leftovers(&task.standing)).count()
    };
    let half_done = |task: &&crate::hub::snapshot::Task| {
        task.claim_in(Phase::Merged).or_else(|| task.claim_in(Phase::Cancelled)).is_some()
    };
    let before = (left(&snapshot), snapshot.tasks.iter().filter(half_done).count());
    if before == (0, 0) {
        return Ok(());
    }
    seal::finish_half_done(session, &snapshot)?;
    session.sync()?;
    let after = session.snapshot()?;
    let sealed = before.1.saturating_sub(after.tasks.iter().filter(half_done).count());
    let deleted = before.0.saturating_sub(left(&after));
    if sealed > 0 {
        found.mended(ABOUT, format!("{sealed} tasks were merged or cancelled and not sealed; they are now"));
    }
    if deleted > 0 {
        found.mended(ABOUT, format!("{deleted} claims stood on sealed tasks; they are deleted"));
    }
    Ok(())
}

/// Makes task branches again that are gone: they show what the claims hold.
pub(super) fn branches(session: &Session, found: &mut Findings) -> Result<()> {
    let hub = &session.hub;
    if hub.abilities().branches == Some(false) {
        return Ok(());
    }
    let there = hub.list(&[hub.layout.task_branches()])?;
    let snapshot = session.snapshot()?;
    let mut edits = Vec::new();
    for claim in snapshot.tasks.iter().filter_map(|task| task.claim_in(Phase::Completed)) {
        let Some((branch, result)) = claim.record.branch.as_ref().zip(claim.result) else { continue };
        let name = Layout::branch_ref(branch);
        let is_there = there.iter().any(|(known, _)| *known == name);
        if !is_there && name.starts_with(&hub.layout.task_branches()) && claim.record.base != Some(result) {
            edits.push(Edit::new(name, None, Some(result)));
        }
    }
    let answers = hub.publish(&edits)?;
    for edit in edits.iter().zip(answers).filter(|(_, answer)| answer.is_yes()).map(|(edit, _)| edit) {
        let branch = escaped(edit.name.trim_start_matches("refs/heads/"));
        found.mended(ABOUT, format!("the branch {branch} was gone; it shows the finished work again"));
    }
    Ok(())
}

/// Names what cannot be read.
pub(super) fn unreadable(session: &Session, found: &mut Findings) -> Result<()> {
    let snapshot = session.snapshot()?;
    for (place, why) in &snapshot.unreadable {
        let help = match (why, session.hub.known(place)) {
            (Unreadable::Newer(_), _) => "install a newer git-dispatch; what it wrote is left as it is".to_owned(),
            // The name of a ref holds nothing that a shell would read otherwise.
            (_, Some(id)) => match &session.hub.place {
                Place::Remote(remote) => format!(
                    "look at it (`git show {id}`); if it is rubbish: `git push --force-with-lease={place}:{id} {} :{place}`",
                    escaped(&remote.name)
                ),
                Place::Embedded => {
                    format!("look at it (`git show {id}`); if it is rubbish: `git update-ref -d {place} {id}`")
                }
            },
            (_, None) => "it is left out, and stops nothing else".to_owned(),
        };
        found.broken(ABOUT, format!("{}: {why}", escaped(place)), help);
    }
    if snapshot.unreadable.is_empty() {
        let noun = if snapshot.tasks.len() == 1 { "task" } else { "tasks" };
        found.fine(ABOUT, format!("{} {noun}, each with records that can be read", snapshot.tasks.len()));
    }
    Ok(())
}

/// Names merges that seals tell of and the target no longer has.
pub(super) fn merges(session: &Session, found: &mut Findings) -> Result<()> {
    let hub = &session.hub;
    let mut known: BTreeMap<String, HashSet<ObjectId>> = BTreeMap::new();
    for task in &session.snapshot()?.tasks {
        let Standing::Sealed { seal, .. } = &task.standing else { continue };
        let merge = seal.merge_commit.as_ref().and_then(|id| ObjectId::from_hex(id.as_bytes()).ok());
        let (Some(merge), Some(target)) = (merge, &seal.target) else { continue };
        let Some(tip) = hub.target_tip(target) else { continue };
        let line = known.entry(target.clone()).or_insert_with(|| {
            let mut line = HashSet::new();
            hub.repo.first_parents(tip, |commit| line.insert(commit.id));
            line
        });
        if !line.contains(&merge) && !hub.repo.is_ancestor(merge, tip) {
            let target = escaped(target);
            found.broken(
                ABOUT,
                format!("{} is sealed as merged by {merge}, which is not in {target}", task.name()),
                format!("{target} was rewritten or wound back: `git dispatch doctor --republish` from a clone that still has it, or merge that commit again"),
            );
        }
    }
    Ok(())
}

/// Names running claims that no node says it holds.
pub(super) fn unlisted(session: &Session, found: &mut Findings) -> Result<()> {
    let listed: HashSet<String> =
        session.hub.node_records()?.into_iter().flat_map(|seen| seen.record.claims).collect();
    for task in &session.snapshot()?.tasks {
        let Some(claim) = task.claim_in(Phase::Running) else { continue };
        if claim.record.hold == Some(Hold::Beat) && !listed.contains(&claim.id.to_string()) {
            let node = escaped(claim.record.node.as_deref().unwrap_or("nobody")).to_string();
            found.note(
                ABOUT,
                format!("{} is running on {node}, which does not say so", task.name()),
                "a node takes it over once it was silent for long enough; `git dispatch reap` waits for that here",
            );
        }
    }
    Ok(())
}
