//! `git dispatch` turns a git remote into the queue, the lock service, the status board and the result store of a
//! fleet of workers.
//!
//! # The flow
//!
//! ```text
//!  spec.md ──enqueue──▶ refs/dispatch/queue ─────────────┐
//!                                                        ▼
//!        ┌──────────── refs/dispatch/claims/p/S01 ◀──claim── node
//!        │   (a chain: its tip is the task's phase)          │ slot: a clone that shares objects
//!        │                                                   ▼
//!        │                                               executor
//!        │                                                   │
//!        ◀───────────────finish (one push)───────────────────┘
//!        │            claim + result, branch, notes
//!        ▼
//!     collect ──▶ refs/heads/main   two-parent merges, in order
//!        │
//!        └─seal─▶ refs/notes/dispatch-sealed, then the claim ref is deleted
//! ```
//!
//! Everything that is shared is a ref on the hub (a remote, or this repository itself), moved by compare-and-swap
//! through one door, [`hub::Hub::publish`], and read through one other, [`hub::Hub::sync`]. [`hub::layout`] is the map of
//! refs, [`hub::format`] what they hold, [`hub::snapshot`] the rule which of them says what.
//!
//! # The floors
//!
//! A floor uses those above it in this list, never those below; within the third, `protocol` uses `executor` and `node`
//! uses both. `tests/architecture.rs` checks it.
//!
//! | floor | modules | knows |
//! | --- | --- | --- |
//! | 0 words | [`ambient`], [`task`], [`fail`] | pure values; where tests make us die |
//! | 1 tools | [`exec`], [`git`], [`config`], [`secrets`] | git, processes, files, what looks like a secret; not what a task is |
//! | 2 hub | [`hub`] | tasks ↔ refs and notes |
//! | 3 protocol | [`executor`], [`protocol`], [`node`] | what may be done to a task, and in which order |
//! | 4 face | [`ui`], [`commands`], [`cli`], [`exit`] | people and scripts |
//!
//! The core announces what happens ([`protocol::announce`]); the face renders it. Errors live beside their code; the exit
//! code is decided once, in [`exit`].

pub mod ambient;
pub mod cli;
pub mod commands;
pub mod config;
pub mod exec;
pub mod executor;
pub mod exit;
pub mod fail;
pub mod git;
pub mod hub;
pub mod node;
pub mod protocol;
pub mod secrets;
pub mod task;
pub mod ui;
