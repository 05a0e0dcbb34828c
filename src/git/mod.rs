//! git: the one door to git(1), and gix for objects and local refs.
//!
//! Owns how a repository is opened, read and written, and how a remote is spoken to. Knows nothing of tasks: names of
//! refs, formats of messages and what a value means belong to `hub`.

pub mod address;
pub mod bundle;
mod created;
pub mod diff;
pub mod error;
pub mod fit;
mod http;
pub mod introduced;
pub mod locks;
pub mod memory;
pub mod merge;
pub mod notes;
pub mod objects;
mod packed;
pub mod partial;
pub mod porcelain;
pub mod process;
pub mod refs;
pub mod remote;
pub mod repo;
pub mod signature;
mod ssh;
mod staged;
mod tables;
pub mod worktree;

pub use error::{Error, Result};
pub use gix::ObjectId;
pub use objects::Commit;
pub use process::Git;
pub use repo::Repo;

/// A map by object id, which needs no further mixing.
pub type IdMap<V> = gix::hashtable::HashMap<ObjectId, V>;
