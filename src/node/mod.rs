//! The node: one clone that claims tasks and runs them in its slots.
//!
//! Owns what a node does next (`machine`, pure), the loop that carries it out (`daemon`), and the recovery of what a
//! crashed start left behind. What a claim or a
//! finish is, is `protocol`'s; how work is done, is `executor`'s.

pub mod attempt;
pub mod away;
pub mod daemon;
mod fenced;
pub mod hint;
pub mod liveness;
pub mod machine;
pub mod pool;
pub mod reap;
pub mod recover;
pub mod view;
