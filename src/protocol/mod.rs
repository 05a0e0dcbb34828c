//! The protocol: one file a verb (DESIGN.md 3 to 5). `ls` here reads like the life of a task.
//!
//! Owns what may be done to a task and in which order it is published. It announces what happens and prints nothing.

pub mod announce;
pub mod assign;
pub mod attach;
pub mod base;
pub mod blocked;
pub mod branch;
pub mod bundle;
pub mod cancel;
pub mod chronicle;
pub mod claim;
pub mod collect;
pub mod comment;
pub mod conflicts;
pub mod doctor;
pub mod enqueue;
pub mod error;
pub mod factory;
pub mod finish;
pub mod follow;
pub mod forecast;
pub mod gc;
pub mod hand;
pub mod inbox;
pub mod issue;
pub mod logs;
pub mod nodes;
pub mod notify;
pub mod overview;
pub mod pause;
pub mod pick;
pub mod refusal;
pub mod release;
pub mod repair;
pub mod replace;
pub mod report;
pub mod republish;
pub mod retry;
pub mod schedule;
pub mod seal;
pub mod session;
pub mod setup;
pub mod takeover;
pub mod trust;
pub mod vet;
pub mod wake;
pub mod why;

pub use announce::{Announce, Happened};
pub use error::{Error, Result};
pub use session::Session;
