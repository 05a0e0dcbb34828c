//! Reap: claims of lost nodes are taken back by hand, from any clone.
//!
//! Goes by the same observation as a node does: a one-shot command has to listen as long as the silence must last.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::liveness::{self, Liveness};
use super::view::view;
use crate::exec::Cancel;
use crate::hub::Answer;
use crate::hub::snapshot::{Claim, Task};
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::release::release_all;
use crate::protocol::{Result, Session};
use crate::task::{Phase, Reason, TaskName};

/// Which claims are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Only those of this node.
    pub node: Option<String>,
    /// Only those older than this.
    pub older_than: Option<Duration>,
    /// Without listening first.
    pub force: bool,
}

/// Takes claims back and names their tasks.
pub fn reap(
    session: &Session,
    options: &Options,
    cancel: &Cancel,
    announce: &dyn Announce,
) -> Result<Vec<TaskName>> {
    let started = Instant::now();
    let mut liveness = Liveness::default();
    let mut reaped = Vec::new();
    for polls in 1.. {
        session.sync()?;
        let snapshot = session.snapshot()?;
        let seen = view(session, &snapshot, &[], &BTreeSet::new())?;
        liveness.hear(started.elapsed(), &seen.beats);
        let meant: Vec<&Task> = snapshot.tasks.iter().filter(|task| is_meant(session, task, options)).collect();
        let (mut taken, mut listening) = (Vec::new(), false);
        for task in meant {
            let Some(claim) = task.claim() else { continue };
            let watched = seen.watched.iter().find(|(_, id, _)| *id == claim.id);
            let is_over = seen.expired.iter().any(|(_, id)| *id == claim.id);
            let is_lost = watched.is_some_and(|(_, _, name)| liveness.is_lost(started.elapsed(), name));
            if options.force || is_over || is_lost {
                taken.push(claim);
            } else {
                listening |= watched.is_some_and(|(_, _, name)| liveness.is_silent(name));
            }
        }
        reaped.extend(take(session, &taken, announce)?);
        let longest = seen.beats.iter().map(|(_, beat)| beat.patience).max().unwrap_or_default();
        // Claims that come and go meanwhile are no reason to listen for ever; a slow hub is none to stop too early.
        if !listening || (polls > 2 * liveness::POLLS && started.elapsed() > longest * 2) {
            break;
        }
        let poll = *session.config.node_settings(session.node.as_str()).poll;
        if cancel.wait_for(poll) {
            return Err(crate::git::Error::Interrupted.into());
        }
    }
    Ok(reaped)
}

fn is_meant(session: &Session, task: &Task, options: &Options) -> bool {
    let Some(claim) = task.claim_in(Phase::Running) else { return false };
    let of_node = options.node.as_ref().is_none_or(|node| claim.record.node.as_ref() == Some(node));
    let age = session.ambient.now().duration_since(claim.at).as_secs_f64();
    of_node && options.older_than.is_none_or(|least| age >= least.as_secs_f64())
}

/// Takes claims back, all in one push, and names the tasks of those that it got.
fn take(session: &Session, claims: &[&Claim], announce: &dyn Announce) -> Result<Vec<TaskName>> {
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    let answers = release_all(session, claims, Reason::Lost, Some("taken back by hand"))?;
    let won = claims.iter().zip(&answers).filter(|(_, answer)| answer.is_yes());
    let names: Vec<TaskName> = won.map(|(claim, _)| claim.record.task.clone()).collect();
    // Somebody faster has what we wanted; a claim that stands as it stood was not given up by the hub.
    let unmoved = claims.iter().zip(&answers).find(|(_, answer)| **answer == Answer::Unknown);
    if let Some((claim, _)) = unmoved.filter(|_| names.is_empty()) {
        return Err(session.hub.refused(session.hub.layout.claim(&claim.record.task)).into());
    }
    for task in &names {
        announce.happened(&Happened::Released { task: task.clone(), reason: Reason::Lost });
    }
    Ok(names)
}
