//! Verification of a plan: its tip as a whole first, and where that fails, which merge breaks it (DESIGN.md 5).
//!
//! Owns the bisection, who is rejected and when nobody is, and the scratch clone, which is one of this clone's own and
//! stays warm between collects. Runs as few commands as there can be: one for a plan that is good, and for each task
//! that is not about the logarithm of the plan's length.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::error::{CollectError, output_in};
use super::plan::{Memo, Plan, Planner};
use crate::config::model::Verify;
use crate::exec::Cancel;
use crate::executor::slot::{self, Setup, Slot, SlotRecord};
use crate::executor::verify::{self, Check, Verdict, Verified};
use crate::git::{Error as GitError, ObjectId};
use crate::hub::local::{CloneLock, persist};
use crate::hub::snapshot::Claim;
use crate::protocol::announce::{Announce, Happened};
use crate::protocol::error::Result;
use crate::protocol::session::Session;
use crate::task::TaskName;

/// The file of this clone's own state that holds the output of the last verification.
const LOG: &str = "verify.log";

/// Finished work that breaks the verification of the target.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejected {
    /// Its completed claim.
    pub claim: Claim,
    /// The branch.
    pub target: String,
    /// How the command ended, for people.
    pub how: String,
    /// What it said.
    pub log: Vec<u8>,
}

/// A plan all of which was verified together, and what was left out of it for that.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) plan: Plan,
    pub(super) rejected: Vec<Rejected>,
}

/// Plans and verifies until what is left passes as a whole.
pub(super) fn agree(planner: &Planner<'_>, verifier: &mut Verifier<'_>, memo: &mut Memo) -> Result<Agreed> {
    let mut rejected: Vec<Rejected> = Vec::new();
    let mut names: BTreeSet<TaskName> = BTreeSet::new();
    loop {
        let plan = planner.plan(&names, memo)?;
        let steps = plan.steps();
        let tips: Vec<ObjectId> = steps.iter().map(|(_, tip)| *tip).collect();
        if verifier.is_off() || tips.is_empty() || verifier.passes(plan.tip, tips.len())? {
            return Ok(Agreed { plan, rejected });
        }
        verifier.demand_start(planner.start)?;
        // What passed before need not be asked again: the prefix of an earlier plan is this one's.
        let good = tips.iter().rposition(|tip| verifier.is_known_good(*tip)).map_or(0, |at| at + 1);
        let first = first_bad(good, tips.len(), |count| verifier.passes(tips[count - 1], count))?;
        let (merge, tip) = steps[first - 1];
        let verified = verifier.said(tip);
        names.insert(merge.task.clone());
        rejected.push(Rejected {
            claim: merge.completed.clone(),
            target: planner.target.to_owned(),
            how: verified.how,
            log: verified.log,
        });
    }
}

/// Finds the first of `bad` steps after which it is bad, where it is good after `good` of them and bad after all: by
/// halves. What is returned was seen to be bad itself, and what comes before it to be good.
fn first_bad<E>(
    mut good: usize,
    mut bad: usize,
    mut is_good: impl FnMut(usize) -> std::result::Result<bool, E>,
) -> std::result::Result<usize, E> {
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if is_good(middle)? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok(bad)
}

/// Verifies commits for one collect, each once.
pub(super) struct Verifier<'a> {
    session: &'a Session,
    cancel: &'a Cancel,
    announce: &'a dyn Announce,
    target: String,
    /// Where the target stood.
    start: Option<ObjectId>,
    scratch: Option<(Slot, CloneLock)>,
    known: HashMap<ObjectId, Verified>,
}

impl<'a> Verifier<'a> {
    pub(super) fn new(session: &'a Session, target: &str, cancel: &'a Cancel, announce: &'a dyn Announce) -> Self {
        Self {
            session,
            cancel,
            announce,
            target: target.to_owned(),
            start: None,
            scratch: None,
            known: HashMap::new(),
        }
    }

    /// Says from which tip the next plan grows.
    pub(super) fn starts_from(&mut self, start: ObjectId) {
        self.start = Some(start);
    }

    /// Says whether there is nothing to verify by.
    pub(super) fn is_off(&self) -> bool {
        self.session.config.collect.verify == Verify::None
    }

    fn is_known_good(&self, commit: ObjectId) -> bool {
        self.known.get(&commit).is_some_and(|known| known.verdict == Verdict::Passed)
    }

    /// What was said of a commit that was looked at.
    fn said(&self, commit: ObjectId) -> Verified {
        let unknown = || Verified {
            verdict: Verdict::Failed,
            how: String::new(),
            log: Vec::new(),
            took: std::time::Duration::ZERO,
        };
        self.known.get(&commit).cloned().unwrap_or_else(unknown)
    }

    /// Demands that the tip that the plan started from passes: else what fails above it is nobody's.
    fn demand_start(&mut self, start: ObjectId) -> Result<()> {
        self.passes(start, 0)?;
        let said = self.said(start);
        match said.verdict {
            Verdict::Passed => Ok(()),
            Verdict::NotStarted => {
                Err(self.trouble(&said, |target, how, help| CollectError::NotStarted { target, how, help }))
            }
            _ => Err(CollectError::target_broken(&self.target, &said.how, &self.log()).into()),
        }
    }

    /// Says whether a commit passes; `merges` is how many of this collect it holds. What nobody knows is an error.
    fn passes(&mut self, commit: ObjectId, merges: usize) -> Result<bool> {
        if let Some(known) = self.known.get(&commit) {
            return Ok(known.verdict == Verdict::Passed);
        }
        let retries = self.session.config.collect.verify_retries;
        let mut tried = 0;
        let said = loop {
            let said = self.run(commit)?;
            let again = said.verdict == Verdict::Failed && tried < retries;
            self.announce.happened(&Happened::Verified {
                target: self.target.clone(),
                merges,
                passed: said.verdict == Verdict::Passed,
                again,
                took: said.took,
            });
            if !again {
                break said;
            }
            tried += 1;
        };
        let passed = match said.verdict {
            Verdict::Passed => true,
            Verdict::Failed | Verdict::NotStarted => false,
            Verdict::TimedOut => {
                return Err(self.trouble(&said, |target, how, help| CollectError::TimedOut { target, how, help }));
            }
            Verdict::Killed => {
                return Err(self.trouble(&said, |target, how, help| CollectError::Killed { target, how, help }));
            }
            Verdict::Cancelled => return Err(GitError::Interrupted.into()),
        };
        self.known.insert(commit, said);
        Ok(passed)
    }

    fn run(&mut self, commit: ObjectId) -> Result<Verified> {
        let session = self.session;
        let settings = &session.config.collect;
        if self.scratch.is_none() {
            self.scratch = Some(open_scratch(session)?);
        }
        let Some((slot, _)) = &self.scratch else { return Ok(self.said(commit)) };
        let origin = session.hub.url();
        let keep_ignored = session.config.node_settings(session.node.as_str()).keep_ignored;
        let setup = Setup {
            origin: &origin,
            branch: &self.target,
            base: commit,
            keep_ignored: &keep_ignored,
            by: &session.by,
        };
        let check = Check {
            how: &settings.verify,
            timeout: *settings.verify_timeout,
            variables: vec![
                ("DISPATCH_TARGET", self.target.clone()),
                ("DISPATCH_BASE", self.start.unwrap_or(commit).to_string()),
                ("DISPATCH_COMMIT", commit.to_string()),
                ("DISPATCH_NODE", session.node.to_string()),
            ],
            ambient: &session.ambient,
            mask: &session.mask(),
        };
        let Some(verified) = verify::verify(slot, &session.hub.repo, &setup, &check, self.cancel)? else {
            return Ok(Verified { verdict: Verdict::Passed, ..self.said(commit) });
        };
        persist(&self.log(), &verified.log)?;
        Ok(verified)
    }

    fn log(&self) -> PathBuf {
        self.session.state.path(LOG)
    }

    fn trouble(
        &self,
        said: &Verified,
        error: impl Fn(String, String, String) -> CollectError,
    ) -> crate::protocol::Error {
        let help = format!(
            "no task was rejected, and nothing was merged; {}. See to the command and its surroundings, and collect again",
            output_in(&self.log())
        );
        error(self.target.clone(), said.how.clone(), help).into()
    }
}

/// Takes a scratch clone that no other collect of this clone works in, and ends what a killed one left running there.
fn open_scratch(session: &Session) -> Result<(Slot, CloneLock)> {
    let work_dir = session.work_dir();
    let mut number = 0;
    loop {
        let name = format!("{}{number}", slot::SCRATCH);
        if let Some(lock) = session.state.try_lock_of(&name)? {
            let slot = Slot::named(&work_dir, &name);
            if let Some(record) = SlotRecord::of(&slot) {
                if slot::end_orphans(&slot, &record).unwrap_or(false) {
                    SlotRecord::remove(&slot);
                } else {
                    slot::set_aside(slot.root())?;
                }
            }
            return Ok((slot, lock));
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bad_step_is_found_by_halves() {
        for count in 1..200usize {
            for first in 1..=count {
                let mut asked = Vec::new();
                let found = first_bad(0, count, |at| {
                    asked.push(at);
                    Ok::<bool, ()>(at < first)
                });
                assert_eq!(found, Ok(first));
                let most = count.next_power_of_two().trailing_zeros() as usize;
                assert!(asked.len() <= most, "{count} steps, {} questions", asked.len());
                assert!(!asked.contains(&0) && !asked.contains(&count), "the ends are known");
            }
        }
    }

    #[test]
    fn what_is_named_was_seen_to_be_bad_after_something_good_even_where_it_heals() {
        // Bad after 3, good again after 5, bad at the end: any such edge will do.
        let is_good = |at: usize| at < 3 || (5..8).contains(&at);
        let found = first_bad(0, 10, |at| Ok::<bool, ()>(is_good(at))).unwrap();
        assert!(!is_good(found) && is_good(found - 1), "{found}");
    }
}
