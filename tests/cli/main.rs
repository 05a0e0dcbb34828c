//! Drives the binary as a user would, in sandboxes of its own. One test binary, so that it links
//! once.

#![allow(
    clippy::disallowed_methods,
    reason = "the harness is the world outside: it starts processes and reads the environment"
)]

// The harness.
mod sandbox; // repositories, environment, running the binary
mod sandbox_itself; // that the harness does what it says

mod demo; // a whole day, from an empty folder

// What is stored.
mod formats; // yesterday's state loads for ever

// A person's day.
mod bad_input; // what is refused: names, specs, configuration, surroundings
mod explain; // every code has a way out
mod hand; // claim, finish, release; fenced off with the work kept
mod hubs; // not tests: what they share, so that each holds on both kinds of hub
mod init; // the annotated file, the node's name, what `git log` shows
mod outcomes; // two verbs at a barrier: one outcome of the two that may be
mod replace; // a newer spec; dry runs
mod retry_cancel; // called off, tried again
mod settings; // layers, and where a value comes from
mod show; // everything of one task; how tasks are named; titles that would drive a terminal
mod status; // what needs a person first; colours
mod surroundings; // odd repositories, hubs that refuse or are away
mod wait_log; // following what happens

// The bugs.
mod regression_attack; // found by attacking
