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
//! follows the table. `tests/cli/counts.rs` asserts what each command asks for, `tests/simulation/arithmetic.rs` that simulated
//! fleets come to the sums below, and `BENCH=growth cargo bench --bench table` prints the numbers.
//!
//! | | pushes | fetches |
//! | --- | --- | --- |
//! | a batch of specs, whatever its size | 1 | 0; 1 where the queue or a claim has moved since this clone read it, or more than 64 claims stand |
//! | claiming by hand, of as many tasks as are asked for | 1 | 1; likewise 2 |
//! | finishing by hand | 1 | 0; likewise 1 |
//! | claiming, of as many tasks as there are free slots | 1 | 1, after the poll that found them |
//! | an attempt's end | 1 | 0 |
//! | a collect, of as many tasks as are done | 3 | 2 |
//! | a node, an hour, at rest | 60 beats, together at most 1,800 in the fleet | 60 (`node.poll_max`) |
//! | a node, an hour, at work | the same | 720 (`node.poll`), and one with each claim |
//!
//! What a queue costs on two cores, in milliseconds of processor time, git's included (most MiB): nine of ten of the tasks
//! sealed, 100, 1,000 and 1,000 being run. A poll and a claim grow with the claims, which the hub names each time. Of the most
//! memory without the cache, a third is the packs as they are mapped.
//!
//! | tasks | `list --json`, no cache | again | a poll, nothing new | `claim --count 1` |
//! | ---: | ---: | ---: | ---: | ---: |
//! | 1,000 | 32 (19) | 18 (19) | 20 (16) | 74 (16) |
//! | 10,000 | 292 (40) | 94 (31) | 41 (28) | 212 (31) |
//! | 100,000 | 2,282 (227) | 610 (122) | 30 (123) | 710 (150) |
//!
//! **Pushes.** `n` nodes that claim `k` tasks at once and end `t` tasks an hour each push `n × t × (1 + 1/k)` times an hour. Slots
//! come free one after the other, so `k` is 1 on a fleet at work, and a node's slots where a batch meets idle nodes. Beats come
//! on top, `min(60 × n, 60 × max_beats_per_minute)`: the pushes of claims and ends carry one as well, but none is left out
//! for it.
//!
//! **Fetches.** `n × (3,600 / poll + t / k)`, with `node.poll` in seconds for a node at work, which must hear that a task was
//! cancelled, and `node.poll_max` for one at rest.
//!
//! **Refs.** One for each task that runs (its claim), two once it is done (its branch), none when it is sealed; up to three for
//! each node (record, notes, logs) and five for all. With 200 nodes of four slots and 200 results that wait for a collect that
//! is 1,800.
//!
//! **Bytes.** A push is told the names of all refs, a fetch those of all but the branches, about 90 bytes each: 160 kB a push
//! there. A task brings every other clone its claim and its end, 1.4 kB, and its result's objects once, before it is merged: `n`
//! clones download a result of `r` bytes `n` times. So a node at work downloads `90 × refs × (fetches + pushes)` and `(n − 1) × t ×
//! (1.4 kB + r)` an hour, and it is the names that grow with the square of the fleet.
//!
//! Simulated, with four slots, tasks of half an hour (eight an hour and node) and a collect each ten minutes:
//!
//! | nodes | pushes a task | fetches a task | pushes, node-hour | fetches, node-hour | most refs | kB, node-hour | results downloaded, node-hour |
//! | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
//! | 1 | 2.00 | 1.00 | 88 | 751 | 18 | 939 | 0 |
//! | 4 | 2.00 | 1.00 | 79 | 726 | 51 | 2,630 | 24 |
//! | 16 | 2.00 | 1.00 | 77 | 726 | 189 | 9,488 | 120 |
//! | 64 | 2.00 | 1.00 | 44 | 724 | 729 | 35,312 | 504 |
//!
//! **How refs lie.** In the same build, a claim and a poll on a hub with 10,000 claims cost about the same in one file
//! (`packed-refs`) and in a reftable; a file each costs a third more for a claim (1,026, 992 and 1,364 ms of processor time,
//! git's and a hub on this machine included; a poll 373, 318 and 388). With 1,000 claims it is 132, 134 and 168, and 29, 27 and
//! 34. So it is the number of refs that counts, and packing them is worth a `git pack-refs` now and then and no more.
//! A clone whose own refs lie in a reftable reads them without git, and starts one `update-ref` for each write of them.
//!
//! **The largest fleet.** A hub that takes 30 pushes a minute takes 1,800 an hour, which is what beats alone may be: with
//! `max_beats_per_minute = 6` there is room for 1,440, that is 720 tasks an hour claimed singly (90 nodes like those above) or
//! 1,150 claimed by fours, less what collects take, three pushes each. One that takes 100 a second carries 180,000 tasks an hour
//! claimed singly; what ends it before is the queue, the one ref that all enqueuers share (31 pushes a second with random
//! waiting: batches), and the seals, which all collectors share.
//!
//! **When it is too much**, in this order: where the hub counts pushes, `max_beats_per_minute` down (a lost node is noticed later);
//! where it counts requests or bytes, `node.poll` up (a cancelled task is stopped later; what starts is found by the look that
//! follows each end) and `node.poll_max` up (a task starts later where no hint arrives); more slots on fewer nodes (fewer beats,
//! polls and clones to download results); collects more often (fewer names); specs enqueued by the folder; several hubs with
//! a queue each.
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
