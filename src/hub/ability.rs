//! What a remote can do: remembered in this clone, by the remote's address.
//!
//! Owns what is known and for how long: what `doctor --probe` found by trying holds until it is tried again; what was
//! learned from refusals on the way holds for a day, since a refusal may also have been a passing fault; that nothing can be
//! deleted, for this process alone. It is a cache: without it each push finds its way again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::local::LocalState;
use crate::ambient::Ambient;

/// Where it is kept.
const FILE: &str = "remotes.json";

/// How long a refusal is believed.
const BELIEVED: SignedDuration = SignedDuration::from_hours(24);

/// How often the same must be seen before it is learned: a busy lock looks the same once.
const SIGHTINGS: u32 = 2;

/// What a remote can do; `None`: nobody has tried.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Abilities {
    /// It takes refs below our prefix.
    pub prefix: Option<bool>,
    /// It takes a change only where the ref holds what is expected.
    pub swap: Option<bool>,
    /// It takes several refs all or none.
    pub atomic: Option<bool>,
    /// It lets our refs be deleted.
    pub deletes: Option<bool>,
    /// It lets a ref of ours be replaced by what does not descend from it.
    pub rewinds: Option<bool>,
    /// It takes refs where `git log --notes` looks, or where the prefix puts them.
    pub notes: Option<bool>,
    /// It takes task branches.
    pub branches: Option<bool>,
    /// It lets task branches be deleted.
    pub branch_deletes: Option<bool>,
    /// How many refs it takes in one push, where that is bounded.
    pub refs_per_push: Option<usize>,
}

impl Abilities {
    fn over(self, other: Self) -> Self {
        Self {
            prefix: self.prefix.or(other.prefix),
            swap: self.swap.or(other.swap),
            atomic: self.atomic.or(other.atomic),
            deletes: self.deletes.or(other.deletes),
            rewinds: self.rewinds.or(other.rewinds),
            notes: self.notes.or(other.notes),
            branches: self.branches.or(other.branches),
            branch_deletes: self.branch_deletes.or(other.branch_deletes),
            refs_per_push: self.refs_per_push.into_iter().chain(other.refs_per_push).min(),
        }
    }
}

/// What is kept of one remote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    probed_at: Option<Timestamp>,
    probed: Abilities,
    learned_at: Option<Timestamp>,
    learned: Abilities,
}

/// Something that a refusal may teach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lesson {
    /// No atomic pushes.
    NoAtomic,
    /// No deletions of our refs.
    NoDeletes,
    /// No deletions of task branches.
    NoBranchDeletes,
    /// No replacing by what does not descend.
    NoRewinds,
    /// No more refs in one push than so many.
    AtMost(usize),
}

/// What a remote said of itself, shared by the clones of a [`super::Hub`].
#[derive(Debug, Clone, Default)]
pub struct Words(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    /// For people, when it last refused.
    refusal: Option<String>,
    record: Record,
    /// How often each was seen in this process, while it was not yet learned.
    sightings: BTreeMap<Lesson, u32>,
    /// The most refs that this process saw it take in one push.
    taken: usize,
    home: Option<Home>,
}

/// Where the record is kept.
#[derive(Debug)]
struct Home {
    state: LocalState,
    ambient: Ambient,
    url: String,
}

impl Words {
    /// Takes up what this clone remembers of the remote at `url`. A record that cannot be read counts as none.
    pub fn of(state: &LocalState, ambient: &Ambient, url: &str) -> Self {
        let all: BTreeMap<String, Record> = state.read(FILE).ok().flatten().unwrap_or_default();
        let mut record = all.get(url).cloned().unwrap_or_default();
        let is_stale = record.learned_at.is_none_or(|at| ambient.now().duration_since(at) > BELIEVED);
        if is_stale {
            record.learned = Abilities::default();
        }
        let home = Home { state: state.clone(), ambient: ambient.clone(), url: url.to_owned() };
        Self(Arc::new(Mutex::new(Said { record, home: Some(home), ..Said::default() })))
    }

    fn with<T>(&self, what: impl FnOnce(&mut Said) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn heard(&self, words: String) {
        self.with(|said| said.refusal = Some(words));
    }

    pub(super) fn last(&self) -> Option<String> {
        self.with(|said| said.refusal.clone())
    }

    /// What is known of the remote now.
    pub fn abilities(&self) -> Abilities {
        self.with(|said| said.record.learned.clone().over(said.record.probed.clone()))
    }

    /// When it was last tried on purpose.
    pub fn probed_at(&self) -> Option<Timestamp> {
        self.with(|said| said.record.probed_at)
    }

    /// Notes that a push of so many refs was taken.
    pub(super) fn took(&self, refs: usize) {
        self.with(|said| said.taken = said.taken.max(refs));
    }

    /// Says whether this process saw a push of so many refs taken: then their number was not the cause of a refusal.
    pub(super) fn has_taken(&self, refs: usize) -> bool {
        self.with(|said| said.taken >= refs)
    }

    /// Takes in what was seen once; it is believed, and remembered, once it was seen again.
    pub(super) fn saw(&self, lesson: Lesson) {
        let is_enough = self.with(|said| {
            let kind = if let Lesson::AtMost(_) = lesson { Lesson::AtMost(0) } else { lesson };
            let seen = said.sightings.entry(kind).or_default();
            *seen += 1;
            *seen >= SIGHTINGS
        });
        if is_enough {
            self.learn(lesson);
        }
    }

    /// Remembers what there is no doubt about.
    pub(super) fn learn(&self, lesson: Lesson) {
        self.with(|said| {
            let learned = &mut said.record.learned;
            match lesson {
                Lesson::NoAtomic => learned.atomic = Some(false),
                Lesson::NoDeletes => learned.deletes = Some(false),
                Lesson::NoBranchDeletes => learned.branch_deletes = Some(false),
                Lesson::NoRewinds => learned.rewinds = Some(false),
                Lesson::AtMost(refs) => {
                    learned.refs_per_push = learned.refs_per_push.into_iter().chain([refs.max(1)]).min();
                }
            }
            said.record.learned_at = said.home.as_ref().map(|home| home.ambient.now());
            said.keep();
        });
    }

    /// Remembers what was found by trying; what was learned before it counts no more.
    pub(super) fn probed(&self, abilities: Abilities) {
        self.with(|said| {
            let probed_at = said.home.as_ref().map(|home| home.ambient.now());
            said.record = Record { probed: abilities, probed_at, ..Record::default() };
            said.keep();
        });
    }
}

impl Said {
    /// Writes the record down. It is a cache: a disk that takes nothing now costs some pushes later.
    fn keep(&self) {
        let Some(home) = &self.home else { return };
        let mut all: BTreeMap<String, Record> = home.state.read(FILE).ok().flatten().unwrap_or_default();
        let mut record = self.record.clone();
        // A rule against deleting is often one for a while, and what stays meanwhile is cleaned up once it is gone.
        (record.learned.deletes, record.learned.branch_deletes) = (None, None);
        all.insert(home.url.clone(), record);
        let _ = home.state.write(FILE, &all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(folder: &std::path::Path, second: u64) -> Words {
        let ambient = Ambient::fixed(second);
        Words::of(&LocalState::open(folder, &ambient).unwrap(), &ambient, "hub")
    }

    #[test]
    fn what_is_seen_twice_is_remembered_for_a_day_and_what_was_tried_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let first = words(folder.path(), 1_000_000);
        first.saw(Lesson::NoRewinds);
        assert_eq!(first.abilities(), Abilities::default(), "once may be a busy lock");
        first.saw(Lesson::NoRewinds);
        first.learn(Lesson::NoDeletes);
        assert_eq!(first.abilities().deletes, Some(false));
        first.learn(Lesson::AtMost(7));
        first.learn(Lesson::AtMost(5));
        let later = words(folder.path(), 1_000_060).abilities();
        assert_eq!((later.deletes, later.rewinds, later.refs_per_push), (None, Some(false), Some(5)));
        assert_eq!(words(folder.path(), 1_000_000 + 90_000).abilities(), Abilities::default());
        first.probed(Abilities { deletes: Some(true), refs_per_push: Some(9), ..Abilities::default() });
        let probed = words(folder.path(), 9_000_000).abilities();
        assert_eq!((probed.deletes, probed.refs_per_push, probed.atomic), (Some(true), Some(9), None));
    }

    #[test]
    fn each_remote_has_its_own_record() {
        let folder = tempfile::tempdir().unwrap();
        let ambient = Ambient::fixed(1_000_000);
        let state = LocalState::open(folder.path(), &ambient).unwrap();
        Words::of(&state, &ambient, "one").learn(Lesson::NoAtomic);
        Words::of(&state, &ambient, "other").learn(Lesson::NoRewinds);
        let one = Words::of(&state, &ambient, "one").abilities();
        assert_eq!((one.atomic, one.rewinds), (Some(false), None));
    }
}
