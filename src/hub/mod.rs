//! The hub: the shared store behind a fleet, a remote or this repository itself.
//!
//! Owns the refs and formats, reading them as one consistent [`snapshot::Snapshot`], and the only two doors through
//! which shared state moves: [`Hub::publish`] and [`Hub::sync`]. It is the only code that knows a ref's name. What a
//! move means for a task, and when to make it, is `protocol`'s.

pub mod ability;
pub mod bundle;
pub mod control;
pub mod error;
pub mod format;
pub mod history;
pub mod layout;
pub mod ledger;
pub mod local;
mod look;
pub mod nodes;
pub mod notes;
pub mod outbox;
pub mod probe;
pub mod publish;
pub mod snapshot;
pub mod sync;

use std::time::Duration;

pub use ability::{Abilities, Words};
pub use error::{Error, Result};
pub use layout::Layout;
pub use publish::{Answer, AtOnce, Edit};

use crate::git::remote::Remote;
use crate::git::{ObjectId, Repo};

/// Where the shared refs live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A remote: the local refs are a mirror of it.
    Remote(Remote),
    /// This repository itself.
    Embedded,
}

/// The shared store, seen from one clone.
#[derive(Clone)]
pub struct Hub {
    /// The clone.
    pub repo: Repo,
    /// Where the shared refs live.
    pub place: Place,
    /// How refs are named.
    pub layout: Layout,
    /// The branch that results go to unless a spec says otherwise.
    pub target: String,
    /// Bounds each conversation with the remote.
    pub deadline: Duration,
    /// What the remote said of itself and of pushes that it refused.
    pub words: Words,
    /// The last reading of all tasks.
    pub memory: ledger::Memory,
}

impl Hub {
    /// Says whether the hub is this repository itself.
    pub const fn is_embedded(&self) -> bool {
        matches!(self.place, Place::Embedded)
    }

    /// What is known of what the hub can do; this repository itself can do everything.
    pub fn abilities(&self) -> Abilities {
        match self.place {
            Place::Remote(_) => self.words.abilities(),
            Place::Embedded => Abilities::default(),
        }
    }

    /// Makes the error that says that the hub does not let this ref be changed, in its own words where it said any.
    pub fn refused(&self, name: impl Into<String>) -> Error {
        Error::Refused { name: name.into(), words: self.words.last() }
    }

    /// Returns the URL or path of the hub as a slot should fetch from it.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Remote(remote) => remote.url.clone(),
            Place::Embedded => self.repo.common_dir().to_string_lossy().into_owned(),
        }
    }

    /// Returns what a shared ref holds, as far as this clone knows.
    pub fn known(&self, name: &str) -> Option<ObjectId> {
        self.repo.ref_value(&self.local_name(name))
    }

    /// Returns the tip of a target branch, as far as this clone knows.
    pub fn target_tip(&self, branch: &str) -> Option<ObjectId> {
        self.known(&Layout::branch_ref(branch))
    }

    /// Lists the target branches that this clone mirrors, the default one first.
    pub fn mirrored_targets(&self) -> Result<Vec<String>> {
        let refs = self.repo.refs_with_prefix(&Layout::mirrored_branch(""))?;
        let named = refs.iter().filter_map(|(name, _)| Layout::branch_mirrored(name)).map(str::to_owned);
        Ok(std::iter::once(self.target.clone()).chain(named.filter(|name| *name != self.target)).collect())
    }

    /// Returns the local ref that mirrors the shared ref `name`. Branches are mirrored apart from the user's own.
    pub fn local_name(&self, name: &str) -> String {
        match (&self.place, name.strip_prefix("refs/heads/")) {
            (Place::Remote(_), Some(branch)) if !self.layout.is_ours(name) => Layout::mirrored_branch(branch),
            _ => name.to_owned(),
        }
    }
}
