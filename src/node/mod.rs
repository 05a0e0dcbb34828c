//! The node: one clone that claims tasks and runs them in its slots.
//!
//! Owns the loop that supervises the slots, and the recovery of what a crashed start left behind. What a claim or a
//! finish is, is `protocol`'s; how work is done, is `executor`'s.

pub mod attempt;
pub mod recover;
pub mod runner;
