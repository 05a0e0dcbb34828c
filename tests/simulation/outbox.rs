//! The end of an attempt in the simulation: the outbox, the push under the attempt's own claim, and what is said of it.

use std::time::Duration;

use git_dispatch::git::ObjectId;
use git_dispatch::node::machine::Event;
use git_dispatch::task::transition::ended_badly;
use git_dispatch::task::{Phase, Reason};

use super::hub::{Commit, Edit, MAX_ATTEMPTS, Standing};
use super::net::{Answer, Net};
use super::node::{Killed, Node};

/// How often a push is tried before the result is left in the outbox.
const TRIES: u32 = 5;

/// A result in the outbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) claim: ObjectId,
    finish: ObjectId,
}

impl Node {
    pub(crate) fn settle(&mut self, slot: usize, net: &mut Net) -> Result<Option<Event>, Killed> {
        let Some(running) = self.process().running.remove(&slot) else { return Ok(None) };
        let took = Duration::from_millis(net.hub.now - running.started);
        if running.given_back {
            self.release(running.claim, Reason::Drained, net);
            return Ok(Some(Event::Settled { slot, well: true, took: Duration::ZERO }));
        }
        let attempts = net.hub.get(running.claim).attempts;
        let reason = (!running.well).then_some(Reason::Exit);
        let phase = reason.map_or(Phase::Completed, |reason| ended_badly(attempts, reason, 1, MAX_ATTEMPTS));
        let mut commit = Self::following(net, running.claim, phase, reason);
        commit.work = running.well.then_some(running.claim);
        net.hub.made.extend(commit.work);
        let waiting = Waiting { claim: running.claim, finish: net.hub.make(commit) };
        self.outbox.push(waiting);
        if net.kills() {
            return Err(Killed);
        }
        self.publish(waiting, net)?;
        Ok(Some(Event::Settled { slot, well: running.well, took }))
    }

    /// Publishes what waits; says whether the hub answered.
    pub(crate) fn publish(&mut self, waiting: Waiting, net: &mut Net) -> Result<bool, Killed> {
        let finish = *net.hub.get(waiting.finish);
        let (mut lease, mut new) = (waiting.claim, waiting.finish);
        for _ in 0..TRIES {
            let answer = self.push(&Edit::Claim { task: finish.task, old: Some(lease), new: Some(new) }, net);
            if net.kills() {
                return Err(Killed);
            }
            if answer == Answer::Unreachable || answer != Answer::Yes && !self.fetch(net) {
                return Ok(false);
            }
            let tip = match net.hub.standing(&self.mirror, finish.task) {
                _ if answer == Answer::Yes => {
                    self.done(waiting, true, net);
                    return Ok(true);
                }
                Standing::Claimed(tip) | Standing::Sealed { seal: tip, .. } => Some(tip),
                Standing::Fresh => None,
            };
            let is_sealed = matches!(net.hub.standing(&self.mirror, finish.task), Standing::Sealed { .. });
            let chain: Vec<(ObjectId, Commit)> =
                tip.into_iter().flat_map(|tip| net.hub.chain(tip).map(|(id, one)| (id, *one))).collect();
            let is_cancelled = chain.first().is_some_and(|(_, tip)| is_sealed && tip.phase == Phase::Cancelled);
            let has_landed = chain
                .iter()
                .any(|(id, one)| *id == waiting.finish || one.work.is_some() && one.work == finish.work);
            let since: Vec<_> = chain.iter().take_while(|(id, _)| *id != waiting.claim).collect();
            let descends = since.len() < chain.len();
            if has_landed && !is_cancelled {
                self.done(waiting, true, net);
                return Ok(true);
            }
            let only_released = since.iter().all(|(_, one)| one.phase == Phase::Released);
            if is_sealed || !descends || !only_released || !since.is_empty() && finish.work.is_none() {
                self.done(waiting, false, net);
                return Ok(true);
            }
            if let Some(((tip, _), false)) = chain.first().map(|tip| (tip, since.is_empty())) {
                let late = Commit { work: finish.work, ..Self::following(net, *tip, Phase::Completed, None) };
                (lease, new) = (*tip, net.hub.make(late));
            }
        }
        Ok(true)
    }

    /// What waited is published, or fenced off: that is said, so it must be so.
    fn done(&mut self, waiting: Waiting, is_published: bool, net: &mut Net) {
        self.outbox.retain(|one| one.claim != waiting.claim);
        let Some(work) = net.hub.get(waiting.finish).work else { return };
        if is_published {
            assert!(net.hub.accepted.contains(&work), "invariant 3: called published, and the hub never had it");
        } else {
            assert!(!net.hub.counts(work), "invariant 3: called fenced, and it counts");
            net.hub.fenced.insert(work);
        }
    }
}
