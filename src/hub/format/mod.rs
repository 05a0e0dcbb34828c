//! The formats of what is stored: messages of spec, claim and merge commits (DESIGN.md 2.1, 2.2).
//!
//! Owns writing and reading them, and the version. What is of a newer version, or cannot be read, is an
//! [`Unreadable`]: shown, never guessed at. Note lines are `task::event`'s.

pub mod claim;
pub mod spec;
pub mod trailers;

pub use claim::{BuiltOn, ClaimRecord};
pub use spec::SpecRecord;
pub use trailers::Trailers;

use crate::git::ObjectId;

/// The version of the formats that this program writes; left out of messages while it is 1.
pub const VERSION: u32 = 1;

/// Says why a record is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A trailer that the record needs is missing.
    #[error("has no {0}")]
    Missing(&'static str),
    /// A trailer holds what it cannot hold.
    #[error("has an unreadable {0}")]
    Malformed(&'static str),
    /// The record is of a newer format.
    #[error("is of format version {0}, newer than this program")]
    Newer(u32),
    /// The object is not a commit, or is missing.
    #[error("is not a commit with a record")]
    NotACommit,
}

/// Reads an object id.
fn id(text: &str, key: &'static str) -> Result<ObjectId, Unreadable> {
    ObjectId::from_hex(text.as_bytes()).map_err(|_| Unreadable::Malformed(key))
}

/// Reads the name of a branch: it goes into refspecs, where other text would mean something else.
fn branch(trailers: &Trailers, key: &'static str) -> Result<Option<String>, Unreadable> {
    match trailers.get(key) {
        Some(name) if !crate::task::spec::is_branch(name) => Err(Unreadable::Malformed(key)),
        name => Ok(name.map(str::to_owned)),
    }
}

/// Refuses a record of a newer format.
fn check_version(trailers: &Trailers) -> Result<(), Unreadable> {
    match trailers.get("Dispatch-Format").map(str::parse::<u32>) {
        None | Some(Ok(0..=VERSION)) => Ok(()),
        Some(Ok(newer)) => Err(Unreadable::Newer(newer)),
        Some(Err(_)) => Err(Unreadable::Malformed("Dispatch-Format")),
    }
}
