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
// The bugs.
mod regression_attack; // found by attacking
