//! Drives the binary as a user would, in sandboxes of its own. One test binary, so that it links
//! once.

#![allow(
    clippy::disallowed_methods,
    reason = "the harness is the world outside: it starts processes and reads the environment"
)]

// The harness.
mod sandbox; // repositories, environment, running the binary
mod sandbox_itself; // that the harness does what it says
mod steps; // what many tests do: queue tasks, see where they stand

mod demo; // a whole day, from an empty folder

// The queue.
mod enqueue; // specs as they are found, and what is refused
mod list; // which tasks there are, and where they stand
mod logs; // what executors wrote

// Working.
mod claim; // tasks taken by hand
mod executor; // what an executor gets, and how it is ended
mod run; // nodes that claim and work at the same time
mod vandals; // executors that break their clone or plant something in it

// Merging.
mod checkout; // the checkout follows, or stays and says so
mod collect; // order, conflicts, seals

// What goes wrong, and what it costs.
mod counts; // git processes and pushes
mod crash; // commands that are killed
mod races; // many at once
mod regression; // bugs that there were
mod regression_attack; // bugs found by attacking the protocol

// What is stored.
mod formats; // yesterday's state loads for ever
