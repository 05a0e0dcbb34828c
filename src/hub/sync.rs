//! The one door through which the hub is read: a fetch, then one local transaction that moves the mirror (DESIGN.md 3).
//!
//! Owns the judgement of a hub that lost its memory: what is gone without a seal, or went backwards, moves nothing
//! here. The embedded hub needs no sync: its refs are the mirror.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::Result;
use super::local::LocalState;
use super::{Hub, Layout, Place};
use crate::ambient::Ambient;
use crate::git::refs::RefChange;
use crate::git::remote::Remote;
use crate::git::{Error as GitError, ObjectId};

/// What this clone remembers of the hub between commands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remembered {
    /// The hub that the mirror is of.
    pub url: String,
    /// When it was last read.
    pub synced_at: Option<Timestamp>,
    /// Refs that were gone without a seal at the last sync: once may be a matter of timing, twice is not.
    pub missing: BTreeSet<String>,
    /// The remote's default branch, as it said when first asked.
    pub default_branch: Option<String>,
    /// How many refs of the mirror were moved since all refs were packed last.
    pub loose: usize,
}

/// From so many moved refs on they are packed: reading as many files costs more, here and in git, at every look.
const WORTH_PACKING: usize = 300;

/// How often a fetch is tried where the hub answers: once more without the branches that are missing, and once more
/// after another process, or what a killed one left, has got out of the way.
const FETCHES: u32 = 3;

/// How many of the refs that are gone are named.
const FEW: usize = 5;

/// What a sync found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// When.
    pub at: Timestamp,
    /// What the hub no longer has, where it lost its memory; then nothing was moved here.
    pub memory_lost: Option<String>,
    /// Whether anything had changed on it.
    pub has_moved: bool,
}

impl Hub {
    /// Reads the hub and moves the mirror. `branches` are target branches beside the default one.
    pub fn sync(&self, state: &LocalState, ambient: &Ambient, branches: &[String]) -> Result<Synced> {
        let at = ambient.now();
        let Place::Remote(remote) = &self.place else {
            return Ok(Synced { at, memory_lost: None, has_moved: true });
        };
        // One sync of this clone at a time: one that began earlier and ended later would look like a hub that went back.
        let _lock = state.lock_mirror(self.deadline)?;
        // Likewise what another command publishes while we fetch is newer than what arrives.
        let mirror = self.read_mirror()?;
        let mut remembered: Remembered = state.read("hub.json")?.unwrap_or_default();
        let mut fetched = self.fetch_all(remote, branches)?;
        let mut arrived = self.read_arrivals()?;
        let mut judged = Judgement::new(self, &mirror, &arrived, &remembered.missing);
        if judged.lost.is_empty() && self.is_chain_missing(&judged) {
            // Nobody ever deletes these: a second look need not wait for the next sync, which may be a claim later.
            fetched = self.fetch_all(remote, branches)?;
            arrived = self.read_arrivals()?;
            judged = Judgement::new(self, &mirror, &arrived, &judged.missing);
        }
        remembered.missing.clone_from(&judged.missing);
        let memory_lost = (!judged.lost.is_empty()).then(|| named(&judged.lost));
        let mut moved = 0;
        if memory_lost.is_none() {
            moved = self.move_whole_mirror(&mirror, &arrived, &judged, &fetched);
        }
        remembered.loose += moved;
        if remembered.loose >= WORTH_PACKING {
            // Where it fails, they are read as they are.
            let _ = self.repo.pack_refs();
            remembered.loose = 0;
        }
        if moved > 0 {
            let _ = self.repo.gather_packs();
        }
        remembered.url = remote.url.clone();
        remembered.synced_at = Some(at);
        state.note("hub.json", &remembered)?;
        // An emptied hub has no target either.
        if memory_lost.is_none() && !fetched.contains(&self.target) {
            return Err(GitError::NoTarget { branch: self.target.clone() }.into());
        }
        Ok(Synced { at, memory_lost, has_moved: moved > 0 })
    }

    fn is_chain_missing(&self, judged: &Judgement) -> bool {
        [self.layout.queue(), self.layout.sealed()].iter().any(|name| judged.missing.contains(name))
    }

    /// Reads what stands on the hub into the arrivals and leaves the mirror as it is, whatever the hub has forgotten: for
    /// whoever gives it back. Returns what it has, by name; of branches those given and the target.
    pub fn fetch_apart(&self, state: &LocalState, branches: &[String]) -> Result<BTreeMap<String, ObjectId>> {
        let Place::Remote(remote) = &self.place else { return Ok(BTreeMap::new()) };
        let _lock = state.lock_mirror(self.deadline)?;
        let fetched: BTreeSet<String> =
            self.fetch_all(remote, branches)?.iter().map(|branch| Layout::branch_ref(branch)).collect();
        let mut found = self.read_arrivals()?;
        found.retain(|name, _| self.layout.is_mirrored(name) || fetched.contains(name));
        Ok(found)
    }

    /// Fetches the shared refs and the target branches into the arrivals; returns the branches that the hub has.
    fn fetch_all(&self, remote: &Remote, branches: &[String]) -> Result<BTreeSet<String>> {
        let mut targets: BTreeSet<&str> =
            branches.iter().map(String::as_str).chain(std::iter::once(self.target.as_str())).collect();
        for turn in 0..FETCHES {
            let named = targets.iter().map(|branch| Layout::branch_ref(branch));
            let refspecs: Vec<String> = self
                .layout
                .mirrored()
                .into_iter()
                .chain(named)
                .map(|name| format!("+{name}:{}", Layout::arrival(&name)))
                .collect();
            // One ref that cannot move keeps all others back at the first try alone.
            let Err(error) = self.repo.fetch(remote, &refspecs, turn == 0, self.deadline) else {
                return Ok(targets.into_iter().map(str::to_owned).collect());
            };
            if !error.is_unreachable() || turn + 1 == FETCHES {
                return Err(error.into());
            }
            // The hub may answer well, and something in the way of its refs here be the cause. An exact refspec that
            // matches nothing fails the whole fetch: ask which branch is missing.
            let names: Vec<String> = targets.iter().map(|branch| Layout::branch_ref(branch)).collect();
            let prefixes = [names.clone(), self.layout.mirror_prefixes()].concat();
            let Ok(there) = self.repo.ls_remote_below(remote, &prefixes, self.deadline) else {
                return Err(error.into());
            };
            // A file that a crash left empty: no fetch gets past it.
            if let Some((name, _)) = there.iter().find(|(_, id)| id.is_null()) {
                return Err(super::Error::BrokenRef { name: name.clone() });
            }
            targets.retain(|branch| there.iter().any(|(known, _)| *known == Layout::branch_ref(branch)));
            // One spec's target that is not there stops nothing but its task.
            let target = Layout::branch_ref(&self.target);
            for gone in names.iter().filter(|name| !there.iter().any(|(known, _)| known == *name)) {
                // Of a hub that lost its target this clone's mirror of it may be the last copy.
                if *gone == target {
                    continue;
                }
                let mirrored = self.local_name(gone);
                if let Some(old) = self.repo.ref_value(&mirrored) {
                    self.repo.change_refs(&[RefChange::new(mirrored, Some(old), None)], "git dispatch: gone")?;
                }
            }
            self.repo.await_locks_below(Layout::local())?;
        }
        Ok(BTreeSet::new())
    }

    fn read_arrivals(&self) -> Result<BTreeMap<String, ObjectId>> {
        let arrived = self.repo.refs_with_prefix(&Layout::arrivals())?;
        Ok(arrived.into_iter().filter_map(|(name, id)| Some((Layout::departed(&name)?, id))).collect())
    }

    pub(super) fn read_mirror(&self) -> Result<BTreeMap<String, ObjectId>> {
        let mut mirror = BTreeMap::new();
        for prefix in self.layout.mirror_prefixes() {
            mirror.extend(self.repo.refs_with_prefix(&prefix)?);
        }
        Ok(mirror)
    }

    /// Moves the mirror to what arrived, that of the branches fetched with it; returns how many refs that were.
    fn move_whole_mirror(
        &self,
        mirror: &BTreeMap<String, ObjectId>,
        arrived: &BTreeMap<String, ObjectId>,
        judged: &Judgement,
        fetched: &BTreeSet<String>,
    ) -> usize {
        let mut changes = Vec::new();
        for (name, id) in arrived {
            let old = mirror.get(name).copied();
            // Logs are fetched one by one when asked for, and arrive under the same prefix.
            if old != Some(*id) && self.layout.is_mirrored(name) {
                changes.push(RefChange::new(name.as_str(), old, Some(*id)));
            }
        }
        for (name, id) in mirror {
            if !arrived.contains_key(name) && !judged.missing.contains(name) {
                changes.push(RefChange::new(name.as_str(), Some(*id), None));
            }
        }
        for branch in fetched {
            let (name, here) = (Layout::branch_ref(branch), Layout::mirrored_branch(branch));
            let old = self.repo.ref_value(&here);
            if let Some(id) = arrived.get(&name).filter(|id| old != Some(**id)) {
                changes.push(RefChange::new(here, old, Some(*id)));
            }
        }
        if self.repo.change_own_refs(&changes, "git dispatch: sync").is_err() {
            // Another command of this clone moved the mirror meanwhile; one by one, what is still as seen follows.
            for change in &changes {
                let _ = self.repo.change_refs(std::slice::from_ref(change), "git dispatch: sync");
            }
        }
        changes.len()
    }
}

/// What the difference between mirror and arrivals says of the hub's memory.
struct Judgement {
    lost: Vec<String>,
    missing: BTreeSet<String>,
}

impl Judgement {
    fn new(
        hub: &Hub,
        mirror: &BTreeMap<String, ObjectId>,
        arrived: &BTreeMap<String, ObjectId>,
        missing_before: &BTreeSet<String>,
    ) -> Self {
        let mut judged = Self { lost: Vec::new(), missing: BTreeSet::new() };
        let seals = arrived.get(&hub.layout.sealed());
        let has_seal = |spec| seals.is_some_and(|tip| hub.repo.note(*tip, spec).is_some());
        for (name, old) in mirror {
            let is_chain = *name == hub.layout.queue() || *name == hub.layout.sealed();
            let claim = hub.layout.task_of_claim(name);
            if !is_chain && claim.is_none() {
                continue;
            }
            match arrived.get(name) {
                Some(new) if new == old => {}
                Some(new) => {
                    let went_back =
                        if is_chain { !hub.repo.is_ancestor(*old, *new) } else { hub.repo.is_ancestor(*new, *old) };
                    if went_back {
                        judged.lost.push(name.clone());
                    }
                }
                None => {
                    let spec = hub.repo.commit(*old).and_then(|commit| {
                        super::format::ClaimRecord::parse(&commit.message).ok().map(|record| record.spec)
                    });
                    let is_sealed = spec.is_some_and(has_seal);
                    // Rubbish under a claim's name was nobody's record: it may be removed by hand.
                    let is_rubbish = !is_chain && spec.is_none();
                    if is_sealed || is_rubbish {
                        continue;
                    }
                    if missing_before.contains(name) {
                        judged.lost.push(name.clone());
                    }
                    judged.missing.insert(name.clone());
                }
            }
        }
        judged
    }
}

/// Names a few of the refs, and says how many more there are: of a hub that was emptied it is all of them.
fn named(lost: &[String]) -> String {
    let few = lost[..lost.len().min(FEW)].join(", ");
    match lost.len().saturating_sub(FEW) {
        0 => few,
        more => format!("{few} and {more} more"),
    }
}
