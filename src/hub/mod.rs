//! The hub: the shared store behind a fleet, a remote or this repository itself.
//!
//! Owns the refs and formats, reading them as one consistent [`snapshot::Snapshot`], and the only two doors through
//! which shared state moves: [`Hub::publish`] and [`Hub::sync`]. It is the only code that knows a ref's name. What a
//! move means for a task, and when to make it, is `protocol`'s.

pub mod bundle;
pub mod control;
pub mod error;
pub mod format;
pub mod history;
pub mod layout;
pub mod local;
pub mod nodes;
pub mod notes;
pub mod outbox;
pub mod publish;
pub mod snapshot;
pub mod sync;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use error::{Error, Result};
pub use layout::Layout;
pub use publish::{Answer, Edit};

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
}

/// What a remote said, shared by the clones of a [`Hub`].
#[derive(Debug, Clone, Default)]
pub struct Words(Arc<Mutex<Said>>);

#[derive(Debug, Default)]
struct Said {
    /// For people, when it last refused.
    refusal: Option<String>,
    /// That it takes no atomic pushes.
    is_without_atomic: bool,
}

impl Words {
    fn heard(&self, words: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refusal = Some(words);
    }

    fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).refusal.clone()
    }

    fn heard_without_atomic(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_without_atomic = true;
    }

    fn is_without_atomic(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_without_atomic
    }
}

impl Hub {
    /// Says whether the hub is this repository itself.
    pub const fn is_embedded(&self) -> bool {
        matches!(self.place, Place::Embedded)
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

    /// Returns the local ref that mirrors the shared ref `name`. Branches are mirrored apart from the user's own.
    pub fn local_name(&self, name: &str) -> String {
        match (&self.place, name.strip_prefix("refs/heads/")) {
            (Place::Remote(_), Some(branch)) if !self.layout.is_ours(name) => Layout::mirrored_branch(branch),
            _ => name.to_owned(),
        }
    }
}
