//! The words of the domain: names, specs, phases, what may follow what, what is next.
//!
//! Pure values: nothing here reads a clock, a file or a repository.

pub mod attempt;
pub mod blocked;
pub mod event;
pub mod forecast;
pub mod issue;
pub mod name;
pub mod order;
pub mod path;
pub mod phase;
pub mod scope;
pub mod spec;
pub mod text;
pub mod transition;

pub use name::{Name, TaskName};
pub use phase::{Hold, Phase, Reason, State};
