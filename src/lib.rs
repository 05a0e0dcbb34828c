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
//! # How cost grows
//!
//! What reading the queue costs follows what has changed since the last reading ([`hub::ledger`]); what the hub is asked for
//! follows the table, which `tests/cli/counts.rs` asserts.
//!
//! | | pushes | fetches |
//! | --- | --- | --- |
//! | a batch of specs, whatever its size | 1 | 0; 1 where the queue has moved since this clone read it |
//! | claiming by hand, of as many tasks as are asked for | 1 | 1; 2 where something has moved |
//! | finishing by hand | 1 | 0; 1 where the claim has moved |
//! | claiming, of as many tasks as there are free slots | 1 | 1, after the poll that found them |
//! | an attempt's end | 1 | 0 |
//! | a collect, of as many tasks as are done | 3 | 2 |
//! | a node, an hour, at rest | at most 60 beats, together 1,800 in the fleet | 60 (`node.poll_max`) to 720 (`node.poll`) |
//!
//! On the hub there is one ref for each task that runs (its claim), two once it is done (its branch), none when it is sealed;
//! up to three for each node (record, notes, logs) and five for all. A push downloads the names of all of them, about 90 bytes
//! each: with 200 nodes of four slots and 200 results that wait for a collect that is 1,800 refs, or 160 kB a push. A result's
//! objects come to every clone once, with its claim, before it is merged: `n` clones download it `n` times.
//!
//! So `n` nodes that claim `k` tasks at once and end `t` tasks an hour each push `n × t × (1 + 1/k)` times an hour, and beats
//! come on top: `min(60 × n, 60 × max_beats_per_minute)`, less those that ride on other pushes. A hub that takes 30 pushes a
//! minute takes 1,800 an hour, which is what beats alone may be: with `max_beats_per_minute = 6` there is room for 1,440, that
//! is 720 tasks an hour claimed singly or 1,150 claimed by fours. One that takes 100 a second carries 180,000 tasks an
//! hour claimed singly; what ends it before is the queue, the one ref that all enqueuers share (31 pushes a second with random
//! waiting: batches), and the seals, which all collectors share.
//!
//! When it is too much, in this order: `max_beats_per_minute` down (a lost node is noticed later), more slots on fewer nodes
//! (claims by the batch), `node.poll_max` up (a task starts later where no hint arrives), specs enqueued by the folder, several
//! hubs with a queue each.
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
