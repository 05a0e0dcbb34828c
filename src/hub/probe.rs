//! What a remote can do, found out by trying on refs of our own (DESIGN.md 3, "Servers").
//!
//! Owns the scratch refs: they bear this clone's id, so that what a killed probe left is known for what it is, and is
//! removed by the next. Nothing else on the hub is touched.

use std::collections::BTreeMap;

use super::ability::Abilities;
use super::error::Result;
use super::{Answer, Edit, Hub, Layout, Place};
use crate::ambient::Ambient;
use crate::git::ObjectId;
use crate::git::objects::NewCommit;
use crate::git::remote::Remote;
use crate::git::repo::Identity;

/// The most refs that are tried in one push: no push of ours is larger.
const MOST: usize = 300;

/// The most where they cannot be removed again.
const FEW: usize = 8;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// What the remote can do.
    pub abilities: Abilities,
    /// Scratch refs that could not be removed.
    pub left: Vec<String>,
}

/// Who probes, and as whom.
#[derive(Debug, Clone, Copy)]
pub struct Prober<'a> {
    /// The clone's id, which its scratch refs bear.
    pub clone_id: &'a str,
    /// Who commits.
    pub by: &'a Identity,
    /// Clock and randomness.
    pub ambient: &'a Ambient,
}

struct Probe<'a> {
    hub: &'a Hub,
    remote: &'a Remote,
    prober: Prober<'a>,
    there: BTreeMap<String, ObjectId>,
    found: Abilities,
}

impl Hub {
    /// Finds out what the remote can do, remembers it, and removes what it made. `None` where there is no remote.
    pub fn probe(&self, prober: Prober<'_>) -> Result<Option<Probed>> {
        let Place::Remote(remote) = &self.place else { return Ok(None) };
        let there = BTreeMap::new();
        let mut probe = Probe { hub: self, remote, prober, there, found: Abilities::default() };
        probe.look()?;
        let tried = probe.try_all();
        let left = probe.clean_up(probe.found.refs_per_push.unwrap_or(MOST));
        tried?;
        self.words.probed(probe.found.clone());
        Ok(Some(Probed { abilities: probe.found, left: left? }))
    }

    /// Removes the scratch refs that a probe of this clone left; returns those removed, and those that stay.
    pub fn remove_scratch(&self, prober: Prober<'_>) -> Result<(Vec<String>, Vec<String>)> {
        let Place::Remote(remote) = &self.place else { return Ok(Default::default()) };
        let (there, found) = (BTreeMap::new(), Abilities::default());
        let mut probe = Probe { hub: self, remote, prober, there, found };
        probe.look()?;
        let names: Vec<String> = probe.there.keys().cloned().collect();
        if names.is_empty() || self.abilities().deletes == Some(false) {
            return Ok((Vec::new(), names));
        }
        let left = probe.clean_up(self.abilities().refs_per_push.unwrap_or(MOST))?;
        Ok((names.into_iter().filter(|name| !left.contains(name)).collect(), left))
    }
}

impl Probe<'_> {
    fn look(&mut self) -> Result<()> {
        let layout = &self.hub.layout;
        let id = self.prober.clone_id;
        let prefixes =
            [layout.scratch(id), layout.scratch_notes(id), Layout::branch_ref(&layout.scratch_branch(id))];
        self.there = self.hub.list(&prefixes)?.into_iter().collect();
        Ok(())
    }

    fn commit(&self, parent: Option<ObjectId>) -> Result<ObjectId> {
        let repo = &self.hub.repo;
        let nonce = self.prober.ambient.nonce().map_err(super::Error::Random)?;
        let parents: Vec<ObjectId> = parent.into_iter().collect();
        Ok(repo.write_commit(&NewCommit {
            tree: repo.write_tree(&[])?,
            parents: &parents,
            message: &format!("Scratch of git dispatch doctor --probe\n\nDispatch-Nonce: {nonce}\n"),
            by: self.prober.by,
            at: self.prober.ambient.now(),
        })?)
    }

    /// Pushes, and says of each whether it was taken.
    fn push(&mut self, edits: &[Edit], atomic: bool) -> Result<Vec<bool>> {
        let mut answers =
            self.hub.push(self.remote, edits, atomic)?.unwrap_or_else(|| vec![Answer::Unknown; edits.len()]);
        self.hub.settle(edits, &mut answers)?;
        for (edit, answer) in edits.iter().zip(&answers) {
            let now = match answer {
                Answer::Yes => edit.new,
                Answer::No { now } => *now,
                Answer::Unknown => continue,
            };
            match now {
                Some(id) => self.there.insert(edit.name.clone(), id),
                None => self.there.remove(&edit.name),
            };
        }
        Ok(answers.iter().map(Answer::is_yes).collect())
    }

    fn put(&mut self, name: &str, new: Option<ObjectId>) -> Result<bool> {
        let edit = Edit::new(name, self.there.get(name).copied(), new);
        Ok(self.push(&[edit], false)?[0])
    }

    /// Makes a commit that a ref can be moved to without going back, and moves it there.
    fn advance(&mut self, name: &str) -> Result<bool> {
        if self.there.contains_key(name) {
            self.hub.fetch_unmirrored(&[name.to_owned()])?;
        }
        let next = self.commit(self.there.get(name).copied())?;
        self.put(name, Some(next))
    }

    fn try_all(&mut self) -> Result<()> {
        let id = self.prober.clone_id;
        let first = self.name(0);
        let notes = self.hub.layout.scratch_notes(id);
        let branch = Layout::branch_ref(&self.hub.layout.scratch_branch(id));
        self.found.prefix = Some(self.advance(&first)?);
        self.found.notes = Some(self.advance(&notes)?);
        self.found.branches = Some(self.advance(&branch)?);
        if self.found.branches == Some(true) {
            let orphan = self.commit(None)?;
            self.found.rewinds = Some(self.put(&branch, Some(orphan))?);
            self.found.branch_deletes = Some(self.put(&branch, None)?);
        }
        if self.found.prefix != Some(true) {
            return Ok(());
        }
        self.found.swap = Some(self.swaps(&first)?);
        let orphan = self.commit(None)?;
        let rewinds = self.put(&first, Some(orphan))?;
        self.found.rewinds = Some(rewinds && self.found.rewinds != Some(false));
        self.found.atomic = Some(self.is_atomic()?);
        let deletes = self.put(&first, None)?;
        self.found.deletes = Some(deletes);
        self.found.refs_per_push = self.bound(if deletes { MOST } else { FEW })?;
        Ok(())
    }

    /// A change that expects something else than what is there must not be made, and one that expects it must be.
    fn swaps(&mut self, name: &str) -> Result<bool> {
        let now = self.there.get(name).copied();
        let wrong = Edit::new(name, Some(self.commit(None)?), Some(self.commit(now)?));
        let is_fooled = self.push(&[wrong], false)?[0];
        Ok(!is_fooled && self.there.get(name).copied() == now && self.advance(name)?)
    }

    fn is_atomic(&mut self) -> Result<bool> {
        let mut edits = Vec::new();
        for at in 0..2 {
            let name = self.name(at);
            let now = self.there.get(&name).copied();
            edits.push(Edit::new(name, now, Some(self.commit(now.filter(|id| self.hub.repo.has(*id)))?)));
        }
        let taken = match self.push(&edits, true) {
            Ok(taken) => taken.into_iter().all(|taken| taken),
            Err(error) if error.is_unreachable() => false,
            Err(error) => return Err(error),
        };
        Ok(taken && !self.hub.repo.is_without_atomic(self.remote, &edits[0], self.hub.deadline)?)
    }

    /// Finds how many refs it takes in one push; `None` where that is as many as are ever pushed.
    fn bound(&mut self, most: usize) -> Result<Option<usize>> {
        if self.takes(most)? {
            return Ok(None);
        }
        let (mut taken, mut refused) = (1, most);
        while refused - taken > 1 {
            let next = (taken + refused) / 2;
            match self.takes(next)? {
                true => taken = next,
                false => refused = next,
            }
        }
        Ok(Some(taken))
    }

    fn takes(&mut self, refs: usize) -> Result<bool> {
        let mut edits = Vec::with_capacity(refs);
        let first = self.commit(None)?;
        for at in 0..refs {
            let name = self.name(at);
            let now = self.there.get(&name).copied();
            if now.is_some_and(|id| !self.hub.repo.has(id)) {
                self.hub.fetch_unmirrored(std::slice::from_ref(&name))?;
            }
            let next = if now.is_some() { self.commit(now)? } else { first };
            edits.push(Edit::new(name, now, Some(next)));
        }
        Ok(self.push(&edits, false)?.into_iter().all(|taken| taken))
    }

    /// Removes what is there, as many at once as the hub takes; returns what stays.
    fn clean_up(&mut self, at_once: usize) -> Result<Vec<String>> {
        let edits: Vec<Edit> =
            self.there.iter().map(|(name, id)| Edit::new(name.clone(), Some(*id), None)).collect();
        if self.found.deletes != Some(false) {
            for part in edits.chunks(at_once.max(1)) {
                self.push(part, false)?;
            }
        }
        // One of a kind that stays may have kept others.
        let rest: Vec<Edit> =
            self.there.iter().take(FEW).map(|(name, id)| Edit::new(name.clone(), Some(*id), None)).collect();
        for edit in rest {
            self.push(&[edit], false)?;
        }
        Ok(self.there.keys().cloned().collect())
    }

    fn name(&self, at: usize) -> String {
        format!("{}{at}", self.hub.layout.scratch(self.prober.clone_id))
    }
}
