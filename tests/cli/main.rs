//! Drives the binary as a user would, in sandboxes of its own. One test binary, so that it links
//! once.

#![allow(
    clippy::disallowed_methods,
    reason = "the harness is the world outside: it starts processes and reads the environment"
)]

// The harness.
mod sandbox; // repositories, environment, running the binary
mod sandbox_itself; // that the harness does what it says

// What is stored.
mod formats; // yesterday's state loads for ever

// A person's day.
mod hand; // claim, finish, release; fenced off with the work kept
mod hubs; // not tests: what they share, so that each holds on both kinds of hub
mod init; // the annotated file, the node's name, what `git log` shows
mod replace;
mod retry_cancel; // called off, tried again
mod show; // everything of one task; how tasks are named; titles that would drive a terminal
mod status; // what needs a person first; colours // a newer spec; dry runs
